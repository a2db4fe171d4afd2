// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// Writes the values of a low-rank matrix: weight (r, c) is float32(Σₖ A[r, k]·B[k, c]), the sum taken in float64 in
/// ascending order of k from +0, rounded to `type` (to nearest, ties to even).
///
/// - Parameters:
///   - type: float16, bfloat16, float32 or float64.
///   - transposed: whether to write inputs × output units, as Keras stores it.
///   - bytes: room for rows · columns little-endian elements, row-major.
public func decode(
  _ matrix: LowRankMatrix, type: ElementType, transposed: Bool, into bytes: UnsafeMutableRawBufferPointer,
  threads: Threads
) {
  LowRankSlabs(matrix, type: type, transposed: transposed).decode(into: bytes, threads: threads)
}

/// The values of a low-rank matrix in slabs.
public struct LowRankSlabs: Slabs {
  private let matrix: LowRankMatrix
  public let grid: SlabGrid
  private let transposed: Bool
  private var type: ElementType { grid.type }
  /// Weights in each row of the source.
  private var columns: Int { grid.columns }

  /// Weights of a slab; rows of one, if these are not far too long: one factor is read once for each slab.
  private static let (weights, minRows, maxWeights) = (1 << 20, 16, 1 << 22)
  /// Columns that are computed before they are stored, and bytes of their factor: half of a second-level cache.
  private static let (columnsAtOnce, bytesAtOnce) = (64, 1 << 18)

  /// - Parameters:
  ///   - type: float16, bfloat16, float32 or float64.
  ///   - transposed: whether the source is inputs × output units, as Keras stores it.
  public init(_ matrix: LowRankMatrix, type: ElementType, transposed: Bool) {
    precondition(type.isFloat, "weights are floating-point numbers")
    self.matrix = matrix
    self.transposed = transposed
    let (rows, columns) = transposed ? (matrix.columns, matrix.rows) : (matrix.rows, matrix.columns)
    let long = max(1, columns)
    grid = SlabGrid(
      type: type, rows: rows, columns: columns,
      rowsPerSlab: max(1, Self.weights / long, min(Self.minRows, Self.maxWeights / long)))
  }

  /// Writes the values of a slab into all of `out`.
  public func decode(_ slab: Int, into out: UnsafeMutableRawBufferPointer) {
    precondition(out.count == bytes(of: slab).count, "room for the slab")
    guard let base = out.baseAddress else { return }
    forEachTile(of: slab) { floats, row, some in
      store(floats, count: some.count, to: base + (row * columns + some.lowerBound) * type.byteCount)
    }
  }

  /// Whether all values of a slab are finite, in this type.
  fileprivate func isFinite(_ slab: Int) -> Bool {
    var finite = true
    withUnsafeTemporaryAllocation(byteCount: Self.columnsAtOnce * type.byteCount, alignment: 8) { bytes in
      forEachTile(of: slab) { floats, _, some in
        store(floats, count: some.count, to: bytes.baseAddress!)
        finite = finite && type.areFinite(UnsafeRawBufferPointer(rebasing: bytes[..<(some.count * type.byteCount)]))
      }
    }
    return finite
  }

  /// Calls `body` with runs of values as floats: the row they are of, from the slab's first, and the columns.
  private func forEachTile(of slab: Int, _ body: (UnsafePointer<Float>, Int, Range<Int>) -> Void) {
    let (tall, wide) = (Int(nc_low_rank_rows), Int(nc_low_rank_columns))
    let range = grid.rows(of: slab)
    let rank = matrix.rank
    let panels = (range.count + tall - 1) / tall
    // As many panels of columns as fit the cache, and the rows by panels.
    let most = max(1, min(Self.columnsAtOnce / wide, Self.bytesAtOnce / max(1, rank * wide * 8)))
    let rowFactor = UnsafeMutablePointer<Double>.allocate(capacity: max(1, panels * tall * rank))
    let columnFactor = UnsafeMutablePointer<Double>.allocate(capacity: max(1, most * wide * rank))
    let tile = UnsafeMutablePointer<Float>.allocate(capacity: tall * most * wide)
    defer {
      rowFactor.deallocate()
      columnFactor.deallocate()
      tile.deallocate()
    }
    pack(range, ofOutputUnits: !transposed, width: tall, to: rowFactor)
    for first in stride(from: 0, to: columns, by: most * wide) {
      let some = first..<min(columns, first + most * wide)
      pack(some, ofOutputUnits: transposed, width: wide, to: columnFactor)
      for panel in 0..<panels {
        for part in 0..<(some.count + wide - 1) / wide {
          nc_low_rank_products(
            rowFactor + panel * tall * rank, 1, columnFactor + part * wide * rank, rank, tile + part * wide,
            most * wide)
        }
        for row in panel * tall..<min(range.count, (panel + 1) * tall) {
          body(tile + (row - panel * tall) * most * wide, row, some)
        }
      }
    }
  }

  /// Copies the factors of some output units (rows of A) or inputs (columns of B) to panels.
  private func pack(_ some: Range<Int>, ofOutputUnits: Bool, width: Int, to out: UnsafeMutablePointer<Double>) {
    let rank = matrix.rank
    if rank == 0 { return }
    (ofOutputUnits ? matrix.left : matrix.right).withUnsafeBufferPointer { factor in
      guard let base = factor.baseAddress else { return }
      if ofOutputUnits {
        nc_low_rank_pack(base + some.lowerBound * rank, rank, 1, some.count, rank, width, out)
      } else {
        nc_low_rank_pack(base + some.lowerBound, 1, matrix.columns, some.count, rank, width, out)
      }
    }
  }

  /// Writes floats as elements of the type.
  private func store(_ floats: UnsafePointer<Float>, count: Int, to out: UnsafeMutableRawPointer) {
    switch type {
    case .float32: out.copyMemory(from: floats, byteCount: count * 4)
    case .float64:
      for i in 0..<count { out.storeBytes(of: Double(floats[i]), toByteOffset: i * 8, as: Double.self) }
    default:
      withUnsafeTemporaryAllocation(of: UInt16.self, capacity: count) { halves in
        guard let halves = halves.baseAddress else { return }
        nc_narrow(floats, count, type == .bfloat16, halves)
        out.copyMemory(from: halves, byteCount: count * 2)
      }
    }
  }
}

extension LowRankMatrix {
  /// Returns whether all values are finite once they are rounded to `type`.
  ///
  /// |Σₖ A[r, k]·B[k, c]| ≤ ‖A[r]‖ ‖B[, c]‖, so that most often the factors answer; else all values are computed.
  ///
  /// - Parameters:
  ///   - type: float16, bfloat16, float32 or float64.
  ///   - threads: the answer does not depend on it.
  public func isFinite(in type: ElementType, threads: Threads) -> Bool {
    let greatest =
      switch type {
      case .float16: Double(Float16.greatestFiniteMagnitude)
      case .bfloat16: Double(Float(bitPattern: 0x7F7F_0000))
      default: Double(Float.greatestFiniteMagnitude)
      }
    // The bound is itself rounded: by much less than its half.
    if greatestNorms() < greatest / 2 { return true }
    let slabs = LowRankSlabs(self, type: type, transposed: false)
    return threads.results(slabs.count) { slabs.isFinite($0) }.allSatisfy { $0 }
  }

  /// max ‖A[r]‖ · max ‖B[, c]‖; infinite or NaN when a factor is.
  private func greatestNorms() -> Double {
    var columnSquares = [Double](repeating: 0, count: columns)
    for k in 0..<rank {
      for column in 0..<columns {
        let entry = Double(right[k * columns + column])
        columnSquares[column] += entry * entry
      }
    }
    let rowSquares = (0..<rows).map { row in
      left[row * rank..<(row + 1) * rank].reduce(0.0) { $0 + Double($1) * Double($1) }
    }
    func greatest(_ squares: [Double]) -> Double {
      squares.allSatisfy(\.isFinite) ? (squares.max() ?? 0).squareRoot() : .infinity
    }
    return greatest(rowSquares) * greatest(columnSquares)
  }
}

extension ElementType {
  /// Whether no little-endian element of this floating-point type is infinite or not a number.
  fileprivate func areFinite(_ bytes: UnsafeRawBufferPointer) -> Bool {
    WeightRows(bytes, type: self, rows: 1, columns: bytes.count / byteCount, transposed: false)
      .firstNonFinite() == nil
  }
}
