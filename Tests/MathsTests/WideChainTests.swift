// SPDX-License-Identifier: Apache-2.0

import Maths
import Parallel
import Random
import Tensors
import Testing

private let threads = Threads(2)

@Suite struct WideChainTests {
  /// A chain of operations on inputs of so many numbers; `d10` is a dense layer of ten units.
  private func chain(
    positions: Int = 1, inputs: Int, _ operations: [Network.Operation], widths: [Int], seed: UInt64 = 1
  ) throws
    -> WideChain
  {
    var random = SplitMix64(seed: seed)
    var nodes = [Network.Node(.input(shape: [positions, inputs]), inputs: [])]
    for operation in operations { nodes.append(Network.Node(operation, inputs: [nodes.count - 1])) }
    let sizes = [inputs] + widths
    let network = Network(nodes: nodes, outputs: [nodes.count - 1])
    return try WideChain(
      NetworkFunction(network) { name in
        let layer = try #require(Int(name.text))
        let elements = random.matrix(sizes[layer + 1], sizes[layer]).map { 3 * $0 }
        return .dense(elements, rows: sizes[layer + 1], columns: sizes[layer])
      } vector: { name in
        [Double](repeating: 0.5, count: sizes[try #require(Int(name.text)) + 1])
      })
  }

  private func dense(_ layer: Int, biased: Bool = false) -> Network.Operation {
    .dense(kernel: TensorName("\(layer)"), bias: biased ? TensorName("\(layer)") : nil)
  }

  private func error(_ operations: [Network.Operation], widths: [Int]) throws -> WideChainError? {
    do {
      _ = try chain(inputs: 4, operations, widths: widths)
      return nil
    } catch let error as WideChainError { return error }
  }

  /// Kernels of a wide random network are near those of infinite width.
  @Test func wideNetworkIsNearTheTheory() throws {
    let chain = try chain(
      inputs: 20, [dense(0), .activation(.relu), .dropout(rate: 0.5), dense(1), .activation(.tanh), dense(2)],
      widths: [600, 600, 20])
    #expect(chain.activations == [.relu, .tanh] && chain.omissions == [] && chain.inputCount == 20)
    #expect(chain.layers.allSatisfy { abs($0.gain - 3 * Double($0.columns).squareRoot()) <= 0.05 * $0.gain })
    var random = SplitMix64(seed: 2)
    let points = random.matrix(5, 20).map { $0 / 20.0.squareRoot() }
    let gram = try SymmetricMatrix(gramOf: points, width: 20, threads: threads)
    let network = try WideNetwork(chain.activations, deviation: (gram.trace / 5).squareRoot())
    let exact = try WideKernels(.exact, of: network, gram: gram, withTangent: true, threads: threads)
    let own = try chain.kernels(network, of: points, threads: threads)
    func distance(_ a: SymmetricMatrix, _ b: SymmetricMatrix) throws -> Double {
      try #require(KernelDistance(a, b, withSpectra: false, threads: threads).relativeSpectralNorm)
    }
    // Noise of the order of √(n/d) in each layer.
    let distances = try [
      distance(exact.conjugate, own.conjugate), distance(#require(exact.tangent), #require(own.tangent)),
    ]
    #expect(distances.allSatisfy { $0 <= 0.2 }, "\(distances)")
  }

  /// f = w·relu(Wx)/√d by hand, biases and scales left out: one unit, whose weight has the root mean square 1.
  @Test func oneUnit() throws {
    let chain = try chain(
      inputs: 1,
      [
        .rescaling(scale: [0.1], offset: [-7]), dense(0, biased: true), .activation(.abs),
        .rescaling(scale: [4], offset: [1]), dense(1, biased: true), .activation(.softmax),
      ], widths: [1, 1])
    #expect(chain.omissions == ["rescalings", "biases", "the last activation"])
    let network = try WideNetwork(chain.activations, deviation: 1)
    let (conjugate, tangent) = try chain.kernels(network, of: [2, -3], threads: threads)
    let mean = network.layers[0].moments.mean
    let features = [2 - mean, 3 - mean]
    for i in 0..<2 {
      for j in 0..<2 {
        let expected = features[i] * features[j]
        #expect(abs(conjugate.elements[2 * i + j] - expected) <= 1e-14)
        // σ′(±1·x)σ′ xx′ = |x||x′|
        let slopes = Double([2, 3][i] * [2, 3][j])
        #expect(try abs(#require(tangent).elements[2 * i + j] - (expected + slopes)) <= 1e-13)
      }
    }
  }

  @Test func unfitNetworks() throws {
    #expect(try error([dense(0), .activation(.softmax)], widths: [3]) == .layers(1))
    #expect(try error([.activation(.relu)], widths: []) == .operation("an activation before the first layer"))
    #expect(try error([dense(0), .activation(.softmax), dense(1)], widths: [3, 2]) == .softmax)
    #expect(
      try error([dense(0), .layerNormalization(gamma: nil, beta: nil, epsilon: 0.1), dense(1)], widths: [3, 2])
        == .operation("layer_normalization"))
    #expect(
      try error([dense(0), .activation(.relu), .activation(.tanh), dense(1)], widths: [3, 2])
        == .operation("two activations behind one layer"))
    #expect(try error([dense(0), dense(1)], widths: [3, 2]) == nil)
    #expect(throws: WideChainError.positions(3)) {
      try chain(positions: 3, inputs: 4, [dense(0), .activation(.relu), dense(1)], widths: [3, 2])
    }
  }
}
