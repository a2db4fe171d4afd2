internal import SystemPackage
internal import Tensors

/// The members of a `.keras` archive that matter: a zip file without compression.
///
/// Read by APPNOTE.TXT 4.3 (PKWARE): end of central directory, central directory, local headers; zip64 and encryption are
/// refused.
struct KerasArchive {
  /// One stored member.
  struct Member {
    /// Offset of its bytes in the archive.
    let offset: Int
    let size: Int
    /// Offsets of its two CRC-32 fields: in the local header and in the central directory.
    let crcFields: [Int]
  }

  /// `model.weights.h5`.
  let weights: Member
  /// `config.json`.
  let configuration: Member?

  static let signature: [UInt8] = [0x50, 0x4B, 0x03, 0x04]

  /// What the central directory says about a member.
  struct Entry {
    /// The fields of fixed size.
    let fields: [UInt8]
    let name: [UInt8]
    /// Offset of the entry in the archive.
    let offset: Int
  }

  init(_ file: FileDescriptor, size: Int) throws(NetworkError) {
    var members: [TensorName: Member] = [:]
    for entry in try Self.entries(file, size: size) {
      let name = TensorName(String(decoding: entry.name, as: UTF8.self))
      guard ["model.weights.h5", "config.json"].contains(name) else { continue }
      guard members[name] == nil else { throw NetworkError(.corrupt, "two members are named \(name)") }
      members[name] = try Self.member(
        name, file: file, fileSize: size, entry: entry.fields, entryOffset: entry.offset)
    }
    guard let weights = members["model.weights.h5"] else {
      throw NetworkError(.unsupported, "a zip archive without model.weights.h5 is no .keras file")
    }
    self.weights = weights
    configuration = members["config.json"]
  }

  /// All members, in the order of the central directory.
  static func entries(_ file: FileDescriptor, size: Int) throws(NetworkError) -> [Entry] {
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
    guard count != 0xFFFF, directoryOffset != 0xFFFF_FFFF else {
      throw NetworkError(.unsupported, "a zip64 archive (4 GiB or more)")
    }
    guard directoryOffset + directorySize <= size else {
      throw NetworkError(.corrupt, "the zip directory lies outside the file")
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
    return entries
  }

  private static func member(
    _ name: TensorName, file: FileDescriptor, fileSize: Int, entry: [UInt8], entryOffset: Int
  ) throws(NetworkError) -> Member {
    let flags = integer(entry, 8, 2)
    let method = integer(entry, 10, 2)
    let size = integer(entry, 24, 4)
    let localOffset = integer(entry, 42, 4)
    guard flags & 1 == 0, method == 0, integer(entry, 20, 4) == size else {
      throw NetworkError(.unsupported, "\(name) is compressed or encrypted (method \(method)); expected it stored")
    }
    guard localOffset + 30 <= fileSize else { throw NetworkError(.corrupt, "\(name) lies outside the file") }
    let local = try read(file, at: localOffset, count: 30)
    guard local.starts(with: signature) else { throw NetworkError(.corrupt, "\(name) has no local header") }
    let offset = localOffset + 30 + integer(local, 26, 2) + integer(local, 28, 2)
    guard offset + size <= fileSize else { throw NetworkError(.corrupt, "\(name) lies outside the file") }
    // With bit 3 the local CRC-32 stands in a descriptor after the data, with or without a signature.
    var localField = localOffset + 14
    if flags & 8 != 0 {
      let after = try read(file, at: offset + size, count: min(4, fileSize - offset - size))
      localField = offset + size + (after == [0x50, 0x4B, 0x07, 0x08] ? 4 : 0)
    }
    return Member(offset: offset, size: size, crcFields: [localField, entryOffset + 16])
  }
}

/// The little-endian unsigned integer of `size` bytes (at most 4) at `offset`.
func integer(_ bytes: [UInt8], _ offset: Int, _ size: Int) -> Int {
  bytes[offset..<(offset + size)].reversed().reduce(0) { $0 << 8 | Int($1) }
}
