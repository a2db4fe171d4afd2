// SPDX-License-Identifier: Apache-2.0

internal import COpenBLAS

/// Why linear algebra cannot be done.
public enum LinearAlgebraError: Error, Equatable, CustomStringConvertible {
  /// OpenBLAS cannot be loaded.
  case noLibrary(String)
  /// The process may not have the address space that OpenBLAS takes.
  case noMemory(String)
  /// LAPACK counts in 32 bits.
  case tooLarge(count: Int)
  /// An element is infinite or not a number.
  case notFinite
  /// The iteration gave up. Not known to happen with finite elements.
  case notConverged

  public var description: String {
    switch self {
    case .noLibrary(let reason), .noMemory(let reason): "OpenBLAS cannot be loaded: \(reason)"
    case .tooLarge(let count): "\(count) rows are too many for LAPACK"
    case .notFinite: "a value is infinite or not a number"
    case .notConverged: "the eigenvalues did not converge"
    }
  }
}

/// OpenBLAS on one thread. What is done on several threads is divided into pieces that do not depend on their number,
/// so that results do not either; on another kind of processor their last digits may differ.
///
/// Matrices are row-major here: a row-major matrix is its transpose column by column, which is what BLAS takes.
struct LinearAlgebra: @unchecked Sendable {
  let library: nc_openblas_functions

  init() throws(LinearAlgebraError) {
    guard let library = nc_openblas()?.pointee else {
      let reason = String(cString: nc_openblas_error())
      throw nc_openblas_lacks_memory() != 0 ? .noMemory(reason) : .noLibrary(reason)
    }
    self.library = library
  }

  /// Rows of a row-major matrix, `stride` elements from one to the next.
  struct Rows {
    var first: UnsafePointer<Double>
    var stride: Int

    init(_ first: UnsafePointer<Double>, stride: Int) {
      self.first = first
      self.stride = stride
    }

    func from(_ row: Int) -> Rows { Rows(first + row * stride, stride: stride) }
  }

  /// C = A·Bᵀ, or C + A·Bᵀ: A has m rows, B n, of k elements each; C is m × n.
  func products(
    _ a: Rows, _ m: Int, _ b: Rows, _ n: Int, _ k: Int, to c: UnsafeMutablePointer<Double>, stride: Int,
    adding: Bool = false
  ) {
    multiply("T", "N", n, m, k, 1, b, a, c, stride, adding ? 1 : 0)
  }

  /// C − A·Bᵀ, as `products`.
  func subtractProducts(
    _ a: Rows, _ m: Int, _ b: Rows, _ n: Int, _ k: Int, from c: UnsafeMutablePointer<Double>, stride: Int
  ) {
    multiply("T", "N", n, m, k, -1, b, a, c, stride, 1)
  }

  /// C = A·B, or C + A·B: A is m × k, B k × n, C m × n.
  func product(
    _ a: Rows, _ m: Int, _ b: Rows, _ k: Int, _ n: Int, to c: UnsafeMutablePointer<Double>, stride: Int,
    adding: Bool = false
  ) {
    multiply("N", "N", n, m, k, 1, b, a, c, stride, adding ? 1 : 0)
  }

  /// C = Aᵀ·B, or C + Aᵀ·B: A is k × m, B k × n, C m × n.
  func transposedProduct(
    _ a: Rows, _ m: Int, _ b: Rows, _ k: Int, _ n: Int, to c: UnsafeMutablePointer<Double>, stride: Int,
    adding: Bool = false
  ) {
    multiply("N", "T", n, m, k, 1, b, a, c, stride, adding ? 1 : 0)
  }

  /// y = A·x, or with `transposed` Aᵀ·x: A is m × n.
  func product(
    _ a: Rows, _ m: Int, _ n: Int, transposed: Bool = false, _ x: UnsafePointer<Double>,
    to y: UnsafeMutablePointer<Double>
  ) {
    guard m > 0, n > 0 else { return }
    var kind = CChar(UInt8(ascii: transposed ? "N" : "T"))
    var (rows, columns, stride, step) = (Int32(n), Int32(m), Int32(a.stride), Int32(1))
    var (alpha, beta) = (1.0, 0.0)
    library.dgemv(&kind, &rows, &columns, &alpha, a.first, &stride, x, &step, &beta, y, &step, 1)
  }

  /// Column by column, as BLAS sees it: C (m × n) = α·op(A)·op(B) + β·C.
  private func multiply(
    _ first: Unicode.Scalar, _ second: Unicode.Scalar, _ m: Int, _ n: Int, _ k: Int, _ alpha: Double, _ a: Rows,
    _ b: Rows, _ c: UnsafeMutablePointer<Double>, _ strideC: Int, _ beta: Double
  ) {
    guard m > 0, n > 0 else { return }
    var (transposeA, transposeB) = (CChar(first.value), CChar(second.value))
    var (m32, n32, k32) = (Int32(m), Int32(n), Int32(k))
    var (a32, b32, c32) = (Int32(max(1, a.stride)), Int32(max(1, b.stride)), Int32(max(1, strideC)))
    var (alpha, beta) = (alpha, beta)
    library.dgemm(
      &transposeA, &transposeB, &m32, &n32, &k32, &alpha, a.first, &a32, b.first, &b32, &beta, c, &c32, 1, 1)
  }
}
