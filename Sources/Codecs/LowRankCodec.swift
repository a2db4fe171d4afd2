// SPDX-License-Identifier: Apache-2.0

public import Parallel
public import Tensors

/// The low-rank encoding of a matrix: its two factors as raw tensors of float32.
public struct LowRankCodec: Sendable, Hashable {
  /// The names of the parts.
  public static let parts = ["left", "right"]

  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  /// 0…min(rows, columns).
  public let rank: Int
  private let left: RawCodec
  private let right: RawCodec

  /// Describes a product of `rows` × `rank` and `rank` × `columns`.
  ///
  /// - Parameter isMapped: whether the file is, which says how raw arrays are stored.
  /// - Throws: `CodecError`: corrupt when the rank is negative or larger than a dimension, over the limit when sizes
  ///   cannot be counted.
  public init(rows: Int, columns: Int, rank: Int, isMapped: Bool = false) throws(CodecError) {
    if rows < 0 || columns < 0 { throw .overLimit("\(rows)×\(columns) weights") }
    guard (0...min(rows, columns)).contains(rank) else { throw .corrupt("rank \(rank) of \(rows)×\(columns)") }
    (self.rows, self.columns, self.rank) = (rows, columns, rank)
    let (leftCount, rightCount) = (
      rows.multipliedReportingOverflow(by: rank), rank.multipliedReportingOverflow(by: columns)
    )
    if leftCount.overflow || rightCount.overflow { throw .overLimit("\(rows)×\(columns) weights of rank \(rank)") }
    left = try RawCodec(.float32, count: leftCount.partialValue, planes: !isMapped)
    right = try RawCodec(.float32, count: rightCount.partialValue, planes: !isMapped)
  }

  /// How many blocks each part has.
  public var blockCounts: [Int] { [left.blockCount, right.blockCount] }

  /// Encodes a matrix of this codec's size and rank; returns the blocks of each part.
  public func encode(
    _ matrix: LowRankMatrix, level: CompressionLevel = .standard, threads: Threads = Threads(0)
  ) throws -> [[[UInt8]]] {
    precondition(
      matrix.rows == rows && matrix.columns == columns && matrix.rank == rank,
      "a matrix of \(matrix.rows)×\(matrix.columns), rank \(matrix.rank), for \(rows)×\(columns), rank \(rank)"
    )
    precondition(matrix.left.allSatisfy(\.isFinite) && matrix.right.allSatisfy(\.isFinite), "factors are finite")
    return [
      try left.encode(elements: matrix.left, level: level, threads: threads),
      try right.encode(elements: matrix.right, level: level, threads: threads),
    ]
  }

  /// Decodes a matrix. Memory for the factors is taken at once: hold their size against a limit first.
  ///
  /// - Parameters:
  ///   - singularValues: `rank` of them, from the directory; they do not enter the weights.
  ///   - block: Reads stored block `index` of part `part`; called once for each, in no order, from several threads.
  /// - Throws: `CodecError`: corrupt for an element that is not finite, for blocks that do not decode to their size,
  ///   and for a wrong number of singular values; or what `block` throws. Whether the weights are finite is not
  ///   checked.
  public func decode(
    singularValues: [Double], threads: Threads = Threads(0),
    block read: @Sendable (_ part: Int, _ index: Int) throws -> [UInt8]
  ) throws -> LowRankMatrix {
    let factors = try [left, right].enumerated().map { part, codec in
      let name = Self.parts[part]
      let factor = try codec.decode(as: Float.self, part: name, threads: threads) { try read(part, $0) }
      if let wrong = factor.firstIndex(where: { !$0.isFinite }) {
        throw CodecError(verdict: .corrupt, part: name, what: "element \(wrong) is \(factor[wrong])")
      }
      return factor
    }
    guard singularValues.count == rank,
      let matrix = LowRankMatrix(
        rows: rows, columns: columns, left: factors[0], right: factors[1], singularValues: singularValues)
    else { throw CodecError.corrupt("\(singularValues.count) singular values for rank \(rank)") }
    return matrix
  }
}
