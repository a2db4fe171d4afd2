// SPDX-License-Identifier: Apache-2.0

internal import Matrices

/// The search for the k-th largest of many magnitudes that are looked at several times, in one matrix or more.
struct RankSearch {
  /// k, from 1 to the number of all magnitudes.
  let rank: Int
  /// How many magnitudes may be collected.
  let limit: Int
  /// Logarithm of the number of bins that magnitudes are counted in.
  let bits: Int

  /// Finds the k-th largest magnitude, and how many of those equal to it belong to the k largest: those of earlier
  /// matrices first.
  ///
  /// The magnitudes in a range are collected, and those above it counted. If the k-th largest is not in the range, or
  /// too much is, the magnitudes that remain in question are counted in bins, and the decisive bin is the next range.
  ///
  /// - Parameters:
  ///   - range: where to look first, in the bits of magnitudes.
  ///   - contents: what lies in and above a range, matrix by matrix.
  ///   - counts: how many magnitudes of all matrices lie in each bin.
  /// - Returns: a threshold for each matrix.
  func thresholds<Failure>(
    from range: ClosedRange<UInt64>, contents: (ClosedRange<UInt64>) throws(Failure) -> [SourceElements.RangeContents],
    counts: (Bins) throws(Failure) -> [Int]
  ) throws(Failure) -> [MagnitudeThreshold] {
    var range = range
    var bounds = SourceElements.finite
    var aboveBounds = 0
    while true {
      let contents = try contents(range)
      let above = contents.reduce(0) { $0 + $1.above }
      let count = contents.reduce(0) { $0 + $1.count }
      if rank <= above {
        bounds = range.upperBound + 1...bounds.upperBound
      } else if rank > above + count {
        bounds = bounds.lowerBound...range.lowerBound - 1
        aboveBounds = above + count
      } else {
        if range.count == 1 {
          return Self.thresholds(at: range.lowerBound, ties: rank - above, equal: contents.map(\.count))
        }
        let collected = contents.compactMap(\.magnitudes)
        if collected.count == contents.count {
          let threshold = largest(rank - above, of: Array(collected.joined()))
          let larger = collected.reduce(above) { $0 + $1.count { $0 > threshold } }
          return Self.thresholds(
            at: threshold, ties: rank - larger, equal: collected.map { $0.count { $0 == threshold } })
        }
        bounds = range
        aboveBounds = above
      }
      let bins = Bins(bounds, bits: bits)
      range = Self.decisive(bins, try counts(bins), rank: rank - aboveBounds)
    }
  }

  /// The bin of the k-th largest of all magnitudes in bins.
  static func decisive(_ bins: Bins, _ counts: [Int], rank: Int) -> ClosedRange<UInt64> {
    var left = rank
    for i in counts.indices.reversed() {
      if left <= counts[i] { return bins[i] }
      left -= counts[i]
    }
    preconditionFailure("as many magnitudes as counted before")
  }

  /// `equal`: how many magnitudes of each matrix equal the threshold.
  private static func thresholds(at magnitude: UInt64, ties: Int, equal: [Int]) -> [MagnitudeThreshold] {
    var left = ties
    return equal.map { equal in
      let kept = min(left, equal)
      left -= kept
      return MagnitudeThreshold(magnitude: Double(bitPattern: magnitude), ties: kept == equal ? nil : kept)
    }
  }
}

/// The `rank`-th largest (from 1) of some magnitudes.
func largest(_ rank: Int, of magnitudes: [UInt64]) -> UInt64 {
  var magnitudes = magnitudes
  var rank = rank
  while magnitudes.count > 64, let least = magnitudes.min(), let most = magnitudes.max(), least < most {
    let bins = Bins(least...most, bits: 11)
    let counts = magnitudes.withUnsafeBufferPointer { magnitudes in
      [Int](unsafeUninitializedCapacity: bins.count) { counts, initialized in
        counts.initialize(repeating: 0)
        for magnitude in magnitudes { counts[bins.index(of: magnitude)] += 1 }
        initialized = bins.count
      }
    }
    let range = RankSearch.decisive(bins, counts, rank: rank)
    for i in (bins.index(of: range.lowerBound) + 1..<bins.count) { rank -= counts[i] }
    magnitudes.removeAll { !range.contains($0) }
  }
  magnitudes.sort(by: >)
  return magnitudes[rank - 1]
}
