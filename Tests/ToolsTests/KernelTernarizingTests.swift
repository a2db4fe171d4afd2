// SPDX-License-Identifier: Apache-2.0

import JSON
import SystemPackage
import TestSupport
import Testing

/// `nc-ternarize --method ntk`, as a shell uses it.
@Suite("Ternary networks with the same kernels") struct KernelTernarizingTests {
  private static let start = Preparation([
    "net.h5": "networks/digits_relu.h5", "data.h5": "data/digits_relu.ref.h5",
  ])
  private let folder: TemporaryFolder

  init() throws { folder = try Self.start.folder() }

  private static let command = "nc-ternarize --method ntk --data data.h5 --y label"

  private func run(_ line: String) throws -> String {
    let run = try shell(line, in: folder)
    try #require(run.status == 0, "\(line): \(run.diagnostics)")
    return String(decoding: run.output, as: UTF8.self)
  }

  private func accuracy(_ file: String) throws -> Double {
    let report = try JSONValue.parse(Array(run("nc-run -q --json --data data.h5 --y label \(file)").utf8))
    return try #require(report["accuracy"]?.double)
  }

  /// Every way makes a sound file whose claim holds, which is restored as the same function; and the same bytes on any
  /// number of threads.
  @Test(arguments: [
    ("--weights project --match none", 0.9), ("--weights project", 0.85), ("", 0.7), ("--weights seed", 0.7),
    ("--match sigma-t --readout softmax --ridge .01", 0.5), ("--match levels:5 --widths 80,70,60 --sparsity .9", 0.7),
    ("--match sigma-q --weights sample --seed 5", 0.4), ("--weights seed --rotate --sparsity .9", 0.7),
    ("--weights project --ternarize-readout", 0.8),
  ])
  func makes(_ options: String, _ floor: Double) throws {
    _ = try run("\(Self.command) -q -T1 \(options) net.h5 a.ncz && \(Self.command) -q -T3 \(options) net.h5 b.ncz")
    _ = try run("cmp a.ncz b.ncz && nc-info --test a.ncz && nc-verify -q --data data.h5 --y label net.h5 a.ncz")
    _ = try run("nc-restore -q a.ncz a.h5")
    #expect(try accuracy("a.ncz") == accuracy("a.h5"))
    #expect(try accuracy("a.ncz") >= floor)
  }

  /// A seed stands for the weights that it gives.
  @Test func seedIsTheSample() throws {
    _ = try run("\(Self.command) -q net.h5 a.ncz && \(Self.command) -q --weights seed net.h5 b.ncz")
    func digests(_ file: String) throws -> [String?] {
      let listing = try JSONValue.parse(Array(run("nc-info --json \(file)").utf8))
      return try #require(listing["tensors"]?.array).map { $0["digest"]?.string }
    }
    #expect(try digests("a.ncz") == digests("b.ncz"))
    #expect(try run("nc-info b.ncz").contains("seeded"))
  }

  /// Without the data nothing can be said of the outputs, which is no success.
  @Test func claimNeedsTheData() throws {
    _ = try run("\(Self.command) -q net.h5 a.ncz")
    let verified = try shell("nc-verify net.h5 a.ncz", in: folder)
    #expect(verified.status == 1)
    #expect(
      String(decoding: verified.output, as: UTF8.self).hasPrefix(
        "FAILED: what a step claims of the outputs was not checked, and no --max-… was given\n"))
  }

  /// A rotation makes what the fourth moment of sparse weights does smaller; at a sparsity of 2/3 there is nothing.
  @Test func rotates() throws {
    func shift(_ options: String) throws -> Double {
      let report = try JSONValue.parse(Array(run("\(Self.command) --json -f \(options) net.h5 a.ncz").utf8))
      let shift = try #require(report["fourth_moment_shift"]?.double)
      let notes = try #require(report["notes"]?.array).compactMap(\.string)
      #expect(notes.contains { $0.contains("shift the first layer's kernel") } == (shift > 0.02), "\(notes)")
      return shift
    }
    let (plain, rotated) = (try shift("--sparsity .9"), try shift("--sparsity .9 --rotate"))
    #expect(rotated < plain && plain > 0.02, "\(plain) \(rotated)")
    #expect(try shift("--sparsity .66666") < 1e-4)
  }

  @Test func warns() throws {
    let sampled = try shell("\(Self.command) net.h5 a.ncz", in: folder)
    #expect(sampled.diagnostics.contains("throws the training away; --weights project keeps it"))
    let projected = try shell("\(Self.command) --weights project --match none net.h5 b.ncz", in: folder)
    #expect(!projected.diagnostics.contains("throws"))
  }

  @Test(arguments: [
    ("nc-ternarize --method ntk net.h5 a.ncz", 64, "--data FILE says to which samples"),
    ("nc-ternarize --match none net.h5 a.ncz", 64, "--match belongs to --method ntk"),
    ("nc-ternarize --data data.h5 net.h5 a.ncz", 64, "--data belongs to --method ntk"),
    ("\(command) --match levels:2 net.h5 a.ncz", 64, "levels:3 … levels:16"),
    ("\(command) --sparsity 1 net.h5 a.ncz", 64, "leaves no weight"),
    ("\(command) --widths 0 net.h5 a.ncz", 64, "numbers of units"),
    ("\(command) --weights project --seed 1 net.h5 a.ncz", 64, "draws nothing"),
    ("\(command) --weights project --rotate net.h5 a.ncz", 64, "keeps weights for the inputs as they are"),
    ("nc-ternarize --rotate net.h5 a.ncz", 64, "--rotate belongs to --method ntk"),
    ("\(command) --scale-per row net.h5 a.ncz", 64, "scales of its own"),
    ("nc-ternarize --method ntk --data data.h5 net.h5 a.ncz", 65, "the answers are no classes"),
    ("nc-ternarize --method ntk --data net.h5 net.h5 a.ncz", 65, "no dataset x"),
  ])
  func refuses(_ line: String, _ status: Int32, _ sentence: String) throws {
    let run = try shell(line, in: folder)
    #expect(run.status == status && run.diagnostics.contains(sentence), "\(run.diagnostics)")
  }

  @Test func refusesOtherNetworks() throws {
    let fixtures = Fixtures.folder
    let branch = try shell("\(Self.command) \(fixtures)/networks/digits_branch.h5 a.ncz", in: folder)
    #expect(branch.status == 69 && branch.diagnostics.contains("the network is no chain"), "\(branch.diagnostics)")
    let wide = try shell("\(Self.command) \(fixtures)/networks/fashion_300_100.h5 a.ncz", in: folder)
    #expect(wide.status == 65 && wide.diagnostics.contains("64 numbers a sample, expected 784"), "\(wide.diagnostics)")
  }
}
