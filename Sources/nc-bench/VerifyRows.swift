// SPDX-License-Identifier: Apache-2.0

import Glibc
import Random
import ToolSupport

/// Times `nc-verify` on sixteen matrices and what pruning left of them, and `h5diff` on the same pair.
func measureVerifying(in folder: String, scratch: String, into bench: inout Measurements) throws {
  let names = ["nc-verify --fast --measure weights", "nc-verify --measure weights", "h5diff"]
  guard names.contains(where: bench.wants) else { return }
  let directory = try temporaryDirectory(in: scratch)
  let (dense, other) = (directory + "/dense.h5", directory + "/other.h5")
  defer {
    for path in [dense, other] { unlink(path) }
    rmdir(directory)
  }
  let (count, size) = (16, 4096)
  for (path, isPruned) in [(dense, false), (other, true)] {
    var random = SplitMix64(seed: 3)
    try writeMatrices(count, to: path, size: size) {
      let row = random.floats(.gaussian, size)
      return isPruned ? row.map { $0.magnitude < 0.5 ? 0 : $0 } : row
    }
  }
  func measure(_ name: String, _ arguments: [String], threads: Int) throws {
    guard bench.wants(name) else { return }
    let runs = try (0..<bench.repetitions).map { _ in try run(arguments) }
    bench.add(
      Measurement(
        name: name, data: "\(count) × \(size)×\(size) float32, twice", threads: threads,
        bytes: 2 * 4 * count * size * size, runs: runs.map(\.duration), memory: runs.map(\.memory).max()))
  }
  let verify = [folder + "/nc-verify", "-q", "--no-verdict", "--measure", "weights", dense, other]
  try measure(names[0], verify + ["--fast", "-T", "1"], threads: 1)
  try measure(names[0], verify + ["--fast", "-T", "2"], threads: 2)
  // With a tolerance that no difference exceeds: it prints each that does.
  try measure(names[2], ["h5diff", "-d", "1e30", dense, other], threads: 1)
  try measure(names[1], verify + ["-T", "2"], threads: 2)
}
