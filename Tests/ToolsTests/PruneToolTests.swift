// SPDX-License-Identifier: Apache-2.0

import JSON
import SystemPackage
import TestSupport
import Testing

/// `nc-prune` as a shell runs it.
@Suite("Pruning") struct PruneTests {
  private static let start = Preparation(["net.h5": "networks/digits_relu.h5"])
  private let folder: TemporaryFolder

  init() throws { folder = try Self.start.folder() }

  private func run(_ line: String) throws {
    let run = try shell(line, in: folder)
    try #require(run.status == 0, "\(line): \(run.diagnostics)")
  }

  private func same(_ a: String, _ b: String) throws -> Bool {
    try contents(of: folder / a) == contents(of: folder / b)
  }

  /// What `nc-info --json` says of each weight matrix.
  private func matrices(_ file: String) throws -> [JSONValue] {
    let output = try shell("nc-info --json \(file)", in: folder).output
    return try #require(JSONValue.parse(output)["tensors"]?.array).filter {
      $0["role"]?.string == "kernel" && $0["shape"]?.array?.count == 2
    }
  }

  @Test func everythingKeptIsTheSameFile() throws {
    try run("nc-prune -q --keep 1 net.h5 | nc-restore -q - all.h5")
    #expect(try same("all.h5", "net.h5"))
  }

  @Test(arguments: ["--keep .3", "--keep .4 --scope network", "--by singular-value --keep .5"])
  func pruningTwiceIsPruningOnce(_ options: String) throws {
    try run("nc-prune -q \(options) net.h5 once.ncz && nc-restore -q once.ncz once.h5")
    try run("nc-prune -q \(options) once.ncz | nc-restore -q - twice.h5")
    if options.contains("singular") {
      // Computed again: the same up to rounding.
      try run("nc-prune -q \(options) once.ncz again.ncz")
      for matrix in try matrices("again.ncz") {
        #expect(try #require(matrix["history"]?.array?.last?["error"]?.double) < 1e-6)
      }
    } else {
      #expect(try same("once.h5", "twice.h5"))
    }
  }

  /// Every step is in the history, and what was lost is within what was asked for.
  @Test func errorsStayBelowTheirBound() throws {
    for by in ["magnitude", "singular-value"] {
      try run("nc-prune -fq --by \(by) --max-error .25 net.h5 bound.ncz")
      for matrix in try matrices("bound.ncz") {
        let step = try #require(matrix["history"]?.array?.last)
        #expect(step["tool"]?.string == "nc-prune")
        #expect(step["options"]?.string == (by == "magnitude" ? "" : "--by \(by) ") + "--max-error 0.25")
        // Rounding of factors may add its 2⁻²⁴.
        #expect(try #require(step["error"]?.double) <= 0.25 * (1 + 0x1p-20))
      }
    }
  }

  @Test func pipelinesKeepZeros() throws {
    try run("nc-prune -q --keep .3 net.h5 pruned.ncz")
    try run("nc-ternarize -q pruned.ncz both.ncz && nc-restore -q both.ncz both.h5")
    // Pruned weights stay zero: nothing is left to drop at the same keep, and nothing is recorded or stored otherwise.
    try run("nc-prune -q --keep .3 both.ncz again.ncz")
    #expect(try same("both.ncz", "again.ncz"))
    try run("nc-prune -q --keep .05 both.ncz less.ncz")
    for matrix in try matrices("less.ncz") {
      #expect(matrix["history"]?.array?.compactMap { $0["tool"]?.string } == ["nc-prune", "nc-ternarize", "nc-prune"])
      #expect(["ternary", "sparse signs", "grid"].contains(matrix["encoding"]?.string), "what is ternary stays so")
    }
    for file in ["pruned.ncz", "both.ncz", "less.ncz"] { try run("nc-info --test \(file)") }
  }

  @Test(arguments: [("4k", 4000), ("12k", 12_000)]) func theOutputFits(size: String, bytes: Int) throws {
    let run = try shell("nc-prune --drop optimizer --target-size \(size) net.h5 fits.ncz", in: folder)
    if run.status == 75 {
      #expect(run.diagnostics.contains("with nothing kept") && !names(in: folder.path).contains("fits.ncz"))
    } else {
      #expect(run.status == 0 && run.diagnostics.contains("bytes, of at most \(bytes)"))
      #expect(try contents(of: folder / "fits.ncz").count <= bytes)
    }
  }
}
