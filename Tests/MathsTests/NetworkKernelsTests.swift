// SPDX-License-Identifier: Apache-2.0

import Maths
import Parallel
import Random
import Tensors
import Testing

@Suite struct NetworkKernelsTests {
  /// What differences promise with a margin: `SampleNetwork.derivatives` are right to about 1e-12 for derivatives up to
  /// the fifth of a few units, but those of a normalization with a small variance are a thousand times as large.
  private static let tolerance = 1e-8

  private func kernels(
    _ network: SampleNetwork, _ points: [[Double]], output: TangentOutput = .sum, threads: Int = 2
  ) throws -> NetworkKernels {
    NetworkKernels(
      of: try network.function(), points: points.count, output: output, threads: Threads(threads), fill: filler(points))
  }

  private func expectDerivatives(_ network: SampleNetwork, points count: Int = 5, _ comment: String) throws {
    var network = network
    let points = network.random.points(count, network.inputCount)
    let found = try #require(try kernels(network, points).tangent, "\(comment)")
    let derivatives = network.derivatives(points)
    let difference = relativeDifference(found.elements, tangentKernel(derivatives, points: count))
    #expect(difference <= Self.tolerance, "\(comment): \(difference)")
    let logits = network.expected([points[0]]).logits.count
    for output in Set([0, logits / 2, logits - 1]) {
      let found = try #require(try kernels(network, points, output: .one(output)).tangent)
      let expected = tangentKernel(derivatives, points: count, output: output)
      let difference = relativeDifference(found.elements, expected)
      #expect(difference <= Self.tolerance, "\(comment), output \(output): \(difference)")
    }
  }

  /// Seeds for which no value comes near a corner.
  @Test(arguments: differentiableActivations) func tangentOfEveryActivation(_ activation: Activation) throws {
    for biased in [true, false] {
      try expectDerivatives(.chain([3, 4, 3, 2], activation, biased: biased, seed: 62), "biased: \(biased)")
    }
  }

  @Test(arguments: NetworkSamples.all.indices) func tangentOfEveryOperation(_ index: Int) throws {
    try expectDerivatives(NetworkSamples.all[index].network, NetworkSamples.all[index].name)
  }

  /// A softmax that comes last is left out; what comes before it is not.
  @Test func logitsOfSoftmax() throws {
    let network = SampleNetwork.chain([3, 4, 3], .tanh, softmax: true, seed: 63)
    try expectDerivatives(network, "softmax last")
    var bare = network
    bare.outputs = network.logitNodes
    let points = bare.random.points(6, 3)
    let (found, expected) = (try kernels(network, points), try kernels(bare, points))
    #expect(found.tangent == expected.tangent)
    try expectDerivatives(.chain([3, 4], .tanh, softmax: true, seed: 64), "one layer")
  }

  /// A bias that is an offset or a factor elsewhere: its derivatives add up before they are multiplied.
  @Test(arguments: [true, false]) func biasUsedElsewhere(_ isOffset: Bool) throws {
    var network = SampleNetwork(seed: 68)
    let sums = network.dense(network.input(3), 3, 4, "a", bias: "b")
    let normal = network.layerNormalization(sums, 4, gamma: isOffset ? nil : "b", beta: isOffset ? "b" : nil)
    network.outputs = [network.dense(network.activation(.tanh, normal), 4, 2, "c", bias: "d")]
    try expectDerivatives(network, isOffset ? "offset" : "factor")
  }

  /// Jumps before all weights do not matter.
  @Test func jumpsBeforeWeights() throws {
    var network = SampleNetwork(seed: 65)
    let x = network.activation(.sign, network.input(3))
    network.outputs = [network.dense(network.activation(.tanh, network.dense(x, 3, 4, "a", bias: "b")), 4, 2, "c")]
    try expectDerivatives(network, "sign of the input")
    var jumping = SampleNetwork.chain([3, 4, 2], .step, seed: 65)
    let points = jumping.random.points(6, 3)
    let found = try kernels(jumping, points)
    #expect(found.tangent == nil)
    #expect(found.conjugate.count == 6)
  }

  /// HᵀH, H the values that the last dense layer takes.
  @Test(arguments: NetworkSamples.all.indices) func conjugate(_ index: Int) throws {
    var (name, network) = NetworkSamples.all[index]
    let points = network.random.points(6, network.inputCount)
    let last = network.nodes.lastIndex { if case .dense = $0.operation { true } else { false } }
    let node = last.map { network.nodes[$0].inputs[0] } ?? network.logitNodes[0]
    let values = points.map { network.evaluate($0)[node].flatMap { $0 } }
    let expected = values.flatMap { a in values.map { b in zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } } }
    #expect(relativeDifference(try kernels(network, points).conjugate.elements, expected) <= 1e-12, "\(name)")
  }

  /// More points than a tile and a block of samples have, and not a multiple of them.
  @Test func manyPoints() throws {
    var network = SampleNetwork.chain([2, 2, 1], .tanh, seed: 66)
    let points = network.random.points(300, 2)
    let found = try kernels(network, points)
    let tangent = try #require(found.tangent)
    // About the ends of tiles.
    let some = [0, 1, 128, 254, 255, 256, 257, 298, 299]
    let part = some.flatMap { i in some.map { tangent.elements[300 * i + $0] } }
    let expected = tangentKernel(network.derivatives(some.map { points[$0] }), points: some.count)
    #expect(relativeDifference(part, expected) <= Self.tolerance)
    for threads in [1, 5] {
      let other = try kernels(network, points, threads: threads)
      #expect(other.tangent == found.tangent && other.conjugate == found.conjugate)
    }
    for matrix in [found.conjugate, tangent] {
      let columns = (0..<300).map { column in (0..<300).map { row in matrix.elements[300 * row + column] } }
      #expect(matrix.elements == columns.flatMap { $0 })
    }
  }

  /// All outputs at once, or one after the other: sums in another order.
  @Test(arguments: NetworkSamples.all.indices) func memoryDoesNotMatter(_ index: Int) throws {
    var (name, network) = NetworkSamples.all[index]
    let points = network.random.points(6, network.inputCount)
    let function = try network.function()
    func tangent(memory: Int) -> [Double] {
      let kernels = NetworkKernels(
        of: function, points: 6, threads: Threads(2), memory: memory, fill: filler(points))
      return kernels.tangent?.elements ?? []
    }
    let all = tangent(memory: 1 << 28)
    let numbers = 6 * (0..<network.nodes.count).reduce(0) { $0 + network.evaluate(points[0])[$1].joined().count }
    for memory in [1, 8 * numbers, 16 * numbers, 24 * numbers] {
      #expect(relativeDifference(tangent(memory: memory), all) <= 1e-13, "\(name)")
    }
  }

  /// The operations that the tangent kernel takes, from its formula: all pairs of the places where a matrix is applied.
  @Test(arguments: [true, false]) func limitOfOperations(_ isSum: Bool) throws {
    var network = SampleNetwork(seed: 69)
    // Forty places, and twenty more; then one.
    let (x, y) = (network.input(40, 16), network.input(20, 16))
    for name in ["a", "b"] as [TensorName] { network.matrices[name] = [] }
    network.packed["a"] = .dense([Double](repeating: 0, count: 16 * 16), rows: 16, columns: 16)
    network.packed["b"] = .dense([Double](repeating: 0, count: 5 * 960), rows: 5, columns: 960)
    let (a, b) = (network.dense(x, 16, 16, "a"), network.dense(y, 16, 16, "a"))
    let flat = network.add(.concatenate, network.add(.flatten, a), network.add(.flatten, b))
    network.outputs = [network.dense(flat, 960, 5, "b")]
    let function = try network.function()
    let outputs = isSum ? 5.0 : 1
    func operations(_ points: Double) -> Double {
      let pairs = 60 * 60 * (16 + outputs * 16) + (960 + outputs * 5)
      return points * (points * pairs + 2 * outputs * (60 * 16 * 16 + 5 * 960))
    }
    let most = try #require((1...).first { operations(Double($0)) > 1e13 }) - 1
    #expect(1_000...100_000 ~= most)
    let output = isSum ? TangentOutput.sum : .one(3)
    #expect(function.tangentObstacle(points: most, output: output) == nil)
    #expect(function.tangentObstacle(points: most + 1, output: output) == .work)
  }

  @Test(arguments: [0, 1, 2]) func fewPoints(_ count: Int) throws {
    var network = SampleNetwork.chain([3, 4, 2], .tanh, seed: 67)
    let points = network.random.points(count, 3)
    let found = try kernels(network, points)
    #expect(found.conjugate.count == count)
    let expected = tangentKernel(network.derivatives(points), points: count)
    #expect(relativeDifference(try #require(found.tangent).elements, expected) <= Self.tolerance)
  }

  @Test func noWeights() throws {
    var network = NetworkSamples.noWeights
    let found = try kernels(network, network.random.points(5, 4))
    #expect(try #require(found.tangent).elements.allSatisfy { $0 == 0 })
  }
}
