public import ArgumentParser
import Compression
public import Networks
import ToolSupport

@main
struct Prune: Tool {
  static let configuration = CommandConfiguration(
    commandName: "nc-prune",
    abstract: "Keep the largest weights, singular values or nodes of dense layers; drop the rest.",
    discussion: """
      Reads a network (HDF5, .keras or .ncz), writes .ncz, where zeros take next to no room.

        nc-prune --keep 0.1 net.h5 net.ncz
        nc-prune --keep 0.1 < net.h5 | nc-restore > pruned.h5
        nc-prune --by singular-value --max-error 0.2 net.h5 net.ncz
        nc-prune --by node --keep 0.5 net.h5 | nc-restore --shape reduced > smaller.h5
        nc-prune --target-size 100k --values float16 net.h5 net.ncz
      """,
    version: Version.text("nc-prune"))

  @Argument(help: "The network; - or nothing is standard input.") var input: String?
  @Argument(help: "The .ncz file; - or nothing is standard output.") var output: String?

  @Option(help: "What is dropped: magnitude (weights), singular-value or node (hidden units).")
  var by = Method.magnitude

  @Option(help: "Fraction of each matrix's weights, singular values or nodes to keep, rounded up: 0…1.")
  var keep: Fraction?

  @Option(
    help:
      "Keep as little as leaves the relative L2 error of each matrix (of nodes: of their incoming weights) at most this."
  )
  var maxError: Double?

  @Option(help: "Keep as much as fits an output of this size, such as 100k.")
  var targetSize: ByteSize?

  @Option(help: "Of magnitudes, what --keep is a fraction of: layer (each matrix) or network (all together).")
  var scope = Scope.layer

  @Option(help: "How the kept weights are stored: exact, float16, bfloat16 or ternary (± one scale an output unit).")
  var values = MagnitudeValues.exact

  @OptionGroup var selection: SelectionOptions
  @OptionGroup var compressing: CompressionOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var writing: OutputOptions
  @OptionGroup var common: CommonOptions

  enum Method: String, CaseIterable, ExpressibleByArgument {
    case magnitude, node
    case singularValue = "singular-value"
  }
  enum Scope: String, CaseIterable, ExpressibleByArgument { case layer, network }

  func validate() throws {
    guard [keep != nil, maxError != nil, targetSize != nil].count(where: { $0 }) == 1 else {
      throw ValidationError("expected one of --keep, --max-error and --target-size")
    }
    if let maxError, !(0...1).contains(maxError) {
      throw ValidationError("--max-error: expected 0…1, found \(maxError)")
    }
    if by != .magnitude, scope != .layer || values != .exact {
      throw ValidationError("--scope and --values are for --by magnitude")
    }
    if values == .ternary, maxError != nil {
      throw ValidationError("--max-error: the error of ternary values does not fall with what is kept; use --keep")
    }
    if scope == .network, maxError != nil { throw ValidationError("--max-error bounds each layer's error") }
  }

  func run() throws {
    let input = try Input(input)
    let output = try Output(try writing.path(output), force: writing.force, dryRun: writing.dryRun)
    let report = try naming(input.name, output.name) {
      let network = try NetworkFile(
        input.file, size: input.size,
        options: common.reading(size: input.size, architecture.assumption, tool: Self.self))
      common.tell(network.notes, about: input.name, tool: Self.self)
      return try network.prune(
        to: output.file, by: method, aim, compressing.options(selection.selection, tool: Self.self))
    }
    try output.finish()
    try common.tell(report, about: input.name, dryRun: writing.dryRun, tool: Self.self)
  }

  private var method: PruningMethod {
    switch by {
    case .magnitude: .magnitude(isGlobal: scope == .network, values)
    case .singularValue: .singularValue
    case .node: .node
    }
  }

  private var aim: PruningAim {
    if let targetSize { return .size(targetSize.bytes) }
    return .rule(maxError.map { .error($0) } ?? .keep(keep ?? .one))
  }
}

extension MagnitudeValues: ExpressibleByArgument {}
