// SPDX-License-Identifier: Apache-2.0

import Random
import Tensors
import Testing

@testable import HDF5

@Suite struct BlocksTests {
  @Test func blocksCoverEveryByteOnce() throws {
    var random = SplitMix64(seed: 1)
    for _ in 0..<200 {
      let rank = Int.random(in: 0...4, using: &random)
      let dimensions = (0..<rank).map { _ in UInt64.random(in: 0...9, using: &random) }
      let chunk = (0..<rank).map { _ in UInt64.random(in: 1...5, using: &random) }
      let size = Int.random(in: 1...3, using: &random)
      // Small blocks, so that there are several.
      let blocks = try Blocks(
        dimensions: dimensions, chunk: chunk, elementSize: size, target: Int.random(in: 1...64, using: &random))
      let values = (0..<blocks.byteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
      var copy = [UInt8](repeating: 0, count: values.count)
      var seen = 0
      for index in 0..<blocks.count {
        let bytes = blocks.gather(blocks[index], from: values)
        seen += bytes.count
        blocks.scatter(bytes, of: blocks[index], into: &copy)
      }
      #expect(copy == values && seen == values.count)
      let origins = (0..<blocks.count).flatMap { blocks.chunkOrigins(in: blocks[$0]) }
      #expect(Set(origins).count == origins.count)
    }
  }

  @Test(arguments: [[UInt64.max], [1 << 40, 1 << 40], [1 << 32, 1 << 31]])
  func whatCannotBeCountedIsRefused(_ dimensions: [UInt64]) {
    #expect(throws: HDF5Error.self) {
      try Blocks(dimensions: dimensions, chunk: dimensions.map { _ in 1 }, elementSize: 4)
    }
  }
}

@Suite struct LZFTests {
  private func decode(_ input: [UInt8]) -> [UInt8]? {
    input.withUnsafeBytes { input in
      guard let count = LZF.decodedCount(input) else { return nil }
      var output = [UInt8](repeating: 0, count: count)
      output.withUnsafeMutableBytes { LZF.decode(input, into: $0) }
      return output
    }
  }

  @Test func literalsAndReferences() {
    #expect(decode([2, 1, 2, 3]) == [1, 2, 3])
    #expect(decode([0, 9, 0x20, 0]) == [9, 9, 9, 9])
    #expect(decode([1, 4, 5, 0xe0, 1, 1]) == [4, 5, 4, 5, 4, 5, 4, 5, 4, 5, 4, 5])
  }

  @Test func damageIsNoticed() {
    #expect(decode([2, 1, 2]) == nil)
    #expect(decode([0, 9, 0x20]) == nil)
    #expect(decode([0, 9, 0x20, 1]) == nil)
    #expect(decode([0, 9, 0xe0]) == nil)
  }

  @Test func anyBytesDecodeOrAreRefused() {
    var random = SplitMix64(seed: 2)
    for _ in 0..<2000 {
      _ = decode((0..<Int.random(in: 0...40, using: &random)).map { _ in .random(in: 0...255, using: &random) })
    }
  }
}

@Suite struct WireTests {
  private let table = TableOfContents(
    fileSize: 10_000, userBlock: 512,
    objects: [
      Object(address: 96, paths: ["", "a/up"], kind: .group, attributes: [Attribute(name: "n", texts: ["x", ""])]),
      Object(
        address: 800, paths: ["a"],
        kind: .dataset(
          Dataset(
            type: .float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: true), dimensions: [3, 4],
            layout: .chunked(
              dimensions: [2, 2],
              chunks: [Chunk(origin: [0, 2], filterMask: 1, range: ByteRange(offset: 2048, length: 16))]),
            filters: [Filter(id: 1, name: "deflate", isOptional: true, parameters: [4], isAvailable: true)])),
        attributes: []),
      Object(
        address: 900, paths: ["b"],
        kind: .dataset(
          Dataset(type: .opaque(size: 2, tag: ""), dimensions: nil, layout: .contiguous(nil), filters: [])),
        attributes: [Attribute(name: "n", texts: nil)]),
      Object(address: 950, paths: ["c"], kind: .unreadable("too new"), attributes: []),
    ],
    links: [Link(path: "l", kind: .external, target: "f:/x")])

  private var encoded: [UInt8] {
    var writer = WireWriter()
    writer.write(table)
    return writer.bytes
  }

  @Test func roundTrip() throws {
    var reader = WireReader(encoded)
    #expect(try reader.tableOfContents() == table && reader.isAtEnd)
  }

  @Test func everyTruncationIsRefused() {
    for count in encoded.indices {
      var reader = WireReader(Array(encoded.prefix(count)))
      #expect(throws: HDF5Error.self) { try reader.tableOfContents() }
    }
  }

  @Test func noChangedByteTraps() {
    var random = SplitMix64(seed: 3)
    for index in encoded.indices {
      var bytes = encoded
      bytes[index] = .random(in: 0...255, using: &random)
      var reader = WireReader(bytes)
      if let table = try? reader.tableOfContents() {
        for case .dataset(let dataset) in table.objects.map(\.kind) { _ = dataset.inconsistency(fileSize: 10_000) }
      }
    }
  }
}
