// SPDX-License-Identifier: Apache-2.0

import JSON
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import NCZ
@testable import Networks

/// How the compressors are told to write: `--container`, `--biases`, `--mapped`, `--drop`.
@Suite("What is written") struct WritingTests {
  private static let start = Preparation(["net.h5": "networks/digits_relu.h5"])
  private let folder: TemporaryFolder

  init() throws { folder = try Self.start.folder() }

  private static let compressors = ["nc-ternarize", "nc-prune --keep .3", "nc-prune --by singular-value --keep .5"]

  private func run(_ line: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
    let run = try shell(line, in: folder)
    try #require(run.status == 0, "\(line): \(run.diagnostics)", sourceLocation: sourceLocation)
    return String(decoding: run.output, as: UTF8.self)
  }

  private func tensors(_ file: String) throws -> [TensorRecord] {
    try withNetwork(OpenFile(folder / file)) { $0.tensors }
  }

  /// Values by name.
  private func values(_ file: String) throws -> [TensorName: [UInt8]] {
    try withNetwork(OpenFile(folder / file)) { file in
      Dictionary(
        uniqueKeysWithValues: try zip(file.tensors.map(\.name), file.tensors.indices.map { try file.values(of: $0) }))
    }
  }

  // MARK: Container

  /// Without the container the tensors, the network and their history are the same; the source file cannot come back,
  /// another one can.
  @Test(arguments: compressors) func withoutAContainerTheNetworkIsTheSame(compressor: String) throws {
    _ = try run("\(compressor) -q net.h5 whole.ncz; \(compressor) -q --container none net.h5 bare.ncz")
    #expect(try contents(of: folder / "bare.ncz").count < contents(of: folder / "whole.ncz").count)
    #expect(try run("nc-info --test bare.ncz") == "bare.ncz: sound\n")
    #expect(try values("bare.ncz") == values("whole.ncz"))
    let (bare, whole) = (try tensors("bare.ncz"), try tensors("whole.ncz"))
    #expect(bare.map(\.history) == whole.map(\.history) && bare.map(\.digest) == whole.map(\.digest))
    #expect(bare.map(\.role) == whole.map(\.role) && bare.map(\.axes) == whole.map(\.axes))
    #expect(bare.allSatisfy { $0.place == nil && $0.path == nil && $0.aliases.isEmpty && $0.byteOrder == .little })
    let (a, b) = try (
      withNetwork(OpenFile(folder / "bare.ncz")) { $0.network }, withNetwork(OpenFile(folder / "net.h5")) { $0.network }
    )
    #expect(a == b && a != nil)
    // From a `.ncz` as well, and never back.
    _ = try run("nc-ternarize -q --except '*' --container none whole.ncz later.ncz && cmp later.ncz bare.ncz")
    _ = try run("nc-ternarize -q --except '*' bare.ncz again.ncz && cmp again.ncz bare.ncz")
    _ = try run("nc-verify -q --measure weights net.h5 bare.ncz")
    _ = try run(
      "nc-restore -q --layout plain bare.ncz plain.h5 && nc-restore -q --layout plain whole.ncz - | cmp - plain.h5")
  }

  /// Dropped training state is zeros in the container, and absent without one: B's step says so.
  @Test func whatIsDroppedIsAbsentWithoutAContainer() throws {
    _ = try run("nc-prune -q --keep .5 --drop optimizer net.h5 zeros.ncz")
    _ = try run("nc-prune -q --keep .5 --drop optimizer --container none net.h5 absent.ncz")
    let state = try tensors("net.h5").filter { $0.role == .optimizer }
    try #require(state.count > 12)
    let zeros = try tensors("zeros.ncz").filter { $0.role == .optimizer }
    #expect(zeros.count == state.count && zeros.count { $0.history.count == 1 } == 12)
    #expect(try tensors("absent.ncz").allSatisfy { $0.role != .optimizer })
    try withNetwork(OpenFile(folder / "absent.ncz")) { file in
      let dropping = try #require(file.steps.first { !$0.removed.isEmpty })
      #expect(dropping.removed == state.map(\.name) && dropping.options == "--drop optimizer")
      #expect(dropping.tool == "nc-prune" && dropping.networkBefore == nil)
    }
    _ = try run("nc-info --test -q absent.ncz && nc-verify -q --measure weights net.h5 absent.ncz")
  }

  // MARK: Biases

  /// Each element of a bias is the nearest float16; what was recorded is so; weights are as without the option.
  @Test(arguments: ["nc-ternarize", "nc-prune --keep .3"]) func biasesAreRounded(compressor: String) throws {
    _ = try run("\(compressor) -q net.h5 exact.ncz; \(compressor) -q --biases float16 net.h5 half.ncz")
    _ = try run("nc-info --test -q half.ncz && nc-verify -q --measure weights net.h5 half.ncz")
    let (before, exact, half) = (try values("net.h5"), try values("exact.ncz"), try values("half.ncz"))
    var biases = 0
    for tensor in try tensors("half.ncz") {
      let (found, own) = (try #require(half[tensor.name]), try #require(before[tensor.name]))
      guard tensor.role == .bias else {
        #expect(found == exact[tensor.name])
        continue
      }
      biases += 1
      let rounded = ElementType.float32.numbers(own).map { Double(Float16($0)) }
      #expect(ElementType.float32.numbers(found) == rounded, "\(tensor.name)")
      let entry = try #require(tensor.history.last)
      #expect(entry.step.options == "--biases float16" && entry.step.tool == compressor.split(separator: " ")[0])
    }
    #expect(biases == 3)
    // What is rounded already is no step.
    _ = try run("\(compressor) -q --biases float16 half.ncz twice.ncz")
    #expect(try tensors("twice.ncz").filter { $0.role == .bias }.allSatisfy { $0.history.count == 1 })
  }

  @Test func aBiasThatIsExceptedStays() throws {
    _ = try run("nc-prune -q --keep .3 --biases float16 --except fc1/bias net.h5 some.ncz")
    let biases = try tensors("some.ncz").filter { $0.role == .bias }
    #expect(biases.filter { $0.history.isEmpty }.map(\.name) == ["fc1/bias"] && biases.count == 3)
  }

  // MARK: Mapped

  /// Payloads at multiples of 64, arrays as they are; everything comes back, also from a file that is not mapped, and
  /// to one.
  @Test(arguments: compressors + ["nc-ternarize --except '*'", "nc-prune --by node --keep .5"])
  func mappedFilesHoldTheSame(compressor: String) throws {
    _ = try run("\(compressor) -q net.h5 plain.ncz; \(compressor) -q --mapped net.h5 mapped.ncz")
    _ = try run("nc-ternarize -q --except '*' --mapped plain.ncz later.ncz")
    _ = try run("nc-ternarize -q --except '*' mapped.ncz back.ncz")
    let expected = try values("plain.ncz")
    for (file, isMapped) in [("plain.ncz", false), ("mapped.ncz", true), ("later.ncz", true), ("back.ncz", false)] {
      #expect(try run("nc-info --test \(file)") == "\(file): sound\n")
      #expect(try values(file) == expected, "\(file)")
      _ = try run("nc-restore -q \(file) \(file).h5 && cmp \(file).h5 plain.ncz.h5")
      try withNetwork(OpenFile(folder / file)) { network in
        guard case .ncz(let source) = network.source else { return }
        #expect(source.reader.isMapped == isMapped)
        guard isMapped else { return }
        #expect(source.reader.payloads.allSatisfy { $0.offset % 64 == 0 })
        for (index, tensor) in network.tensors.enumerated() where tensor.encoding == .raw(planes: false) {
          let payload = source.reader.payloads[tensor.parts[0]]
          let bytes = try contents(of: folder / file)[payload.offset..<payload.offset + payload.size]
          #expect(try Array(bytes) == network.values(of: index), "\(tensor.name)")
        }
        #expect(network.tensors.allSatisfy { $0.encoding != .raw(planes: true) })
      }
    }
  }

  // MARK: Usage

  @Test(arguments: [
    "nc-ternarize --container zip net.h5 o", "nc-prune --keep .1 --container hdf5 net.h5 o",
    "nc-ternarize --biases int8 net.h5 o", "nc-prune --keep .1 --biases net.h5",
    "nc-prune --keep .1 --mapped=1 net.h5 o",
    "nc-restore --mapped net.h5 o", "nc-info --container none net.h5",
  ])
  func whatIsNoSuchOptionIsRefused(line: String) throws {
    #expect(try shell(line, in: folder).status == 64)
  }
}
