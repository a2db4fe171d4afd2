// SPDX-License-Identifier: Apache-2.0

import Compression
import HDF5
import JSON
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks
@testable import Transforms

@Suite("Smaller files")
struct ReducingTests {
  /// Writes a network with half of its units pruned as `.ncz`.
  private func pruned(_ file: NetworkFile, keep: Fraction) throws -> OpenFile {
    let pruning = try file.planUnitPruning(.keep(keep), includes: { file.tensors[$0].isReplaceable })
    let result = try OpenFile()
    _ = try result.with { output, _ in
      try file.write(to: output, WritingOptions()) { index, put in
        let tensor = file.tensors[index]
        return try file.withValues(of: index) { values in
          guard let new = file.pruned(index, values, by: pruning) else { return try put(nil) }
          let (difference, _, digest) = new.difference(
            from: values, type: tensor.type, shape: tensor.shape, threads: file.options.threads)
          let from = Digest(values: values, type: tensor.type, shape: tensor.shape, threads: file.options.threads)
          let entry = HistoryEntry(
            Step(tool: "test", version: "0", options: ""), from: from, error: difference.error)
          return try put(Change(values: new, digest: digest, entry: entry))
        }
      }
    }
    return result
  }

  private func reduced(_ file: NetworkFile) throws -> (file: OpenFile, report: ReductionReport) {
    let result = try OpenFile()
    let report = try result.with { output, _ in try file.restoreReduced(to: output) }
    #expect(try result.with { $1 } == report.byteCount)
    return (result, report)
  }

  private static let fixtures = [
    "digits_relu.h5", "digits_relu.keras", "digits_relu.weights.h5", "digits_branch.h5", "digits_branch.keras",
    "digits_relu.float64.h5", "digits_relu.bfloat16.h5", "digits.big_endian.h5", "digits.links.h5",
    "digits.f16_gzip_shuffle_fletcher.h5", "digits.rich_attributes.h5", "digits.libver_earliest.h5",
    "digits.transposed_fortran.h5", "torch_digits.flat.h5", "torch_digits.nested.h5",
  ].map { Fixtures.folder.appending("networks/\($0)") }

  /// Pruned, stored, restored without the removed units: the same outputs from smaller matrices, and a file that says
  /// itself what it is.
  @Test(arguments: fixtures) func aSmallerFileComputesTheSame(path: FilePath) throws {
    let keep = try #require(Fraction(".5"))
    let packed = try withNetwork(OpenFile(path)) { try pruned($0, keep: keep) }
    try withNetwork(packed) { file in
      let (small, report) = try reduced(file)
      #expect(try small.bytes == reduced(file).file.bytes, "the same file again")
      let whole = try OpenFile()
      let wholeSize = try whole.with { output, _ in try file.restore(to: output) }
      #expect(report.byteCount < wholeSize)
      #expect(!report.layers.isEmpty && report.layers.allSatisfy { 2 * $0.removed == $0.units / 2 * 2 })
      try withNetwork(small) { small in
        #expect(small.tensors.allSatisfy { $0.role != .optimizer })
        let kept = file.tensors.filter { $0.role != .optimizer }
        #expect(small.tensors.map(\.name) == kept.map(\.name) && small.tensors.map(\.type) == kept.map(\.type))
        #expect(small.tensors.map(\.byteOrder) == kept.map(\.byteOrder))
        #expect(small.network != nil && small.network?.outputs == file.network?.outputs)
        let difference = try ForwardPass(small).difference(from: ForwardPass(file, small.network))
        // The same sums without their zeros.
        #expect(difference == 0)
        #expect(try reduced(small).report.layers.isEmpty, "nothing more can be removed")
      }
    }
  }

  /// What is no tensor stays, byte for byte: attributes, links, texts.
  @Test(arguments: ["digits.links.h5", "digits_branch.h5"]) func theRestOfTheFileStays(name: String) throws {
    let path = Fixtures.folder.appending("networks/\(name)")
    let packed = try withNetwork(OpenFile(path)) { try pruned($0, keep: .zero) }
    let small = try withNetwork(packed) { try reduced($0).file }
    func contents(_ file: OpenFile) throws -> TableOfContents {
      BuiltTools.serveHDF5()
      return try file.with { file, _ in
        var session = try Session(file: file, limits: Limits(memory: 1 << 30, seconds: 10))
        return try session.tableOfContents(texts: ["*"])
      }
    }
    let (before, after) = (try contents(OpenFile(path)), try contents(small))
    #expect(after.links == before.links)
    let kept = before.objects.filter { !$0.paths[0].hasPrefix("optimizer_weights") }
    #expect(after.objects.map(\.paths) == kept.map(\.paths))
    for (one, other) in zip(kept, after.objects) {
      for (text, copy) in zip(one.attributes, other.attributes) {
        #expect(text == copy || text.name == "model_config")
      }
      #expect(one.attributes.map(\.name) == other.attributes.map(\.name))
    }
  }

  /// With nothing to remove, the file is the source.
  @Test(arguments: ["digits_relu.h5", "digits_relu.keras"]) func nothingToRemove(name: String) throws {
    let source = try OpenFile(Fixtures.folder.appending("networks/\(name)"))
    try withNetwork(source) { file in
      let (copy, report) = try reduced(file)
      #expect(try copy.bytes == source.bytes && report.layers.isEmpty)
      #expect(report.summary == "no node can be removed")
    }
  }

  // MARK: By hand

  private static func dense(_ layer: String, _ input: Int) -> Network.Node {
    .init(.dense(kernel: "\(layer)/kernel", bias: "\(layer)/bias"), inputs: [input])
  }

  private static let network = Network(
    nodes: [
      .init(.input(shape: [2]), inputs: []), dense("a", 0), .init(.activation(.tanh), inputs: [1]),
      .init(
        .batchNormalization(mean: "n/mean", variance: "n/variance", gamma: nil, beta: nil, epsilon: 1), inputs: [2]),
      dense("b", 3), dense("c", 4),
    ], outputs: [5])

  private func tensors(_ b: [Float], _ c: [Float], a: [Float] = [1, 2, 3, 4, 5, 6]) -> [(String, [Int], [Float])] {
    [
      ("a/kernel", [2, 3], a), ("a/bias", [3], [7, 8, 9]), ("b/kernel", [3, 2], b), ("b/bias", [2], [1, 2]),
      ("c/kernel", [2, 1], c), ("c/bias", [1], [3]), ("n/mean", [3], [1, 2, 3]), ("n/variance", [3], [4, 5, 6]),
    ]
  }

  private func values(_ file: NetworkFile) throws -> [String: [Double]] {
    var values: [String: [Double]] = [:]
    for (index, tensor) in file.tensors.enumerated() {
      values[tensor.name.text] = tensor.type.numbers(try file.values(of: index))
    }
    return values
  }

  /// Unit 1 of `b` is not used, so its incoming weights do not count either: units 0 and 1 of `a` are not used.
  @Test func whatOnlyRemovedUnitsUse() throws {
    let source = try plainNetwork(Self.network, tensors([0, 1, -0.0, 2, 3, 4], [5, 0]))
    try withNetwork(source) { file in
      let plain = try OpenFile()
      let report = try plain.with { output, _ in try file.writePlainReduced(to: output) }
      #expect(report.summary == "removed 2 of 3 nodes of a, 1 of 2 of b")
      let (small, same) = try reduced(file)
      #expect(same.layers == report.layers)
      for result in [plain, small] {
        try withNetwork(result) { small in
          #expect(small.network == Self.network)
          let values = try values(small)
          #expect(
            values == [
              "a/kernel": [3, 6], "a/bias": [9], "b/kernel": [3], "b/bias": [1], "c/kernel": [5], "c/bias": [3],
              "n/mean": [3], "n/variance": [6],
            ])
        }
      }
    }
  }

  @Test func oneUnitStays() throws {
    try withNetwork(plainNetwork(Self.network, tensors([Float](repeating: 0, count: 6), [5, 6]))) { file in
      let (small, report) = try reduced(file)
      #expect(report.layers == [.init(name: "a", units: 3, removed: 2)])
      #expect(try withNetwork(small) { try values($0) }["a/kernel"] == [1, 4])
    }
  }

  /// Zero times infinity is no zero.
  @Test func whatIsNotFiniteStays() throws {
    let source = try plainNetwork(Self.network, tensors([0, 0, 0, 0, 3, 4], [5, 6], a: [1, .infinity, 3, 4, 5, 6]))
    try withNetwork(source) { file in
      let (small, _) = try reduced(file)
      #expect(try withNetwork(small) { try values($0) }["a/bias"] == [8, 9])
    }
  }

  @Test func aNetworkNobodyKnows() throws {
    try withNetwork(OpenFile(Fixtures.folder.appending("networks/digits.odd_values_and_shapes.h5"))) { file in
      _ = #expect { try reduced(file) } throws: { ($0 as? NetworkError)?.verdict == .unsupported }
    }
  }

  // MARK: The configuration

  @Test func aConfigurationForFewerUnits() throws {
    let text = #"""
      {"class_name":"Sequential","config":{"name":"s","layers":[
      {"class_name":"Dense","config":{"units":4,"batch_input_shape":[null,4],"x":1e-3},
      "build_config":{"input_shape":[null,4]}},
      {"class_name":"Activation","config":{"activation":"relu"},"build_config":{"shapes":{"a":[4],"b":[null,7,4]}}},
      {"class_name":"Sequential","config":{"build_input_shape":[null,4],"layers":[
      {"class_name":"InputLayer","config":{"batch_shape":[null,4]}},
      {"class_name":"TimeDistributed","config":{"layer":{"class_name":"Dense","config":{"units":4,"input_dim":4}}}}]}},
      {"class_name":"Dense","config":{"output_dim":4,"input_dim":4}}]}}
      """#.replacing("\n", with: "")
    let configuration = try KerasConfiguration(text: Array(text.utf8), version: "3")
    // Nodes 1 and 2 carry the first layer's outputs, node 3 those of the nested one.
    let rewritten = ReducedConfiguration(
      configuration,
      applications: [
        .init(layer: 1, inputs: [0], outputs: [1]), .init(layer: 2, inputs: [1], outputs: [2]),
        .init(layer: 4, inputs: [2], outputs: [2]), .init(layer: 5, inputs: [2], outputs: [3]),
        .init(layer: 3, inputs: [2], outputs: [3]), .init(layer: 7, inputs: [3], outputs: [4]),
      ],
      widths: [1: .init(before: 4, after: 3), 2: .init(before: 4, after: 3), 3: .init(before: 4, after: 2)]
    ).rewriting(try JSONValue.parse(Array(text.utf8)))
    let expected = #"""
      {"class_name":"Sequential","config":{"name":"s","layers":[
      {"class_name":"Dense","config":{"units":3,"batch_input_shape":[null,4],"x":1e-3},
      "build_config":{"input_shape":[null,4]}},
      {"class_name":"Activation","config":{"activation":"relu"},"build_config":{"shapes":{"a":[3],"b":[null,7,3]}}},
      {"class_name":"Sequential","config":{"build_input_shape":[null,3],"layers":[
      {"class_name":"InputLayer","config":{"batch_shape":[null,3]}},
      {"class_name":"TimeDistributed","config":{"layer":{"class_name":"Dense","config":{"units":2,"input_dim":3}}}}]}},
      {"class_name":"Dense","config":{"output_dim":4,"input_dim":2}}]}}
      """#.replacing("\n", with: "")
    #expect(String(decoding: rewritten.serialized(), as: UTF8.self) == expected)
  }
}
