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

  /// Where the first block starts.
  public var offset: Int
  /// The blocks, one after the other without gaps.
  public var blocks: [Block]

  /// Stored bytes of all blocks.
  public var size: Int { blocks.reduce(0) { $0 + $1.size } }

  /// Size and CRC-32 of each block, in a row.
  var json: JSONValue { .array(blocks.flatMap { [.integer($0.size), .integer(Int($0.crc))] }) }

  init(offset: Int, blocks: [Block]) {
    self.offset = offset
    self.blocks = blocks
  }

  /// Reads one element of the directory's `payloads`, which starts at `offset`; `nil` where it is none.
  init?(_ json: JSONValue, offset: Int) {
    guard let numbers = json.array, numbers.count % 2 == 0 else { return nil }
    self.offset = offset
    blocks = []
    blocks.reserveCapacity(numbers.count / 2)
    for index in stride(from: 0, to: numbers.count, by: 2) {
      guard let size = numbers[index].integer, (0...Format.maxBlockSize).contains(size),
        let crc = numbers[index + 1].integer.flatMap({ UInt32(exactly: $0) })
      else { return nil }
      blocks.append(Block(size: size, crc: crc))
    }
  }
}
