// SPDX-License-Identifier: Apache-2.0

/// A minimum as far as it was found.
public struct Minimum: Sendable {
  public var point: [Double]
  public var value: Double
  /// The largest magnitude of a derivative there.
  public var slope: Double
  /// Steps that were taken.
  public var steps: Int
}

/// Minimises a smooth function by the method of limited memory of Broyden, Fletcher, Goldfarb and Shanno (Liu and Nocedal
/// 1989), with steps that meet the strong Wolfe conditions (10⁻⁴, .9; Nocedal and Wright, *Numerical Optimization*,
/// algorithms 3.5, 3.6 and 7.5).
///
/// The same function and start give the same steps.
///
/// - Parameters:
///   - start: n numbers.
///   - memory: pairs of differences that are kept.
///   - slope: ends where no derivative is larger.
///   - steps: most steps that are taken.
///   - inverseHessian: what about the inverse of the Hessian makes of a vector, a symmetric positive definite map; as it is
///     where nothing is known.
///   - function: value and derivatives at a point.
public func minimum(
  from start: [Double], memory: Int = 10, slope: Double, steps: Int,
  inverseHessian: (([Double]) -> [Double])? = nil,
  of function: ([Double]) -> (value: Double, gradient: [Double])
) -> Minimum {
  var point = start
  var (value, gradient) = function(point)
  var pairs: [(s: [Double], y: [Double], rho: Double)] = []
  func found(_ taken: Int) -> Minimum {
    Minimum(point: point, value: value, slope: gradient.reduce(0) { max($0, $1.magnitude) }, steps: taken)
  }
  for step in 0..<steps {
    if gradient.allSatisfy({ $0.magnitude <= slope }) { return found(step) }
    var direction = descent(gradient, pairs, inverseHessian)
    var descent = dot(direction, gradient)
    if !(descent < 0) {
      // The pairs describe another place.
      pairs = []
      direction = gradient.map(-)
      descent = -dot(gradient, gradient)
    }
    let isUnscaled = pairs.isEmpty && inverseHessian == nil
    let first = isUnscaled ? min(1, 1 / gradient.reduce(0) { $0 + $1.magnitude }) : 1
    var search = WolfeSearch(point: point, direction: direction, value: value, descent: descent)
    guard let next = search.step(from: first, of: function) else { return found(step) }
    let s = zip(next.point, point).map { $0 - $1 }
    let y = zip(next.gradient, gradient).map { $0 - $1 }
    let curvature = dot(s, y)
    if curvature > 1e-10 * dot(y, y).squareRoot() * dot(s, s).squareRoot() {
      pairs.append((s, y, 1 / curvature))
      if pairs.count > memory { pairs.removeFirst() }
    }
    (point, value, gradient) = (next.point, next.value, next.gradient)
  }
  return found(steps)
}

/// −H·g, H the inverse Hessian as the pairs have it.
private func descent(
  _ gradient: [Double], _ pairs: [(s: [Double], y: [Double], rho: Double)], _ inverseHessian: (([Double]) -> [Double])?
) -> [Double] {
  var q = gradient
  var alphas: [Double] = []
  for pair in pairs.reversed() {
    let alpha = pair.rho * dot(pair.s, q)
    alphas.append(alpha)
    for i in q.indices { q[i] -= alpha * pair.y[i] }
  }
  if let inverseHessian { q = inverseHessian(q) }
  if let last = pairs.last {
    let scale = 1 / (last.rho * dot(last.y, inverseHessian?(last.y) ?? last.y))
    for i in q.indices { q[i] *= scale }
  }
  for (pair, alpha) in zip(pairs, alphas.reversed()) {
    let beta = pair.rho * dot(pair.y, q)
    for i in q.indices { q[i] += (alpha - beta) * pair.s[i] }
  }
  return q.map(-)
}

/// Looks along a direction for a step that meets the strong Wolfe conditions.
private struct WolfeSearch {
  let point: [Double]
  let direction: [Double]
  let value: Double
  /// The derivative along the direction, below 0.
  let descent: Double

  /// What was found at a length.
  struct Trial {
    var length: Double
    var point: [Double]
    var value: Double
    var gradient: [Double]
    var slope: Double
  }

  private static let most = 30

  func trial(_ length: Double, _ function: ([Double]) -> (value: Double, gradient: [Double])) -> Trial {
    let there = zip(point, direction).map { $0 + length * $1 }
    let (value, gradient) = function(there)
    return Trial(length: length, point: there, value: value, gradient: gradient, slope: dot(gradient, direction))
  }

  private func decreases(_ trial: Trial) -> Bool { trial.value <= value + 1e-4 * trial.length * descent }
  private func isFlat(_ trial: Trial) -> Bool { trial.slope.magnitude <= -0.9 * descent }

  /// `nil` where rounding leaves no step that decreases the function.
  mutating func step(
    from first: Double, of function: ([Double]) -> (value: Double, gradient: [Double])
  ) -> Trial? {
    var before = Trial(length: 0, point: point, value: value, gradient: [], slope: descent)
    var length = first
    for count in 0..<Self.most {
      let trial = trial(length, function)
      if !trial.value.isFinite {
        length = (before.length + length) / 2
        continue
      }
      if !decreases(trial) || (count > 0 && trial.value >= before.value) { return zoom(before, trial, function) }
      if isFlat(trial) { return trial }
      if trial.slope >= 0 { return zoom(trial, before, function) }
      before = trial
      length *= 2
    }
    return before.length > 0 ? before : nil
  }

  /// Between a length that decreases most so far and another, with a minimum between them.
  private func zoom(
    _ low: Trial, _ high: Trial, _ function: ([Double]) -> (value: Double, gradient: [Double])
  ) -> Trial? {
    var (low, high) = (low, high)
    for _ in 0..<Self.most {
      let width = high.length - low.length
      // The minimum of the parabola with the value and slope of `low` and the value of `high`, but not too near an end.
      let bend = high.value - low.value - low.slope * width
      let inner = bend > 0 ? -low.slope * width * width / (2 * bend) : width / 2
      let part = min(max(inner / width, 0.1), 0.9)
      let trial = trial(low.length + (part.isFinite ? part : 0.5) * width, function)
      if !decreases(trial) || !(trial.value < low.value) {
        high = trial
      } else {
        if isFlat(trial) { return trial }
        if trial.slope * width >= 0 { high = low }
        low = trial
      }
      if width.magnitude <= 1e-14 * max(1e-300, low.length.magnitude) { break }
    }
    return low.length > 0 ? low : nil
  }
}
