// SPDX-License-Identifier: Apache-2.0

public import Matrices
public import Parallel
public import Tensors

/// Finds one threshold for several matrices together, which need not be in memory together: it keeps the ⌈keep · N⌉
/// largest of all N weights, those of earlier matrices first among equals, then those of lower index.
///
/// Matrices with an infinity or NaN have no part in it: their weights are not among the N.
///
/// - Parameters:
///   - matrices: how many matrices there are.
///   - visit: calls its second argument once, with the little-endian elements of the matrix with the given index and
///     their type (float16, bfloat16, float32 or float64). Each matrix is visited several times, all of them in order
///     each time, and always has the same weights. Weights of different types are compared by value.
///   - threads: the result does not depend on it.
/// - Returns: for each matrix its threshold, all of the same magnitude, or its first weight that is not finite.
public func magnitudeThresholds<Failure>(
  matrices: Int, keep: Fraction, threads: Threads,
  visit: (Int, (UnsafeRawBufferPointer, ElementType) -> Void) throws(Failure) -> Void
) throws(Failure) -> [Result<MagnitudeThreshold, NonFiniteWeight>] {
  func each(_ body: @escaping (Int, SourceElements) -> Void) throws(Failure) {
    for matrix in 0..<matrices {
      try visit(matrix) { bytes, type in
        precondition(type.isFloat, "weights are floating-point numbers")
        body(matrix, SourceElements(bytes: bytes, type: type))
      }
    }
  }
  var checked = 0
  var nonFinite: [Int: NonFiniteWeight] = [:]
  func count(in bins: Bins) throws(Failure) -> [Int] {
    var total = [Int](repeating: 0, count: bins.count)
    try each { matrix, elements in
      if matrix == checked {
        checked += 1
        if elements.largestKey(threads: threads) >= elements.type.infinityKey {
          nonFinite[matrix] = elements.nonFinite()
        }
      }
      guard nonFinite[matrix] == nil else { return }
      for (bin, count) in elements.counts(in: bins, threads: threads).enumerated() { total[bin] += count }
    }
    return total
  }

  let bins = Bins(SourceElements.finite, bits: 16)
  let counts = try count(in: bins)
  let weights = counts.reduce(0, +)
  let kept = keep.ceiling(of: weights)
  var thresholds = [MagnitudeThreshold](repeating: kept == 0 ? .nothing : .everything, count: matrices)
  if 0 < kept, kept < weights {
    let search = RankSearch(rank: kept, limit: 1 << 22, bits: 16)
    thresholds = try search.thresholds(
      from: RankSearch.decisive(bins, counts, rank: kept),
      contents: { range throws(Failure) in
        var contents = [SourceElements.RangeContents](repeating: SourceElements.RangeContents(), count: matrices)
        var limit = search.limit
        try each { matrix, elements in
          if nonFinite[matrix] == nil {
            contents[matrix] = elements.contents(range, limit: limit, threads: threads)
            limit = max(0, limit - contents[matrix].count)
          }
        }
        return contents
      },
      counts: { bins throws(Failure) in try count(in: bins) })
  }
  return thresholds.enumerated().map { matrix, threshold in
    nonFinite[matrix].map { .failure($0) } ?? .success(threshold)
  }
}
