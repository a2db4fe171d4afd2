// SPDX-License-Identifier: Apache-2.0

/// The 32 bytes at the front of a file.
struct Header {
  let major: UInt16
  let minor: UInt16
  /// A set bit is a feature without which the file cannot be read; version 0 knows none.
  let requiredFeatures: UInt64

  var bytes: [UInt8] {
    var bytes = Format.signature
    append(major, to: &bytes)
    append(minor, to: &bytes)
    append(requiredFeatures, to: &bytes)
    append(UInt64(0), to: &bytes)
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
    let (stored, computed): (UInt32, UInt32) = (integer(in: bytes, at: 28), crc32([UInt8](bytes[..<28])))
    major = integer(in: bytes, at: 8)
    minor = integer(in: bytes, at: 10)
    guard stored == computed else {
      // The first draft had 64 bytes, and no CRC-32 here.
      if (major, minor) == (0, 1) { throw .unsupported(Self.otherVersion(major, minor)) }
      throw .corrupt(offset: 28, "header CRC-32 \(hex(stored)), computed \(hex(computed))")
    }
    requiredFeatures = integer(in: bytes, at: 12)
    // A draft promises nothing to the next one.
    guard (major, minor) == (Format.majorVersion, Format.minorVersion) else {
      throw .unsupported(Self.otherVersion(major, minor))
    }
    guard requiredFeatures == 0 else {
      throw .unsupported("required features \(hex(requiredFeatures)); this reader knows none")
    }
    guard bytes[20..<28].allSatisfy({ $0 == 0 }) else {
      throw .corrupt(offset: 20, "reserved header bytes are not zero")
    }
  }

  private static func otherVersion(_ major: UInt16, _ minor: UInt16) -> String {
    "format version \(major).\(minor); this reader knows \(Format.majorVersion).\(Format.minorVersion)"
  }
}

/// The 32 bytes at the end of a file.
struct Trailer {
  let fileSize: Int
  /// Stored bytes of the directory.
  let directorySize: Int
  /// Bytes of which the directory is a frame; 0 where it is stored uncompressed.
  let decodedSize: Int
  let directoryCRC: UInt32

  var directoryOffset: Int { fileSize - Format.trailerSize - directorySize }

  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    append(UInt64(fileSize), to: &bytes)
    append(UInt32(directorySize), to: &bytes)
    append(UInt32(decodedSize), to: &bytes)
    append(directoryCRC, to: &bytes)
    append(crc32(bytes), to: &bytes)
    return bytes + Format.endMark
  }

  init(directorySize: Int, decodedSize: Int = 0, directoryCRC: UInt32, fileSize: Int) {
    self.directorySize = directorySize
    self.decodedSize = decodedSize
    self.directoryCRC = directoryCRC
    self.fileSize = fileSize
  }

  /// Reads the last 32 bytes of a file of `size` bytes.
  init(_ bytes: [UInt8], fileSize size: Int) throws(NCZError) {
    let start = size - Format.trailerSize
    guard bytes.count == Format.trailerSize, bytes[24...].elementsEqual(Format.endMark) else {
      throw .corrupt(offset: start, "no trailer at the end: the file was cut short, or bytes follow the trailer")
    }
    let (stored, computed): (UInt32, UInt32) = (integer(in: bytes, at: 20), crc32([UInt8](bytes[..<20])))
    guard stored == computed else {
      throw .corrupt(offset: start + 20, "trailer CRC-32 \(hex(stored)), computed \(hex(computed))")
    }
    let declared: UInt64 = integer(in: bytes, at: 0)
    guard declared == UInt64(size) else {
      throw .corrupt(
        offset: start,
        "the trailer says the file has \(declared) bytes, it has \(size): bytes were lost, "
          + "bytes follow the trailer, or two files were joined")
    }
    let length: UInt32 = integer(in: bytes, at: 8)
    let decoded: UInt32 = integer(in: bytes, at: 12)
    guard max(length, decoded) <= UInt32(Format.maxDirectorySize) else {
      throw .overLimit("a directory of \(max(length, decoded)) bytes, limit \(Format.maxDirectorySize)")
    }
    guard decoded == 0 || decoded > length else {
      throw .corrupt(offset: start + 12, "a directory of \(decoded) bytes in a frame of \(length)")
    }
    guard Int(length) <= start - Format.headerSize else {
      throw .corrupt(offset: start + 8, "a directory of \(length) bytes before the trailer at \(start)")
    }
    directorySize = Int(length)
    decodedSize = Int(decoded)
    directoryCRC = integer(in: bytes, at: 16)
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
