// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import Tensors
import Testing

@testable import HDF5

/// What is stored may be shorter than what is claimed: then libhdf5 would hand out memory that was never written.
@Suite struct ShortTests {
  private static let abcDeflated: [UInt8] = [
    0x78, 0x9C, 0x4B, 0x4C, 0x4A, 0x06, 0x00, 0x02, 0x4D, 0x01, 0x27,
  ]

  /// The values of `deflate` in `filters.h5` after one of its chunks was replaced.
  private func values(chunk bytes: [UInt8], filterMask: UInt32) throws -> [UInt8] {
    let file = try temporaryFile(HDF5Tests.bytes(of: FileDescriptor.open(files.appending("filters.h5"), .readOnly)))
    defer { try? file.close() }
    var writing = try openSession(file, writable: true)
    let address = try writing.tableOfContents(texts: []).object("deflate").address
    try writing.replaceChunks(
      ofDatasetAt: address, with: [EncodedChunk(origin: [0, 0], filterMask: filterMask, bytes: bytes)])
    try writing.close()
    var reading = try openSession(file)
    return try reading.values(ofDatasetAt: address, byteCount: 280)
  }

  private func chunkByteCount() throws -> Int {
    guard case .chunked(let dimensions, _) = try contents("filters.h5").dataset("deflate").layout else { return 0 }
    return Int(dimensions.reduce(4, *))
  }

  @Test func aChunkThatDecodesToFewerBytes() throws {
    let message = "a chunk in the block at [0, 0] decodes to 3 bytes, expected \(try chunkByteCount())"
    #expect(throws: HDF5Error.corrupt(message)) { try values(chunk: Self.abcDeflated, filterMask: 0) }
  }

  @Test func aChunkThatSkipsItsFilters() throws {
    let count = try chunkByteCount()
    let short = "a chunk in the block at [0, 0] decodes to \(count - 1) bytes, expected \(count)"
    let ones = [UInt8](repeating: 1, count: count)
    #expect(throws: HDF5Error.corrupt(short)) { try values(chunk: Array(ones.dropLast()), filterMask: 1) }
    #expect(try values(chunk: ones, filterMask: 1).starts(with: [1, 1, 1, 1]))
  }

  /// The dimensions of a compact dataset, now and at most, are changed, so that it claims more than its header holds.
  @Test func aCompactDataset() throws {
    let whole = try bytes(of: FileDescriptor.open(files.appending("structure.h5"), .readOnly))
    let dimensions = littleEndian([5, 5] as [UInt64])
    let offset = try #require(whole.indices.first { whole[$0...].starts(with: dimensions) })
    func read(_ bytes: [UInt8]) throws -> TableOfContents {
      let file = try temporaryFile(bytes)
      defer { try? file.close() }
      var session = try openSession(file)
      return try session.tableOfContents(texts: [])
    }
    #expect(try read(whole).dataset("compact").layout == .compact)
    var longer = whole
    (longer[offset], longer[offset + 8]) = (64, 64)
    #expect(throws: HDF5Error.corrupt("/compact: claims 64 bytes in its object header but stores 5")) {
      try read(longer)
    }
  }
}
