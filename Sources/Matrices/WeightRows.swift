// SPDX-License-Identifier: Apache-2.0

internal import CLoops
package import Tensors

/// The bytes of a weight matrix, read as output units × inputs whichever way they are stored.
package struct WeightRows: @unchecked Sendable {
  package let bytes: UnsafeRawBufferPointer
  package let type: ElementType
  /// Output units.
  package let rows: Int
  /// Inputs.
  package let columns: Int
  /// Whether the bytes are inputs × output units.
  package let transposed: Bool

  /// - Parameters:
  ///   - bytes: rows · columns little-endian elements of a floating-point type, row-major.
  ///   - rows, columns: the shape of the source.
  package init(_ bytes: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, transposed: Bool) {
    precondition(type.isFloat, "weights are floating-point numbers")
    precondition(bytes.count == rows * columns * type.byteCount, "as many bytes as the shape says")
    self.bytes = bytes
    self.type = type
    self.rows = transposed ? columns : rows
    self.columns = transposed ? rows : columns
    self.transposed = transposed
  }

  /// Weights in a block of whole rows, if these are not too long.
  package static let blockSize = 1 << 18
  /// Rows in a block, if these are not far too long: of a transposed source, 64 rows are a few lines of the cache of
  /// every row of the source.
  package static let minRows = 64
  /// Weights in a block of that many rows.
  package static let maxSize = 1 << 21

  package var rowsPerBlock: Int {
    let columns = max(1, columns)
    return max(1, Self.blockSize / columns, min(Self.minRows, Self.maxSize / columns))
  }
  package var blocks: Int { columns == 0 ? 0 : (rows + rowsPerBlock - 1) / rowsPerBlock }

  package func rows(ofBlock block: Int) -> Range<Int> {
    let first = block * rowsPerBlock
    return first..<min(rows, first + rowsPerBlock)
  }

  /// Calls `body` with the weights of some rows as floats, row after row. Not for float64.
  package func withFloats<R>(_ range: Range<Int>, _ body: (UnsafePointer<Float>) -> R) -> R {
    let count = range.count * columns
    if type == .float32, !transposed, let base = bytes.baseAddress {
      let start = base + range.lowerBound * columns * 4
      if Int(bitPattern: start) % 4 == 0 { return body(start.assumingMemoryBound(to: Float.self)) }
    }
    let floats = UnsafeMutablePointer<Float>.allocate(capacity: max(1, count))
    defer { floats.deallocate() }
    if type == .float32 {
      copy(range, to: floats)
    } else {
      let halves = UnsafeMutablePointer<UInt16>.allocate(capacity: max(1, count))
      defer { halves.deallocate() }
      copy(range, to: halves)
      nc_widen(halves, count, type == .bfloat16, floats)
    }
    return body(floats)
  }

  /// Writes the weights of some rows, row after row, every one exact.
  func writeDoubles(_ range: Range<Int>, to out: UnsafeMutablePointer<Double>) {
    if type == .float64 { return copy(range, to: out) }
    let count = range.count * columns
    withFloats(range) { x in for i in 0..<count { out[i] = Double(x[i]) } }
  }

  /// Calls `body` with the weights of some rows, row after row.
  package func withDoubles<R>(_ range: Range<Int>, _ body: (UnsafePointer<Double>) -> R) -> R {
    let doubles = UnsafeMutablePointer<Double>.allocate(capacity: max(1, range.count * columns))
    defer { doubles.deallocate() }
    writeDoubles(range, to: doubles)
    return body(doubles)
  }

  /// Copies the elements of some rows, row after row: of all columns, or of some.
  package func copy(_ range: Range<Int>, columns some: Range<Int>? = nil, to out: UnsafeMutableRawPointer) {
    let some = some ?? 0..<columns
    guard let base = bytes.baseAddress, !range.isEmpty, !some.isEmpty else { return }
    let size = type.byteCount
    if transposed {
      nc_transpose(
        base + (some.lowerBound * rows + range.lowerBound) * size, rows, some.count, range.count, size, out, some.count)
    } else if some.count == columns {
      out.copyMemory(from: base + range.lowerBound * columns * size, byteCount: range.count * columns * size)
    } else {
      for (number, row) in range.enumerated() {
        (out + number * some.count * size)
          .copyMemory(from: base + (row * columns + some.lowerBound) * size, byteCount: some.count * size)
      }
    }
  }

  /// Calls `body` with the elements of some rows, row after row, aligned to their size: of all columns, or of some.
  package func withElements<R>(
    _ range: Range<Int>, columns some: Range<Int>? = nil, _ body: (UnsafeRawPointer) throws -> R
  ) rethrows -> R {
    let size = type.byteCount
    let some = some ?? 0..<columns
    if !transposed, some.count == columns || range.count == 1, let base = bytes.baseAddress,
      Int(bitPattern: base) % size == 0
    {
      return try body(base + (range.lowerBound * columns + some.lowerBound) * size)
    }
    return try withUnsafeTemporaryAllocation(byteCount: max(1, range.count * some.count * size), alignment: 64) {
      room in
      // A byte at least.
      let base = room.baseAddress!
      copy(range, columns: some, to: base)
      return try body(base)
    }
  }

  /// The index, in the order of the bytes, of the first element that is infinite or not a number.
  package func firstNonFinite() -> Int? {
    let size = type.byteCount
    let exponent = type.infinityKey
    return (0..<rows * columns).first { i in
      var bits: UInt64 = 0
      for b in 0..<size { bits |= UInt64(bytes[i * size + b]) << (8 * b) }
      return bits & exponent == exponent
    }
  }
}
