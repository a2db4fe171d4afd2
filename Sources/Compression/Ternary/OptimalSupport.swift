// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Matrices

/// Which weights of a scale group are kept: all whose magnitude exceeds `above`, and the first `ties` of those that
/// equal it.
struct Support: Equatable {
  var above: Double
  var ties = 0
  /// Weights kept.
  var count: Int
  /// The mean magnitude of those kept, which is the best scale for them; 0 when none is.
  var mean: Double

  static let empty = Support(above: .infinity, count: 0, mean: 0)
}

extension Support {
  init(_ found: nc_support) {
    self.init(
      above: Double(found.above), count: Int(found.count), mean: found.count > 0 ? found.sum / Double(found.count) : 0)
  }
}

/// The k magnitudes above a threshold and bounds of their sum: least ≤ S_k ≤ most. k is exact.
struct TailPoint {
  let threshold: Float
  let count: Double
  let least: Double
  let most: Double
  private let inverse: Double

  /// `slack` bounds the error of `sum`.
  init(threshold: Float, count: Double, sum: Double, slack: Double) {
    self.threshold = threshold
    self.count = count
    least = sum - slack
    most = sum + slack
    inverse = count > 0 ? 1 / count : 0
  }

  /// Bounds of φ(threshold) = S_k / 2k.
  var lowest: Double { least * inverse * (0.5 - rounding) }
  var highest: Double { most * inverse * (0.5 + rounding) }

  /// Bounds of f(k) = S_k² / k.
  var atLeast: Double { least * least * inverse * (1 - rounding) }
  var atMost: Double { most * most * inverse * (1 + rounding) }
}

/// More than the relative error of a sum in double (up to 2³⁰ weights in 16 lanes: 2²⁶ roundings of 2⁻⁵³) and of the
/// few operations done with it.
private let rounding = 0x1p-25

/// Returns the support of the ternary vector nearest to a group of weights,
///
///     argmin ‖w − s t‖² over s ≥ 0, t ∈ {−1, 0, 1}ⁿ:   the k largest magnitudes, k* = argmax f(k), f(k) = S_k² / k,
///
/// S_k the sum of the k largest; the smallest such k. `largest` < 2¹²⁰ is the largest magnitude, `sum` the sum of all
/// to a relative 2⁻¹⁸.
///
/// Sorting everything is not needed, because few thresholds are in question. Let s* = S*/k* and p* = s*/2.
///
/// 1. The best support is {|w| > p*}. At the scale s*, taking in a weight changes the error by s*(s* − 2|w|), so one
///    above p* that was left out, or one below p* that was taken in, could be improved on; one equal to p* could be
///    left out at no cost, and the scale then improved. So p* is a fixed point of φ(t) = mean(|w| : |w| > t) / 2.
/// 2. φ never decreases. So p* ≥ t implies p* ≥ φ(t), and p* ≤ t implies p* ≤ φ(t). In particular
///    φ(0) ≤ p* ≤ max|w| / 2.
/// 3. Between thresholds a < b, the supports {|w| > t} have S_k ≤ min(S_b + b(k − k_b), S_a − a(k_a − k)), as every
///    magnitude between is at most b and at least a. Along a line c + mk with c ≥ 0, (c + mk)²/k first falls and then
///    rises, so strictly between k_b and k_a, f is below the largest of f(k_a), f(k_b) and the bound where the lines
///    cross. When the latter is below the best f known, the optimum is not strictly between.
///
/// Each evaluation of four thresholds leaves, by 2 and 3, some intervals between them, and by 1 the fixed points φ(t)
/// of those t that may themselves give the optimum. Their hull [low, high] contains p*. Magnitudes above `high` are
/// kept, those up to `low` are not; those between are copied together, and the search goes on among them until few are
/// left, which are sorted and tried one by one. Several local optima (heavy tails) only make the hull wider.
///
/// Rounding: counts are exact; sums carry bounds, and 2 and 3 are used with the bound on the safe side. What remains
/// (about ten operations in double, 2⁻⁵³ each; where the crossing point suffers from cancellation, the lower of the two
/// lines there is still within 2⁻⁵¹ of where they cross) is covered by `rounding`. In the end S_k is summed in double:
/// above `high` in the lane order of `nc_magnitude_collect`, then by descending magnitude, the same on every processor.
/// When the sum is exact, as it is for float32 weights unless n · max|w| ≥ 2²⁹ · p*, f(k) is S_k²/k rounded, whatever
/// the order of the weights.
func optimalSupport(
  of group: some Magnitudes, largest: Float, sum: Double, using collection: UndecidedMagnitudes
) -> Support {
  guard largest > 0 else { return .empty }
  var search = Search(count: group.count, largest: largest, sum: sum)
  var base = nc_tail()
  var isCollected = false
  var remaining = group.count
  var rounds = 0
  var isSkewed = false
  while search.isOpen, remaining > 20 {
    search.spread(skewed: isSkewed, into: collection.thresholds)
    if isCollected {
      collection.row.tails(above: collection.thresholds, into: collection.tails)
    } else {
      group.tails(above: collection.thresholds, into: collection.tails)
    }
    search.narrow(with: collection, base: base)
    rounds += 1
    if isCollected {
      let tail = collection.row.collect(low: search.low, high: search.high, into: collection)
      base = nc_tail(sum: base.sum + tail.sum, count: base.count + tail.count)
    } else if remaining <= 512 || search.undecided <= remaining / 4 || rounds == 3 {
      base = group.collect(low: search.low, high: search.high, into: collection)
      isCollected = true
    } else {
      continue
    }
    search.close(at: base)
    if collection.count > remaining - remaining / 8 {
      // Many thresholds compete. The lowest ones are where most weights are; then sorting is the faster way.
      if isSkewed { break }
      isSkewed = true
    } else {
      isSkewed = false
    }
    remaining = collection.count
  }
  if !isCollected { base = group.collect(low: search.low, high: search.high, into: collection) }
  return best(base: base, low: search.low, candidates: collection)
}

/// The thresholds still in question.
private struct Search {
  /// p* lies in low...high.
  var low: Float
  var high: Float
  /// Evaluated thresholds at or outside the ends.
  private var below: TailPoint
  private var above: TailPoint
  /// A lower bound of f at the optimum.
  private var reached: Double

  private static let summing = 0x1p-18

  init(count: Int, largest: Float, sum: Double) {
    below = TailPoint(threshold: 0, count: Double(count), sum: sum, slack: sum * Self.summing)
    above = TailPoint(threshold: largest, count: 0, sum: 0, slack: 0)
    reached = below.atLeast
    low = max(0, Float(below.lowest).nextDown)
    high = (largest / 2).nextUp
  }

  /// Whether a threshold fits strictly between the ends.
  var isOpen: Bool { high.bitPattern > low.bitPattern + 1 }

  /// About how many magnitudes lie in low < |w| ≤ high: those between the evaluated thresholds, in proportion.
  var undecided: Int {
    let part = Double(high.bitPattern - low.bitPattern)
    let whole = Double(above.threshold.bitPattern - below.threshold.bitPattern)
    return whole > 0 ? Int((below.count - above.count) * min(1, part / whole)) : 0
  }

  /// Chooses four thresholds, evenly (or near the lower end) in the bits of the numbers: about so in their logarithms.
  func spread(skewed: Bool, into thresholds: UnsafeMutablePointer<Float>) {
    let width = UInt64(high.bitPattern - low.bitPattern)
    for j in 0..<4 {
      let step = skewed ? width >> UInt64(7 - 2 * j) : width * UInt64(j + 1) / 5
      thresholds[j] = Float(bitPattern: low.bitPattern + UInt32(step))
    }
  }

  /// Draws the ends together by what the tails above the thresholds of `collection` show. `base` is the tail that
  /// has been taken out of the collection.
  mutating func narrow(with collection: UndecidedMagnitudes, base: nc_tail) {
    let points = collection.points
    points[0] = below
    points[5] = above
    for j in 0..<4 {
      let tail = collection.tails[j]
      points[j + 1] = TailPoint(
        threshold: collection.thresholds[j], count: Double(base.count + tail.count), sum: base.sum + tail.sum,
        slack: tail.sum * Self.summing + base.sum * rounding)
    }
    for j in 1...4 { reached = max(reached, points[j].atLeast) }
    var least = Double.infinity
    var most = 0.0
    for j in 0...5 where points[j].count > 0 {
      let a = points[j]
      if a.atMost >= reached {
        least = min(least, a.lowest)
        most = max(most, a.highest)
      }
      if j == 5 { break }
      let b = points[j + 1]
      guard a.count > b.count + 1, Self.canReach(reached, between: a, b) else { continue }
      let from = max(Double(a.threshold), a.lowest)
      let to = b.count > 0 ? min(Double(b.threshold), b.highest) : Double(b.threshold) / 2
      if from <= to {
        least = min(least, from)
        most = max(most, to)
      }
    }
    guard least <= most else { return }
    low = max(low, Float(least).nextDown)
    high = min(high, Float(most).nextUp)
    for j in 1...4 {
      if points[j].threshold <= low { below = points[j] }
      if points[5 - j].threshold >= high { above = points[5 - j] }
    }
  }

  /// Notes that `base` is the tail above `high`.
  mutating func close(at base: nc_tail) {
    above = TailPoint(
      threshold: high, count: Double(base.count), sum: base.sum, slack: base.sum * rounding)
  }

  /// Whether the bound of f where the lines of law 3 cross is as high as `reached`.
  private static func canReach(_ reached: Double, between a: TailPoint, _ b: TailPoint) -> Bool {
    let (ta, tb) = (Double(a.threshold), Double(b.threshold))
    let crossing = ((a.most - ta * a.count) - (b.most - tb * b.count)) / (tb - ta)
    let k = min(max(crossing, b.count), a.count)
    let s = min(b.most + tb * (k - b.count), a.most - ta * (a.count - k))
    return s * s * (1 + rounding) >= reached * k
  }
}

/// Tries every support from `base` to `base` with all candidates.
private func best(base: nc_tail, low: Float, candidates: UndecidedMagnitudes) -> Support {
  candidates.sort()
  let sorted = UnsafeBufferPointer(start: candidates.elements, count: candidates.count)
  var sum = base.sum
  var count = Int(base.count)
  var objective = count > 0 ? sum * sum / Double(count) : 0
  var support = Support(above: Double(sorted.first ?? low), count: count, mean: count > 0 ? sum / Double(count) : 0)
  for i in 0..<sorted.count {
    sum += Double(sorted[i])
    count += 1
    let next = i + 1 < sorted.count ? sorted[i + 1] : low
    // Among equal magnitudes the best is never strictly inside.
    if next == sorted[i] { continue }
    let value = sum * sum / Double(count)
    if value > objective {
      objective = value
      support = Support(above: Double(next), count: count, mean: sum / Double(count))
    }
  }
  return support
}
