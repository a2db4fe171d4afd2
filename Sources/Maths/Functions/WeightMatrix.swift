// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Tensors

/// A weight matrix W as it is multiplied with, output units × inputs.
public enum WeightMatrix: Sendable {
  /// Row-major.
  case dense([Double], rows: Int, columns: Int)
  /// Too large to be held as doubles: a few rows at a time are made of what is stored.
  case rows(WeightRowSource)
  /// Used as it is packed: inputs are added and subtracted, their sums multiplied by the scales.
  case ternary(TernaryMatrix)
  /// Used as it is stored: of a row, the values are made doubles when it is multiplied with.
  case sparse(SparseMatrix)

  /// Output units.
  public var rows: Int {
    switch self {
    case .dense(_, let rows, _): rows
    case .rows(let source): source.rows
    case .ternary(let matrix): matrix.rows
    case .sparse(let matrix): matrix.rows
    }
  }

  /// Inputs.
  public var columns: Int {
    switch self {
    case .dense(_, _, let columns): columns
    case .rows(let source): source.columns
    case .ternary(let matrix): matrix.columns
    case .sparse(let matrix): matrix.columns
    }
  }

  /// The elements, row-major.
  public var elements: [Double] {
    switch self {
    case .dense(let elements, _, _): return elements
    case .rows(let source):
      return [Double](unsafeUninitializedCapacity: rows * columns) { buffer, count in
        if let out = buffer.baseAddress { source.write(0..<rows, out) }
        count = rows * columns
      }
    case .ternary(let matrix):
      var elements = [Double](repeating: 0, count: rows * columns)
      for row in 0..<rows {
        for column in 0..<columns {
          let trit = matrix.codes[row * matrix.rowBytes + column / 4] >> UInt8(2 * (column % 4)) & 3
          let scale = matrix.scale(row: row, column: column)
          elements[row * columns + column] = trit == 0 ? 0 : trit == 1 ? scale : -scale
        }
      }
      return elements
    case .sparse(let matrix):
      var elements = [Double](repeating: 0, count: rows * columns)
      let values = matrix.type.numbers(matrix.values)
      var next = 0
      for row in 0..<rows {
        for column in 0..<columns
        where matrix.mask[row * matrix.maskRowBytes + column / 8] >> UInt8(column % 8) & 1 == 1 {
          elements[row * columns + column] = values[next]
          next += 1
        }
      }
      return elements
    }
  }

  /// Y = X·Wᵀ: X has `count` rows, one a sample, Y likewise, without gaps.
  func apply(
    to x: UnsafePointer<Double>, count: Int, _ y: UnsafeMutablePointer<Double>, _ algebra: LinearAlgebra
  ) {
    switch self {
    case .dense(let elements, let rows, let columns):
      elements.withUnsafeBufferPointer { elements in
        guard let weights = elements.baseAddress else { return }
        algebra.products(
          .init(x, stride: columns), count, .init(weights, stride: columns), rows, columns, to: y, stride: rows)
      }
    case .rows(let source):
      let some = max(1, WeightRowSource.elementsAtOnce / max(1, columns))
      let room = UnsafeMutablePointer<Double>.allocate(capacity: min(some, rows) * columns)
      defer { room.deallocate() }
      for first in stride(from: 0, to: rows, by: some) {
        let range = first..<min(first + some, rows)
        source.write(range, room)
        algebra.products(
          .init(x, stride: columns), count, .init(room, stride: columns), range.count, columns, to: y + first,
          stride: rows)
      }
    case .ternary(let matrix):
      inPanels(of: x, count: count, to: y) { row, panel, sums in matrix.multiply(row, panel, sums) }
    case .sparse(let matrix):
      let starts = matrix.rowStarts
      inPanels(of: x, count: count, to: y) { row, panel, sums in matrix.multiply(row, starts, panel, sums) }
    }
  }

  /// Arranges samples in panels, and has `product` add a row's sums for a panel to zeros.
  private func inPanels(
    of x: UnsafePointer<Double>, count: Int, to y: UnsafeMutablePointer<Double>,
    _ product: (_ row: Int, _ panel: UnsafePointer<Double>, _ sums: UnsafeMutablePointer<Double>) -> Void
  ) {
    let lanes = Int(nc_panel_lanes)
    let (rows, columns) = (self.rows, self.columns)
    let panel = UnsafeMutablePointer<Double>.allocate(capacity: max(1, columns * lanes))
    let sums = UnsafeMutablePointer<Double>.allocate(capacity: max(1, rows * lanes))
    defer {
      panel.deallocate()
      sums.deallocate()
    }
    for first in stride(from: 0, to: count, by: lanes) {
      let some = min(lanes, count - first)
      if some < lanes { panel.initialize(repeating: 0, count: columns * lanes) }
      nc_transpose(x + first * columns, columns, some, columns, 8, panel, lanes)
      sums.initialize(repeating: 0, count: rows * lanes)
      for row in 0..<rows { product(row, panel, sums + row * lanes) }
      nc_transpose(sums, lanes, rows, some, 8, y + first * rows, rows)
    }
  }
}

/// The rows of a weight matrix, made when they are needed.
public struct WeightRowSource: Sendable {
  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  /// Writes the elements of some rows, one row after the other; several threads may ask.
  let write: @Sendable (Range<Int>, UnsafeMutablePointer<Double>) -> Void

  /// Elements that are made for one product: 8 MiB.
  static let elementsAtOnce = 1 << 20

  public init(
    rows: Int, columns: Int, write: @escaping @Sendable (Range<Int>, UnsafeMutablePointer<Double>) -> Void
  ) {
    (self.rows, self.columns, self.write) = (rows, columns, write)
  }
}

extension WeightMatrix {
  /// The same with every element as `change` makes it.
  func mapped(_ change: @escaping @Sendable (Double) -> Double) -> WeightMatrix {
    guard case .rows(let source) = self else { return .dense(elements.map(change), rows: rows, columns: columns) }
    let columns = columns
    return .rows(
      WeightRowSource(rows: rows, columns: columns) { range, out in
        source.write(range, out)
        for i in 0..<range.count * columns { out[i] = change(out[i]) }
      })
  }
}

extension TernaryMatrix {
  fileprivate func scale(row: Int, column: Int) -> Double {
    scales[group.number(row: row, column: column, columns: columns)]
  }

  /// Adds the inputs of a panel times the weights of a row to sums that are zero.
  fileprivate func multiply(_ row: Int, _ panel: UnsafePointer<Double>, _ sums: UnsafeMutablePointer<Double>) {
    let lanes = Int(nc_panel_lanes)
    codes.withUnsafeBufferPointer { codes in
      guard let codes = codes.baseAddress else { return }
      let own = codes + row * rowBytes
      guard case .inputs(let count) = group else {
        nc_ternary_product(own, rowBytes, 0, columns, panel, sums)
        let scale = group == .tensor ? scales[0] : scales[row]
        for lane in 0..<lanes { sums[lane] *= scale }
        return
      }
      withUnsafeTemporaryAllocation(of: Double.self, capacity: lanes) { part in
        guard let part = part.baseAddress else { return }
        let perRow = group.perRow(columns: columns)
        for number in 0..<perRow {
          part.initialize(repeating: 0, count: lanes)
          let first = number * count
          nc_ternary_product(own, rowBytes, first, min(count, columns - first), panel, part)
          let scale = scales[row * perRow + number]
          for lane in 0..<lanes { sums[lane] += scale * part[lane] }
        }
      }
    }
  }
}

extension SparseMatrix {
  /// The number of stored weights before each row, and of all.
  fileprivate var rowStarts: [Int] {
    var starts = [0]
    starts.reserveCapacity(rows + 1)
    mask.withUnsafeBufferPointer { mask in
      for row in 0..<rows {
        let count = mask.baseAddress.map { nc_mask_count($0 + row * maskRowBytes, maskRowBytes) } ?? 0
        starts.append(starts[row] + count)
      }
    }
    return starts
  }

  /// Adds the inputs of a panel times the weights of a row to sums that are zero.
  fileprivate func multiply(
    _ row: Int, _ starts: [Int], _ panel: UnsafePointer<Double>, _ sums: UnsafeMutablePointer<Double>
  ) {
    let count = starts[row + 1] - starts[row]
    withUnsafeTemporaryAllocation(of: Double.self, capacity: count) { numbers in
      values.withUnsafeBytes { type.read($0, from: starts[row], to: numbers) }
      mask.withUnsafeBufferPointer { mask in
        guard let mask = mask.baseAddress, let numbers = numbers.baseAddress, count > 0 else { return }
        _ = nc_mask_product(mask + row * maskRowBytes, columns, numbers, panel, sums)
      }
    }
  }
}
