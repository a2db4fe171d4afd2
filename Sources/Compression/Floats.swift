public import Tensors

/// Returns a weight matrix as output units × inputs, row-major; float64 is rounded to nearest.
///
/// - Parameters:
///   - bytes: rows · columns little-endian elements, row-major.
///   - type: float16, bfloat16, float32 or float64.
///   - rows, columns: the shape of the source.
///   - transposed: whether the source is inputs × output units, as Keras stores it.
public func floats(
  _ bytes: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, transposed: Bool
) -> [Float] {
  let weights = WeightRows(bytes, type: type, rows: rows, columns: columns, transposed: transposed)
  var floats: [Float] = []
  floats.reserveCapacity(rows * columns)
  for block in 0..<weights.blocks {
    let range = weights.rows(ofBlock: block)
    let count = range.count * weights.columns
    if type == .float64 {
      weights.withDoubles(range) { x in for i in 0..<count { floats.append(Float(x[i])) } }
    } else {
      weights.withFloats(range) { floats.append(contentsOf: UnsafeBufferPointer(start: $0, count: count)) }
    }
  }
  return floats
}

/// Returns a weight matrix as output units × inputs, row-major, every weight exact; arguments as for `floats`.
public func doubles(
  _ bytes: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, transposed: Bool
) -> [Double] {
  let weights = WeightRows(bytes, type: type, rows: rows, columns: columns, transposed: transposed)
  var doubles: [Double] = []
  doubles.reserveCapacity(rows * columns)
  for block in 0..<weights.blocks {
    let range = weights.rows(ofBlock: block)
    let count = range.count * weights.columns
    if type == .float64 {
      weights.withDoubles(range) { doubles.append(contentsOf: UnsafeBufferPointer(start: $0, count: count)) }
    } else {
      weights.withFloats(range) { x in for i in 0..<count { doubles.append(Double(x[i])) } }
    }
  }
  return doubles
}
