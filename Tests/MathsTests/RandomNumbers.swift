// SPDX-License-Identifier: Apache-2.0

import Glibc
import Random

extension SplitMix64 {
  /// Uniform in (0, 1).
  mutating func uniform() -> Double { (Double(next() >> 11) + 0.5) * 0x1p-53 }

  mutating func gaussian() -> Double { sqrt(-2 * log(uniform())) * cos(2 * .pi * uniform()) }

  mutating func laplace() -> Double { (next() & 1 == 0 ? -1 : 1) * log(uniform()) }

  /// Student's t with three degrees of freedom.
  mutating func studentOfThree() -> Double {
    let square = (0..<3).reduce(0.0) { sum, _ in
      let g = gaussian()
      return sum + g * g
    }
    return gaussian() / sqrt(square / 3)
  }

  /// A stable variable S(α, β) of scale 1 and location 0, α ≠ 1, by the method of Chambers, Mallows and Stuck.
  /// α = 2 gives a Gaussian of variance 2.
  mutating func stable(_ alpha: Double, skewness: Double = 0) -> Double {
    let u = Double.pi * (uniform() - 0.5)
    let w = -log(uniform())
    let zeta = -skewness * tan(.pi * alpha / 2)
    let xi = atan(-zeta) / alpha
    let first = pow(1 + zeta * zeta, 1 / (2 * alpha)) * sin(alpha * (u + xi)) / pow(cos(u), 1 / alpha)
    return first * pow(cos(u - alpha * (u + xi)) / w, (1 - alpha) / alpha)
  }

  mutating func matrix(_ rows: Int, _ columns: Int) -> [Double] { (0..<rows * columns).map { _ in gaussian() } }
}

/// The mean and the standard deviation of a few numbers.
func meanAndDeviation(_ x: [Double]) -> (mean: Double, deviation: Double) {
  let mean = x.reduce(0, +) / Double(x.count)
  return (mean, sqrt(x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count - 1)))
}
