// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Matrices
internal import Parallel
internal import Tensors

/// What a block of rows stores, and what was lost.
struct SparseBlock: MaskedBlock {
  /// Stored weights.
  var count = 0
  /// The smallest magnitude of the stored values.
  var least = UInt64.max
  /// ‖W‖² and ‖W − Ŵ‖² of its rows, in squares of the unit of the matrix.
  var norm = 0.0
  var difference = 0.0
  /// Stored values that are not zero.
  var nonzeroCount = 0
  /// Whether every value is finite.
  var isFinite = true
}

extension MaskedMatrix {
  /// Finds out which weights a threshold keeps, block by block.
  ///
  /// - Parameters:
  ///   - type: that of the stored values, no wider than the weights.
  ///   - body: called for a few rows at a time with what is kept of them; returns how many are stored. It may change
  ///     the elements that are kept, make them fewer or narrower, and add to what was lost.
  static func taking(
    _ threshold: RowThresholds, of weights: WeightRows, type: ElementType, threads: Threads,
    _ body: @Sendable (KeptRows, inout SparseBlock) -> Int
  ) -> (matrix: MaskedMatrix, blocks: [SparseBlock]) {
    masking(weights, type: type, threads: threads) { rows, mask in
      weights.withElements(rows) { take(threshold, weights, rows, elements: $0, mask: mask, type, body) }
    }
  }

  private static func take(
    _ threshold: RowThresholds, _ weights: WeightRows, _ range: Range<Int>, elements: UnsafeRawPointer,
    mask: UnsafeMutablePointer<UInt8>, _ type: ElementType, _ body: (KeptRows, inout SparseBlock) -> Int
  ) -> SparseBlock {
    let together = threshold.isUniform ? weights.rowsTogether(range) : 1
    let size = weights.type.byteCount
    var block = SparseBlock()
    withUnsafeTemporaryAllocation(byteCount: max(1, together * weights.columns * size), alignment: 64) { room in
      // A byte at least.
      let out = room.baseAddress!
      for row in stride(from: range.lowerBound, to: range.upperBound, by: together) {
        let count = min(range.upperBound - row, together) * weights.columns
        let x = elements + (row - range.lowerBound) * weights.columns * size
        let bits = mask + (row - range.lowerBound) * SparseMatrix.maskRowBytes(columns: weights.columns)
        let tied = threshold.isUniform ? (threshold.tiedColumns(row) == 0 ? 0 : count) : threshold.tiedColumns(row)
        let first = nc_mask_compact(x, tied, size, threshold.least, bits, 0, out)
        let kept =
          first
          + nc_mask_compact(
            x + tied * size, count - tied, size, threshold.leastAbove, bits, tied, out + first * size)
        let stored = body(
          KeptRows(elements: x, count: count, tied: tied, kept: out, keptCount: kept, mask: bits), &block)
        block.count += stored
        if stored > 0 { block.least = min(block.least, nc_key_least(out, stored, type.byteCount)) }
      }
    }
    return block
  }
}

/// A few rows of a matrix, and what is kept of them.
struct KeptRows {
  let elements: UnsafeRawPointer
  let count: Int
  /// Elements up to this one are kept though they only equal the threshold.
  let tied: Int
  let kept: UnsafeMutableRawPointer
  let keptCount: Int
  /// One bit for each element.
  let mask: UnsafeMutablePointer<UInt8>

  /// Takes bits out of the mask: those of the kept elements for which `isDropped` is true, given their number.
  func drop(_ isDropped: (Int) -> Bool) {
    var i = 0
    for bit in 0..<count where mask[bit / 8] >> UInt8(bit % 8) & 1 == 1 {
      if isDropped(i) { mask[bit / 8] &= ~(1 << UInt8(bit % 8)) }
      i += 1
    }
  }
}
