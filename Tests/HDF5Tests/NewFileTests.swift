// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import Tensors
import Testing

@testable import HDF5

@Suite struct LinkNameTests {
  @Test(arguments: [
    ("a/b", "a/b"), ("/a//./b/", "a/b"), (".", ""), (#"\x41"#, "A"), (#"\xff\x0A"#, "\\xFF\n"), (#"\x5C"#, #"\x5C"#),
    // No name holds a slash or 0, so these stand for themselves.
    (#"\x2f"#, #"\x5Cx2f"#), (#"\x00"#, #"\x5Cx00"#), (#"\x4"#, #"\x5Cx4"#), (#"\"#, #"\x5C"#), ("..", ".."),
  ])
  func spellings(_ given: String, _ spelled: String) {
    let path = LinkName.path(TensorName(given))
    #expect(path.spelling == spelled)
    #expect(LinkName.path(TensorName(path.spelling)) == path)
  }
}

@Suite struct NewFileTests {
  private static let types: [Datatype] =
    [1, 2, 4, 8].flatMap { size in
      [true, false].map { .integer(size: size, signed: $0, bigEndian: false) }
    } + [
      .float(size: 2, exponentBits: 5, mantissaBits: 10, bias: 15, bigEndian: false),
      .float(size: 2, exponentBits: 8, mantissaBits: 7, bias: 127, bigEndian: false),
      .float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: true),
      .float(size: 8, exponentBits: 11, mantissaBits: 52, bias: 1023, bigEndian: false),
    ]
  private static let shapes: [[UInt64]] = [[], [0], [5], [2, 3], [3, 0, 2], [1, 2, 1, 2, 3]]

  /// A group with a dataset of every type and shape; values count up.
  private func build() throws -> FileDescriptor {
    let file = try temporaryFile([])
    var new = try createFile(file)
    try new.addGroup([], texts: [.init("long", String(repeating: "é", count: 30_000)), .init("empty", "")])
    try new.addGroup(LinkName.path(#"\xff"#), texts: [.init("activation", "relu")])
    for (number, type) in Self.types.enumerated() {
      for (rank, dimensions) in Self.shapes.enumerated() {
        let path = LinkName.path(TensorName(#"\xff/\x0a"# + "\(number) \(rank)"))
        let range = try new.addDataset(path, type: type, dimensions: dimensions, texts: [.init("role", "other")])
        let count = Int(dimensions.reduce(1, *)) * type.size
        #expect(range?.length ?? 0 == UInt64(count))
        if let range { try file.writeAll(toAbsoluteOffset: Int64(range.offset), values(count)) }
      }
    }
    try new.close()
    return file
  }

  private func values(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 + 1) } }

  @Test func whatIsWrittenIsRead() throws {
    let file = try build()
    defer { try? file.close() }
    var session = try openSession(file)
    let table = try session.tableOfContents(texts: ["long", "empty", "activation", "role"])
    #expect(table.links.isEmpty && table.objects.count == 2 + Self.types.count * Self.shapes.count)
    #expect(
      table.objects[0].attributes
        == [
          Attribute(name: "empty", texts: [""]),
          Attribute(name: "long", texts: [String(repeating: "é", count: 30_000)]),
        ])
    #expect(try table.object(#"\xFF"#).attributes == [Attribute(name: "activation", texts: ["relu"])])
    for (number, type) in Self.types.enumerated() {
      for (rank, dimensions) in Self.shapes.enumerated() {
        let object = try table.object(#"\xFF/"# + "\n\(number) \(rank)")
        let dataset = try table.dataset(object.paths[0].text)
        #expect(dataset.type == type && dataset.dimensions == dimensions && dataset.filters.isEmpty)
        #expect(object.attributes == [Attribute(name: "role", texts: ["other"])])
        let count = Int(dimensions.reduce(1, *)) * type.size
        #expect(try session.values(ofDatasetAt: object.address, byteCount: count) == values(count))
      }
    }
  }

  @Test func sameCallsGiveTheSameBytes() throws {
    let (first, second) = (try build(), try build())
    defer { for file in [first, second] { try? file.close() } }
    #expect(try bytes(of: first) == bytes(of: second))
  }

  @Test func whatCannotBeIsRefused() throws {
    let file = try temporaryFile([])
    defer { try? file.close() }
    var new = try createFile(file)
    #expect(throws: HDF5Error.self) { try new.addGroup(LinkName.path("missing/group")) }
    #expect(throws: HDF5Error.self) {
      try new.addDataset(LinkName.path("a"), type: .opaque(size: 2, tag: ""), dimensions: [1])
    }
    #expect(throws: HDF5Error.self) {
      try new.addDataset(LinkName.path("a"), type: Self.types[0], dimensions: [1 << 40, 1 << 40])
    }
    try new.addGroup(LinkName.path("a"))
    #expect(throws: HDF5Error.self) { try new.addDataset(LinkName.path("a"), type: Self.types[0], dimensions: [1]) }
    // What failed left the file usable.
    _ = try new.addDataset(LinkName.path("a/b"), type: Self.types[0], dimensions: [0])
    try new.close()
    var session = try openSession(file)
    #expect(try session.tableOfContents(texts: []).objects.map(\.paths) == [[""], ["a"], ["a/b"]])
  }
}
