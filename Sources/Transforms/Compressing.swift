// SPDX-License-Identifier: Apache-2.0

internal import Matrices
public import Networks
internal import SystemPackage
internal import Tensors

/// What a tool that writes a network has to say about it.
public struct WritingReport: Sendable {
  public var tensors: [TensorReport]
  public var inputBytes: Int
  public var outputBytes: Int
  /// Bytes of the output that hold what is left of the source file without its tensors.
  public var containerBytes = 0
  /// ‖before − after‖₂ ÷ ‖before‖₂ over all tensors that were changed; `nil` when none was.
  public var relativeL2: Double?
  /// What a user should be told.
  public var warnings: [String]
  /// What was left though it is much, the largest first.
  public var left: [LeftTensor] = []
}

/// What a compressor makes of the values of a tensor.
package enum Compressed {
  /// `kept`: of how many weights, singular values or units how many are left, where some are dropped.
  case changed(NewValues, kept: Kept? = nil)
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
  ///   - method: what `change` does, for the history.
  ///   - choice: the tensors that `change` is asked for.
  func compress(
    to file: FileDescriptor, _ options: CompressingOptions, _ method: Step.Method, _ choice: Choice,
    change: (Int, UnsafeRawBufferPointer) throws -> Compressed
  ) throws(NetworkError) -> WritingReport {
    var warnings = (assumption.map { [$0] } ?? []) + choice.notes
    var total = SquaredError()
    let threads = self.options.threads
    func step(_ method: Step.Method) -> Step {
      Step(tool: options.tool, version: options.version, options: method.options)
    }
    /// The change to these values, measured.
    func measured(
      _ index: Int, _ values: UnsafeRawBufferPointer, to new: NewValues, by method: Step.Method,
      _ outcome: TensorReport.Outcome, kept: Kept? = nil
    ) throws(NetworkError) -> (change: Change, difference: ValueDifference) {
      let tensor = tensors[index]
      let (difference, from, digest) = new.difference(
        from: values, type: tensor.type, shape: tensor.shape, threads: threads
      ) {
        // What follows, to encode them, takes about as long.
        didReach(index, bytes: $0 / 2)
      }
      // What is wrong in a `.ncz` must not be passed on.
      try tensor.check(from)
      let entry = HistoryEntry(step(method), from: from, error: difference.error)
      return (Change(values: new, digest: digest, entry: entry, outcome: outcome, kept: kept), difference)
    }

    /// What becomes of tensor `index`, of these values; `nil` to carry it.
    func changed(
      _ index: Int, _ values: UnsafeRawBufferPointer, _ result: Compressed, by method: Step.Method
    ) throws -> Change? {
      let tensor = tensors[index]
      switch result {
      case .changed(let new, let kept):
        if options.writing.trial != nil {
          let entry = HistoryEntry(step(method), from: .placeholder(2 * index), error: 0.123456789)
          return Change(values: new, digest: .placeholder(2 * index + 1), entry: entry, kept: kept)
        }
        let (change, difference) = try measured(index, values, to: new, by: method, .changed, kept: kept)
        // What loses nothing more stays as it is stored: another encoding could only be larger.
        if difference.error == 0, kind == .ncz, !tensor.encoding.isRaw { return nil }
        // The same values in another form are no step.
        if change.digest == change.entry?.from {
          return Change(values: new, digest: change.digest, outcome: .carried, kept: kept)
        }
        total.add(difference.squaredError)
        if case .hdf5(let source) = source {
          for filter in source.roundingFilters(of: tensor) {
            warnings.append(
              "\(tensor.name): the file keeps it behind the filter \(filter), which may round what is restored")
          }
        }
        return change
      case .unchanged(let reason):
        warnings.append("\(tensor.name): \(reason): carried unchanged")
        return nil
      case .nonFinite(let element):
        let position = tensor.shape.position(of: element)
        guard !options.selection.insists(on: tensor.name) else {
          throw NetworkError(.unsupported, "\(tensor.name): NaN or infinity at \(position)")
        }
        warnings.append("\(tensor.name): NaN or infinity at \(position): carried unchanged")
        return nil
      }
    }

    var omitted: (tensors: Set<Int>, by: Step)?
    if options.dropsOptimizer, !options.writing.hasContainer {
      let state = tensors.indices.filter { tensors[$0].role == .optimizer }
      var dropping = step(.dropOptimizer)
      dropping.removed = state.map { tensors[$0].name }
      if !state.isEmpty { omitted = (Set(state), dropping) }
    }
    let written = try write(to: file, options.writing, omitting: omitted, checking: Self.checkReducible) { index, put in
      let tensor = tensors[index]
      if options.dropsOptimizer, tensor.role == .optimizer, tensor.shape.rank > 0,
        tensor.isReplaceable || tensor.path == nil
      {
        // A fresh start. (Scalars, such as the learning rate, stay; so does what lies inside an object header.)
        let zeros = NewValues.weights(.dense([UInt8](repeating: 0, count: tensor.size)))
        return try put(
          try withValues(of: index) { try measured(index, $0, to: zeros, by: .dropOptimizer, .dropped).change })
      }
      if options.narrowsBiases, Step.Method.narrowBiases.takes(tensor), tensor.isReplaceable,
        !options.selection.excepts(tensor.name), !choice.tensors.contains(index)
      {
        return try withValues(of: index) { values in
          let result = try Step.Method.narrowBiases.result(of: values, tensor, self.options)
          return try changed(index, values, result, by: .narrowBiases).map { try put($0) }
        } ?? put(nil)
      }
      guard choice.tensors.contains(index) else { return try put(nil) }
      // New values may be taken from those before, so they are written while these are at hand.
      return try withValues(of: index) { values in
        try changed(index, values, change(index, values), by: method).map { try put($0) }
      } ?? put(nil)
    }
    return WritingReport(
      tensors: written.tensors, inputBytes: size, outputBytes: written.byteCount,
      containerBytes: written.containerBytes,
      relativeL2: written.tensors.contains(where: { $0.outcome == .changed }) ? total.error : nil, warnings: warnings,
      left: left(by: written.tensors, options.selection))
  }
}

extension NetworkFile {
  /// Where units were taken away, a smaller file can be asked for.
  static func checkReducible(
    _ written: NetworkFile, _ restored: () throws(NetworkError) -> NetworkFile
  ) throws(NetworkError) {
    if written.tensors.contains(where: \.lostUnits) { try restored().checkReducible() }
  }
}

extension TensorRecord {
  /// Whether a step took units away, so that a smaller file can be asked for.
  fileprivate var lostUnits: Bool {
    history.contains { entry in
      if case .node = Step.Method(tool: entry.step.tool, options: entry.step.options) { true } else { false }
    }
  }
}
