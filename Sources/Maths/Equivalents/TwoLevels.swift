// SPDX-License-Identifier: Apache-2.0

internal import Glibc

// σ_T and σ_Q, the functions of two levels of Gu et al. (2022). Of E s′ the square alone is matched.

extension Staircase {
  /// a(1{z < z₁} + 1{z > z₂}). With A = z₂φ(z₂) − z₁φ(z₁) and P the probability between:
  /// φ(z₂) − φ(z₁) = ±(p/q)·A, 2P − 1 = (r/q²)·A, a = q/A.
  static func twoLevels(_ target: MatchingTarget) throws(MatchingError) -> Staircase {
    let (e1, e3) = (target.p / target.q, target.r / (target.q * target.q))
    var best: (z1: Double, z2: Double, variance: Double)?
    func consider(_ z1: Double, _ z2: Double) {
      let (left, right) = (NormalPoint(z1), NormalPoint(z2))
      let area = right.slope - left.slope
      guard z2 - z1 > 1e-6, max(z1.magnitude, z2.magnitude) < 7, area.magnitude > 1e-8 else { return }
      let inside = probability(1, [left, right])
      let level = target.q / area
      let variance = level * level * inside * (1 - inside)
      // Of equal ones, mirror images but for rounding, the first.
      if best.map({ variance < $0.variance * (1 - 1e-9) }) ?? true { best = (z1, z2, variance) }
    }
    if e1.magnitude < 1e-13 {
      func rest(_ z: Double) -> Double {
        let point = NormalPoint(z)
        return 1 - 4 * point.above - 2 * e3 * point.slope
      }
      let steps = 2000
      for i in 0..<steps {
        let (low, high) = (8 * Double(i) / Double(steps), 8 * Double(i + 1) / Double(steps))
        if (rest(low) > 0) != (rest(high) > 0) {
          let z = bisection(low, high, rest)
          consider(-z, z)
        }
      }
    } else {
      for sign in [1.0, -1] {
        for i in 0..<14 {
          for j in 0..<12 {
            let first = -3.5 + Double(i) / 2
            let second = first + 0.25 + Double(j) * (3.5 - first) / 11
            if let (z1, z2) = twoLevelRoot(first, second, sign * e1, e3) { consider(z1, z2) }
          }
        }
      }
    }
    guard let best else { throw .noTwoLevels }
    let level = target.q / (NormalPoint(best.z2).slope - NormalPoint(best.z1).slope)
    return centred(thresholds: [best.z1, best.z2], levels: [level, 0, level])
  }

  /// Newton's method, with steps halved until the equations' residual falls.
  private static func twoLevelRoot(_ z1: Double, _ z2: Double, _ e1: Double, _ e3: Double) -> (Double, Double)? {
    func equations(_ left: NormalPoint, _ right: NormalPoint) -> (Double, Double) {
      let area = right.slope - left.slope
      return (right.density - left.density - e1 * area, 2 * probability(1, [left, right]) - 1 - e3 * area)
    }
    var (left, right) = (NormalPoint(z1), NormalPoint(z2))
    var (f, g) = equations(left, right)
    for _ in 0..<60 {
      // φ′ = −zφ, (zφ)′ = (1 − z²)φ
      let (bendLeft, bendRight) = (
        (1 - left.value * left.value) * left.density, (1 - right.value * right.value) * right.density
      )
      let (f1, f2) = (left.slope + e1 * bendLeft, -right.slope - e1 * bendRight)
      let (g1, g2) = (-2 * left.density + e3 * bendLeft, 2 * right.density - e3 * bendRight)
      let determinant = f1 * g2 - f2 * g1
      guard determinant != 0 else { return nil }
      let (step1, step2) = ((f * g2 - g * f2) / determinant, (f1 * g - g1 * f) / determinant)
      var factor = min(1, 2 / max(step1.magnitude, step2.magnitude))
      let size = f.magnitude + g.magnitude
      if size < 1e-15 { break }
      var isBetter = false
      for _ in 0..<12 {
        let (nextLeft, nextRight) = (
          NormalPoint(left.value - factor * step1), NormalPoint(right.value - factor * step2)
        )
        let next = equations(nextLeft, nextRight)
        if next.0.magnitude + next.1.magnitude < size {
          (left, right, f, g) = (nextLeft, nextRight, next.0, next.1)
          isBetter = true
          break
        }
        factor /= 2
      }
      if !isBetter { break }
    }
    return f.magnitude < 1e-13 && g.magnitude < 1e-13 ? (left.value, right.value) : nil
  }

  /// σ_Q: b where z < z₁, z₂ < z < z₃ or z > z₄ = z₃ + z₂ − z₁.
  ///
  /// Least squares over (b, z₁, z₂ − z₁, z₃ − z₂) by the method of Levenberg and Marquardt, from a grid.
  static func fourThresholds(_ target: MatchingTarget, variance: Double) throws(MatchingError) -> Staircase {
    var best: (x: [Double], loss: Double)?
    // (D3/D2)² + 4τ², what b² is where all is matched.
    let start = (target.r / target.q * (target.r / target.q) + 4 * variance).squareRoot()
    for first in [-3.0, -2, -1, 0, 1, 2] {
      for gap in [-2.0, -0.5, 1] {
        for width in [-2.0, -0.5, 1] {
          guard let found = leastSquares([start, first, gap, width], { sigmaQResiduals($0, target, variance) })
          else { continue }
          if best.map({ found.loss < $0.loss * (1 - 1e-9) - 1e-26 }) ?? true { best = found }
        }
      }
    }
    guard let best else { throw .noTwoLevels }
    let b = best.x[0]
    return centred(thresholds: sigmaQThresholds(best.x), levels: [b, 0, b, 0, b])
  }

  /// z₁ from −5 to 5, differences from .02 to 4: intervals beyond are as good as none.
  private static func sigmaQThresholds(_ x: [Double]) -> [Double] {
    let z1 = 5 * tanh(x[1] / 5)
    let (gap, width) = (0.02 + 1.99 * (1 + tanh(x[2])), 0.02 + 1.99 * (1 + tanh(x[3])))
    return [z1, z1 + gap, z1 + gap + width, z1 + 2 * gap + width]
  }

  /// d1², d2², dd and the variance less what they are to be, in units.
  private static func sigmaQResiduals(_ x: [Double], _ target: MatchingTarget, _ variance: Double) -> [Double] {
    let points = sigmaQThresholds(x).map { NormalPoint($0) }
    let b = x[0]
    var (first, second) = (0.0, 0.0)
    for (i, point) in points.enumerated() {
      let rise = i.isMultiple(of: 2) ? -b : b
      first += rise * point.density
      second += rise * point.slope
    }
    let part = probability(0, points) + probability(2, points) + probability(4, points)
    return [
      first * first - target.p * target.p, second * second - target.q * target.q,
      (b - 2 * b * part) * second - target.r, b * b * part * (1 - part) - variance,
    ]
  }
}

/// The method of Levenberg and Marquardt, with derivatives by central differences, from a start; `nil` where nothing is finite.
private func leastSquares(
  _ start: [Double], _ residuals: ([Double]) -> [Double]
) -> (x: [Double], loss: Double)? {
  func loss(_ r: [Double]) -> Double { r.reduce(0) { $0 + $1 * $1 } }
  var x = start
  var r = residuals(x)
  var damping = 1e-2
  guard loss(r).isFinite else { return nil }
  let n = x.count
  for _ in 0..<100 {
    let columns = (0..<n).map { k in
      var (low, high) = (x, x)
      let h = 1e-5 * max(1, x[k].magnitude)
      low[k] -= h
      high[k] += h
      return zip(residuals(high), residuals(low)).map { ($0 - $1) / (2 * h) }
    }
    var isBetter = false
    let gradient = columns.map { zip($0, r).reduce(0) { $0 + $1.0 * $1.1 } }
    for _ in 0..<12 {
      var matrix = SmallMatrix(n)
      for i in 0..<n {
        for j in 0..<n { matrix[i, j] = zip(columns[i], columns[j]).reduce(0) { $0 + $1.0 * $1.1 } }
        matrix[i, i] += damping * (matrix[i, i] + 1e-12)
      }
      guard let factor = matrix.cholesky() else {
        damping *= 10
        continue
      }
      let step = factor.solve(gradient)
      let next = zip(x, step).map { $0 - $1 }
      let nextResiduals = residuals(next)
      if loss(nextResiduals) < loss(r) {
        let gain = loss(r) - loss(nextResiduals)
        (x, r) = (next, nextResiduals)
        damping = max(1e-14, damping / 10)
        isBetter = gain > 1e-15 * loss(r)
        break
      }
      damping *= 10
    }
    if !isBetter || loss(r) < 1e-30 { break }
  }
  return (x, loss(r))
}
