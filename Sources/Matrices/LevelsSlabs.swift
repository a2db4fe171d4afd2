// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Tensors

/// The restored values of a matrix of levels in slabs: those of its table, or scale times integer, rounded to the type of
/// its weights.
public struct LevelsSlabs: Slabs {
  private let matrix: LevelsMatrix
  public let grid: SlabGrid
  private let transposed: Bool
  /// Exceptions before each row, and of all.
  private let exceptionStarts: [Int]

  /// Weights of a slab.
  private static let weights = 1 << 20

  /// - Parameters:
  ///   - matrix: has the type of the source's elements.
  ///   - transposed: whether the source is inputs × output units, as Keras stores it.
  public init(_ matrix: LevelsMatrix, transposed: Bool) {
    self.matrix = matrix
    self.transposed = transposed
    let (rows, columns) = transposed ? (matrix.columns, matrix.rows) : (matrix.rows, matrix.columns)
    grid = SlabGrid(
      type: matrix.type, rows: rows, columns: columns, rowsPerSlab: max(1, Self.weights / max(1, columns)))
    if case .grid(_, _, let exceptions) = matrix.levels, !exceptions.isEmpty {
      exceptionStarts = matrix.exceptionStarts()
    } else {
      exceptionStarts = []
    }
  }

  public func decode(_ slab: Int, into out: UnsafeMutableRawBufferPointer) {
    precondition(out.count == bytes(of: slab).count, "room for the slab")
    guard let base = out.baseAddress else { return }
    let range = grid.rows(of: slab)
    guard transposed else { return unpack(range, inputs: 0..<matrix.columns, to: base) }
    grid.transpose(slab, to: base) { units, tile in unpack(units, inputs: range, to: tile) }
  }

  /// Writes the weights of some output units, unit by unit, whatever the source's orientation.
  public func decode(rows: Range<Int>, into out: UnsafeMutableRawBufferPointer) {
    if let base = out.baseAddress { unpack(rows, inputs: 0..<matrix.columns, to: base) }
  }

  /// Writes the given inputs of output units, unit by unit.
  private func unpack(_ units: Range<Int>, inputs: Range<Int>, to out: UnsafeMutableRawPointer) {
    let rowBytes = inputs.count * matrix.type.byteCount
    for unit in units { unpack(unit, inputs, to: out + (unit - units.lowerBound) * rowBytes) }
  }

  private func unpack(_ unit: Int, _ inputs: Range<Int>, to out: UnsafeMutableRawPointer) {
    let size = matrix.type.byteCount
    matrix.codes.withUnsafeBufferPointer { codes in
      guard let row = codes.baseAddress.map({ $0 + unit * matrix.columns }) else { return }
      switch matrix.levels {
      case .table(let table): nc_levels_values(row + inputs.lowerBound, inputs.count, size, table, out)
      case .grid(let scales, let group, let exceptions):
        let perRow = group.perRow(columns: matrix.columns)
        row.withMemoryRebound(to: Int8.self, capacity: matrix.columns) { row in
          for number in 0..<perRow {
            let run = group.inputs(number, columns: matrix.columns).clamped(to: inputs)
            if run.isEmpty { continue }
            let scale = scales[group == .tensor ? 0 : unit * perRow + number]
            nc_grid_values(
              row + run.lowerBound, run.count, scale, size, matrix.type == .bfloat16,
              out + (run.lowerBound - inputs.lowerBound) * size)
          }
        }
        if !exceptionStarts.isEmpty { restore(exceptions, scales, group, of: unit, inputs, to: out) }
      }
    }
  }

  /// Writes the values of integers that no code holds.
  private func restore(
    _ exceptions: [Int32], _ scales: [Double], _ group: ScaleGroup, of unit: Int, _ inputs: Range<Int>,
    to out: UnsafeMutableRawPointer
  ) {
    let (first, last) = (exceptionStarts[unit], exceptionStarts[unit + 1])
    guard last > first else { return }
    var number = first
    let size = matrix.type.byteCount
    for column in 0..<inputs.upperBound
    where matrix.codes[unit * matrix.columns + column] == LevelsMatrix.exceptionCode {
      defer { number += 1 }
      guard column >= inputs.lowerBound else { continue }
      let scale = scales[group.number(row: unit, column: column, columns: matrix.columns)]
      let bits = matrix.type.bits(matrix.type.nearest(scale * Double(exceptions[number])))
      withUnsafeBytes(of: bits.littleEndian) {
        (out + (column - inputs.lowerBound) * size).copyMemory(from: $0.baseAddress!, byteCount: size)
      }
    }
  }
}
