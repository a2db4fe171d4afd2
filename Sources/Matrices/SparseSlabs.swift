// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// Writes the restored values of a sparse matrix: stored ones, widened to `type` where they are narrower, and +0.
///
/// - Parameters:
///   - type: that of the stored values, or float32 or float64 where these are float16 or bfloat16.
///   - transposed: whether to write inputs × output units, as Keras stores it.
///   - bytes: room for rows · columns little-endian elements, row-major.
public func decode(
  _ matrix: SparseMatrix, type: ElementType, transposed: Bool, into bytes: UnsafeMutableRawBufferPointer,
  threads: Threads
) {
  SparseSlabs(matrix, type: type, transposed: transposed).decode(into: bytes, threads: threads)
}

/// The restored values of a sparse matrix in slabs.
public struct SparseSlabs: Slabs {
  private let matrix: SparseMatrix
  public let grid: SlabGrid
  private let transposed: Bool
  private var type: ElementType { grid.type }
  /// Weights in each row of the source.
  private var columns: Int { grid.columns }
  /// For every `interval` bytes of the mask, how many of the bits before them are set.
  private let ranks: [Int]

  /// Weights of a slab.
  private static let weights = 1 << 20
  /// Bytes of the mask whose bits are counted when a row is begun: a line of the cache.
  private static let interval = 64
  /// Weights that are widened at once.
  private static let widened = 2048

  /// - Parameters:
  ///   - matrix: has as many values as bits.
  ///   - type: that of the stored values, or float32 or float64 where these are float16 or bfloat16.
  ///   - transposed: whether the source is inputs × output units, as Keras stores it.
  public init(_ matrix: SparseMatrix, type: ElementType, transposed: Bool) {
    self.init(matrix, type: type, transposed: transposed, slabWeights: Self.weights)
  }

  init(_ matrix: SparseMatrix, type: ElementType, transposed: Bool, slabWeights: Int) {
    precondition(type.isFloat, "weights are floating-point numbers")
    precondition(
      matrix.type == type || matrix.type.isFloat && matrix.type.byteCount == 2 && type.byteCount > 2,
      "values are widened only")
    self.matrix = matrix
    self.transposed = transposed
    let (rows, columns) = transposed ? (matrix.columns, matrix.rows) : (matrix.rows, matrix.columns)
    let fitting = max(1, slabWeights / max(1, columns))
    // Slabs of a transposed matrix begin where a byte of the mask does.
    grid = SlabGrid(
      type: type, rows: rows, columns: columns, rowsPerSlab: transposed && fitting > 8 ? fitting / 8 * 8 : fitting)
    var count = 0
    ranks = matrix.mask.withUnsafeBufferPointer { mask in
      stride(from: 0, to: mask.count, by: Self.interval).map { first in
        defer { count += nc_mask_count(mask.baseAddress! + first, min(Self.interval, mask.count - first)) }
        return count
      }
    }
    precondition(count == matrix.storedCount, "as many values as bits")
  }

  /// Writes the values of a slab into all of `out`.
  public func decode(_ slab: Int, into out: UnsafeMutableRawBufferPointer) {
    precondition(out.count == bytes(of: slab).count, "room for the slab")
    guard let base = out.baseAddress else { return }
    let range = grid.rows(of: slab)
    matrix.mask.withUnsafeBufferPointer { mask in
      matrix.values.withUnsafeBytes { values in
        let unpacking = Unpacking(mask: mask, values: values)
        guard transposed else { return unpack(range, inputs: 0..<columns, unpacking, to: base) }
        grid.transpose(slab, to: base) { units, tile in unpack(units, inputs: range, unpacking, to: tile) }
      }
    }
  }

  private struct Unpacking {
    let mask: UnsafeBufferPointer<UInt8>
    let values: UnsafeRawBufferPointer
  }

  /// How many bits of the mask are set before those of a unit's input.
  private func rank(_ unit: Int, _ input: Int, _ mask: UnsafeBufferPointer<UInt8>) -> Int {
    let byte = unit * matrix.maskRowBytes + input / 8
    let first = byte / Self.interval
    guard first < ranks.count, let base = mask.baseAddress else { return matrix.storedCount }
    var rank = ranks[first] + nc_mask_count(base + first * Self.interval, byte - first * Self.interval)
    if input % 8 > 0 { rank += (mask[byte] & (1 << UInt8(input % 8) - 1)).nonzeroBitCount }
    return rank
  }

  /// Writes the given inputs of output units, unit by unit.
  private func unpack(
    _ units: Range<Int>, inputs: Range<Int>, _ from: Unpacking, to out: UnsafeMutableRawPointer
  ) {
    // Whole rows whose bits follow each other are one.
    if inputs.count == matrix.columns, inputs.count % 8 == 0 {
      unpackRun(units.lowerBound, 0, units.count * inputs.count, from, to: out)
    } else {
      for unit in units {
        unpackRun(
          unit, inputs.lowerBound, inputs.count, from,
          to: out + (unit - units.lowerBound) * inputs.count * type.byteCount)
      }
    }
  }

  /// Writes `count` weights from a unit's input on; they may go on in the next units where rows of the mask have no
  /// unused bits.
  private func unpackRun(
    _ unit: Int, _ input: Int, _ count: Int, _ from: Unpacking, to out: UnsafeMutableRawPointer
  ) {
    guard let mask = from.mask.baseAddress, let values = from.values.baseAddress else {
      out.initializeMemory(as: UInt8.self, repeating: 0, count: count * type.byteCount)
      return
    }
    let row = mask + unit * matrix.maskRowBytes
    var rank = rank(unit, input, from.mask)
    if matrix.type == type {
      nc_mask_expand(row, input, count, type.byteCount, values + rank * type.byteCount, out)
      return
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: Self.widened) { floats in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.widened) { doubles in
        guard let floats = floats.baseAddress, let doubles = doubles.baseAddress else { return }
        for first in stride(from: 0, to: count, by: Self.widened) {
          let part = min(Self.widened, count - first)
          let next = self.rank(unit, input + first + part, from.mask)
          nc_widen(
            (values + 2 * rank).assumingMemoryBound(to: UInt16.self), next - rank, matrix.type == .bfloat16, floats)
          if type == .float64 {
            for i in 0..<next - rank { (doubles + i).initialize(to: Double(floats[i])) }
          }
          nc_mask_expand(
            row, input + first, part, type.byteCount,
            type == .float64 ? UnsafeRawPointer(doubles) : UnsafeRawPointer(floats),
            out + first * type.byteCount)
          rank = next
        }
      }
    }
  }
}
