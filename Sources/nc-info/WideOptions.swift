// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Networks
import Tensors
import ToolSupport

/// On what kernels are compared with the theory.
struct WideOptions: ParsableArguments {
  @Option(
    name: .customLong("points"),
    help: ArgumentHelp("Points for --equivalent: the first of the data, or random ones (default: 512).", valueName: "n")
  )
  var pointCount: Int?
  @Option(
    name: .customLong("seed"), help: ArgumentHelp("Seed of random points (default: 1).", valueName: "n"))
  var pointSeed: UInt64?
  @Option(
    name: .customLong("sparsity"),
    help: ArgumentHelp("Fraction of zeros of ternary weights whose effect is predicted (default: .9).", valueName: "f"),
    transform: Fraction.parsed)
  var zeros: Fraction?

  var points: Int { pointCount ?? 512 }
  var seed: UInt64 { pointSeed ?? 1 }
  var sparsity: Fraction { zeros ?? Fraction(".9")! }

  func check(isWanted: Bool) throws {
    if !isWanted, pointCount != nil || pointSeed != nil || zeros != nil {
      throw ValidationError("--points, --seed and --sparsity belong to --equivalent")
    }
    guard (2...1 << 15).contains(points) else { throw ValidationError("--points: expected 2…32768, found \(points)") }
    guard sparsity.value < 1 else { throw ValidationError("--sparsity: expected less than 1, found \(sparsity.value)") }
  }
}
