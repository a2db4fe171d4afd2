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
  try largestEigenvalueMagnitudes(count: count, shifts: [0], tolerance: tolerance, multiply)[0]
}

/// Returns the same of K − cI for each of some shifts c: the vectors that K spans are those of all of them.
func largestEigenvalueMagnitudes(
  count: Int, shifts: [Double], tolerance: Double = 1e-7,
  _ multiply: (UnsafePointer<Double>, UnsafeMutablePointer<Double>) -> Void
) throws(LinearAlgebraError) -> [Double] {
  guard count > 0 else { return shifts.map { _ in 0 } }
  let algebra = try LinearAlgebra()
  var space = KrylovSpace(count: count)
  while true {
    let step = space.step(multiply)
    guard step.isComplete || space.basis.count % 5 == 0 else { continue }
    let top = try algebra.largestEigenvector(diagonal: space.diagonal, beside: space.inner)
    let bottom = try algebra.largestEigenvector(diagonal: space.diagonal.map { -$0 }, beside: space.inner)
    let best = shifts.map { shift in
      top.value - shift >= bottom.value + shift
        ? (value: top.value - shift, last: top.last) : (value: bottom.value + shift, last: bottom.last)
    }
    if step.isComplete || best.allSatisfy({ step.rest * $0.last.magnitude <= tolerance * $0.value }) {
      return best.map { max(0, $0.value) }
    }
  }
}

/// The largest eigenvalues of a symmetric operator without negative ones and their vectors, by Lanczos's method with full
/// orthogonalisation. Of equal eigenvalues one may be found alone.
struct LeadingEigenvalues {
  /// Descending.
  let values: [Double]
  /// Unit vectors, in their order; signs are such that the sum of the elements is not negative.
  let vectors: [[Double]]
  /// ‖Kv − λv‖ of each, at most.
  let residuals: [Double]

  /// Vectors that are kept at most.
  static let mostSteps = 300

  /// - Parameters:
  ///   - wanted: how many, at most `count`.
  ///   - tolerance: of residuals, relative to the largest eigenvalue; it may not be reached after `mostSteps`.
  ///   - multiply: y = Kx, for vectors of `count` elements.
  init(
    count: Int, wanted: Int, tolerance: Double,
    _ multiply: (UnsafePointer<Double>, UnsafeMutablePointer<Double>) -> Void
  ) throws(LinearAlgebraError) {
    guard wanted > 0 else {
      (values, vectors, residuals) = ([], [], [])
      return
    }
    let algebra = try LinearAlgebra()
    var space = KrylovSpace(count: count)
    // A space that is spanned may lack eigenvectors: those of equal eigenvalues. Others are looked for from elsewhere.
    var (starts, sinceStart) = (0, 0)
    while true {
      let step = space.step(multiply)
      sinceStart += 1
      let size = space.basis.count
      let isLast = size == count || size >= Self.mostSteps || starts >= wanted && step.isComplete
      if size >= wanted, isLast || size % 5 == 0 && sinceStart >= 10 {
        let (values, last) = try algebra.largestEigenvectors(
          diagonal: space.diagonal, beside: space.inner, count: wanted)
        let residuals = (0..<wanted).map { step.rest * last[($0 + 1) * size - 1].magnitude }
        if isLast || residuals.allSatisfy({ $0 <= tolerance * (values.last ?? 0) }) {
          self.values = values.reversed()
          self.residuals = residuals.reversed()
          vectors = (0..<wanted).reversed().map { k in
            var vector = [Double](repeating: 0, count: count)
            for (number, other) in space.basis.enumerated() { add(last[k * size + number], times: other, to: &vector) }
            return vector.reduce(0, +) < 0 ? vector.map { -$0 } : vector
          }
          return
        }
      }
      if step.isComplete {
        space.restart()
        (starts, sinceStart) = (starts + 1, 0)
      }
    }
  }
}

/// The vectors x, Kx, K²x, … made orthogonal, and K in them: tridiagonal.
private struct KrylovSpace {
  private(set) var basis: [[Double]] = []
  private(set) var diagonal: [Double] = []
  private var beside: [Double] = []
  private var vector: [Double]
  private var image: [Double]
  private var random = SplitMix64(seed: 1)

  /// What stands beside the diagonal, without what the last step left.
  var inner: [Double] { Array(beside.prefix(max(0, diagonal.count - 1))) }

  init(count: Int) {
    vector = []
    image = [Double](repeating: 0, count: count)
    draw(count)
  }

  private mutating func draw(_ count: Int) {
    // No structure of what the operator stands for is orthogonal to a random start.
    vector = (0..<count).map { _ in Double(random.next() >> 11) * 0x1p-52 - 1 }
    scale(&vector, by: 1 / dot(vector, vector).squareRoot())
  }

  /// Goes on from another vector, orthogonal to all.
  mutating func restart() {
    draw(vector.count)
    for _ in 0..<2 {
      for other in basis { add(-dot(vector, other), times: other, to: &vector) }
    }
    scale(&vector, by: 1 / dot(vector, vector).squareRoot())
    beside[beside.count - 1] = 0
  }

  /// Takes one vector in.
  ///
  /// - Returns: the norm of what is left of its image; whether that is nothing but rounding, or the whole space is
  ///   spanned.
  mutating func step(
    _ multiply: (UnsafePointer<Double>, UnsafeMutablePointer<Double>) -> Void
  ) -> (rest: Double, isComplete: Bool) {
    basis.append(vector)
    multiply(vector, &image)
    diagonal.append(dot(image, vector))
    // Twice: once is not enough where much cancels.
    for _ in 0..<2 {
      for other in basis { add(-dot(image, other), times: other, to: &image) }
    }
    let rest = dot(image, image).squareRoot()
    let size = (diagonal.map(\.magnitude) + beside).max() ?? 0
    let isComplete = basis.count == image.count || rest <= 1e-14 * size
    beside.append(rest)
    vector = image
    scale(&vector, by: 1 / rest)
    return (rest, isComplete)
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
