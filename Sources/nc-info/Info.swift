// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import JSON
import Networks
import ToolSupport

@main
struct Info: Tool {
  static let configuration = described(
    "nc-info",
    "List networks and .ncz files, test them, show how well they can be pruned.",
    """
      nc-info net.ncz
      nc-info --json net.h5 | jq '.tensors[].name'
      nc-info --test *.ncz && echo all sound
      nc-info --plot sizes.svg net.ncz
      nc-info --stats --plot net.svg net.h5
      nc-info --equivalent --data train.h5 --plot kernels.svg net.h5
    """,
    success: "done, and with --test: sound")

  @Argument(
    help: "Networks: HDF5, .keras or .ncz; standard input if omitted or -.", completion: .file()) var inputs: [String] =
      []

  @Flag(help: "Check every byte; the exit status is 0 if the file is sound.") var test = false
  @Flag(help: "For dense weight matrices: error of pruning by the fraction kept, tails, zeros.") var stats = false
  @Flag(
    help: "Kernels that a wide network would have on the data, and how far this network's own are from them.")
  var equivalent = false
  @Option(
    help: ArgumentHelp(
      "Draw where the bytes are as SVG; with --stats or --equivalent, what they tell.", valueName: "file"),
    completion: .file()) var plot: String?
  @Flag(name: .shortAndLong, help: "Replace an existing --plot file.") var force = false
  @Flag(help: "Print one JSON object.") var json = false

  @OptionGroup var data: DataOptions
  @OptionGroup var wide: WideOptions
  @OptionGroup var selection: SelectionOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var common: CommonOptions

  func check() throws {
    if plot != nil, test { throw ValidationError("--plot or --test, not both") }
    if [stats, test, equivalent].count(where: { $0 }) > 1 {
      throw ValidationError("--stats, --test or --equivalent: one of them")
    }
    if !equivalent, data.data != nil { throw ValidationError("--data belongs to --equivalent") }
    if equivalent, inputs.count > 1 {
      throw ValidationError("--equivalent compares one file, found \(inputs.count)")
    }
    try data.check()
    try wide.check(isWanted: equivalent)
    if !stats, !(selection.only + selection.except).isEmpty {
      throw ValidationError("--only and --except choose matrices for --stats")
    }
    if let plot {
      if json, plot == "-" { throw ValidationError("--json and --plot - both write to standard output") }
      if inputs.count > 1 { throw ValidationError("--plot draws one file, found \(inputs.count)") }
      try Output.Kind.svg.check(name: plot, of: "--plot")
    }
    if inputs.count(where: { $0 == "-" }) > 1 { throw ValidationError("standard input (-) can be read once") }
    try architecture.check()
    try common.check()
  }

  /// Each file in turn; what is wrong with one keeps none of the others from being read.
  func run() throws {
    var failed: ExitStatus?
    var objects: [JSONValue] = []
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
}
