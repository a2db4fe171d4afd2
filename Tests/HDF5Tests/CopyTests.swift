// SPDX-License-Identifier: Apache-2.0

import Random
import SystemPackage
import Tensors
import Testing

@testable import HDF5

/// What can be said of an object wherever it lies: addresses and offsets are left out.
private struct Likeness: Equatable, CustomStringConvertible {
  var paths: [TensorName]
  var kind: String
  var attributes: [Attribute]
  var values: [UInt8]?
  var description: String { "\(paths) \(kind) \(attributes.map(\.name)) \(values?.count ?? -1)" }
}

@Suite struct CopyTests {
  private static let own = [
    "attributes", "attributes_dense", "elsewhere", "filters", "many_links", "structure", "types",
  ].map { files.appending("\($0).h5") }
  private static let networks = [
    "compact_userblock", "filters_lzf_scaleoffset_nbit", "libver_earliest", "links", "odd_values_and_shapes",
    "rich_attributes", "transposed_fortran", "f16_gzip_shuffle_fletcher",
  ].map { name in
    var folder = FilePath(#filePath)
    for _ in 0..<3 { folder.removeLastComponent() }
    return folder.appending("fixtures/networks/digits.\(name).h5")
  }

  private func copied(
    _ source: FileDescriptor, _ changes: CopyChanges = CopyChanges()
  ) throws -> (file: FileDescriptor, result: CopiedFile) {
    let copy = try temporaryFile([])
    return (copy, try makeCopy(of: source, in: copy, changing: changes))
  }

  private func likenesses(_ file: FileDescriptor) throws -> (objects: [Likeness], links: [Link]) {
    var session = try openSession(file)
    let table = try session.tableOfContents(texts: ["*"])
    let objects = try table.objects.map { object in
      var likeness = Likeness(paths: object.paths, kind: "\(object.kind)", attributes: object.attributes)
      guard case .dataset(let dataset) = object.kind else { return likeness }
      let layout =
        switch dataset.layout {
        case .compact: "compact"
        case .contiguous(let range): range == nil ? "never written" : "contiguous"
        case .chunked(let dimensions, let chunks): "\(dimensions) \(chunks.map(\.origin)) \(chunks.map(\.filterMask))"
        case .external: "external"
        case .virtual: "virtual"
        }
      likeness.kind = "\(dataset.type) \(String(describing: dataset.dimensions)) \(layout) \(dataset.filters)"
      if let byteCount = dataset.byteCount, dataset.type.isScalar, byteCount < 1 << 20,
        dataset.filters.allSatisfy(\.isAvailable), !["external", "virtual"].contains(layout)
      {
        likeness.values = try session.values(ofDatasetAt: object.address, byteCount: Int(byteCount))
      }
      return likeness
    }
    return (objects, table.links)
  }

  /// Everything that a table of contents tells and all values are as in the source, but for what holds references.
  @Test(arguments: own + networks) func aCopyIsLikeItsSource(path: FilePath) throws {
    let source = try FileDescriptor.open(path, .readOnly)
    defer { try? source.close() }
    let (copy, result) = try copied(source)
    defer { try? copy.close() }
    #expect(result.places.isEmpty)
    var before = try likenesses(source)
    let after = try likenesses(copy)
    for phrase in result.leftBehind {
      let quoted = phrase.split(separator: "'")
      if quoted.count > 1 {
        for index in before.objects.indices {
          before.objects[index].attributes.removeAll { $0.name == TensorName(quoted[1]) }
        }
      } else {
        before.objects.removeAll { object in object.paths.contains { phrase.hasPrefix("\($0),") } }
      }
    }
    before.links.removeAll { $0.kind == .userDefined }
    for (one, other) in zip(before.objects, after.objects) { #expect(one == other) }
    #expect(before.objects.count == after.objects.count && before.links == after.links)

    let (again, _) = try copied(source)
    defer { try? again.close() }
    #expect(try bytes(of: again) == bytes(of: copy), "the same copy")
  }

  /// What is damaged is copied or refused; anything else would end this test's process, or take longer than it may.
  @Test func damagedFilesEndInACopyOrATypedError() throws {
    var random = SplitMix64(seed: 7)
    var copies = 0
    for name in ["attributes_dense.h5", "elsewhere.h5", "filters.h5", "structure.h5", "types.h5"] {
      let sound = try bytes(of: FileDescriptor.open(files.appending(name), .readOnly))
      for _ in 0..<12 {
        var damaged = sound
        for _ in 0..<Int.random(in: 1...16, using: &random) {
          damaged[Int.random(in: 0..<damaged.count, using: &random)] = .random(in: 0...255, using: &random)
        }
        let file = try temporaryFile(damaged)
        defer { try? file.close() }
        do {
          let (copy, _) = try copied(file)
          copies += 1
          #expect(try copy.seek(offset: 0, from: .end) <= 2 * sound.count + 16 << 20)
          try copy.close()
        } catch is HDF5Error {}
      }
    }
    #expect(copies > 0)
  }

  @Test func changes() throws {
    let source = try FileDescriptor.open(files.appending("../../../fixtures/networks/digits_relu.h5"), .readOnly)
    defer { try? source.close() }
    var session = try openSession(source)
    let table = try session.tableOfContents(texts: ["*"])
    let kernels = table.objects.filter { $0.paths[0].hasSuffix("kernel") }
    let (first, second) = (kernels[0], kernels[1])
    let (copy, result) = try copied(
      source,
      CopyChanges(
        dimensions: [first.address: [3, 5], second.address: [0, 7]],
        without: [LinkName.path("optimizer_weights"), LinkName.path("no/such")],
        texts: [.init("model_config", "{\"é\": 1}"), .init("no_such", "")]))
    defer { try? copy.close() }
    let place = try #require(result.places[first.address])
    #expect(result.places.count == 1 && place.length == 60 && result.leftBehind.isEmpty)
    try copy.writeAll(toAbsoluteOffset: Int64(place.offset), floats(1...15))

    var reader = try openSession(copy)
    let after = try reader.tableOfContents(texts: ["*"])
    #expect(try after.dataset(second.paths[0].text).dimensions == [0, 7])
    let changed = try after.object(first.paths[0].text)
    #expect(try after.dataset(first.paths[0].text).dimensions == [3, 5] && changed.attributes == first.attributes)
    #expect(try reader.values(ofDatasetAt: changed.address, byteCount: 60) == floats(1...15))
    #expect(
      after.objects.map(\.paths) == table.objects.map(\.paths).filter { !$0[0].hasPrefix("optimizer_weights") })
    #expect(table.objects.count > after.objects.count)
    var attributes = table.objects[0].attributes
    let configuration = try #require(attributes.firstIndex { $0.name == "model_config" })
    attributes[configuration].texts = ["{\"é\": 1}"]
    #expect(after.objects[0].attributes == attributes)
  }

  /// Texts of both kinds, of fixed and of variable length, can be replaced; what is no text cannot.
  @Test func texts() throws {
    let source = try FileDescriptor.open(
      files.appending("../../../fixtures/networks/digits.rich_attributes.h5"), .readOnly)
    defer { try? source.close() }
    for name in ["fixed", "vlen_utf8"] {
      for text in ["", "short", String(repeating: "longer ", count: 2000)] {
        let (copy, _) = try copied(source, CopyChanges(texts: [.init(name, text)]))
        defer { try? copy.close() }
        var session = try openSession(copy)
        let root = try session.tableOfContents(texts: ["*"]).objects[0]
        #expect(root.attributes.first { $0.name == TensorName(name) }?.texts == [text])
      }
    }
    for name in ["array", "vlen_list"] {
      #expect(throws: HDF5Error.self) { try copied(source, CopyChanges(texts: [.init(name, "a")])) }
    }
  }
}
