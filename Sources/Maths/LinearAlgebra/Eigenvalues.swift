// SPDX-License-Identifier: Apache-2.0

internal import COpenBLAS
internal import Glibc

/// All eigenvalues of a symmetric matrix, and the vectors of the largest ones.
///
/// By LAPACK in double: tridiagonal form (`dsytrd`), its eigenvalues (`dsterf`), vectors of the largest (`dstemr`,
/// `dormtr`). Cost: 4/3 n³ multiplications and additions, and 2n² a vector.
///
/// Laws: Σ λ = tr K; the vectors are orthonormal; K v = λ v, to √ε‖K‖: nearer eigenvalues `dstemr` does not tell apart.
public struct Eigenvalues: Sendable {
  /// Descending.
  public let values: [Double]
  /// Unit vectors of the largest, in their order; signs are such that the sum of the elements is not negative.
  public let vectors: [[Double]]

  init(values: [Double], vectors: [[Double]]) { (self.values, self.vectors) = (values, vectors) }

  /// The same with some eigenvalues that are zero.
  func with(zeros: Int) -> Eigenvalues {
    let place = values.firstIndex { $0 < 0 } ?? values.count
    let all = values[..<place] + [Double](repeating: 0, count: zeros) + values[place...]
    return Eigenvalues(values: Array(all), vectors: vectors)
  }

  /// - Parameter count: how many vectors are wanted.
  /// - Throws: `LinearAlgebraError`.
  public init(of matrix: SymmetricMatrix, vectors count: Int = 0) throws(LinearAlgebraError) {
    let algebra = try LinearAlgebra()
    let n = matrix.count
    guard n <= 1 << 15 else { throw .tooLarge(count: n) }
    guard matrix.isFinite else { throw .notFinite }
    guard n > 0 else {
      (values, vectors) = ([], [])
      return
    }
    var form = Tridiagonal(matrix, algebra)
    (values, vectors) = try form.solve(vectors: min(count, n))
  }
}

/// A symmetric matrix as Q T Qᵀ.
private struct Tridiagonal {
  private let algebra: LinearAlgebra
  private let count: Int
  /// Q, as reflections.
  private var matrix: [Double]
  private var factors: [Double]
  private var diagonal: [Double]
  private var beside: [Double]

  init(_ matrix: SymmetricMatrix, _ algebra: LinearAlgebra) {
    self.algebra = algebra
    count = matrix.count
    self.matrix = matrix.elements
    factors = [Double](repeating: 0, count: count)
    diagonal = factors
    beside = factors
    var half = CChar(UInt8(ascii: "L"))
    var (n, leading, information) = (Int32(count), Int32(count), Int32(0))
    var (best, wanted) = (0.0, Int32(-1))
    algebra.library.dsytrd(&half, &n, nil, &leading, nil, nil, nil, &best, &wanted, &information, 1)
    var work = [Double](repeating: 0, count: max(1, Int(best)))
    wanted = Int32(work.count)
    algebra.library.dsytrd(
      &half, &n, &self.matrix, &leading, &diagonal, &beside, &factors, &work, &wanted, &information, 1)
    precondition(information == 0, "LAPACK refuses an argument")
  }

  mutating func solve(vectors wanted: Int) throws(LinearAlgebraError) -> (values: [Double], vectors: [[Double]]) {
    var (values, rest) = (diagonal, beside)
    var (n, information) = (Int32(count), Int32(0))
    algebra.library.dsterf(&n, &values, &rest, &information)
    guard information == 0 else { throw .notConverged }
    values.reverse()
    return (values, wanted > 0 ? try vectors(wanted) : [])
  }

  private mutating func vectors(_ wanted: Int) throws(LinearAlgebraError) -> [[Double]] {
    var z = try algebra.largestEigenvectors(diagonal: diagonal, beside: beside, count: wanted).vectors
    var (side, half, transpose) = (CChar(UInt8(ascii: "L")), CChar(UInt8(ascii: "L")), CChar(UInt8(ascii: "N")))
    var (rows, columns, leading, room) = (Int32(count), Int32(wanted), Int32(count), Int32(count))
    var blocks = [Double](repeating: 0, count: 64 * wanted)
    var (blockCount, information) = (Int32(blocks.count), Int32(0))
    algebra.library.dormtr(
      &side, &half, &transpose, &rows, &columns, matrix, &leading, factors, &z, &room, &blocks, &blockCount,
      &information, 1, 1, 1)
    precondition(information == 0, "LAPACK refuses an argument")
    return (0..<wanted).reversed().map { k in
      let vector = Array(z[k * count..<(k + 1) * count])
      return vector.reduce(0, +) < 0 ? vector.map { -$0 } : vector
    }
  }
}

extension LinearAlgebra {
  /// The `count` largest eigenvalues of a tridiagonal matrix, ascending, and their unit vectors one after the other.
  func largestEigenvectors(
    diagonal: [Double], beside: [Double], count: Int
  ) throws(LinearAlgebraError) -> (values: [Double], vectors: [Double]) {
    let size = diagonal.count
    if size == 2 { return largestOfTwo(diagonal, beside[0], count: count) }
    // LAPACK destroys both, and wants room for one more beside the diagonal.
    var (d, e) = (diagonal, beside + [0])
    var (job, range) = (CChar(UInt8(ascii: "V")), CChar(UInt8(ascii: "I")))
    var (n, first, last, found) = (Int32(size), Int32(size - count + 1), Int32(size), Int32(0))
    var (low, high) = (0.0, 0.0)
    var values = [Double](repeating: 0, count: size)
    var vectors = [Double](repeating: 0, count: size * count)
    var (leading, room) = (Int32(size), Int32(count))
    var supports = [Int32](repeating: 0, count: 2 * count)
    var (accurate, information) = (Int32(1), Int32(0))
    var work = [Double](repeating: 0, count: 18 * size)
    var integers = [Int32](repeating: 0, count: 10 * size)
    var (workCount, integerCount) = (Int32(work.count), Int32(integers.count))
    library.dstemr(
      &job, &range, &n, &d, &e, &low, &high, &first, &last, &found, &values, &vectors, &leading, &room, &supports,
      &accurate, &work, &workCount, &integers, &integerCount, &information, 1, 1)
    guard information == 0, found == Int32(count) else { throw .notConverged }
    return (Array(values.prefix(count)), vectors)
  }

  /// The same of [[d₀, e], [e, d₁]]: `dstemr` of OpenBLAS 0.3.21 takes the one of larger magnitude for the larger.
  private func largestOfTwo(_ d: [Double], _ e: Double, count: Int) -> (values: [Double], vectors: [Double]) {
    let (mean, half) = (d[0] / 2 + d[1] / 2, d[0] / 2 - d[1] / 2)
    let (radius, angle) = (hypot(half, e), atan2(e, half) / 2)
    let vectors = [-sin(angle), cos(angle), cos(angle), sin(angle)]
    return ([mean - radius, mean + radius].suffix(count), vectors.suffix(2 * count))
  }

  /// The largest eigenvalue of a tridiagonal matrix, and the last element of its unit vector.
  func largestEigenvector(
    diagonal: [Double], beside: [Double]
  ) throws(LinearAlgebraError) -> (value: Double, last: Double) {
    let (values, vectors) = try largestEigenvectors(diagonal: diagonal, beside: beside, count: 1)
    return (values[0], vectors[vectors.count - 1])
  }
}
