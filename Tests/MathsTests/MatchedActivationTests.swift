// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Tensors
import Testing

private let gelu = Activation.gelu(approximate: false)

/// What is new at τ = τ̃ = 1.
private func matched(_ activation: Activation, levels: Int = 3) throws -> MatchedActivation {
  let moments = try #require(GaussianMoments(of: activation, deviation: 1))
  return try MatchedActivation(matching: moments, deviation: 1, levels: levels)
}

private func steps(_ activation: Activation) throws -> (levels: [Double], thresholds: [Double]) {
  guard case .piecewiseConstant(let levels, let thresholds) = activation else {
    throw NotStepsError()
  }
  return (levels, thresholds)
}

private struct NotStepsError: Error {}

private func agree(_ a: [Double], _ b: [Double]) -> Bool {
  a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= 5.01e-7 }
}

@Suite struct MatchedActivationTests {
  /// `spec/maths.md`, at τ = τ̃ = 1: levels, thresholds, variance.
  @Test(
    arguments: [
      (.relu, [-0.395442, 0.427105, 1.919758], [0.357151, 1.504139], 0.39792),
      (.leakyReLU(slope: 0.01), [-0.404957, 0.415077, 1.928470], [0.328299, 1.503386], 0.40247),
      (.leakyReLU(slope: 0.1), [-0.496955, 0.334662, 1.988968], [0.100077, 1.482614], 0.45044),
      (.leakyReLU(slope: 0.3), [-0.744739, 0.232778, 2.060224], [-0.279153, 1.396583], 0.58994),
      (gelu, [-0.381816, 0.471016, 2.013936], [0.426236, 1.535638], 0.41018),
      (.silu, [-0.436602, 0.334089, 1.955845], [0.156950, 1.544454], 0.38347),
      (.softplus, [-0.589785, 0.172471, 1.616131], [-0.319997, 1.416866], 0.35095),
      (.abs, [1.309011, -0.398152, 1.309011], [-1.192094, 1.192094], 0.52119),
      (.cos, [-1.047513, 0.280712, -1.047513], [-1.249879, 1.249879], 0.29405),
      (.tanh, [-0.933499, 0, 0.933499], [-0.643047, 0.643047], 0.45331),
      (.erf, [-0.975840, 0, 0.975840], [-0.597119, 0.597119], 0.52415),
      (.sigmoid, [-0.364792, 0, 0.364792], [-0.827829, 0.827829], 0.05426),
      (.sin, [-0.867669, 0, 0.867669], [-0.514321, 0.514321], 0.45700),
      (.linear, [-2.033184, 0, 2.033184], [-0.983679, 0.983679], 1.34463),
      (.sign, [-1, 1], [0], 1),
      (.step, [-0.5, 0.5], [0], 0.25),
    ] as [(Activation, [Double], [Double], Double)])
  func threeLevels(_ activation: Activation, _ levels: [Double], _ thresholds: [Double], _ variance: Double) throws {
    let result = try matched(activation)
    let found = try steps(result.activation)
    #expect(agree(found.levels, levels) && agree(found.thresholds, thresholds), "\(found)")
    #expect(abs(result.moments.variance - variance) <= 5.01e-6)
    #expect(result.residual <= 1e-14 && !result.isMirrored && result.mean == 0)
  }

  /// σ_T, up to the mirror image: a, s₁, s₂, variance.
  @Test(
    arguments: [
      (.relu, [-2.408743, 0.999531, 2.212533], 0.7206), (.abs, [1.707163, -1.192094, 1.192094], 0.5212),
      (.leakyReLU(slope: 0.01), [-2.453854, 0.995796, 2.178439], 0.7465),
      (.leakyReLU(slope: 0.1), [-2.912842, 0.966912, 1.936700], 1.0240),
      (.leakyReLU(slope: 0.3), [-4.410061, 0.932203, 1.599780], 2.0655),
      (gelu, [-2.420159, 1.025055, 2.285100], 0.7116), (.silu, [-2.691136, 0.998967, 1.977825], 0.8453),
      (.softplus, [-3.600428, 0.940459, 1.563636], 1.3147), (.cos, [-1.328225, -1.249879, 1.249879], 0.2940),
    ] as [(Activation, [Double], Double)])
  func twoLevels(_ activation: Activation, _ expected: [Double], _ variance: Double) throws {
    for tau in [1, 0.37] {
      // A function that is homogeneous has multiples of the same.
      guard tau == 1 || activation == .relu || activation == .abs else { continue }
      let moments = try #require(GaussianMoments(of: activation, deviation: tau))
      let result = try MatchedActivation(sigmaT: moments, deviation: tau)
      let found = try steps(result.activation)
      #expect(agree([found.levels[0] - found.levels[1]] + found.thresholds, expected.map { $0 * tau }), "\(found)")
      #expect(abs(result.moments.variance - variance * tau * tau) <= 5.01e-5)
      #expect(abs(found.levels[1] + result.mean) <= 1e-15 && found.levels[0] == found.levels[2])
      #expect(result.residual <= 1e-12 && !result.isMirrored)
    }
  }

  /// An odd function has the same three symmetric levels in every rule.
  @Test func oddFunctions() throws {
    for activation in [Activation.tanh, .erf, .sin, .sigmoid, .linear] {
      let moments = try #require(GaussianMoments(of: activation, deviation: 1))
      let other = try MatchedActivation(sigmaT: moments, deviation: 1)
      #expect(try other == matched(activation))
      let last = try MatchedActivation(sigmaQ: moments, deviation: 1, nextVariance: moments.variance)
      #expect(last.activation == other.activation)
      #expect(last.equationResiduals[3] == last.moments.variance - moments.variance)
    }
  }

  /// More levels have smaller variances, down to what any function must have.
  @Test(
    arguments: [
      (.relu, [0.3681, 0.3512, 0.3433]), (gelu, [0.3802, 0.3631, 0.3535]), (.tanh, [0.4199, 0.4035, 0.3990]),
    ] as [(Activation, [Double])])
  func variancesOfMoreLevels(_ activation: Activation, _ variances: [Double]) throws {
    let moments = try #require(GaussianMoments(of: activation, deviation: 1))
    let bound = moments.d1 * moments.d1 + moments.d2 * moments.d2 / 2
    for (levels, variance) in zip([4, 6, 8], variances) {
      let result = try matched(activation, levels: levels)
      #expect(try steps(result.activation).levels.count == levels)
      #expect(abs(result.moments.variance - variance) <= 5.01e-5, "\(levels): \(result.moments.variance)")
      #expect(result.residual <= 1e-13 && result.moments.variance > bound)
    }
  }

  /// The next variance of the original too: what is left of the paper's four equations.
  @Test func fourEquations() throws {
    let moments = try #require(GaussianMoments(of: .relu, deviation: 1))
    let result = try MatchedActivation(sigmaQ: moments, deviation: 1, nextVariance: moments.variance)
    let found = try steps(result.activation)
    #expect(found.levels.count == 5 && found.levels[0] == found.levels[2] && found.levels[1] == found.levels[3])
    let z = found.thresholds
    #expect(abs((z[1] - z[0]) - (z[3] - z[2])) <= 1e-13)
    let m = result.moments
    let left = [
      m.d1 * m.d1 - 0.25, m.d2 * m.d2 - 1 / (2 * .pi), m.centredCurvature - (1 - 1 / .pi),
      m.variance - moments.variance,
    ]
    #expect(zip(result.equationResiduals, left).allSatisfy { abs($0 - $1) <= 1e-15 })
    // No such function has all four.
    #expect(left.reduce(0) { $0 + $1 * $1 } > 0.01)
    // What is such a function has, and is found.
    let own = Activation.piecewiseConstant(
      levels: [1.3, 0, 1.3, 0, 1.3], thresholds: [-1.6, -1, 0.3, 0.9])
    let target = try #require(GaussianMoments(of: own, deviation: 1))
    let again = try MatchedActivation(sigmaQ: target, deviation: 1, nextVariance: target.variance)
    #expect(again.equationResiduals.allSatisfy { abs($0) <= 1e-12 }, "\(again.equationResiduals)")
  }

  /// s(−x) has the mirror image, −s(x) the negative.
  @Test func signs() throws {
    let falling = try matched(.piecewiseConstant(levels: [2, 0.2, -0.3], thresholds: [-1, 0.5]))
    let rising = try matched(.piecewiseConstant(levels: [-0.3, 0.2, 2], thresholds: [-0.5, 1]))
    let (a, b) = (try steps(falling.activation), try steps(rising.activation))
    #expect(zip(a.levels, b.levels.reversed()).allSatisfy { abs($0 - $1) <= 1e-10 })
    #expect(zip(a.thresholds, b.thresholds.reversed()).allSatisfy { abs($0 + $1) <= 1e-10 })
    #expect(falling.moments.d1 < 0 && !falling.isMirrored)
    let moments = try #require(GaussianMoments(of: .leakyReLU(slope: -2), deviation: 1))
    let mirrored = try MatchedActivation(sigmaT: moments, deviation: 1)
    #expect(mirrored.isMirrored == (mirrored.moments.d1 * moments.d1 < 0) && mirrored.residual <= 1e-12)
  }

  @Test func infeasible() throws {
    func error(_ activation: Activation, _ levels: Int = 3, deviation: Double = 1) throws -> MatchingError? {
      let moments = try #require(GaussianMoments(of: activation, deviation: 1))
      do throws(MatchingError) {
        _ = try MatchedActivation(matching: moments, deviation: deviation, levels: levels)
        return nil
      } catch { return error }
    }
    #expect(try error(.relu, 2) == .levels(2) && error(.relu, 17) == .levels(17))
    #expect(try error(.relu, deviation: 0) == .deviation(0))
    #expect(try error(.piecewiseConstant(levels: [1], thresholds: [])) == .blind)
    // An odd function that is large near 0 and small far out.
    let hill = Activation.piecewiseConstant(levels: [0, -1, 1, 0], thresholds: [-0.6, 0, 0.6])
    guard case .negativeCurvature(let value)? = try error(hill) else {
      Issue.record("matched")
      return
    }
    #expect(value < -0.1)
    #expect("\(MatchingError.layer(2, .negativeCurvature(-0.5)))".hasPrefix("layer 2: D3"))
  }
}
