// SPDX-License-Identifier: Apache-2.0

public import JSON
public import SystemPackage

/// Writes a `.ncz` file front to back, so that the output may be a pipe.
public struct Writer: ~Copyable {
  private let file: FileDescriptor
  private let mirror: FileDescriptor?
  private let codec: DirectoryCodec?
  private let isMapped: Bool
  /// Whether what is written now is also written to the mirror.
  private var isMirrored = true
  private var offset = 0
  /// What comes before `offset` and is not written yet: small payloads share a system call.
  private var pending: [UInt8] = []
  private var payloads: [Payload] = []
  private var open: Payload?

  /// Writes the header.
  ///
  /// - Parameters:
  ///   - mirror: an empty file, for an output that cannot be read back: all but the payloads that need not be read to
  ///     check it is written there too, at the same offsets.
  ///   - codec: makes the directory smaller; without one it is stored uncompressed.
  ///   - isMapped: whether every payload starts at a multiple of 64.
  public init(
    to file: FileDescriptor, mirror: FileDescriptor? = nil, codec: DirectoryCodec? = nil, isMapped: Bool = false
  ) throws(NCZError) {
    self.isMapped = isMapped
    self.file = file
    self.mirror = mirror
    self.codec = codec
    try write(Header(major: Format.majorVersion, minor: Format.minorVersion, requiredFeatures: 0).bytes)
  }

  /// Bytes written so far.
  public var byteCount: Int { offset }

  /// Begins a payload and returns its number; blocks follow.
  ///
  /// - Parameter isMirrored: whether it must be read to check the output.
  public mutating func beginPayload(isMirrored: Bool = false) throws(NCZError) -> Int {
    try endPayload()
    if isMapped { try write([UInt8](repeating: 0, count: Format.padding(after: offset))) }
    self.isMirrored = isMirrored
    open = Payload(offset: offset, blocks: [])
    return payloads.count
  }

  /// Appends a block of at most 2²⁰ bytes to the payload begun last.
  public mutating func append(block: [UInt8]) throws(NCZError) {
    try append(block: block, crc: crc32(block))
  }

  /// As `append(block:)` where the CRC-32 is known already.
  public mutating func append(block: [UInt8], crc: UInt32) throws(NCZError) {
    guard block.count <= Format.maxBlockSize else {
      throw .overLimit("a block of \(block.count) bytes, limit \(Format.maxBlockSize)")
    }
    open?.blocks.append(Payload.Block(size: block.count, crc: crc))
    try write(block)
  }

  /// The payload of this number, which is finished.
  public subscript(payload: Int) -> Payload { payload < payloads.count ? payloads[payload] : open ?? payloads[payload] }

  /// Counts a block of the payload begun last without writing it: where only the size matters.
  public mutating func count(_ block: Payload.Block) {
    open?.blocks.append(block)
    offset += block.size
  }

  /// Counts a payload like another without writing it, and returns its number.
  public mutating func count(payloadLike other: Payload) throws(NCZError) -> Int {
    let number = try beginPayload()
    for block in other.blocks { count(block) }
    return number
  }

  /// Writes the directory and the trailer, and returns the bytes of the whole file.
  ///
  /// - Parameters:
  ///   - content: an object without the keys `payloads` and `mapped`.
  ///   - check: is called with a file that reads like the output, and its size: the output itself, or the mirror before
  ///     the output has got directory and trailer. When it throws, such an output stays cut short, and every reader
  ///     says so.
  public consuming func finish(content: JSONValue, check: (FileDescriptor, Int) throws -> Void = { _, _ in }) throws
    -> Int
  {
    try endPayload()
    try writePending()
    let members =
      (content.members ?? []) + [.init("payloads", .array(payloads.map(\.json)))]
      + (isMapped ? [.init("mapped", .bool(true))] : [])
    let text = JSONValue.object(members).canonical().serialized()
    guard text.count <= Format.maxDirectorySize else {
      throw NCZError.overLimit("a directory of \(text.count) bytes, limit \(Format.maxDirectorySize)")
    }
    let frame = codec?.compress(text)
    let directory = frame ?? text
    let size = offset + directory.count + Format.trailerSize
    let trailer = Trailer(
      directorySize: directory.count, decodedSize: frame == nil ? 0 : text.count, directoryCRC: crc32(directory),
      fileSize: size)
    let end = directory + trailer.bytes
    if let mirror {
      try write(end, to: mirror, at: offset)
      try check(mirror, size)
      try write(end, to: file)
    } else {
      try write(end, to: file)
      try check(file, size)
    }
    return size
  }

  private mutating func endPayload() throws(NCZError) {
    if let payload = open { payloads.append(payload) }
    open = nil
    isMirrored = true
  }

  private mutating func write(_ bytes: [UInt8]) throws(NCZError) {
    if bytes.count < Self.small {
      pending += bytes
      if pending.count >= Self.small { try writePending() }
    } else {
      try writePending()
      try write(bytes, to: file)
    }
    if let mirror, isMirrored { try write(bytes, to: mirror, at: offset) }
    offset += bytes.count
  }

  private static let small = 1 << 16

  private mutating func writePending() throws(NCZError) {
    try write(pending, to: file)
    pending.removeAll(keepingCapacity: true)
  }

  private func write(_ bytes: [UInt8], to file: FileDescriptor, at offset: Int? = nil) throws(NCZError) {
    do {
      if let offset {
        try file.writeAll(toAbsoluteOffset: Int64(offset), bytes)
      } else {
        try bytes.withUnsafeBytes { _ = try file.writeAll($0) }
      }
    } catch {
      throw .output(error as? Errno ?? .ioError)
    }
  }
}
