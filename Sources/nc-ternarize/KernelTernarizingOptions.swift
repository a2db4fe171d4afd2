// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
import Maths
import Tensors
import ToolSupport
import Transforms

/// Which ternary network is made.
enum TernarizingMethod: String, CaseIterable, ExpressibleByArgument {
  /// The one whose weights are nearest.
  case leastSquares = "least-squares"
  /// One with the same kernels.
  case ntk
}

/// What `--method ntk` takes.
struct KernelTernarizingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Activations: levels:N (N levels, 3…16, that keep the kernels), sigma-t, sigma-q (those of the paper), none: as they are (default: levels:3).",
      valueName: "rule"),
    completion: .list(["none", "levels:3", "sigma-t", "sigma-q"]), transform: MatchingRule.parsed)
  var match: MatchingRule?

  @Option(
    help: ArgumentHelp(
      "Weights: sample (random, packed), seed (random, stored as their seed), project (the network's own, ternarized) (default: sample).",
      valueName: "source"))
  var weights: KernelOptions.WeightSource?

  @Option(help: ArgumentHelp("Seed of the random weights (default: 1).", valueName: "number")) var seed: UInt64?

  @Option(
    help: ArgumentHelp(
      "Units of the hidden layers, such as 2000,2000,1100 (default: as in the network).", valueName: "n,…"),
    transform: LayerWidths.parsed)
  var widths: LayerWidths?

  @Option(help: ArgumentHelp("How the last layer is fitted (default: ridge).", valueName: "fit"))
  var readout: KernelOptions.ReadoutFit?

  @Option(
    help: ArgumentHelp(
      "Penalty on the squared weights of the last layer (default: chosen on a tenth of the data that is held back).",
      valueName: "number"),
    transform: RidgePenalty.parsed)
  var ridge: RidgePenalty?

  @Flag(help: "Ternarize the last layer too.") var ternarizeReadout = false

  @Flag(help: "Rotate the inputs at random, so that sparse weights keep the first kernel.") var rotate = false

  /// The first option that was given, of those that need the method.
  private var given: String? {
    let all: [(String, Bool)] = [
      ("--match", match != nil), ("--weights", weights != nil), ("--seed", seed != nil), ("--widths", widths != nil),
      ("--readout", readout != nil), ("--ridge", ridge != nil), ("--ternarize-readout", ternarizeReadout),
      ("--rotate", rotate),
    ]
    return all.first { $0.1 }?.0
  }

  func check(_ method: TernarizingMethod, _ data: DataOptions) throws {
    guard method == .ntk else {
      if let given { throw ValidationError("\(given) belongs to --method ntk") }
      if data.data != nil { throw ValidationError("--data belongs to --method ntk") }
      return
    }
    guard data.data != nil else {
      throw ValidationError("--method ntk fits the last layer: --data FILE says to which samples")
    }
    try data.check()
    if weights == .project {
      if seed != nil { throw ValidationError("--seed: --weights project draws nothing") }
      if rotate { throw ValidationError("--rotate: --weights project keeps weights for the inputs as they are") }
      if widths != nil { throw ValidationError("--widths: --weights project keeps the widths of the network") }
    }
  }

  func options(sparsity: Fraction?) -> KernelOptions {
    KernelOptions(
      matching: match?.value ?? .rule(.levels(3)), weights: weights ?? .sample,
      sparsity: sparsity ?? Fraction("0.5") ?? .zero, seed: seed ?? 1, widths: widths?.values,
      readout: readout ?? .ridge, penalty: ridge.map { .relative($0.value) } ?? .heldBack,
      ternarizesReadout: ternarizeReadout, rotates: rotate)
  }
}
