// SPDX-License-Identifier: Apache-2.0

import JSON
import NCZ
import SystemPackage
import TestSupport
import Testing

@testable import Networks

@Suite("Blocks that wait")
struct WaitingBlocksTests {
  private let blocks: [[UInt8]] = [[1, 2, 3], [], Array(repeating: 7, count: 100), [4]]

  /// A file whose payload is these blocks.
  private func written(most: Int) throws -> [UInt8] {
    let waiting = WaitingBlocks(isCounted: false, most: most)
    for block in blocks { try waiting.append(block) }
    #expect(waiting.byteCount == 104)
    let result = try OpenFile()
    try result.with { output, _ in
      var writer = try Writer(to: output)
      #expect(try waiting.write(to: &writer, isMirrored: false) == 0)
      _ = try writer.finish(content: .object([]))
    }
    return try result.bytes
  }

  @Test func areTheSameFromMemoryAndFromAFile() throws {
    let expected = try written(most: .max)
    #expect(expected.starts(with: [0x89, 0x4E, 0x43, 0x5A]))
    #expect(Array(expected[32..<136]) == blocks.flatMap { $0 })
    for most in [0, 2, 3, 50, 103, 104] { #expect(try written(most: most) == expected, "\(most) bytes in memory") }
  }

  /// Where only sizes matter, the directory and the size are those of the file.
  @Test func areCounted() throws {
    let waiting = WaitingBlocks(isCounted: true)
    for block in blocks { try waiting.append(block) }
    let result = try OpenFile()
    let size = try result.with { output, _ in
      var writer = try Writer(to: output)
      _ = try waiting.write(to: &writer, isMirrored: false)
      return try writer.finish(content: .object([]))
    }
    #expect(try size == written(most: .max).count)
  }
}
