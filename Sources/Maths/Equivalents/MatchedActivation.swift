// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Tensors

/// A piecewise constant activation that a wide network's kernels cannot tell from another one: of the same |E s′|, |E s″| and
/// E((s − E s)²)″, each function at its own deviation.
///
/// What is left to choose makes the variance, the next layer's τ̃², smallest. It is larger than that of the original: the
/// kernel's diagonal is higher, by a constant where all layers are matched.
///
/// Example: relu at τ = τ̃ = 1 becomes −.395442 below .357151, .427105 up to 1.504139, and 1.919758 above, of variance
/// .39792 (relu: .34085).
///
/// `spec/maths.md`, Activations with few levels.
public struct MatchedActivation: Sendable, Equatable {
  /// Piecewise constant, of mean 0 at its deviation.
  public let activation: Activation
  /// Those of `activation` at its deviation; its mean is 0 but for rounding.
  public let moments: GaussianMoments
  /// The largest difference of m0, |d1|, |d2| and dd from what was to be matched, relative where that is more than 1.
  public let residual: Double
  /// Whether s(−x) is matched instead: the sign of E s′ is not that of the original. To a layer with symmetrically
  /// distributed weights it makes no difference.
  public let isMirrored: Bool
  /// What was subtracted to make the mean 0: with it added, σ_T takes the values a and 0.
  public let mean: Double
  /// What is left of the paper's equations, d1², d2², dd and, where the next variance was to be matched too, that: found
  /// less wanted.
  public let equationResiduals: [Double]

  /// The optimal function of 3…16 levels: d1 and d2 of the original's sign. It has fewer than asked for where one more
  /// does not make the variance smaller.
  ///
  /// Three levels are searched for; more are a minimum that was reached from those of one fewer, of which another may be
  /// smaller.
  ///
  /// - Parameters:
  ///   - target: of the original, at its deviation.
  ///   - deviation: τ̃, at which the new function is used.
  /// - Throws: where there is no such function, or none was found.
  public init(matching target: GaussianMoments, deviation: Double, levels: Int) throws(MatchingError) {
    guard 3...16 ~= levels else { throw .levels(levels) }
    let wanted = try MatchingTarget(target, deviation: deviation)
    let found = try wanted.isOdd ? Staircase.symmetricTernary(wanted) : Staircase.optimal(wanted, levels: 3)
    try self.init(
      levels == 3 || found.thresholds.count == 1 ? found : Staircase.optimal(wanted, levels: levels), wanted, target)
  }

  /// σ_T(x) = a(1{x < s₁} + 1{x > s₂}), as in the paper: of all solutions that of smallest variance. For an odd
  /// function, which σ_T cannot match, that of three symmetric levels.
  ///
  /// - Throws: where there is no such function, or none was found.
  public init(sigmaT target: GaussianMoments, deviation: Double) throws(MatchingError) {
    let wanted = try MatchingTarget(target, deviation: deviation)
    try self.init(wanted.isOdd ? Staircase.symmetricTernary(wanted) : Staircase.twoLevels(wanted), wanted, target)
  }

  /// σ_Q(x) = b(1{x < r₁} + 1{r₂ ≤ x ≤ r₃} + 1{x > r₄}), r₂ − r₁ = r₄ − r₃, as in the paper: it is to have the next
  /// variance of the original too. Where no function has, as for relu with more than one layer, the sum of the squares
  /// of what is left of the four equations is smallest. For an odd function, that of three symmetric levels.
  ///
  /// - Parameter nextVariance: τ_L² of the original.
  /// - Throws: where there is no such function, or none was found.
  public init(sigmaQ target: GaussianMoments, deviation: Double, nextVariance: Double) throws(MatchingError) {
    let wanted = try MatchingTarget(target, deviation: deviation)
    guard nextVariance > 0, nextVariance.isFinite else { throw .deviation(nextVariance) }
    let found =
      if wanted.isOdd {
        try Staircase.symmetricTernary(wanted)
      } else {
        try Staircase.fourThresholds(wanted, variance: nextVariance / wanted.square)
      }
    try self.init(found, wanted, target, nextVariance: nextVariance)
  }

  private init(
    _ staircase: Staircase, _ wanted: MatchingTarget, _ target: GaussianMoments, nextVariance: Double? = nil
  ) throws(MatchingError) {
    var found = staircase
    // The levels and the mirror image were chosen for E s′ ≥ 0.
    if wanted.isFalling { found = found.mirrored }
    let levels = found.levels.map { $0 * wanted.unit }
    let activation = Activation.piecewiseConstant(
      levels: levels, thresholds: found.thresholds.map { $0 * wanted.deviation })
    guard let moments = GaussianMoments(of: activation, deviation: wanted.deviation),
      zip(found.thresholds, found.thresholds.dropFirst()).allSatisfy({ $0 < $1 })
    else { throw .noSolution }
    self.activation = activation
    self.moments = moments
    mean = found.mean * wanted.unit
    isMirrored = target.d1 * moments.d1 < 0
    func difference(_ found: Double, _ wanted: Double) -> Double {
      (found - wanted).magnitude / max(1, wanted.magnitude)
    }
    residual = max(
      moments.mean.magnitude, difference(moments.d1.magnitude, target.d1.magnitude),
      difference(moments.d2.magnitude, target.d2.magnitude),
      difference(moments.centredCurvature, target.centredCurvature))
    // What was found in units may be beyond the range of a double, or its digits lost there.
    guard nextVariance != nil || residual <= 1e-9 else { throw .noSolution }
    equationResiduals =
      [
        moments.d1 * moments.d1 - target.d1 * target.d1, moments.d2 * moments.d2 - target.d2 * target.d2,
        moments.centredCurvature - target.centredCurvature,
      ] + (nextVariance.map { [moments.variance - $0] } ?? [])
  }
}

/// Why an activation cannot be replaced.
public enum MatchingError: Error, Equatable, CustomStringConvertible {
  /// Not 3…16.
  case levels(Int)
  /// A deviation or variance that is not positive and finite.
  case deviation(Double)
  /// Its moments are not defined or not finite at this deviation.
  case noMoments(Activation, deviation: Double)
  /// E s′ and E s″ are both 0: what comes behind is independent of the inputs.
  case blind
  /// An odd function of E(s²)″ < 0: that of symmetric levels is never negative.
  case negativeCurvature(Double)
  /// No function of so many levels was found.
  case noSolution
  /// No function b(1{x < r₁} + …) of the paper was found.
  case noTwoLevels
  /// What is wrong with a layer, from 1.
  indirect case layer(Int, MatchingError)

  public var description: String {
    switch self {
    case .levels(let count): "\(count) levels, expected 3 to 16"
    case .deviation(let value): "\(value) is no standard deviation: it must be positive and finite"
    case .noMoments(.softmax, _): "softmax is no function of one number, and has no Gaussian moments"
    case .noMoments(let activation, let deviation):
      "the Gaussian moments of \(activation) at deviation \(deviation) are not finite"
    case .blind: "the mean slope and the mean second derivative are both 0, so no activation of few levels has the same"
    case .negativeCurvature(let value):
      "D3, the mean second derivative of the square, is \(value); for an odd function with few levels it cannot be negative"
    case .noSolution: "no activation of so few levels with the same mean slope, second derivative and D3 was found"
    case .noTwoLevels:
      "no activation of two levels (σ_T) with the same mean slope, second derivative and D3 was found"
    case .layer(let number, let error): "layer \(number): \(error)"
    }
  }
}

/// What a function of z = x/τ̃ is to have, in a unit: E[zs] = p ≥ 0, E[(z² − 1)s] = q and E[(z² − 1)s²] = r for a mean of 0.
/// In the unit p² + q²/2 = 1, which by Bessel's inequality is the smallest variance there can be.
struct MatchingTarget {
  let p: Double
  let q: Double
  let r: Double
  let unit: Double
  let deviation: Double
  /// E s′ < 0: what is found is to be mirrored.
  let isFalling: Bool

  /// The square of the unit.
  var square: Double { unit * unit }

  init(_ moments: GaussianMoments, deviation: Double) throws(MatchingError) {
    guard deviation > 0, deviation.isFinite else { throw .deviation(deviation) }
    let (slope, bend) = (moments.d1.magnitude * deviation, moments.d2 * deviation * deviation)
    unit = (slope * slope + bend * bend / 2).squareRoot()
    guard unit > 0, unit.isFinite, unit * unit > 0 else { throw .blind }
    p = slope / unit
    q = bend / unit
    r = moments.centredCurvature * deviation * deviation / unit / unit
    guard r.isFinite else { throw .noSolution }
    self.deviation = deviation
    isFalling = moments.d1 < 0
  }

  /// Whether E s″ is 0 but for rounding.
  var isOdd: Bool { q.magnitude < 1e-13 }
}

/// A piecewise constant function of mean 0 of a standard Gaussian.
struct Staircase: Sendable {
  /// Ascending.
  var thresholds: [Double]
  /// One more.
  var levels: [Double]
  /// What was subtracted to make the mean 0.
  var mean = 0.0

  var mirrored: Staircase {
    Staircase(thresholds: thresholds.reversed().map { -$0 }, levels: levels.reversed(), mean: mean)
  }

  /// These levels less their mean.
  static func centred(thresholds: [Double], levels: [Double]) -> Staircase {
    let points = thresholds.map { NormalPoint($0) }
    let mean = levels.indices.reduce(0) { $0 + levels[$1] * probability($1, points) }
    return Staircase(thresholds: thresholds, levels: levels.map { $0 - mean }, mean: mean)
  }

  /// b·sign(z)·1{|z| > t}, for q = 0: t/φ(t) = 2r/p², which increases with t, and b = p/(2φ(t)).
  static func symmetricTernary(_ target: MatchingTarget) throws(MatchingError) -> Staircase {
    guard target.r >= -1e-13 else {
      throw .negativeCurvature(target.r * target.square / (target.deviation * target.deviation))
    }
    let ratio = 2 * max(0, target.r) / (target.p * target.p)
    if ratio < 1e-13 {
      let level = target.p * (Double.pi / 2).squareRoot()
      return Staircase(thresholds: [0], levels: [-level, level])
    }
    // Of logarithms: increasing, and concave enough that bisection needs no help.
    let t = bisection(0, 37) { ratio * NormalPoint($0).density - $0 }
    let level = target.p / (2 * NormalPoint(t).density)
    guard level.isFinite else { throw .noSolution }
    return Staircase(thresholds: [-t, t], levels: [-level, 0, level])
  }
}

/// Where f changes its sign between two numbers, to the last digits.
func bisection(_ low: Double, _ high: Double, _ f: (Double) -> Double) -> Double {
  var (low, high) = (low, high)
  let isPositive = f(low) > 0
  for _ in 0..<100 {
    let middle = low + (high - low) / 2
    if middle <= low || middle >= high { break }
    if (f(middle) > 0) == isPositive { low = middle } else { high = middle }
  }
  return low + (high - low) / 2
}
