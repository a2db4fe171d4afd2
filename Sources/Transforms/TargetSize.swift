// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Glibc
public import Networks
public import SystemPackage
public import Tensors

extension NetworkFile {
  /// Writes this network as `.ncz` with a method applied that keeps as much as a file of so many bytes can hold.
  ///
  /// - Parameters:
  ///   - size: bytes of the whole output.
  ///   - method: the method that keeps a fraction.
  /// - Throws: also `.overLimit` when the file does not fit even with nothing kept.
  public func apply(
    fitting size: Int, to file: FileDescriptor, _ options: CompressingOptions, _ method: (Fraction) -> Step.Method
  ) throws(NetworkError) -> WritingReport {
    let decompositions = Decompositions(byteCount: self.options.memory / 2)
    let keep = try maxKeep(fitting: size, options, decompositions, method)
    var limited = options
    limited.writing.limit = size
    var report = try apply(method(keep), to: file, limited, decompositions)
    report.warnings.append("--keep \(keep) gives \(report.outputBytes) bytes, of at most \(size)")
    return report
  }

  /// The multiple of 10⁻⁴ to keep that gives a file of at most `size` bytes: the next one gives more, or `size` is used to
  /// a five hundredth.
  private func maxKeep(
    fitting size: Int, _ options: CompressingOptions, _ decompositions: Decompositions,
    _ method: (Fraction) -> Step.Method
  ) throws(NetworkError) -> Fraction {
    let nowhere = try about { try FileDescriptor.open("/dev/null", .writeOnly) }
    defer { try? nowhere.close() }
    func keep(_ tenThousandths: Int) -> Fraction { Fraction("\(tenThousandths)e-4") ?? .one }
    func tried(_ tenThousandths: Int, _ options: CompressingOptions) throws(NetworkError) -> WritingReport {
      try apply(method(keep(tenThousandths)), to: nowhere, options, decompositions)
    }
    var trial = options
    trial.writing.trial = SizeTrial()
    let smallest = try tried(0, trial)
    let least = smallest.outputBytes
    guard least <= size else {
      var further = trial
      further.writing.trial = SizeTrial()
      further.writing.level = 19
      further.dropsOptimizer = true
      let possible = try tried(0, further).outputBytes
      let rest = least - smallest.tensors.reduce(0) { $0 + $1.storedBytes }
      throw NetworkError(
        .overLimit,
        "takes \(least) bytes with nothing kept, more than the \(size) of --target-size: \(text(bytes: rest)) are container and metadata"
          + (possible < least ? "; \(possible) bytes with --level 19 --drop optimizer" : ""))
    }
    let chosen = try choose(by: options.selection).tensors
    // Digests of another content compress to a few bytes more or less, and payloads begin at multiples of 64.
    let size = max(least, size - 128 - 8 * chosen.count)
    var model = SizeModel(
      least: least, weights: chosen.reduce(0.0) { $0 + Double(tensors[$1].shape.count) },
      hasPositions: method(.one).hasPositions, bits: method(.one).typicalBits)
    var (fits, used, exceeds, trials) = (0, least, 10_001, 0)
    while exceeds - fits > 1, size - used > size / 500 {
      // What the model says, as long as it lies between what is known and gets there soon; else halves.
      let guess = model.tenThousandths(for: size)
      let next = (fits + 1..<exceeds).contains(guess) && trials < 4 ? guess : (fits + exceeds) / 2
      trials += 1
      let found = try tried(next, trial).outputBytes
      model.learn(found, at: Double(next) / 1e4)
      if found <= size { (fits, used) = (next, found) } else { exceeds = next }
    }
    return keep(fits)
  }
}

extension Step.Method {
  /// Whether positions are stored beside what is kept.
  fileprivate var hasPositions: Bool {
    switch self {
    case .magnitude: true
    case .singularValue, .node, .ternarize, .quantize, .narrowBiases, .dropOptimizer: false
    }
  }

  /// Bits that a kept weight of float32 takes, about: where a search begins.
  fileprivate var typicalBits: Double {
    switch self {
    case .magnitude(_, .exact, _), .node: 25
    case .magnitude(_, .float16, _), .magnitude(_, .bfloat16, _): 11
    case .magnitude(_, .ternary, _), .ternarize: 1
    case .magnitude(_, .levels(let count), _): log2(Double(max(2, count)))
    case .quantize: 8
    case .singularValue: 50
    case .narrowBiases, .dropOptimizer: 0
    }
  }
}
