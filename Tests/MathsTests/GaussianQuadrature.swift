// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Tensors

/// E s(m + sX) for standard Gaussian X, from tables of integrals; and integrals of products by quadrature. Nothing of it is
/// what `populationLoss` computes with.
enum GaussianQuadrature {
  private static func density(_ x: Double) -> Double { exp(-x * x / 2) / sqrt(2 * .pi) }
  private static func distribution(_ x: Double) -> Double { erfc(-x / sqrt(2)) / 2 }

  /// E s(m + sX).
  static func mean(_ activation: Activation, _ m: Double, _ s: Double) -> Double {
    if s == 0 { return activation.value(at: m) ?? .nan }
    let h = m / s
    let positive = m * distribution(h) + s * density(h)
    switch activation {
    case .linear: return m
    case .relu: return positive
    case .leakyReLU(let slope): return positive - slope * (positive - m)
    case .abs: return 2 * positive - m
    case .erf: return Glibc.erf(m / sqrt(1 + 2 * s * s))
    case .step: return distribution(h)
    case .sign: return Glibc.erf(h / sqrt(2))
    case .piecewiseConstant(let levels, let thresholds):
      let edges = [-Double.infinity] + thresholds + [.infinity]
      return levels.indices.reduce(0) {
        $0 + levels[$1] * (distribution((edges[$1 + 1] - m) / s) - distribution((edges[$1] - m) / s))
      }
    default: return .nan
    }
  }

  /// Where s(u) changes its course.
  private static func bends(_ activation: Activation) -> [Double] {
    switch activation {
    case .linear: []
    case .piecewiseConstant(_, let thresholds): thresholds
    default: [0]
    }
  }

  /// Ends of intervals in each of which x ↦ E s(m + ax + bZ) is almost a polynomial.
  static func edges(_ activation: Activation, _ m: Double, _ a: Double, _ b: Double) -> [Double] {
    if a == 0 { return [] }
    let noise = activation == .erf ? sqrt(b * b + 0.5) : b
    let width = (noise / a).magnitude
    return bends(activation).flatMap { bend in
      (width == 0 ? [0] : [-9, -6, -4, -2.5, -1, 0, 1, 2.5, 4, 6, 9]).map { (bend - m) / a + $0 * width }
    }
  }

  /// ∫ f(x) φ(x) dx, f smooth between the edges.
  static func integral(edges: [Double], _ f: (Double) -> SIMD2<Double>) -> SIMD2<Double> {
    let ends = ((-12...12).map { Double($0) } + edges.filter { $0.magnitude < 12 }).sorted()
    var sum = SIMD2<Double>.zero
    for (low, high) in zip(ends, ends.dropFirst()) where high > low {
      let half = (high - low) / 2
      for (node, weight) in rule {
        for x in [low + half * (1 - node), high - half * (1 - node)] { sum += half * weight * density(x) * f(x) }
      }
    }
    return sum
  }

  /// E s(m₁ + s₁X) t(m₂ + s₂(rX + qZ)), r² + q² = 1.
  static func product(
    _ s: Activation, _ m1: Double, _ s1: Double, _ t: Activation, _ m2: Double, _ s2: Double, r: Double, q: Double
  ) -> Double {
    integral(edges: edges(s, m1, s1, 0) + edges(t, m2, s2 * r, s2 * q)) { x in
      SIMD2((s.value(at: m1 + s1 * x) ?? .nan) * mean(t, m2 + s2 * r * x, s2 * q), 0)
    }[0]
  }

  /// Half of the symmetric rule of Gauss and Legendre with ten nodes (Abramowitz and Stegun, table 25.4).
  private static let rule = [
    (0.148874338981631, 0.295524224714753), (0.433395394129247, 0.269266719309996),
    (0.679409568299024, 0.219086362515982), (0.865063366688985, 0.149451349150581),
    (0.973906528517172, 0.066671344308688),
  ]
}
