// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import COpenBLAS

/// The triangular factor R of a tall matrix Z = QR (Q with orthonormal columns) whose rows come a few at a time: Q is
/// never formed, and what is kept does not grow with the rows.
///
/// By Householder reflections (LAPACK's `dgeqrf`) of R so far and some rows below it: the R that is found is that of a
/// matrix that differs from Z by a few units of roundoff in each column. RᵀR is ZᵀZ, which would lose half of the digits
/// of what is small beside the largest.
///
/// Example: the rows (3, 0) and (4, 5) have R = ±(5, 4; 0, ±3).
struct TriangularFactor {
  /// Columns of Z, and rows and columns of R.
  let columns: Int
  private let algebra: LinearAlgebra
  /// Rows that are taken in at once.
  private let batch: Int
  /// R and the rows that wait below it, column by column.
  private var work: [Double]
  private var waiting = 0

  private var stride: Int { columns + batch }

  init(columns: Int, _ algebra: LinearAlgebra) {
    self.columns = columns
    self.algebra = algebra
    batch = Self.batch(columns)
    work = [Double](repeating: 0, count: columns * (columns + batch))
  }

  /// With fewer rows than columns, most of the work would be that on R.
  private static func batch(_ columns: Int) -> Int { max(256, 2 * columns) }

  /// Bytes that one takes while it works.
  static func byteCount(columns: Int) -> Double { 8 * Double(columns) * (Double(columns) + Double(batch(columns))) }

  /// Adds rows that stand side by side: `pieces` are row-major, each of as many columns as it says, of all columns
  /// together.
  mutating func add(_ count: Int, _ pieces: [(numbers: [Double], columns: Int)]) {
    let stride = self.stride
    var first = 0
    while first < count {
      let some = min(count - first, batch - waiting)
      var column = 0
      for (numbers, width) in pieces where width > 0 {
        let place = column * stride + columns + waiting
        work.withUnsafeMutableBufferPointer { work in
          numbers.withUnsafeBufferPointer { numbers in
            guard let out = work.baseAddress, let rows = numbers.baseAddress else { return }
            nc_transpose(rows + first * width, width, some, width, 8, out + place, stride)
          }
        }
        column += width
      }
      waiting += some
      first += some
      if waiting == batch { reduce() }
    }
  }

  /// R, row-major; what is below its diagonal is zero.
  mutating func finished() -> [Double] {
    if waiting > 0 { reduce() }
    var result = [Double](repeating: 0, count: columns * columns)
    for row in 0..<columns {
      for column in row..<columns { result[row * columns + column] = work[column * stride + row] }
    }
    return result
  }

  private mutating func reduce() {
    defer { waiting = 0 }
    guard columns > 0 else { return }
    for column in 0..<columns {
      for row in column + 1..<max(columns, column + 1) { work[column * stride + row] = 0 }
    }
    var (m, n, leading, information) = (Int32(columns + waiting), Int32(columns), Int32(stride), Int32(0))
    var (best, wanted) = (0.0, Int32(-1))
    algebra.library.dgeqrf(&m, &n, nil, &leading, nil, &best, &wanted, &information)
    var factors = [Double](repeating: 0, count: columns)
    var room = [Double](repeating: 0, count: max(columns, Int(best)))
    wanted = Int32(room.count)
    algebra.library.dgeqrf(&m, &n, &work, &leading, &factors, &room, &wanted, &information)
    precondition(information == 0, "LAPACK refuses an argument")
  }
}
