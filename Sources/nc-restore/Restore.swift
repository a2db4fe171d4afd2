// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Formatting
import JSON
import Measures
import Networks
import ToolSupport
import Transforms

@main
struct Restore: Tool {
  static let configuration = described(
    "nc-restore",
    "Restore the HDF5 file, byte for byte except for the values that were changed.",
    """
      nc-restore net.ncz net.h5
      nc-ternarize net.h5 | nc-restore > restored.h5
      nc-restore --layout plain net.ncz plain.h5
      nc-prune --by node --keep .5 net.h5 | nc-restore --shape reduced > less.h5
    """)

  @Argument(help: "The .ncz file; standard input if omitted or -.", completion: .file()) var input: String?
  @Argument(help: "The HDF5 or .keras file; standard output if omitted or -.", completion: .file()) var output: String?

  @Option(
    help: ArgumentHelp(
      """
      container: the original file. keras: a new HDF5 file that Keras loads. plain: a new HDF5 file of the tensors and \
      the network only. By default the first of these that can be.
      """, valueName: "layout"))
  var layout: RestoredLayout?
  @Option(help: "source: the original shapes. reduced: without unused hidden nodes and without training state.")
  var shape = RestoredShape.source

  @OptionGroup var writing: OutputOptions
  @OptionGroup var common: CommonOptions

  func check() throws {
    try writing.check(output)
    try common.check()
  }

  func run() throws {
    let input = try Input(input)
    let output = try Output(
      try writing.path(output), [.keras, .plain].contains(layout) ? .hdf5 : .source, permissions: input.permissions,
      force: writing.force, dryRun: writing.dryRun)
    let network = try naming(input.name) {
      try NetworkFile(input.file, size: input.size, options: common.reading(tool: Self.self))
    }
    let (layout, note) = layout(of: network)
    var result = try naming(input.name, output.name) {
      switch (layout, shape) {
      case (.container, .source): ReductionReport(byteCount: try network.restore(to: output.file))
      case (.keras, .source): try network.writeKeras(to: output.file)
      case (.plain, .source): ReductionReport(byteCount: try network.writePlain(to: output.file))
      case (.container, .reduced): try network.restoreReduced(to: output.file)
      case (.keras, .reduced): try network.writeKerasReduced(to: output.file)
      case (.plain, .reduced): try network.writePlainReduced(to: output.file)
      }
    }
    if let note { result.notes.insert(note, at: 0) }
    let isArchive = layout == .container && network.restoresArchive
    if let note = try Self.note(onName: writing.path(self.output), isArchive: isArchive) { result.notes.append(note) }
    try input.checkUnchanged()
    try output.finish()
    common.tell(result.notes, about: input.name, tool: Self.self)
    if !common.quiet {
      let removed = shape == .reduced ? ", \(result.summary)" : ""
      diagnose("\(input.name): \(text(bytes: input.size)) → \(text(bytes: result.byteCount))\(removed)")
    }
    if writing.json {
      let json = network.json(of: result, input: input.name, output: writing.dryRun ? nil : output.name)
      try report(json: json.serialized())
    } else if common.verbose {
      diagnose(text: network.listing.historyTable)
    }
  }
}
