// SPDX-License-Identifier: Apache-2.0

import Compression
import HDF5
import JSON
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks
@testable import Transforms

@Suite("Plain layout")
struct PlainTests {
  private func writePlain(_ network: NetworkFile) throws -> OpenFile {
    let file = try OpenFile()
    let size = try file.with { file, _ in try network.writePlain(to: file) }
    #expect(try file.with { _, count in count } == size)
    return file
  }

  /// Every tensor keeps type, shape, role and values, and the network its graph.
  @Test(arguments: Fixtures.networks) func aFixtureIsTheSameNetwork(path: FilePath) throws {
    try withNetwork(OpenFile(path)) { source in
      let file = try writePlain(source)
      #expect(try file.bytes == writePlain(source).bytes, "written twice")
      let places = try PlainPlaces(of: source.tensors)
      try withNetwork(file) { plain in
        #expect(plain.layout == "plain" && plain.tensors.count == source.tensors.count)
        #expect(plain.notes.isEmpty)
        for (index, before) in source.tensors.enumerated() {
          let name = places[index].path.spelling
          let other = try #require(plain.tensors.firstIndex { $0.name == TensorName(name) }, "\(name)")
          let after = plain.tensors[other]
          #expect(after.type == before.type && after.shape == before.shape && after.byteOrder == .little)
          #expect(after.role == before.role && after.isTransposed == before.isTransposed, "\(name)")
          #expect(try plain.values(of: other) == source.values(of: index), "\(name)")
        }
        let renamed = source.network?.renamingTensors { name in
          source.tensors.firstIndex { $0.name == name }.map { TensorName(places[$0].path.spelling) } ?? "?"
        }
        #expect(plain.network == renamed)
      }
    }
  }

  /// Layers of one weight each, in a chain; the values count up.
  private func chain(_ layers: [String]) throws -> OpenFile {
    BuiltTools.serveHDF5()
    let source = try OpenFile()
    try source.with { file, _ in
      var new = try NewFile(file, limits: Limits(memory: 1 << 30, seconds: 10))
      let float = Datatype.float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: false)
      for (number, layer) in layers.enumerated() {
        try new.addGroup(LinkName.path(TensorName(layer)))
        let range = try new.addDataset(LinkName.path("\(layer)/kernel"), type: float, dimensions: [1, 1])
        _ = try file.writeAll(toAbsoluteOffset: Int64(range?.offset ?? 0), [0, 0, 0, UInt8(number % 64)])
      }
      try new.close()
    }
    return source
  }

  @Test func aNetworkTooLongForOneAttribute() throws {
    try withNetwork(chain((0..<1500).map { "é\($0)" })) { source in
      let network = try #require(source.network)
      #expect(network.json.serialized().count > 2 * 60_000)
      try withNetwork(writePlain(source)) { #expect($0.network == network && $0.notes.isEmpty) }
    }
  }

  /// Names that are no UTF-8, or look like their own escapes, go through `.ncz` and back.
  @Test func oddNamesInEveryFormat() throws {
    let names = [#"\x5C"#, #"\x5CxFF"#, #"\xE9"#, "e\u{301}", "é"]
    try withNetwork(chain(names)) { source in
      #expect(Set(source.tensors.map { $0.name }) == Set(names.map { TensorName($0 + "/kernel") }))
      let compressed = try OpenFile()
      _ = try compressed.with { file, _ in
        try source.apply(
          .ternarize(.row, .optimal), to: file,
          CompressingOptions(
            selection: Selection(except: ["*"]), dropsOptimizer: false, writing: WritingOptions(), tool: "test",
            version: "0"))
      }
      try withNetwork(compressed) { network in
        #expect(network.tensors.map(\.name) == source.tensors.map(\.name))
        try withNetwork(writePlain(network)) { plain in
          #expect(plain.tensors.map { $0.name } == source.tensors.map { $0.name })
          #expect(plain.network == source.network && plain.notes.isEmpty)
        }
      }
    }
  }

  // MARK: Names

  private func names(_ tensors: [(name: String, role: TensorRole, isTransposed: Bool)]) throws -> [String] {
    let records = try tensors.map { tensor in
      TensorRecord(
        name: TensorName(tensor.name), aliases: [], type: .float32, byteOrder: .little,
        shape: try #require(Shape([2, 3])),
        role: tensor.role, axes: tensor.isTransposed ? .outputsLast() : .standard(rank: 2),
        encoding: .raw(planes: false), parts: [], history: [])
    }
    let places = try PlainPlaces(of: records)
    return tensors.indices.map { places[$0].path.spelling }
  }

  @Test func weightsLieInTheGroupOfTheirLayer() throws {
    let tensors: [(name: String, role: TensorRole, isTransposed: Bool)] = [
      ("fc1/kernel", .kernel, true), ("dense_1/W", .kernel, true), ("net.0.weight", .kernel, false),
      ("net.0.bias", .bias, false), ("m", .kernel, false), ("optimizer/a.b", .optimizer, false),
      ("v1.0", .other, false), ("/", .other, false), (#"\xFF\x0A/\x2f"#, .other, false),
    ]
    #expect(
      try names(tensors) == [
        "fc1/kernel", "dense_1/kernel", "net.0/weight", "net.0/bias", "m/weight", "optimizer/a.b", "v1.0", "_",
        "\\xFF\n/\\x5Cx2f",
      ])
  }

  @Test func whoeverComesLaterGetsANumber() throws {
    let given = ["a", "a/b", "a//b", "./a/b", "a/b_2", "a/b/c"]
    #expect(try names(given.map { ($0, .other, false) }) == ["a_2", "a/b_2", "a/b_3", "a/b_4", "a/b_2_2", "a/b/c"])
    #expect(
      try names([("d/W", .kernel, true), ("d/kernel", .kernel, true)]) == ["d/kernel", "d/kernel_2"])
  }

  @Test func groupsAreNotNestedWithoutEnd() throws {
    let path = Array(repeating: "a", count: 1025).joined(separator: "/")
    #expect(throws: NetworkError.self) { try names([(path, .other, false)]) }
  }

  // MARK: Reading

  private func reading(network: [String: String], role: String = "kernel") throws -> LayoutReading {
    var builder = TableBuilder()
    builder.group("", ["format": ["nc-plain"]].merging(network.mapValues { [$0] }) { $1 })
    for number in 1...2 {
      builder.dataset("l\(number)/kernel_2", [3, 3], TableBuilder.float32, ["role": [role]])
      builder.dataset("l\(number)/bias", [3], TableBuilder.float32, ["role": ["bias"]])
    }
    return try LayoutReading.read(builder.table)
  }

  private static let branch =
    #"{"nodes":[{"op":"input"},{"op":"dense","tensors":{"bias":"l1/bias","kernel":"l1/kernel_2"}},"#
    + #"{"inputs":[0,1],"op":"add"}]}"#

  @Test func theFileSaysWhatItHolds() throws {
    let whole = try reading(network: ["network": Self.branch])
    #expect(whole.kind == .plain && whole.notes.isEmpty && whole.network?.nodes.count == 3)
    #expect(whole.tensors.filter { $0.role == .kernel }.map(\.orientation) == [.inputsByOutputs, .inputsByOutputs])
    let (front, back) = (Self.branch.prefix(70), Self.branch.dropFirst(70))
    let parts = try reading(network: ["network0": String(front), "network1": String(back)])
    #expect(parts == whole)
    #expect(try reading(network: [:]).network == nil)
  }

  @Test(arguments: [
    ("{", "malformed"), (branch.replacing("l1/bias", with: "l9/bias"), "there is no l9/bias"),
    (branch.replacing("l1/kernel_2", with: "l1/bias"), "l1/bias is no dense weight matrix"),
    (branch.replacing(#""add""#, with: #""ad""#), "unknown operation ad"),
    (branch.replacing("[0,1]", with: "[2]"), "network: node 2 takes node 2, which is not before it"),
  ]) func whatDoesNotFitIsIgnoredWithANote(_ network: String, _ reason: String) throws {
    let reading = try reading(network: ["network": network])
    #expect(reading.notes.count == 1 && reading.notes[0].hasPrefix("the network in the file is ignored: "))
    #expect(reading.assumption != nil)
    if network != "{" { #expect(reading.notes[0].contains(reason)) }
    // The chain that can be assumed.
    #expect(reading.network?.nodes.count == 4)
  }

  @Test func aRoleThatCannotBeIsNotBelieved() throws {
    #expect(try reading(network: [:], role: "nonsense").tensors.map(\.role) == [.other, .bias, .other, .bias])
    #expect(try reading(network: [:], role: "optimizer").tensors.filter { $0.role == .optimizer }.count == 2)
  }
}
