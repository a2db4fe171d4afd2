// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CLoops
import Glibc
import JSON
import Networks
import ToolSupport

@main
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nc-bench",
    abstract: "Time the inner loops and the whole tools on generated weights.",
    discussion: """
      Speeds are GB of dense weights (10⁹ bytes) per second of processor time, best and median run, and per second of
      wall time. The last figures say how the best run compares with memcpy of as many bytes on this machine, and how
      much memory a tool needed. Nothing is read but what the bench has written itself. The rows "sparse" compare the
      sparse encoding with other programs on the same pruned weights.

        nc-bench
        nc-bench --only ternarize --level 1
        nc-bench --only sparse
        nc-bench --tools /usr/local/bin --size 8192
      """,
    version: Version.text("nc-bench"))

  @Option(help: ArgumentHelp("Only rows whose name contains this; may be repeated.", valueName: "text"))
  var only: [String] = []
  @Option(name: .shortAndLong, help: "Runs of each row.") var repetitions = 7
  @Option(help: "Loops in no form above: 0 plain C, 1 AVX2, 2 AVX-512 (default: what the processor has).")
  var level: Int32?
  @Option(help: ArgumentHelp("Where the tools are (default: beside nc-bench).", valueName: "folder"))
  var tools: String?
  @Option(help: "Rows and columns of the matrix that the tools are given.") var size = 16384
  @Option(help: ArgumentHelp("Where to put that file (default: TMPDIR or /tmp).", valueName: "folder"))
  var scratch: String?
  @Flag(help: "Print one JSON object.") var json = false

  func validate() throws {
    guard repetitions > 0 else { throw ValidationError("--repetitions: expected 1 or more, found \(repetitions)") }
    // The largest matrix is 64 GiB.
    guard (1...1 << 17).contains(size) else { throw ValidationError("--size: expected 1…131072, found \(size)") }
  }

  func run() throws {
    if let level { nc_limit_level(level) }
    var bench = Measurements(only: only, repetitions: repetitions)
    let scratch = scratch ?? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    // Processes first: a child begins with its parent's peak memory, which is still small.
    try measureTools(in: tools ?? folderOfThisProgram(), scratch: scratch, size: size, into: &bench)
    try measureVerifying(in: tools ?? folderOfThisProgram(), scratch: scratch, into: &bench)
    try measureManyTensors(in: tools ?? folderOfThisProgram(), scratch: scratch, into: &bench)
    try measureSparsePeers(scratch: scratch, into: &bench)
    try measureLoops(into: &bench)
    try measurePruning(into: &bench)
    try measureSparse(into: &bench)
    try measureLevels(into: &bench)
    // Last: it chooses kernels of OpenBLAS for the whole process.
    try measurePlanes(into: &bench)
    try report(json ? bench.json : bench.text)
  }

  private func folderOfThisProgram() -> String {
    let path = realpath("/proc/self/exe", nil).map { pointer in
      defer { free(pointer) }
      return String(cString: pointer)
    }
    return path.map { String($0[..<($0.lastIndex(of: "/") ?? $0.startIndex)]) } ?? "."
  }
}
