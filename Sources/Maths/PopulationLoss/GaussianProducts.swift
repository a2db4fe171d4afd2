// SPDX-License-Identifier: Apache-2.0

internal import Glibc

// Of s(X) and t(Y), X and Y standard Gaussians of correlation r ≥ 0, these return
//
// E[s(X) t(Y)] − E s(X) · E t(Y) − r · E[s(X) X] · E[t(Y) Y],
//
// the terms from the second on of the expansion of E[s(X) t(Y)] in powers of r (Mehler). The first two terms of a sum of
// functions are squares, which are added up before they are squared, so that nothing cancels there.
//
// For X and −Y: −(Y + k) has the threshold −k; a hinge stays what it is, as hinge(u) − hinge(−u) = u has no further terms,
// and a jump changes its sign.

/// For the hinges s(X) = max(0, X + h) and t(Y) = max(0, Y + k): (1/2π) ∫ (r − sin θ) e(θ) dθ from 0 to asin r, e as in
/// `jointExcess`; for h = k = 0, (√(1 − r²) + r·asin r − 1)/2π (Cho and Saul 2009).
///
/// Laws: increases with r, from 0; the same for −h, −k.
func hingeProduct(_ h: NormalPoint, _ k: NormalPoint, _ r: Correlation) -> Double {
  if h.value == 0 && k.value == 0 { return (r.sine + r.value * r.angle - 1) / (2 * .pi) }
  guard r.isNearOne else { return arcIntegral(h.value, k.value, r) { sine in r.value - sine } }
  // From r = 1, where E[s(X) t(X)] = (1 + hk)Φ(h) + kφ(h) for h ≤ k.
  let (low, high) = h.value <= k.value ? (h, k) : (k, h)
  let b = low.value * high.value
  let c = r.value
  let square = r.sine * r.sine
  let rest = cornerIntegral(
    h.value, k.value, r,
    expansion: (r.complement, (-b - c * (4 - b)) / 8, (b * (b - 8) - c * (b - 4) * (b - 12)) / 128),
    weight: { y, s in (square - y) / ((s + c) * s) })
  return (c + b) * low.below * high.above + high.value * low.density * high.above
    - low.value * low.below * high.density - low.density * high.density + rest
}

/// For the jumps s(X) = 1{X + h > 0} and t(Y) = 1{Y + k > 0}, less any constants: P(X > −h, Y > −k) − Φ(h)Φ(k) − rφ(h)φ(k).
///
/// Law: the same for −h, −k.
func jumpProduct(_ h: NormalPoint, _ k: NormalPoint, _ r: Correlation) -> Double {
  jointExcess(h, k, r) - r.value * h.density * k.density
}

/// For the hinge max(0, X + h) and the jump 1{Y + k > 0}: with q = √(1 − r²) and c the covariance of `jointExcess`,
///
/// hc + φ(h)(Φ((k − rh)/q) − Φ(k)) + rφ(k)(Φ((h − rk)/q) − Φ(h)).
///
/// Law: for −h, −k, the opposite; so 0 for h = k = 0.
func mixedProduct(hinge h: NormalPoint, jump k: NormalPoint, _ r: Correlation) -> Double {
  if h.value == 0 && k.value == 0 { return 0 }
  /// Φ((a − rb)/q) − Φ(a)
  func gain(_ a: NormalPoint, _ b: NormalPoint) -> Double {
    let difference = (a.value - b.value) + r.complement * b.value
    let x = difference == 0 ? 0 : difference / r.sine
    return erfc(-x * 0.5.squareRoot()) / 2 - a.below
  }
  return h.value * jointExcess(h, k, r) + h.density * gain(k, h) + r.value * k.density * gain(h, k)
}
