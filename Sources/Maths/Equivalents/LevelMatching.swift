// SPDX-License-Identifier: Apache-2.0

internal import Glibc

extension Staircase {
  /// The function of so many levels that has p, q and r and the smallest variance.
  ///
  /// That of three levels is found by a search, as two thresholds determine its levels; that of more from that of one
  /// fewer by dividing each interval in turn. Each is a start for Newton's method on the conditions of Lagrange.
  static func optimal(_ target: MatchingTarget, levels: Int) throws(MatchingError) -> Staircase {
    let start = target.isOdd ? try symmetricTernary(target) : try threeLevels(target)
    guard var best = StationaryPoint(start, target) else { throw .noSolution }
    while best.levels.count < levels {
      var next: StationaryPoint?
      for start in best.divided {
        guard let found = StationaryPoint(start, target) else { continue }
        // Of equal ones, mirror images but for rounding, the first.
        if next.map({ found.variance < $0.variance * (1 - 1e-9) }) ?? true { next = found }
      }
      guard let next else { break }
      best = next
    }
    return Staircase(thresholds: best.thresholds, levels: best.levels)
  }

  /// For thresholds z₁ < z₂, the jumps a₁, a₂ follow from p = Σaᵢφ(zᵢ) and q = Σaᵢzᵢφ(zᵢ), and the lowest level from the
  /// mean; r is then one equation for z₂, and z₁ is free.
  private static func threeLevels(_ target: MatchingTarget) throws(MatchingError) -> Staircase {
    let (count, steps) = (111, 200)
    var best: (staircase: Staircase, variance: Double)?
    for i in 0..<count {
      let first = NormalPoint(-3 + 5.5 * Double(i) / Double(count - 1))
      func rest(_ z: Double) -> Double { ThreeLevels(first, NormalPoint(z), target).curvature - target.r }
      let (low, high) = (first.value + 0.02, min(first.value + 6, 6))
      func position(_ k: Int) -> Double { low + (high - low) * Double(k) / Double(steps - 1) }
      var last = rest(low)
      for k in 1..<steps {
        let value = rest(position(k))
        if (value > 0) != (last > 0) {
          let z = bisection(position(k - 1), position(k), rest)
          let found = ThreeLevels(first, NormalPoint(z), target)
          if best.map({ found.variance < $0.variance * (1 - 1e-9) }) ?? true {
            best = (Staircase(thresholds: [first.value, z], levels: found.levels), found.variance)
          }
        }
        last = value
      }
    }
    guard let best else { throw .noSolution }
    return best.staircase
  }
}

private struct ThreeLevels {
  var levels: [Double] { [lowest, lowest + jump1, lowest + jump1 + jump2] }
  private let lowest: Double
  private let jump1: Double
  private let jump2: Double
  /// E[(z² − 1)s²]
  let curvature: Double
  let variance: Double

  init(_ first: NormalPoint, _ second: NormalPoint, _ target: MatchingTarget) {
    let gap = second.value - first.value
    let weight1 = (target.p * second.value - target.q) / gap
    let weight2 = (target.q - target.p * first.value) / gap
    jump1 = weight1 / first.density
    jump2 = weight2 / second.density
    lowest = -(jump1 * first.above + jump2 * second.above)
    let middle = lowest + jump1
    let highest = middle + jump2
    curvature = weight1 * first.value * (lowest + middle) + weight2 * second.value * (middle + highest)
    variance =
      lowest * lowest * first.below + middle * middle * (first.above - second.above)
      + highest * highest * second.above
  }
}

/// A function of few levels with p, q and r, of a variance that is least among those near it.
///
/// With multipliers, the Lagrange function is ∫(w·s² − 2h·s)φ dz, w = 1 + λ(z² − 1), h = μ₀ + μ₁z + μ₂(z² − 1): it is
/// stationary where each level is ∫hφ/∫wφ over its interval, and each threshold where h/w is the mean of the levels
/// beside it.
private struct StationaryPoint {
  private(set) var thresholds: [Double]
  private(set) var levels: [Double]
  private(set) var variance = 0.0
  private var lambda = 0.0
  private var mu = (0.0, 0.0, 0.0)
  private let target: MatchingTarget

  /// By Newton's method; `nil` where it does not come to an end.
  init?(_ start: Staircase, _ target: MatchingTarget) {
    (thresholds, levels, self.target) = (start.thresholds, start.levels, target)
    guard improve() else { return nil }
  }

  private var count: Int { thresholds.count + levels.count }

  /// What depends on the thresholds and levels.
  private struct Equations {
    let points: [NormalPoint]
    /// ∫φ, ∫zφ and ∫(z² − 1)φ over each interval.
    var masses: [Double] = []
    var firsts: [Double] = []
    var seconds: [Double] = []
    /// The mean, E[zs] − p, E[(z² − 1)s] − q and E[(z² − 1)s²] − r.
    var constraints = [0.0, 0, 0, 0]
    var variance = 0.0
    /// Derivatives by thresholds, then levels, of the constraints and of the variance.
    var jacobian: [[Double]]
    var gradient: [Double]

    init(_ thresholds: [Double], _ levels: [Double], _ target: MatchingTarget) {
      points = thresholds.map { NormalPoint($0) }
      let steps = thresholds.count
      jacobian = [[Double]](repeating: [Double](repeating: 0, count: steps + levels.count), count: 4)
      gradient = jacobian[0]
      for i in levels.indices {
        let (left, right) = (i > 0 ? points[i - 1] : nil, i < steps ? points[i] : nil)
        masses.append(probability(i, points))
        firsts.append((left?.density ?? 0) - (right?.density ?? 0))
        seconds.append((left?.slope ?? 0) - (right?.slope ?? 0))
        let level = levels[i]
        constraints[0] += masses[i] * level
        constraints[1] += firsts[i] * level
        constraints[2] += seconds[i] * level
        constraints[3] += seconds[i] * level * level
        variance += masses[i] * level * level
        jacobian[0][steps + i] = masses[i]
        jacobian[1][steps + i] = firsts[i]
        jacobian[2][steps + i] = seconds[i]
        jacobian[3][steps + i] = 2 * seconds[i] * level
        gradient[steps + i] = 2 * masses[i] * level
      }
      for (j, point) in points.enumerated() {
        let fall = (levels[j] - levels[j + 1]) * point.density
        let sum = levels[j] + levels[j + 1]
        let bend = point.value * point.value - 1
        jacobian[0][j] = fall
        jacobian[1][j] = fall * point.value
        jacobian[2][j] = fall * bend
        jacobian[3][j] = fall * bend * sum
        gradient[j] = fall * sum
      }
      constraints[1] -= target.p
      constraints[2] -= target.q
      constraints[3] -= target.r
    }

    /// The smallest change of all that makes the constraints 0, to first order.
    var correction: [Double]? {
      guard let change = gram.cholesky()?.solve(constraints) else { return nil }
      return gradient.indices.map { k in -(0..<4).reduce(0) { $0 + jacobian[$1][k] * change[$1] } }
    }

    /// The products of the constraints' derivatives.
    var gram: SmallMatrix {
      var result = SmallMatrix(4)
      for i in 0..<4 { for j in 0..<4 { result[i, j] = sum(jacobian[i], jacobian[j]) } }
      return result
    }
  }

  /// Second derivatives of the Lagrange function.
  private func hessian(_ equations: Equations) -> SmallMatrix {
    let steps = thresholds.count
    var result = SmallMatrix(count)
    for i in levels.indices {
      result[steps + i, steps + i] = 2 * (equations.masses[i] + lambda * equations.seconds[i])
    }
    for (j, point) in equations.points.enumerated() {
      let (z, density) = (point.value, point.density)
      let (w, h) = (1 + lambda * (z * z - 1), mu.0 + mu.1 * z + mu.2 * (z * z - 1))
      let (left, right) = (levels[j], levels[j + 1])
      let sum = left + right
      result[j, j] =
        (right - left) * density * (2 * (mu.1 + 2 * mu.2 * z) - 2 * lambda * z * sum - z * (2 * h - w * sum))
      result[j, steps + j] = 2 * (w * left - h) * density
      result[steps + j, j] = result[j, steps + j]
      result[j, steps + j + 1] = 2 * (h - w * right) * density
      result[steps + j + 1, j] = result[j, steps + j + 1]
    }
    return result
  }

  /// - Returns: whether a minimum was reached.
  private mutating func improve() -> Bool {
    var equations = Equations(thresholds, levels, target)
    guard var multipliers = equations.gram.cholesky()?.solve(equations.jacobian.map { -sum($0, equations.gradient) })
    else { return false }
    setMultipliers(multipliers)
    var penalty = 1.0
    var isStationary = false
    var polishing = 0
    for _ in 0..<200 {
      guard let (step, next) = newtonStep(equations) else { return false }
      multipliers = next
      penalty = max(penalty, 2 * (multipliers.map(\.magnitude).max() ?? 0))
      func merit(_ equations: Equations) -> Double {
        equations.variance + penalty * equations.constraints.reduce(0) { $0 + $1.magnitude }
      }
      let change = step.prefix(thresholds.count).map(\.magnitude).max() ?? 0
      let scale = levels.map(\.magnitude).max() ?? 0
      let size = max(change, (step.suffix(levels.count).map(\.magnitude).max() ?? 0) / max(1, scale))
      if size < 1e-12 {
        isStationary = true
        break
      }
      var factor = min(1, 1 / change)
      let before = merit(equations)
      var isBetter = false
      for _ in 0..<30 {
        if let next = moved(by: step, factor), merit(next.equations) < before {
          (thresholds, levels, equations) = next
          isBetter = true
          break
        }
        factor /= 2
      }
      setMultipliers(multipliers)
      if !isBetter {
        // The variance is at its rounding, the position not yet.
        guard size < 1e-5, polishing < 3, let next = moved(by: step, 1) else {
          isStationary = size < 1e-5
          break
        }
        (thresholds, levels, equations) = next
        polishing += 1
      }
    }
    guard isStationary else { return false }
    return restore()
  }

  /// A part of the step, and back to where the constraints hold: along a straight line they allow small steps only. `nil`
  /// where thresholds would come too near to one another, or lie further out than inputs do: a high level out there
  /// raises r at no cost in variance, but a network of finite width does not get to it.
  private func moved(
    by step: [Double], _ factor: Double
  ) -> (thresholds: [Double], levels: [Double], equations: Equations)? {
    let steps = thresholds.count
    var z = thresholds.indices.map { thresholds[$0] + factor * step[$0] }
    var c = levels.indices.map { levels[$0] + factor * step[steps + $0] }
    func isOrdered() -> Bool {
      zip(z, z.dropFirst()).allSatisfy { $1 - $0 > 1e-3 } && z.allSatisfy { $0.magnitude < 5 }
    }
    guard isOrdered() else { return nil }
    let equations = Equations(z, c, target)
    guard let correction = equations.correction else { return nil }
    for k in z.indices { z[k] += correction[k] }
    for k in c.indices { c[k] += correction[steps + k] }
    return isOrdered() ? (z, c, Equations(z, c, target)) : nil
  }

  /// Multipliers of the constraints, from L = V + Σ νₖgₖ.
  private mutating func setMultipliers(_ nu: [Double]) {
    lambda = nu[3]
    mu = (-nu[0] / 2, -nu[1] / 2, -nu[2] / 2)
  }

  /// Step and multipliers of Newton's method, made one that descends where the second derivatives are not positive.
  private func newtonStep(_ equations: Equations) -> (step: [Double], multipliers: [Double])? {
    let hessian = hessian(equations)
    let weight = 100.0
    var shift = 0.0
    for _ in 0..<30 {
      var matrix = hessian
      for i in 0..<count {
        for j in 0..<count {
          matrix[i, j] += weight * (0..<4).reduce(0) { $0 + equations.jacobian[$1][i] * equations.jacobian[$1][j] }
        }
        matrix[i, i] += shift
      }
      if let factor = matrix.cholesky() {
        let columns = equations.jacobian.map { factor.solve($0) }
        let own = factor.solve(equations.gradient)
        // The weight adds multiples of the constraints to the multipliers, and nothing to the step.
        var schur = SmallMatrix(4)
        for i in 0..<4 { for j in 0..<4 { schur[i, j] = sum(equations.jacobian[i], columns[j]) } }
        guard let small = schur.cholesky() else { return nil }
        let right = (0..<4).map { equations.constraints[$0] - sum(equations.jacobian[$0], own) }
        let nu = small.solve(right)
        let step = own.indices.map { k in -own[k] - (0..<4).reduce(0) { $0 + columns[$1][k] * nu[$1] } }
        return (step, (0..<4).map { nu[$0] - weight * equations.constraints[$0] })
      }
      shift = shift == 0 ? 1e-4 : shift * 4
    }
    return nil
  }

  /// The constraints to the last digits.
  private mutating func restore() -> Bool {
    var equations = Equations(thresholds, levels, target)
    for _ in 0..<4 {
      guard let correction = equations.correction else { return false }
      for k in thresholds.indices { thresholds[k] += correction[k] }
      for k in levels.indices { levels[k] += correction[thresholds.count + k] }
      equations = Equations(thresholds, levels, target)
    }
    variance = equations.variance
    return equations.constraints.allSatisfy { $0.magnitude < 1e-12 * max(1, target.r.magnitude) }
  }

  /// With one more level: each interval divided where it has half its probability, the outer ones also far out.
  var divided: [Staircase] {
    levels.indices.map { dividing($0, at: 0.5) } + [dividing(0, at: 0.03), dividing(levels.count - 1, at: 0.97)]
  }

  /// An interval divided at a part of its probability, with the levels that the multipliers have there.
  private func dividing(_ interval: Int, at part: Double) -> Staircase {
    let mass = probability(interval, thresholds.map { NormalPoint($0) }) * part
    let low = interval > 0 ? thresholds[interval - 1] : -9
    let high = interval < thresholds.count ? thresholds[interval] : 9
    let middle = bisection(low, high) { z in
      probability(1, [NormalPoint(low), NormalPoint(z)]) - mass
    }
    var (z, c) = (thresholds, levels)
    z.insert(middle, at: interval)
    c.insert(c[interval], at: interval)
    let equations = Equations(z, c, target)
    for i in [interval, interval + 1] {
      let weight = equations.masses[i] + lambda * equations.seconds[i]
      let sum = mu.0 * equations.masses[i] + mu.1 * equations.firsts[i] + mu.2 * equations.seconds[i]
      if weight > 0.1 * equations.masses[i] { c[i] = sum / weight }
    }
    return Staircase(thresholds: z, levels: c)
  }
}

private func sum(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

/// A square matrix of a few rows.
struct SmallMatrix {
  let count: Int
  private var elements: [Double]

  init(_ count: Int) {
    self.count = count
    elements = [Double](repeating: 0, count: count * count)
  }

  subscript(row: Int, column: Int) -> Double {
    get { elements[row * count + column] }
    set { elements[row * count + column] = newValue }
  }

  /// L with LLᵀ the matrix; `nil` where it is not positive.
  func cholesky() -> SmallMatrix? {
    var result = SmallMatrix(count)
    for i in 0..<count {
      for j in 0...i {
        var value = self[i, j]
        for k in 0..<j { value -= result[i, k] * result[j, k] }
        if i == j {
          guard value > 1e-14 * self[i, i].magnitude, value.isFinite else { return nil }
          result[i, i] = value.squareRoot()
        } else {
          result[i, j] = value / result[j, j]
        }
      }
    }
    return result
  }

  /// x with LLᵀx = b, this being L.
  func solve(_ b: [Double]) -> [Double] {
    var x = b
    for i in 0..<count {
      for k in 0..<i { x[i] -= self[i, k] * x[k] }
      x[i] /= self[i, i]
    }
    for i in (0..<count).reversed() {
      for k in i + 1..<count { x[i] -= self[k, i] * x[k] }
      x[i] /= self[i, i]
    }
    return x
  }
}
