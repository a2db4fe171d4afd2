// SPDX-License-Identifier: Apache-2.0

/// Which weights share one scale.
public enum ScaleGroup: Sendable, Hashable {
  /// One scale for the whole matrix.
  case tensor
  /// One scale for each output unit.
  case row
  /// One scale for every `count` consecutive inputs of an output unit; the last group of a row may be shorter.
  case inputs(Int)

  /// `tensor`, `row`, or how many inputs share a scale.
  public var text: String {
    switch self {
    case .tensor: "tensor"
    case .row: "row"
    case .inputs(let count): String(count)
    }
  }

  /// The group that a text names; `nil` for any other text.
  public init?(text: String) {
    switch text {
    case "tensor": self = .tensor
    case "row": self = .row
    default:
      guard let count = Int(text), count > 0 else { return nil }
      self = .inputs(count)
    }
  }

  /// Groups in a row of `columns` weights (for `tensor`, the row belongs to the one group of the matrix).
  public func perRow(columns: Int) -> Int {
    switch self {
    case .tensor, .row: 1
    case .inputs(let count): columns == 0 ? 0 : (columns - 1) / count + 1
    }
  }

  /// Scales of a matrix of `rows` × `columns`; a matrix without weights has none.
  public func count(rows: Int, columns: Int) -> Int {
    if rows == 0 || columns == 0 { return 0 }
    return switch self {
    case .tensor: 1
    case .row: rows
    case .inputs: rows * perRow(columns: columns)
    }
  }

  /// The number of a weight's scale.
  public func number(row: Int, column: Int, columns: Int) -> Int {
    switch self {
    case .tensor: 0
    case .row: row
    case .inputs(let count): row * perRow(columns: columns) + column / count
    }
  }

  /// The inputs of group `g` of a row.
  public func inputs(_ g: Int, columns: Int) -> Range<Int> {
    guard case .inputs(let count) = self else { return 0..<columns }
    let first = g * count
    return first..<(columns - first < count ? columns : first + count)
  }
}

/// A matrix whose weights are a scale times −1, 0 or +1, stored output unit by output unit.
///
/// Row `r` occupies bytes `r·rowBytes ..< (r+1)·rowBytes` of `codes`, four trits a byte, the first in the low bits,
/// in two's complement (`00` 0, `01` +1, `11` −1; `10` never occurs); unused bits of a row's last byte are zero.
public struct TernaryMatrix: Sendable, Equatable {
  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  /// Which weights share a scale.
  public let group: ScaleGroup
  /// Packed trits, `rows · rowBytes` bytes.
  public var codes: [UInt8]
  /// One scale a group, ≥ 0, rows first; already rounded to the source's element type, so exact in `Double`.
  public var scales: [Double]

  /// Makes a matrix from its parts; `nil` when their sizes do not agree.
  public init?(rows: Int, columns: Int, group: ScaleGroup, codes: [UInt8], scales: [Double]) {
    guard rows >= 0, columns >= 0,
      codes.count == rows * Self.rowBytes(columns: columns),
      scales.count == group.count(rows: rows, columns: columns)
    else { return nil }
    self.rows = rows
    self.columns = columns
    self.group = group
    self.codes = codes
    self.scales = scales
  }

  /// Bytes of a row of `columns` trits.
  public static func rowBytes(columns: Int) -> Int { columns / 4 + (columns % 4 == 0 ? 0 : 1) }

  public var rowBytes: Int { Self.rowBytes(columns: columns) }

  /// The same with zeros where `mask`, one bit a weight in rows of whole bytes as `SparseMatrix` has it, is 0.
  public func masked(by mask: [UInt8]) -> TernaryMatrix {
    let maskRowBytes = SparseMatrix.maskRowBytes(columns: columns)
    precondition(mask.count == rows * maskRowBytes, "as many bits as weights")
    // Two bits of a code for each bit of the mask.
    var codeBits = [UInt8](repeating: 0, count: 16)
    for nibble in 0..<16 {
      for bit in 0..<4 where nibble >> bit & 1 == 1 { codeBits[nibble] |= 3 << UInt8(2 * bit) }
    }
    var result = self
    result.codes.withUnsafeMutableBufferPointer { codes in
      for row in 0..<rows {
        for byte in 0..<rowBytes {
          let nibble = mask[row * maskRowBytes + byte / 2] >> (byte % 2 == 0 ? 0 : 4) & 15
          codes[row * rowBytes + byte] &= codeBits[Int(nibble)]
        }
      }
    }
    return result
  }
}
