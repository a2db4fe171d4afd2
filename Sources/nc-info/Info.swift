import ArgumentParser
import JSON
import Networks
import ToolSupport

@main
struct Info: Tool {
  static let configuration = CommandConfiguration(
    commandName: "nc-info",
    abstract: "List a network or a .ncz file; test it; say how well it can be pruned.",
    discussion: """
        nc-info net.ncz
        nc-info --json net.h5 | jq '.tensors[].name'
        nc-info --test net.ncz && echo sound
        nc-info --stats --plot net.svg net.h5
      """,
    version: Version.text("nc-info"))

  @Argument(help: "A network: HDF5, .keras or .ncz; - or nothing is standard input.") var input: String?

  @Flag(help: "Check every byte; the exit status is the answer.") var test = false
  @Flag(help: "Of dense weight matrices: error of pruning against what is kept, tails, zeros.") var stats = false
  @Option(help: ArgumentHelp("With --stats, draw the errors as SVG.", valueName: "file")) var plot: String?
  @Flag(name: .shortAndLong, help: "Replace an existing --plot file.") var force = false
  @Flag(help: "Print one JSON object.") var json = false

  @OptionGroup var selection: SelectionOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if plot != nil, !stats { throw ValidationError("--plot draws what --stats measures") }
    if stats, test { throw ValidationError("--stats or --test, not both") }
    if !stats, !(selection.only + selection.except).isEmpty {
      throw ValidationError("--only and --except choose matrices for --stats")
    }
  }

  func run() throws {
    let input = try Input(input)
    let network = try naming(input.name) {
      let assumption = try architecture.assumption { common.reading(tool: Self.self) }
      return try NetworkFile(input.file, size: input.size, options: common.reading(assumption, tool: Self.self))
    }
    if stats { return try tellStatistics(of: network, input) }
    let listing = try naming(input.name) {
      if test { try network.test(scratch: try temporaryFile()) }
      return network.listing
    }
    try input.checkUnchanged()
    if json {
      try report(json: listing.json.serialized())
    } else if !test {
      try report(listing.text(name: input.name, isVerbose: common.verbose))
    } else if !common.quiet {
      try report("\(printable(input.name)): sound\n")
    }
  }

  private func tellStatistics(of network: NetworkFile, _ input: borrowing Input) throws {
    let output = try plot.map { try Output($0, .svg, permissions: input.permissions, force: force) }
    let curves = try naming(input.name) {
      try network.statistics(
        keeps: Statistics.tableKeeps + (plot == nil ? [] : Statistics.plotKeeps), selection: selection.selection)
    }
    try input.checkUnchanged()
    if let output {
      try output.write(curves.at(Statistics.plotKeeps).picture(title: input.name))
      try output.finish()
    }
    let statistics = curves.at(Statistics.tableKeeps)
    if json {
      try report(json: statistics.json.serialized())
    } else {
      try report(statistics.text(name: input.name))
    }
  }
}
