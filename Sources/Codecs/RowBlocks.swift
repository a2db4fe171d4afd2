// SPDX-License-Identifier: Apache-2.0

internal import Tensors

/// How the rows of a matrix are divided into blocks: whole rows, as many as fit 2¹⁸ weights; a row longer than that is
/// divided at multiples of 2¹⁸ weights. Blocks follow each other in row-major order and are encoded independently.
public struct RowBlocks: Sendable, Hashable {
  /// Maximum weights of a block.
  public static let weightsPerBlock = 1 << 18

  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  /// Blocks of the matrix; none when it is empty.
  public let count: Int

  /// A piece of the matrix: rows `rows`, and of each the weights `columns`.
  public struct Block: Sendable, Hashable {
    public let rows: Range<Int>
    public let columns: Range<Int>
  }

  /// Throws `CodecError`, over the limit, when the weights cannot be counted.
  init(rows: Int, columns: Int) throws(CodecError) {
    if rows < 0 || columns < 0 || rows.multipliedReportingOverflow(by: columns).overflow {
      throw .overLimit("\(rows)×\(columns) weights")
    }
    self.rows = rows
    self.columns = columns
    if rows == 0 || columns == 0 {
      count = 0
    } else if columns <= Self.weightsPerBlock {
      count = (rows - 1) / (Self.weightsPerBlock / columns) + 1
    } else {
      count = rows * Self.blocksPerRow(columns)
    }
  }

  private static func blocksPerRow(_ columns: Int) -> Int { (columns - 1) / weightsPerBlock + 1 }

  public subscript(index: Int) -> Block {
    precondition((0..<count).contains(index), "block \(index) of \(count)")
    if columns <= Self.weightsPerBlock {
      let rowsPerBlock = Self.weightsPerBlock / columns
      let first = index * rowsPerBlock
      return Block(rows: first..<min(rows - first, rowsPerBlock) + first, columns: 0..<columns)
    }
    let (row, piece) = index.quotientAndRemainder(dividingBy: Self.blocksPerRow(columns))
    let first = piece * Self.weightsPerBlock
    return Block(rows: row..<row + 1, columns: first..<min(columns - first, Self.weightsPerBlock) + first)
  }
}

extension RowBlocks.Block {
  var weights: Int { rows.count * columns.count }

  /// Bytes of a row of packed trits.
  var codeRowBytes: Int { TernaryMatrix.rowBytes(columns: columns.count) }

  /// Where the block lies in a whole matrix of packed trits whose rows take `rowBytes`: blocks that do not hold whole
  /// rows begin at a multiple of four weights.
  func codeBytes(rowBytes: Int) -> Range<Int> {
    let start = rows.lowerBound * rowBytes + columns.lowerBound / 4
    return start..<start + rows.count * codeRowBytes
  }

  /// Where the block lies in the mask of a whole matrix, whose rows take `rowBytes`: blocks that do not hold whole rows
  /// begin at a multiple of eight weights.
  func maskBytes(rowBytes: Int) -> Range<Int> {
    let start = rows.lowerBound * rowBytes + columns.lowerBound / 8
    return start..<start + rows.count * SparseMatrix.maskRowBytes(columns: columns.count)
  }
}
