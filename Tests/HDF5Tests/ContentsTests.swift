// SPDX-License-Identifier: Apache-2.0

import HDF5
import SystemPackage
import Tensors
import Testing

private let float32 = Datatype.float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: false)

@Suite struct ContentsTests {
  @Test func everyObjectOnceInTheOrderOfItsFirstPath() throws {
    let table = try contents("structure.h5")
    #expect(
      table.objects.map(\.paths) == [
        ["", "a/up"], ["a"], ["a/b"], ["a/b/alias", "a/b/kernel"], ["chunked"], ["compact"], ["type"], ["z"],
        [#"z/latin\xE9\x5C"#],
      ])
    #expect(try table.object("type").kind == .other)
    #expect(try table.object("a/b").kind == .group)
  }

  @Test func otherLinksAreListedNotFollowed() throws {
    #expect(
      try contents("structure.h5").links == [
        Link(path: "z/dangling", kind: .soft, target: "nowhere"),
        Link(path: "z/external", kind: .external, target: "other.h5:/x"),
        Link(path: "z/soft", kind: .soft, target: "/a/b/kernel"),
      ])
  }

  @Test func offsetsCountFromTheFirstByteOfTheFile() throws {
    let file = try FileDescriptor.open(files.appending("structure.h5"), .readOnly)
    defer { try? file.close() }
    let table = try contents("structure.h5")
    #expect(table.userBlock == 512)
    let kernel = try table.dataset("a/b/kernel")
    #expect(kernel.type == float32 && kernel.dimensions == [3, 4])
    guard case .contiguous(let range?) = kernel.layout else { throw NotFound(path: "storage") }
    #expect(try bytes(of: file, at: range.offset, count: Int(range.length)) == floats(0..<12))
    guard case .chunked(let chunk, let chunks) = try table.dataset("chunked").layout else {
      throw NotFound(path: "chunks")
    }
    #expect(chunk == [4] && chunks.map(\.origin) == [[0], [4]])
    #expect(
      try bytes(of: file, at: chunks[0].range.offset, count: Int(chunks[0].range.length))
        == littleEndian(0..<4 as Range<Int16>))
    #expect(try table.dataset("compact").layout == .compact)
  }

  @Test(arguments: [
    ("order_little_f2", Datatype.float(size: 2, exponentBits: 5, mantissaBits: 10, bias: 15, bigEndian: false)),
    ("order_big_f4", .float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: true)),
    ("order_little_f8", .float(size: 8, exponentBits: 11, mantissaBits: 52, bias: 1023, bigEndian: false)),
    ("order_little_u1", .integer(size: 1, signed: false, bigEndian: false)),
    ("order_big_i8", .integer(size: 8, signed: true, bigEndian: true)),
    ("bfloat16", .float(size: 2, exponentBits: 8, mantissaBits: 7, bias: 127, bigEndian: false)),
    ("opaque", .opaque(size: 2, tag: "bf")),
    ("narrow", .other("integer", size: 4)),
    ("text", .other("string", size: 8)),
    ("truth", .other("enum", size: 1)),
    ("compound", .other("compound", size: 6)),
  ])
  func elementTypes(_ name: String, _ type: Datatype) throws {
    #expect(try contents("types.h5").dataset(name).type == type)
  }

  @Test func dataspaces() throws {
    let table = try contents("types.h5")
    #expect(try table.dataset("scalar").dimensions == [])
    #expect(try table.dataset("null").dimensions == nil)
    #expect(try table.dataset("bfloat16").layout == .contiguous(nil))
  }

  @Test func filtersAndStoredChunks() throws {
    let table = try contents("filters.h5")
    let all = try table.dataset("all")
    #expect(all.filters.map(\.id) == [2, 1, 3] && all.filters.allSatisfy(\.isAvailable))
    #expect(all.filters[1] == Filter(id: 1, name: "deflate", isOptional: true, parameters: [4], isAvailable: true))
    #expect(try table.dataset("lzf").filters.map(\.isAvailable) == [true])
    guard case .chunked(_, let chunks) = try table.dataset("sparse").layout else { throw NotFound(path: "chunks") }
    #expect(chunks.map(\.origin) == [[4, 3]])
  }

  @Test func textsOfTheAttributesAskedFor() throws {
    let table = try contents(
      "attributes.h5", texts: ["variable", "fixed", "names*", "number", "empty", "invalid", "padded"])
    let texts = Dictionary(uniqueKeysWithValues: try table.object("").attributes.map { ($0.name, $0.texts) })
    #expect(
      texts == [
        "variable": ["größer"], "fixed": ["fc1", "longer", ""], "names0": ["x", "y"], "names1": [], "number": nil,
        "empty": [], "invalid": [#"a\xFFb\"#], "padded": ["ab"],
      ])
  }

  @Test func attributesNotAskedForAreOnlyNamed() throws {
    let table = try contents("attributes_dense.h5", texts: ["note03"])
    let attributes = try table.object("").attributes
    #expect(
      attributes.count == 12 && attributes.filter { $0.texts != nil } == [Attribute(name: "note03", texts: ["text 3"])])
  }
}
