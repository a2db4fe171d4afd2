// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// The raw encoding: any tensor, unchanged.
///
/// The little-endian row-major bytes are cut into pieces of 2²⁰ bytes, the last one shorter; each piece is a block,
/// its bytes regrouped into planes of equal significance.
public struct RawCodec: Sendable, Hashable {
  /// Bytes of every piece but the last; a multiple of every element's size.
  public static let pieceSize = 1 << 20
  /// Looks for matches at one place in a hundred: enough to find the runs of counters and masks, too little to be
  /// misled in weights.
  private static let standardLevel = -100

  public let type: ElementType
  /// Bytes of the tensor.
  public let byteCount: Int

  /// Describes a tensor of `count` ≥ 0 elements.
  ///
  /// - Throws: `CodecError`, over the limit, when its bytes cannot be counted.
  public init(_ type: ElementType, count: Int) throws(CodecError) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: type.byteCount)
    if count < 0 || overflow { throw .overLimit("\(count) elements of \(type.byteCount) bytes") }
    self.type = type
    self.byteCount = bytes
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
    if type.byteCount == 1 { return store(piece, level, standard: Self.standardLevel) }
    return withUnsafeTemporaryAllocation(byteCount: piece.count, alignment: 16) { planes in
      if let elements = piece.baseAddress, let planes = planes.baseAddress {
        nc_planes_split(elements, piece.count / type.byteCount, type.byteCount, planes)
      }
      return store(UnsafeRawBufferPointer(planes), level, standard: Self.standardLevel)
    }
  }

  /// Decodes one block into the bytes of its piece.
  ///
  /// - Throws: `CodecError`, corrupt or over a limit.
  public func decode(_ stored: [UInt8], into piece: UnsafeMutableRawBufferPointer) throws {
    if type.byteCount == 1 { return try restore(stored, into: piece) }
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
