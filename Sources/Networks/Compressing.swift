internal import Compression
internal import SystemPackage
internal import Tensors

/// What every tool that changes values is told.
public struct CompressingOptions: Sendable {
  public var selection: Selection
  /// Restore optimizer state as zeros.
  public var dropsOptimizer: Bool
  public var writing: WritingOptions
  /// Recorded in each changed tensor's history.
  public var tool: String
  public var version: String

  public init(
    selection: Selection, dropsOptimizer: Bool, writing: WritingOptions, tool: String, version: String
  ) {
    self.selection = selection
    self.dropsOptimizer = dropsOptimizer
    self.writing = writing
    self.tool = tool
    self.version = version
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
  /// What was left though it is much, the largest first.
  public var left: [LeftTensor] = []
}

/// What a compressor makes of the values of a tensor.
enum Compressed {
  /// `kept`: of how many weights, singular values or nodes how many are left, where some are dropped.
  case changed(Weights, squaredNorm: Double, squaredError: Double, relativeL2: Double, kept: Kept? = nil)
  /// Not changed, and why.
  case unchanged(String)
  /// Holds a NaN or an infinity, here.
  case nonFinite(index: Int)
}

extension NetworkFile {
  /// Writes this network as `.ncz` with the values that `change` makes of the chosen tensors.
  ///
  /// One with a NaN or an infinity is carried unchanged with a warning, unless `--only` names it.
  ///
  /// - Parameters:
  ///   - settings: the options that decided the values, as the command line spells them.
  ///   - chosen: the tensors, by index, that `change` is asked for.
  func compress(
    to file: FileDescriptor, _ options: CompressingOptions, settings: String, chosen: Set<Int>,
    change: (Int, UnsafeRawBufferPointer) throws -> Compressed
  ) throws(NetworkError) -> WritingReport {
    var warnings = assumption.map { [$0] } ?? []
    var (squaredError, squaredNorm, largest) = (0.0, 0.0, 0.0)
    let threads = self.options.threads
    func step(_ settings: String, from: Digest, error: Double) -> Step {
      Step(tool: options.tool, version: options.version, options: settings, from: from, error: error)
    }

    let written = try write(to: file, options.writing) { index in
      let tensor = tensors[index]
      if options.dropsOptimizer, tensor.role == .optimizer, tensor.shape.rank > 0 {
        // A fresh start. (Scalars, such as the learning rate, stay.)
        let (from, isZero) = try withValues(of: index) { values in
          (
            Digest(values: values, type: tensor.type, shape: tensor.shape, threads: threads),
            values.allSatisfy { $0 == 0 }
          )
        }
        return Change(
          weights: .dense([UInt8](repeating: 0, count: tensor.size)),
          step: step("--drop optimizer", from: from, error: isZero ? 0 : 1), outcome: .dropped)
      }
      guard chosen.contains(index) else { return nil }
      let (compressed, from) = try withValues(of: index) { values in
        (
          try change(index, values),
          Digest(values: values, type: tensor.type, shape: tensor.shape, threads: threads)
        )
      }
      switch compressed {
      case .changed(let weights, let norm, let error, let relativeL2, let kept):
        // What loses nothing more stays as it is stored: another encoding could only be larger.
        if relativeL2 == 0, kind == .ncz, tensor.encoding != .raw { return nil }
        largest = max(largest, relativeL2)
        squaredError += error
        squaredNorm += norm
        if case .hdf5(let source) = source {
          for filter in source.roundingFilters(of: tensor) {
            warnings.append(
              "\(tensor.name): the file keeps it behind the filter \(filter), which may round what is restored")
          }
        }
        return Change(weights: weights, step: step(settings, from: from, error: relativeL2), kept: kept)
      case .unchanged(let reason):
        warnings.append("\(tensor.name): \(reason): carried unchanged")
        return nil
      case .nonFinite(let element):
        let position = tensor.shape.position(of: element)
        guard !options.selection.insists(on: tensor.name) else {
          throw NetworkError(.unusable, "\(tensor.name): NaN or infinity at \(position)")
        }
        warnings.append("\(tensor.name): NaN or infinity at \(position): carried unchanged")
        return nil
      }
    }
    // Squares of extreme weights overflow or vanish; then the largest of the errors is told.
    let isCounted = squaredNorm.isFinite && (squaredNorm > 0 || largest == 0)
    let total = squaredNorm > 0 ? (squaredError / squaredNorm).squareRoot() : 0
    return WritingReport(
      tensors: written.tensors, inputBytes: size, outputBytes: written.byteCount,
      relativeL2: written.tensors.contains(where: { $0.outcome == .changed })
        ? (isCounted ? total : largest) : nil,
      warnings: warnings, left: left(by: written.tensors, options.selection))
  }

  /// Refuses a selection that names nothing, a chosen matrix that cannot be read, and a tensor asked for by name that
  /// the method cannot take.
  ///
  /// - Parameter ranks: the ranks of the tensors that the method takes.
  func check(_ selection: Selection, ranks: ClosedRange<Int> = 2...2) throws(NetworkError) {
    try selection.check(tensors.map(\.name) + sealed.map(\.name))
    if let matrix = sealed.first(where: { selection.includes($0.name) }) {
      throw NetworkError(
        .unsupported, "\(matrix.name): \(matrix.reason); --except '\(matrix.name)' carries it unchanged")
    }
    for tensor in tensors where selection.insists(on: tensor.name) {
      guard tensor.type.isFloat else {
        throw NetworkError(.unusable, "\(tensor.name): \(tensor.type.rawValue), expected floating-point weights")
      }
      guard ranks.contains(tensor.shape.rank) else {
        let expected = ranks.count == 1 ? "\(ranks.lowerBound)" : "at least \(ranks.lowerBound)"
        throw NetworkError(.unusable, "\(tensor.name): rank \(tensor.shape.rank), expected \(expected)")
      }
      guard tensor.isReplaceable else {
        throw NetworkError(
          .unusable, "\(tensor.name): its storage is compact, expected contiguous or chunked")
      }
    }
  }

  /// The tensors, by index, that a compressor takes.
  func chosen(by selection: Selection) -> Set<Int> { Set(tensors.indices.filter { takes($0, selection) }) }

  /// Whether a compressor takes a tensor: unasked dense weight matrices, else what `--only` names.
  func takes(_ index: Int, _ selection: Selection) -> Bool {
    let tensor = tensors[index]
    return selection.includes(tensor.name)
      && (selection.insists(on: tensor.name) || (tensor.isDenseMatrix && tensor.isReplaceable))
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
