// SPDX-License-Identifier: Apache-2.0

internal import Random

/// Returns the largest magnitude of an eigenvalue of a symmetric operator, by Lanczos's method with full
/// orthogonalisation.
///
/// Stops when the residual of the largest Ritz value shows that an eigenvalue lies within `tolerance` of it, relatively
/// (where no other is near, the error is of the order of the square), or when the whole space is spanned.
///
/// - Parameter multiply: y = Kx, for vectors of `count` elements.
/// - Throws: `LinearAlgebraError`.
func largestEigenvalueMagnitude(
  count: Int, tolerance: Double = 1e-7, _ multiply: (UnsafePointer<Double>, UnsafeMutablePointer<Double>) -> Void
) throws(LinearAlgebraError) -> Double {
  guard count > 0 else { return 0 }
  let algebra = try LinearAlgebra()
  var random = SplitMix64(seed: 1)
  // No structure of what the operator stands for is orthogonal to a random start.
  var vector = (0..<count).map { _ in Double(random.next() >> 11) * 0x1p-52 - 1 }
  scale(&vector, by: 1 / dot(vector, vector).squareRoot())
  var basis: [[Double]] = []
  var (diagonal, beside) = ([Double](), [Double]())
  var image = [Double](repeating: 0, count: count)
  while true {
    basis.append(vector)
    multiply(vector, &image)
    diagonal.append(dot(image, vector))
    // Twice: once is not enough where much cancels.
    for _ in 0..<2 {
      for other in basis { add(-dot(image, other), times: other, to: &image) }
    }
    let rest = dot(image, image).squareRoot()
    let size = (diagonal.map(\.magnitude) + beside).max() ?? 0
    let isComplete = basis.count == count || rest <= 1e-14 * size
    if isComplete || basis.count % 5 == 0 {
      let top = try algebra.largestEigenvector(diagonal: diagonal, beside: beside)
      let bottom = try algebra.largestEigenvector(diagonal: diagonal.map { -$0 }, beside: beside)
      let best = top.value >= bottom.value ? top : bottom
      if isComplete || rest * best.last.magnitude <= tolerance * best.value { return max(0, best.value) }
    }
    beside.append(rest)
    vector = image
    scale(&vector, by: 1 / rest)
  }
}

private func scale(_ x: inout [Double], by factor: Double) {
  for i in x.indices { x[i] *= factor }
}

private func add(_ factor: Double, times x: [Double], to y: inout [Double]) {
  y.withUnsafeMutableBufferPointer { y in
    x.withUnsafeBufferPointer { x in
      for i in 0..<min(x.count, y.count) { y[i] += factor * x[i] }
    }
  }
}

/// Returns the largest eigenvalue of a symmetric operator without negative ones, by Lanczos's method without basis:
/// each vector is made orthogonal to the two before it, so that memory does not grow with the iterations. (What is lost
/// of the orthogonality repeats eigenvalues that were found, and moves none; Paige 1980.)
///
/// Stops when the residual of the largest Ritz value shows that an eigenvalue lies within `tolerance` of it,
/// relatively, or after `iterations`; then the value is a lower bound.
///
/// - Parameter multiply: y = Kx, for vectors of `count` elements.
/// - Throws: `LinearAlgebraError`, or what `multiply` throws.
func largestEigenvalue(
  count: Int, tolerance: Double, iterations: Int,
  _ multiply: (UnsafePointer<Double>, UnsafeMutablePointer<Double>) throws -> Void
) throws -> (value: Double, isConverged: Bool) {
  let algebra = try LinearAlgebra()
  var random = SplitMix64(seed: 1)
  var vector = (0..<count).map { _ in Double(random.next() >> 11) * 0x1p-52 - 1 }
  scale(&vector, by: 1 / dot(vector, vector).squareRoot())
  var previous = [Double](repeating: 0, count: count)
  var image = previous
  var (diagonal, beside) = ([Double](), [Double]())
  while true {
    try multiply(vector, &image)
    if let last = beside.last { add(-last, times: previous, to: &image) }
    diagonal.append(dot(image, vector))
    add(-diagonal[diagonal.count - 1], times: vector, to: &image)
    let rest = dot(image, image).squareRoot()
    let isLast = diagonal.count >= iterations
    if isLast || diagonal.count <= 5 || diagonal.count % 5 == 0 {
      let top = try algebra.largestEigenvector(diagonal: diagonal, beside: beside)
      let isConverged = rest * top.last.magnitude <= tolerance * top.value
      if isConverged || isLast { return (max(0, top.value), isConverged) }
    }
    beside.append(rest)
    swap(&previous, &vector)
    swap(&vector, &image)
    scale(&vector, by: 1 / rest)
  }
}
