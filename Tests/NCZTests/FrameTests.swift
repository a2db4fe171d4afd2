// SPDX-License-Identifier: Apache-2.0

import JSON
import SystemPackage
import TestSupport
import Testing

@testable import NCZ

@Suite("Header and trailer")
struct FrameTests {
  /// Bytes of `spec/ncz-v1.md` §2.1, the CRC-32 by zlib.
  private let header = bytes(
    hexadecimal: """
      894E435A0D0A1A0A 0000 0100 00000000 0000000000000000
      000000000000000000000000000000000000000000000000000000000000000000000000 4CA85CEB
      """)

  @Test func headerHasTheSpecifiedBytes() throws {
    #expect(Header(major: 0, minor: 1, requiredFeatures: 0).bytes == header)
    let read = try Header(header)
    #expect((read.major, read.minor, read.requiredFeatures) == (0, 1, 0))
  }

  /// `spec/ncz-v1.md` §2.2: directory of 15 bytes at 64, file of 192, `crc32("{\"payloads\":[]}")` = 0x6CCD650A.
  private let trailer = bytes(
    hexadecimal: """
      4000000000000000 0F00000000000000 C000000000000000 0A65CD6C
      000000000000000000000000000000000000000000000000 5CB249A0 0A1A0A0D5A434E89
      """)

  @Test func trailerHasTheSpecifiedBytes() throws {
    let made = Trailer(directoryOffset: 64, directorySize: 15, directoryCRC: 0x6CCD_650A, fileSize: 192)
    #expect(made.bytes == trailer)
    let read = try Trailer(trailer, fileSize: 192)
    #expect((read.directoryOffset, read.directorySize, read.directoryCRC) == (64, 15, 0x6CCD_650A))
  }

  @Test func emptyFileHasTheSpecifiedBytes() throws {
    let file = try OpenFile()
    let size = try file.with { file, _ in try Writer(to: file).finish(content: .object([])) }
    #expect(size == 192)
    #expect(try file.bytes == header + Array("{\"payloads\":[]}".utf8) + [UInt8](repeating: 0, count: 49) + trailer)
  }

  /// zlib's value for the nine digits, and its identity for nothing.
  @Test func crc32IsThatOfZlib() {
    #expect(crc32(Array("123456789".utf8)) == 0xCBF4_3926)
    #expect(crc32([]) == 0)
    let (front, back) = (Array("1234".utf8), Array("56789".utf8))
    #expect(back.withUnsafeBytes { crc32($0, continuing: crc32(front)) } == 0xCBF4_3926)
  }

  // MARK: Order of checks

  /// Each check of §2.1 breaks one more thing, checked before those broken already.
  @Test func headerIsCheckedInOrder() {
    var bytes = header
    func sealed() -> [UInt8] { withCRC(bytes, of: 0..<60, at: 60) }
    bytes[59] = 1
    #expect(fault { _ = try Header(sealed()) } == "corrupt 12: reserved")
    bytes[21] = 1
    #expect(fault { _ = try Header(sealed()) } == "unsupported: required")
    bytes[8] = 7
    #expect(fault { _ = try Header(sealed()) } == "unsupported: format")
    bytes[60] = 0
    #expect(fault { _ = try Header(bytes) } == "corrupt 60: header")
    bytes[0] = 0
    #expect(fault { _ = try Header(bytes) } == "corrupt 0: no")
  }

  @Test func everyMinorVersionIsRead() throws {
    for minor in [UInt16.min, 2, .max] {
      #expect(try Header(Header(major: 0, minor: minor, requiredFeatures: 0).bytes).minor == minor)
    }
  }

  @Test(arguments: 0..<64) func everyRequiredFeatureIsUnsupported(bit: UInt64) {
    let bytes = Header(major: 0, minor: 1, requiredFeatures: 1 << bit).bytes
    #expect(fault { _ = try Header(bytes) } == "unsupported: required")
  }

  @Test func trailerIsCheckedInOrder() {
    var bytes = trailer
    func sealed() -> [UInt8] { withCRC(bytes, of: 0..<52, at: 52) }
    bytes[0] = 0x41
    #expect(fault { _ = try Trailer(sealed(), fileSize: 192) } == "corrupt 128: directory")
    bytes[13] = 1
    #expect(fault { _ = try Trailer(sealed(), fileSize: 192) } == "over limit: a")
    bytes[16] = 0
    #expect(fault { _ = try Trailer(sealed(), fileSize: 192) } == "corrupt 144: the")
    bytes[40] = 1
    #expect(fault { _ = try Trailer(sealed(), fileSize: 192) } == "corrupt 164: reserved")
    bytes[52] ^= 1
    #expect(fault { _ = try Trailer(bytes, fileSize: 192) } == "corrupt 180: trailer")
    bytes[63] = 0
    #expect(fault { _ = try Trailer(bytes, fileSize: 192) } == "corrupt 128: no")
  }

  /// A frame is smaller than what it holds, which is at most 256 MiB.
  @Test(
    arguments: [
      (1, "corrupt 156: a"), (15, "corrupt 156: a"), (16, ""), (256 << 20, ""), (256 << 20 + 1, "over limit: a"),
      (.max, "over limit: a"),
    ] as [(UInt64, String)])
  func decodedSizeIsMoreThanIsStored(decoded: UInt64, expected: String) throws {
    var bytes = Array(trailer[..<28])
    append(decoded, to: &bytes)
    let sealed = withCRC(bytes + trailer[36...], of: 0..<52, at: 52)
    if expected.isEmpty {
      #expect(try Trailer(sealed, fileSize: 192).decodedSize == Int(decoded))
    } else {
      #expect(fault { _ = try Trailer(sealed, fileSize: 192) } == expected)
    }
  }

  /// Offsets and sizes of 64 bits, none of which may trap.
  @Test(
    arguments: [
      (0, 15), (63, 15), (64, 65), (64, 0), (192, 15), (.max, 1), (UInt64(Int.max) - 63, 64), (1 << 63, 15),
    ] as [(UInt64, UInt64)])
  func directoryMustEndAtTheTrailer(offset: UInt64, size: UInt64) {
    var bytes: [UInt8] = []
    append(offset, to: &bytes)
    append(size, to: &bytes)
    bytes = withCRC(bytes + trailer[16...], of: 0..<52, at: 52)
    #expect(fault { _ = try Trailer(bytes, fileSize: 192) } == "corrupt 128: directory")
  }

  // MARK: Padding

  @Test func paddingReachesTheNextBoundary() {
    for offset in 0..<300 {
      let padding = Format.padding(after: offset)
      #expect((0..<64).contains(padding) && (offset + padding) % 64 == 0)
    }
  }
}

/// The bytes with the CRC-32 of `range` at `offset`.
func withCRC(_ bytes: [UInt8], of range: Range<Int>, at offset: Int) -> [UInt8] {
  var crc: [UInt8] = []
  append(crc32(Array(bytes[range])), to: &crc)
  var bytes = bytes
  bytes.replaceSubrange(offset..<(offset + 4), with: crc)
  return bytes
}

/// The verdict, the offset and the first word of the sentence of what `work` throws.
func fault(_ work: () throws -> Void) -> String? {
  func word(_ text: String) -> String { String(text.prefix { $0 != " " }) }
  do {
    try work()
    return nil
  } catch let error as NCZError {
    return switch error {
    case .corrupt(let offset, let what): "corrupt \(offset): \(word(what))"
    case .unsupported(let what): "unsupported: \(word(what))"
    case .overLimit(let what): "over limit: \(word(what))"
    case .io(let errno): "io: \(errno)"
    case .output(let errno): "output: \(errno)"
    }
  } catch {
    return "\(error)"
  }
}
