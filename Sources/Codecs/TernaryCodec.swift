// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// The forms of a ternary matrix.
public enum Encoding: Sendable, Hashable, CaseIterable {
  case raw
  case ternary
  case sparse
  /// Never written: a bitmap with signs is never the smallest form by much.
  case sparseBitmap

  /// The parts of which a tensor so encoded consists, in their order. Each is a list of blocks.
  public var parts: [String] {
    switch self {
    case .raw: ["values"]
    case .ternary: ["codes", "scales"]
    case .sparse: ["counts", "gaps", "signs", "scales"]
    case .sparseBitmap: ["bitmap", "signs", "scales"]
    }
  }
}

/// A tensor as stored blocks.
public struct EncodedTensor: Sendable, Hashable {
  public let encoding: Encoding
  /// The blocks of each of `encoding.parts`.
  public let parts: [[[UInt8]]]

  /// Stored bytes of all blocks.
  public var byteCount: Int { parts.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } } }
}

/// The encodings of a ternary matrix, `ternary` and `sparse` with values that are a sign times a scale.
///
/// Ternary: `codes` are the packed trits of `RowBlocks`. Sparse: for each of these blocks, `gaps` has the numbers of
/// zeros between the weights that are not zero, in row-major order: a byte 255 for every 255 zeros, then a byte for the
/// rest; nothing for the zeros after the last one. `signs` has a bit for each of these weights, 1 for negative, the
/// first lowest, padded with zeros to a byte. `counts`, a raw tensor of uint32, has the bytes of each block of gaps.
/// Both: `scales` are a raw tensor of float32, or of float64 when that is the source's type. A matrix without weights has
/// no blocks in any part.
public struct TernaryCodec: Sendable {
  public let group: ScaleGroup
  /// The blocks of every part but the scales.
  public let blocks: RowBlocks
  /// The encoding of the scales.
  public let scales: RawCodec
  /// The type of the weights, of which every scale is a value.
  private let source: ElementType
  private let gaps: Gaps
  private let isMapped: Bool
  /// The scales of the matrix. Those of one without weights are not stored, and 0.
  private let scaleCount: Int

  /// Describes a matrix of `rows` output units and `columns` inputs made from weights of type `source`.
  ///
  /// - Parameter isMapped: whether the file is: then everything is uncompressed.
  /// - Throws: `CodecError`: corrupt when a group has no inputs, over the limit when sizes cannot be counted.
  public init(rows: Int, columns: Int, group: ScaleGroup, source: ElementType, isMapped: Bool = false)
    throws(CodecError)
  {
    if case .inputs(let count) = group, count < 1 { throw .corrupt("scale groups of \(count) inputs") }
    self.group = group
    self.source = source
    blocks = try RowBlocks(rows: rows, columns: columns)
    gaps = try Gaps(blocks, isMapped: isMapped)
    self.isMapped = isMapped
    scaleCount = group.count(rows: rows, columns: columns)
    scales = try RawCodec(
      source == .float64 ? .float64 : .float32, count: blocks.count == 0 ? 0 : scaleCount, isMapped: isMapped)
  }

  /// How many blocks each of `encoding.parts` has; `nil` for an encoding that holds no ternary matrix.
  public func blockCounts(_ encoding: Encoding) -> [Int]? {
    switch encoding {
    case .raw: nil
    case .ternary: [blocks.count, scales.blockCount]
    case .sparse: [gaps.counts.blockCount, blocks.count, blocks.count, scales.blockCount]
    case .sparseBitmap: [blocks.count, blocks.count, scales.blockCount]
    }
  }

  private var rowBytes: Int { TernaryMatrix.rowBytes(columns: blocks.columns) }

  // MARK: Encoding

  /// Encodes a matrix of this codec's size: in sparse form where that takes fewer stored bytes, else in ternary form.
  ///
  /// In a mapped file, and at level `uncompressed`, always in ternary form, with uncompressed codes, for use through `mmap`. Sparse form is
  /// tried when at most a quarter of the weights is not zero; above, it never is the smaller one by much.
  public func encode(
    _ matrix: TernaryMatrix, level: CompressionLevel = .standard, threads: Threads = Threads(0)
  ) throws -> EncodedTensor {
    precondition(
      matrix.rows == blocks.rows && matrix.columns == blocks.columns && matrix.group == group,
      "a matrix of \(matrix.rows)×\(matrix.columns) for a codec of \(blocks.rows)×\(blocks.columns)")
    let level = isMapped ? .uncompressed : level
    let scales = try encode(scales: matrix.scales, level: level, threads: threads)
    let blockLevel = level.forBlocks(blocks.count)
    let codes = try threads.map(blocks.count) { block in
      withCodes(of: block, in: matrix) { store(symbols: $0, blockLevel) }
    }
    let ternary = EncodedTensor(encoding: .ternary, parts: [codes, scales])
    if level == .uncompressed { return ternary }

    let nonZeros = try threads.map(blocks.count) { withCodes(of: $0, in: matrix, countNonZeros) }
    guard nonZeros.reduce(0, +) <= blocks.rows * blocks.columns / 4 else { return ternary }
    let sparse = try threads.map(blocks.count) { index in
      let (gaps, signs) = withCodes(of: index, in: matrix) { takeApart(codes: $0, of: blocks[index]) }
      return (
        count: UInt32(gaps.count), gaps: store(symbols: gaps, blockLevel), signs: store(symbols: signs, blockLevel)
      )
    }
    let counts = try gaps.counts.encode(elements: sparse.map(\.count), level: level, threads: threads)
    let tensor = EncodedTensor(encoding: .sparse, parts: [counts, sparse.map(\.gaps), sparse.map(\.signs), scales])
    return tensor.byteCount < ternary.byteCount ? tensor : ternary
  }

  private func withCodes<Result>(
    of block: Int, in matrix: TernaryMatrix, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    matrix.codes.withUnsafeBytes {
      body(UnsafeRawBufferPointer(rebasing: $0[blocks[block].codeBytes(rowBytes: rowBytes)]))
    }
  }

  /// The gaps of the trits of a block that are not zero, and their signs.
  private func takeApart(codes: UnsafeRawBufferPointer, of block: RowBlocks.Block) -> (gaps: [UInt8], signs: [UInt8]) {
    withUnsafeTemporaryAllocation(byteCount: bitBytes(block.weights), alignment: 8) { bits in
      var stored = 0
      let signs = [UInt8](unsafeUninitializedCapacity: bits.count) { signs, count in
        guard let codes = codes.baseAddress, let bits = bits.baseAddress, let base = signs.baseAddress else { return }
        stored = nc_ternary_split(codes, block.rows.count, block.columns.count, bits, base)
        count = bitBytes(stored)
      }
      return (Gaps.encode(UnsafeRawBufferPointer(bits), weights: block.weights, stored: stored), signs)
    }
  }

  /// Encodes the scales of a matrix; those of one without weights are not stored.
  func encode(scales values: [Double], level: CompressionLevel, threads: Threads) throws -> [[UInt8]] {
    let values = blocks.count == 0 ? [] : values
    let level = isMapped ? .uncompressed : level
    if scales.type == .float64 { return try scales.encode(elements: values, level: level, threads: threads) }
    let narrow = values.map { Float($0) }
    precondition(zip(narrow, values).allSatisfy { Double($0) == $1 }, "scales are not rounded to the source's type")
    return try scales.encode(elements: narrow, level: level, threads: threads)
  }

  // MARK: Decoding

  /// Decodes a matrix. Memory for it is taken at once: hold its size against a limit first.
  ///
  /// - Parameter block: Reads stored block `index` of part `part`, counted in `encoding.parts`; called once for each,
  ///   in no order, from several threads.
  /// - Throws: `CodecError`: corrupt for a code `10`, padding that is not zero, a position outside its block, a scale
  ///   that is negative, −0, infinite or no number, and for blocks that do not decode to their size; or what `block`
  ///   throws.
  public func decode(
    _ encoding: Encoding, threads: Threads = Threads(0),
    block read: @Sendable (_ part: Int, _ index: Int) throws -> [UInt8]
  ) throws -> TernaryMatrix {
    guard blockCounts(encoding) != nil else { throw CodecError.corrupt("a ternary matrix in \(encoding) encoding") }
    let last = encoding.parts.count - 1
    let scales = try decodeScales(encoding, threads: threads) { try read(last, $0) }
    let codes =
      encoding != .ternary
      ? try decodeSparse(encoding, threads: threads, read)
      : try decodeCodes(threads: threads) { index, block, codes in
        try locating("codes", index) {
          let stored = try read(0, index)
          if isMapped { try checkMapped(stored, count: codes.count) }
          try restore(stored, into: codes)
          try block.check(codes: UnsafeRawBufferPointer(codes))
        }
      }
    guard
      let matrix = TernaryMatrix(
        rows: blocks.rows, columns: blocks.columns, group: group, codes: codes, scales: scales)
    else { throw CodecError.corrupt("parts whose sizes do not agree") }
    return matrix
  }

  private func decodeCodes(
    threads: Threads, _ body: @Sendable (Int, RowBlocks.Block, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws -> [UInt8] {
    let size = blocks.rows * rowBytes
    return try [UInt8](unsafeUninitializedCapacity: size) { codes, count in
      nonisolated(unsafe) let all = UnsafeMutableRawBufferPointer(codes)
      _ = try threads.map(blocks.count) { index in
        let block = blocks[index]
        try body(index, block, UnsafeMutableRawBufferPointer(rebasing: all[block.codeBytes(rowBytes: rowBytes)]))
      }
      count = size
    }
  }

  private func decodeSparse(
    _ encoding: Encoding, threads: Threads, _ read: @Sendable (_ part: Int, _ index: Int) throws -> [UInt8]
  ) throws -> [UInt8] {
    let counts = encoding == .sparse ? try gaps.decodeCounts(threads: threads) { try read(0, $0) } : []
    return try decodeCodes(threads: threads) { index, block, codes in
      try withUnsafeTemporaryAllocation(byteCount: bitBytes(block.weights), alignment: 8) { bits in
        let stored: Int
        if encoding == .sparse {
          stored = try locating("gaps", index) {
            try gaps.decode(try read(1, index), count: counts[index], block: index, into: bits)
          }
        } else {
          stored = try locating("bitmap", index) { try decode(bitmap: try read(0, index), of: block, into: bits) }
        }
        try locating("signs", index) {
          let signs = try restore(
            try read(encoding == .sparse ? 2 : 1, index), count: bitBytes(stored))
          if stored % 8 != 0, signs[stored / 8] >> (stored % 8) != 0 {
            throw CodecError.corrupt("padding after \(stored) signs is not zero")
          }
          guard let bits = bits.baseAddress, let codes = codes.baseAddress else { return }
          nc_ternary_join(bits, signs, stored, block.rows.count, block.columns.count, codes)
        }
      }
    }
  }

  /// Writes the bits of a block in a run, from rows that each begin with a byte; returns how many are 1.
  private func decode(
    bitmap stored: [UInt8], of block: RowBlocks.Block, into bits: UnsafeMutableRawBufferPointer
  ) throws -> Int {
    let mask = try restore(
      stored, count: block.rows.count * SparseMatrix.maskRowBytes(columns: block.columns.count))
    guard nc_bits_padded(mask, block.rows.count, block.columns.count) else {
      throw CodecError.corrupt("bits after the last weight of a row are not zero")
    }
    if let bits = bits.baseAddress { nc_bits_close(mask, block.rows.count, block.columns.count, bits) }
    return nc_mask_count(mask, mask.count)
  }

  func decodeScales(
    _ encoding: Encoding, threads: Threads, _ read: @Sendable (Int) throws -> [UInt8]
  ) throws -> [Double] {
    // In a mapped file, those of the sparse forms may be frames all the same.
    let count = blocks.count == 0 ? 0 : scaleCount
    let scales =
      encoding == .ternary ? self.scales : try RawCodec(self.scales.type, count: count, planes: !isMapped)
    let values =
      scales.type == .float64
      ? try scales.decode(as: Double.self, part: "scales", threads: threads, block: read)
      : try scales.decode(as: Float.self, part: "scales", threads: threads, block: read).map { Double($0) }
    if let wrong = values.firstIndex(where: { !$0.isFinite || $0.sign == .minus || !source.contains($0) }) {
      throw CodecError(
        verdict: .corrupt, part: "scales", what: "scale \(wrong) is \(values[wrong]), in \(source.rawValue)")
    }
    return blocks.count == 0 ? [Double](repeating: 0, count: scaleCount) : values
  }
}

extension RowBlocks.Block {
  /// Throws `CodecError`, corrupt, when a code is `10` or a bit after a row's last weight is set.
  fileprivate func check(codes: UnsafeRawBufferPointer) throws {
    // The high bit of a pair without the low one.
    func wrong(_ word: UInt64) -> UInt64 { word &>> 1 & ~word & (.max / 3) }
    var any: UInt64 = 0
    for start in stride(from: 0, to: codes.count, by: 8) {
      any |= wrong(codes.word(at: start, count: min(8, codes.count - start)))
    }
    if any != 0, let byte = codes.firstIndex(where: { wrong(UInt64($0)) != 0 }) {
      throw CodecError.corrupt("code 10 in byte \(byte)")
    }
    let used = columns.count % 4
    if used == 0 { return }
    let rowBytes = codeRowBytes
    for row in 0..<rows.count where codes[(row + 1) * rowBytes - 1] >> (2 * used) != 0 {
      throw CodecError.corrupt("padding of row \(rows.lowerBound + row) is not zero")
    }
  }
}

/// The trits of packed codes that are not zero.
private func countNonZeros(_ codes: UnsafeRawBufferPointer) -> Int {
  var count = 0
  for start in stride(from: 0, to: codes.count, by: 8) {
    count += (codes.word(at: start, count: min(8, codes.count - start)) & (.max / 3)).nonzeroBitCount
  }
  return count
}

extension UnsafeRawBufferPointer {
  /// Up to eight bytes as a little-endian word, zeros above them.
  @inline(__always)
  fileprivate func word(at offset: Int, count: Int) -> UInt64 {
    if count == 8 { return UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    return (0..<count).reduce(0) { $0 | UInt64(self[offset + $1]) &<< UInt64(8 * $1) }
  }
}
