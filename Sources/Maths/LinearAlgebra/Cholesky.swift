// SPDX-License-Identifier: Apache-2.0

internal import COpenBLAS
internal import Parallel

/// A = LLᵀ of a symmetric positive definite matrix, L lower triangular.
///
/// Columns are taken in blocks: one is factored, the rows below it are solved for, and what it adds is taken from the
/// columns that follow, tile by tile on all threads. Results do not depend on their number.
struct Cholesky {
  /// Row-major; the lower triangle is L, what is above is of no use.
  private var elements: [Double]
  private let count: Int
  private let algebra: LinearAlgebra

  /// Rows and columns of a tile.
  private static let block = 256

  /// - Parameter elements: count × count, row-major; the lower triangle is used, and becomes L in place where the caller
  ///   gives it away.
  /// - Returns: `nil` for a matrix that is not positive definite, to the precision of doubles.
  init?(_ elements: consuming [Double], count: Int, threads: Threads, _ algebra: LinearAlgebra) {
    precondition(elements.count == count * count, "as many elements as rows times columns")
    self.elements = elements
    self.count = count
    self.algebra = algebra
    guard factor(threads) else { return nil }
  }

  private mutating func factor(_ threads: Threads) -> Bool {
    let (count, block, algebra) = (count, Self.block, algebra)
    return elements.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return true }
      nonisolated(unsafe) let a = base
      for first in stride(from: 0, to: count, by: block) {
        let width = min(block, count - first)
        nonisolated(unsafe) let corner = a + first * count + first
        // LAPACK sees the transposed matrix: its upper triangle is our lower one.
        guard algebra.factor(corner, width, stride: count) else { return false }
        let below = first + width
        let rows = (count - below + block - 1) / block
        threads.forEach(rows) { number in
          let row = below + number * block
          algebra.solve(
            rows: a + row * count + first, min(block, count - row), stride: count, byLower: corner, width)
        }
        // Pairs of tiles on and below the diagonal.
        threads.forEach(rows * (rows + 1) / 2) { number in
          var row = Int((2 * Double(number)).squareRoot())
          while row * (row + 1) / 2 > number { row -= 1 }
          while (row + 1) * (row + 2) / 2 <= number { row += 1 }
          let (i, j) = (below + row * block, below + (number - row * (row + 1) / 2) * block)
          algebra.subtractProducts(
            .init(a + i * count + first, stride: count), min(block, count - i),
            .init(a + j * count + first, stride: count), min(block, count - j), width, from: a + i * count + j,
            stride: count)
        }
      }
      return true
    }
  }

  /// X in A·X = B; B has `columns` columns, row-major.
  func solve(_ b: [Double], columns: Int) -> [Double] {
    precondition(b.count == count * columns, "as many rows as the matrix")
    var x = b
    elements.withUnsafeBufferPointer { l in
      x.withUnsafeMutableBufferPointer { x in
        guard let l = l.baseAddress, let x = x.baseAddress else { return }
        algebra.solve(lower: l, count, x, columns)
      }
    }
    return x
  }
}

extension LinearAlgebra {
  /// The lower triangle of a row-major matrix becomes L.
  fileprivate func factor(_ a: UnsafeMutablePointer<Double>, _ n: Int, stride: Int) -> Bool {
    var (uplo, info) = (CChar(UInt8(ascii: "U")), Int32(0))
    var (n32, stride32) = (Int32(n), Int32(max(1, stride)))
    library.dpotrf(&uplo, &n32, a, &stride32, &info, 1)
    return info == 0
  }

  /// Rows R become R·L⁻ᵀ.
  fileprivate func solve(
    rows: UnsafeMutablePointer<Double>, _ m: Int, stride: Int, byLower l: UnsafePointer<Double>, _ n: Int
  ) {
    // Column by column: Rᵀ becomes U⁻ᵀRᵀ with U = Lᵀ.
    solve("L", "T", n, m, l, stride, rows, stride)
  }

  /// X (n × columns) becomes A⁻¹X with A = LLᵀ.
  fileprivate func solve(
    lower l: UnsafePointer<Double>, _ n: Int, _ x: UnsafeMutablePointer<Double>, _ columns: Int
  ) {
    // Column by column: Xᵀ becomes Xᵀ·U⁻¹·U⁻ᵀ.
    solve("R", "N", columns, n, l, n, x, columns)
    solve("R", "T", columns, n, l, n, x, columns)
  }

  private func solve(
    _ side: Unicode.Scalar, _ transpose: Unicode.Scalar, _ m: Int, _ n: Int, _ a: UnsafePointer<Double>,
    _ strideA: Int, _ b: UnsafeMutablePointer<Double>, _ strideB: Int
  ) {
    guard m > 0, n > 0 else { return }
    var (side, uplo, transpose, diagonal) = (
      CChar(side.value), CChar(UInt8(ascii: "U")), CChar(transpose.value), CChar(UInt8(ascii: "N"))
    )
    var (m32, n32, a32, b32) = (Int32(m), Int32(n), Int32(max(1, strideA)), Int32(max(1, strideB)))
    var one = 1.0
    library.dtrsm(&side, &uplo, &transpose, &diagonal, &m32, &n32, &one, a, &a32, b, &b32, 1, 1, 1, 1)
  }
}
