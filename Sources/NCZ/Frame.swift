// SPDX-License-Identifier: Apache-2.0

/// The 64 bytes at the front of a file.
struct Header {
  let major: UInt16
  let minor: UInt16
  /// A set bit is a feature without which the file cannot be read; version 0 knows none.
  let requiredFeatures: UInt64

  var bytes: [UInt8] {
    var bytes = Format.signature
    append(major, to: &bytes)
    append(minor, to: &bytes)
    append(UInt32(0), to: &bytes)
    append(requiredFeatures, to: &bytes)
    bytes += [UInt8](repeating: 0, count: Format.headerSize - 4 - bytes.count)
    append(crc32(bytes), to: &bytes)
    return bytes
  }

  init(major: UInt16, minor: UInt16, requiredFeatures: UInt64) {
    self.major = major
    self.minor = minor
    self.requiredFeatures = requiredFeatures
  }

  /// Checks in the order signature, CRC, version, features, zeros: damage is told from a newer version.
  init(_ bytes: [UInt8]) throws(NCZError) {
    guard bytes.count == Format.headerSize, bytes.starts(with: Format.signature) else {
      throw .corrupt(offset: 0, "no .ncz signature")
    }
    let stored: UInt32 = integer(in: bytes, at: 60)
    let computed = crc32([UInt8](bytes[0..<60]))
    guard stored == computed else {
      throw .corrupt(offset: 60, "header CRC-32 \(hex(stored)), computed \(hex(computed))")
    }
    major = integer(in: bytes, at: 8)
    minor = integer(in: bytes, at: 10)
    requiredFeatures = integer(in: bytes, at: 16)
    guard major == Format.majorVersion else {
      throw .unsupported("format version \(major).\(minor); this reader knows \(Format.majorVersion)")
    }
    guard requiredFeatures == 0 else {
      throw .unsupported("required features \(hex(requiredFeatures)); this reader knows none")
    }
    guard bytes[12..<16].allSatisfy({ $0 == 0 }), bytes[24..<60].allSatisfy({ $0 == 0 }) else {
      throw .corrupt(offset: 12, "reserved header bytes are not zero")
    }
  }
}

/// The 64 bytes at the end of a file.
struct Trailer {
  let directoryOffset: Int
  /// Stored bytes of the directory.
  let directorySize: Int
  /// Bytes of which the directory is a frame; 0 where it is stored uncompressed.
  let decodedSize: Int
  let directoryCRC: UInt32
  let fileSize: Int

  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    append(UInt64(directoryOffset), to: &bytes)
    append(UInt64(directorySize), to: &bytes)
    append(UInt64(fileSize), to: &bytes)
    append(directoryCRC, to: &bytes)
    append(UInt64(decodedSize), to: &bytes)
    bytes += [UInt8](repeating: 0, count: 52 - bytes.count)
    append(crc32(bytes), to: &bytes)
    return bytes + Format.endMark
  }

  init(directoryOffset: Int, directorySize: Int, decodedSize: Int = 0, directoryCRC: UInt32, fileSize: Int) {
    self.directoryOffset = directoryOffset
    self.directorySize = directorySize
    self.decodedSize = decodedSize
    self.directoryCRC = directoryCRC
    self.fileSize = fileSize
  }

  /// Reads the last 64 bytes of a file of `size` bytes.
  init(_ bytes: [UInt8], fileSize size: Int) throws(NCZError) {
    let start = size - Format.trailerSize
    guard bytes.count == Format.trailerSize, bytes[56...].elementsEqual(Format.endMark) else {
      throw .corrupt(offset: start, "no trailer at the end: the file was cut short, or bytes follow the trailer")
    }
    let stored: UInt32 = integer(in: bytes, at: 52)
    let computed = crc32([UInt8](bytes[0..<52]))
    guard stored == computed else {
      throw .corrupt(offset: start + 52, "trailer CRC-32 \(hex(stored)), computed \(hex(computed))")
    }
    guard bytes[36..<52].allSatisfy({ $0 == 0 }) else {
      throw .corrupt(offset: start + 36, "reserved trailer bytes are not zero")
    }
    let declared: UInt64 = integer(in: bytes, at: 16)
    guard declared == UInt64(size) else {
      throw .corrupt(
        offset: start + 16,
        "the trailer says the file has \(declared) bytes, it has \(size): bytes were lost, "
          + "bytes follow the trailer, or two files were joined")
    }
    let offset: UInt64 = integer(in: bytes, at: 0)
    let length: UInt64 = integer(in: bytes, at: 8)
    let decoded: UInt64 = integer(in: bytes, at: 28)
    guard max(length, decoded) <= UInt64(Format.maxDirectorySize) else {
      throw .overLimit("a directory of \(max(length, decoded)) bytes, limit \(Format.maxDirectorySize)")
    }
    guard decoded == 0 || decoded > length else {
      throw .corrupt(offset: start + 28, "a directory of \(decoded) bytes in a frame of \(length)")
    }
    // Both are at most the file's size here, so the sum cannot overflow.
    guard offset >= UInt64(Format.headerSize), offset <= UInt64(start), offset % UInt64(Format.alignment) == 0,
      case let end = Int(offset) + Int(length), end + Format.padding(after: end) == start
    else {
      throw .corrupt(
        offset: start, "directory at \(offset) with \(length) bytes does not end at the trailer (\(start))")
    }
    directoryOffset = Int(offset)
    directorySize = Int(length)
    decodedSize = Int(decoded)
    directoryCRC = integer(in: bytes, at: 24)
    fileSize = size
  }
}

func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
  withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
}

/// The little-endian integer at `offset`, which lies inside `bytes`.
func integer<Value: FixedWidthInteger>(in bytes: [UInt8], at offset: Int) -> Value {
  bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
}

func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
