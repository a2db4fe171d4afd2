// SPDX-License-Identifier: Apache-2.0

internal import CLoops
package import Parallel
public import Tensors

/// A sparse matrix made of the weights of another that a mask keeps. Their values stay where they are, and are taken
/// from there, and rounded, when they are needed: beside the source, the mask is all that is in memory.
public struct MaskedMatrix: SparseContent {
  package let weights: WeightRows
  /// That of the stored values; the weights are rounded to it.
  public let type: ElementType
  public let mask: [UInt8]
  public let storedCount: Int
  public let leastMagnitude: UInt64?

  public var rows: Int { weights.rows }
  public var columns: Int { weights.columns }
  private var maskRowBytes: Int { SparseMatrix.maskRowBytes(columns: columns) }

  public func withValues<R>(
    rows: Range<Int>, columns: Range<Int>, numbers: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R
  ) rethrows -> R {
    try weights.withElements(rows, columns: columns) { elements in
      // The loops write whole vectors, as far as there are elements.
      let size = rows.count * columns.count * weights.type.byteCount
      return try withUnsafeTemporaryAllocation(byteCount: max(1, size), alignment: 64) { room in
        // A byte at least.
        let out = room.baseAddress!
        let count = gather(elements, rows: rows, columns: columns, to: out)
        precondition(count == numbers.count, "\(count) bits of the mask for \(numbers.count) values")
        weights.type.narrow(out, count, to: type)
        return try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(room)[..<(count * type.byteCount)]))
      }
    }
  }

  /// Copies those of the elements of some columns of some rows that are kept, and returns their number.
  private func gather(
    _ elements: UnsafeRawPointer, rows: Range<Int>, columns: Range<Int>, to out: UnsafeMutableRawPointer
  ) -> Int {
    let size = weights.type.byteCount
    return mask.withUnsafeBufferPointer { mask in
      guard let mask = mask.baseAddress else { return 0 }
      if columns.count == self.columns, columns.count % 8 == 0 {
        return nc_mask_gather(
          elements, mask + rows.lowerBound * maskRowBytes, 0, rows.count * columns.count, size, out)
      }
      var count = 0
      for (number, row) in rows.enumerated() {
        count += nc_mask_gather(
          elements + number * columns.count * size, mask + row * maskRowBytes, columns.lowerBound, columns.count, size,
          out + count * size)
      }
      return count
    }
  }

  /// Weights that are restored at once.
  private static let restored = 2048

  /// Replaces the elements of some columns of some rows by what they are restored to.
  fileprivate func restore(_ elements: UnsafeMutableRawPointer, rows: Range<Int>, columns: Range<Int>) {
    let size = weights.type.byteCount
    mask.withUnsafeBufferPointer { mask in
      withUnsafeTemporaryAllocation(byteCount: Self.restored * size, alignment: 64) { room in
        guard let mask = mask.baseAddress, let kept = room.baseAddress else { return }
        for (number, row) in rows.enumerated() {
          for first in stride(from: columns.lowerBound, to: columns.upperBound, by: Self.restored) {
            let count = min(Self.restored, columns.upperBound - first)
            let bits = mask + row * maskRowBytes
            let place = elements + (number * columns.count + first - columns.lowerBound) * size
            let keptCount = nc_mask_gather(place, bits, first, count, size, kept)
            weights.type.narrow(kept, keptCount, to: type)
            weights.type.widen(kept, keptCount, from: type)
            nc_mask_expand(bits, first, count, size, kept, place)
          }
        }
      }
    }
  }
}

/// What is known of the stored weights of a block of rows.
package protocol MaskedBlock: Sendable {
  /// How many they are.
  var count: Int { get }
  /// The smallest magnitude of their values.
  var least: UInt64 { get }
}

extension MaskedMatrix {
  /// - Parameter body: called for each block of rows, with its bits of the mask; returns what it stores.
  package static func masking<Block: MaskedBlock>(
    _ weights: WeightRows, type: ElementType, threads: Threads,
    _ body: @Sendable (Range<Int>, UnsafeMutablePointer<UInt8>) -> Block
  ) -> (matrix: MaskedMatrix, blocks: [Block]) {
    let rowBytes = SparseMatrix.maskRowBytes(columns: weights.columns)
    var mask = [UInt8](repeating: 0, count: weights.rows * rowBytes)
    let blocks: [Block] = mask.withUnsafeMutableBufferPointer { mask in
      guard let base = mask.baseAddress else { return [] }
      nonisolated(unsafe) let bits = base
      return threads.results(weights.blocks) { index in
        let rows = weights.rows(ofBlock: index)
        return body(rows, bits + rows.lowerBound * rowBytes)
      }
    }
    let count = blocks.reduce(0) { $0 + $1.count }
    let least = count == 0 ? 0 : blocks.reduce(UInt64.max) { min($0, $1.least) }
    return (
      MaskedMatrix(weights: weights, type: type, mask: mask, storedCount: count, leastMagnitude: least), blocks
    )
  }
}

extension SparseMatrix {
  /// The same matrix with a copy of the values.
  public init(_ matrix: MaskedMatrix) {
    let (rows, columns) = (matrix.rows, matrix.columns)
    let values = matrix.withValues(rows: 0..<rows, columns: 0..<columns, numbers: 0..<matrix.storedCount) { Array($0) }
    // The sizes are those of the shape.
    self.init(rows: rows, columns: columns, type: matrix.type, mask: matrix.mask, values: values)!
  }
}

/// The restored values of a masked matrix in slabs: those of the weights that are kept, rounded to the type that they
/// are stored as, and +0.
public struct MaskedSlabs: Slabs {
  private let matrix: MaskedMatrix
  public let grid: SlabGrid

  /// Weights of a slab.
  private static let weights = 1 << 20

  public init(_ matrix: MaskedMatrix) {
    self.matrix = matrix
    let weights = matrix.weights
    let (rows, columns) = weights.transposed ? (weights.columns, weights.rows) : (weights.rows, weights.columns)
    grid = SlabGrid(
      type: weights.type, rows: rows, columns: columns, rowsPerSlab: max(1, Self.weights / max(1, columns)))
  }

  /// Writes the values of a slab into all of `out`.
  public func decode(_ slab: Int, into out: UnsafeMutableRawBufferPointer) {
    precondition(out.count == bytes(of: slab).count, "room for the slab")
    guard let base = out.baseAddress else { return }
    let (weights, range) = (matrix.weights, grid.rows(of: slab))
    guard weights.transposed else {
      weights.copy(range, to: base)
      return matrix.restore(base, rows: range, columns: 0..<weights.columns)
    }
    grid.transpose(slab, to: base) { units, tile in
      weights.copy(units, columns: range, to: tile)
      matrix.restore(tile, rows: units, columns: range)
    }
  }
}

extension ElementType {
  /// Rounds elements of this type, aligned to their size, to a narrower one, in place.
  package func narrow(_ elements: UnsafeMutableRawPointer, _ count: Int, to type: ElementType) {
    if type == self { return }
    withUnsafeTemporaryAllocation(of: UInt16.self, capacity: count) { halves in
      guard let halves = halves.baseAddress else { return }
      narrow(UnsafeRawPointer(elements), count, to: type, halves)
      elements.copyMemory(from: halves, byteCount: 2 * count)
    }
  }

  /// Rounds elements of this type, float32 or float64, to one of 16 bits.
  package func narrow(
    _ elements: UnsafeRawPointer, _ count: Int, to type: ElementType, _ out: UnsafeMutablePointer<UInt16>
  ) {
    if self == .float32 {
      nc_narrow(elements.assumingMemoryBound(to: Float.self), count, type == .bfloat16, out)
      return
    }
    let doubles = elements.assumingMemoryBound(to: Double.self)
    for i in 0..<count {
      out[i] = UInt16(type.bits(type.nearest(doubles[i].magnitude))) | (doubles[i].sign == .minus ? 0x8000 : 0)
    }
  }

  /// Makes elements of this type, float32 or float64, of elements of a narrower one, exactly and in place.
  fileprivate func widen(_ elements: UnsafeMutableRawPointer, _ count: Int, from type: ElementType) {
    if type == self { return }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { floats in
      guard let floats = floats.baseAddress else { return }
      nc_widen(elements.assumingMemoryBound(to: UInt16.self), count, type == .bfloat16, floats)
      if self == .float32 {
        elements.copyMemory(from: floats, byteCount: 4 * count)
      } else {
        let doubles = elements.assumingMemoryBound(to: Double.self)
        for i in 0..<count { doubles[i] = Double(floats[i]) }
      }
    }
  }
}
