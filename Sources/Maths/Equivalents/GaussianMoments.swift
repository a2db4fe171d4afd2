// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Tensors

/// What the kernels of a wide network need of an activation s at inputs τξ, ξ a standard Gaussian.
///
/// Derivatives are those of distributions: E s′ = E[ξs]/τ and E s″ = E[(ξ² − 1)s]/τ², which hold for corners and jumps
/// too.
///
/// Formulas are closed where there are some; else integrals are taken by the rule of Gauss and Legendre between corners,
/// with a relative error of about 10⁻¹⁴ (absolute where the value is 0).
///
/// Example: of relu at τ = 1, E s = 1/√(2π), E s′ = ½, E s″ = 1/√(2π), E s² = ½, E(s′)² = ½, and E((s − E s)²)″ = 1 − 1/π.
///
/// Laws, with V the variance: V ≥ τ²(E s′)² + ½τ⁴(E s″)² (Bessel); for odd s, E s = E s″ = 0; for s(−x), E s′ changes its
/// sign; for −s, E s, E s′ and E s″ do.
///
/// `spec/maths.md`, Kernels of wide networks.
public struct GaussianMoments: Sendable, Equatable {
  /// m0 = E s(τξ)
  public let mean: Double
  /// E s′(τξ)
  public let d1: Double
  /// E s″(τξ)
  public let d2: Double
  /// q2 = E s(τξ)²
  public let secondMoment: Double
  /// dd = E((s − m0)²)″(τξ) = E[(ξ² − 1)(s − m0)²]/τ²
  public let centredCurvature: Double
  /// v1 = E s′(τξ)²; infinite for a function with jumps.
  public let squaredDerivative: Double
  /// q2 − m0², without its cancellation.
  public let variance: Double

  /// - Parameter tau: τ.
  /// - Returns: `nil` for softmax, where τ is not positive and finite, and where a moment is beyond the range of a double.
  public init?(of activation: Activation, deviation tau: Double) {
    guard tau > 0, tau.isFinite, let moments = Self.moments(activation, tau), moments.isFinite else { return nil }
    self = moments
  }

  private static func moments(_ activation: Activation, _ t: Double) -> Self? {
    let square = t * t
    switch activation {
    case .softmax: return nil
    case .linear: return leaky(1, t)
    case .relu: return leaky(0, t)
    case .leakyReLU(let slope): return leaky(slope, t)
    case .abs: return leaky(-1, t)
    case .sign: return Self(levels: [-1, 1], at: [0], t)
    case .step: return Self(levels: [0, 1], at: [0], t)
    case .piecewiseConstant(let levels, let thresholds):
      return Self(levels: levels, at: thresholds.map { $0 / t }, t)
    case .erf:
      let (u, root) = (1 + 2 * square, (1 + 4 * square).squareRoot())
      let product: Double = 2 / .pi * asin(2 * square / u)
      return Self(
        mean: 0, d1: 2 / (.pi * u).squareRoot(), d2: 0, secondMoment: product, centredCurvature: 8 / (.pi * u * root),
        squaredDerivative: 4 / (.pi * root), variance: product)
    case .sin:
      let power = exp(-2 * square)
      let half = -expm1(-2 * square) / 2
      return Self(
        mean: 0, d1: exp(-square / 2), d2: 0, secondMoment: half, centredCurvature: 2 * power,
        squaredDerivative: (1 + power) / 2, variance: half)
    case .cos:
      let (power, root) = (exp(-square), exp(-square / 2))
      let fall = -expm1(-square)
      return Self(
        mean: root, d1: 0, d2: -root, secondMoment: (1 + power * power) / 2, centredCurvature: 2 * power * fall,
        squaredDerivative: -expm1(-2 * square) / 2, variance: fall * fall / 2)
    case .exponential:
      let (root, power) = (exp(square / 2), exp(square))
      return Self(
        mean: root, d1: root, d2: root, secondMoment: power * power, centredCurvature: 4 * power * power - 2 * power,
        squaredDerivative: power * power, variance: power * expm1(square))
    default: return integrated(activation, t)
    }
  }

  /// x for x ≥ 0, else slope·x.
  private static func leaky(_ slope: Double, _ t: Double) -> Self {
    let root = (2 * Double.pi).squareRoot()
    let (rise, squares) = (1 - slope, 1 + slope * slope)
    return Self(
      mean: rise * t / root, d1: (1 + slope) / 2, d2: rise / (root * t), secondMoment: squares * t * t / 2,
      centredCurvature: squares - rise * rise / .pi, squaredDerivative: squares / 2,
      variance: t * t * (squares / 2 - rise * rise / (2 * .pi)))
  }

  /// Of a piecewise constant function with thresholds τz: its jumps contribute φ(z) to E[ξs] and zφ(z) to E[(ξ² − 1)s].
  private init(levels: [Double], at z: [Double], _ t: Double) {
    let points = z.map { NormalPoint($0) }
    let mean = levels.indices.reduce(0) { $0 + levels[$1] * probability($1, points) }
    var (first, second, squares) = (0.0, 0.0, 0.0)
    for (i, point) in points.enumerated() {
      let (left, right) = (levels[i] - mean, levels[i + 1] - mean)
      first += (right - left) * point.density
      second += (right - left) * point.slope
      squares += (right - left) * (right + left) * point.slope
    }
    variance = levels.indices.reduce(0) {
      $0 + (levels[$1] - mean) * (levels[$1] - mean) * probability($1, points)
    }
    self.mean = mean
    (d1, d2, centredCurvature) = (first / t, second / (t * t), squares / (t * t))
    secondMoment = levels.indices.reduce(0) { $0 + levels[$1] * levels[$1] * probability($1, points) }
    let hasJumps = zip(levels, levels.dropFirst()).contains { $0 != $1 }
    squaredDerivative = hasJumps ? .infinity : 0
  }

  private static func integrated(_ activation: Activation, _ t: Double) -> Self? {
    guard activation.value(at: 0) != nil else { return nil }
    let rule = GaussianRule(corners: activation.corners.map { $0 / t }, width: 1 / t)
    func value(_ z: Double) -> Double { activation.value(at: t * z) ?? .nan }
    let mean = rule.expectation { value($0) }
    var (first, second, squares, curvature, slopes) = (0.0, 0.0, 0.0, 0.0, 0.0)
    // From a centred function: what cancels would cost digits of the small ones.
    rule.forEachPair { z, weight in
      let (left, right) = (value(-z) - mean, value(z) - mean)
      let (even, odd) = (right * right + left * left, z * (right - left))
      first += weight * odd
      second += weight * (z * z - 1) * (right + left)
      squares += weight * even
      curvature += weight * (z * z - 1) * even
      let (falling, rising) = (activation.derivative(at: -t * z) ?? .nan, activation.derivative(at: t * z) ?? .nan)
      slopes += weight * (falling * falling + rising * rising)
    }
    return Self(
      mean: mean, d1: first / t, d2: second / (t * t), secondMoment: squares + mean * mean,
      centredCurvature: curvature / (t * t), squaredDerivative: activation.hasJumps ? .infinity : slopes,
      variance: squares)
  }

  private init(
    mean: Double, d1: Double, d2: Double, secondMoment: Double, centredCurvature: Double, squaredDerivative: Double,
    variance: Double
  ) {
    (self.mean, self.d1, self.d2, self.secondMoment) = (mean, d1, d2, secondMoment)
    (self.centredCurvature, self.squaredDerivative, self.variance) = (centredCurvature, squaredDerivative, variance)
  }

  private var isFinite: Bool {
    [mean, d1, d2, secondMoment, centredCurvature, variance].allSatisfy(\.isFinite) && !squaredDerivative.isNaN
  }
}

/// The probability that ξ lies in interval `i` of those that the points end.
func probability(_ i: Int, _ points: [NormalPoint]) -> Double {
  if i == 0 { return points.first?.below ?? 1 }
  if i == points.count { return points[i - 1].above }
  // The smaller tails: the others lose digits.
  return points[i - 1].value > 0 ? points[i - 1].above - points[i].above : points[i].below - points[i - 1].below
}

extension NormalPoint {
  /// zφ(z), which is −φ′; 0 at infinity.
  var slope: Double { density == 0 ? 0 : value * density }
}

extension Activation {
  /// Where the function or one of its derivatives jumps.
  var corners: [Double] {
    switch self {
    case .relu, .leakyReLU, .elu, .selu, .abs, .sign, .step, .softsign: [0]
    case .hardSigmoid(let divisor): [-divisor / 2, divisor / 2]
    case .boundedReLU(let maximum, let threshold, _): [threshold] + (maximum.map { [$0] } ?? [])
    case .piecewiseConstant(_, let thresholds): thresholds
    case .linear, .gelu, .silu, .softplus, .exponential, .sigmoid, .tanh, .erf, .sin, .cos, .softmax: []
    }
  }

  /// Whether the function itself jumps: then E(s′)² is infinite.
  var hasJumps: Bool {
    switch self {
    case .sign, .step: true
    case .piecewiseConstant(let levels, _): zip(levels, levels.dropFirst()).contains { $0 != $1 }
    // From 0 to the threshold, as Keras has it.
    case .boundedReLU(let maximum, let threshold, _): min(threshold, maximum ?? threshold) != 0
    default: false
    }
  }
}

/// Nodes and weights for E f(ξ), f smooth between corners: the rule of Gauss and Legendre with 20 nodes on each of some
/// intervals from −12 to 12, beyond which there is less than 10⁻³² of the distribution.
///
/// Nodes lie symmetrically, so that what cancels of odd functions cancels exactly.
struct GaussianRule: Sendable {
  /// The positive nodes.
  private let nodes: [Double]
  /// Their sum is ½.
  private let weights: [Double]

  /// - Parameters:
  ///   - corners: where f or a derivative jumps.
  ///   - width: how far from 0 f may change its course; intervals near 0 are as narrow, and twice as wide further on.
  ///   - step: the largest width of an interval.
  init(corners: [Double] = [], width: Double = 1, step: Double = 1) {
    let end = 12.0
    let count = Int((end / min(1, step)).rounded(.up))
    var edges = (0...count).map { end * Double($0) / Double(count) } + corners.map(\.magnitude)
    var edge = width / 2
    while edge < end {
      edges.append(edge)
      edge *= 2
    }
    edges = edges.filter { $0 <= end }.sorted()
    var (nodes, weights): ([Double], [Double]) = ([], [])
    let rule = GaussLegendre.twenty
    for (low, high) in zip(edges, edges.dropFirst()) where low < high {
      for i in rule.nodes.indices {
        let z = (low + high) / 2 + rule.nodes[i] * (high - low) / 2
        nodes.append(z)
        weights.append(rule.weights[i] * (high - low) / 2 * exp(-z * z / 2))
      }
    }
    let sum = 2 * weights.reduce(0, +)
    self.nodes = nodes
    self.weights = weights.map { $0 / sum }
  }

  /// Calls `body` with each positive node and the weight that it and its negative have.
  func forEachPair(_ body: (_ z: Double, _ weight: Double) -> Void) {
    for i in nodes.indices { body(nodes[i], weights[i]) }
  }

  /// All nodes with their weights.
  var all: [(z: Double, weight: Double)] {
    nodes.indices.flatMap { [(nodes[$0], weights[$0]), (-nodes[$0], weights[$0])] }
  }

  /// E f(ξ)
  func expectation(_ f: (Double) -> Double) -> Double {
    var sum = 0.0
    forEachPair { z, weight in sum += weight * (f(z) + f(-z)) }
    return sum
  }
}
