// SPDX-License-Identifier: Apache-2.0

/// A matrix of few distinct values: a code of eight bits for each weight, and what the codes stand for.
///
/// Weights are taken output unit by output unit, whatever the source's orientation.
public struct LevelsMatrix: Sendable, Equatable {
  /// What the codes stand for.
  public enum Levels: Sendable, Equatable {
    /// Code c is level c: little-endian elements of the tensor's type, 256 at most.
    case table([UInt8])
    /// Codes are integers k in two's complement, −127…127; the weight is scale · k, +0 for k = 0. Code −128 stands for
    /// the next of the exceptions, in the order of the weights. Scales are numbered as those of `TernaryMatrix`.
    case grid(scales: [Double], group: ScaleGroup, exceptions: [Int32])
  }

  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  /// The type of the weights.
  public let type: ElementType
  /// One for each weight, row by row.
  public let codes: [UInt8]
  public let levels: Levels

  /// The code −128, which stands for an exception.
  public static let exceptionCode: UInt8 = 0x80
  /// The largest magnitude of an exception; the smallest is 128.
  public static let exceptionLimit = 1 << 24

  /// Makes a matrix from its parts; `nil` when they do not agree: a code without level, more or fewer exceptions than
  /// codes for them, a scale that is not finite, negative, −0 or (but for weights of float64) no float32, a weight that
  /// is infinite.
  public init?(rows: Int, columns: Int, type: ElementType, codes: [UInt8], levels: Levels) {
    self.init(
      rows: rows, columns: columns, type: type, codes: codes, levels: levels,
      exceptionCodes: codes.count(of: Self.exceptionCode))
  }

  /// - Parameter exceptionCodes: how many codes are `exceptionCode`.
  package init?(
    rows: Int, columns: Int, type: ElementType, codes: [UInt8], levels: Levels, exceptionCodes: Int
  ) {
    guard rows >= 0, columns >= 0, !rows.multipliedReportingOverflow(by: columns).overflow,
      codes.count == rows * columns
    else { return nil }
    self.rows = rows
    self.columns = columns
    self.type = type
    self.codes = codes
    self.levels = levels
    switch levels {
    case .table(let table):
      let count = table.count / type.byteCount
      guard table.count % type.byteCount == 0, count <= 256, count > codes.largest ?? -1 else { return nil }
    case .grid(let scales, let group, let exceptions):
      guard type.isFloat, scales.count == group.count(rows: rows, columns: columns),
        scales.allSatisfy({ Self.isScale($0, of: type) }),
        exceptions.allSatisfy({ (128...Self.exceptionLimit).contains(Int($0.magnitude)) }),
        exceptionCodes == exceptions.count, isFinite(scales, group, exceptions)
      else { return nil }
    }
  }

  /// Whether a number can be a scale of a grid of weights of this type.
  public static func isScale(_ scale: Double, of type: ElementType) -> Bool {
    scale.isFinite && scale.sign == .plus && (type == .float64 || ElementType.float32.contains(scale))
  }

  private func isFinite(_ scales: [Double], _ group: ScaleGroup, _ exceptions: [Int32]) -> Bool {
    func isFinite(_ scale: Double, _ k: Int) -> Bool { type.nearest(scale * Double(k)).isFinite }
    // That of the largest scale and the largest integer is infinite only where somebody wants it.
    let most = exceptions.reduce(127) { max($0, Int($1.magnitude)) }
    if isFinite(scales.max() ?? 0, most) { return true }
    var exception = exceptions.startIndex
    let perRow = group.perRow(columns: columns)
    for row in 0..<rows {
      for number in 0..<perRow {
        let scale = scales[group == .tensor ? 0 : row * perRow + number]
        for column in group.inputs(number, columns: columns) {
          var k = Int(Int8(bitPattern: codes[row * columns + column]))
          if k == -128 {
            k = Int(exceptions[exception])
            exception += 1
          }
          if !isFinite(scale, k) { return false }
        }
      }
    }
    return true
  }

  /// How many exceptions there are before each row, and at last in all rows: where the first one of a row is.
  public func exceptionStarts() -> [Int] {
    var starts = [0]
    starts.reserveCapacity(rows + 1)
    for row in 0..<rows {
      starts.append(starts[row] + codes[row * columns..<(row + 1) * columns].count(of: Self.exceptionCode))
    }
    return starts
  }
}

extension Collection where Element == UInt8 {
  /// The largest element. (Written so that it is done many at a time, as `max()` is not.)
  package var largest: Int? {
    if isEmpty { return nil }
    return withContiguousStorageIfAvailable { bytes in
      var most: UInt8 = 0
      for byte in bytes { most = byte > most ? byte : most }
      return Int(most)
    } ?? self.max().map { Int($0) }
  }

  /// How many elements are `code`. (As `largest`; counted in bytes at first, which hold 255.)
  package func count(of code: UInt8) -> Int {
    withContiguousStorageIfAvailable { bytes in
      guard var next = bytes.baseAddress else { return 0 }
      let end = next + bytes.count
      var count = 0
      while next < end {
        var few: UInt8 = 0
        let stop = next + Swift.min(255, end - next)
        while next < stop {
          few &+= next.pointee == code ? 1 : 0
          next += 1
        }
        count &+= Int(few)
      }
      return count
    } ?? self.reduce(0) { $0 + ($1 == code ? 1 : 0) }
  }
}
