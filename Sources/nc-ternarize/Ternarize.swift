// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Compression
import Networks
import Tensors
import ToolSupport
import Transforms

@main
struct Ternarize: Tool {
  static let configuration = described(
    "nc-ternarize",
    "Replace dense weight matrices by 0 and ±1 times a scale, two bits a weight.",
    """
    Reads a network (HDF5, .keras or .ncz) and writes .ncz. The scale and the zeros
    minimise the squared error exactly.

      nc-ternarize net.h5 net.ncz
      nc-ternarize < net.h5 | ssh board 'cat > net.ncz'
      nc-ternarize --scale-per 64 --except 'head/*' net.h5 net.ncz

    With --method ntk the kernels of wide networks stay the same: weights are random
    0 and ±1, activations have a few levels, and the last layer is fitted to --data.
    Random weights throw away what a network has learnt; for a trained network add
    --weights project, which keeps its own.

      nc-ternarize --method ntk --data train.h5 --sparsity 0.9 net.h5 net.ncz
      nc-ternarize --method ntk --match none --weights project --data train.h5 net.h5 net.ncz
    """)

  @Argument(help: "The network; standard input if omitted or -.", completion: .file()) var input: String?
  @Argument(help: "The .ncz file; standard output if omitted or -.", completion: .file()) var output: String?

  @Option(
    help: ArgumentHelp(
      "least-squares: the nearest weights (default). ntk: the same kernels.", valueName: "method"))
  var method = TernarizingMethod.leastSquares

  @Option(
    help: ArgumentHelp(
      "Weights that share a scale: tensor, row (one output unit) or a number of consecutive inputs (default: row).",
      valueName: "group"),
    completion: .list(["tensor", "row"]), transform: ScaleGroup.parsed)
  var scalePer: ScaleGroup?

  @Option(
    help: ArgumentHelp(
      "Fraction of the weights that become zero (default: the one with the smallest error; with --method ntk 0.5).",
      valueName: "f"),
    transform: Fraction.parsed)
  var sparsity: Fraction?

  @OptionGroup var kernels: KernelTernarizingOptions
  @OptionGroup var data: DataOptions
  @OptionGroup var selection: SelectionOptions
  @OptionGroup var compressing: CompressionOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var writing: OutputOptions
  @OptionGroup var common: CommonOptions

  func check() throws {
    try writing.check(output)
    try compressing.check()
    try architecture.check()
    try common.check()
    try kernels.check(method, data)
    if method == .ntk {
      if scalePer != nil { throw ValidationError("--scale-per: --method ntk has scales of its own") }
      if !selection.selection.isDefault {
        throw ValidationError("--only, --except and --include: --method ntk makes every layer anew")
      }
      if compressing.drop != nil || compressing.biases != .exact {
        throw ValidationError("--drop and --biases: --method ntk makes every tensor anew")
      }
    }
  }

  func run() throws {
    let options = compressing.options(selection.selection, tool: Self.self)
    switch method {
    case .leastSquares:
      let step = Step.Method.ternarize(scalePer ?? .row, sparsity.map { .sparsity($0) } ?? .optimal)
      try common.convert(input, architecture, to: output, writing, tool: Self.self) { network, file in
        try network.apply(step, to: file, options)
      }
    case .ntk:
      let samples = try data.read(common, tool: Self.self)
      try common.convert(input, architecture, to: output, writing, tool: Self.self) { network, file in
        try network.ternarize(kernels.options(sparsity: sparsity), data: samples, to: file, options)
      }
    }
  }
}
