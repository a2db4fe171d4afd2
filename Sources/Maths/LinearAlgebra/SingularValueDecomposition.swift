// SPDX-License-Identifier: Apache-2.0

internal import COpenBLAS

/// A matrix cannot be decomposed.
public enum SingularValueError: Error, Equatable, CustomStringConvertible {
  /// An element is infinite or not a number: the first, row by row.
  case notFinite(index: Int)
  /// LAPACK counts in 32 bits, and its work space would be larger.
  case tooLarge(rows: Int, columns: Int)
  /// OpenBLAS cannot be loaded.
  case noLibrary(String)
  /// The process may not have the address space that OpenBLAS takes.
  case noMemory(String)
  /// The iteration gave up. Not known to happen with finite elements.
  case notConverged

  public var description: String {
    switch self {
    case .notFinite(let index): "element \(index) is infinite or not a number"
    case .tooLarge(let rows, let columns): "\(rows)×\(columns) is too large for a singular value decomposition"
    case .noLibrary(let reason), .noMemory(let reason): "OpenBLAS cannot be loaded: \(reason)"
    case .notConverged: "the singular value decomposition did not converge"
    }
  }
}

/// A matrix as W = U diag(s) Vᵀ, U and V with orthonormal columns, s₁ ≥ s₂ ≥ … ≥ 0.
///
/// With k = min(rows, columns), U is rows × k and Vᵀ is k × columns. Computed in double by LAPACK's divide and conquer
/// (`dgesdd`), on one thread: the same bytes every time on the same kind of processor.
///
/// Signs are those for which the entry of each column of U that is largest in magnitude is positive; magnitudes are
/// compared as floats, the first of equals counts.
///
/// Laws: Σ s² = ‖W‖²; no matrix of rank r is nearer to W than the sum of the first r terms, and its squared distance is
/// the sum of the other s².
public struct SingularValueDecomposition: Sendable {
  /// Of W.
  public let rows: Int
  /// Of W.
  public let columns: Int
  /// s, min(rows, columns) values, largest first.
  public let values: [Double]
  /// U, rows × k, row-major.
  public let left: [Double]
  /// Vᵀ, k × columns, row-major.
  public let right: [Double]

  /// Decomposes the matrix that `fill` writes, rows · columns elements, row-major.
  ///
  /// - Throws: `SingularValueError`.
  public init(
    rows: Int, columns: Int, fill: (UnsafeMutableBufferPointer<Double>) -> Void
  ) throws(SingularValueError) {
    let least = min(rows, columns)
    let work = try Workspace(rows: rows, columns: columns, vectors: true)
    try work.decompose(fill)
    self.rows = rows
    self.columns = columns
    values = Array(UnsafeBufferPointer(start: work.values, count: least))
    work.releaseMatrix()
    // W row by row is Wᵀ column by column, so LAPACK's U is our V.
    let signs = Self.signs(of: work.right, rows: rows, count: least)
    left = [Double](unsafeUninitializedCapacity: rows * least) { out, count in
      for row in 0..<rows {
        for k in 0..<least { out[row * least + k] = signs[k] * work.right[row * least + k] }
      }
      count = rows * least
    }
    right = [Double](unsafeUninitializedCapacity: least * columns) { out, count in
      for k in 0..<least {
        for column in 0..<columns { out[k * columns + column] = signs[k] * work.left[k * columns + column] }
      }
      count = least * columns
    }
  }

  /// Decomposes a matrix of rows · columns elements, row-major.
  public init(_ matrix: [Double], rows: Int, columns: Int) throws(SingularValueError) {
    precondition(matrix.count == rows * columns, "as many elements as the shape says")
    try self.init(rows: rows, columns: columns) { _ = $0.update(fromContentsOf: matrix) }
  }

  /// Returns the singular values only, largest first: in a third to half of the time.
  ///
  /// - Throws: `SingularValueError`.
  public static func values(
    rows: Int, columns: Int, fill: (UnsafeMutableBufferPointer<Double>) -> Void
  ) throws(SingularValueError) -> [Double] {
    let work = try Workspace(rows: rows, columns: columns, vectors: false)
    try work.decompose(fill)
    return Array(UnsafeBufferPointer(start: work.values, count: min(rows, columns)))
  }

  /// Returns how many bytes of memory a decomposition takes at its height, what it returns included, so that they can
  /// be held against a limit before they are taken.
  ///
  /// - Parameter vectors: whether U and V are wanted.
  /// - Throws: `SingularValueError.tooLarge`.
  public static func byteCount(rows: Int, columns: Int, vectors: Bool) throws(SingularValueError) -> Int {
    let layout = try Layout(rows: rows, columns: columns, vectors: vectors)
    let least = min(rows, columns)
    let results = least + (vectors ? least * (rows + columns) : 0)
    // The matrix and the work space are given back before the results are copied.
    let last = layout.byteCount - layout.matrixByteCount + 8 * results
    return max(layout.byteCount, last)
  }

  /// For each column, the sign that makes its largest entry positive.
  private static func signs(of vectors: UnsafePointer<Double>, rows: Int, count: Int) -> [Double] {
    var largest = [Float](repeating: 0, count: count)
    var signs = [Double](repeating: 1, count: count)
    for row in 0..<rows {
      for k in 0..<count {
        let entry = vectors[row * count + k]
        let magnitude = Float(entry.magnitude)
        if magnitude > largest[k] {
          largest[k] = magnitude
          signs[k] = entry < 0 ? -1 : 1
        }
      }
    }
    return signs
  }
}

/// What LAPACK needs for a matrix, in elements.
private struct Layout {
  let matrix: Int
  let values: Int
  let left: Int
  let right: Int
  let work: Int
  let integers: Int

  /// Elements on a 64-byte boundary: the order of sums in OpenBLAS may depend on it.
  private static func aligned(_ count: Int) -> Int { (count + 7) / 8 * 8 }

  init(rows: Int, columns: Int, vectors: Bool) throws(SingularValueError) {
    precondition(rows >= 0 && columns >= 0, "a shape")
    let (least, most) = (min(rows, columns), max(rows, columns))
    guard least > 0 else {
      (matrix, values, left, right, work, integers) = (0, 0, 0, 0, 0, 0)
      return
    }
    // Before LAPACK computes with them in 32 bits: more than it ever asks for.
    let bound = Int(Int32.max)
    guard most <= bound / 2, least <= 32768, 4 * least * least + 512 * least + most <= bound else {
      throw .tooLarge(rows: rows, columns: columns)
    }
    var best = 0.0
    try call(
      rows: rows, columns: columns, vectors: vectors, matrix: nil, values: nil, left: nil, right: nil, work: &best,
      workCount: -1, integers: nil)
    guard best >= 1, best <= Double(bound) else { throw .tooLarge(rows: rows, columns: columns) }
    matrix = Self.aligned(rows * columns)
    values = Self.aligned(least)
    left = vectors ? Self.aligned(columns * least) : 0
    right = vectors ? Self.aligned(least * rows) : 0
    work = Self.aligned(Int(best))
    integers = Self.aligned(8 * least)
  }

  var matrixByteCount: Int { 8 * (matrix + work) + 4 * integers }
  var byteCount: Int { matrixByteCount + 8 * (values + left + right) }
}

/// Memory that LAPACK works in. Each array begins on a 64-byte boundary.
private final class Workspace {
  let rows: Int
  let columns: Int
  let vectors: Bool
  private let layout: Layout
  /// The matrix, then the work space, then the integers.
  private var matrix: UnsafeMutablePointer<Double>?
  /// The values, then LAPACK's U, then its Vᵀ.
  let values: UnsafeMutablePointer<Double>
  /// LAPACK's U, columns × k, column by column.
  var left: UnsafeMutablePointer<Double> { values + layout.values }
  /// LAPACK's Vᵀ, k × rows, column by column.
  var right: UnsafeMutablePointer<Double> { left + layout.left }

  init(rows: Int, columns: Int, vectors: Bool) throws(SingularValueError) {
    layout = try Layout(rows: rows, columns: columns, vectors: vectors)
    self.rows = rows
    self.columns = columns
    self.vectors = vectors
    matrix = Self.allocate(layout.matrixByteCount)
    values = Self.allocate(layout.byteCount - layout.matrixByteCount)
  }

  private static func allocate(_ byteCount: Int) -> UnsafeMutablePointer<Double> {
    UnsafeMutableRawPointer.allocate(byteCount: max(64, byteCount), alignment: 64).assumingMemoryBound(to: Double.self)
  }

  /// Gives back what is needed only while LAPACK works.
  func releaseMatrix() {
    matrix.map { UnsafeMutableRawPointer($0).deallocate() }
    matrix = nil
  }

  deinit {
    releaseMatrix()
    UnsafeMutableRawPointer(values).deallocate()
  }

  /// Decomposes the matrix that `fill` writes.
  func decompose(_ fill: (UnsafeMutableBufferPointer<Double>) -> Void) throws(SingularValueError) {
    guard let matrix else { preconditionFailure("a matrix is decomposed once") }
    let elements = UnsafeMutableBufferPointer(start: matrix, count: rows * columns)
    elements.initialize(repeating: 0)
    fill(elements)
    if let index = elements.firstIndex(where: { !$0.isFinite }) { throw .notFinite(index: index) }
    guard !elements.isEmpty else { return }
    let work = matrix + layout.matrix
    let integers = UnsafeMutableRawPointer(work + layout.work).assumingMemoryBound(to: Int32.self)
    let information = try call(
      rows: rows, columns: columns, vectors: vectors, matrix: matrix, values: values, left: left, right: right,
      work: work, workCount: layout.work, integers: integers)
    precondition(information >= 0, "LAPACK refuses argument \(-information)")
    guard information == 0 else { throw .notConverged }
  }
}

/// Calls `dgesdd` for the transpose: a matrix row by row is its transpose column by column.
@discardableResult
private func call(
  rows: Int, columns: Int, vectors: Bool, matrix: UnsafeMutablePointer<Double>?,
  values: UnsafeMutablePointer<Double>?, left: UnsafeMutablePointer<Double>?, right: UnsafeMutablePointer<Double>?,
  work: UnsafeMutablePointer<Double>, workCount: Int, integers: UnsafeMutablePointer<Int32>?
) throws(SingularValueError) -> Int {
  guard let library = nc_openblas()?.pointee else {
    let reason = String(cString: nc_openblas_error())
    throw nc_openblas_lacks_memory() != 0 ? .noMemory(reason) : .noLibrary(reason)
  }
  var job = CChar(bitPattern: UInt8(ascii: vectors ? "S" : "N"))
  var (m, n, least) = (Int32(columns), Int32(rows), Int32(min(rows, columns)))
  var count = Int32(workCount)
  var information: Int32 = 0
  // LAPACK's `m` is the length of a column, so also of the matrix's and U's; that of Vᵀ is k.
  var leading = m
  library.dgesdd(
    &job, &m, &n, matrix, &leading, values, left, &leading, right, &least, work, &count, integers, &information, 1)
  return Int(information)
}
