// SPDX-License-Identifier: Apache-2.0

internal import Compression
internal import Glibc
internal import Maths
internal import Matrices
public import Networks
internal import Parallel
internal import Tensors
internal import Transforms

/// Compares B with A, from which it may have been made.
///
/// Where a step of B's history started from the values that A has, what that step recorded is checked: this is B's
/// claim. Steps are done again from their recorded options, as far as they take no other tensor, and must give the
/// values whose digest was recorded.
///
/// - Throws: `VerificationError`, when it cannot be told whether they agree.
public func verify(
  _ a: NetworkFile, _ b: NetworkFile, _ options: VerifyingOptions
) throws(VerificationError) -> Verification {
  var verifier = Verifier(a: a, b: b, options: options)
  verifier.result.seed = options.seed
  verifier.tellFiles()
  verifier.result.data = options.data.map { ($0.names, $0.samples, $0.inputCount, $0.scale) }
  verifier.declared = try on(.a) { try DeclaredSteps(of: b, after: a) }
  if options.measures.contains(.weights) {
    try verifier.compareTensors()
    verifier.compareGraphs()
  }
  try verifier.checkOutputClaims()
  if !options.measures.isDisjoint(with: [.outputs, .spectrum]) { try verifier.compareFunctions() }
  try verifier.checkMeasured()
  verifier.judge()
  return verifier.result
}

/// Does `work` with one of the files; a `NetworkError` becomes one about that file.
func on<Result>(
  _ side: VerificationError.Side?, _ work: () throws -> Result
) throws(VerificationError) -> Result {
  do {
    return try work()
  } catch let error as VerificationError {
    throw error
  } catch {
    throw VerificationError(side: side, error: NetworkError(error))
  }
}

struct Verifier {
  let a: NetworkFile
  let b: NetworkFile
  let options: VerifyingOptions
  var result = Verification()
  /// Tensors that no checked step of B says it changed, and that are not as in A.
  var unexplained: [(tensor: String, reason: String)] = []
  /// What steps of B say they changed beside values.
  var declared = DeclaredSteps.none
  /// Why what such a step claims is not known to hold.
  var unchecked: [String] = []
  private enum Side: String {
    case a = "A"
    case b = "B"
  }
  /// Tensors of training state that one file alone has.
  private var lonelyStates: [Side: Int] = [:]
  /// Why something could not be compared: the last reason of all.
  var obstacle: String?
  var threads: Threads { a.options.threads }

  init(a: NetworkFile, b: NetworkFile, options: VerifyingOptions) {
    (self.a, self.b, self.options) = (a, b, options)
  }

  mutating func tellFiles() {
    func file(_ network: NetworkFile) -> Verification.File {
      .init(
        kind: network.kind.rawValue, size: network.size, bitsPerWeight: bitsPerWeight(bytes: network.size),
        digest: network.contentDigest)
    }
    result.files = (file(a), file(b))
    result.options = options
    result.options?.data = nil
  }

  // MARK: Tensors

  mutating func compareTensors() throws(VerificationError) {
    var places: [TensorName: Int] = [:]
    for (index, tensor) in b.tensors.enumerated() { places[tensor.name] = index }
    for (index, tensor) in a.tensors.enumerated() {
      a.didReach(index)
      guard let place = places.removeValue(forKey: tensor.name) else {
        tell(tensor, isOnlyIn: .a)
        continue
      }
      let other = b.tensors[place]
      if declared.names(other) { continue }
      guard tensor.type == other.type else {
        result.differences.append("\(tensor.name): type \(tensor.type.rawValue) in A, \(other.type.rawValue) in B")
        continue
      }
      guard tensor.shape == other.shape else {
        result.differences.append("\(tensor.name): shape \(tensor.shape) in A, \(other.shape) in B")
        continue
      }
      try compare(index, place)
    }
    a.didReach(a.tensors.count)
    for tensor in b.tensors where places[tensor.name] != nil {
      tell(tensor, isOnlyIn: .b)
    }
    for (side, count) in lonelyStates.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      result.notes.append("\(count) tensors of training state are only in \(side.rawValue)")
    }
    let states = result.tensors.filter { !$0.isEqual && $0.isTrainingState }.map { TensorName($0.name) }
    if !states.isEmpty {
      result.notes.append("not equal, and no part of the network: \(abbreviated(states))")
    }
  }

  /// Training state is no part of a network: it may be missing.
  private mutating func tell(_ tensor: TensorRecord, isOnlyIn side: Side) {
    if tensor.isTrainingState {
      lonelyStates[side, default: 0] += 1
    } else if side == .a, declared.removed.contains(tensor.name) {
      result.notes.append("\(tensor.name): left out by a step of B")
    } else if side == .b, declared.names(tensor) {
      result.notes.append("\(tensor.name): made by a step of B")
    } else {
      result.differences.append("\(tensor.name): only in \(side.rawValue)")
    }
  }

  private mutating func compare(_ index: Int, _ place: Int) throws(VerificationError) {
    let (tensor, other) = (a.tensors[index], b.tensors[place])
    let pair = TensorPair(a: (a, index), b: (b, place))
    let (difference, digest) = try pair.difference(withDigest: !other.history.isEmpty)
    var comparison = Verification.TensorComparison(
      name: tensor.name.text, shape: tensor.shape.dimensions, encodings: (tensor.encoding.name, other.encoding.name),
      isTrainingState: tensor.isTrainingState, isEqual: difference.isEqual, relativeL2: difference.relativeL2)
    if tensor.type.isFloat, difference.squaredError.distance.isFinite {
      comparison.distance = difference.squaredError.distance
    }
    if let digest {
      comparison.claims = try on(.a) {
        try ClaimCheck(a: a, index: index, b: other, difference, pair, options: options).claims(from: digest)
      }
    }
    if tensor.isDenseMatrix || tensor.isIncludable, !comparison.isEqual {
      try pair.measureSpectra(difference, &comparison, isFast: options.isFast)
      if options.wantsHistograms { comparison.histogram = try pair.histogram(difference.squaredError) }
    }
    result.tensors.append(comparison)
    guard !comparison.isEqual else { return }
    let claims = comparison.claims
    let bound = claims.count > 1 ? claims.bound : nil
    if let bound, let error = comparison.relativeL2, !(error <= bound) {
      result.failures.append(
        "\(tensor.name): its steps record a relative L2 error of at most \(bound) together, found \(error)")
    }
    if comparison.isTrainingState { return }
    if claims.isEmpty {
      unexplained.append(
        (
          tensor.name.text,
          other.history.isEmpty
            ? "differs, and B has no record of a change"
            : "differs, and the steps that B records did not start from the values of A"
        ))
    } else if bound == nil || comparison.relativeL2 == nil, claims.allSatisfy({ $0.status == .unknown }) {
      unexplained.append((tensor.name.text, "differs, and no step that B records can be checked"))
    }
  }
}

extension TensorRecord {
  /// What running the network does not need: state of training, and integers that count or seed.
  var isTrainingState: Bool {
    role == .optimizer || !type.isFloat && (shape.count <= 1 || name.text.contains("seed_generator"))
  }
}

// MARK: - What the history records

/// Checks what the steps of one tensor of B recorded.
private struct ClaimCheck {
  let a: NetworkFile
  let index: Int
  let b: TensorRecord
  let difference: ValueDifference
  let pair: TensorPair
  let options: VerifyingOptions

  init(
    a: NetworkFile, index: Int, b: TensorRecord, _ difference: ValueDifference, _ pair: TensorPair,
    options: VerifyingOptions
  ) {
    (self.a, self.index, self.b) = (a, index, b)
    (self.difference, self.pair, self.options) = (difference, pair, options)
  }

  /// Maximum steps that are done again.
  private static let maxRepeated = 16
  /// Dimensions of a matrix up to which singular values are computed again.
  private static let maxSingularValues = 2048

  /// - Parameter digest: of A's values.
  func claims(from digest: Digest) throws -> [Verification.Claim] {
    let history = b.history
    // The last step that started from what A has: steps that change nothing may stand before it.
    guard let first = history.lastIndex(where: { $0.from == digest }) else { return [] }
    var claims: [Verification.Claim] = []
    // What the steps so far made of A's values, as far as it is known.
    var made: [UInt8]?
    var isKnown = true
    func withStart<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
      try made.map { try $0.withUnsafeBytes(body) } ?? a.withValues(of: index, body)
    }
    for (number, entry) in history.enumerated().dropFirst(first) {
      let isLast = number + 1 == history.count
      guard let error = entry.error else {
        // A step that changed more than values says nothing about them.
        isKnown = false
        continue
      }
      var claim = Verification.Claim(
        tensor: b.name.text, tool: entry.step.tool, options: entry.step.options, claimed: error, status: .unknown)
      var values: [UInt8]?
      if isKnown, (entry.unknownKey ?? entry.step.unknownKey) == nil {
        if isLast {
          let found = try made.map { try pair.difference(from: $0) } ?? difference
          claim.check(found.error)
        }
        if number - first < Self.maxRepeated {
          let expected = isLast ? b.digest : history[number + 1].from
          switch try repeated(entry, isLast: isLast, expecting: expected, withStart) {
          case .unknown: break
          case .refuted(let reason):
            claim.status = .fails
            claim.reason = reason
          case .similar(let error):
            claim.check(error)
          case .same(let found, let error):
            if !isLast {
              claim.check(error)
              values = found
            }
          case .unchanged:
            claim.check(0)
            values = try withStart { Array($0) }
          }
        }
      }
      made = values
      isKnown = values != nil
      claims.append(claim)
    }
    return claims
  }

  private enum Repetition {
    /// It takes other tensors, another version, or too long.
    case unknown
    /// The values that were recorded, `nil` of the last step, and the error.
    case same([UInt8]?, error: Double)
    /// It changed nothing.
    case unchanged
    /// By another linear algebra, values that are other in last bits at most.
    case similar(Double)
    case refuted(String)
  }

  /// Does a step again.
  private func repeated(
    _ entry: HistoryEntry, isLast: Bool, expecting digest: Digest?,
    _ withStart: ((UnsafeRawBufferPointer) throws -> Repetition) throws -> Repetition
  ) throws -> Repetition {
    let step = entry.step
    if entry.from == digest, !isLast { return .unchanged }
    // What another version did, this one may do otherwise: only what agrees says something.
    func refuted(_ reason: String) -> Repetition { step.version == options.version ? .refuted(reason) : .unknown }
    guard let method = Step.Method(tool: step.tool, options: step.options) else {
      return Step.Method.tools.contains(step.tool)
        ? refuted("'\(step.options)' is not what \(step.tool) \(step.version) writes") : .unknown
    }
    guard method.isLocal, let digest else { return .unknown }
    guard method.takes(b) else { return refuted("'\(step.options)' does not apply to this tensor") }
    let isSingular = if case .singularValue = method { true } else { false }
    let (rows, columns) = b.matrixDimensions
    // Of the last step, the error is measured; what is left would be a decomposition to check a number by.
    if isSingular, isLast || options.isFast || min(rows, columns) > Self.maxSingularValues { return .unknown }
    // As it was stored then, values are the same.
    var start = b
    start.encoding = .raw(planes: false)
    let (record, reading) = (start, a.options)
    return try withStart { values in
      guard let compressed = try result(of: method, values, record, reading) else { return .unknown }
      guard case .changed(let weights, _) = compressed else {
        return refuted("'\(step.options)' does not change the values that it started from")
      }
      let (difference, _, found) = weights.difference(
        from: values, type: b.type, shape: b.shape, threads: reading.threads)
      if found == digest {
        let values = isLast ? nil : weights.bytes(size: b.size, type: b.type, threads: reading.threads)
        return .same(values, error: difference.error)
      }
      if isSingular, let error = entry.error, (difference.error - error).magnitude <= 1e-6 * error {
        return .similar(error)
      }
      return refuted(
        "'\(step.options)' does not give the values that \(isLast ? "it has" : "the next step started from")")
    }
  }
}

/// What a method makes of values; `nil` where that takes more memory than is allowed, or a library that is missing.
private func result(
  of method: Step.Method, _ values: UnsafeRawBufferPointer, _ tensor: TensorRecord, _ options: ReadingOptions
) throws(NetworkError) -> Compressed? {
  do throws(NetworkError) {
    return try method.result(of: values, tensor, options)
  } catch {
    if error.verdict == .overLimit || error.verdict == .unsupported { return nil }
    throw error
  }
}

extension NewValues {
  fileprivate func bytes(size: Int, type: ElementType, threads: Threads) -> [UInt8] {
    if case .weights(.dense(let bytes)) = self { return bytes }
    var values: [UInt8] = []
    values.reserveCapacity(size)
    forEachPiece(type: type, threads: threads) { values.append(contentsOf: $0) }
    return values
  }
}

extension Verification.Claim {
  /// Compares with what was found. An error is recorded to nine significant digits; sums in double, in whatever order,
  /// differ by far less than 10⁻¹⁰ of themselves.
  fileprivate mutating func check(_ found: Double) {
    measured = found.isFinite ? found : nil
    var unit = 1e-8
    while unit * 1e8 > max(claimed, 1e-300) { unit /= 10 }
    while unit * 1e9 <= claimed { unit *= 10 }
    // Recorded errors below 10⁻³⁰⁰ have fewer digits.
    status = (found - claimed).magnitude <= 0.5 * unit + 1e-10 * claimed ? .holds : .fails
  }
}

extension [Verification.Claim] {
  /// What the steps of one tensor can have lost together, if what each records is true: errors relative to norms that
  /// each step changes by at most its own error. `nil` where one of them may have made it zero, and the next recorded
  /// no relative error.
  fileprivate var bound: Double? {
    if isEmpty || dropLast().contains(where: { $0.claimed >= 1 }) { return nil }
    var (total, norm) = (0.0, 1.0)
    for claim in self {
      total += claim.claimed * norm
      norm *= 1 + claim.claimed
    }
    return total * (1 + 1e-7) + 1e-12
  }
}
