// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Parallel
internal import Tensors

/// Finds the scale s > 0 that minimises f(s) = Σ (w − s k)², k the integer in 0…L nearest to w / s, of magnitudes w ≥ 0.
///
/// **What is searched.** As k is the best assignment for s, f(s) is the least of ‖w − s k‖² over all k ∈ {0…L}ⁿ. So
/// the minimum of f is the least of u(k) = ‖w‖² − ⟨w, k⟩² / ‖k‖² over all k, and it is enough to look at those k that
/// some s has: between two neighbours of the *breakpoints* w / (j − ½), j = 1…L, k does not change. The minimum is at
/// the least-squares scale s* = ⟨w, k*⟩ / ‖k*‖² of its k*, and there s*²‖k*‖² = ‖w‖² − f(s*).
///
/// **What is left out.** Let F ≥ f(s*) be the least error found so far, N = ‖w‖². For every x > 0, f(x) is at most the
/// error of k* at x, a parabola about s*:
///
///     f(x) ≤ ‖w − x k*‖² = f(s*) + (x − s*)² ‖k*‖² = f(s*) + (x − s*)² (N − f(s*)) / s*² ≤ F + ((x − s*) / s*)² N.
///
/// So with r = √((f(x) − F) / N), one evaluation at x rules out all s with |x − s| < r s: the open interval from
/// x / (1 + r) to x / (1 − r) (to infinity when r ≥ 1). Besides, s* ≤ 2 max w, as some k* is not 0, and
/// s* ≥ √((N − F) / n) / L, as ‖k*‖² ≤ n L².
///
/// **The search.** f is evaluated at points of this range; where two neighbours do not rule out all that lies between
/// them, either a point in the middle of what is left is added, or, when few breakpoints lie between them (their number
/// is the difference of Σ k), these are sorted, and u is computed for the k of every piece.
///
/// **Rounding.** f(x) = Σ e², e = w − x k, and u = f(x) − (Σ k e)² / ‖k‖², have no large terms that cancel: e is within
/// 2⁻⁵² w, so f(x) is within 2⁻⁵¹ √(f(x) N), and some 2⁻⁵³ of itself for each addition in a lane; `radius` allows for
/// more. A sweep adds m ≤ n / 16 terms to sums of e over an interval of relative width d ≤ ½ that has m breakpoints, so u
/// is within 2⁻⁵² m d² N. All in all, f at the scale found is within 10⁻⁹ of the least, or within 2⁻⁴⁴ N (2⁻⁶² n N beyond
/// 2¹⁸ weights) if this is more.
struct ScaleSearch: Sendable {
  let weights: GridWeights
  /// The largest magnitude, > 0.
  let largest: Double
  /// L.
  let most: Double
  let threads: Threads

  /// Weights whose sums are taken together.
  private static let block = 1 << 15

  private struct Point {
    let scale: Double
    let sums: nc_scale_sums

    /// u: the least error of this assignment, and the scale that has it.
    var least: (error: Double, scale: Double) {
      guard sums.squares > 0 else { return (sums.error, scale) }
      return (max(0, sums.error - sums.slope * sums.slope / sums.squares), scale + sums.slope / sums.squares)
    }
  }

  /// Two points with nothing evaluated between them.
  private struct Gap {
    let low: Point
    let high: Point

    var breakpoints: Int { Int(low.sums.steps - high.sums.steps) }
    var leastError: Double { min(low.sums.error, high.sums.error) }
  }

  /// The best scale.
  func best() -> Double {
    // L levels of the largest magnitude: nothing is clamped.
    let first = points([largest / most])[0]
    let norm = points([4 * largest])[0].sums.error
    var best = first.least
    func include(_ points: [Point]) {
      for point in points where point.least.error < best.error { best = point.least }
    }
    /// How far around a point nothing is better, relative to what is not better.
    func radius(_ point: Point) -> Double {
      let error = point.sums.error
      let slack = error * 0x1p-40 + (error * norm).squareRoot() * 0x1p-49
      return (max(0, error - slack - best.error) / norm).squareRoot()
    }
    /// What is left between two points.
    func remainder(_ gap: Gap) -> (low: Double, high: Double)? {
      let below = radius(gap.low)
      let above = radius(gap.high)
      let low = below < 1 ? gap.low.scale / (1 - below) : .infinity
      let high = gap.high.scale / (1 + above)
      return low < high ? (low, high) : nil
    }

    let least = (max(0, norm - best.error) / Double(weights.count)).squareRoot() / most * (1 - 0x1p-20)
    var grid = [least]
    while let last = grid.last, last < 2 * largest { grid.append(last * 1.5) }
    let start = points(grid)
    include(start)
    var gaps = zip(start, start.dropFirst()).map { Gap(low: $0, high: $1) }
    var narrow: [Gap] = []
    let few = max(16, weights.count / 16)
    while !gaps.isEmpty {
      var split: [Gap] = []
      var middles: [Double] = []
      for gap in gaps where gap.breakpoints > 0 {
        guard let (low, high) = remainder(gap) else { continue }
        // The same distance from both, relative to them.
        let middle = 2 / (1 / low + 1 / high)
        if gap.breakpoints <= few || middle <= gap.low.scale || middle >= gap.high.scale {
          narrow.append(gap)
        } else {
          split.append(gap)
          middles.append(middle)
        }
      }
      let added = points(middles)
      include(added)
      gaps = zip(split, added).flatMap { [Gap(low: $0.low, high: $1), Gap(low: $1, high: $0.high)] }
    }
    narrow.sort { $0.leastError < $1.leastError }
    for gap in narrow where remainder(gap) != nil { sweep(gap, best: &best) }
    return best.scale
  }

  /// Evaluates f at some scales, block by block.
  private func points(_ scales: [Double]) -> [Point] {
    guard !scales.isEmpty else { return [] }
    let blocks = threads.results((weights.count + Self.block - 1) / Self.block) { block in
      let some = weights[block * Self.block..<min(weights.count, (block + 1) * Self.block)]
      return scales.map { nc_scale_evaluate(some.base, some.isWide, some.count, $0, most) }
    }
    var total = blocks[0]
    for block in blocks.dropFirst() {
      for i in total.indices { total[i].add(block[i]) }
    }
    return zip(scales, total).map(Point.init)
  }

  /// Tries the assignments between two points, from the higher scale down: at each breakpoint one k becomes larger by 1.
  /// Sums are those of e = w − σ k, σ the higher scale.
  private func sweep(_ gap: Gap, best: inout (error: Double, scale: Double)) {
    let count = gap.breakpoints
    withUnsafeTemporaryAllocation(of: nc_breakpoint.self, capacity: count) { room in
      guard let base = room.baseAddress else { return }
      let found = nc_scale_breakpoints(
        weights.base, weights.isWide, weights.count, gap.low.scale, gap.high.scale, most, base)
      var breakpoints = UnsafeMutableBufferPointer(start: base, count: found)
      breakpoints.sort { $0.at > $1.at }
      let scale = gap.high.scale
      var sums = gap.high.sums
      for point in breakpoints {
        let value = scale * point.step
        sums.error += scale * (value - 2 * point.weight)
        sums.slope += point.weight - value
        sums.squares += point.step
        let error = sums.error - sums.slope * sums.slope / sums.squares
        if error < best.error { best = (max(0, error), scale + sums.slope / sums.squares) }
      }
    }
  }

  /// The best scale times `unit`, rounded: of the two values of the type around it, the one with less error.
  func best(unit: Double, type: ElementType) -> Double {
    let scale = best()
    let rounded = type.nearest(scale * unit)
    if rounded / unit == scale { return rounded }
    let isBelow = rounded / unit < scale
    let other =
      type == .float64
      ? (isBelow ? rounded.nextUp : rounded.nextDown)
      : Double(isBelow ? Float(rounded).nextUp : Float(rounded).nextDown)
    let candidates = [rounded, other].filter { $0 > 0 && $0.isFinite }
    let errors = points(candidates.map { $0 / unit }).map(\.sums.error)
    return errors.count == 2 && errors[1] < errors[0] ? candidates[1] : candidates[0]
  }
}

extension nc_scale_sums {
  fileprivate mutating func add(_ other: nc_scale_sums) {
    error += other.error
    slope += other.slope
    squares += other.squares
    steps += other.steps
  }
}
