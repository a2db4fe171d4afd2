// SPDX-License-Identifier: Apache-2.0

internal import CLoops

/// Returns the support of the `kept` largest magnitudes of a group, those with lower indices first among equals;
/// weights that are exactly zero are never kept.
func largestSupport(
  of group: some Magnitudes, kept: Int, largest: Float, using collection: UndecidedMagnitudes
) -> Support {
  let nonzero = group.collect(low: 0, high: 0, into: collection)
  if kept == 0 || nonzero.count == 0 { return .empty }
  if nonzero.count <= kept {
    return Support(above: 0, count: Int(nonzero.count), mean: nonzero.sum / Double(nonzero.count))
  }
  // The magnitude of rank `kept` lies in low < |w| ≤ high: fewer than `kept` exceed high, at least that many low.
  var low: UInt32 = 0
  var high = largest.bitPattern
  var undecided = group.count
  var base: UInt64 = 0
  var collected = false
  while high > low + 1 {
    for j in 0..<4 {
      collection.thresholds[j] = Float(bitPattern: low + UInt32(UInt64(high - low) * UInt64(j + 1) / 5))
    }
    if collected {
      collection.row.tails(above: collection.thresholds, into: collection.tails)
    } else {
      group.tails(above: collection.thresholds, into: collection.tails)
    }
    var counts = (above: UInt64(0), below: UInt64(undecided))
    for j in 0..<4 {
      let bits = collection.thresholds[j].bitPattern
      let count = collection.tails[j].count
      if base + count >= UInt64(kept) {
        low = max(low, bits)
        counts.below = count
      } else if bits < high {
        high = bits
        counts.above = count
      }
    }
    if collected || counts.below - counts.above <= UInt64(group.count / 4) {
      let (from, to) = (Float(bitPattern: low), Float(bitPattern: high))
      base +=
        collected
        ? collection.row.collect(low: from, high: to, into: collection).count
        : group.collect(low: from, high: to, into: collection).count
      collected = true
      undecided = collection.count
    }
  }
  let threshold = Float(bitPattern: high)
  let tail = group.collect(low: threshold, high: threshold, into: collection)
  let ties = kept - Int(tail.count)
  return Support(
    above: Double(threshold), ties: ties, count: kept,
    mean: (tail.sum + Double(ties) * Double(threshold)) / Double(kept))
}
