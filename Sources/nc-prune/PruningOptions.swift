// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Compression
internal import Networks
import SystemPackage
internal import Tensors
public import ToolSupport
public import Transforms

/// What is pruned, and how far.
struct PruningOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Prune by magnitude (of weights), singular-value or node (hidden units).", valueName: "method"))
  var by = Method.magnitude

  @Option(
    help: ArgumentHelp(
      "Fraction of each matrix's weights, singular values or nodes to keep, rounded up: 0…1.", valueName: "f"),
    transform: Fraction.parsed)
  var keep: Fraction?

  @Option(
    help: ArgumentHelp(
      "Keep as few as possible: the relative L2 error of each matrix (by node: of its incoming weights) is at most this.",
      valueName: "e"),
    transform: FiniteNumber.parsed)
  var maxError: FiniteNumber?

  @Option(
    help: ArgumentHelp("Keep as many as fit into an output of this size, such as 100k.", valueName: "size"),
    transform: ByteSize.parsed)
  var targetSize: ByteSize?

  @Option(help: "By magnitude, what --keep is a fraction of: layer (each matrix) or network (all together).")
  var scope = Scope.layer

  @Option(
    help: ArgumentHelp(
      "How kept weights are stored: exact, float16, bfloat16, ternary (± one scale for each unit) or levels:K (the best K values).",
      valueName: "type"),
    completion: .list(["exact", "float16", "bfloat16", "ternary", "levels:8"]), transform: MagnitudeValues.parsed)
  var values = MagnitudeValues.exact

  enum Method: String, CaseIterable, ExpressibleByArgument {
    case magnitude, node
    case singularValue = "singular-value"
  }
  enum Scope: String, CaseIterable, ExpressibleByArgument { case layer, network }

  func check(_ selection: SelectionOptions) throws {
    if by == .node, !selection.include.isEmpty {
      throw ValidationError("--include: nodes are those of dense layers; prune by magnitude or singular-value")
    }
    guard [keep != nil, maxError != nil, targetSize != nil].count(where: { $0 }) == 1 else {
      throw ValidationError("expected exactly one of --keep, --max-error and --target-size")
    }
    if let maxError = maxError?.value, !(0...1).contains(maxError) {
      throw ValidationError("--max-error: expected 0…1, found \(maxError)")
    }
    if by != .magnitude, scope != .layer || values != .exact {
      throw ValidationError("--scope and --values are for --by magnitude")
    }
    if values.isCoarse, maxError != nil {
      throw ValidationError("--max-error: the error of \(values) values does not fall with what is kept; use --keep")
    }
    if scope == .network, maxError != nil { throw ValidationError("--max-error bounds each layer's error") }
  }

  func method(_ rule: PruningRule) -> Step.Method {
    switch by {
    case .magnitude: .magnitude(rule, values, isGlobal: scope == .network)
    case .singularValue: .singularValue(rule)
    case .node: .node(rule)
    }
  }

  /// Writes the pruned network.
  func prune(_ network: NetworkFile, to file: FileDescriptor, _ options: CompressingOptions) throws -> WritingReport {
    if let targetSize {
      return try network.apply(fitting: targetSize.bytes, to: file, options) { method(.keep($0)) }
    }
    return try network.apply(
      method(maxError.map { .error($0.value) } ?? .keep(keep ?? .one)), to: file, options)
  }
}

extension MagnitudeValues: OptionValue {
  public static let expected = "exact, float16, bfloat16, ternary or levels:K, K from 1 to 255"

  public init?(argument: String) { self.init(argument) }

  /// Whether values are so few that more kept weights may lose more.
  fileprivate var isCoarse: Bool {
    switch self {
    case .ternary, .levels: true
    case .exact, .float16, .bfloat16: false
    }
  }
}
