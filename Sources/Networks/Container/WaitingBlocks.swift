// SPDX-License-Identifier: Apache-2.0

internal import NCZ
internal import SystemPackage

/// Encoded blocks of a payload whose turn to be written has not come: in memory as long as they are few, then in an
/// unnamed temporary file.
final class WaitingBlocks {
  /// Bytes of all.
  private(set) var byteCount = 0
  private var known: [Payload.Block] = []
  /// Those that are in memory: all, or, when there is a file, none.
  private var blocks: [[UInt8]] = []
  private var file: FileDescriptor?
  private let isCounted: Bool
  private let most: Int

  /// - Parameters:
  ///   - isCounted: whether only sizes matter, so that nothing is kept.
  ///   - most: bytes in memory.
  init(isCounted: Bool, most: Int = 8 << 20) {
    self.isCounted = isCounted
    self.most = most
  }

  convenience init(_ blocks: [[UInt8]], isCounted: Bool) throws(NetworkError) {
    self.init(isCounted: isCounted)
    for block in blocks { try append(block) }
  }

  deinit { try? file?.close() }

  func append(_ block: [UInt8]) throws(NetworkError) {
    known.append(Payload.Block(size: block.count, crc: crc32(block)))
    byteCount += block.count
    if isCounted { return }
    if let file { return try writeBytes(block, to: file, at: byteCount - block.count) }
    blocks.append(block)
    if byteCount > most {
      let file = try temporaryFile()
      self.file = file
      var offset = 0
      for block in blocks {
        try writeBytes(block, to: file, at: offset)
        offset += block.count
      }
      blocks = []
    }
  }

  /// Writes all of them as a payload, and returns its number.
  func write(to writer: inout Writer, isMirrored: Bool) throws -> Int {
    let payload = try writer.beginPayload(isMirrored: isMirrored)
    var offset = 0
    for (number, block) in known.enumerated() {
      if isCounted {
        writer.count(block)
      } else if let file {
        try writer.append(block: try read(file, at: offset, count: block.size), crc: block.crc)
      } else {
        try writer.append(block: blocks[number], crc: block.crc)
      }
      offset += block.size
    }
    return payload
  }
}
