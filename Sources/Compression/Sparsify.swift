internal import CLoops
internal import Parallel
internal import Tensors

/// Squared norms, and how many values are not zero.
struct Loss: Sendable {
  /// Of the weights.
  var norm = 0.0
  /// Of what is lost.
  var error = 0.0
  var nonzero = 0
}

/// What a block of rows stores, and what was lost.
struct SparseBlock: Sendable {
  /// Bytes of the stored values.
  var size = 0
  var loss = Loss()
  /// Whether every value is finite.
  var isFinite = true
}

extension SparseMatrix {
  /// Takes out the weights that a cut keeps, block by block.
  ///
  /// - Parameters:
  ///   - type: that of the stored values, no wider than the weights.
  ///   - body: called for a few rows at a time with what is kept of them; returns the bytes of it that are stored. It
  ///     may change the elements that are kept, make them fewer or narrower, and add to what was lost.
  static func taking(
    _ cut: CutRows, of weights: WeightRows, type: ElementType, threads: Threads,
    _ body: @Sendable (KeptRows, inout SparseBlock) -> Int
  ) -> (matrix: SparseMatrix, blocks: [SparseBlock]) {
    let size = weights.type.byteCount
    let rowBytes = maskRowBytes(columns: weights.columns)
    var mask = [UInt8](repeating: 0, count: weights.rows * rowBytes)
    var blocks: [SparseBlock] = []
    var values: [UInt8] = []
    // Memory that is not written to costs nothing, but the first use of every page does. So the values have room for
    // all, and a few blocks at a time are put where others were before.
    values.reserveCapacity(weights.rows * weights.columns * size)
    let together = min(weights.blocks, 4 * threads.count)
    let blockBytes = weights.blocks > 0 ? weights.rows(ofBlock: 0).count * weights.columns * size : 0
    let room = UnsafeMutableRawPointer.allocate(byteCount: max(1, together * blockBytes), alignment: 64)
    defer { room.deallocate() }
    mask.withUnsafeMutableBufferPointer { mask in
      guard let base = mask.baseAddress, together > 0 else { return }
      nonisolated(unsafe) let (bits, room) = (base, room)
      for first in stride(from: 0, to: weights.blocks, by: together) {
        let wave = threads.results(min(together, weights.blocks - first)) { index in
          take(
            cut, weights, block: first + index,
            mask: bits + weights.rows(ofBlock: first + index).lowerBound * rowBytes, values: room + index * blockBytes,
            body)
        }
        for (index, block) in wave.enumerated() {
          values.append(contentsOf: UnsafeRawBufferPointer(start: room + index * blockBytes, count: block.size))
        }
        blocks += wave
      }
    }
    // The sizes are those of the shape.
    return (
      SparseMatrix(rows: weights.rows, columns: weights.columns, type: type, mask: mask, values: values)!, blocks
    )
  }

  private static func take(
    _ cut: CutRows, _ weights: WeightRows, block index: Int, mask: UnsafeMutablePointer<UInt8>,
    values: UnsafeMutableRawPointer, _ body: (KeptRows, inout SparseBlock) -> Int
  ) -> SparseBlock {
    let range = weights.rows(ofBlock: index)
    let together = cut.isUniform ? weights.rowsTogether(range) : 1
    let size = weights.type.byteCount
    var block = SparseBlock()
    weights.withElements(range) { elements in
      for row in stride(from: range.lowerBound, to: range.upperBound, by: together) {
        let count = min(range.upperBound - row, together) * weights.columns
        let x = elements + (row - range.lowerBound) * weights.columns * size
        let bits = mask + (row - range.lowerBound) * maskRowBytes(columns: weights.columns)
        let tied = cut.isUniform ? (cut.tiedColumns(row) == 0 ? 0 : count) : cut.tiedColumns(row)
        let out = values + block.size
        let first = nc_mask_compact(x, tied, size, cut.least, bits, 0, out)
        let kept =
          first
          + nc_mask_compact(
            x + tied * size, count - tied, size, cut.leastAbove, bits, tied, out + first * size)
        block.size += body(
          KeptRows(elements: x, count: count, tied: tied, kept: out, keptCount: kept, mask: bits), &block)
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
