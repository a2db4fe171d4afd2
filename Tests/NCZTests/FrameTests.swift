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
    hexadecimal: "894E435A0D0A1A0A 0000 0200 0000000000000000 0000000000000000 22DE31CE")

  @Test func headerHasTheSpecifiedBytes() throws {
    #expect(Header(major: 0, minor: 2, requiredFeatures: 0).bytes == header)
    let read = try Header(header)
    #expect((read.major, read.minor, read.requiredFeatures) == (0, 2, 0))
  }

  /// `spec/ncz-v1.md` §2.2: directory of 15 bytes at 32, file of 79, `crc32("{\"payloads\":[]}")` = 0x6CCD650A.
  private let trailer = bytes(
    hexadecimal: "4F00000000000000 0F000000 00000000 0A65CD6C 14B9D72F 0A1A0A0D5A434E89")

  @Test func trailerHasTheSpecifiedBytes() throws {
    let made = Trailer(directorySize: 15, directoryCRC: 0x6CCD_650A, fileSize: 79)
    #expect(made.bytes == trailer)
    let read = try Trailer(trailer, fileSize: 79)
    #expect((read.directoryOffset, read.directorySize, read.decodedSize, read.directoryCRC) == (32, 15, 0, 0x6CCD_650A))
  }

  @Test func emptyFileHasTheSpecifiedBytes() throws {
    let file = try OpenFile()
    let size = try file.with { file, _ in try Writer(to: file).finish(content: .object([])) }
    #expect(size == 79)
    #expect(try file.bytes == header + Array("{\"payloads\":[]}".utf8) + trailer)
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
    func sealed() -> [UInt8] { withCRC(bytes, of: 0..<28, at: 28) }
    bytes[27] = 1
    #expect(fault { _ = try Header(sealed()) } == "corrupt 20: reserved")
    bytes[19] = 1
    #expect(fault { _ = try Header(sealed()) } == "unsupported: required")
    bytes[8] = 7
    #expect(fault { _ = try Header(sealed()) } == "unsupported: format")
    bytes[28] = 0
    #expect(fault { _ = try Header(bytes) } == "corrupt 28: header")
    bytes[0] = 0
    #expect(fault { _ = try Header(bytes) } == "corrupt 0: no")
  }

  /// A draft promises nothing to the next one.
  @Test(arguments: [(0, 0), (0, 1), (0, 3), (0, .max), (1, 0), (1, 2), (2, 0), (.max, 2)] as [(UInt16, UInt16)])
  func everyOtherVersionIsUnsupported(major: UInt16, minor: UInt16) {
    let error = NCZError.unsupported("format version \(major).\(minor); this reader knows 0.2")
    #expect(throws: error) { try Header(Header(major: major, minor: minor, requiredFeatures: 0).bytes) }
  }

  /// The header of version 0.1 had 64 bytes, and its CRC-32 elsewhere: it is told from damage all the same.
  @Test func theFirstDraftIsUnsupported() throws {
    let file = bytes(hexadecimal: "894E435A0D0A1A0A 0000 0100") + [UInt8](repeating: 0, count: 180)
    #expect(throws: NCZError.unsupported("format version 0.1; this reader knows 0.2")) {
      try OpenFile(file).with { try Reader($0, size: $1) }
    }
  }

  @Test(arguments: 0..<64) func everyRequiredFeatureIsUnsupported(bit: UInt64) {
    let bytes = Header(major: 0, minor: 2, requiredFeatures: 1 << bit).bytes
    #expect(fault { _ = try Header(bytes) } == "unsupported: required")
  }

  @Test func trailerIsCheckedInOrder() {
    var bytes = trailer
    func sealed() -> [UInt8] { withCRC(bytes, of: 0..<20, at: 20) }
    bytes[8] = 16
    #expect(fault { _ = try Trailer(sealed(), fileSize: 79) } == "corrupt 55: a")
    bytes[12] = 1
    #expect(fault { _ = try Trailer(sealed(), fileSize: 79) } == "corrupt 59: a")
    bytes[15] = 0x20
    #expect(fault { _ = try Trailer(sealed(), fileSize: 79) } == "over limit: a")
    bytes[0] = 0
    #expect(fault { _ = try Trailer(sealed(), fileSize: 79) } == "corrupt 47: the")
    bytes[20] ^= 1
    #expect(fault { _ = try Trailer(bytes, fileSize: 79) } == "corrupt 67: trailer")
    bytes[31] = 0
    #expect(fault { _ = try Trailer(bytes, fileSize: 79) } == "corrupt 47: no")
  }

  /// A frame is smaller than what it holds, which is at most 256 MiB.
  @Test(
    arguments: [
      (1, "corrupt 59: a"), (15, "corrupt 59: a"), (16, ""), (256 << 20, ""), (256 << 20 + 1, "over limit: a"),
      (.max, "over limit: a"),
    ] as [(UInt32, String)])
  func decodedSizeIsMoreThanIsStored(decoded: UInt32, expected: String) throws {
    let sealed = sealed(directorySize: 15, decodedSize: decoded, fileSize: 79)
    if expected.isEmpty {
      #expect(try Trailer(sealed, fileSize: 79).decodedSize == Int(decoded))
    } else {
      #expect(fault { _ = try Trailer(sealed, fileSize: 79) } == expected)
    }
  }

  /// A directory starts at 32 or later, and has at most 256 MiB.
  @Test(
    arguments: [
      (15, ""), (16, "corrupt 55: a"), (47, "corrupt 55: a"), (79, "corrupt 55: a"), (256 << 20, "corrupt 55: a"),
      (256 << 20 + 1, "over limit: a"), (.max, "over limit: a"),
    ] as [(UInt32, String)])
  func directoryLiesAfterTheHeader(size: UInt32, expected: String) throws {
    let sealed = sealed(directorySize: size, decodedSize: 0, fileSize: 79)
    if expected.isEmpty {
      #expect(try Trailer(sealed, fileSize: 79).directoryOffset == 32)
    } else {
      #expect(fault { _ = try Trailer(sealed, fileSize: 79) } == expected)
    }
  }

  /// A size of 64 bits, which may not trap.
  @Test(arguments: [0, 78, 80, 1 << 32 + 79, 1 << 63 + 79, .max] as [UInt64])
  func theFileHasTheSizeThatItsTrailerSays(size: UInt64) {
    let sealed = sealed(directorySize: 15, decodedSize: 0, fileSize: size)
    #expect(fault { _ = try Trailer(sealed, fileSize: 79) } == "corrupt 47: the")
  }

  private func sealed(directorySize: UInt32, decodedSize: UInt32, fileSize: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    append(fileSize, to: &bytes)
    append(directorySize, to: &bytes)
    append(decodedSize, to: &bytes)
    return withCRC(bytes + trailer[16...], of: 0..<20, at: 20)
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
