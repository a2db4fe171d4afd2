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
        nc-ternarize net.h5 | nc-restore > restored.h5
        nc-restore --layout plain net.ncz plain.h5
      """,
    version: Version.text("nc-restore"))

  @Argument(help: "The .ncz file; - or nothing is standard input.") var input: String?
  @Argument(help: "The HDF5 or .keras file; - or nothing is standard output.") var output: String?

  @Option(help: "source: the file it was made from. plain: a new HDF5 file of tensors and network alone.")
  var layout = RestoredLayout.source

  @OptionGroup var writing: OutputOptions
  @OptionGroup var common: CommonOptions

  func run() throws {
    let input = try Input(input)
    let output = try Output(
      try writing.path(output), force: writing.force, seekable: true, dryRun: writing.dryRun)
    let size = try naming(input.name, output.name) {
      let network = try NetworkFile(
        input.file, size: input.size, options: common.reading(size: input.size, tool: Self.self))
      return switch layout {
      case .source: try network.restore(to: output.file)
      case .plain: try network.writePlain(to: output.file)
      }
    }
    try output.finish()
    if !common.quiet { diagnose("\(input.name): \(text(bytes: input.size)) → \(text(bytes: size))") }
  }
}

/// What the written file is like.
enum RestoredLayout: String, CaseIterable, ExpressibleByArgument {
  case source, plain
}
