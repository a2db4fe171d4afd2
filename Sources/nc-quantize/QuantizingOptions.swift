// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Networks
import Tensors
import ToolSupport
import Transforms

/// What the weights become.
struct QuantizingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The relative L2 error over all matrices is at most this; the step is as large as it allows (default: 0.2).",
      valueName: "e"),
    transform: FiniteNumber.parsed)
  var maxError: FiniteNumber?

  @Option(
    help: ArgumentHelp("The step is as small as an output of this size allows, such as 26k.", valueName: "size"),
    transform: ByteSize.parsed)
  var targetSize: ByteSize?

  @Option(
    help: ArgumentHelp("The step: weights become multiples of it.", valueName: "d"), transform: FiniteNumber.parsed)
  var step: FiniteNumber?

  @Option(
    help: ArgumentHelp(
      "A symmetric grid of 2^b - 1 levels, with the scale for each tensor, row or group of inputs that has the smallest squared error: 2…8.",
      valueName: "b"))
  var bits: Int?

  @Option(
    help: ArgumentHelp("The k values of each matrix that have the smallest squared error: 2…256.", valueName: "k"))
  var levels: Int?

  @Option(
    help: ArgumentHelp(
      "With --bits, weights that share a scale: tensor, row (one output unit) or a number of consecutive inputs (default: row).",
      valueName: "group"),
    completion: .list(["tensor", "row"]), transform: ScaleGroup.parsed)
  var scalePer: ScaleGroup?

  func check() throws {
    guard [maxError != nil, targetSize != nil, step != nil, bits != nil, levels != nil].count(where: { $0 }) <= 1 else {
      throw ValidationError("expected at most one of --max-error, --target-size, --step, --bits and --levels")
    }
    if let maxError = maxError?.value, !(0...1).contains(maxError) {
      throw ValidationError("--max-error: expected 0…1, found \(maxError)")
    }
    if let step = step?.value, !Step.Method.steps.contains(step) {
      throw ValidationError("--step: expected a number above 0, found \(step)")
    }
    if let bits, !(2...8).contains(bits) { throw ValidationError("--bits: expected 2…8, found \(bits)") }
    if let levels, !(2...256).contains(levels) { throw ValidationError("--levels: expected 2…256, found \(levels)") }
    if scalePer != nil, bits == nil { throw ValidationError("--scale-per is for --bits") }
  }

  var target: QuantizationTarget {
    if let size = targetSize?.bytes { return .size(size) }
    if let step = step?.value { return .method(.step(step)) }
    if let bits { return .method(.bits(bits, scalePer ?? .row)) }
    if let levels { return .method(.levels(levels)) }
    return .maxError(maxError?.value ?? Self.defaultMaxError)
  }

  /// Costs trained networks at most about a tenth of a point of accuracy (`spec/results.md`).
  private static let defaultMaxError = 0.2
}
