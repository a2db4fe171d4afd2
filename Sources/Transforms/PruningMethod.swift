public import Compression
public import Networks
public import SystemPackage
internal import Tensors

/// What is dropped.
public enum PruningMethod: Sendable {
  /// Weights with the smallest magnitudes: of each matrix, or of all together.
  case magnitude(isGlobal: Bool, MagnitudeValues)
  /// The smallest singular values of each matrix.
  case singularValue
  /// Hidden units with the smallest incoming weights.
  case node
}

/// How kept weights are stored.
public enum MagnitudeValues: String, Sendable, CaseIterable {
  /// Bit for bit.
  case exact
  /// Rounded.
  case float16, bfloat16
  /// ± one scale for each output unit.
  case ternary
}

/// How much is dropped.
public enum PruningAim: Sendable {
  /// A given fraction is kept, or what keeps each matrix's error under a bound.
  case rule(PruningRule)
  /// As much is kept as a file of so many bytes can hold.
  case size(Int)
}

extension NetworkFile {
  /// Writes this network as `.ncz` with its dense weight matrices pruned.
  ///
  /// A matrix with a NaN or an infinity is carried unchanged with a warning, unless `--only` names it.
  ///
  /// - Throws: also `.overLimit` when the file does not fit even with nothing kept.
  public func prune(
    to file: FileDescriptor, by method: PruningMethod, _ aim: PruningAim, _ options: CompressingOptions
  ) throws(NetworkError) -> WritingReport {
    switch aim {
    case .rule(let rule):
      return try prune(to: file, by: method, rule, options, Decompositions(byteCount: 0))
    case .size(let size):
      let decompositions = Decompositions(byteCount: self.options.memory / 2)
      let keep = try maxKeep(fitting: size, by: method, options, decompositions)
      var limited = options
      limited.writing.limit = size
      var report = try prune(to: file, by: method, .keep(keep), limited, decompositions)
      report.warnings.append("--keep \(keep) gives \(report.outputBytes) bytes, of at most \(size)")
      return report
    }
  }

  private func prune(
    to file: FileDescriptor, by method: PruningMethod, _ rule: PruningRule, _ options: CompressingOptions,
    _ decompositions: Decompositions
  ) throws(NetworkError) -> WritingReport {
    switch method {
    case .magnitude(let isGlobal, let values):
      try pruneMagnitudes(to: file, rule, isGlobal: isGlobal, values, options)
    case .singularValue:
      try pruneSingularValues(to: file, rule, options, decompositions)
    case .node:
      try pruneUnits(to: file, rule, options)
    }
  }

  /// The multiple of 10⁻⁴ to keep that gives a file of at most `size` bytes: the next one gives more, or `size` is used
  /// to a five hundredth.
  private func maxKeep(
    fitting size: Int, by method: PruningMethod, _ options: CompressingOptions, _ decompositions: Decompositions
  ) throws(NetworkError) -> Fraction {
    let nowhere = try about { try FileDescriptor.open("/dev/null", .writeOnly) }
    defer { try? nowhere.close() }
    func keep(_ tenThousandths: Int) -> Fraction { Fraction("\(tenThousandths)e-4") ?? .one }
    func byteCount(_ tenThousandths: Int, _ options: CompressingOptions) throws(NetworkError) -> Int {
      try prune(to: nowhere, by: method, .keep(keep(tenThousandths)), options, decompositions).outputBytes
    }
    var trial = options
    trial.writing.trial = SizeTrial()
    let least = try byteCount(0, trial)
    guard least <= size else {
      var smallest = options
      smallest.writing.trial = SizeTrial()
      smallest.writing.level = 19
      smallest.dropsOptimizer = true
      let possible = try byteCount(0, smallest)
      throw NetworkError(
        .overLimit,
        "takes \(least) bytes with nothing kept, more than the \(size) of --target-size"
          + (possible < least ? "; \(possible) with --level 19 --drop optimizer" : ""))
    }
    let chosen = try choose(by: options.selection).tensors
    // Digests of another content compress to a few bytes more or less, and payloads begin at multiples of 64.
    let size = max(least, size - 128 - 8 * chosen.count)
    var model = SizeModel(
      least: least, weights: chosen.reduce(0.0) { $0 + Double(tensors[$1].shape.count) },
      hasPositions: method.hasPositions, bits: method.typicalBits)
    var (fits, used, exceeds, trials) = (0, least, 10_001, 0)
    while exceeds - fits > 1, size - used > size / 500 {
      // What the model says, as long as it lies between what is known and gets there soon; else halves.
      let guess = model.tenThousandths(for: size)
      let next = (fits + 1..<exceeds).contains(guess) && trials < 4 ? guess : (fits + exceeds) / 2
      trials += 1
      let found = try byteCount(next, trial)
      model.learn(found, at: Double(next) / 1e4)
      if found <= size { (fits, used) = (next, found) } else { exceeds = next }
    }
    return keep(fits)
  }
}

extension PruningMethod {
  /// Whether positions are stored beside what is kept.
  fileprivate var hasPositions: Bool {
    switch self {
    case .magnitude: true
    case .singularValue, .node: false
    }
  }

  /// Bits that a kept weight of float32 takes, about: where a search begins.
  fileprivate var typicalBits: Double {
    switch self {
    case .magnitude(_, .exact), .node: 25
    case .magnitude(_, .float16), .magnitude(_, .bfloat16): 11
    case .magnitude(_, .ternary): 1
    case .singularValue: 50
    }
  }
}
