public import JSON
public import SystemPackage

/// Writes a `.ncz` file front to back, so that the output may be a pipe.
public struct Writer: ~Copyable {
  private let file: FileDescriptor
  private var offset = 0
  private var payloads: [Payload] = []
  private var open: Payload?

  /// Writes the header.
  public init(to file: FileDescriptor) throws(NCZError) {
    self.file = file
    try write(Header(major: Format.majorVersion, minor: Format.minorVersion, requiredFeatures: 0).bytes)
  }

  /// Bytes written so far.
  public var byteCount: Int { offset }

  /// Begins a payload and returns its number; blocks follow.
  public mutating func beginPayload() throws(NCZError) -> Int {
    try endPayload()
    try write([UInt8](repeating: 0, count: Format.padding(after: offset)))
    open = Payload(offset: offset, blocks: [])
    return payloads.count
  }

  /// Appends a block of at most 2²⁰ bytes to the payload begun last.
  public mutating func append(block: [UInt8]) throws(NCZError) {
    try append(block: block, crc: crc32(block))
  }

  /// As `append(block:)` where the CRC-32 is known already.
  public mutating func append(block: [UInt8], crc: UInt32) throws(NCZError) {
    guard block.count <= Format.blockLimit else {
      throw .overLimit("a block of \(block.count) bytes, limit \(Format.blockLimit)")
    }
    open?.blocks.append(Payload.Block(size: block.count, crc: crc))
    try write(block)
  }

  /// Writes the directory and the trailer, and returns the bytes of the whole file. `content` is an object without the
  /// key `payloads`.
  public consuming func finish(content: JSON) throws(NCZError) -> Int {
    try endPayload()
    try write([UInt8](repeating: 0, count: Format.padding(after: offset)))
    let members = (content.members ?? []) + [.init("payloads", .array(payloads.map(\.json)))]
    let directory = JSON.object(members).canonical().serialized()
    guard directory.count <= Format.directoryLimit else {
      throw .overLimit("a directory of \(directory.count) bytes, limit \(Format.directoryLimit)")
    }
    let directoryOffset = offset
    try write(directory)
    try write([UInt8](repeating: 0, count: Format.padding(after: offset)))
    try write(
      Trailer(
        directoryOffset: directoryOffset, directorySize: directory.count, directoryCRC: crc32(directory),
        fileSize: offset + Format.trailerSize
      ).bytes)
    return offset
  }

  private mutating func endPayload() throws(NCZError) {
    if let payload = open { payloads.append(payload) }
    open = nil
  }

  private mutating func write(_ bytes: [UInt8]) throws(NCZError) {
    do {
      _ = try bytes.withUnsafeBytes { try file.writeAll($0) }
    } catch let error as Errno {
      throw .output(error)
    } catch {
      throw .output(.ioError)
    }
    offset += bytes.count
  }
}
