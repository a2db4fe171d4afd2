// SPDX-License-Identifier: Apache-2.0

import Glibc
import ToolSupport

/// Times the tools on a file of many small tensors, where the work is in the objects and not in the values, and `h5ls`,
/// which lists them.
func measureManyTensors(in folder: String, scratch: String, into bench: inout Measurements) throws {
  let count = 10_000
  let names = ["h5ls", "nc-info", "nc-ternarize", "nc-info --test", "nc-restore", "nc-restore --layout plain"]
    .map { "many tensors: " + $0 }
  guard names.contains(where: bench.wants) else { return }
  let directory = try temporaryDirectory(in: scratch)
  let (many, compressed, restored) = (directory + "/many.h5", directory + "/many.ncz", directory + "/restored.h5")
  defer {
    for path in [many, compressed, restored] { unlink(path) }
    rmdir(directory)
  }
  var value: Float = 0
  try writeMatrices(count, to: many, size: 3) {
    value += 1
    return [value, -value, 0.5]
  }
  let commands = [
    ["h5ls", "-r", many],
    [folder + "/nc-info", many],
    [folder + "/nc-ternarize", "-q", "-f", many, compressed],
    [folder + "/nc-info", "--test", compressed],
    [folder + "/nc-restore", "-q", "-f", compressed, restored],
    [folder + "/nc-restore", "-q", "-f", "--layout", "plain", compressed, restored],
  ]
  for (name, command) in zip(names, commands) {
    // Also when it was not asked for: others read what it writes.
    let runs = try (0..<(bench.wants(name) ? bench.repetitions : 1)).map { _ in try run(command) }
    guard bench.wants(name) else { continue }
    bench.add(
      Measurement(
        name: name, data: "\(count) tensors 3×3", threads: 2, bytes: nil, runs: runs.map(\.duration),
        memory: runs.map(\.memory).max()))
  }
}
