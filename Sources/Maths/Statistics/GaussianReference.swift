// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Returns the relative error of keeping the fraction κ of largest magnitudes of very many independent Gaussians of mean
/// zero: with P(|ξ| > z) = κ, √(1 − κ − 2zφ(z)) for p = 2, and 1 − e^{−z²/2} for p = 1.
///
/// It is the limit of `Compressibility.relativeErrors` for Gaussian weights, and what heavier tails are compared with.
///
/// - Parameter keep: κ, from 0 to 1.
public func gaussianRelativeError(keep: Double, norm: Norm = .l2) -> Double {
  precondition(0...1 ~= keep, "a fraction")
  if keep == 0 { return 1 }
  if keep == 1 { return 0 }
  let z = gaussianThreshold(keep: keep)
  if norm == .l1 { return -expm1(-z * z / 2) }
  let factor = (2 / Double.pi).squareRoot()
  if z < 0.5 {
    // ∫ t²φ(t) over |t| < z, term by term: the difference would cancel.
    var term = z * z * z
    var sum = 0.0
    for j in 0..<12 {
      sum += term / Double(2 * j + 3)
      term *= -z * z / Double(2 * (j + 1))
    }
    return (factor * sum).squareRoot()
  }
  return (1 - keep - factor * z * exp(-z * z / 2)).squareRoot()
}

/// Returns the z ≥ 0 with P(|ξ| > z) = κ for a standard Gaussian ξ, 0 < κ ≤ 1: Φ⁻¹(1 − κ/2).
func gaussianThreshold(keep: Double) -> Double {
  let root = 0.5.squareRoot()
  // Newton's method. Near 1, for the concave 1 − P, from below; else for the concave ln P, from above, where P ≤ e^{−z²/2}
  // has us start: neither ever passes the solution.
  var z = keep > 0.5 ? 0 : (-2 * log(keep)).squareRoot()
  for _ in 0..<100 {
    let slope = (2 / Double.pi).squareRoot() * exp(-z * z / 2)
    let step: Double
    if keep > 0.5 {
      step = ((1 - keep) - erf(z * root)) / slope
    } else {
      let tail = erfc(z * root)
      step = log(tail / keep) * tail / slope
    }
    guard step.magnitude > 1e-15 * z else { break }
    z += step
  }
  return z
}
