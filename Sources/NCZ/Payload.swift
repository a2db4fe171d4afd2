// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// A run of blocks in the file, opaque to this module.
public struct Payload: Sendable, Equatable {
  /// One piece of a payload: at most 2²⁰ stored bytes under one check.
  public struct Block: Sendable, Equatable {
    /// Stored bytes, 0…2²⁰.
    public var size: Int
    /// CRC-32 of the stored bytes.
    public var crc: UInt32

    public init(size: Int, crc: UInt32) {
      self.size = size
      self.crc = crc
    }
  }

  /// Where the first block starts: a multiple of 64.
  public var offset: Int
  /// The blocks, one after the other without gaps.
  public var blocks: [Block]

  /// Stored bytes of all blocks.
  public var size: Int { blocks.reduce(0) { $0 + $1.size } }

  var json: JSONValue {
    .object([
      .init("blocks", .array(blocks.map { .array([.integer($0.size), .integer(Int($0.crc))]) })),
      .init("offset", .integer(offset)),
    ])
  }

  init(offset: Int, blocks: [Block]) {
    self.offset = offset
    self.blocks = blocks
  }

  /// Reads one element of the directory's `payloads`, which must start at `offset`.
  init(_ json: JSONValue, expectedOffset: Int, index: Int) throws(DirectoryError) {
    if let key = json.members?.first(where: { !["blocks", "offset"].contains($0.key) })?.key {
      throw DirectoryError("payload \(index): unknown key \(key)", isUnsupported: true)
    }
    guard let offset = json["offset"]?.integer, let blocks = json["blocks"]?.array else {
      throw DirectoryError("payload \(index): expected an offset and blocks")
    }
    guard offset == expectedOffset else {
      throw DirectoryError("payload \(index): offset \(offset), expected \(expectedOffset)")
    }
    self.offset = offset
    self.blocks = []
    self.blocks.reserveCapacity(blocks.count)
    for (number, block) in blocks.enumerated() {
      guard let pair = block.array, pair.count == 2, let size = pair[0].integer,
        let crc = pair[1].integer.flatMap({ UInt32(exactly: $0) }), (0...Format.maxBlockSize).contains(size)
      else {
        throw DirectoryError("payload \(index), block \(number): expected [size 0…\(Format.maxBlockSize), CRC-32]")
      }
      self.blocks.append(Block(size: size, crc: crc))
    }
  }
}

/// What is wrong with a directory that is well-formed JSON.
struct DirectoryError: Error {
  let what: String
  let isUnsupported: Bool
  init(_ what: String, isUnsupported: Bool = false) {
    self.what = what
    self.isUnsupported = isUnsupported
  }
}
