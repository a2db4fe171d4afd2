// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
import Measures
import Networks
import ToolSupport

/// What may be lost.
struct ToleranceOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Maximum relative L2 error of a tensor.", valueName: "e"), transform: FiniteNumber.parsed)
  var maxWeight: FiniteNumber?
  @Option(
    help: ArgumentHelp("Maximum relative squared error of the outputs, E‖f_A − f_B‖²/E‖f_A‖².", valueName: "e"),
    transform: FiniteNumber.parsed)
  var maxOutput: FiniteNumber?
  @Option(
    help: ArgumentHelp("Maximum relative distance of the conjugate kernels, ‖A − B‖₂/‖A‖₂.", valueName: "e"),
    transform: FiniteNumber.parsed)
  var maxCk: FiniteNumber?
  @Option(
    help: ArgumentHelp("Maximum relative distance of the tangent kernels, ‖A − B‖₂/‖A‖₂.", valueName: "e"),
    transform: FiniteNumber.parsed)
  var maxNtk: FiniteNumber?
  @Option(
    help: ArgumentHelp("Maximum loss of accuracy (needs labels).", valueName: "e"),
    transform: FiniteNumber.parsed)
  var maxAccuracyLoss: FiniteNumber?
  @Option(
    help: ArgumentHelp("Maximum size of file B, such as 500k or 2MiB.", valueName: "size"), transform: ByteSize.parsed)
  var maxSize: ByteSize?
  @Option(
    help: ArgumentHelp(
      "Maximum bits a weight: 8 × bytes of B ÷ numbers of A that are not training state.", valueName: "bits"),
    transform: FiniteNumber.parsed)
  var maxBits: FiniteNumber?
  @Flag(help: "Report only; the exit status is 0 whatever is found.") var noVerdict = false

  func check() throws {
    for tolerance in [maxWeight, maxOutput, maxCk, maxNtk, maxAccuracyLoss, maxBits].compactMap({ $0?.value }) {
      guard tolerance >= 0 else { throw ValidationError("a tolerance is a number ≥ 0, found \(tolerance)") }
    }
    if noVerdict, !tolerances.isEmpty { throw ValidationError("--no-verdict: a --max-… asks for a verdict") }
  }

  var tolerances: VerifyingOptions.Tolerances {
    VerifyingOptions.Tolerances(
      weight: maxWeight?.value, output: maxOutput?.value, conjugate: maxCk?.value, tangent: maxNtk?.value,
      accuracyLoss: maxAccuracyLoss?.value, size: maxSize?.bytes, bits: maxBits?.value)
  }
}
