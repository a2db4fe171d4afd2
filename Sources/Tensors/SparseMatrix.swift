// SPDX-License-Identifier: Apache-2.0

/// A matrix most of whose weights are zero: where the others are, and their values.
///
/// Weights are taken output unit by output unit, whatever the source's orientation. Bit `c` of row `r` of `mask` is
/// `mask[r·maskRowBytes + c/8] >> (c mod 8) & 1`: whether the weight from input c to output r is stored; a weight that
/// is not is +0. Unused bits of a row's last byte are zero. A stored value never has all bits zero.
public struct SparseMatrix: Sendable, Equatable {
  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  /// The type of the stored values: that of the tensor, or float16 or bfloat16 for a wider one.
  public let type: ElementType
  /// One bit a weight, `rows · maskRowBytes` bytes.
  public var mask: [UInt8]
  /// Little-endian elements of the stored weights, in the order of their bits.
  public var values: [UInt8]

  /// Makes a matrix from its parts; `nil` when their sizes do not agree. (That there are as many values as bits is not
  /// checked: it costs a pass.)
  public init?(rows: Int, columns: Int, type: ElementType, mask: [UInt8], values: [UInt8]) {
    guard rows >= 0, columns >= 0, mask.count == rows * Self.maskRowBytes(columns: columns),
      values.count % type.byteCount == 0, values.count / type.byteCount <= rows * columns
    else { return nil }
    self.rows = rows
    self.columns = columns
    self.type = type
    self.mask = mask
    self.values = values
  }

  /// Bytes of a row of `columns` bits.
  public static func maskRowBytes(columns: Int) -> Int { columns / 8 + (columns % 8 == 0 ? 0 : 1) }

  public var maskRowBytes: Int { Self.maskRowBytes(columns: columns) }

  /// Weights that are stored.
  public var storedCount: Int { values.count / type.byteCount }
}

/// A sparse matrix whose stored values are at hand a part at a time: they need not be in memory at once.
///
/// Rows, columns, the bits of the mask and the order of the values are those of `SparseMatrix`.
public protocol SparseContent: Sendable {
  var rows: Int { get }
  var columns: Int { get }
  var type: ElementType { get }
  var mask: [UInt8] { get }
  var storedCount: Int { get }
  /// The smallest magnitude of the stored values, their bits without the sign; `nil` where nobody has looked.
  var leastMagnitude: UInt64? { get }

  /// Calls `body` with the stored values of some columns of some rows, row by row.
  ///
  /// - Parameters:
  ///   - columns: all, or those of a single row from a multiple of eight on.
  ///   - numbers: which of all stored values they are.
  func withValues<R>(
    rows: Range<Int>, columns: Range<Int>, numbers: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R
  ) rethrows -> R
}

extension SparseMatrix: SparseContent {
  public var leastMagnitude: UInt64? { storedCount == 0 ? 0 : nil }

  public func withValues<R>(
    rows: Range<Int>, columns: Range<Int>, numbers: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R
  ) rethrows -> R {
    try values.withUnsafeBytes {
      try body(.init(rebasing: $0[numbers.lowerBound * type.byteCount..<numbers.upperBound * type.byteCount]))
    }
  }
}
