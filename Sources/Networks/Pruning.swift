public import Compression
public import SystemPackage
internal import Tensors

/// What is dropped.
public enum PruningMethod: Sendable {
  /// Weights with the smallest magnitudes: of each matrix, or of all together.
  case magnitude(isGlobal: Bool, MagnitudeValues)
  /// The smallest singular values of each matrix.
  case singularValue
  /// Hidden nodes with the smallest incoming weights.
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
  /// - Throws: also `.unusable` when the file does not fit even with nothing kept.
  public func prune(
    to file: FileDescriptor, by method: PruningMethod, _ aim: PruningAim, _ options: CompressingOptions
  ) throws(NetworkError) -> WritingReport {
    switch aim {
    case .rule(let rule):
      return try prune(to: file, by: method, rule, options, Decompositions(byteCount: 0))
    case .size(let size):
      let decompositions = Decompositions(byteCount: self.options.memory / 2)
      let keep = try greatestKeep(fitting: size, by: method, options, decompositions)
      var report = try prune(to: file, by: method, .keep(keep), options, decompositions)
      report.warnings.append("--keep \(keep) is the most that fits \(size) bytes")
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
      try pruneNodes(to: file, rule, options)
    }
  }

  /// The largest multiple of 10⁻⁴ to keep so that the file has at most `size` bytes, found by bisection: at 10⁻⁴ more it
  /// has more. (Sizes grow with what is kept, but for a few bytes of chance in compression.)
  private func greatestKeep(
    fitting size: Int, by method: PruningMethod, _ options: CompressingOptions, _ decompositions: Decompositions
  ) throws(NetworkError) -> Fraction {
    let nowhere = try about { try FileDescriptor.open("/dev/null", .writeOnly) }
    defer { try? nowhere.close() }
    func keep(_ steps: Int) -> Fraction { Fraction("\(steps)e-4") ?? .one }
    var trial = options
    trial.writing.isTrial = true
    func byteCount(_ steps: Int) throws(NetworkError) -> Int {
      try prune(to: nowhere, by: method, .keep(keep(steps)), trial, decompositions).outputBytes
    }
    if try byteCount(10_000) <= size { return .one }
    let least = try byteCount(0)
    guard least <= size else {
      throw NetworkError(.unusable, "takes \(least) bytes with nothing kept, more than the \(size) of --target-size")
    }
    var (fits, exceeds) = (0, 10_000)
    while exceeds - fits > 1 {
      let middle = (fits + exceeds) / 2
      if try byteCount(middle) <= size { fits = middle } else { exceeds = middle }
    }
    return keep(fits)
  }
}
