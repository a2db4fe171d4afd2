// SPDX-License-Identifier: Apache-2.0

import Compression
import JSON
import NCZ
import Parallel
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks
@testable import Transforms

/// A `.ncz` file that is written again, with the values of some tensors changed or none.
@Suite("Rewriting")
struct RewritingTests {
  private static let network = Network(
    nodes: [
      .init(.input(shape: [2]), inputs: []), .init(.dense(kernel: "a/kernel", bias: "a/bias"), inputs: [0]),
    ], outputs: [1])

  /// Without a container: of the two tensors `a/bias` is the first.
  private static let source: OpenFile = try! {
    let result = try OpenFile()
    let tensors: [(name: String, dimensions: [Int], values: [Float])] = [
      ("a/bias", [3], [1, 2, 3]), ("a/kernel", [2, 3], [0.5, 1, 1.5, 2, 2.5, 3]),
    ]
    _ = try withNetwork(plainNetwork(network, tensors)) { file in
      try result.with { output, _ in
        try file.write(to: output, WritingOptions(hasContainer: false)) { try $1(nil) }
      }
    }
    return result
  }()

  private static let step = Step(tool: "nc-test", version: "3", options: "--change")

  /// The file, written again with other values for these tensors.
  private func written(
    _ file: OpenFile, _ options: WritingOptions = .init(), changing names: Set<TensorName> = [], by step: Step = step
  ) throws -> OpenFile {
    let result = try OpenFile()
    try withNetwork(file) { file in
      _ = try result.with { output, _ in
        try file.write(to: output, options) { index, put in
          let tensor = file.tensors[index]
          guard names.contains(tensor.name) else { return try put(nil) }
          var values = try file.values(of: index)
          values[2] ^= 1
          let entry = HistoryEntry(step, from: tensor.digest, error: 0.123456789123)
          return try put(Change(values: .weights(.dense(values)), entry: entry))
        }
      }
    }
    return result
  }

  /// The directory without `payloads` and `mapped`.
  private func directory(_ file: OpenFile) throws -> JSONValue {
    try file.with { try Reader($0, size: $1, codec: .zstd).content }
  }

  private func index(of name: TensorName, in file: OpenFile) throws -> Substring {
    let index = try withNetwork(file) { $0.tensors.firstIndex { $0.name == name } }
    return Substring("\(try #require(index))")
  }

  private func digest(of name: TensorName, in file: OpenFile) throws -> Digest? {
    try withNetwork(file) { $0.tensors.first { $0.name == name }?.digest }
  }

  /// With the content digest that the directory asks for.
  private func sealed(_ directory: JSONValue, payloadCount: Int = 2) throws -> JSONValue {
    let digest = try Directory(directory, payloadCount: payloadCount).contentDigest()
    return directory.setting(["digest"], to: .string("\(digest)"))
  }

  private func expectSound(_ file: OpenFile, sourceLocation: SourceLocation = #_sourceLocation) throws {
    try withNetwork(file) { network in
      guard case .ncz(let source) = network.source else { return }
      #expect(source.directory.contentDigest() == source.directory.digest, sourceLocation: sourceLocation)
      for (index, tensor) in network.tensors.enumerated() where tensor.unsupported == nil {
        try network.forEachPiece(of: index, checkingDigest: true) { _ in }
      }
    }
  }

  @Test func nothingChangedIsTheSameFile() throws {
    #expect(try written(Self.source).bytes == Self.source.bytes)
  }

  // MARK: Keys that may be ignored

  /// `x-` stays; `d-` stays where nothing changed, and goes where values did: of the tensor, and of the file.
  @Test func derivedKeysGoWithTheValues() throws {
    let (bias, kernel) = (try index(of: "a/bias", in: Self.source), try index(of: "a/kernel", in: Self.source))
    let objects: [[Substring]] = [
      [], ["network"], ["network", "nodes", "1"], ["steps", "0"], ["tensors", bias], ["tensors", kernel],
      ["tensors", kernel, "history", "0"],
    ]
    let first = try written(Self.source, changing: ["a/kernel"])
    let marked = try rewritten(first) { directory in
      var directory = directory
      for object in objects {
        for key in ["x-a", "d-a"] as [Substring] { directory = directory.setting(object + [key], to: .array([.null])) }
      }
      return try sealed(directory)
    }
    try expectSound(marked)
    #expect(try written(marked).bytes == marked.bytes)

    let changed = try written(marked, changing: ["a/bias"])
    try expectSound(changed)
    let found = try directory(changed)
    for object in objects {
      #expect(found.at(object + ["x-a"]) == .array([.null]), "\(object)")
      let isChanged = object.isEmpty || object == ["tensors", bias]
      #expect((found.at(object + ["d-a"]) == nil) == isChanged, "\(object)")
    }
  }

  // MARK: What is unknown

  /// It is kept as it is spelled, also where something else changes.
  @Test func whatIsUnknownIsKept() throws {
    let kernel = try index(of: "a/kernel", in: Self.source)
    let later = JSONValue.object([.init("b", .number("1e-07")), .init("é", .array([.null]))])
    let paths: [[Substring]] = [
      ["later"], ["network", "later"], ["network", "nodes", "1", "later"], ["tensors", kernel, "later"],
      ["tensors", kernel, "history", "0", "later"], ["steps", "0", "later"], ["tensors", kernel, "parameters"],
    ]
    let first = try written(Self.source, changing: ["a/kernel"])
    let file = try rewritten(first) { directory in
      var directory = paths.reduce(directory) { $0.setting($1, to: later) }
      for (key, value) in [("encoding", JSONValue.integer(63)), ("type", .string("float8")), ("role", .string("hat"))] {
        directory = directory.setting(["tensors", kernel, Substring(key)], to: value)
      }
      return try sealed(directory)
    }
    #expect(try written(file).bytes == file.bytes)
    let changed = try written(file, changing: ["a/bias"])
    try expectSound(changed)
    let (before, after) = (try directory(file), try directory(changed))
    #expect(after["network"] == before["network"] && after["later"] == later)
    #expect(after.at(["tensors", kernel]) == before.at(["tensors", kernel]))
    #expect(after.at(["steps", "0"]) == before.at(["steps", "0"]))
    #expect(after["steps"]?.array?.count == 2, "another run is another step")
  }

  /// Where arrays lie in planes or not depends on what is not known.
  @Test func whatIsUnknownIsMappedOrNotAsItWas() throws {
    let kernel = try index(of: "a/kernel", in: Self.source)
    for (mapped, other) in [(false, true), (true, false)] {
      let own = WritingOptions(isMapped: mapped, hasContainer: false)
      let file = try rewritten(written(Self.source, own)) {
        try sealed($0.setting(["tensors", kernel, "encoding"], to: .integer(63)))
      }
      #expect(try written(file, own).bytes == file.bytes)
      let error = #expect(throws: NetworkError.self) {
        try written(file, WritingOptions(isMapped: other, hasContainer: false))
      }
      #expect(error?.verdict == .unsupported && error?.message.contains("a/kernel") == true)
    }
  }

  // MARK: Steps

  /// What one run did is one step, however many tensors it changed; the steps before keep their numbers.
  @Test func stepsAreNumberedInOrder() throws {
    let second = Step(tool: "nc-test", version: "3", options: "--other", removed: ["z"])
    let once = try written(Self.source, changing: ["a/bias", "a/kernel"])
    let twice = try written(once, changing: ["a/kernel"], by: second)
    let again = try written(twice, changing: ["a/bias"], by: second)
    try withNetwork(again) { file in
      #expect(file.steps == [Self.step, second, second])
      let histories = Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.name, $0.history) })
      let bias = try #require(histories["a/bias"])
      let kernel = try #require(histories["a/kernel"])
      #expect(bias.map(\.stepNumber) == [0, 2])
      #expect(kernel.map(\.stepNumber) == [0, 1])
      // Each began where the one before had ended, and recorded nine digits.
      #expect(try bias.map(\.from) == [digest(of: "a/bias", in: Self.source), digest(of: "a/bias", in: twice)])
      #expect(try kernel.map(\.from) == [digest(of: "a/kernel", in: Self.source), digest(of: "a/kernel", in: once)])
      #expect(file.tensors.flatMap(\.history).allSatisfy { $0.error == 0.123456789 })
    }
    try expectSound(again)
  }

  // MARK: Axes

  /// Values of a matrix in every order of three axes, against a permutation of our own.
  @Test(arguments: [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]], 0...3)
  func matricesHaveTheOrderOfTheirAxes(order: [Int], outputs: Int) throws {
    let shape = [2, 3, 4]
    let axes = try #require(MatrixAxes(order: order, outputs: outputs))
    let (rows, columns) = axes.dimensions(of: try #require(Shape(shape)))
    // A ternary matrix with a scale of its own for each row, packed as one of rank 2.
    let flat = Network(
      nodes: [.init(.input(shape: [columns]), inputs: []), .init(.dense(kernel: "a/weight", bias: nil), inputs: [0])],
      outputs: [1])
    let trits: [Float] = (0..<24).map { Float(($0 * 7 + $0 / 5) % 3 - 1) }
    let matrix = (0..<24).map { trits[$0] * Float($0 / columns + 1) }
    let packed = try OpenFile()
    try withNetwork(plainNetwork(flat, [("a/weight", [rows, columns], matrix)])) { file in
      _ = try packed.with { output, _ in
        try file.apply(
          .ternarize(.row, .optimal), to: output,
          CompressingOptions(
            selection: Selection(only: ["a/weight"]), dropsOptimizer: false,
            writing: WritingOptions(hasContainer: false),
            tool: "nc-ternarize", version: "0"))
      }
    }
    let stored = try withNetwork(packed) { file in
      #expect(!file.tensors[0].encoding.isRaw, "what is raw has no axes")
      return ElementType.float32.numbers(try file.values(of: 0))
    }
    let standard = MatrixAxes.standard(rank: 3)
    let turned = try rewritten(packed) { directory in
      let tensor: [Substring] = ["tensors", "0"]
      return directory.setting(["network"], to: nil).setting(["steps"], to: nil)
        .setting(tensor + ["history"], to: nil).setting(tensor + ["shape"], to: .array(shape.map(JSONValue.integer)))
        .setting(tensor + ["axes"], to: order == standard.order ? nil : .array(order.map(JSONValue.integer)))
        .setting(tensor + ["outputs"], to: outputs == standard.outputs ? nil : .integer(outputs))
    }
    var expected = [Double](repeating: .nan, count: 24)
    let permuted = order.map { shape[$0] }
    for (number, value) in stored.enumerated() {
      var (rest, position) = (number, [0, 0, 0])
      for axis in [2, 1, 0] {
        position[order[axis]] = rest % permuted[axis]
        rest /= permuted[axis]
      }
      expected[(position[0] * 3 + position[1]) * 4 + position[2]] = value
    }
    try withNetwork(turned) { file in
      #expect(file.tensors[0].axes == axes && file.tensors[0].matrixDimensions == (rows, columns))
      #expect(ElementType.float32.numbers(try file.values(of: 0)) == expected)
      let stream = try ValueStream(file, 0)
      var bytes = [UInt8](repeating: 0, count: 96)
      try bytes.withUnsafeMutableBytes { try stream.read(into: $0) }
      #expect(ElementType.float32.numbers(bytes) == expected)
    }
  }
}
