// SPDX-License-Identifier: Apache-2.0

internal import CLoops

/// The numbers of the file format (`spec/ncz-v1.md`).
public enum Format {
  /// First eight bytes: high bit, name, CR LF, ^Z, LF, so that text-mode damage shows.
  static let signature: [UInt8] = [0x89, 0x4E, 0x43, 0x5A, 0x0D, 0x0A, 0x1A, 0x0A]
  /// Last eight bytes: the signature backwards.
  static let endMark: [UInt8] = signature.reversed()

  public static let majorVersion: UInt16 = 0
  public static let minorVersion: UInt16 = 2

  static let headerSize = 32
  static let trailerSize = 32
  /// The smallest file has a directory of two bytes.
  static let minFileSize = headerSize + 2 + trailerSize
  /// Where payloads start in a mapped file: at multiples of this.
  static let alignment = 64

  /// Maximum bytes of one stored block.
  public static let maxBlockSize = 1 << 20
  /// Maximum bytes of a directory.
  static let maxDirectorySize = 256 << 20

  /// Maximum values of a directory: a tensor takes about 40.
  static let maxValues = 16 << 20

  /// Zero bytes between `offset` and the next boundary.
  static func padding(after offset: Int) -> Int { (alignment - offset % alignment) % alignment }
}

/// The compression of a directory, which this module leaves to others.
public struct DirectoryCodec: Sendable {
  /// One zstd frame that is smaller than the bytes; `nil` where there is none.
  let compress: @Sendable ([UInt8]) -> [UInt8]?
  /// The bytes, so many, that a frame must hold.
  let decompress: @Sendable (_ frame: [UInt8], _ count: Int) throws(NCZError) -> [UInt8]

  public init(
    compress: @escaping @Sendable ([UInt8]) -> [UInt8]?,
    decompress: @escaping @Sendable (_ frame: [UInt8], _ count: Int) throws(NCZError) -> [UInt8]
  ) {
    self.compress = compress
    self.decompress = decompress
  }
}

/// CRC-32 as in zlib, PNG and zip (polynomial 0xEDB88320, reflected, inverted before and after).
public func crc32(_ bytes: UnsafeRawBufferPointer, continuing crc: UInt32 = 0) -> UInt32 {
  guard let base = bytes.baseAddress else { return crc }
  return nc_crc32(crc, base, bytes.count)
}

/// CRC-32 of an array of bytes.
public func crc32(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { crc32($0) } }
