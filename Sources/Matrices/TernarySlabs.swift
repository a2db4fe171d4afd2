// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// Writes the restored values of a ternary matrix: each trit times the scale of its group, rounded to `type`; zeros are
/// +0.
///
/// - Parameters:
///   - type: float16, bfloat16, float32 or float64.
///   - transposed: whether to write inputs × output units, as Keras stores it.
///   - bytes: room for rows · columns little-endian elements, row-major.
public func decode(
  _ matrix: TernaryMatrix, type: ElementType, transposed: Bool, into bytes: UnsafeMutableRawBufferPointer,
  threads: Threads
) {
  TernarySlabs(matrix, type: type, transposed: transposed).decode(into: bytes, threads: threads)
}

/// The restored values of a matrix in slabs of whole rows of the source, so that they need not all be in memory.
public protocol Slabs: Sendable {
  /// How the rows of the source are divided.
  var grid: SlabGrid { get }
  /// Writes the values of a slab into all of `out`; several threads may each decode a slab.
  func decode(_ slab: Int, into out: UnsafeMutableRawBufferPointer)
}

/// Slabs of equally many rows of a source, the last one shorter.
public struct SlabGrid: Sendable {
  package let type: ElementType
  /// Rows of the source, and weights in each.
  package let (rows, columns): (Int, Int)
  package let rowsPerSlab: Int

  package init(type: ElementType, rows: Int, columns: Int, rowsPerSlab: Int) {
    self.type = type
    (self.rows, self.columns) = (rows, columns)
    self.rowsPerSlab = rowsPerSlab
  }

  package func rows(of slab: Int) -> Range<Int> { slab * rowsPerSlab..<min(rows, (slab + 1) * rowsPerSlab) }
}

extension SlabGrid {
  /// Bytes of the values that are made before they are transposed: with their transpose they fit the first-level cache.
  private static let tile = 1 << 14

  /// Writes a slab of inputs × output units tile by tile: `fill` writes the slab's inputs of some output units, unit by
  /// unit.
  func transpose(
    _ slab: Int, to out: UnsafeMutableRawPointer, _ fill: (_ units: Range<Int>, UnsafeMutableRawPointer) -> Void
  ) {
    let (inputs, size) = (rows(of: slab).count, type.byteCount)
    let units = max(1, Self.tile / (inputs * size))
    withUnsafeTemporaryAllocation(byteCount: units * inputs * size, alignment: 64) { tile in
      guard let tile = tile.baseAddress else { return }
      for first in stride(from: 0, to: columns, by: units) {
        let part = first..<min(columns, first + units)
        fill(part, tile)
        nc_transpose(tile, inputs, part.count, inputs, size, out + first * size, columns)
      }
    }
  }
}

extension Slabs {
  public var count: Int { grid.columns == 0 ? 0 : (grid.rows + grid.rowsPerSlab - 1) / grid.rowsPerSlab }

  /// Where the values of a slab lie in the source, row-major; no slab has more of them than the first.
  public func bytes(of slab: Int) -> Range<Int> {
    let range = grid.rows(of: slab)
    let rowBytes = grid.columns * grid.type.byteCount
    return range.lowerBound * rowBytes..<range.upperBound * rowBytes
  }

  /// Writes all values.
  package func decode(into bytes: UnsafeMutableRawBufferPointer, threads: Threads) {
    precondition(
      bytes.count == grid.rows * grid.columns * grid.type.byteCount, "as many bytes as the shape says")
    nonisolated(unsafe) let bytes = bytes
    threads.forEach(count) { slab in
      decode(slab, into: UnsafeMutableRawBufferPointer(rebasing: bytes[self.bytes(of: slab)]))
    }
  }
}

/// The restored values of a ternary matrix in slabs.
public struct TernarySlabs: Slabs {
  private let matrix: TernaryMatrix
  public let grid: SlabGrid
  private let transposed: Bool
  private var type: ElementType { grid.type }
  /// Weights in each row of the source.
  private var columns: Int { grid.columns }

  /// Weights of a slab: enough inputs of a transposed matrix that much of a cache line of codes is used.
  private static let weights = 1 << 20
  /// Trits in a word of codes.
  private static let wordTrits = 16
  /// Words of an output unit that are gathered at once, and output units that are gathered together: with their
  /// scales and a row of results, they fit the first-level cache.
  private static let (wordsAtOnce, unitsAtOnce) = (4, 1024)

  /// - Parameters:
  ///   - type: float16, bfloat16, float32 or float64.
  ///   - transposed: whether the source is inputs × output units, as Keras stores it.
  public init(_ matrix: TernaryMatrix, type: ElementType, transposed: Bool) {
    precondition(type.isFloat, "weights are floating-point numbers")
    self.matrix = matrix
    self.transposed = transposed
    let (rows, columns) = transposed ? (matrix.columns, matrix.rows) : (matrix.rows, matrix.columns)
    grid = SlabGrid(type: type, rows: rows, columns: columns, rowsPerSlab: max(1, Self.weights / max(1, columns)))
  }

  /// Writes the values of a slab into all of `out`.
  public func decode(_ slab: Int, into out: UnsafeMutableRawBufferPointer) {
    precondition(out.count == bytes(of: slab).count, "room for the slab")
    guard let base = out.baseAddress else { return }
    let range = grid.rows(of: slab)
    let size = type.byteCount
    matrix.codes.withUnsafeBufferPointer { codes in
      guard let codes = codes.baseAddress else { return }
      guard transposed else { return unpack(range, inputs: 0..<columns, codes: codes, to: base) }
      if type == .float32, Int(bitPattern: base) % 4 == 0 {
        return unpackInputs(range, codes: codes, to: base.assumingMemoryBound(to: Float.self))
      }
      // Output units at a time that fit the first-level cache together with their transpose.
      let units = max(1, (1 << 14) / (range.count * size))
      withUnsafeTemporaryAllocation(byteCount: units * range.count * size, alignment: 64) { tile in
        guard let tile = tile.baseAddress else { return }
        for first in stride(from: 0, to: columns, by: units) {
          let part = first..<min(columns, first + units)
          unpack(part, inputs: range, codes: codes, to: tile)
          nc_transpose(tile, range.count, part.count, range.count, size, base + first * size, columns)
        }
      }
    }
  }

  /// Writes the given inputs of all output units, input by input: the codes are rearranged, which are fewer bytes than
  /// the values.
  private func unpackInputs(_ inputs: Range<Int>, codes: UnsafePointer<UInt8>, to out: UnsafeMutablePointer<Float>) {
    let units = matrix.rows
    let trits = Self.wordTrits
    let words = inputs.lowerBound / trits..<(inputs.upperBound + trits - 1) / trits
    let groupSize = if case .inputs(let count) = matrix.group { count } else { matrix.columns }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: min(units, Self.unitsAtOnce)) { scales in
      withUnsafeTemporaryAllocation(of: UInt32.self, capacity: Self.wordsAtOnce * scales.count) { gathered in
        guard let scales = scales.baseAddress, let gathered = gathered.baseAddress else { return }
        for unit in stride(from: 0, to: units, by: Self.unitsAtOnce) {
          let part = unit..<min(units, unit + Self.unitsAtOnce)
          var group: Int?
          for word in stride(from: words.lowerBound, to: words.upperBound, by: Self.wordsAtOnce) {
            let run = word..<min(words.upperBound, word + Self.wordsAtOnce)
            nc_ternary_words(
              codes + part.lowerBound * matrix.rowBytes, matrix.rowBytes, part.count, word, run.count, gathered)
            for input in (run.lowerBound * trits..<run.upperBound * trits).clamped(to: inputs) {
              if group != input / groupSize {
                group = input / groupSize
                gatherScales(of: part, group: input / groupSize, to: scales)
              }
              nc_ternary_values(
                gathered + (input / trits - word) * part.count, UInt32(input % trits), part.count, scales,
                out + (input - inputs.lowerBound) * units + part.lowerBound)
            }
          }
        }
      }
    }
  }

  /// Copies the scales of one group of each output unit, as floats.
  private func gatherScales(of units: Range<Int>, group: Int, to out: UnsafeMutablePointer<Float>) {
    let groups = matrix.group.perRow(columns: matrix.columns)
    matrix.scales.withUnsafeBufferPointer { scales in
      for unit in units {
        out[unit - units.lowerBound] = Float(scales[matrix.group == .tensor ? 0 : unit * groups + group])
      }
    }
  }

  /// Writes the given inputs of output units, unit by unit.
  private func unpack(
    _ units: Range<Int>, inputs: Range<Int>, codes: UnsafePointer<UInt8>, to out: UnsafeMutableRawPointer
  ) {
    let size = type.byteCount
    let sign = UInt64(1) << UInt64(8 * size - 1)
    let groups = matrix.group.perRow(columns: matrix.columns)
    for unit in units {
      let values = out + (unit - units.lowerBound) * inputs.count * size
      for g in 0..<groups {
        let run = matrix.group.inputs(g, columns: matrix.columns).clamped(to: inputs)
        if run.isEmpty { continue }
        let plus = type.bits(matrix.scales[matrix.group == .tensor ? 0 : unit * groups + g])
        nc_ternary_unpack(
          codes + unit * matrix.rowBytes, run.lowerBound, run.count, size, plus, plus | sign,
          values + (run.lowerBound - inputs.lowerBound) * size)
      }
    }
  }
}
