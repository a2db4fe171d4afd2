import ArgumentParser
import JSON
import Networks
import ToolSupport

@main
struct Info: Tool {
  static let configuration = CommandConfiguration(
    commandName: "nc-info",
    abstract: "List a network or a .ncz file; test it.",
    discussion: """
        nc-info net.ncz
        nc-info --json net.h5 | jq '.tensors[].name'
        nc-info --test net.ncz && echo sound
      """,
    version: Version.text("nc-info"))

  @Argument(help: "A network: HDF5, .keras or .ncz; - or nothing is standard input.") var input: String?

  @Flag(help: "Check every byte; the exit status is the answer.") var test = false
  @Flag(help: "Print one JSON object.") var json = false

  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var common: CommonOptions

  func run() throws {
    let input = try Input(input)
    let listing = try naming(input.name) {
      let network = try NetworkFile(
        input.file, size: input.size,
        options: common.reading(size: input.size, architecture.assumption, tool: Self.self))
      if test { try network.test(scratch: try temporaryFile()) }
      return network.listing
    }
    if json {
      try report(String(decoding: listing.json.serialized(), as: UTF8.self) + "\n")
    } else if !test {
      try report(listing.text(name: input.name, isVerbose: common.verbose))
    } else if !common.quiet {
      try report("\(input.name): sound\n")
    }
  }
}
