// SPDX-License-Identifier: Apache-2.0

import HDF5
import SystemPackage
import Tensors
import Testing

private let datasets = ["all", "big", "deflate", "grows", "lzf", "never", "scaleoffset", "sparse", "szip"]

@Suite struct ChunkTests {
  @Test func everyFilterDecodes() throws {
    let file = try FileDescriptor.open(files.appending("filters.h5"), .readOnly)
    defer { try? file.close() }
    var session = try openSession(file)
    let table = try session.tableOfContents(texts: [])
    func values(_ name: String, _ count: Int) throws -> [UInt8] {
      try session.values(ofDatasetAt: table.object(name).address, byteCount: count)
    }
    for name in ["all", "deflate", "grows"] { #expect(try values(name, 280) == floats(0..<70)) }
    #expect(try values("scaleoffset", 280) == littleEndian((0..<70).map(Int32.init)))
    #expect(try values("big", 560) == (0..<70).flatMap { i in littleEndian([Double(i).bitPattern.byteSwapped]) })
    #expect(try values("lzf", 8000) == littleEndian((0..<2000).map { Int32($0 % 3) }))
    #expect(try values("szip", 16384) == littleEndian((0..<4096).map(Int32.init)))
    #expect(try values("never", 280) == floats(repeatElement(7, count: 70)))
    #expect(try values("sparse", 280) == floats((0..<70).map { $0 == 5 * 7 + 4 ? 3 : -1 }))
  }

  @Test func whatIsReencodedIsEqualUnlessTheFilterCannotEncode() throws {
    let file = try FileDescriptor.open(files.appending("filters.h5"), .readOnly)
    defer { try? file.close() }
    var session = try openSession(file)
    let table = try session.tableOfContents(texts: [])
    for name in datasets {
      #expect(try session.reencodesExactly(datasetAt: table.object(name).address) == (name != "lzf"), "\(name)")
    }
  }

  @Test func onlyScaleOffsetMayRound() throws {
    let table = try contents("filters.h5")
    for name in datasets { #expect(try table.dataset(name).filters.allSatisfy { !$0.mayRound }, "\(name)") }
    // To 3 decimals; of integers, 4 bits.
    for parameters in [[0, 3], [2, 4]] as [[UInt32]] {
      #expect(Filter(id: 6, name: "", isOptional: true, parameters: parameters, isAvailable: true).mayRound)
    }
  }

  /// Cutting the stored chunks out and putting encoded ones back gives the same file.
  @Test(arguments: ["all", "big", "deflate", "grows", "scaleoffset", "szip"])
  func refilling(_ name: String) throws {
    let whole = try bytes(of: FileDescriptor.open(files.appending("filters.h5"), .readOnly))
    let file = try temporaryFile(whole)
    defer { try? file.close() }

    var reading = try openSession(file)
    let table = try reading.tableOfContents(texts: [])
    let address = try table.object(name).address
    let dataset = try table.dataset(name)
    let byteCount = Int(dataset.dimensions?.reduce(1, *) ?? 0) * dataset.type.size
    let values = try reading.values(ofDatasetAt: address, byteCount: byteCount)
    let chunks = try reading.encodedChunks(ofDatasetAt: address, values: values)
    try reading.close()

    guard case .chunked(_, let stored) = dataset.layout else { throw NotFound(path: name) }
    #expect(chunks.map(\.origin) == stored.map(\.origin))
    for chunk in stored {
      try file.writeAll(
        toAbsoluteOffset: Int64(chunk.range.offset), [UInt8](repeating: 0, count: Int(chunk.range.length)))
    }
    #expect(try bytes(of: file) != whole)
    var writing = try openSession(file, writable: true)
    try writing.replaceChunks(ofDatasetAt: address, with: chunks)
    try writing.close()
    #expect(try bytes(of: file) == whole)
  }

  @Test func newValuesOfAnotherSize() throws {
    let file = try temporaryFile(bytes(of: FileDescriptor.open(files.appending("filters.h5"), .readOnly)))
    defer { try? file.close() }
    for name in ["all", "lzf"] {
      var writing = try openSession(file, writable: true)
      let address = try writing.tableOfContents(texts: []).object(name).address
      let values = (0..<(name == "all" ? 280 : 8000)).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 3) }
      let chunks = try writing.encodedChunks(ofDatasetAt: address, values: values)
      try writing.replaceChunks(ofDatasetAt: address, with: chunks)
      // Where they are now, the file had no bytes when it was opened.
      try writing.replaceChunks(ofDatasetAt: address, with: chunks)
      try writing.close()
      var reading = try openSession(file)
      #expect(try reading.values(ofDatasetAt: address, byteCount: values.count) == values)
    }
  }
}
