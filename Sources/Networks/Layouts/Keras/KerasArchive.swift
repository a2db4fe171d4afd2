// SPDX-License-Identifier: Apache-2.0

internal import NCZ
package import SystemPackage
package import Tensors

/// The members of a `.keras` archive: a zip file, of which those that matter are stored without compression.
///
/// Read by APPNOTE.TXT 4.3 (PKWARE): end of central directory, central directory, local headers. Zip64 and encryption are
/// refused. Readers of zip files differ in which of two copies of a number they believe: an archive whose local headers,
/// data descriptors and central directory contradict each other is therefore corrupt, and so is one whose members share
/// bytes.
package struct KerasArchive {
  /// One stored member.
  package struct Member {
    /// Offset of its bytes in the archive.
    package let offset: Int
    package let size: Int
    /// Of its bytes, as the archive has it.
    package let crc: UInt32
    /// Offsets of the CRC-32 fields that hold it.
    package let crcFields: [Int]
  }

  /// `model.weights.h5`.
  package let weights: Member
  /// `config.json`.
  package let configuration: Member?
  /// All members whose bytes are stored as they are.
  package let stored: [(name: TensorName, member: Member)]

  package static let signature: [UInt8] = [0x50, 0x4B, 0x03, 0x04]

  /// What the central directory says about a member.
  package struct Entry {
    /// The fields of fixed size.
    package let fields: [UInt8]
    package let name: [UInt8]
    /// Offset of the entry in the archive.
    package let offset: Int

    package var flags: Int { integer(fields, 8, 2) }
    package var method: Int { integer(fields, 10, 2) }
    package var crc: UInt32 { UInt32(truncatingIfNeeded: integer(fields, 16, 4)) }
    /// Bytes in the archive, and after decompression.
    package var storedSize: Int { integer(fields, 20, 4) }
    package var size: Int { integer(fields, 24, 4) }
    package var localOffset: Int { integer(fields, 42, 4) }
    /// The name as text.
    package var text: TensorName { TensorName(String(decoding: name, as: UTF8.self)) }
    /// Whether sizes and CRC-32 follow the data.
    package var hasDescriptor: Bool { flags & 8 != 0 }
    package var isStored: Bool { method == 0 && flags & 1 == 0 && storedSize == size }
  }

  package init(_ file: FileDescriptor, size: Int) throws(NetworkError) {
    let (entries, directory) = try Self.directory(of: file, size: size)
    guard entries.contains(where: { $0.text == "model.weights.h5" }) else { throw Self.noWeights(entries) }
    var stored: [(name: TensorName, member: Member)] = []
    var ranges: [Range<Int>] = []
    for entry in entries {
      let place = try Self.place(of: entry, in: file, before: directory)
      ranges.append(place.range)
      if ["model.weights.h5", "config.json"].contains(entry.text) {
        guard entry.isStored else {
          throw NetworkError(
            .unsupported, "\(entry.text) is compressed or encrypted (method \(entry.method)); expected it stored")
        }
        guard !stored.contains(where: { $0.name == entry.text }) else {
          throw NetworkError(.corrupt, "two members are named \(entry.text)")
        }
      }
      if entry.isStored {
        let fields = place.crcFields + [entry.offset + 16]
        stored.append(
          (entry.text, Member(offset: place.data.lowerBound, size: entry.size, crc: entry.crc, crcFields: fields)))
      }
    }
    ranges.sort { $0.lowerBound < $1.lowerBound }
    for (range, next) in zip(ranges, ranges.dropFirst()) where next.lowerBound < range.upperBound {
      throw NetworkError(.corrupt, "two members of the zip archive share byte \(next.lowerBound)")
    }
    guard let weights = stored.first(where: { $0.name == "model.weights.h5" })?.member else {
      throw Self.noWeights(entries)
    }
    self.weights = weights
    self.stored = stored
    configuration = stored.first { $0.name == "config.json" }?.member
  }

  private static func noWeights(_ entries: [Entry]) -> NetworkError {
    let advice = ForeignFormat.advice(onArchiveOf: entries.map(\.text.text))
    return NetworkError(.unsupported, "not a .keras file: the zip archive has no model.weights.h5; \(advice)")
  }

  /// Checks the CRC-32 of every member whose bytes are stored as they are.
  package func checkBytes(of file: FileDescriptor, exceptWeights: Bool = false) throws(NetworkError) {
    for (name, member) in stored where !(exceptWeights && member.offset == weights.offset) {
      let crc = try member.computedCRC(in: file)
      guard crc == member.crc else {
        throw NetworkError(
          .corrupt,
          "\(name): the archive says CRC-32 \(String(member.crc, radix: 16)), its bytes have \(String(crc, radix: 16))")
      }
    }
  }

  /// All members, in the order of the central directory.
  package static func entries(_ file: FileDescriptor, size: Int) throws(NetworkError) -> [Entry] {
    try directory(of: file, size: size).entries
  }

  /// All members, and where the central directory begins.
  private static func directory(
    of file: FileDescriptor, size: Int
  ) throws(NetworkError) -> (entries: [Entry], offset: Int) {
    let endSize = 22
    let tailSize = min(size, endSize + 0xFFFF)
    let tail = try read(file, at: size - tailSize, count: tailSize)
    guard
      let end = stride(from: tailSize - endSize, through: 0, by: -1).first(where: { start in
        tail[start...].starts(with: [0x50, 0x4B, 0x05, 0x06])
          && start + endSize + Int(integer(tail, start + 20, 2)) == tailSize
      })
    else { throw NetworkError(.corrupt, "a zip archive without end of central directory: cut short?") }
    let count = integer(tail, end + 10, 2)
    let directorySize = integer(tail, end + 12, 4)
    let directoryOffset = integer(tail, end + 16, 4)
    let hasLocator = end >= 20 && tail[(end - 20)...].starts(with: [0x50, 0x4B, 0x06, 0x07])
    guard count != 0xFFFF, directoryOffset != 0xFFFF_FFFF, directorySize != 0xFFFF_FFFF, !hasLocator else {
      // PyTorch writes zip64 always, this member first.
      let front = String(decoding: try read(file, at: 0, count: min(size, 512)), as: UTF8.self)
      if front.contains("/data.pkl") {
        throw NetworkError(.unsupported, ForeignFormat.advice(onArchiveOf: ["data.pkl"]))
      }
      throw NetworkError(.unsupported, "a zip64 archive (4 GiB or more)")
    }
    guard integer(tail, end + 4, 4) == 0, integer(tail, end + 8, 2) == count else {
      throw NetworkError(.unsupported, "a zip archive in several parts")
    }
    guard directoryOffset + directorySize == size - tailSize + end else {
      throw NetworkError(.corrupt, "the zip directory does not end where the end of the archive begins")
    }
    let directory = try read(file, at: directoryOffset, count: directorySize)
    var entries: [Entry] = []
    var at = 0
    for _ in 0..<count {
      guard at + 46 <= directory.count, directory[at...].starts(with: [0x50, 0x4B, 0x01, 0x02]) else {
        throw NetworkError(.corrupt, "the zip directory is damaged at byte \(directoryOffset + at)")
      }
      let nameSize = integer(directory, at + 28, 2)
      let next = at + 46 + nameSize + integer(directory, at + 30, 2) + integer(directory, at + 32, 2)
      guard next <= directory.count else { throw NetworkError(.corrupt, "the zip directory is cut short") }
      entries.append(
        Entry(
          fields: Array(directory[at..<(at + 46)]), name: Array(directory[(at + 46)..<(at + 46 + nameSize)]),
          offset: directoryOffset + at))
      at = next
    }
    guard at == directory.count else {
      throw NetworkError(.corrupt, "the zip directory has \(directory.count) bytes, its entries \(at)")
    }
    return (entries, directoryOffset)
  }

  /// Where a member lies: from its local header to its last byte, its data alone, and its CRC-32 fields.
  package struct Place {
    let range: Range<Int>
    package let data: Range<Int>
    package let crcFields: [Int]
  }

  /// Finds a member by its local header, which must say what the central directory says.
  ///
  /// - Parameter end: where the central directory begins.
  package static func place(of entry: Entry, in file: FileDescriptor, before end: Int) throws(NetworkError) -> Place {
    let name = entry.text
    func corrupt(_ what: String) -> NetworkError { NetworkError(.corrupt, "\(name) \(what)") }
    let start = entry.localOffset
    guard start + 30 <= end else { throw corrupt("lies outside the archive") }
    let local = try read(file, at: start, count: 30)
    guard local.starts(with: signature) else { throw corrupt("has no local header") }
    let nameSize = integer(local, 26, 2)
    let data = start + 30 + nameSize + integer(local, 28, 2)
    guard data + entry.storedSize <= end else { throw corrupt("lies outside the archive") }
    guard try read(file, at: start + 30, count: nameSize) == entry.name else {
      throw corrupt("has another name in its local header")
    }
    // Bit 11 only says that the name is UTF-8.
    guard integer(local, 6, 2) & ~0x800 == entry.flags & ~0x800, integer(local, 8, 2) == entry.method else {
      throw corrupt("has other flags or another method in its local header than in the zip directory")
    }
    let found = [14, 18, 22].map { integer(local, $0, 4) }
    let expected = [Int(entry.crc), entry.storedSize, entry.size]
    let after = data + entry.storedSize
    if !entry.hasDescriptor {
      guard found == expected else { throw corrupt("has another size or CRC-32 in its local header") }
      return Place(range: start..<after, data: data..<after, crcFields: [start + 14])
    }
    guard zip(found, expected).allSatisfy({ $0 == 0 || $0 == $1 }) else {
      throw corrupt("has another size or CRC-32 in its local header")
    }
    // With or without a signature of its own.
    let descriptor = try read(file, at: after, count: min(16, end - after))
    let hasSignature = descriptor.starts(with: [0x50, 0x4B, 0x07, 0x08])
    let fields = descriptor.dropFirst(hasSignature ? 4 : 0).prefix(12)
    guard fields.count == 12, [0, 4, 8].map({ integer(Array(fields), $0, 4) }) == expected else {
      throw corrupt("is followed by another size or CRC-32 than in the zip directory")
    }
    let crcField = after + fields.startIndex
    return Place(
      range: start..<(crcField + 12), data: data..<after,
      crcFields: found[0] == 0 ? [crcField] : [start + 14, crcField])
  }
}

extension KerasArchive.Member {
  /// The CRC-32 of the bytes that are there.
  package func computedCRC(in file: FileDescriptor) throws(NetworkError) -> UInt32 {
    var crc: UInt32 = 0
    for start in stride(from: 0, to: size, by: 1 << 20) {
      let bytes = try read(file, at: offset + start, count: min(1 << 20, size - start))
      crc = bytes.withUnsafeBytes { crc32($0, continuing: crc) }
    }
    return crc
  }
}

/// The little-endian unsigned integer of `size` bytes (at most 4) at `offset`.
func integer(_ bytes: [UInt8], _ offset: Int, _ size: Int) -> Int {
  bytes[offset..<(offset + size)].reversed().reduce(0) { $0 << 8 | Int($1) }
}
