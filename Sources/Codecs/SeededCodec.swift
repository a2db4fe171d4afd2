// SPDX-License-Identifier: Apache-2.0

public import Parallel
public import Tensors

/// The encoding of a ternary matrix whose trits a seed gives: its scales, stored as those of `TernaryCodec`.
public struct SeededCodec: Sendable {
  /// That of a matrix of the same scales.
  private let ternary: TernaryCodec
  private let trits: TernarySeed

  /// Describes a matrix of `rows` output units and `columns` inputs of type `source`; `isMapped`: whether the file is.
  ///
  /// - Throws: `CodecError`, as `TernaryCodec`.
  public init(
    rows: Int, columns: Int, group: ScaleGroup, trits: TernarySeed, source: ElementType, isMapped: Bool = false
  ) throws(CodecError) {
    ternary = try TernaryCodec(rows: rows, columns: columns, group: group, source: source, isMapped: isMapped)
    self.trits = trits
  }

  /// How many blocks each part has.
  public var blockCounts: [Int] { [ternary.scales.blockCount] }

  /// Encodes a matrix of this codec's size and seed; returns the blocks of each part.
  public func encode(
    _ matrix: SeededMatrix, level: CompressionLevel = .standard, threads: Threads = Threads(0)
  ) throws -> [[[UInt8]]] {
    precondition(
      matrix.rows == ternary.blocks.rows && matrix.columns == ternary.blocks.columns && matrix.group == ternary.group
        && matrix.trits == trits, "a matrix of \(matrix.rows)×\(matrix.columns) for another codec")
    return [try ternary.encode(scales: matrix.scales, level: level, threads: threads)]
  }

  /// Decodes a matrix. Memory for its scales is taken at once: hold their size against a limit first.
  ///
  /// - Parameter block: Reads stored block `index` of part `part`; called once for each, in no order, from several threads.
  /// - Throws: `CodecError`, as `TernaryCodec.decode` of its scales; or what `block` throws.
  public func decode(
    threads: Threads = Threads(0), block read: @Sendable (_ part: Int, _ index: Int) throws -> [UInt8]
  ) throws -> SeededMatrix {
    let scales = try ternary.decodeScales(.ternary, threads: threads) { try read(0, $0) }
    guard
      let matrix = SeededMatrix(
        rows: ternary.blocks.rows, columns: ternary.blocks.columns, group: ternary.group, trits: trits, scales: scales)
    else { throw CodecError.corrupt("\(scales.count) scales") }
    return matrix
  }
}
