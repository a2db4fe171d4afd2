import ArgumentParser
import JSON
import Networks
import ToolSupport

@main
struct Info: Tool {
  static let configuration = described(
    "nc-info",
    "List a network or a .ncz file; test it; say how well it can be pruned.",
    """
      nc-info net.ncz
      nc-info --json net.h5 | jq '.tensors[].name'
      nc-info --test *.ncz && echo all sound
      nc-info --stats --plot net.svg net.h5
    """,
    success: "done, and with --test: sound")

  @Argument(
    help: "Networks: HDF5, .keras or .ncz; - or nothing is standard input.", completion: .file()) var inputs: [String] =
      []

  @Flag(help: "Check every byte; the exit status is the answer.") var test = false
  @Flag(help: "Of dense weight matrices: error of pruning against what is kept, tails, zeros.") var stats = false
  @Option(help: ArgumentHelp("With --stats, draw the errors as SVG.", valueName: "file"), completion: .file()) var plot:
    String?
  @Flag(name: .shortAndLong, help: "Replace an existing --plot file.") var force = false
  @Flag(help: "Print one JSON object.") var json = false

  @OptionGroup var selection: SelectionOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var common: CommonOptions

  func check() throws {
    if let plot, !stats { throw ValidationError("--plot \(plot) draws what --stats measures: add --stats") }
    if stats, test { throw ValidationError("--stats or --test, not both") }
    if !stats, !(selection.only + selection.except).isEmpty {
      throw ValidationError("--only and --except choose matrices for --stats")
    }
    if let plot { try checkPlot(plot) }
    if inputs.count(where: { $0 == "-" }) > 1 { throw ValidationError("standard input (-) can be read once") }
    try architecture.check()
    try common.check()
  }

  private func checkPlot(_ plot: String) throws {
    if inputs.count > 1 { throw ValidationError("--plot draws one file, found \(inputs.count)") }
    let others = [".png", ".pdf", ".jpg", ".jpeg", ".gif", ".eps", ".ps", ".webp", ".html", ".txt"]
    if let other = others.first(where: plot.lowercased().hasSuffix) {
      throw ValidationError("--plot \(plot): draws SVG, not \(other.dropFirst().uppercased()); name it .svg")
    }
  }

  /// Each file in turn; what is wrong with one keeps none of the others from being read.
  func run() throws {
    var failed: ExitStatus?
    var objects: [JSON] = []
    var isFirst = true
    for path in inputs.isEmpty ? ["-"] : inputs {
      do throws(Failure) {
        let answer = try self.answer(about: path)
        if json {
          objects.append(answer.json)
        } else if !answer.text.isEmpty {
          try report((isFirst || test ? "" : "\n") + answer.text)
        }
        isFirst = false
      } catch {
        guard inputs.count > 1, error.file != Failure.standardOutput else { throw error }
        Self.say(error)
        failed = failed ?? error.status
      }
    }
    if json { try report(json: (inputs.count > 1 ? .array(objects) : objects[0]).serialized()) }
    if let failed { throw ExitCode(failed.rawValue) }
  }

  /// What there is to say about one file.
  private func answer(about path: String) throws(Failure) -> (text: String, json: JSON) {
    let input = try Input(path)
    let network = try naming(input.name) {
      let assumption = try architecture.assumption { common.reading(tool: Self.self) }
      return try NetworkFile(input.file, size: input.size, options: common.reading(assumption, tool: Self.self))
    }
    let answer = try naming(input.name) { stats ? try statistics(of: network, input) : try listing(of: network, input) }
    try input.checkUnchanged()
    // Which file an object of several is about.
    guard inputs.count > 1, let members = answer.json.members else { return answer }
    return (answer.text, .object(members + [.init("file", .string(input.name))]).canonical())
  }

  private func listing(of network: NetworkFile, _ input: borrowing Input) throws -> (text: String, json: JSON) {
    if test { try network.test(scratch: try temporaryFile()) }
    let listing = network.listing
    if json { return ("", listing.json) }
    guard test else { return (listing.text(name: input.name, isVerbose: common.verbose), .null) }
    let tested = common.verbose ? ": \(listing.rows.count) tensors, \(input.size) bytes" : ""
    return (common.quiet ? "" : "\(printable(input.name)): sound\(tested)\n", .null)
  }

  private func statistics(of network: NetworkFile, _ input: borrowing Input) throws -> (text: String, json: JSON) {
    let output = try plot.map { try Output($0, .svg, permissions: input.permissions, force: force) }
    let curves = try network.statistics(
      keeps: Statistics.tableKeeps + (plot == nil ? [] : Statistics.plotKeeps), selection: selection.selection)
    try input.checkUnchanged()
    if let output {
      try output.write(curves.at(Statistics.plotKeeps).picture(title: input.name))
      try output.finish()
    }
    let statistics = curves.at(Statistics.tableKeeps)
    return (statistics.text(name: input.name), statistics.json)
  }
}
