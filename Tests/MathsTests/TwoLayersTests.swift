// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Parallel
import Random
import Tensors
import Testing

@Suite struct TwoLayersTests {
  /// Functions whose population loss has a formula.
  private static let known: [Activation] =
    [.linear, .relu, .leakyReLU(slope: 0.2), .abs, .erf] + piecewiseConstantActivations

  private func found(_ network: SampleNetwork, precision: ElementType? = nil) throws -> TwoLayerNetwork? {
    try network.function(precision: precision).twoLayers
  }

  @Test(arguments: known) func takesChains(_ activation: Activation) throws {
    for (biased, softmax) in [(true, false), (false, true)] {
      let network = SampleNetwork.chain([3, 5, 2], activation, biased: biased, softmax: softmax, seed: 91)
      let two = try #require(try found(network))
      #expect(two.inputs == 3 && two.units == 5 && two.outputs == 2 && two.activation == activation)
      #expect(two.incoming == network.matrices["w1"]!.flatMap { $0 })
      #expect(two.outgoing == network.matrices["w2"]!.flatMap { $0 })
      #expect(two.biases == network.vectors["b1"] ?? [0, 0, 0, 0, 0])
      #expect(two.offsets == network.vectors["b2"] ?? [0, 0])
      #expect(try found(network, precision: .float16) == nil)
      if case .piecewiseConstant(_, let thresholds) = activation {
        #expect(two.cornerCount == 5 * thresholds.count)
      } else {
        #expect(two.cornerCount == 5)
      }
    }
  }

  /// Dropout anywhere, a linear activation at the end, and making flat what is flat or an input.
  @Test func takesWhatChangesNothing() throws {
    var network = SampleNetwork(seed: 92)
    var last = network.add(.dropout(rate: 0.1), network.add(.flatten, network.input(2, 3)))
    last = network.add(.dropout(rate: 0.2), network.dense(last, 6, 4, "w1", bias: "b1"))
    last = network.add(.flatten, network.activation(.relu, last))
    last = network.add(.dropout(rate: 0.3), network.dense(last, 4, 2, "w2"))
    network.outputs = [network.activation(.softmax, network.activation(.linear, last))]
    let two = try #require(try found(network))
    #expect(two.inputs == 6 && two.units == 4 && two.activation == .relu)

    // And so are linear activations anywhere, and what comes after a softmax.
    network = SampleNetwork(seed: 92)
    last = network.activation(.linear, network.input(3))
    last = network.activation(.linear, network.dense(last, 3, 4, "w1"))
    last = network.activation(.linear, network.add(.dropout(rate: 0.2), network.activation(.abs, last)))
    last = network.activation(.softmax, network.dense(last, 4, 2, "w2"))
    network.outputs = [network.add(.flatten, network.activation(.linear, last))]
    #expect(try #require(try found(network)).activation == .abs)
  }

  @Test func takesPackedMatrices() throws {
    var network = SampleNetwork.chain([3, 2, 2], .relu, seed: 93)
    network.packed["w1"] = .ternary(
      try #require(
        TernaryMatrix(rows: 2, columns: 3, group: .row, codes: [0b00_11_01_00, 0b00_01_00_11], scales: [0.5, 2])))
    network.packed["w2"] = .sparse(
      try #require(
        SparseMatrix(
          rows: 2, columns: 2, type: .float64, mask: [2, 1], values: ElementType.float64.bytes(rounding: [7, -3]))))
    let two = try #require(try found(network))
    #expect(two.incoming == [0, 0.5, -0.5, -2, 0, 2] && two.outgoing == [0, 7, -3, 0])
  }

  @Test func takesNothingElse() throws {
    func expectNone(_ comment: String, _ make: (inout SampleNetwork) -> [Int]) throws {
      var network = SampleNetwork(seed: 94)
      network.outputs = make(&network)
      #expect(try found(network) == nil, "\(comment)")
    }
    #expect(try found(.chain([3, 2], .relu, seed: 1)) == nil)
    #expect(try found(.chain([3, 4, 4, 2], .relu, seed: 1)) == nil)
    #expect(try found(.chain([3, 4, 2], .tanh, seed: 1)) == nil)
    try expectNone("an activation of the outputs") { network in
      let hidden = network.activation(.relu, network.dense(network.input(3), 3, 4, "a"))
      return [network.activation(.relu, network.dense(hidden, 4, 2, "b"))]
    }
    try expectNone("two outputs") { network in
      let hidden = network.activation(.relu, network.dense(network.input(3), 3, 4, "a"))
      return [network.dense(hidden, 4, 2, "b"), hidden]
    }
    try expectNone("an activation of the input") { network in
      let input = network.activation(.abs, network.input(3))
      return [network.dense(network.activation(.relu, network.dense(input, 3, 4, "a")), 4, 2, "b")]
    }
    try expectNone("a normalization") { network in
      let sums = network.batchNormalization(network.dense(network.input(3), 3, 4, "a"), 4, "n")
      return [network.dense(network.activation(.relu, sums), 4, 2, "b")]
    }
    try expectNone("a way past the hidden layer") { network in
      let input = network.input(3)
      let hidden = network.activation(.relu, network.dense(input, 3, 3, "a"))
      return [network.dense(network.add(.combine(.add), hidden, input), 3, 2, "b")]
    }
    // The same layer for each of two positions.
    try expectNone("positions") { network in
      let hidden = network.activation(.relu, network.dense(network.input(2, 3), 3, 4, "a"))
      return [network.dense(network.add(.flatten, hidden), 8, 2, "b")]
    }
    try expectNone("positions to the end") { network in
      let hidden = network.activation(.relu, network.dense(network.input(2, 3), 3, 4, "a"))
      return [network.add(.flatten, network.dense(hidden, 4, 2, "b"))]
    }
    // Its inputs are more than those of the chain.
    try expectNone("an input that leads nowhere") { network in
      _ = network.input(2)
      let hidden = network.activation(.relu, network.dense(network.input(3), 3, 4, "a"))
      return [network.dense(hidden, 4, 2, "b")]
    }
    var infinite = SampleNetwork.chain([3, 4, 2], .relu, seed: 1)
    infinite.vectors["b1"]![2] = .infinity
    #expect(try found(infinite) == nil)
  }

  /// Weights whose products are in the range of a double, and larger ones.
  @Test func largeWeights() throws {
    for (weight, isTaken) in [(1e69, true), (1e71, false), (1e100, false)] {
      for name in ["w1", "w2"] as [TensorName] {
        var network = SampleNetwork.chain([3, 4, 2], .relu, seed: 97)
        network.matrices[name]![0][0] = -weight
        #expect((try found(network) != nil) == isTaken, "\(weight) in \(name)")
      }
    }
    var large = SampleNetwork.chain([3, 4, 2], .relu, seed: 97)
    for name in ["w1", "w2"] as [TensorName] {
      large.matrices[name] = large.matrices[name]!.map { $0.map { 1e69 * $0 } }
    }
    for name in ["b1", "b2"] as [TensorName] { large.vectors[name] = large.vectors[name]!.map { 1e69 * $0 } }
    let two = try #require(try found(large))
    let loss = try #require(populationLoss(two, two, threads: Threads(1)))
    #expect(loss.squaredNorm > 1e270 && loss.squaredError == 0)
  }

  /// E‖f‖² and E‖f − g‖² against means over random inputs: within four standard errors.
  @Test(arguments: known) func lossIsThatOfTheNetwork(_ activation: Activation) throws {
    var f = SampleNetwork.chain([3, 5, 2], activation, softmax: true, seed: 95)
    let g = SampleNetwork.chain([3, 4, 2], .relu, seed: 96)
    let (first, second) = (try #require(try found(f)), try #require(try found(g)))
    let exact = try #require(populationLoss(first, second, threads: Threads(2)))
    let samples = f.random.points(4000, 3)
    let (x, y) = (try f.function().outputs(samples).logits, try g.function().outputs(samples).logits)
    func squares(_ number: (Int) -> Double) -> [Double] {
      samples.indices.map { sample in (0..<2).reduce(0) { $0 + number(2 * sample + $1) * number(2 * sample + $1) } }
    }
    for (squares, exact) in [(squares { x[$0] }, exact.squaredNorm), (squares { x[$0] - y[$0] }, exact.squaredError)] {
      let (mean, deviation) = meanAndDeviation(squares)
      #expect(abs(mean - exact) <= 4 * deviation / sqrt(Double(samples.count)), "\(mean), expected \(exact)")
    }
  }
}
