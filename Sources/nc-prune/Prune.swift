// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Networks
import ToolSupport
import Transforms

@main
struct Prune: Tool {
  static let configuration = described(
    "nc-prune",
    "Keep the largest weights, singular values or nodes of dense layers; drop the rest.",
    """
    Reads a network (HDF5, .keras or .ncz) and writes .ncz, where zeros take
    almost no space.

      nc-prune --keep 0.1 net.h5 net.ncz
      nc-prune --keep 0.1 < net.h5 | nc-restore > pruned.h5
      nc-prune --by singular-value --max-error 0.2 net.h5 net.ncz
      nc-prune --by node --keep 0.5 net.h5 | nc-restore --shape reduced > less.h5
      nc-prune --target-size 100k --values float16 net.h5 net.ncz
    """)

  @Argument(help: "The network; standard input if omitted or -.", completion: .file()) var input: String?
  @Argument(help: "The .ncz file; standard output if omitted or -.", completion: .file()) var output: String?

  @OptionGroup var pruning: PruningOptions
  @OptionGroup var selection: SelectionOptions
  @OptionGroup var compressing: CompressionOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var writing: OutputOptions
  @OptionGroup var common: CommonOptions

  func check() throws {
    try pruning.check(selection)
    try writing.check(output)
    try compressing.check()
    try architecture.check()
    try common.check()
  }

  func run() throws {
    try common.convert(input, architecture, to: output, writing, tool: Self.self) { network, file in
      try pruning.prune(network, to: file, compressing.options(selection.selection, tool: Self.self))
    }
  }
}
