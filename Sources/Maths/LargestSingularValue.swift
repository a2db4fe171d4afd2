public import Parallel

/// Returns the largest singular value of a matrix, σ₁ = ‖W‖₂, by Lanczos's method on WWᵀ or WᵀW, whichever is smaller.
///
/// An eigenvalue of that product lies within 10⁻⁵ of what is found for it, relatively, so a singular value within 5·10⁻⁶ of
/// the result; where no other is near, the error is of the order of 10⁻¹⁰.
///
/// - Parameters:
///   - matrix: rows · columns finite elements, row-major.
///   - threads: the result does not depend on it.
/// - Throws: `LinearAlgebraError`.
public func largestSingularValue(
  of matrix: [Double], rows: Int, columns: Int, threads: Threads
) throws(LinearAlgebraError) -> Double {
  precondition(matrix.count == rows * columns, "as many elements as the shape says")
  let (matrix, unit) = try inSafeUnits(matrix)
  var between = [Double](repeating: 0, count: max(rows, columns))
  let square = try largestEigenvalueMagnitude(count: min(rows, columns), tolerance: 1e-5) { x, y in
    between.withUnsafeMutableBufferPointer { between in
      matrix.withUnsafeBufferPointer { matrix in
        guard let matrix = matrix.baseAddress, let between = between.baseAddress else { return }
        let product = MatrixProduct(first: matrix, rows: rows, columns: columns, threads: threads)
        if rows <= columns {
          product.combineRows(x, to: between)
          product.multiply(between, to: y)
        } else {
          product.multiply(x, to: between)
          product.combineRows(between, to: y)
        }
      }
    }
  }
  return square.squareRoot() * unit
}

private struct MatrixProduct: @unchecked Sendable {
  let first: UnsafePointer<Double>
  let rows: Int
  let columns: Int
  let threads: Threads

  /// y = Wx
  func multiply(_ x: UnsafePointer<Double>, to y: UnsafeMutablePointer<Double>) {
    nonisolated(unsafe) let (x, y) = (x, y)
    let block = 32
    threads.forEach((rows + block - 1) / block) { number in
      for row in number * block..<min(rows, (number + 1) * block) {
        y[row] = dot(first + row * columns, x, columns)
      }
    }
  }

  /// y = Wᵀx
  func combineRows(_ x: UnsafePointer<Double>, to y: UnsafeMutablePointer<Double>) {
    nonisolated(unsafe) let (x, y) = (x, y)
    let block = 512
    threads.forEach((columns + block - 1) / block) { number in
      let range = number * block..<min(columns, (number + 1) * block)
      for column in range { y[column] = 0 }
      for row in 0..<rows {
        let factor = x[row]
        if factor == 0 { continue }
        let own = first + row * columns
        for column in range { y[column] += factor * own[column] }
      }
    }
  }
}

/// Numbers in a unit, a power of two, in which the largest magnitude is from 2⁻¹⁰⁰ to 2¹⁰⁰: the unit is 1 where that is so
/// already, else the largest is from 1 to 2.
///
/// So the sum of all squares, of up to 2⁵⁶ numbers, and its fourth power neither overflow nor vanish. Bounded is the largest
/// alone: squares of others may vanish, and so may what is 2⁻¹⁰²² of the largest.
func inSafeUnits(_ numbers: [Double]) throws(LinearAlgebraError) -> (numbers: [Double], unit: Double) {
  // By their bits: of those of magnitudes, the ones of what is not finite are the largest.
  let largest = Double(bitPattern: numbers.reduce(0) { max($0, $1.magnitude.bitPattern) })
  guard largest.isFinite else { throw .notFinite }
  if largest == 0 || 0x1p-100...0x1p100 ~= largest { return (numbers, 1) }
  return (numbers.map { $0 / largest.binade }, largest.binade)
}
