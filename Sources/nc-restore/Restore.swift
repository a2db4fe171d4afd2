import ArgumentParser
import Networks
import ToolSupport

@main
struct Restore: Tool {
  static let configuration = CommandConfiguration(
    commandName: "nc-restore",
    abstract: "Give the HDF5 file back, byte for byte but for the values that were changed.",
    discussion: """
        nc-restore net.ncz net.h5
        nc-prune --keep 0.3 net.h5 | nc-ternarize | nc-restore > restored.h5
      """,
    version: Version.text("nc-restore"))

  @Argument(help: "The .ncz file; - or nothing is standard input.") var input: String?
  @Argument(help: "The HDF5 or .keras file; - or nothing is standard output.") var output: String?

  @OptionGroup var writing: OutputOptions
  @OptionGroup var common: CommonOptions

  func run() throws {
    let input = try Input(input)
    let output = try Output(
      try writing.path(output), force: writing.force, seekable: true, dryRun: writing.dryRun)
    let size = try naming(input.name, output.name) {
      try NetworkFile(input.file, size: input.size, options: common.reading(size: input.size, tool: Self.self)).restore(
        to: output.file)
    }
    try output.finish()
    if !common.quiet { diagnose("\(input.name): \(text(bytes: input.size)) → \(text(bytes: size))") }
  }
}
