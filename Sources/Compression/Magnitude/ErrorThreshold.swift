// SPDX-License-Identifier: Apache-2.0

internal import Matrices
internal import Parallel
internal import Tensors

/// The threshold that keeps the fewest weights with a relative error of at most `bound`.
///
/// Let v̂ be the value that v is stored as. The squared error of keeping the k largest is Σ (v − v̂)² over all weights,
/// and v² − (v − v̂)² more for each that is dropped, which is never negative, as zero is no nearer to v than v̂ is. So
/// the error never rises with k. Magnitudes are counted in bins, and what dropping them adds is summed from the
/// smallest on, until the bound is exceeded; then the magnitudes of that bin are tried one by one.
func thresholdWithin(
  _ bound: Double, of elements: SourceElements, stored: ElementType, threads: Threads
) throws(NonFiniteWeight) -> MagnitudeThreshold {
  precondition(bound >= 0, "an error is not negative")
  let largestKey = elements.largestKey(threads: threads)
  if largestKey >= elements.type.infinityKey { throw elements.nonFinite() }
  let largest = elements.type.magnitude(ofKey: largestKey)
  // Dropping everything leaves the whole norm.
  if largest == 0 || bound >= 1 { return .nothing }
  let cost = DropCost(
    stored: stored == elements.type ? nil : stored, unit: elements.type == .float64 ? largest.binade : 1)

  var bins = Bins(0...largest.bitPattern, bits: 12)
  var tally = elements.tally(cost, in: bins, threads: threads)
  let (norm, rounding) = (tally.norm, tally.rounding)
  func isAllowed(_ dropped: Double) -> Bool { ((rounding + dropped) / norm).squareRoot() <= bound }
  // Also where a weight would become infinite.
  guard isAllowed(0) else { return .everything }

  var dropped = 0.0
  var decisive = tally.decisive(&dropped, isAllowed)
  let limit = max(1 << 17, elements.count / 32)
  while tally.counts[decisive] > limit, bins[decisive].count > 1 {
    bins = Bins(bins[decisive], bits: 12)
    tally = elements.tally(cost, in: bins, threads: threads)
    decisive = tally.decisive(&dropped, isAllowed)
  }
  var (threshold, equal) = (bins[decisive].lowerBound, tally.counts[decisive])
  if bins[decisive].count > 1 {
    var magnitudes = elements.contents(bins[decisive], limit: limit, threads: threads).magnitudes ?? []
    while magnitudes.count > 64, let least = magnitudes.min(), let most = magnitudes.max(), least < most {
      let bins = Bins(least...most, bits: 11)
      var tally = Tally(bins)
      for magnitude in magnitudes.lazy.map(Double.init(bitPattern:)) {
        tally.add(magnitude, nearest: cost.nearest(magnitude), cost, in: bins)
      }
      let range = bins[tally.decisive(&dropped, isAllowed)]
      magnitudes.removeAll { !range.contains($0) }
    }
    magnitudes.sort()
    // If, by rounding, dropping all is allowed here, one of the largest is kept.
    while let last = magnitudes.last, let first = magnitudes.first {
      (threshold, equal) = (first, magnitudes.prefix { $0 == first }.count)
      let more = Double(equal) * cost.added(Double(bitPattern: first))
      if first == last || !isAllowed(dropped + more) { break }
      dropped += more
      magnitudes.removeFirst(equal)
    }
  }
  // The most of those equal to the threshold that can be dropped, but not all.
  let each = cost.added(Double(bitPattern: threshold))
  var (most, tooMany) = (0, equal)
  while most + 1 < tooMany {
    let middle = (most + tooMany) / 2
    if isAllowed(dropped + Double(middle) * each) { most = middle } else { tooMany = middle }
  }
  return MagnitudeThreshold(magnitude: Double(bitPattern: threshold), ties: most == 0 ? nil : equal - most)
}

/// What dropping a weight adds to the squared error.
private struct DropCost: Sendable {
  /// The type that kept weights are rounded to; `nil` when they are not.
  let stored: ElementType?
  /// Errors are in units of this power of two, squared, so that nothing overflows.
  let unit: Double

  /// v² and (v − v̂)².
  func squares(_ magnitude: Double, nearest: Double) -> (norm: Double, rounding: Double) {
    let (v, difference) = (magnitude / unit, (magnitude - nearest) / unit)
    return (v * v, difference * difference)
  }

  func nearest(_ magnitude: Double) -> Double { stored.map { $0.nearest(magnitude) } ?? magnitude }

  func added(_ magnitude: Double) -> Double {
    let (norm, rounding) = squares(magnitude, nearest: nearest(magnitude))
    return norm - rounding
  }
}

/// Magnitudes counted in bins.
private struct Tally: Sendable {
  var counts: [Int]
  /// What dropping the magnitudes of each bin adds to the squared error.
  var added: [Double]
  /// Over all bins: Σ v² and Σ (v − v̂)².
  var norm = 0.0
  var rounding = 0.0

  init(_ bins: Bins) {
    counts = [Int](repeating: 0, count: bins.count)
    added = [Double](repeating: 0, count: bins.count)
  }

  mutating func add(_ magnitude: Double, nearest: Double, _ cost: DropCost, in bins: Bins) {
    let squares = cost.squares(magnitude, nearest: nearest)
    let bin = bins.index(of: magnitude.bitPattern)
    counts[bin] += 1
    added[bin] += squares.norm - squares.rounding
    norm += squares.norm
    rounding += squares.rounding
  }

  mutating func add(_ other: Tally) {
    for i in counts.indices {
      counts[i] += other.counts[i]
      added[i] += other.added[i]
    }
    norm += other.norm
    rounding += other.rounding
  }

  /// The first bin that cannot be dropped as a whole, or the last one that is not empty; what is dropped before it is
  /// added to `dropped`.
  func decisive(_ dropped: inout Double, _ isAllowed: (Double) -> Bool) -> Int {
    let last = counts.lastIndex { $0 > 0 } ?? 0
    for bin in 0..<last {
      if !isAllowed(dropped + added[bin]) { return bin }
      dropped += added[bin]
    }
    return last
  }
}

extension SourceElements {
  fileprivate func tally(_ cost: DropCost, in bins: Bins, threads: Threads) -> Tally {
    reduceBlocks(Tally(bins), stored: cost.stored, threads: threads) { tally, magnitudes, nearest in
      for i in magnitudes.indices where bins.range.contains(magnitudes[i].bitPattern) {
        tally.add(magnitudes[i], nearest: nearest[i], cost, in: bins)
      }
    }.reduce(into: Tally(bins)) { $0.add($1) }
  }
}
