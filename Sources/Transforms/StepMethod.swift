// SPDX-License-Identifier: Apache-2.0

public import Compression
internal import Maths
internal import Matrices
public import Networks
internal import Parallel
public import Tensors

extension Step {
  /// What a step does to a tensor, with the options that decide the values.
  public enum Method: Sendable, Equatable {
    case ternarize(ScaleGroup, TernaryRule)
    /// The largest weights stay: of each matrix, or with `isGlobal` of all together.
    case magnitude(PruningRule, MagnitudeValues, isGlobal: Bool)
    case singularValue(PruningRule)
    case node(PruningRule)
    case quantize(Quantization)
    /// Biases are rounded to float16.
    case narrowBiases
    /// Training state becomes zero.
    case dropOptimizer
  }
}

/// How kept weights are stored.
public enum MagnitudeValues: Sendable, Equatable {
  /// Bit for bit.
  case exact
  /// Rounded.
  case float16, bfloat16
  /// ± one scale for each output unit.
  case ternary
  /// The best K values of each matrix, beside zero.
  case levels(Int)
}

extension MagnitudeValues: LosslessStringConvertible {
  /// The values that a number follows.
  private static let levels = "levels:"

  public var description: String {
    switch self {
    case .exact: "exact"
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    case .ternary: "ternary"
    case .levels(let count): "\(Self.levels)\(count)"
    }
  }

  public init?(_ text: String) {
    if let known = ([.exact, .float16, .bfloat16, .ternary] as [MagnitudeValues]).first(where: {
      $0.description == text
    }) {
      self = known
    } else {
      guard text.hasPrefix(Self.levels), let count = Int(text.dropFirst(Self.levels.count)), (1...255).contains(count),
        text == "\(Self.levels)\(count)"
      else { return nil }
      self = .levels(count)
    }
  }
}

// MARK: - As a history spells it

extension Step.Method {
  /// The options, as the command line and the history spell them.
  var options: String {
    switch self {
    case .ternarize(let group, .optimal): "--scale-per \(group.text)"
    case .ternarize(let group, .sparsity(let fraction)): "--scale-per \(group.text) --sparsity \(fraction)"
    case .magnitude(let rule, let values, let isGlobal):
      rule.options + (isGlobal ? " --scope network" : "") + (values == .exact ? "" : " --values \(values)")
    case .singularValue(let rule): "--by singular-value \(rule.options)"
    case .node(let rule): "--by node \(rule.options)"
    case .quantize(.step(let step)): "--step \(step)"
    case .quantize(.bits(let bits, let group)): "--bits \(bits) --scale-per \(group.text)"
    case .quantize(.levels(let levels)): "--levels \(levels)"
    case .narrowBiases: "--biases float16"
    case .dropOptimizer: "--drop optimizer"
    }
  }

  /// The steps of a grid that can be divided by.
  package static let steps = 0x1p-1022...0x1p1022

  /// The tools that take such steps.
  package static let tools: Set<String> = ["nc-ternarize", "nc-prune", "nc-quantize"]

  /// Reads what `options` spells; `nil` for a tool that is not known, and for options that it never writes.
  package init?(tool: String, options: String) {
    let words = options.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    guard words.count % 2 == 0 else { return nil }
    var values: [String: String] = [:]
    for i in stride(from: 0, to: words.count, by: 2) { values[words[i]] = words[i + 1] }
    switch (tool, values["--by"]) {
    case (let tool, _) where Self.tools.contains(tool) && values["--drop"] != nil: self = .dropOptimizer
    case (let tool, _) where Self.tools.contains(tool) && values["--biases"] != nil: self = .narrowBiases
    case ("nc-ternarize", _):
      guard let group = values["--scale-per"].flatMap(ScaleGroup.init(text:)) else { return nil }
      if let sparsity = values["--sparsity"] {
        guard let fraction = Fraction(sparsity) else { return nil }
        self = .ternarize(group, .sparsity(fraction))
      } else {
        self = .ternarize(group, .optimal)
      }
    case ("nc-quantize", _):
      if let step = values["--step"].flatMap(Double.init), Self.steps.contains(step) {
        self = .quantize(.step(step))
      } else if let bits = values["--bits"].flatMap({ Int($0) }), (2...8).contains(bits),
        let group = values["--scale-per"].flatMap(ScaleGroup.init(text:))
      {
        self = .quantize(.bits(bits, group))
      } else if let levels = values["--levels"].flatMap({ Int($0) }), (2...256).contains(levels) {
        self = .quantize(.levels(levels))
      } else {
        return nil
      }
    case ("nc-prune", let by):
      guard let rule = PruningRule(keep: values["--keep"], maxError: values["--max-error"]) else { return nil }
      switch by {
      case "singular-value": self = .singularValue(rule)
      case "node": self = .node(rule)
      default:
        guard let kept = MagnitudeValues(values["--values"] ?? "exact") else { return nil }
        self = .magnitude(rule, kept, isGlobal: values["--scope"] != nil)
      }
    default: return nil
    }
    // One spelling: whatever else stands there was not written by this.
    guard self.options == options else { return nil }
  }
}

extension PruningRule {
  fileprivate var options: String {
    switch self {
    case .keep(let fraction): "--keep \(fraction)"
    case .error(let bound): "--max-error \(bound)"
    }
  }

  fileprivate init?(keep: String?, maxError: String?) {
    if let fraction = keep.flatMap(Fraction.init) {
      self = .keep(fraction)
    } else if let bound = maxError.flatMap(Double.init), bound >= 0 {
      self = .error(bound)
    } else {
      return nil
    }
  }
}

// MARK: - What it does

extension Step.Method {
  /// Whether the values of one tensor decide what becomes of it.
  package var isLocal: Bool {
    switch self {
    case .ternarize, .singularValue, .quantize, .narrowBiases, .dropOptimizer: true
    case .magnitude(_, _, let isGlobal): !isGlobal
    case .node: false
    }
  }

  /// What becomes of the values of a tensor; only where the method `isLocal`.
  package func result(
    of values: UnsafeRawBufferPointer, _ tensor: TensorRecord, _ options: ReadingOptions
  ) throws(NetworkError) -> Compressed {
    switch self {
    case .ternarize(let group, let rule):
      do throws(NonFiniteWeight) {
        let result = try Compression.ternarize(
          tensor.matrix(values),
          group: group, rule: rule, threads: options.threads)
        return .changed(.weights(.ternary(result.matrix, transposed: tensor.isTransposed)))
      } catch {
        return .nonFinite(index: error.index)
      }
    case .magnitude(let rule, let kept, _):
      return try tensor.pruningMagnitudes(values, rule, kept, threshold: nil, threads: options.threads)
    case .singularValue(let rule):
      var decomposition: SingularValueDecomposition?
      return try tensor.pruningSingularValues(values, rule, options, known: &decomposition)
    case .quantize(let quantization):
      return try tensor.quantizing(values, quantization, threads: options.threads)
    case .narrowBiases:
      return try tensor.pruningMagnitudes(
        values, .keep(.one), .float16, threshold: nil, threads: options.threads)
    case .dropOptimizer:
      return .changed(.weights(.dense([UInt8](repeating: 0, count: values.count))))
    case .node:
      throw NetworkError(.unsupported, "the nodes of a layer are chosen by other tensors too")
    }
  }

  /// Whether the method takes a tensor of this type and shape; only where it `isLocal`.
  package func takes(_ tensor: TensorRecord) -> Bool {
    switch self {
    case .dropOptimizer: tensor.role == .optimizer && tensor.shape.rank > 0
    case .narrowBiases:
      tensor.role == .bias && [.float32, .float64].contains(tensor.type) && tensor.shape.rank > 0
        && tensor.axes.layout != .permuted
    case .ternarize, .singularValue, .node, .quantize, .magnitude(_, .ternary, _): tensor.isMatrix
    case .magnitude: tensor.type.isFloat && tensor.shape.rank > 0 && tensor.axes.layout != .permuted
    }
  }
}

extension TensorRecord {
  /// Whether it was training state that was left out: it is restored as zeros.
  public var isDropped: Bool { history.last?.step.options == Step.Method.dropOptimizer.options }
}
