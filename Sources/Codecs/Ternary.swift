public import Parallel
public import Tensors

/// The encodings of a tensor, by the number that stands for each in a file.
public enum Encoding: Int, Sendable, Hashable, CaseIterable {
  case raw = 0
  case ternary = 1
  case sparse = 2

  /// The parts of which a tensor so encoded consists, in their order. Each is a list of blocks.
  public var parts: [String] {
    switch self {
    case .raw: ["values"]
    case .ternary: ["codes", "scales"]
    case .sparse: ["positions", "signs", "scales"]
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
/// Ternary: `codes` are the packed trits of `RowBlocks`. Sparse: `positions` is a bitmap of the weights that are not
/// zero, in the same blocks, one bit a weight, the first weight lowest, every row beginning with a new byte and padded
/// with zeros; `signs` has for each of these blocks one bit for each of its non-zero weights in their order, 1 for
/// negative, padded with zeros to a byte. `scales` are encoded as a raw tensor of float32, or of float64 when that is
/// the source's type.
public struct TernaryCodec: Sendable {
  public let group: ScaleGroup
  /// The blocks of every part but the scales.
  public let blocks: RowBlocks
  /// The encoding of the scales.
  public let scales: RawCodec

  /// Looks for matches at one place in a thousand.
  private static let standardLevel = -1000

  /// Describes a matrix of `rows` output units and `columns` inputs made from weights of type `source`.
  ///
  /// - Throws: `CodecError`: corrupt when a group has no inputs, over the limit when sizes cannot be counted.
  public init(rows: Int, columns: Int, group: ScaleGroup, source: ElementType) throws(CodecError) {
    if case .inputs(let count) = group, count < 1 { throw .corrupt("scale groups of \(count) inputs") }
    self.group = group
    blocks = try RowBlocks(rows: rows, columns: columns)
    scales = try RawCodec(
      source == .float64 ? .float64 : .float32, count: group.count(rows: rows, columns: columns))
  }

  /// How many blocks each of `encoding.parts` has; nothing for an encoding that holds no ternary matrix.
  public func blockCounts(_ encoding: Encoding) -> [Int]? {
    switch encoding {
    case .raw: nil
    case .ternary: [blocks.count, scales.blockCount]
    case .sparse: [blocks.count, blocks.count, scales.blockCount]
    }
  }

  private var rowBytes: Int { TernaryMatrix.rowBytes(columns: blocks.columns) }

  // MARK: Encoding

  /// Encodes a matrix of this codec's size: in sparse form where that takes fewer stored bytes, else in ternary form.
  ///
  /// At level `plain` always in ternary form, with plain codes, for use through `mmap`. Sparse form is tried when at
  /// most a quarter of the weights is not zero; above, it never is the smaller one by much.
  public func encode(
    _ matrix: TernaryMatrix, level: CompressionLevel = .standard, threads: Threads = Threads(0)
  ) throws -> EncodedTensor {
    precondition(
      matrix.rows == blocks.rows && matrix.columns == blocks.columns && matrix.group == group,
      "a matrix of \(matrix.rows)×\(matrix.columns) for a codec of \(blocks.rows)×\(blocks.columns)")
    let scales = try encode(scales: matrix.scales, level: level, threads: threads)
    let codes = try threads.map(blocks.count) { block in
      withCodes(of: block, in: matrix) { store($0, level, standard: Self.standardLevel) }
    }
    let ternary = EncodedTensor(encoding: .ternary, parts: [codes, scales])
    if level == .plain { return ternary }

    let nonZeros = try threads.map(blocks.count) { block in
      withCodes(of: block, in: matrix, SignBitmap.nonZeros)
    }
    let weights = blocks.rows * blocks.columns
    guard nonZeros.reduce(0, +) <= weights / 4 else { return ternary }
    let both = try threads.map(blocks.count) { block in
      let bitmap = withCodes(of: block, in: matrix) { SignBitmap(codes: $0, block: blocks[block]) }
      return [bitmap.positions, bitmap.signs].map { bytes in
        bytes.withUnsafeBytes { store($0, level, standard: Self.standardLevel) }
      }
    }
    let sparse = EncodedTensor(encoding: .sparse, parts: [both.map { $0[0] }, both.map { $0[1] }, scales])
    return sparse.byteCount < ternary.byteCount ? sparse : ternary
  }

  private func withCodes<Result>(
    of block: Int, in matrix: TernaryMatrix, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    matrix.codes.withUnsafeBytes {
      body(UnsafeRawBufferPointer(rebasing: $0[blocks[block].codeBytes(rowBytes: rowBytes)]))
    }
  }

  private func encode(scales values: [Double], level: CompressionLevel, threads: Threads) throws -> [[UInt8]] {
    var stored: [[UInt8]] = []
    func encode<Value>(_ values: [Value]) throws {
      try values.withUnsafeBytes {
        try scales.encode($0, level: level, threads: threads) { stored.append($0) }
      }
    }
    if scales.type == .float64 {
      try encode(values)
    } else {
      // Exact: scales are rounded to the source's type, which float32 contains.
      try encode(values.map { Float($0) })
    }
    return stored
  }

  // MARK: Decoding

  /// Decodes a matrix. Memory for it is taken at once: hold its size against a limit first.
  ///
  /// - Parameter block: Reads stored block `index` of part `part`, counted in `encoding.parts`; called once for each,
  ///   in no order, from several threads.
  /// - Throws: `CodecError`: corrupt for a code `10`, padding that is not zero, a scale that is negative, −0, infinite
  ///   or no number, and for blocks that do not decode to their size; or what `block` throws.
  public func decode(
    _ encoding: Encoding, threads: Threads = Threads(0),
    block read: @Sendable (_ part: Int, _ index: Int) throws -> [UInt8]
  ) throws -> TernaryMatrix {
    guard blockCounts(encoding) != nil else { throw CodecError.corrupt("a ternary matrix in \(encoding) encoding") }
    let names = encoding.parts
    let scales = try decodeScales(threads: threads) { try read(names.count - 1, $0) }
    let codes = try [UInt8](unsafeUninitializedCapacity: blocks.rows * rowBytes) { codes, count in
      nonisolated(unsafe) let all = UnsafeMutableRawBufferPointer(codes)
      _ = try threads.map(blocks.count) { index in
        let block = blocks[index]
        let codes = UnsafeMutableRawBufferPointer(rebasing: all[block.codeBytes(rowBytes: rowBytes)])
        if encoding == .ternary {
          try locating(names[0], index) {
            try restore(try read(0, index), into: codes)
            try block.check(codes: UnsafeRawBufferPointer(codes))
          }
        } else {
          let positions = try locating(names[0], index) {
            let positions = try restore(try read(0, index), count: block.byteCount(perByte: 8))
            try block.check(positions: positions)
            return positions
          }
          try locating(names[1], index) {
            let nonZeros = SignBitmap.ones(positions)
            let signs = try restore(try read(1, index), count: (nonZeros + 7) / 8)
            if nonZeros % 8 != 0, signs[signs.count - 1] >> (nonZeros % 8) != 0 {
              throw CodecError.corrupt("padding after \(nonZeros) signs is not zero")
            }
            SignBitmap(positions: positions, signs: signs).write(codes: codes, block: block)
          }
        }
      }
      count = blocks.rows * rowBytes
    }
    guard
      let matrix = TernaryMatrix(
        rows: blocks.rows, columns: blocks.columns, group: group, codes: codes, scales: scales)
    else { throw CodecError.corrupt("parts whose sizes do not agree") }
    return matrix
  }

  private func decodeScales(threads: Threads, _ read: @Sendable (Int) throws -> [UInt8]) throws -> [Double] {
    func decode<Value: BinaryFloatingPoint>(_: Value.Type) throws -> [Double] {
      let count = scales.byteCount / MemoryLayout<Value>.size
      let values = try [Value](unsafeUninitializedCapacity: count) { values, initialized in
        try scales.decode(into: UnsafeMutableRawBufferPointer(values), threads: threads, part: "scales", block: read)
        initialized = count
      }
      return try values.enumerated().map { group, value in
        guard value.isFinite, value.sign == .plus else {
          throw CodecError(verdict: .corrupt, part: "scales", what: "scale \(group) is \(value)")
        }
        return Double(value)
      }
    }
    return scales.type == .float64 ? try decode(Double.self) : try decode(Float.self)
  }
}

extension RowBlocks.Block {
  /// Throws `CodecError`, corrupt, when a code is `10` or a bit after a row's last weight is set.
  fileprivate func check(codes: UnsafeRawBufferPointer) throws {
    // The high bit of a pair without the low one.
    func wrong<Word: FixedWidthInteger>(_ word: Word) -> Word { word &>> 1 & ~word & (Word.max / 3) }
    var any: UInt64 = 0
    let words = codes.count / 8
    for i in 0..<words { any |= wrong(codes.loadUnaligned(fromByteOffset: 8 * i, as: UInt64.self)) }
    for i in 8 * words..<codes.count { any |= UInt64(wrong(codes[i])) }
    if any != 0, let byte = codes.firstIndex(where: { wrong($0) != 0 }) {
      throw CodecError.corrupt("code 10 in byte \(byte)")
    }
    try checkPadding(perByte: 4) { codes[$0] }
  }

  fileprivate func check(positions: [UInt8]) throws {
    try checkPadding(perByte: 8) { positions[$0] }
  }

  private func checkPadding(perByte: Int, _ byte: (Int) -> UInt8) throws {
    let used = columns.count % perByte
    if used == 0 { return }
    let rowBytes = rowBytes(perByte: perByte)
    for row in 0..<rows.count where byte((row + 1) * rowBytes - 1) >> (used * 8 / perByte) != 0 {
      throw CodecError.corrupt("padding of row \(rows.lowerBound + row) is not zero")
    }
  }
}
