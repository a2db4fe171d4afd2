// SPDX-License-Identifier: Apache-2.0

internal import NCZ
internal import Networks
internal import SystemPackage
internal import Tensors

extension KerasArchive {
  /// Writes an archive with other weights: its members in their order, with the same names and times.
  ///
  /// Extra fields and comments are not copied; no member needs them.
  ///
  /// - Parameters:
  ///   - weights: `model.weights.h5`, from the first byte to the last.
  ///   - configuration: `config.json`; `nil` to keep that of the source.
  static func copy(
    _ source: FileDescriptor, size: Int, weights: FileDescriptor, configuration: [UInt8]?, to file: FileDescriptor
  ) throws(NetworkError) {
    var directory: [UInt8] = []
    var end = 0
    var copied = 0
    let entries = try entries(source, size: size)
    for entry in entries {
      var fields = entry.fields
      let start = end
      let name = entry.text
      let isNew = name == "model.weights.h5" || (name == "config.json" && configuration != nil)
      // Sizes and checksum stand in the local header, and not in a descriptor behind the data.
      fields.set(entry.flags & ~8, at: 8, 2)
      // Extra fields, and the comment.
      fields.set(0, at: 30, 2)
      fields.set(0, at: 32, 2)
      fields.set(start, at: 42, 4)
      end += 30 + entry.name.count
      if isNew {
        let before = end
        var crc: UInt32 = 0
        func append(_ bytes: [UInt8]) throws(NetworkError) {
          crc = bytes.withUnsafeBytes { crc32($0, continuing: crc) }
          try writeBytes(bytes, to: file, at: end)
          end += bytes.count
        }
        if name == "config.json", let configuration {
          try append(configuration)
        } else {
          let count = try about { Int(try weights.seek(offset: 0, from: .end)) }
          for piece in stride(from: 0, to: count, by: 1 << 20) {
            try append(try read(weights, at: piece, count: min(1 << 20, count - piece)))
          }
        }
        fields.set(Int(crc), at: 16, 4)
        fields.set(end - before, at: 20, 4)
        fields.set(end - before, at: 24, 4)
      } else {
        let count = entry.storedSize
        // Members that share their bytes could make any number of them.
        copied += count
        guard copied <= size else { throw NetworkError(.corrupt, "members of the zip archive overlap") }
        let data = try place(of: entry, in: source, before: size).data.lowerBound
        for piece in stride(from: 0, to: count, by: 1 << 20) {
          try writeBytes(
            try read(source, at: data + piece, count: min(1 << 20, count - piece)), to: file, at: end)
          end += min(1 << 20, count - piece)
        }
      }
      guard end < 0xFFFF_FFFF else { throw NetworkError(.unsupported, "a zip64 archive (4 GiB or more)") }
      // The local header: signature, what both have in common, the name.
      let local = signature + fields[6..<30] + [0, 0] + entry.name
      try writeBytes(local, to: file, at: start)
      directory += fields + entry.name
    }
    try writeBytes(directory, to: file, at: end)
    var tail: [UInt8] = [0x50, 0x4B, 0x05, 0x06] + [UInt8](repeating: 0, count: 18)
    tail.set(entries.count, at: 8, 2)
    tail.set(entries.count, at: 10, 2)
    tail.set(directory.count, at: 12, 4)
    tail.set(end, at: 16, 4)
    try writeBytes(tail, to: file, at: end + directory.count)
  }
}

extension [UInt8] {
  /// Stores a number of `size` bytes, little-endian.
  fileprivate mutating func set(_ value: Int, at offset: Int, _ size: Int) {
    for byte in 0..<size { self[offset + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
  }
}
