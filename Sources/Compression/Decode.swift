internal import CLoops
public import Parallel
public import Tensors

/// Writes the restored values of a ternary matrix: each trit times the scale of its group, rounded to `type`; zeros are
/// +0.
///
/// - Parameters:
///   - type: float16, bfloat16, float32 or float64.
///   - transposed: whether to write inputs × output units, as Keras stores it.
///   - bytes: room for rows · columns little-endian elements, row-major.
public func decode(
  _ matrix: TernaryMatrix, type: ElementType, transposed: Bool, into bytes: UnsafeMutableRawBufferPointer,
  threads: Threads
) {
  precondition(type.isFloat, "weights are floating-point numbers")
  let (rows, columns, size) = (matrix.rows, matrix.columns, type.byteCount)
  precondition(bytes.count == rows * columns * size, "as many bytes as the shape says")
  guard let base = bytes.baseAddress, columns > 0 else { return }
  nonisolated(unsafe) let out = base
  let rowsPerBlock = max(1, WeightRows.blockSize / columns)
  matrix.codes.withUnsafeBufferPointer { codes in
    guard let codes = codes.baseAddress else { return }
    nonisolated(unsafe) let trits = codes
    threads.forEach((rows + rowsPerBlock - 1) / rowsPerBlock) { block in
      let first = block * rowsPerBlock
      let range = first..<min(rows, first + rowsPerBlock)
      if transposed {
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: range.count * columns * size, alignment: 64)
        defer { buffer.deallocate() }
        unpack(matrix, range, codes: trits, type: type, to: buffer)
        nc_transpose(buffer, columns, range.count, columns, size, out + first * size, rows)
      } else {
        unpack(matrix, range, codes: trits, type: type, to: out + first * columns * size)
      }
    }
  }
}

private func unpack(
  _ matrix: TernaryMatrix, _ range: Range<Int>, codes: UnsafePointer<UInt8>, type: ElementType,
  to out: UnsafeMutableRawPointer
) {
  let size = type.byteCount
  let sign = UInt64(1) << UInt64(8 * size - 1)
  let groups = matrix.group.perRow(columns: matrix.columns)
  for row in range {
    let values = out + (row - range.lowerBound) * matrix.columns * size
    for g in 0..<groups {
      let run = matrix.group.inputs(g, columns: matrix.columns)
      let plus = type.bits(matrix.scales[matrix.group == .tensor ? 0 : row * groups + g])
      nc_ternary_unpack(
        codes + row * matrix.rowBytes, run.lowerBound, run.count, size, plus, plus | sign,
        values + run.lowerBound * size)
    }
  }
}
