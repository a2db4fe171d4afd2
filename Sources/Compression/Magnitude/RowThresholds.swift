// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Matrices
internal import Parallel
internal import Tensors

/// A threshold as it meets the rows of a matrix: of each row it keeps the keys from `least` on in the first columns,
/// the larger ones alone in the others.
struct RowThresholds: Sendable {
  /// The least key that is kept where equal magnitudes are, and where they are not.
  let least: UInt64
  let leastAbove: UInt64
  let weights: WeightRows
  /// The index in the source of the last weight that is kept though it equals the threshold; `nil` when all are.
  private let last: Int?

  init(_ threshold: MagnitudeThreshold, _ weights: WeightRows, threads: Threads) {
    self.weights = weights
    least = weights.type.key(atLeast: threshold.magnitude)
    leastAbove = weights.type.key(atLeast: threshold.magnitude.nextUp)
    switch threshold.ties {
    case nil: last = nil
    case 0: last = -1
    case let ties?:
      last = SourceElements(bytes: weights.bytes, type: weights.type)
        .index(ofRank: ties, equalTo: threshold.magnitude, threads: threads)
    }
  }

  /// Whether all rows keep equal magnitudes in as many columns.
  var isUniform: Bool { last == nil || last == -1 }

  /// In how many columns of a row equal magnitudes are kept.
  func tiedColumns(_ row: Int) -> Int {
    guard let last else { return weights.columns }
    let before =
      weights.transposed
      ? (last - row + weights.rows) / weights.rows  // column c of the row is at c · rows + row
      : last + 1 - row * weights.columns
    return min(max(0, before), weights.columns)
  }

  /// Whether the weight with the given index in the source is kept.
  func keeps(_ index: Int, key: UInt64) -> Bool {
    key >= leastAbove || key >= least && (last.map { index <= $0 } ?? true)
  }
}

extension WeightRows {
  /// Rows that are looked at together: a few thousand weights, which the first-level cache holds. Their bits of a mask
  /// must follow each other.
  func rowsTogether(_ rows: Range<Int>) -> Int {
    columns % 8 == 0 ? max(1, min(rows.count, (1 << 12) / max(1, columns))) : 1
  }
}
