// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import CZstd
internal import Synchronization

/// How hard zstd tries. What is decoded never depends on it.
public enum CompressionLevel: Sendable, Hashable {
  /// Every block uncompressed, so that the file can be used through `mmap`.
  case uncompressed
  /// Entropy coding; matches are hardly looked for. Weights are noise to a match finder: it costs time, and the
  /// matches it finds by chance cost more bits than the literals they replace.
  case standard
  /// As `standard`; small blocks also with matches, which are then worth the time.
  case thorough
  /// zstd's own level, 1 (fast) … 19 (small).
  case zstd(Int)

  /// The level for the codes, positions and values of a matrix of so many row blocks.
  func forBlocks(_ count: Int) -> CompressionLevel { self == .standard && count <= 4 ? .thorough : self }
}

/// Single zstd frames: content size present, window of at most 8 MiB, no dictionary, no checksum.
public enum Zstd {
  /// The largest window of a frame.
  public static let maxWindow = 8 << 20

  /// The version of the linked library, such as `1.5.4`.
  public static var version: String { String(cString: ZSTD_versionString()) }

  /// Compresses `bytes` to one frame that is smaller than they are; `nil` when zstd finds none.
  ///
  /// Negative levels are zstd's fast ones, with entropy coding of literals all the same.
  static func compress(_ bytes: UnsafeRawBufferPointer, level: Int) -> [UInt8]? {
    guard bytes.count > 1 else { return nil }
    let context = compressors.take()
    defer { compressors.put(context) }
    // A context that failed for want of room still believes to be in the middle of a frame.
    ZSTD_CCtx_reset(context.pointer, ZSTD_reset_session_and_parameters)
    for (parameter, value) in [
      (ZSTD_c_compressionLevel, Int32(clamping: level)),
      (nc_ZSTD_c_literalCompressionMode, Int32(ZSTD_ps_enable.rawValue)),
      (ZSTD_c_checksumFlag, 0),
      // A worker thread of zstd's own would change the bytes.
      (ZSTD_c_nbWorkers, 0),
    ] {
      guard ZSTD_isError(ZSTD_CCtx_setParameter(context.pointer, parameter, value)) == 0 else { return nil }
    }
    let frame = [UInt8](unsafeUninitializedCapacity: bytes.count - 1) { out, count in
      let size = ZSTD_compress2(context.pointer, out.baseAddress, out.count, bytes.baseAddress, bytes.count)
      count = ZSTD_isError(size) == 0 ? size : 0
    }
    return frame.isEmpty ? nil : frame
  }

  /// Decompresses the one frame that `frame` must consist of into exactly all of `out`.
  ///
  /// - Throws: `CodecError`: over the limit for a larger window, else corrupt.
  static func decompress(_ frame: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) throws(CodecError) {
    var header = ZSTD_frameHeader()
    guard ZSTD_getFrameHeader(&header, frame.baseAddress, frame.count) == 0, header.frameType == ZSTD_frame else {
      throw .corrupt("\(frame.count) bytes that are no zstd frame, for \(out.count) decoded bytes")
    }
    guard header.frameContentSize == UInt64(out.count) else {
      let size = header.frameContentSize == .max ? "no size" : "\(header.frameContentSize) bytes"
      throw .corrupt("the zstd frame declares \(size), not \(out.count) bytes")
    }
    guard header.windowSize <= UInt64(maxWindow) else {
      throw .overLimit("the zstd frame's window of \(header.windowSize) bytes is over the limit of \(maxWindow)")
    }
    guard header.dictID == 0, header.checksumFlag == 0 else {
      throw .corrupt("the zstd frame asks for a dictionary or a checksum")
    }
    let dimension = ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count)
    guard dimension == frame.count else {
      throw ZSTD_isError(dimension) == 0
        ? .corrupt("the zstd frame ends after \(dimension) of \(frame.count) bytes") : .corrupt("the zstd frame is cut")
    }
    let context = decompressors.take()
    defer { decompressors.put(context) }
    let size = ZSTD_decompressDCtx(context.pointer, out.baseAddress, out.count, frame.baseAddress, frame.count)
    guard size == out.count else {
      throw .corrupt(
        "zstd: \(ZSTD_isError(size) == 0 ? "the frame ends early" : String(cString: ZSTD_getErrorName(size)))")
    }
  }

  /// Compresses a text of many repetitions to one frame that is smaller; `nil` when zstd finds none.
  public static func frame(of text: [UInt8], level: Int) -> [UInt8]? {
    text.withUnsafeBytes { compress($0, level: level) }
  }

  /// Decompresses the one frame that `frame` must consist of into `count` bytes.
  ///
  /// - Throws: `CodecError`: over the limit for a larger window, else corrupt.
  public static func bytes(of frame: [UInt8], count: Int) throws(CodecError) -> [UInt8] {
    var failure: CodecError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      let out = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count])
      failure = frame.withUnsafeBytes { frame in
        do throws(CodecError) {
          try decompress(frame, into: out)
          return nil
        } catch {
          return error
        }
      }
      initialized = failure == nil ? count : 0
    }
    if let failure { throw failure }
    return bytes
  }

  /// The smallest of the frames at a quick level, at one that finds matches, and at the best one; `nil` when none is
  /// smaller than the bytes. The best is slow, and tried where matches saved something.
  ///
  /// - Parameter isBestTried: tried in any case.
  static func smallest(
    _ bytes: UnsafeRawBufferPointer, quick: Int, matches: Int = 3, isBestTried: Bool = false
  ) -> [UInt8]? {
    var best = compress(bytes, level: quick)
    var isWorth = isBestTried
    func tried(_ level: Int) -> Bool {
      guard let frame = compress(bytes, level: level), frame.count < best?.count ?? bytes.count else { return false }
      best = frame
      return true
    }
    if tried(matches) { isWorth = true }
    if isWorth { _ = tried(19) }
    return best
  }

  private static let compressors = Pool { ZSTD_createCCtx() }
  private static let decompressors = Pool { ZSTD_createDCtx() }
}

/// Contexts of zstd that are not in use: making one costs more than a small block. There are never more than the
/// threads that were at work at once.
private final class Pool: Sendable {
  /// A context belongs to whoever took it from the pool.
  struct Context: @unchecked Sendable { let pointer: OpaquePointer }

  private let make: @Sendable () -> OpaquePointer?
  private let idle = Mutex<[Context]>([])

  init(_ make: @escaping @Sendable () -> OpaquePointer?) { self.make = make }

  func take() -> Context {
    if let context = idle.withLock({ $0.popLast() }) { return context }
    guard let pointer = make() else { fatalError("out of memory for a zstd context") }
    return Context(pointer: pointer)
  }

  func put(_ context: Context) { idle.withLock { $0.append(context) } }
}

// MARK: - Blocks

/// Stores a block: as one zstd frame where that is smaller than its bytes, else uncompressed.
///
/// - Parameter standard: the level of zstd that stands for `.standard`.
func store(_ bytes: UnsafeRawBufferPointer, _ level: CompressionLevel, standard: Int) -> [UInt8] {
  let frame: [UInt8]? =
    switch level {
    case .uncompressed: nil
    case .standard: Zstd.compress(bytes, level: standard)
    case .thorough where bytes.count <= RawCodec.smallSize: Zstd.smallest(bytes, quick: standard)
    case .thorough: Zstd.compress(bytes, level: standard)
    case .zstd(let level): Zstd.compress(bytes, level: level)
    }
  return frame ?? [UInt8](bytes)
}

/// Stores a block of codes, gaps, bits or signs: weights chose their order, so that a match is an accident. At
/// `standard`, matches are looked for at one place in a thousand, and noise is left as it is.
func store(symbols: UnsafeRawBufferPointer, _ level: CompressionLevel) -> [UInt8] {
  store(unlessNoise: symbols, level, standard: -1000)
}

func store(symbols: [UInt8], _ level: CompressionLevel) -> [UInt8] {
  symbols.withUnsafeBytes { store(symbols: $0, level) }
}

/// Stores a block of bytes of one significance, of values. At `standard`, matches are not looked for, and noise is left
/// as it is: the highest bytes are often of two kinds, a sign, and the matches that are then found everywhere, even at
/// few places, cost 8 % more than a bit each.
func store(plane: UnsafeRawBufferPointer, _ level: CompressionLevel) -> [UInt8] {
  // The next place is beyond a block of zstd.
  store(unlessNoise: plane, level, standard: -(1 << 17))
}

private func store(unlessNoise bytes: UnsafeRawBufferPointer, _ level: CompressionLevel, standard: Int) -> [UInt8] {
  if level == .standard, let base = bytes.baseAddress, nc_bytes_are_noise(base, bytes.count) { return [UInt8](bytes) }
  return store(bytes, level, standard: standard)
}

/// Throws `CodecError`, corrupt, when a block of a mapped file is compressed.
func checkMapped(_ stored: [UInt8], count: Int) throws(CodecError) {
  if stored.count != count { throw .corrupt("\(stored.count) stored bytes for \(count), in a mapped file") }
}

/// Restores a block of `out.count` bytes, which is uncompressed if and only if it is stored in as many.
func restore(_ stored: [UInt8], into out: UnsafeMutableRawBufferPointer) throws {
  if stored.count == out.count {
    out.copyBytes(from: stored)
  } else if stored.count > out.count {
    throw CodecError.corrupt("\(stored.count) stored bytes for \(out.count) decoded bytes")
  } else {
    try stored.withUnsafeBytes { try Zstd.decompress($0, into: out) }
  }
}

func restore(_ stored: [UInt8], count: Int) throws -> [UInt8] {
  if stored.count == count { return stored }
  return try [UInt8](unsafeUninitializedCapacity: count) { out, initialized in
    try restore(stored, into: UnsafeMutableRawBufferPointer(out))
    initialized = count
  }
}
