// SPDX-License-Identifier: Apache-2.0

import JSON
import Parallel
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Measures
@testable import Networks
@testable import Transforms

/// Files that read well, and of which something could not be restored: each is refused.
@Suite("Check of the output")
struct OutputCheckTests {
  private func fixture(_ name: String) throws -> OpenFile {
    try OpenFile(Fixtures.folder.appending("networks/\(name)"))
  }

  /// The `.ncz` of a fixture; `values`, by path, take the place of those that the file has, as if they were its own.
  private func packed(_ name: String, values: [TensorName: [UInt8]] = [:]) throws -> OpenFile {
    let result = try OpenFile()
    _ = try withNetwork(fixture(name)) { file in
      try result.with { output, _ in
        try file.write(to: output, WritingOptions()) { index, put in
          let tensor = file.tensors[index]
          return try put(tensor.path.flatMap { values[$0] }.map { Change(values: .weights(.dense($0))) })
        }
      }
    }
    return result
  }

  /// Checks a `.ncz` file as what was written from itself.
  private func check(_ file: OpenFile) throws {
    try withNetwork(file) { network in
      try file.with { try network.checkWritten($0, size: $1, isWhole: true) }
    }
  }

  private func expectRefusal(_ file: OpenFile, _ reason: String) {
    let error = #expect(throws: NetworkError.self) { try check(file) }
    #expect(error?.verdict == .corrupt && error?.message.contains(reason) ?? false, "\(error?.message ?? "no error")")
  }

  private func expectRefusal(ofSource bytes: [UInt8], _ reason: String) {
    let error = #expect(throws: NetworkError.self) {
      try withNetwork(OpenFile(bytes)) { file in
        try OpenFile().with { output, _ in _ = try file.write(to: output, WritingOptions()) { try $1(nil) } }
      }
    }
    #expect(error?.verdict == .corrupt && error?.message.contains(reason) ?? false, "\(error?.message ?? "no error")")
  }

  /// As HDF5 stores addresses and sizes.
  private func number(_ value: Int) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

  private func index(of path: TensorName, in file: OpenFile) throws -> Int {
    try #require(try withNetwork(file) { $0.tensors.firstIndex { $0.path == path } })
  }

  @Test(arguments: ["digits_relu.h5", "digits_relu.keras", "digits.compact_userblock.h5"])
  func whatIsSoundPasses(name: String) throws {
    let file = try packed(name)
    try check(file)
    try check(rewritten(file) { $0 })
  }

  // MARK: The directory against the container

  @Test func theContainerIsOfItsKind() throws {
    let file = try rewritten(packed("digits_relu.h5")) { $0.setting(["container", "kind"], to: .string("keras")) }
    expectRefusal(file, "the container is of another kind")
  }

  @Test func theContainerHasItsHDF5FileWhereItSays() throws {
    let file = try rewritten(packed("digits_relu.keras")) { directory in
      let offset = try #require(directory.at(["container", "offset"])?.integer)
      return directory.setting(["container", "offset"], to: .integer(offset - 8))
    }
    expectRefusal(file, "has its HDF5 file elsewhere")
  }

  @Test(
    arguments: [
      ("iteration", "path", .string("elsewhere"), "has no dataset /elsewhere"),
      ("iteration", "type", .string("uint32"), "type int32, expected uint32"),
      ("iteration", "byte_order", .string("big"), "little-endian values"),
      ("digits_relu_fc1_bias_momentum", "shape", .array([.integer(8), .integer(8)]), "shape 64, expected 8×8"),
    ] as [(String, String, JSONValue, String)])
  func aDatasetIsAsTheDirectorySays(name: String, key: String, value: JSONValue, reason: String) throws {
    let file = try packed("digits_relu.h5")
    let index = try index(of: TensorName("optimizer_weights/adam/\(name)"), in: file)
    expectRefusal(try rewritten(file) { $0.setting(["tensors", "\(index)", Substring(key)], to: value) }, reason)
  }

  @Test func valuesLieWhereTheDatasetHasThem() throws {
    let file = try packed("digits_relu.h5")
    let places = try ["momentum", "velocity"].map { name -> [Substring] in
      let index = try index(of: TensorName("optimizer_weights/adam/digits_relu_fc1_bias_\(name)"), in: file)
      return ["tensors", "\(index)", "place"]
    }
    let exchanged = try rewritten(file) { directory in
      directory.setting(places[0], to: directory.at(places[1])).setting(places[1], to: directory.at(places[0]))
    }
    expectRefusal(exchanged, "its values elsewhere")
  }

  // MARK: Values that are there twice

  /// In an object header, and in chunks that libhdf5 would not encode as they are.
  @Test(
    arguments: [
      ("digits.compact_userblock.h5", "fc1/bias", 4 * 64),
      ("digits.filters_lzf_scaleoffset_nbit.h5", "fc1/kernel", 4 * 64 * 64),
    ])
  func valuesInTheContainerAreThoseOfTheTensor(name: String, path: String, size: Int) throws {
    let file = try packed(name, values: [TensorName(path): [UInt8](repeating: 1, count: size)])
    expectRefusal(file, "the container has other values at /\(path)")
    let error = #expect(throws: NetworkError.self) {
      try withNetwork(file) { network in try OpenFile().with { scratch, _ in try network.test(scratch: scratch) } }
    }
    #expect(error?.verdict == .corrupt)
  }

  /// An archive that would be restored with a checksum of other weights.
  @Test func anArchiveHasTheChecksumsOfItsMembers() throws {
    let bias = try withNetwork(fixture("digits_relu.keras")) { try #require($0.tensors.first { $0.shape.rank == 1 }) }
    let file = try packed(
      "digits_relu.keras", values: [try #require(bias.path): [UInt8](repeating: 1, count: bias.size)])
    expectRefusal(file, "model.weights.h5: the archive says CRC-32")
  }

  // MARK: The source

  /// A dataset whose values are also a text of the file: other values would make it another text.
  @Test func noDatasetLiesOnWhatDescribesTheFile() throws {
    let source = try fixture("digits_relu.h5")
    var bytes = try source.bytes
    let place = try withNetwork(source) { file in
      file.tensors.first { $0.path == "optimizer_weights/adam/learning_rate" }?.place
    }
    guard case .contiguous(let run)? = place else { throw NetworkError(.unusable, "no place") }
    let layout = try #require(bytes.firstRange(of: number(run.offset) + number(run.length)))
    let version = try #require(bytes.firstRange(of: Array("3.15.1".utf8))).lowerBound
    bytes.replaceSubrange(layout.prefix(8), with: number(version))
    expectRefusal(ofSource: bytes, "described by bytes that are also the values of a dataset")
  }

  /// An archive whose checksums are wrong before: no reader would open what is restored.
  @Test func theChecksumsOfTheSourceAreRight() throws {
    let source = try fixture("digits_relu.keras")
    var bytes = try source.bytes
    let members = try source.with { try KerasArchive($0, size: $1) }.stored
    let member = try #require(members.first { $0.name == "metadata.json" }).member
    for field in member.crcFields { bytes[field] ^= 1 }
    expectRefusal(ofSource: bytes, "metadata.json: the archive says CRC-32")
  }

  // MARK: The smaller file

  /// The text of an attribute lies where no heap is: it can be put back as it is, and not be copied.
  @Test func whatLostUnitsCanBeMadeSmaller() throws {
    let source = try fixture("digits.rich_attributes.h5")
    var bytes = try source.bytes
    let heap = try #require(bytes.firstRange(of: Array("GCOL".utf8))).lowerBound
    let attribute = try #require(bytes.firstRange(of: Array("vlen_utf8".utf8))).upperBound
    let reference = try #require(bytes[attribute...].firstRange(of: number(heap)))
    bytes[reference.lowerBound] ^= 8
    let damaged = try OpenFile(bytes)

    func write(_ source: OpenFile, options: String) throws {
      try withNetwork(source) { file in
        try OpenFile().with { output, _ in
          _ = try file.write(to: output, WritingOptions(), checking: NetworkFile.checkReducible) { index, put in
            let tensor = file.tensors[index]
            guard tensor.isDenseMatrix else { return try put(nil) }
            let values = try file.values(of: index)
            let digest = values.withUnsafeBytes {
              Digest(values: $0, type: tensor.type, shape: tensor.shape, threads: Threads(1))
            }
            let entry = HistoryEntry(Step(tool: "nc-prune", version: "0", options: options), from: digest, error: 1)
            return try put(Change(values: .weights(.dense(values)), entry: entry))
          }
        }
      }
    }
    try write(source, options: "--by node --keep 0.5")
    try write(damaged, options: "--keep 0.5")
    let error = #expect(throws: NetworkError.self) { try write(damaged, options: "--by node --keep 0.5") }
    #expect(error?.message.contains("could not be restored: ") ?? false)
  }
}
