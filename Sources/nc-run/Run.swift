// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
import JSON
public import Measures
internal import Networks
import ToolSupport
public import Transforms

@main
struct Run: Tool {
  static let configuration = described(
    "nc-run",
    "Apply a network to data: accuracy and loss, or the outputs.",
    """
    The data file is HDF5: x [samples, features] and optionally y, labels or
    target values.

      nc-run --data test.h5 net.ncz
      nc-prune --keep 0.1 net.h5 | nc-run --data test.h5
      nc-run --data test.h5 -o predictions.h5 net.h5
    """)

  @Argument(help: "The network: HDF5, .keras or .ncz; standard input if omitted or -.", completion: .file()) var input:
    String?

  @Option(
    help: ArgumentHelp(
      "full: double. float16, bfloat16: round after each operation, as frameworks do (default: as the file says).",
      valueName: "type"))
  var precision: Precision?

  @Option(
    name: [.customShort("o", allowingJoined: true), .long],
    help: ArgumentHelp("Write the outputs to an HDF5 file, as dataset y.", valueName: "file"), completion: .file())
  var output: String?
  @Flag(name: .shortAndLong, help: "Replace an existing output.") var force = false
  @Flag(help: "Print one JSON object.") var json = false

  @OptionGroup var data: DataOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var common: CommonOptions

  func check() throws {
    try data.check()
    try architecture.check()
    try common.check()
    if data.data == nil { throw ValidationError("missing --data FILE, the samples to apply the network to") }
    if json, output == "-" { throw ValidationError("--json and -o - both write to standard output") }
  }

  func run() throws {
    let input = try Input(input)
    let output = try output.map { try Output($0, .hdf5, permissions: input.permissions, force: force) }
    let samples = try data.read(common, tool: Self.self)
    let result = try naming(input.name, output?.name) {
      let network = try common.open(input, architecture, tool: Self.self)
      let result = try network.run(on: samples, precision: precision)
      if let output {
        try result.writeOutputs(to: output.file, options: common.reading(tool: Self.self))
      }
      return result
    }
    try input.checkUnchanged()
    try output?.finish()
    common.tell(result.notes, about: input.name, tool: Self.self)
    if json {
      try report(json: result.json.serialized())
    } else if output == nil || !common.quiet {
      let text = result.text(name: input.name, data: samples.name)
      if output?.isStandardOutput ?? false { diagnose(text: text) } else { try report(text) }
    }
  }
}

extension Precision: ExpressibleByArgument {}
