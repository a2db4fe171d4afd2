// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Tensors
import Testing

@Suite struct WideNetworkTests {
  /// The paper's tables 1 and 2 (α₁, α₂, α₃, τ of three equal layers), with two rows put right.
  @Test(
    arguments: [
      (.relu, [0.0156, 0.0105, 0.0112, 0.1994], [0.0156, 0.0092, 0.0099, 0.2128]),
      (.step, [0.0642, 0, 0, 0.5], [0.0564, 0, 0, 0.5]), (.sigmoid, [0.0002, 0, 0, 0.0129], [0.0002, 0, 0, 0.0135]),
      (.sin, [0.1779, 0, 0, 0.4689], [0.1512, 0, 0, 0.4729]), (.erf, [0.2166, 0, 0, 0.5053], [0.1912, 0, 0, 0.5100]),
      (.cos, [0, 0.0003, 0, 0.0116], [0, 0.0003, 0, 0.0150]), (.abs, [0, 0.0209, 0, 0.2195], [0, 0.0184, 0, 0.2342]),
      (.linear, [1, 0, 0, 1.0021], [1, 0, 0, 1.0693]), (.sign, [0.2569, 0, 0, 1], [0.2257, 0, 0, 1]),
      (.leakyReLU(slope: 0.1), [0.0277, 0.0111, 0.0144, 0.2311], [0.0277, 0.0098, 0.0126, 0.2466]),
      (.leakyReLU(slope: -0.1), [0.0083, 0.0097, 0.0081, 0.1750], [0.0083, 0.0085, 0.0071, 0.1867]),
    ] as [(Activation, [Double], [Double])])
  func coefficientsOfThreeLayers(_ activation: Activation, _ first: [Double], _ second: [Double]) throws {
    for (tau, expected) in [(1.0021, first), (1.0693, second)] {
      let c = try WideNetwork([activation, activation, activation], deviation: tau).coefficients
      let found = [c.alpha[0], c.alpha[1], c.alpha[2], c.variance.squareRoot()]
      #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= 5.01e-5 }, "\(activation) at \(tau): \(found)")
    }
  }

  @Test func tangentCoefficients() throws {
    let c = try WideNetwork([.relu, .relu, .relu], deviation: 1.2.squareRoot()).coefficients
    let found = [c.beta[0], c.beta[1], c.beta[2], c.kappaSquared, c.alpha[3], c.variance]
    #expect(zip(found, [0.0625, 0.01572, 0.05457, 0.36948, 0.0396, 0.04752]).allSatisfy { abs($0 - $1) <= 5.01e-6 })
    #expect(try WideNetwork([.relu, .step], deviation: 1).coefficients.kappaSquared == .infinity)
  }

  /// The linear network: every kernel is a multiple of XᵀX.
  @Test func linearNetwork() throws {
    let c = try WideNetwork([Activation](repeating: .linear, count: 5), deviation: 0.7).coefficients
    #expect(c.alpha == SIMD4(1, 0, 0, 1) && c.beta == SIMD3(6, 0, 0))
    #expect(abs(c.kappaSquared - 6 * 0.49) <= 1e-14)
  }

  /// A matched network has the same α and β: the kernels are equal but for a multiple of the identity.
  @Test(
    arguments: [
      [.relu, .relu, .relu], [.erf, .erf, .erf], [.tanh, .gelu(approximate: false), .abs], [.silu, .softplus],
      [.leakyReLU(slope: 0.3), .sin, .cos], [.selu, .elu(alpha: 1), .sigmoid],
    ] as [[Activation]])
  func matchedNetworksHaveTheSameCoefficients(_ activations: [Activation]) throws {
    let original = try WideNetwork(activations, deviation: 1.1).coefficients
    for rule in [NetworkMatching.Rule.levels(3), .levels(4), .sigmaT] {
      let matching: NetworkMatching
      do throws(MatchingError) {
        matching = try NetworkMatching(activations, deviation: 1.1, rule: rule)
      } catch {
        // σ_T has no solution for every layer.
        #expect(rule == .sigmaT, "\(error)")
        continue
      }
      let new = try WideNetwork(matching.layers.map { $0.matched.activation }, deviation: 1.1).coefficients
      func isClose(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-13 }
      #expect((0..<4).allSatisfy { isClose(original.alpha[$0], new.alpha[$0]) }, "\(rule)")
      #expect((0..<3).allSatisfy { isClose(original.beta[$0], new.beta[$0]) }, "\(rule)")
      #expect(isClose(matching.shift, new.variance - original.variance) && matching.shift > 0)
      #expect(matching.layers.allSatisfy { $0.matched.residual <= 1e-12 })
    }
  }

  /// `spec/maths.md`: relu, four layers from τ₀ = 1.
  @Test func reluStack() throws {
    let layers = try NetworkMatching([.relu, .relu, .relu, .relu], deviation: 1, rule: .levels(3)).layers
    let expected: [([Double], [Double], [Double])] = [
      ([-0.395442, 0.427105, 1.919758], [0.357151, 1.504139], [1, 1]),
      ([-0.234581, 0.328463, 1.191554], [0.317499, 0.924987], [0.58382, 0.63081]),
      ([-0.139119, 0.319297, 0.732560], [0.306736, 0.551540], [0.34085, 0.40594]),
      ([0.177982, -0.099186, 0.467975], [-0.659145, 0.261828], [0.19899, 0.27533]),
    ]
    for (layer, (levels, thresholds, deviations)) in zip(layers, expected) {
      guard case .piecewiseConstant(let c, let z) = layer.matched.activation else {
        Issue.record("\(layer.matched.activation)")
        continue
      }
      #expect(zip(c + z, levels + thresholds).allSatisfy { abs($0 - $1) <= 5.01e-7 }, "\(c) \(z)")
      #expect(abs(layer.deviation - deviations[0]) <= 5.01e-6)
      #expect(abs(layer.matchedDeviation - deviations[1]) <= 5.01e-6)
    }
  }

  @Test func whatCannotBeDone() throws {
    #expect(throws: MatchingError.layer(2, .noMoments(.softmax, deviation: 0.5))) {
      try WideNetwork([.step, .softmax], deviation: 1)
    }
    #expect(throws: MatchingError.deviation(-1)) { try WideNetwork([.relu], deviation: -1) }
    #expect(throws: MatchingError.layer(1, .levels(2))) {
      try NetworkMatching([.relu], deviation: 1, rule: .levels(2))
    }
    // Behind a constant nothing varies.
    let flat = Activation.piecewiseConstant(levels: [1], thresholds: [])
    #expect(throws: MatchingError.layer(2, .deviation(0))) { try WideNetwork([flat, .relu], deviation: 1) }
  }

  /// The last layer of the paper's scheme has what is left of four equations.
  @Test func lastLayerOfThePaper() throws {
    let layers = try NetworkMatching([.relu, .relu], deviation: 1, rule: .sigmaQ).layers
    #expect(layers.map { $0.matched.equationResiduals.count } == [3, 4])
  }
}
