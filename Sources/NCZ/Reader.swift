// SPDX-License-Identifier: Apache-2.0

public import JSON
public import SystemPackage

/// An open `.ncz` file: header, trailer and directory were read and checked; payloads are read on demand.
public struct Reader: Sendable {
  private let file: FileDescriptor
  /// Bytes of the file.
  public let fileSize: Int
  /// Where the directory lies.
  public let directoryOffset: Int
  /// Stored bytes of the directory.
  public let directorySize: Int
  /// Major and minor version found.
  public let version: (major: Int, minor: Int)
  /// Whether every payload starts at a multiple of 64.
  public let isMapped: Bool
  /// Every payload, in file order.
  public let payloads: [Payload]
  /// The directory's other members.
  public let content: JSONValue

  /// Opens a seekable file of `size` bytes.
  ///
  /// - Parameter codec: decodes a directory that is a frame; without one, such a file is not supported.
  ///
  /// Checks, in this order: size, signature, header CRC, version, required features, reserved bytes; end mark,
  /// trailer CRC, file size, directory sizes; directory CRC, frame, canonical form, and that header, payloads,
  /// directory and trailer follow one another without a gap.
  public init(_ file: FileDescriptor, size: Int, codec: DirectoryCodec? = nil) throws(NCZError) {
    guard size >= Format.minFileSize else {
      // Too short to be whole; say whether it is one of ours at all.
      _ = try Header(read(file, at: 0, count: min(size, Format.headerSize)))
      throw .corrupt(offset: size, "the file was cut short: \(size) bytes")
    }
    let header = try Header(read(file, at: 0, count: Format.headerSize))
    let trailer = try Trailer(
      read(file, at: size - Format.trailerSize, count: Format.trailerSize), fileSize: size)
    let start = trailer.directoryOffset
    var bytes = try read(file, at: start, count: trailer.directorySize)
    let computed = crc32(bytes)
    guard trailer.directoryCRC == computed else {
      throw .corrupt(offset: start, "directory CRC-32 \(hex(trailer.directoryCRC)), computed \(hex(computed))")
    }
    if trailer.decodedSize > 0 {
      guard let codec else { throw .unsupported("a directory in a zstd frame") }
      do throws(NCZError) {
        bytes = try codec.decompress(bytes, trailer.decodedSize)
      } catch {
        guard case .corrupt(_, let what) = error else { throw error }
        throw .corrupt(offset: start, "directory: \(what)")
      }
    }
    let directory: JSONValue
    do {
      directory = try JSONValue.parseCanonical(
        bytes, limits: JSONValue.Limits(bytes: Format.maxDirectorySize, depth: 64, values: Format.maxValues))
    } catch {
      throw error.reason == .overLimit
        ? .overLimit("directory: \(error)") : .corrupt(offset: start, "directory: \(error)")
    }
    guard let members = directory.members, let list = directory["payloads"]?.array else {
      throw .corrupt(offset: start, "directory: expected an object with the key payloads")
    }
    guard directory["features"] == nil else {
      throw .corrupt(offset: start, "directory: features that the header does not have")
    }
    let mapped = directory["mapped"]
    guard mapped == nil || mapped == .bool(true) else {
      throw .corrupt(offset: start, "directory: mapped: expected true or nothing")
    }
    isMapped = mapped != nil
    var payloads: [Payload] = []
    payloads.reserveCapacity(list.count)
    var next = Format.headerSize
    for (index, json) in list.enumerated() {
      if isMapped { next += Format.padding(after: next) }
      guard let payload = Payload(json, offset: next) else {
        throw .corrupt(
          offset: start, "directory: payload \(index): expected size 0…\(Format.maxBlockSize) and CRC-32 of each block")
      }
      payloads.append(payload)
      next += payload.size
      guard next <= start else { throw .corrupt(offset: start, "directory: payload \(index) runs into the directory") }
    }
    guard next == start else {
      throw .corrupt(offset: next, "\(start - next) bytes before the directory belong to nothing")
    }
    self.file = file
    fileSize = size
    directoryOffset = start
    directorySize = trailer.directorySize
    version = (Int(header.major), Int(header.minor))
    self.payloads = payloads
    content = .object(members.filter { $0.key != "payloads" && $0.key != "mapped" })
  }

  /// Opens blocks of one payload for reading.
  public func blocks(of payload: Int) -> Blocks { Blocks(file: file, payload: payloads[payload]) }

  /// Checks the CRC-32 of every block.
  public func checkBlocks() throws(NCZError) {
    // One buffer for all: fresh memory would cost more than the check.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Format.maxBlockSize, alignment: 64)
    defer { buffer.deallocate() }
    for payload in payloads {
      var offset = payload.offset
      for block in payload.blocks {
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<block.size])
        try read(file, at: offset, into: bytes)
        try block.check(crc32(UnsafeRawBufferPointer(bytes)), at: offset)
        offset += block.size
      }
    }
  }

  /// Checks that the bytes between payloads, which only a mapped file has, are zero.
  public func checkPadding() throws(NCZError) {
    var end = Format.headerSize
    for payload in payloads {
      let padding = try read(file, at: end, count: payload.offset - end)
      guard padding.allSatisfy({ $0 == 0 }) else {
        throw .corrupt(offset: end, "padding before a payload is not zero")
      }
      end = payload.offset + payload.size
    }
  }
}

/// The blocks of one payload, read and checked one by one.
public struct Blocks: Sendable {
  private let file: FileDescriptor
  private let payload: Payload
  private let offsets: [Int]

  init(file: FileDescriptor, payload: Payload) {
    self.file = file
    self.payload = payload
    var offset = payload.offset
    offsets = payload.blocks.map { block in
      defer { offset += block.size }
      return offset
    }
  }

  public var count: Int { offsets.count }

  /// Stored bytes of block `index`.
  public func size(_ index: Int) -> Int { payload.blocks[index].size }

  /// CRC-32 of block `index`, as the directory has it.
  public func crc(_ index: Int) -> UInt32 { payload.blocks[index].crc }

  /// Reads block `index` and checks its CRC-32.
  public func bytes(_ index: Int) throws(NCZError) -> [UInt8] {
    let block = payload.blocks[index]
    let bytes = try read(file, at: offsets[index], count: block.size)
    try block.check(crc32(bytes), at: offsets[index])
    return bytes
  }
}

extension Payload.Block {
  /// Compares the CRC-32 of the bytes at `offset` with that in the directory.
  fileprivate func check(_ computed: UInt32, at offset: Int) throws(NCZError) {
    guard computed == crc else {
      throw .corrupt(offset: offset, "block CRC-32 \(hex(crc)), computed \(hex(computed))")
    }
  }
}

/// Exactly `count` bytes at `offset`.
func read(_ file: FileDescriptor, at offset: Int, count: Int) throws(NCZError) -> [UInt8] {
  var failure: NCZError?
  let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
    do throws(NCZError) {
      try read(
        file, at: offset, into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count])
      )
      initialized = count
    } catch {
      failure = error
    }
  }
  if let failure { throw failure }
  return bytes
}

/// As many bytes at `offset` as `bytes` has room for.
private func read(
  _ file: FileDescriptor, at offset: Int, into bytes: UnsafeMutableRawBufferPointer
) throws(NCZError) {
  var done = 0
  do {
    while done < bytes.count {
      let got = try file.read(
        fromAbsoluteOffset: Int64(offset + done), into: UnsafeMutableRawBufferPointer(rebasing: bytes[done...]))
      if got == 0 { break }
      done += got
    }
  } catch {
    throw .io(error as? Errno ?? .ioError)
  }
  guard done == bytes.count else {
    throw .corrupt(offset: offset + done, "the file ends here: it was cut while being read")
  }
}
