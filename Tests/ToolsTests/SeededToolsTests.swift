// SPDX-License-Identifier: Apache-2.0

import JSON
import SystemPackage
import TestSupport
import Testing

/// Files with weights that a seed gives, as a shell treats them.
@Suite("Seeded weights, with the tools") struct SeededToolsTests {
  private static let start = Preparation(
    ["net.ncz": "good/131-seeded-network.ncz", "ref.h5": "data/digits_relu.ref.h5"],
    "nc-restore -q --layout plain net.ncz net.h5")
  private let folder: TemporaryFolder

  init() throws { folder = try Self.start.folder() }

  private func run(_ line: String) throws -> String {
    let run = try shell(line, in: folder)
    try #require(run.status == 0, "\(line): \(run.diagnostics)")
    return String(decoding: run.output, as: UTF8.self)
  }

  /// The encoding and the digest of each tensor.
  private func tensors(_ file: String) throws -> [[String]] {
    let listing = try JSONValue.parse(Array(run("nc-info --json \(file)").utf8))
    return try #require(listing["tensors"]?.array).map { tensor in
      ["encoding", "digest"].map { tensor[$0]?.string ?? "" }
    }
  }

  @Test func areListedAndTested() throws {
    let lines = try run("nc-info net.ncz").split(separator: "\n")
    let words = try #require(lines.first { $0.hasPrefix("a ") }).split(separator: " ").map(String.init)
    // 1024 weights of which one scale is stored.
    #expect(words == ["a", "64×16", "float32", "kernel", "seeded", "4", "0.0312"])
    #expect(try run("nc-info --test net.ncz") == "net.ncz: sound\n")
    #expect(try run("nc-info --stats net.ncz").contains("a "))
  }

  /// What a step leaves alone stays a seed; what it changes has the same values as a step on the values themselves gives.
  @Test(arguments: [
    "nc-ternarize --except '*'", "nc-ternarize --only a", "nc-prune --keep 1", "nc-quantize --except '*'",
  ])
  func stayWhatTheyAre(_ tool: String) throws {
    let before = try tensors("net.ncz")
    _ = try run(
      "\(tool) -q net.ncz a.ncz && nc-info --test a.ncz && \(tool) -q --mapped net.ncz b.ncz && nc-info --test b.ncz")
    #expect(try tensors("a.ncz") == before && tensors("b.ncz")[0] == before[0])
  }

  @Test(arguments: [
    "nc-prune --keep .2", "nc-prune --keep .1 --values ternary", "nc-prune --by node --keep .5", "nc-quantize --bits 3",
    "nc-prune --by singular-value --keep .3",
  ])
  func areChangedAsOtherWeights(_ tool: String) throws {
    _ = try run("\(tool) -q net.ncz a.ncz && nc-info --test a.ncz && \(tool) -q net.h5 b.ncz")
    #expect(try tensors("a.ncz").map(\.last) == tensors("b.ncz").map(\.last))
  }

  /// Multiplied with as packed codes, a restored matrix as doubles.
  @Test func runAsRestoredOnes() throws {
    let found = try ["net.ncz", "net.h5"].map { file in
      let report = try JSONValue.parse(Array(run("nc-run --json --data ref.h5 \(file)").utf8))
      return try #require(report["loss"]?.double)
    }
    #expect((found[0] - found[1]).magnitude <= 1e-12 * found[1])
  }

  /// A few bytes that declare 2⁵⁰ weights and more are refused at once, by every tool that reads values.
  @Test(arguments: ["bad/478-seeded-huge.ncz", "bad/479-seeded-huge-most.ncz"])
  func giantsAreRefused(_ path: String) throws {
    try write(try contents(of: Fixtures.folder.appending(path)), to: folder / "huge.ncz")
    #expect(try run("nc-info huge.ncz").contains("seeded"))
    for line in [
      "nc-info --test huge.ncz", "nc-restore --layout plain huge.ncz o", "nc-prune --keep .5 huge.ncz o",
      "nc-info --memory 4611686018427387904 --test huge.ncz",
    ] {
      let run = try shell(line, in: folder)
      #expect(run.status == 75, "\(line): \(run.status) \(run.diagnostics)")
    }
  }
}
