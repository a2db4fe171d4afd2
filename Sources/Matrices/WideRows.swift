// SPDX-License-Identifier: Apache-2.0

internal import Tensors

/// Returns a weight matrix as output units × inputs, row-major; float64 is rounded to nearest.
public func floats(
  _ source: StoredMatrix
) -> [Float] {
  elements(source.weights, { $0 }, { Float($0) })
}

/// Returns a weight matrix as output units × inputs, row-major, every weight exact.
public func doubles(
  _ source: StoredMatrix
) -> [Double] {
  elements(source.weights, { Double($0) }, { $0 })
}

/// Writes some output units of a weight matrix as rows of doubles, every weight exact.
///
/// - Parameters:
///   - range: the output units.
///   - out: has room for their inputs.
public func writeDoubles(
  _ range: Range<Int>, of source: StoredMatrix,
  to out: UnsafeMutablePointer<Double>
) {
  source.weights.writeDoubles(range, to: out)
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
