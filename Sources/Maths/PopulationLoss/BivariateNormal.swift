// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A number h with Φ(h), Φ(−h) and φ(h), the distribution function and the density of a standard Gaussian.
struct NormalPoint: Sendable {
  let value: Double
  let below: Double
  let above: Double
  let density: Double

  init(_ value: Double) {
    let root = 0.5.squareRoot()
    self.init(
      value: value, below: erfc(-value * root) / 2, above: erfc(value * root) / 2,
      density: exp(-value * value / 2) / (2 * Double.pi).squareRoot())
  }

  private init(value: Double, below: Double, above: Double, density: Double) {
    self.value = value
    self.below = below
    self.above = above
    self.density = density
  }

  static prefix func - (point: Self) -> Self {
    Self(value: -point.value, below: point.above, above: point.below, density: point.density)
  }
}

/// A correlation r from 0 to 1, with 1 − r, which near 1 says more.
struct Correlation: Sendable {
  let value: Double
  /// 1 − r
  let complement: Double

  init(_ value: Double) {
    self.value = value
    complement = 1 - value
  }

  /// From 1 − r.
  init(complement: Double) {
    value = 1 - complement
    self.complement = complement
  }

  /// √(1 − r²)
  var sine: Double { (complement * (2 - complement)).squareRoot() }

  /// asin r
  var angle: Double { isNearOne ? .pi / 2 - 2 * asin((complement / 2).squareRoot()) : asin(value) }

  /// Whether integrals are to be taken from r = 1 down instead of from 0 up.
  var isNearOne: Bool { value > 0.925 }
}

/// Returns the covariance P(X > −h, Y > −k) − Φ(h)Φ(k) of two events, for standard Gaussians X, Y of correlation r.
///
/// It is (1/2π) ∫ e(θ) dθ from 0 to asin r, with e(θ) = exp(−(h² − 2hk sin θ + k²)/(2cos² θ)). Near 1 it is
/// Φ(min(h, k))Φ(−max(h, k)) less the integral from asin r to π/2.
///
/// Absolute errors are a few 10⁻¹⁶. (Drezner and Wesolowsky 1990; Genz 2004)
func jointExcess(_ h: NormalPoint, _ k: NormalPoint, _ r: Correlation) -> Double {
  if h.value == 0 && k.value == 0 { return r.angle / (2 * .pi) }
  guard r.isNearOne else { return arcIntegral(h.value, k.value, r) { _ in 1 } }
  let b = h.value * k.value
  let rest = cornerIntegral(
    h.value, k.value, r, expansion: (1, (4 - b) / 8, (b - 4) * (b - 12) / 128), weight: { _, cosine in 1 / cosine })
  return min(h.below, k.below) * min(h.above, k.above) - rest
}

/// (1/2π) ∫ w(sin θ) e(θ) dθ from 0 to asin r, for smooth w.
@inline(__always)
func arcIntegral(_ h: Double, _ k: Double, _ r: Correlation, weight: (Double) -> Double) -> Double {
  let rule: GaussLegendre = r.value <= 0.3 ? .six : r.value <= 0.75 ? .twelve : .twenty
  let half = asin(r.value) / 2
  let (squares, product) = ((h * h + k * k) / 2, h * k)
  var sum = 0.0
  for i in 0..<rule.nodes.count {
    let sine = sin(half * (1 + rule.nodes[i]))
    sum += rule.weights[i] * weight(sine) * exp((product * sine - squares) / (1 - sine * sine))
  }
  return sum * half / (2 * .pi)
}

/// (1/2π) ∫ w e(θ) dθ from asin r to π/2, in x = cos θ: with y = x², b = hk, s = √(1 − y) = sin θ and v = w·dθ/dx,
///
/// (1/2π) ∫ v exp(−(h − k)²/(2y) − b/(1 + s)) dx from 0 to √(1 − r²).
///
/// - Parameters:
///   - expansion: a₀, a₁, a₂ with v·exp(b/2 − b/(1 + s)) = a₀ + a₁y + a₂y² + O(y³). These terms are integrated in closed
///     form; what they leave is smooth where (h − k)²/y is large.
///   - weight: v, given y and s.
@inline(__always)
func cornerIntegral(
  _ h: Double, _ k: Double, _ r: Correlation, expansion: (Double, Double, Double), weight: (Double, Double) -> Double
) -> Double {
  let q = r.sine
  let d = (h - k).magnitude
  let b = h * k
  // Less than 10⁻¹⁷.
  guard q > 0, d * d < 120 * q * q, b < 80 else { return 0 }
  let (a0, a1, a2) = expansion
  let end = exp(-d * d / (2 * q * q))
  let square = d * d
  let m0 = q * end - d * (Double.pi / 2).squareRoot() * erfc(d / (q * 2.0.squareRoot()))
  let m1 = (q * q * q * end - square * m0) / 3
  let m2 = (q * q * q * q * q * end - square * m1) / 5
  var rest = 0.0
  let rule = GaussLegendre.twenty
  for i in 0..<rule.nodes.count {
    let x = q * (1 + rule.nodes[i]) / 2
    let y = x * x
    let s = (1 - y).squareRoot()
    // b/2 − b/(1 + s) = −by/(2(1 + s)²)
    let value = weight(y, s) * exp(-b * y / (2 * (1 + s) * (1 + s)))
    rest += rule.weights[i] * exp(-square / (2 * y)) * (value - (a0 + y * (a1 + y * a2)))
  }
  return exp(-b / 2) * (a0 * m0 + a1 * m1 + a2 * m2 + rest * q / 2) / (2 * .pi)
}

/// The nodes and weights of Gauss and Legendre on (−1, 1).
struct GaussLegendre: Sendable {
  let nodes: [Double]
  let weights: [Double]

  static let six = Self(count: 6)
  static let twelve = Self(count: 12)
  static let twenty = Self(count: 20)

  init(count: Int) {
    var (nodes, weights): ([Double], [Double]) = ([], [])
    for i in 0..<count {
      // Newton's method, from where the node about is.
      var x = -cos(.pi * (Double(i) + 0.75) / (Double(count) + 0.5))
      var slope = 0.0
      for _ in 0..<8 {
        var (last, value) = (1.0, x)
        for n in 1..<count {
          (last, value) = (value, (Double(2 * n + 1) * x * value - Double(n) * last) / Double(n + 1))
        }
        slope = Double(count) * (x * value - last) / (x * x - 1)
        x -= value / slope
      }
      nodes.append(x)
      weights.append(2 / ((1 - x * x) * slope * slope))
    }
    self.nodes = nodes
    self.weights = weights
  }
}
