// SPDX-License-Identifier: Apache-2.0

import JSON
import SystemPackage
import TestSupport
import Testing

/// `nc-info --equivalent` as a shell runs it.
@Suite("Wide networks") struct EquivalentTests {
  private let folder: TemporaryFolder
  private static let networks = Fixtures.folder.appending("networks")
  private static let data = Fixtures.folder.appending("data")

  init() throws { folder = try TemporaryFolder() }

  /// Two layers of relu at τ₀ = 1.
  @Test func numbersAreThoseOfTheTheory() throws {
    let line =
      "nc-info --equivalent --points 40 --data '\(Self.data.appending("digits_relu.ref.h5"))' --y label --sparsity .5 '\(Self.networks.appending("digits_relu.h5"))'"
    let run = try shell("\(line) --json --plot k.svg", in: folder)
    try #require(run.status == 0, "\(run.diagnostics)")
    let json = try JSONValue.parse(run.output)
    func numbers(_ value: JSONValue?) -> [Double] { (value?.array ?? []).compactMap(\.double) }
    let layers = try #require(json["layers"]?.array)
    #expect(layers.count == 2 && layers.map { $0["activation"]?.string } == ["relu", "relu"])
    let expected: [(String, [Double])] = [
      ("alpha", [0.0625, 0.0235125, 0.0344882, 0.116176]), ("beta", [0.1875, 0.0334600, 0.152532]),
    ]
    for (key, values) in expected {
      #expect(zip(numbers(layers[1][key]), values).allSatisfy { abs($0 - $1) <= 1e-3 * $1 }, "\(layers[1])")
      #expect(numbers(layers[1][key]).count == values.count)
    }
    let matched = try #require(layers[0]["matched"])
    #expect(zip(numbers(matched["levels"]), [-0.395442, 0.427105, 1.919758]).allSatisfy { abs($0 - $1) <= 1e-6 })
    #expect(abs(try #require(json["shift"]?.double) - 0.048609) <= 1e-6)
    #expect(json["points"]?.integer == 40 && json["fourth_moment"]?["moment"]?.double == 2)
    let distances = try #require(json["distances"]?.array)
    // Seven pairs of kernels, of which five are of tangent kernels too.
    #expect(distances.count == 11 && distances.allSatisfy { $0["relative"]?.double != nil })
    let picture = String(decoding: try contents(of: folder / "k.svg"), as: UTF8.self)
    for text in ["Tangent kernel, 40 points", "three levels", "fc2/kernel, relu: mean output", "eigenvector 2"] {
      #expect(picture.contains(text), "\(text)")
    }
    let outputs = try ["-T 1", "-T 3"].map { try shell("\(line) \($0)", in: folder).output }
    #expect(outputs[0] == outputs[1])
    let text = String(decoding: outputs[0], as: UTF8.self)
    for part in ["the first 40 of 200 samples of 64", "biases, the last activation left out", "mixture form"] {
      #expect(text.contains(part), "\(part)")
    }
  }

  @Test(
    arguments: [
      (0, "nc-info --equivalent --points 9 - < net.h5"),
      (0, "nc-info --equivalent --points 9 --activation tanh,sign,softmax weights.h5"),
      (64, "nc-info --equivalent --stats net.h5"), (64, "nc-info --points 9 net.h5"),
      (64, "nc-info --data ref.h5 net.h5"), (64, "nc-info --equivalent --points 1 net.h5"),
      (64, "nc-info --equivalent --sparsity 1 net.h5"),
      (65, "nc-info --equivalent --data '\(data.appending("fashion_test.h5"))' net.h5"),
      (65, "nc-info --equivalent --data net.h5 net.h5"),
      (66, "nc-info --equivalent --data missing net.h5"),
      (69, "nc-info --equivalent --activation softmax,relu,softmax weights.h5"),
      (69, "nc-info --equivalent '\(networks.appending("digits_branch.h5"))'"),
      (69, "nc-info --equivalent '\(networks.appending("digits_relu.int8.weights.h5"))'"),
      (75, "nc-info --equivalent --points 30000 net.h5"),
      (73, "nc-info --equivalent --plot net.h5 net.h5"),
      (74, "nc-info --equivalent --points 9 --plot /dev/full net.h5"),
    ] as [(Int32, String)])
  func statusSaysWhatHappened(status: Int32, line: String) throws {
    try write(try contents(of: Self.networks.appending("digits_relu.h5")), to: folder / "net.h5")
    try write(try contents(of: Self.networks.appending("digits_relu.weights.h5")), to: folder / "weights.h5")
    try write(try contents(of: Self.data.appending("digits_relu.ref.h5")), to: folder / "ref.h5")
    let run = try shell(line, in: folder)
    #expect(run.status == status, "\(line): \(run.diagnostics)")
    #expect(status == 0 || (!run.diagnostics.isEmpty && run.output.isEmpty))
  }
}
