// SPDX-License-Identifier: Apache-2.0

import JSON
import Networks
import SystemPackage
import Tensors
import TestSupport
import Testing

/// `nc-run` as a shell runs it.
@Suite("Running") struct RunTests {
  private let folder: TemporaryFolder
  private static let networks = Fixtures.folder.appending("networks")
  private static let data = Fixtures.folder.appending("data")

  init() throws { folder = try TemporaryFolder() }

  /// The numbers of a dataset of float32.
  private func numbers(_ path: FilePath, _ name: String) throws -> [Float] {
    try withNetwork(try OpenFile(path)) { file in
      let index = try #require(file.tensors.firstIndex { $0.name.text == name })
      try #require(file.tensors[index].type == .float32)
      return try file.values(of: index).withUnsafeBytes { bytes in
        (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
      }
    }
  }

  /// Of networks in every layout and precision, the outputs that their own frameworks gave.
  @Test(
    arguments: [
      ("digits_relu.h5", "digits_relu"), ("digits_relu.keras", "digits_relu"),
      ("digits_relu.weights.h5", "digits_relu"),
      ("digits_branch.h5", "digits_branch"), ("digits_branch.keras", "digits_branch"),
      ("digits_relu.float64.h5", "digits_relu.float64"), ("digits_relu.bfloat16.h5", "digits_relu.bfloat16"),
      ("digits_relu.mixed_bfloat16.h5", "digits_relu.mixed_bfloat16"), ("torch_digits.flat.h5", "torch_digits"),
      ("torch_digits.nested.h5", "torch_digits"),
    ])
  func outputsAreThoseOfTheFramework(network: String, reference: String) throws {
    let data = Self.data.appending("\(reference).ref.h5")
    // Weights alone do not say that a softmax follows.
    let options = network.contains(".weights") ? "--activation relu,relu,softmax" : ""
    let run = try shell(
      "nc-run -q --data '\(data)' \(options) -o y.h5 '\(Self.networks.appending(network))'", in: folder)
    try #require(run.status == 0, "\(run.diagnostics)")
    let (found, expected) = (try numbers(folder / "y.h5", "y"), try numbers(data, "y"))
    try #require(found.count == expected.count)
    let largest = zip(found, expected).reduce(0) { max($0, ($1.0 - $1.1).magnitude) }
    #expect(largest <= 3e-5, "\(network): \(largest)")
  }

  /// Packed codes, sparse and low-rank forms give what the restored file gives.
  @Test(arguments: [
    "nc-ternarize", "nc-ternarize --scale-per 10", "nc-ternarize --scale-per tensor", "nc-prune --keep .2",
    "nc-prune --keep .3 --values float16", "nc-prune --by singular-value --keep .4", "nc-prune --by node --keep .5",
  ])
  func compressedFormsRunAsRestoredOnes(compressor: String) throws {
    let network = Self.networks.appending("digits_relu.h5")
    let data = Self.data.appending("digits_relu.ref.h5")
    let run = try shell(
      """
      \(compressor) -q '\(network)' net.ncz && nc-restore -q net.ncz net.h5 &&
      nc-run -q --data '\(data)' -o a.h5 net.ncz && nc-run -q --data '\(data)' -o b.h5 net.h5
      """, in: folder)
    try #require(run.status == 0, "\(run.diagnostics)")
    let (a, b) = (try numbers(folder / "a.h5", "y"), try numbers(folder / "b.h5", "y"))
    // Rounding to float32 may hide the last bits or show them.
    #expect(zip(a, b).allSatisfy { ($0 - $1).magnitude <= 0x1p-22 })
  }

  @Test func theReportSaysHowWell() throws {
    let line =
      "nc-run --json --y label --data '\(Self.data.appending("digits_relu.ref.h5"))' '\(Self.networks.appending("digits_relu.h5"))'"
    let run = try shell(line, in: folder)
    let json = try JSONValue.parse(run.output)
    #expect(json["samples"]?.integer == 200 && json["inputs"]?.integer == 64 && json["outputs"]?.integer == 10)
    #expect(json["loss_kind"]?.string == "cross entropy" && json["precision"]?.string == "full")
    #expect(try #require(json["accuracy"]?.double) > 0.9 && #require(json["loss"]?.double) < 0.5)
    let outputs = try ["-T 1", "-T 2", "-T 5"].map { try shell("\(line) \($0)", in: folder).output }
    #expect(outputs.allSatisfy { $0 == run.output })
    let text = String(decoding: try shell(line.replacing(" --json", with: ""), in: folder).output, as: UTF8.self)
    #expect(text.contains("200 samples of 64") && text.contains("accuracy ") && text.contains("loss "))
  }

  @Test(
    arguments: [
      (64, "nc-run net.h5"), (64, "nc-run --x y net.h5"), (64, "nc-run --data - net.h5"),
      (64, "nc-run --data ref.h5 --input-scale inf net.h5"), (64, "nc-run --data ref.h5 --precision double net.h5"),
      (65, "nc-run --data ref.h5 --y none net.h5"), (65, "nc-run --data ref.h5 --x label net.h5"),
      (65, "nc-run --data net.h5 net.h5"), (65, "head -c 9000 net.h5 | nc-run --data ref.h5"),
      (66, "nc-run --data missing net.h5"), (66, "nc-run --data ref.h5 missing"),
      (69, "nc-run --data ref.h5 '\(networks.appending("digits_relu.int8.weights.h5"))'"),
      (73, "nc-run --data ref.h5 -o net.h5 net.h5"), (74, "nc-run --data ref.h5 net.h5 > /dev/full"),
      (74, "nc-run --data ref.h5 -o /dev/full net.h5"), (75, "nc-run --data ref.h5 --memory 1k net.h5"),
      (0, "nc-run --data ref.h5 net.h5"), (0, "cat net.h5 | nc-run --data ref.h5 -"),
      (0, "nc-ternarize -q net.h5 | nc-run --data ref.h5"), (0, "nc-run --data ref.h5 -f -o ref2.h5 net.h5"),
    ] as [(Int32, String)])
  func statusSaysWhatHappened(status: Int32, line: String) throws {
    try write(try contents(of: Self.networks.appending("digits_relu.h5")), to: folder / "net.h5")
    try write(try contents(of: Self.data.appending("digits_relu.ref.h5")), to: folder / "ref.h5")
    let run = try shell(line, in: folder)
    #expect(run.status == status, "\(line): \(run.diagnostics)")
    #expect(status == 0 || (!run.diagnostics.isEmpty && run.output.isEmpty))
  }
}
