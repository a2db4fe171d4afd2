// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Matrices
internal import Tensors

/// As `optimalSupport` and `largestSupport`, of a group of doubles. Of the best support, only what is in question after
/// `nc_wide_collect` is sorted.
func support(ofDoubles weights: UnsafeBufferPointer<Double>, rule: TernaryRule) -> Support {
  withUnsafeTemporaryAllocation(of: Double.self, capacity: weights.count + 1) { room in
    guard let x = weights.baseAddress, let magnitudes = room.baseAddress else { return .empty }
    if rule == .optimal {
      var low = 0.0
      var base = nc_tail()
      let count = nc_wide_collect(x, weights.count, magnitudes, &low, &base)
      var candidates = UnsafeMutableBufferPointer(start: magnitudes, count: count)
      return support(ofSorting: &candidates, rule: rule, base: base, low: low)
    }
    for i in 0..<weights.count { (magnitudes + i).initialize(to: weights[i].magnitude) }
    var all = UnsafeMutableBufferPointer(start: magnitudes, count: weights.count)
    return support(ofSorting: &all, rule: rule)
  }
}

/// Returns the support of a group of doubles by sorting its magnitudes, whose order is lost. The best support has those
/// of `base`, too, which are larger; of all others none exceeds `low`.
///
/// Magnitudes are divided by a power of two near the largest before they are summed and squared, so that nothing
/// overflows.
func support(
  ofSorting magnitudes: inout UnsafeMutableBufferPointer<Double>, rule: TernaryRule, base: nc_tail = nc_tail(),
  low: Double = 0
) -> Support {
  magnitudes.sort(by: >)
  let largest = magnitudes.first ?? low
  guard largest > 0 else { return .empty }
  let unit = largest.binade
  let nonzero = magnitudes.firstIndex(of: 0) ?? magnitudes.count
  var sum = 0.0
  switch rule {
  case .optimal:
    sum = base.sum / unit
    var count = Double(base.count)
    var objective = count > 0 ? sum * sum / count : 0
    var support =
      count > 0 ? Support(above: largest, count: Int(base.count), mean: sum / count * unit) : .empty
    for i in 0..<nonzero {
      sum += magnitudes[i] / unit
      count += 1
      let next = i + 1 < magnitudes.count ? magnitudes[i + 1] : low
      if next == magnitudes[i] { continue }
      let value = sum * sum / count
      if value > objective {
        objective = value
        support = Support(above: next, count: Int(count), mean: sum / count * unit)
      }
    }
    return support
  case .sparsity(let sparsity):
    let count = min(nonzero, magnitudes.count - sparsity.floor(of: magnitudes.count))
    if count == 0 { return .empty }
    for i in 0..<count { sum += magnitudes[i] / unit }
    let next = count < magnitudes.count ? magnitudes[count] : 0
    let last = magnitudes[count - 1]
    let ties = next == last ? count - (magnitudes.firstIndex(of: last) ?? 0) : 0
    return Support(above: next, ties: ties, count: count, mean: sum / Double(count) * unit)
  }
}
