// SPDX-License-Identifier: Apache-2.0

public import Maths
public import Matrices
public import Parallel
public import Tensors

/// A matrix of low rank, and what was lost.
public struct SingularValuePruning: Sendable {
  public let matrix: LowRankMatrix
  /// Between W and the decoded values: factors and values are rounded.
  public let error: SquaredError
  /// √(Σ dropped s² / Σ s²): what `relativeL2` would be without rounding; 0 for a matrix of zeros.
  public let spectralError: Double
  /// ‖W − Ŵ‖ / ‖W‖; 0 for a matrix of zeros.
  public var relativeL2: Double { error.error }
}

/// A matrix of low rank cannot hold the weights: a factor or a decoded value would be infinite in its type.
public struct LowRankOverflow: Error, Equatable, CustomStringConvertible {
  public var description: String { "the weights are too large for float32 factors" }
}

/// Replaces a weight matrix by the sum of the terms sₖ uₖ vₖᵀ with the largest singular values: the nearest matrix of
/// its rank.
///
/// With `.error` the fewest terms with √(Σ dropped s² / Σ s²) ≤ E are kept: what rounding costs is not counted.
/// Singular values that are zero but for the rounding of the decomposition, sₖ ≤ max(rows, columns) · 2⁻⁵² · s₁, are
/// never kept: what was low rank before stays so.
///
/// A is U·diag(s) and B is Vᵀ, rounded to float32. Signs: `SingularValueDecomposition`.
///
/// - Parameters:
///   - source: the weights; the result is output units × inputs, whichever way they are stored.
///   - threads: the result does not depend on it; the decomposition uses one.
///   - known: the decomposition, once it was made, for further rules on the same matrix.
/// - Throws: `NonFiniteWeight` for an infinity or NaN, `LowRankOverflow`, or Maths' `SingularValueError` for a matrix
///   that is too large for LAPACK.
///
/// Laws: `relativeL2` and `spectralError` differ by no more than the roundings, in relation to ‖W‖: 2⁻²⁴ for each
/// factor (the rows of B are orthonormal, so that errors do not add up) and for the values 2⁻²⁴, for float16 also 2⁻¹¹
/// and for bfloat16 2⁻⁸; nothing being subnormal. Multiplying W by a power of two multiplies A and keeps B. The
/// transposed source has the same result.
public func pruneSingularValues(
  _ source: StoredMatrix,
  rule: PruningRule, threads: Threads, known: inout SingularValueDecomposition?
) throws -> SingularValuePruning {
  let weights = try ScaledWeights(source)
  let decomposition = try known ?? weights.decomposed()
  known = decomposition
  let (rank, spectralError) = kept(
    decomposition.values, rows: weights.rows.rows, columns: weights.rows.columns, rule: rule)
  let matrix = try lowRank(decomposition, rank: rank, unit: weights.unit)
  nonisolated(unsafe) let bytes = source.weights.bytes
  let type = source.weights.type
  guard matrix.isFinite(in: type, threads: threads) else { throw LowRankOverflow() }

  let slabs = LowRankSlabs(matrix, type: type, transposed: source.weights.transposed)
  let errors = threads.results(slabs.count) { slab in
    let original = UnsafeRawBufferPointer(rebasing: bytes[slabs.bytes(of: slab)])
    return withUnsafeTemporaryAllocation(byteCount: original.count, alignment: 64) { decoded in
      slabs.decode(slab, into: decoded)
      return SquaredError(original, UnsafeRawBufferPointer(decoded), type: type, threads: Threads(1))
    }
  }
  var error = SquaredError()
  for part in errors { error.add(part) }
  return SingularValuePruning(matrix: matrix, error: error, spectralError: spectralError)
}

/// The same for one rule alone.
public func pruneSingularValues(
  _ source: StoredMatrix,
  rule: PruningRule, threads: Threads
) throws -> SingularValuePruning {
  var known: SingularValueDecomposition?
  return try pruneSingularValues(
    source, rule: rule, threads: threads,
    known: &known)
}

/// Returns the min(rows, columns) singular values of a weight matrix, largest first.
///
/// Parameters and errors as for `pruneSingularValues`; takes a third to half of its time.
public func singularValues(
  _ source: StoredMatrix
) throws -> [Double] {
  let weights = try ScaledWeights(source)
  return try weights.values().map { $0 * weights.unit }
}

/// Returns how many bytes of memory `pruneSingularValues`, or `singularValues` without vectors, takes at its height.
///
/// - Throws: Maths' `SingularValueError` for a matrix that is too large for LAPACK.
public func singularValueByteCount(rows: Int, columns: Int, vectors: Bool) throws -> Int {
  try SingularValueDecomposition.byteCount(rows: rows, columns: columns, vectors: vectors)
}

/// Weights that are finite, in units of the power of two at or below the largest magnitude: their squares neither
/// overflow nor vanish.
private struct ScaledWeights {
  let rows: WeightRows
  let unit: Double

  init(_ source: StoredMatrix) throws(NonFiniteWeight) {
    self.rows = source.weights
    var largest = 0.0
    var finite = true
    self.rows.forEachBlock { _, x in
      for element in x {
        largest = max(largest, element.magnitude)
        finite = finite && element.isFinite
      }
    }
    guard finite else { throw NonFiniteWeight(index: self.rows.firstNonFinite() ?? 0) }
    unit = largest > 0 ? largest.binade : 1
  }

  func decomposed() throws(SingularValueError) -> SingularValueDecomposition {
    try SingularValueDecomposition(rows: rows.rows, columns: rows.columns) { fill($0) }
  }

  func values() throws(SingularValueError) -> [Double] {
    try SingularValueDecomposition.values(rows: rows.rows, columns: rows.columns) { fill($0) }
  }

  private func fill(_ out: UnsafeMutableBufferPointer<Double>) {
    rows.forEachBlock { first, x in
      for i in x.indices { out[first + i] = x[i] / unit }
    }
  }
}

extension WeightRows {
  /// Calls `body` with the weights, block after block, and the place of a block's first.
  fileprivate func forEachBlock(_ body: (Int, UnsafeBufferPointer<Double>) -> Void) {
    for block in 0..<blocks {
      let range = rows(ofBlock: block)
      let (first, count) = (range.lowerBound * columns, range.count * columns)
      if type == .float64 {
        withDoubles(range) { body(first, UnsafeBufferPointer(start: $0, count: count)) }
      } else {
        let wide = UnsafeMutableBufferPointer<Double>.allocate(capacity: count)
        defer { wide.deallocate() }
        withFloats(range) { x in
          for i in 0..<count { wide.initializeElement(at: i, to: Double(x[i])) }
        }
        body(first, UnsafeBufferPointer(wide))
      }
    }
  }
}

/// How many singular values a rule keeps, and √(Σ dropped s² / Σ s²).
private func kept(_ s: [Double], rows: Int, columns: Int, rule: PruningRule) -> (rank: Int, error: Double) {
  guard let largest = s.first, largest > 0 else { return (0, 0) }
  let negligible = Double(max(rows, columns)) * .ulpOfOne * largest
  let most = s.firstIndex { $0 <= negligible } ?? s.count
  // dropped[k]: the squares of all but the k first, added from the smallest.
  var dropped = [Double](repeating: 0, count: s.count + 1)
  for k in s.indices.reversed() { dropped[k] = dropped[k + 1] + s[k] * s[k] }
  func error(_ k: Int) -> Double { (dropped[k] / dropped[0]).squareRoot() }
  let wanted =
    switch rule {
    case .keep(let fraction): fraction.ceiling(of: s.count)
    case .error(let bound): dropped.indices.first { error($0) <= bound } ?? s.count
    }
  let rank = min(wanted, most)
  return (rank, error(rank))
}

/// The first terms as float32 factors.
private func lowRank(
  _ decomposition: SingularValueDecomposition, rank: Int, unit: Double
) throws(LowRankOverflow) -> LowRankMatrix {
  let all = decomposition.values.count
  let values = decomposition.values[..<rank].map { $0 * unit }
  var left: [Float] = []
  left.reserveCapacity(decomposition.rows * rank)
  for row in 0..<decomposition.rows {
    for k in 0..<rank { left.append(Float(decomposition.left[row * all + k] * values[k])) }
  }
  let right = decomposition.right[..<(rank * decomposition.columns)].map { Float($0) }
  guard values.allSatisfy(\.isFinite), left.allSatisfy(\.isFinite),
    let matrix = LowRankMatrix(
      rows: decomposition.rows, columns: decomposition.columns, left: left, right: right, singularValues: values)
  else { throw LowRankOverflow() }
  return matrix
}
