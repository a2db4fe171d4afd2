// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// How it is written which weights of a sparse matrix are stored.
public enum Positions: String, Sendable, Hashable, CaseIterable {
  /// The distances between them, a byte for each: parts `counts` and `gaps`.
  case gaps
  /// A bit for each weight: part `bitmap`.
  case bitmap

  /// The parts before the planes.
  public var parts: [String] {
    switch self {
    case .gaps: ["counts", "gaps"]
    case .bitmap: ["bitmap"]
    }
  }
}

/// The sparse encoding of a matrix whose stored weights have values of their own.
///
/// Parts: those of `Positions`, then a plane for each byte of a value, the least significant first: byte p of each
/// stored value, in order. Each but `counts` has a block for each of `RowBlocks`.
///
/// A value's magnitude, its bits without the sign as an integer, is written less the smallest one, `least`. Pruned
/// weights begin at a threshold; its exponent then ends in zeros whatever their scale, and the planes of the high bytes
/// do not say the same bit twice.
///
/// Example: the rows 0 1 0 0 0 0 0 0 0 −2 and 0 0 0 0 0 0 0 0 .5 0 as float16. Stored are 3c00, c000 and 3800, in
/// hexadecimal; `least` is 3800, of .5. Before zstd, the parts are
///
/// ```
/// bitmap   02 02 00 01    bits 1 and 9 of the first row, 8 of the second
/// plane 0  00 00 00       low bytes of 0400, 8800 and 0000
/// plane 1  04 88 00       high bytes
/// ```
///
/// With gaps instead, `counts` is 03 00 00 00, and `gaps` 01 07 08: the zeros before each stored weight.
public struct SparseCodec: Sendable {
  /// The type of the stored values.
  public let type: ElementType
  public let blocks: RowBlocks
  private let gaps: Gaps

  /// Describes a matrix of `rows` output units and `columns` inputs.
  ///
  /// - Parameter isMapped: whether the file is, which says how raw arrays are stored.
  /// - Throws: `CodecError`: corrupt when `type` is no floating-point type, over the limit when sizes cannot be
  ///   counted.
  public init(rows: Int, columns: Int, type: ElementType, isMapped: Bool = false) throws(CodecError) {
    guard type.isFloat else { throw .corrupt("sparse values of type \(type.rawValue)") }
    self.type = type
    blocks = try RowBlocks(rows: rows, columns: columns)
    if (rows * columns).multipliedReportingOverflow(by: type.byteCount).overflow {
      throw .overLimit("\(rows)×\(columns) weights of \(type.byteCount) bytes")
    }
    gaps = try Gaps(blocks, isMapped: isMapped)
  }

  /// How many blocks each part has.
  public func blockCounts(_ positions: Positions) -> [Int] {
    let planes = [Int](repeating: blocks.count, count: type.byteCount)
    return switch positions {
    case .gaps: [gaps.counts.blockCount, blocks.count] + planes
    case .bitmap: [blocks.count] + planes
    }
  }

  private var maskRowBytes: Int { SparseMatrix.maskRowBytes(columns: blocks.columns) }

  // MARK: Encoding

  /// A part of the encoding. Positions are encoded in both forms where either could be the smaller one.
  public enum Part: Sendable, Hashable {
    case counts, gaps, bitmap
    /// Byte `plane` of the values.
    case plane(Int)
  }

  /// The parts that are stored with these positions, in order.
  public func parts(_ positions: Positions) -> [Part] {
    let planes = (0..<type.byteCount).map(Part.plane)
    return switch positions {
    case .gaps: [.counts, .gaps] + planes
    case .bitmap: [.bitmap] + planes
    }
  }

  /// Encodes a matrix of this codec's size, and says which form of its positions takes fewer stored bytes.
  ///
  /// At `standard`, a form is not tried where it can hardly be the smaller one. Above a quarter stored, gaps of
  /// independent positions measured larger than a bitmap and take the more time the more there are. Below a sixteenth,
  /// most bytes of a bitmap are zero, and an entropy code of bytes cannot give them less than a bit each.
  ///
  /// - Parameter emit: takes the blocks: those of one part in order, few of all parts being held at once.
  /// - Returns: the form, and the smallest magnitude (0 where no weight is stored). Like the blocks, they do not depend
  ///   on `threads`.
  public func encode(
    _ matrix: some SparseContent, level: CompressionLevel = .standard, threads: Threads = Threads(0),
    emit: (Part, [UInt8]) throws -> Void
  ) throws -> (positions: Positions, least: UInt64) {
    precondition(
      matrix.rows == blocks.rows && matrix.columns == blocks.columns && matrix.type == type,
      "\(matrix.rows)×\(matrix.columns) \(matrix.type) for a codec of \(blocks.rows)×\(blocks.columns) \(type)"
    )
    let mask = matrix.mask
    let stored = try threads.map(blocks.count) { index in
      withMask(of: index, in: mask) { mask in
        precondition(mask.isPadded(blocks[index]), "unused bits of the mask are not zero")
        return mask.baseAddress.map { nc_mask_count($0, mask.count) } ?? 0
      }
    }
    let starts = starts(stored)
    precondition(starts.last == matrix.storedCount, "\(matrix.storedCount) values for \(starts.last ?? 0) bits")
    let least = matrix.leastMagnitude ?? least(of: matrix, starts: starts, threads: threads)

    let weights = blocks.rows * blocks.columns
    let blockLevel = level.forBlocks(blocks.count)
    let isTried = (
      gaps: level != .standard || matrix.storedCount <= weights / 4,
      bitmap: level != .standard || matrix.storedCount >= weights / 16
    )
    var gapCounts: [UInt32] = []
    var (gapBytes, bitmapBytes) = (0, 0)
    try threads.inOrder(blocks.count) { index in
      let block = blocks[index]
      return withMask(of: index, in: mask) { mask in
        let gaps = isTried.gaps ? encodeGaps(mask, block, stored: stored[index]) : []
        return EncodedBlock(
          gapCount: UInt32(gaps.count), gaps: store(symbols: gaps, blockLevel),
          bitmap: isTried.bitmap ? store(symbols: mask, blockLevel) : [],
          planes: encodeValues(block, starts[index]..<starts[index + 1], of: matrix, less: least, blockLevel))
      }
    } _: { block in
      if isTried.gaps {
        gapCounts.append(block.gapCount)
        gapBytes += block.gaps.count
        try emit(.gaps, block.gaps)
      }
      if isTried.bitmap {
        bitmapBytes += block.bitmap.count
        try emit(.bitmap, block.bitmap)
      }
      for (plane, bytes) in block.planes.enumerated() { try emit(.plane(plane), bytes) }
    }
    if isTried.gaps {
      for block in try gaps.counts.encode(elements: gapCounts, level: level, threads: threads) {
        gapBytes += block.count
        try emit(.counts, block)
      }
    }
    return (!isTried.bitmap || isTried.gaps && gapBytes < bitmapBytes ? .gaps : .bitmap, least)
  }

  /// As `encode(_:level:threads:emit:)`, with the blocks of each part that is stored.
  public func encode(
    _ matrix: some SparseContent, level: CompressionLevel = .standard, threads: Threads = Threads(0)
  ) throws -> (positions: Positions, least: UInt64, parts: [[[UInt8]]]) {
    var blocks: [Part: [[UInt8]]] = [:]
    let (positions, least) = try encode(matrix, level: level, threads: threads) { blocks[$0, default: []].append($1) }
    return (positions, least, parts(positions).map { blocks[$0] ?? [] })
  }

  /// The stored blocks of one row block.
  private struct EncodedBlock {
    let gapCount: UInt32
    let gaps: [UInt8]
    let bitmap: [UInt8]
    let planes: [[UInt8]]
  }

  private func encodeGaps(_ mask: UnsafeRawBufferPointer, _ block: RowBlocks.Block, stored: Int) -> [UInt8] {
    if block.columns.count % 8 == 0 { return Gaps.encode(mask, weights: block.weights, stored: stored) }
    return withUnsafeTemporaryAllocation(byteCount: bitBytes(block.weights), alignment: 8) { bits in
      if let mask = mask.baseAddress, let bits = bits.baseAddress {
        nc_bits_close(mask, block.rows.count, block.columns.count, bits)
      }
      return Gaps.encode(UnsafeRawBufferPointer(bits), weights: block.weights, stored: stored)
    }
  }

  /// The smallest magnitude of stored values.
  private func least(of matrix: some SparseContent, starts: [Int], threads: Threads) -> UInt64 {
    let width = type.byteCount
    return threads.results(blocks.count) { index in
      let (block, numbers) = (blocks[index], starts[index]..<starts[index + 1])
      return matrix.withValues(rows: block.rows, columns: block.columns, numbers: numbers) { values in
        values.baseAddress.map { nc_key_least($0, numbers.count, width) } ?? greatestMagnitude
      }
    }.min() ?? 0
  }

  /// The largest magnitude that the type has bits for.
  private var greatestMagnitude: UInt64 { .max >> UInt64(65 - 8 * type.byteCount) }

  /// Encodes the values of a block, the given ones of all, as planes.
  private func encodeValues(
    _ block: RowBlocks.Block, _ numbers: Range<Int>, of matrix: some SparseContent, less least: UInt64,
    _ level: CompressionLevel
  ) -> [[UInt8]] {
    let (width, count) = (type.byteCount, numbers.count)
    return matrix.withValues(rows: block.rows, columns: block.columns, numbers: numbers) { values in
      withUnsafeTemporaryAllocation(byteCount: 2 * count * width, alignment: 16) { room in
        let planes = UnsafeRawBufferPointer(rebasing: room[..<(count * width)])
        if count > 0, let values = values.baseAddress, let base = room.baseAddress {
          let lowered = base + count * width
          precondition(least > 0 || nc_sparse_nonzero(values, count, width), "a stored value has all bits zero")
          nc_key_lower(values, count, width, least, lowered)
          nc_planes_split(lowered, count, width, base)
        }
        return (0..<width).map { plane in
          store(plane: UnsafeRawBufferPointer(rebasing: planes[plane * count..<(plane + 1) * count]), level)
        }
      }
    }
  }

  private func withMask<Result>(of index: Int, in mask: [UInt8], _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    mask.withUnsafeBytes {
      body(UnsafeRawBufferPointer(rebasing: $0[blocks[index].maskBytes(rowBytes: maskRowBytes)]))
    }
  }

  // MARK: Decoding

  /// Decodes a matrix. Memory is taken for its mask, at once, and for the values whose positions were sound, so never
  /// for more than the shape declares: hold its size against a limit first.
  ///
  /// - Parameters:
  ///   - least: what is added to each magnitude, 0 … 2⁸ᵇ⁻¹ − 1, b the bytes of a value.
  ///   - block: Reads stored block `index` of part `part`; called once for each, in no order, from several threads.
  /// - Throws: `CodecError`: corrupt for another `least`, a position outside its block, unused bits that are not zero,
  ///   a magnitude that has a bit too many, a value with all bits zero, and for blocks that do not decode to their
  ///   size; or what `block` throws.
  public func decode(
    _ positions: Positions, least: UInt64, threads: Threads = Threads(0),
    block read: @Sendable (_ part: Int, _ index: Int) throws -> [UInt8]
  ) throws -> SparseMatrix {
    guard least <= greatestMagnitude else { throw CodecError.corrupt("least \(least), in \(type.rawValue)") }
    var stored: [Int] = []
    let size = blocks.rows * maskRowBytes
    let mask = try [UInt8](unsafeUninitializedCapacity: size) { mask, count in
      let mask = UnsafeMutableRawBufferPointer(mask)
      stored =
        switch positions {
        case .gaps: try decodeGaps(into: mask, threads: threads, read)
        case .bitmap: try decodeBitmap(into: mask, threads: threads) { try read(0, $0) }
        }
      count = size
    }
    let firstPlane = positions.parts.count
    let values = try decodeValues(stored, least: least, threads: threads) { try read(firstPlane + $0, $1) }
    guard
      let matrix = SparseMatrix(rows: blocks.rows, columns: blocks.columns, type: type, mask: mask, values: values)
    else { throw CodecError.corrupt("parts whose sizes do not agree") }
    return matrix
  }

  /// Returns how many weights of each block are stored.
  private func decodeGaps(
    into mask: UnsafeMutableRawBufferPointer, threads: Threads,
    _ read: @Sendable (_ part: Int, _ index: Int) throws -> [UInt8]
  ) throws -> [Int] {
    let counts = try gaps.decodeCounts(threads: threads) { try read(0, $0) }
    nonisolated(unsafe) let mask = mask
    return try threads.map(blocks.count) { index in
      let block = blocks[index]
      let out = UnsafeMutableRawBufferPointer(rebasing: mask[block.maskBytes(rowBytes: maskRowBytes)])
      return try locating("gaps", index) {
        let gapBytes = try read(1, index)
        if block.columns.count % 8 == 0 {
          return try gaps.decode(gapBytes, count: counts[index], block: index, into: out)
        }
        return try withUnsafeTemporaryAllocation(byteCount: bitBytes(block.weights), alignment: 8) { bits in
          let stored = try gaps.decode(gapBytes, count: counts[index], block: index, into: bits)
          if let bits = bits.baseAddress, let out = out.baseAddress {
            nc_bits_open(bits, block.rows.count, block.columns.count, out)
          }
          return stored
        }
      }
    }
  }

  /// Returns how many weights of each block are stored.
  private func decodeBitmap(
    into mask: UnsafeMutableRawBufferPointer, threads: Threads, _ read: @Sendable (Int) throws -> [UInt8]
  ) throws -> [Int] {
    nonisolated(unsafe) let mask = mask
    return try threads.map(blocks.count) { index in
      let block = blocks[index]
      let out = UnsafeMutableRawBufferPointer(rebasing: mask[block.maskBytes(rowBytes: maskRowBytes)])
      return try locating("bitmap", index) {
        try restore(try read(index), into: out)
        guard UnsafeRawBufferPointer(out).isPadded(block) else {
          throw CodecError.corrupt("bits after the last weight of a row are not zero")
        }
        return out.baseAddress.map { nc_mask_count($0, out.count) } ?? 0
      }
    }
  }

  /// Decodes the values of blocks that have so many.
  private func decodeValues(
    _ stored: [Int], least: UInt64, threads: Threads, _ read: @Sendable (_ plane: Int, _ index: Int) throws -> [UInt8]
  ) throws -> [UInt8] {
    let width = type.byteCount
    let starts = starts(stored)
    let size = (starts.last ?? 0) * width
    return try [UInt8](unsafeUninitializedCapacity: size) { values, initialized in
      nonisolated(unsafe) let values = UnsafeMutableRawBufferPointer(values)
      _ = try threads.map(blocks.count) { index in
        let count = stored[index]
        try withUnsafeTemporaryAllocation(byteCount: count * width, alignment: 16) { planes in
          for plane in 0..<width {
            try locating("plane \(plane)", index) {
              try restore(
                try read(plane, index),
                into: UnsafeMutableRawBufferPointer(rebasing: planes[plane * count..<(plane + 1) * count]))
            }
          }
          guard count > 0, let planes = planes.baseAddress, let values = values.baseAddress else { return }
          let first = values + starts[index] * width
          nc_planes_join(planes, count, width, first)
          if least > 0, !nc_key_raise(first, count, width, least) {
            throw CodecError(verdict: .corrupt, part: "planes", block: index, what: "a magnitude with a bit too many")
          }
          // A sum is no zero.
          if least == 0, !nc_sparse_nonzero(first, count, width) {
            throw CodecError(verdict: .corrupt, part: "planes", block: index, what: "a value with all bits zero")
          }
        }
      }
      initialized = size
    }
  }

  /// Where the values of each block begin, and where those of the last one end.
  private func starts(_ stored: [Int]) -> [Int] {
    var starts = [0]
    starts.reserveCapacity(stored.count + 1)
    for count in stored { starts.append(starts[starts.count - 1] + count) }
    return starts
  }
}

extension UnsafeRawBufferPointer {
  /// Whether the unused bits of each row of a block's mask are zero.
  fileprivate func isPadded(_ block: RowBlocks.Block) -> Bool {
    baseAddress.map { nc_bits_padded($0, block.rows.count, block.columns.count) } ?? true
  }
}
