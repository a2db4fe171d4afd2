// SPDX-License-Identifier: Apache-2.0

import NCZ
import TestSupport
import Testing

@testable import Networks

@Suite("Keras archives")
struct KerasArchiveTests {
  /// A zip archive as APPNOTE.TXT 4.3 has it, with what is wrong about it.
  struct Archive {
    struct Member {
      var name: String
      var bytes: [UInt8]
      var flags: UInt16 = 0
      var method: UInt16 = 0
      /// Of the descriptor after the bytes, when bit 3 of the flags says that there is one.
      var descriptorSignature: [UInt8] = [0x50, 0x4B, 7, 8]
      /// What the local header has otherwise than the central directory.
      var localName: String?
      var localFlags: UInt16?
      var localCRC: UInt32?
    }
    var members: [Member]
    var comment: [UInt8] = []
    /// Of a zip64 archive, before the end record.
    var locator: [UInt8] = []

    var bytes: [UInt8] {
      var (file, directory): ([UInt8], [UInt8]) = ([], [])
      for member in members {
        let crc = little(crc32(member.bytes), 4)
        let isLate = member.flags & 8 != 0
        func common(_ flags: UInt16) -> [UInt8] { little(flags, 2) + little(member.method, 2) + [0, 0, 0x21, 0] }
        let sizes = little(UInt32(member.bytes.count), 4) + little(UInt32(member.bytes.count), 4)
        let name = little(UInt16(member.name.utf8.count), 2)
        let zeros = [UInt8](repeating: 0, count: 12)
        directory += [0x50, 0x4B, 1, 2, 20, 0, 20, 0] + common(member.flags) + crc + sizes + name + zeros.prefix(12)
        directory += little(UInt32(file.count), 4) + Array(member.name.utf8)
        let localCRC = member.localCRC.map { little($0, 4) } ?? crc
        file += [0x50, 0x4B, 3, 4, 20, 0] + common(member.localFlags ?? member.flags)
        file += (isLate ? zeros : localCRC + sizes) + name + [0, 0]
        file += Array((member.localName ?? member.name).utf8) + member.bytes
        if isLate { file += member.descriptorSignature + localCRC + sizes }
      }
      let end =
        locator + [0x50, 0x4B, 5, 6, 0, 0, 0, 0] + little(UInt16(members.count), 2) + little(UInt16(members.count), 2)
        + little(UInt32(directory.count), 4) + little(UInt32(file.count), 4) + little(UInt16(comment.count), 2)
      return file + directory + end + comment
    }

    private func little(_ value: some FixedWidthInteger, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
  }

  /// PyTorch writes zip64 archives of any size: the message says what they are, not that they are large.
  @Test(arguments: [("net/data.pkl", "PyTorch"), ("model.weights.h5", "zip64")])
  func zip64ArchivesAreTold(first name: String, said: String) throws {
    let locator: [UInt8] = [0x50, 0x4B, 6, 7] + [UInt8](repeating: 0, count: 16)
    let archive = Archive(members: [Archive.Member(name: name, bytes: [1, 2, 3])], locator: locator)
    let error = try #require(throws: NetworkError.self) {
      try OpenFile(archive.bytes).with { file, size in _ = try KerasArchive.entries(file, size: size) }
    }
    #expect(error.verdict == .unsupported && error.message.contains(said), "\(error)")
  }

  private let sound = Archive(members: [
    Archive.Member(name: "metadata.json", bytes: Array("{}".utf8)),
    Archive.Member(name: "config.json", bytes: Array("{\"a\":1}".utf8)),
    Archive.Member(name: "model.weights.h5", bytes: Array("weights".utf8)),
  ])

  private func read(_ bytes: [UInt8]) throws(NetworkError) -> KerasArchive {
    do {
      return try OpenFile(bytes).with { try KerasArchive($0, size: $1) }
    } catch {
      throw NetworkError(error)
    }
  }

  private func verdict(_ archive: Archive) -> NetworkError.Verdict? {
    do {
      _ = try read(archive.bytes)
      return nil
    } catch { return error.verdict }
  }

  @Test func membersLieWhereTheBytesAre() throws {
    let bytes = sound.bytes
    let archive = try read(bytes)
    func slice(_ member: KerasArchive.Member) -> [UInt8] { Array(bytes[member.offset..<member.offset + member.size]) }
    #expect(slice(archive.weights) == Array("weights".utf8))
    #expect(try slice(#require(archive.configuration)) == Array("{\"a\":1}".utf8))
    let crc = crc32(Array("weights".utf8))
    for field in archive.weights.crcFields {
      #expect((0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[field + $1]) << (8 * UInt32($1)) } == crc)
    }
    #expect(Set(archive.weights.crcFields).count == 2)
    // The first stands in the local header, the second in the central directory.
    #expect(archive.weights.crcFields[0] < archive.weights.offset)
    #expect(archive.weights.crcFields[1] > archive.weights.offset)
  }

  @Test func aCommentMayFollow() throws {
    var archive = sound
    archive.comment = Array("comment".utf8)
    #expect(try read(archive.bytes).weights.offset == read(sound.bytes).weights.offset)
  }

  /// The CRC-32 stands after the data, with or without a signature before it.
  @Test(arguments: [[0x50, 0x4B, 7, 8], []] as [[UInt8]]) func theLocalChecksumMayFollowTheData(signature: [UInt8])
    throws
  {
    var archive = sound
    archive.members[2].flags = 8
    archive.members[2].descriptorSignature = signature
    let bytes = archive.bytes
    let weights = try read(bytes).weights
    #expect(weights.crcFields[0] == weights.offset + weights.size + signature.count)
    for field in weights.crcFields { #expect(integer(bytes, field, 4) == Int(crc32(Array("weights".utf8)))) }
  }

  /// Readers differ in which copy they believe: what one of them took for a checksum, another took for data.
  @Test func contradictionsOfTwoHeadersAreCorrupt() {
    let changes: [(inout Archive.Member) -> Void] = [
      {
        $0.flags = 8
        $0.localFlags = 0
      }, { $0.localFlags = 8 }, { $0.localFlags = 1 }, { $0.localCRC = 1 },
      {
        $0.flags = 8
        $0.localCRC = 1
      }, { $0.localName = "model.weights.h6" },
    ]
    for (number, change) in changes.enumerated() {
      var archive = sound
      change(&archive.members[2])
      #expect(verdict(archive) == .corrupt, "change \(number)")
    }
    // Whether a name is UTF-8 is no contradiction.
    var archive = sound
    archive.members[2].localFlags = 0x800
    #expect(verdict(archive) == nil)
  }

  @Test func membersThatShareBytesAreCorrupt() throws {
    var bytes = sound.bytes
    // The second member's entry leads to the first one's local header, whose name it is given.
    var archive = sound
    archive.members[1] = archive.members[0]
    bytes = archive.bytes
    let first = try #require(bytes.indices.first { bytes[$0...].starts(with: [0x50, 0x4B, 1, 2]) })
    let second = try #require(bytes.indices.first { $0 > first && bytes[$0...].starts(with: [0x50, 0x4B, 1, 2]) })
    #expect(throws: Never.self) { try read(bytes) }
    bytes.replaceSubrange((second + 42)..<(second + 46), with: [0, 0, 0, 0])
    let error = #expect(throws: NetworkError.self) { try read(bytes) }
    #expect(error?.verdict == .corrupt)
  }

  @Test func bytesAreHeldAgainstTheirChecksum() throws {
    var bytes = sound.bytes
    let weights = try read(bytes).weights
    try OpenFile(bytes).with { try KerasArchive($0, size: $1).checkBytes(of: $0) }
    bytes[weights.offset] ^= 1
    let error = #expect(throws: NetworkError.self) {
      do { try OpenFile(bytes).with { try KerasArchive($0, size: $1).checkBytes(of: $0) } } catch {
        throw NetworkError(error)
      }
    }
    #expect(error?.verdict == .corrupt)
  }

  @Test func whatIsCompressedOrEncryptedIsUnsupported() {
    for (flags, method) in [(0, 8), (1, 0), (0, 14), (9, 99)] as [(UInt16, UInt16)] {
      for member in 1...2 {
        var archive = sound
        archive.members[member].flags = flags
        archive.members[member].method = method
        #expect(verdict(archive) == .unsupported)
      }
      // Other members may be what they like.
      var archive = sound
      archive.members[0].flags = flags
      archive.members[0].method = method
      #expect(verdict(archive) == nil)
    }
  }

  @Test func anArchiveWithoutWeightsIsUnsupported() throws {
    var archive = sound
    archive.members.remove(at: 2)
    #expect(verdict(archive) == .unsupported)
    archive = sound
    archive.members.remove(at: 1)
    #expect(try read(archive.bytes).configuration == nil)
  }

  @Test func twoMembersOfOneNameAreCorrupt() {
    var archive = sound
    archive.members.append(archive.members[2])
    #expect(verdict(archive) == .corrupt)
  }

  @Test func zip64IsUnsupported() throws {
    let bytes = sound.bytes
    for (offset, count) in [(12, 2), (6, 4)] {
      var changed = bytes
      for position in 0..<count { changed[bytes.count - offset + position] = 0xFF }
      let error = #expect(throws: NetworkError.self) { try read(changed) }
      #expect(error?.verdict == .unsupported)
    }
  }

  @Test func everyTruncationIsAnError() {
    let bytes = sound.bytes
    for size in bytes.indices { #expect(throws: NetworkError.self) { try read(Array(bytes.prefix(size))) } }
  }

  /// Whatever a byte is changed to: an error, or members that lie inside the file.
  @Test func noChangedByteLeadsOutOfTheFile() throws {
    let bytes = sound.bytes
    let file = try OpenFile(bytes)
    for offset in bytes.indices {
      for value in [0, 1, 0x7F, 0x80, 0xFF, bytes[offset] ^ 1] as [UInt8] {
        try file.replace(at: offset, with: value)
        guard let archive = try? file.with({ try KerasArchive($0, size: $1) }) else { continue }
        for member in [archive.weights, archive.configuration].compactMap(\.self) {
          #expect(member.offset >= 0 && member.size >= 0 && member.offset + member.size <= bytes.count)
          #expect(member.crcFields.allSatisfy { $0 >= 0 && $0 + 4 <= bytes.count })
        }
      }
      try file.replace(at: offset, with: bytes[offset])
    }
  }
}
