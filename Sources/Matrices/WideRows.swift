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
  elements(WeightRows(bytes, type: type, rows: rows, columns: columns, transposed: transposed), { $0 }, { Float($0) })
}

/// Returns a weight matrix as output units × inputs, row-major, every weight exact; arguments as for `floats`.
public func doubles(
  _ bytes: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, transposed: Bool
) -> [Double] {
  elements(WeightRows(bytes, type: type, rows: rows, columns: columns, transposed: transposed), { Double($0) }, { $0 })
}

/// Writes some output units of a weight matrix as rows of doubles, every weight exact; arguments as for `floats`.
///
/// - Parameters:
///   - range: the output units.
///   - out: has room for their inputs.
public func writeDoubles(
  _ range: Range<Int>, of bytes: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, transposed: Bool,
  to out: UnsafeMutablePointer<Double>
) {
  WeightRows(bytes, type: type, rows: rows, columns: columns, transposed: transposed).writeDoubles(range, to: out)
}

/// Every weight, row by row, made from a float or, where the source is float64, from a double.
private func elements<Element>(
  _ weights: WeightRows, _ fromFloat: (Float) -> Element, _ fromDouble: (Double) -> Element
) -> [Element] {
  var elements: [Element] = []
  elements.reserveCapacity(weights.rows * weights.columns)
  for block in 0..<weights.blocks {
    let range = weights.rows(ofBlock: block)
    let count = range.count * weights.columns
    if weights.type == .float64 {
      weights.withDoubles(range) { x in for i in 0..<count { elements.append(fromDouble(x[i])) } }
    } else {
      weights.withFloats(range) { x in for i in 0..<count { elements.append(fromFloat(x[i])) } }
    }
  }
  return elements
}
