// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Networks
import ToolSupport
import Transforms

@main
struct Quantize: Tool {
  static let configuration = described(
    "nc-quantize",
    "Round dense weight matrices to few values: a grid with one step for the whole network, of B bits, or K levels.",
    """
    Reads a network (HDF5, .keras or .ncz) and writes .ncz. By default weights become
    multiples of one step, the largest whose relative L2 error over all matrices is
    at most 0.2; each matrix has the scale with the smallest squared error.

      nc-quantize net.h5 net.ncz
      nc-quantize --target-size 26k net.h5 net.ncz
      nc-quantize --bits 4 --scale-per row net.h5 net.ncz
      nc-quantize --levels 16 < net.h5 | nc-restore > clustered.h5
    """)

  @Argument(help: "The network; standard input if omitted or -.", completion: .file()) var input: String?
  @Argument(help: "The .ncz file; standard output if omitted or -.", completion: .file()) var output: String?

  @OptionGroup var quantizing: QuantizingOptions
  @OptionGroup var selection: SelectionOptions
  @OptionGroup var compressing: CompressionOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var writing: OutputOptions
  @OptionGroup var common: CommonOptions

  func check() throws {
    try quantizing.check()
    try writing.check(output)
    try compressing.check()
    try architecture.check()
    try common.check()
  }

  func run() throws {
    try common.convert(input, architecture, to: output, writing, tool: Self.self) { network, file in
      try network.quantize(
        quantizing.target, to: file, compressing.options(selection.selection, tool: Self.self))
    }
  }
}
