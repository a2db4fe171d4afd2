// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// The raw encoding: any tensor, unchanged.
///
/// The little-endian row-major bytes are cut into pieces of 2²⁰ bytes, the last one shorter; each piece is a block. With
/// planes, its bytes are regrouped by significance, which separates the noise of weights from what they have in common;
/// without, what repeats is found.
public struct RawCodec: Sendable, Hashable {
  /// Bytes of every piece but the last; a multiple of every element's size.
  public static let pieceSize = 1 << 20
  /// Looks for matches at one place in a hundred: enough to find the runs of counters and masks, too little to be
  /// misled in weights.
  private static let standardLevel = -100
  /// Up to so many bytes, it costs little to look for the smallest form.
  static let smallSize = 1 << 16

  public let type: ElementType
  /// Bytes of the tensor.
  public let byteCount: Int
  /// Whether the bytes of each piece are regrouped. Never for a type of one byte.
  public let planes: Bool
  /// Whether no block may be compressed.
  public let isMapped: Bool
  /// The level of zstd that stands for `.standard` in pieces that are not small.
  private var standard = Self.standardLevel

  /// Describes a tensor of `count` ≥ 0 elements.
  ///
  /// - Parameter isMapped: whether every block is an array in memory, uncompressed and without planes.
  /// - Throws: `CodecError`, over the limit, when its bytes cannot be counted.
  public init(_ type: ElementType, count: Int, planes: Bool = true, isMapped: Bool = false) throws(CodecError) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: type.byteCount)
    if count < 0 || overflow { throw .overLimit("\(count) elements of \(type.byteCount) bytes") }
    self.type = type
    self.byteCount = bytes
    self.planes = planes && !isMapped && type.byteCount > 1
    self.isMapped = isMapped
  }

  public var blockCount: Int { byteCount / Self.pieceSize + (byteCount % Self.pieceSize == 0 ? 0 : 1) }

  /// The bytes of the tensor that block `block` holds; as many as the block decodes to.
  public func piece(_ block: Int) -> Range<Int> {
    let start = block * Self.pieceSize
    return start..<min(byteCount - start, Self.pieceSize) + start
  }

  // MARK: One block

  /// Encodes the bytes of one piece.
  public func encode(piece: UnsafeRawBufferPointer, level: CompressionLevel) -> [UInt8] {
    var effort = 3
    if case .zstd(let level) = level { effort = level }
    if isMapped || level == .uncompressed { return encode(piece, levels: []) }
    if piece.count > Self.smallSize { return encode(piece, levels: [level == .standard ? standard : effort]) }
    return encode(piece) { bytes in
      // In planes of noise the best level finds nothing.
      Zstd.smallest(bytes, quick: Self.standardLevel, matches: effort, isBestTried: !planes)
    }
  }

  /// Encodes a piece at those of zstd's levels that make it smallest; uncompressed where none makes it smaller.
  private func encode(_ piece: UnsafeRawBufferPointer, levels: Set<Int>) -> [UInt8] {
    encode(piece) { bytes in
      levels.sorted().compactMap { Zstd.compress(bytes, level: $0) }.min { $0.count < $1.count }
    }
  }

  /// Encodes a piece as `compress` does its bytes, regrouped if there are planes; where that is `nil`, uncompressed.
  private func encode(
    _ piece: UnsafeRawBufferPointer, _ compress: (UnsafeRawBufferPointer) -> [UInt8]?
  ) -> [UInt8] {
    if !planes { return compress(piece) ?? [UInt8](piece) }
    return withUnsafeTemporaryAllocation(byteCount: piece.count, alignment: 16) { planes in
      if let elements = piece.baseAddress, let planes = planes.baseAddress {
        nc_planes_split(elements, piece.count / type.byteCount, type.byteCount, planes)
      }
      let bytes = UnsafeRawBufferPointer(planes)
      return compress(bytes) ?? [UInt8](bytes)
    }
  }

  /// Decides by the first piece of a tensor whether planes make it smaller, and how much is worth trying.
  ///
  /// - Parameter piece: the first 2²⁰ bytes of the tensor, or all.
  /// - Returns: the codec, and the piece as it encodes it: the others follow with `encode(piece:level:)`.
  public static func smallest(
    _ type: ElementType, count: Int, first piece: UnsafeRawBufferPointer, level: CompressionLevel
  ) throws(CodecError) -> (codec: RawCodec, block: [UInt8]) {
    let plain = try RawCodec(type, count: count, planes: false)
    precondition(plain.byteCount == 0 || plain.piece(0).count == piece.count, "not the first piece")
    let planes = try RawCodec(type, count: count, planes: true)
    if level == .uncompressed || piece.isEmpty { return (plain, plain.encode(piece: piece, level: level)) }
    let codecs = planes.planes ? [plain, planes] : [plain]
    func smallest(_ encode: (RawCodec) -> [UInt8]) -> (codec: RawCodec, block: [UInt8]) {
      let blocks = codecs.map { ($0, encode($0)) }
      return blocks.dropFirst().reduce(blocks[0]) { $1.1.count < $0.1.count ? $1 : $0 }
    }
    func smallest(_ levels: Set<Int>) -> (codec: RawCodec, block: [UInt8]) {
      smallest { $0.encode(piece, levels: levels) }
    }
    if piece.count <= smallSize { return smallest { $0.encode(piece: piece, level: level) } }
    var effort = 3
    if case .zstd(let level) = level { effort = level }
    let quick = codecs[codecs.count - 1]
    var best = (codec: quick, block: quick.encode(piece, levels: [standardLevel]))
    var deep = smallest([effort])
    if plain.blockCount == 1 {
      // The best level is slow, and worth it where matches save more than chance does: all over the tensor, or short ones
      // in its beginning.
      let sample = UnsafeRawBufferPointer(rebasing: piece[..<smallSize])
      if deep.block.count < best.block.count / 200 * 199
        || plain.encode(sample, levels: [19]).count < quick.encode(sample, levels: [standardLevel]).count / 200 * 199
      {
        deep = smallest([effort, 19])
      }
      return deep.block.count < best.block.count ? deep : best
    }
    let isSmaller = deep.block.count < best.block.count
    deep.codec.standard = effort
    // The level was asked for; or it is worth the time, for what follows, too.
    let isChosen = level == .standard ? deep.block.count < best.block.count / 50 * 49 : isSmaller
    if isChosen { best = deep }
    return best
  }

  /// Decodes one block into the bytes of its piece.
  ///
  /// - Throws: `CodecError`, corrupt or over a limit.
  public func decode(_ stored: [UInt8], into piece: UnsafeMutableRawBufferPointer) throws {
    if isMapped { try checkMapped(stored, count: piece.count) }
    if !planes { return try restore(stored, into: piece) }
    func join(_ planes: UnsafeRawBufferPointer) {
      guard let planes = planes.baseAddress, let elements = piece.baseAddress else { return }
      nc_planes_join(planes, piece.count / type.byteCount, type.byteCount, elements)
    }
    if stored.count == piece.count { return stored.withUnsafeBytes(join) }
    try withUnsafeTemporaryAllocation(byteCount: piece.count, alignment: 16) { planes in
      try restore(stored, into: planes)
      join(UnsafeRawBufferPointer(planes))
    }
  }

  // MARK: The whole tensor

  /// Encodes `byteCount` bytes and hands the blocks to `emit` in order; few are held at once.
  public func encode(
    _ bytes: UnsafeRawBufferPointer, level: CompressionLevel = .standard, threads: Threads = Threads(0),
    emit: ([UInt8]) throws -> Void
  ) throws {
    precondition(bytes.count == byteCount, "\(bytes.count) bytes for a tensor of \(byteCount)")
    nonisolated(unsafe) let bytes = bytes
    try threads.inOrder(
      blockCount, { block in encode(piece: UnsafeRawBufferPointer(rebasing: bytes[piece(block)]), level: level) }, emit)
  }

  /// Encodes all bytes of a tensor with planes or without, whichever is smaller, and hands the blocks to `emit` in order.
  ///
  /// - Returns: the codec that decodes them.
  public static func encodeSmallest(
    _ bytes: UnsafeRawBufferPointer, _ type: ElementType, level: CompressionLevel = .standard,
    threads: Threads = Threads(0), emit: ([UInt8]) throws -> Void
  ) throws -> RawCodec {
    let count = bytes.count / type.byteCount
    precondition(count * type.byteCount == bytes.count, "\(bytes.count) bytes of \(type)")
    let first = UnsafeRawBufferPointer(rebasing: bytes.prefix(pieceSize))
    let (codec, block) = try smallest(type, count: count, first: first, level: level)
    if codec.blockCount == 0 { return codec }
    try emit(block)
    nonisolated(unsafe) let bytes = bytes
    try threads.inOrder(
      codec.blockCount - 1,
      { codec.encode(piece: UnsafeRawBufferPointer(rebasing: bytes[codec.piece($0 + 1)]), level: level) }, emit)
    return codec
  }

  /// Decodes into all of `out`, `byteCount` bytes.
  ///
  /// - Parameter block: Reads a stored block; called once for each, in no order, from several threads.
  /// - Throws: `CodecError`, or what `block` throws.
  public func decode(
    into out: UnsafeMutableRawBufferPointer, threads: Threads = Threads(0), part: String = "values",
    block read: @Sendable (Int) throws -> [UInt8]
  ) throws {
    precondition(out.count == byteCount, "\(out.count) bytes for a tensor of \(byteCount)")
    nonisolated(unsafe) let out = out
    _ = try threads.map(blockCount) { block in
      try locating(part, block) {
        try decode(try read(block), into: UnsafeMutableRawBufferPointer(rebasing: out[piece(block)]))
      }
    }
  }

  /// Decodes piece by piece and hands the bytes to `emit` in order; few are held at once.
  ///
  /// - Throws: `CodecError`, or what `block` or `emit` throws.
  public func decode(
    threads: Threads = Threads(0), block read: @Sendable (Int) throws -> [UInt8], emit: ([UInt8]) throws -> Void
  ) throws {
    try threads.inOrder(
      blockCount,
      { block in
        try locating("values", block) {
          let stored = try read(block)
          return try [UInt8](unsafeUninitializedCapacity: piece(block).count) { out, count in
            let piece = UnsafeMutableRawBufferPointer(
              rebasing: UnsafeMutableRawBufferPointer(out)[..<self.piece(block).count])
            try decode(stored, into: piece)
            count = piece.count
          }
        }
      }, emit)
  }
}

extension RawCodec {
  /// Encodes the elements of a tensor in memory.
  func encode<Element: BitwiseCopyable>(
    elements: [Element], level: CompressionLevel, threads: Threads
  ) throws -> [[UInt8]] {
    var stored: [[UInt8]] = []
    try elements.withUnsafeBytes { try encode($0, level: level, threads: threads) { stored.append($0) } }
    return stored
  }

  /// Decodes a tensor, whose elements are of type `Element`, into memory.
  func decode<Element: BitwiseCopyable>(
    as: Element.Type, part: String, threads: Threads, block read: @Sendable (Int) throws -> [UInt8]
  ) throws -> [Element] {
    let count = byteCount / MemoryLayout<Element>.stride
    return try [Element](unsafeUninitializedCapacity: count) { elements, initialized in
      let bytes = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: elements[..<count]))
      try decode(into: bytes, threads: threads, part: part, block: read)
      initialized = count
    }
  }
}

extension Threads {
  /// Makes blocks in parallel and hands them out in order, a few for each thread at a time.
  func inOrder<Block: Sendable>(
    _ blocks: Int, _ make: @Sendable (Int) throws -> Block, _ emit: (Block) throws -> Void
  ) throws {
    let batch = 8 * count
    for start in stride(from: 0, to: blocks, by: batch) {
      for block in try map(min(batch, blocks - start), { try make(start + $0) }) { try emit(block) }
    }
  }
}
