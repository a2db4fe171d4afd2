public import Compression
public import SystemPackage
public import Tensors

/// What `nc-ternarize` does to a network.
public struct TernarizingOptions: Sendable {
  public var selection: Selection
  public var group: ScaleGroup
  public var rule: TernaryRule
  /// Restore optimizer state as zeros.
  public var dropsOptimizer: Bool
  public var writing: WritingOptions
  /// Recorded in each changed tensor's history.
  public var tool: String
  public var version: String

  public init(
    selection: Selection, group: ScaleGroup, rule: TernaryRule, dropsOptimizer: Bool, writing: WritingOptions,
    tool: String, version: String
  ) {
    self.selection = selection
    self.group = group
    self.rule = rule
    self.dropsOptimizer = dropsOptimizer
    self.writing = writing
    self.tool = tool
    self.version = version
  }

  /// The options that decided the values, as the command line spells them.
  var text: String {
    let scalePer =
      switch group {
      case .tensor: "tensor"
      case .row: "row"
      case .inputs(let count): String(count)
      }
    return switch rule {
    case .optimal: "--scale-per \(scalePer)"
    case .sparsity(let fraction): "--scale-per \(scalePer) --sparsity \(fraction)"
    }
  }
}

/// What a tool that writes a network has to say about it.
public struct WritingReport: Sendable {
  public var tensors: [TensorReport]
  public var inputBytes: Int
  public var outputBytes: Int
  /// ‖before − after‖₂ ÷ ‖before‖₂ over all tensors that were changed; nothing when none was.
  public var relativeL2: Double?
  /// What a user should be told.
  public var warnings: [String]
}

extension NetworkFile {
  /// Writes this network as `.ncz` with its dense weight matrices made ternary.
  ///
  /// A matrix with a NaN or an infinity is carried unchanged with a warning, unless `--only` names it.
  public func ternarize(to file: FileDescriptor, _ options: TernarizingOptions) throws(NetworkError) -> WritingReport {
    let selection = options.selection
    try selection.check(tensors.map(\.name) + sealed.map(\.name))
    if let matrix = sealed.first(where: { selection.includes($0.name) }) {
      throw NetworkError(
        .unsupported, "\(matrix.name): \(matrix.reason); --except '\(matrix.name)' carries it unchanged")
    }
    for tensor in tensors where selection.insists(on: tensor.name) { try checkTernarizable(tensor) }
    var warnings: [String] = []
    var (squaredError, squaredNorm) = (0.0, 0.0)
    let threads = self.options.threads

    let written = try write(to: file, options.writing) { index in
      let tensor = tensors[index]
      if options.dropsOptimizer, tensor.role == .optimizer, tensor.shape.rank > 0 {
        return try zeros(insteadOf: index, options)
      }
      let insists = selection.insists(on: tensor.name)
      guard selection.includes(tensor.name), insists || (tensor.isDenseMatrix && tensor.isReplaceable) else {
        return nil
      }
      let extents = tensor.shape.extents
      let (outcome, from) = try withValues(of: index) { values in
        let outcome = Result { () throws(NonFiniteWeight) in
          try Compression.ternarize(
            values, type: tensor.type, rows: extents[0], columns: extents[1], transposed: tensor.isTransposed,
            group: options.group, rule: options.rule, threads: threads)
        }
        return (outcome, Digest(values: values, type: tensor.type, shape: tensor.shape, threads: threads))
      }
      switch outcome {
      case .success(let result):
        squaredError += result.squaredError
        squaredNorm += result.squaredNorm
        if case .hdf5(let source) = source {
          for filter in source.roundingFilters(of: tensor) {
            warnings.append(
              "\(tensor.name): the file keeps it behind the filter \(filter), which may round what is restored")
          }
        }
        return Change(
          weights: .ternary(result.matrix, transposed: tensor.isTransposed),
          step: Step(
            tool: options.tool, version: options.version, options: options.text, from: from,
            error: result.relativeL2))
      case .failure(let error):
        let position = tensor.shape.position(of: error.index)
        guard !insists else { throw NetworkError(.unusable, "NaN or infinity at \(position)") }
        warnings.append("\(tensor.name): NaN or infinity at \(position): carried unchanged")
        return nil
      }
    }
    return WritingReport(
      tensors: written.tensors, inputBytes: size, outputBytes: written.byteCount,
      relativeL2: written.tensors.contains(where: { $0.outcome == .changed })
        ? (squaredNorm > 0 ? (squaredError / squaredNorm).squareRoot() : 0) : nil,
      warnings: warnings)
  }

  /// Refuses a tensor that was asked for by name and cannot be made ternary.
  private func checkTernarizable(_ tensor: TensorRecord) throws(NetworkError) {
    guard tensor.type.isFloat else {
      throw NetworkError(.unusable, "\(tensor.name): \(tensor.type.rawValue), expected floating-point weights")
    }
    guard tensor.shape.rank == 2 else {
      throw NetworkError(.unusable, "\(tensor.name): rank \(tensor.shape.rank), expected 2")
    }
    guard tensor.isReplaceable else {
      throw NetworkError(.unusable, "\(tensor.name): its storage is compact, expected contiguous or chunked")
    }
  }

  /// Training state that is dropped is restored as zeros: a fresh start. (Scalars, such as the learning rate, stay.)
  private func zeros(insteadOf index: Int, _ options: TernarizingOptions) throws -> Change {
    let tensor = tensors[index]
    let (from, isZero) = try withValues(of: index) { values in
      (
        Digest(values: values, type: tensor.type, shape: tensor.shape, threads: self.options.threads),
        values.allSatisfy { $0 == 0 }
      )
    }
    return Change(
      weights: .dense([UInt8](repeating: 0, count: tensor.size)),
      step: Step(
        tool: options.tool, version: options.version, options: "--drop optimizer", from: from, error: isZero ? 0 : 1),
      outcome: .dropped)
  }
}

extension TensorRecord {
  /// Whether compressors take it unasked.
  var isDenseMatrix: Bool { role == .kernel && shape.rank == 2 && type.isFloat }

  /// Whether other values can be put in its place; not those inside an object header.
  var isReplaceable: Bool { place != nil || size == 0 }
}

extension Shape {
  /// The indices of element `index`, `[3, 17]`.
  func position(of index: Int) -> [Int] {
    var rest = index
    var position: [Int] = []
    for extent in extents.reversed() {
      position.append(rest % extent)
      rest /= extent
    }
    return position.reversed()
  }
}
