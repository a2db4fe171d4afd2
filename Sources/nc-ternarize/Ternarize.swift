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
    """)

  @Argument(help: "The network; standard input if omitted or -.", completion: .file()) var input: String?
  @Argument(help: "The .ncz file; standard output if omitted or -.", completion: .file()) var output: String?

  @Option(
    help: ArgumentHelp(
      "Weights that share a scale: tensor, row (one output unit) or a number of consecutive inputs (default: row).",
      valueName: "group"),
    completion: .list(["tensor", "row"]), transform: ScaleGroup.parsed)
  var scalePer = ScaleGroup.row

  @Option(
    help: ArgumentHelp(
      "Fraction of the weights that become zero (default: the one with the smallest error).", valueName: "f"),
    transform: Fraction.parsed)
  var sparsity: Fraction?

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
  }

  func run() throws {
    let method = Step.Method.ternarize(scalePer, sparsity.map { .sparsity($0) } ?? .optimal)
    try common.convert(input, architecture, to: output, writing, tool: Self.self) { network, file in
      try network.apply(
        method, to: file, compressing.options(selection.selection, tool: Self.self))
    }
  }
}
