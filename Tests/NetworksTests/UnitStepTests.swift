// SPDX-License-Identifier: Apache-2.0

import Compression
import HDF5
import Matrices
import Parallel
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks
@testable import Transforms

/// A network in the plain layout, made of numbers.
func plainNetwork(
  _ network: Network, _ tensors: [(name: String, dimensions: [Int], values: [Float])]
) throws -> OpenFile {
  BuiltTools.serveHDF5()
  let result = try OpenFile()
  try result.with { file, _ in
    var new = try NewFile(file, limits: Limits(memory: 1 << 30, seconds: 10))
    try new.addGroup([], texts: [.init("format", PlainFormat.name)] + PlainFormat.texts(of: network))
    var groups: Set<String> = []
    for (name, dimensions, values) in tensors {
      let path = LinkName.path(TensorName(name))
      if groups.insert(path[0].description).inserted { try new.addGroup([path[0]]) }
      let role: TensorRole = dimensions.count == 2 ? .kernel : .bias
      let place = try new.addDataset(
        path, type: .float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: false),
        dimensions: dimensions.map(UInt64.init), texts: [.init("role", role.rawValue)])
      if let place {
        _ = try file.writeAll(toAbsoluteOffset: Int64(place.offset), values.withUnsafeBytes { Array($0) })
      }
    }
    try new.close()
  }
  return result
}

extension NetworkFile {
  /// The tensors that pruning changes.
  fileprivate func changes(_ pruning: UnitPruning) throws -> [Int: [UInt8]] {
    var changes: [Int: [UInt8]] = [:]
    for index in pruning.changedTensors {
      changes[index] = try withValues(of: index) { pruned(index, $0, by: pruning)?.bytes(tensors[index].type) }
    }
    return changes
  }

  fileprivate func index(_ name: TensorName) throws -> Int { try #require(tensors.firstIndex { $0.name == name }) }

  fileprivate func withMatrix<Result>(
    _ index: Int, _ changes: [Int: [UInt8]], _ body: (StoredMatrix) throws -> Result
  ) throws -> Result {
    let (tensor, bytes) = (tensors[index], try #require(changes[index]))
    return try bytes.withUnsafeBytes { bytes in
      try body(
        StoredMatrix(
          bytes, type: tensor.type, rows: tensor.shape.dimensions[0], columns: tensor.shape.dimensions[1],
          transposed: tensor.isTransposed))
    }
  }

  /// The tensors where the incoming weights of removed units are zero, and nothing else.
  fileprivate func zeroed(_ pruning: UnitPruning) throws -> [Int: [UInt8]] {
    var zeroed: [Int: [UInt8]] = [:]
    for layer in pruning.layers {
      let index = try index(layer.kernel)
      zeroed[index] = try withMatrix(index) { matrix in
        NewValues.masked(
          matrix.removing(
            outputs: layer.kept.map { !$0 }, inputs: [Bool](repeating: false, count: matrix.inputs),
            threads: Threads(2))
        ).bytes(tensors[index].type)
      }
    }
    return zeroed
  }
}

extension NewValues {
  /// The values that they restore to.
  fileprivate func bytes(_ type: ElementType) -> [UInt8] {
    var bytes: [UInt8] = []
    forEachPiece(type: type, threads: Threads(2)) { bytes += $0 }
    return bytes
  }
}

@Suite("Pruning units of networks")
struct UnitPruningTests {
  private static let fixtures = [
    "digits_relu.h5", "digits_relu.keras", "digits_branch.h5", "digits_relu.float64.h5", "digits.big_endian.h5",
    "digits.f16_gzip_shuffle_fletcher.h5", "fashion_300_100.h5", "torch_digits.flat.h5",
  ].map { Fixtures.folder.appending("networks/\($0)") }

  /// The network computes what it computes with the incoming weights of the removed units alone at zero. Biases are
  /// rounded to their type once: half a unit in the last place of a sum, of which a dense layer passes on little.
  @Test(arguments: fixtures) func foldingIsExact(path: FilePath) throws {
    try withNetwork(OpenFile(path)) { file in
      let keep = try #require(Fraction(".5"))
      let pruning = try file.planUnitPruning(.keep(keep), includes: { _ in true })
      #expect(!pruning.layers.isEmpty)
      let before = try ForwardPass(file)
      let zeroed = try ForwardPass(file, replacing: file.zeroed(pruning))
      let changes = try file.changes(pruning)
      let folded = try ForwardPass(file, replacing: changes)
      let isHalf = file.tensors.contains { $0.role == .bias && $0.type == .float16 }
      #expect(folded.difference(from: zeroed) <= (isHalf ? 0x1p-10 : 1e-5))
      #expect(zeroed.difference(from: before) > 1e-3, "the removed nodes count for something")

      for (index, bytes) in changes {
        let tensor = file.tensors[index]
        #expect(bytes.count == tensor.size)
        let numbers = (tensor.type.numbers(try file.values(of: index)), tensor.type.numbers(bytes))
        if tensor.role == .kernel {
          #expect(zip(numbers.0, numbers.1).allSatisfy { $0 == $1 || $1 == 0 }, "what is kept is kept exactly")
        }
      }
      // Nothing is left of a removed unit, on either side.
      for layer in try #require(file.network).hiddenLayers().hidden {
        let kept = try #require(pruning.layers.first { $0.kernel == layer.kernel }).kept
        #expect(kept.count { $0 } == (kept.count + 1) / 2)
        let removed = kept.indices.filter { !kept[$0] }
        let norms = try file.withMatrix(file.index(layer.kernel), changes) { try $0.squaredNorms(threads: Threads(1)) }
        #expect(removed.allSatisfy { norms[$0] == 0 })
        let bias = try file.index(try #require(layer.bias))
        let biases = file.tensors[bias].type.numbers(try changes[bias] ?? file.values(of: bias))
        #expect(removed.allSatisfy { biases[$0] == 0 })
        for consumer in layer.consumers {
          let unused = try file.withMatrix(file.index(consumer.kernel), changes) { matrix in
            matrix.unusedInputs(by: [Bool](repeating: true, count: matrix.outputs), threads: Threads(1))
          }
          #expect(removed.allSatisfy { unused[$0] })
        }
      }
    }
  }

  private static func dense(_ layer: String, _ input: Int, bias: Bool = true) -> Network.Node {
    .init(.dense(kernel: "\(layer)/kernel", bias: bias ? "\(layer)/bias" : nil), inputs: [input])
  }

  /// 2 inputs → a (3 units) → operations → b (2 units) → c (1 output)
  private static func chain(_ between: [Network.Operation], bias: Bool = true) -> Network {
    var nodes = [Network.Node(.input(shape: [2]), inputs: []), dense("a", 0)]
    for operation in between { nodes.append(.init(operation, inputs: [nodes.count - 1])) }
    nodes.append(dense("b", nodes.count - 1, bias: bias))
    nodes.append(dense("c", nodes.count - 1))
    return Network(nodes: nodes, outputs: [nodes.count - 1])
  }

  /// Inputs × outputs. The norms of the units of `a` are 3, 1 and 2; those of `b` are 6 and 3.
  private static let tensors: [(name: String, dimensions: [Int], values: [Float])] = [
    ("a/kernel", [2, 3], [3, 1, 0, 0, 0, 2]), ("a/bias", [3], [0.5, -2, 4]),
    ("b/kernel", [3, 2], [4, 2, 4, 1, 2, 2]), ("b/bias", [2], [1, 10]),
    ("c/kernel", [2, 1], [5, 7]), ("c/bias", [1], [100]),
    ("n/mean", [3], [1, 2, 3]), ("n/variance", [3], [3, 3, 3]), ("n/gamma", [3], [1, 4, 1]),
    ("n/beta", [3], [0, 6, 0]),
    ("n/short", [2], [1, 1]),
  ]

  private func values(_ file: NetworkFile, _ changes: [Int: [UInt8]], _ name: TensorName) throws -> [Double] {
    let index = try file.index(name)
    return ElementType.float32.numbers(try changes[index] ?? file.values(of: index))
  }

  /// Unit 1 of `a` goes, then unit 1 of `b`: what the first contributes to the second is not needed.
  @Test func byHand() throws {
    let network = Self.chain([.activation(.leakyReLU(slope: 0.5))])
    try withNetwork(plainNetwork(network, Self.tensors)) { file in
      #expect(file.network == network)
      let pruning = try file.planUnitPruning(.error(0.5), includes: { _ in true })
      #expect(pruning.notes.isEmpty)
      // 1 of 14 is below a quarter, 5 is not; 9 of 45 is, and 36 is not.
      #expect(
        pruning.layers == [
          .init(kernel: "a/kernel", kept: [true, false, true]), .init(kernel: "b/kernel", kept: [true, false]),
        ])
      let changes = try file.changes(pruning)
      #expect(try values(file, changes, "a/kernel") == [3, 0, 0, 0, 0, 2])
      #expect(try values(file, changes, "a/bias") == [0.5, 0, 4])
      #expect(try values(file, changes, "b/kernel") == [4, 0, 0, 0, 2, 0])
      // 1 + 4 · (−2 · ½), and b's own.
      #expect(try values(file, changes, "b/bias") == [-3, 0])
      #expect(try values(file, changes, "c/kernel") == [5, 0])
      // 100 + 7 · 10: the bias of b as it was.
      #expect(try values(file, changes, "c/bias") == [170])
      #expect(changes.count == 6)
    }
  }

  @Test func normalizationsAreApplied() throws {
    let normalization = Network.Operation.batchNormalization(
      mean: "n/mean", variance: "n/variance", gamma: "n/gamma", beta: "n/beta", epsilon: 1)
    // abs(4 · (−2 − 2)/2 + 6) = 2
    let network = Self.chain([normalization, .dropout(rate: 0.5), .activation(.abs), .flatten])
    try withNetwork(plainNetwork(network, Self.tensors)) { file in
      let pruning = try file.planUnitPruning(.error(0.3), includes: { file.tensors[$0].name == "a/kernel" })
      let changes = try file.changes(pruning)
      #expect(try values(file, changes, "b/bias") == [9, 12])
      #expect(try values(file, changes, "b/kernel") == [4, 2, 0, 0, 2, 2])
      #expect(Set(changes.keys.map { file.tensors[$0].name }) == ["a/kernel", "a/bias", "b/kernel", "b/bias"])
      #expect(
        try ForwardPass(file, replacing: changes).difference(from: ForwardPass(file, replacing: file.zeroed(pruning)))
          <= 0x1p-50)
    }
  }

  @Test func everythingOrNothingIsKept() throws {
    try withNetwork(plainNetwork(Self.chain([.activation(.sigmoid)]), Self.tensors)) { file in
      #expect(try file.planUnitPruning(.keep(.one), includes: { _ in true }).changedTensors.isEmpty)
      let all = try file.planUnitPruning(.keep(.zero), includes: { _ in true })
      let changes = try file.changes(all)
      #expect(try values(file, changes, "c/kernel") == [0, 0])
      #expect(
        try ForwardPass(file, replacing: changes).difference(from: ForwardPass(file, replacing: file.zeroed(all)))
          <= 0x1p-23)
    }
  }

  /// Layers that have to stay as they are, each with the reason, and nothing of them changed.
  @Test(
    arguments: [
      ("a NaN in its weights", [.activation(.relu)], true, ["a/kernel": (4, Float.nan)], "NaN or infinity at [1, 1]"),
      ("an infinity behind it", [.activation(.relu)], true, ["b/kernel": (3, .infinity)], "at [1, 1] of b/kernel"),
      ("a NaN in a bias", [.activation(.relu)], true, ["a/bias": (0, .nan)], "at [0] of a/bias"),
      ("no bias to fold into", [.activation(.sigmoid)], false, [:], "contribute to b/kernel, which has no bias"),
      (
        "a variance of nothing",
        [.batchNormalization(mean: "n/mean", variance: "n/variance", gamma: nil, beta: nil, epsilon: 0)], true,
        ["n/variance": (1, 0)], "what a removed node contributes is infinite"
      ),
      (
        "a vector of another length",
        [.batchNormalization(mean: "n/short", variance: "n/variance", gamma: nil, beta: nil, epsilon: 0)], true, [:],
        "n/short is not one number for each of 3 nodes"
      ),
      (
        "a sum beyond its type", [.activation(.linear)], true, ["b/bias": (0, -3.4e38), "a/bias": (1, -3.4e38)],
        "larger"
      ),
      ("a softmax", [.activation(.softmax)], true, [:], "its outputs reach a softmax"),
    ] as [(String, [Network.Operation], Bool, [String: (Int, Float)], String)])
  func whatHasToStay(
    _ what: String, _ between: [Network.Operation], _ bias: Bool, _ odd: [String: (Int, Float)], _ reason: String
  ) throws {
    let tensors = Self.tensors.map { tensor in
      var values = tensor.values
      if let (index, value) = odd[tensor.name] { values[index] = value }
      return (tensor.name, tensor.dimensions, values)
    }
    try withNetwork(plainNetwork(Self.chain(between, bias: bias), tensors)) { file in
      let pruning = try file.planUnitPruning(.error(0.3), includes: { file.tensors[$0].name == "a/kernel" })
      #expect(pruning.layers.isEmpty && pruning.changedTensors.isEmpty)
      try #require(pruning.notes.count == 1)
      #expect(pruning.notes[0].kernel == "a/kernel" && pruning.notes[0].reason.contains(reason))
      #expect(pruning.notes[0].isNonFinite == reason.contains("at ["))
    }
  }

  /// A unit whose contribution is nothing needs no bias.
  @Test func noBiasIsNeededForNothing() throws {
    try withNetwork(plainNetwork(Self.chain([.activation(.relu)], bias: false), Self.tensors)) { file in
      let pruning = try file.planUnitPruning(.error(0.3), includes: { file.tensors[$0].name == "a/kernel" })
      #expect(pruning.notes.isEmpty)
      #expect(Set(pruning.changedTensors.map { file.tensors[$0].name }) == ["a/kernel", "a/bias", "b/kernel"])
    }
  }

  @Test func whatIsSparedStays() throws {
    try withNetwork(plainNetwork(Self.chain([.activation(.relu)]), Self.tensors)) { file in
      let pruning = try file.planUnitPruning(
        .error(0.5), includes: { file.tensors[$0].role == .kernel }, sparing: { file.tensors[$0].name == "c/bias" })
      #expect(pruning.layers.map(\.kernel) == ["a/kernel"])
      #expect(
        pruning.notes.map(\.text) == ["b/kernel: c/bias would change, which is to stay as it is: carried unchanged"])
    }
  }

  /// Biases inside object headers cannot be other ones.
  @Test func compactBiasesStay() throws {
    try withNetwork(OpenFile(Fixtures.folder.appending("networks/digits.compact_userblock.h5"))) { file in
      let pruning = try file.planUnitPruning(.keep(.zero), includes: { _ in true })
      #expect(pruning.notes.map(\.kernel) == ["fc1/kernel", "fc2/kernel"])
      #expect(pruning.notes.allSatisfy { $0.reason.hasSuffix(" would change, and its storage is compact") })
      #expect(pruning.changedTensors.allSatisfy { file.tensors[$0].isReplaceable })
    }
  }

  @Test func aFileWithoutNetwork() throws {
    try withNetwork(OpenFile(Fixtures.folder.appending("networks/digits.odd_values_and_shapes.h5"))) { file in
      _ = #expect(throws: NetworkError.self) { try file.planUnitPruning(.keep(.zero), includes: { _ in true }) }
    }
  }
}
