internal import Compression
internal import Glibc
internal import Maths
internal import Parallel
internal import Tensors

/// Compares B with A, from which it may have been made.
///
/// Where a step of B's history started from the values that A has, what that step recorded is checked: this is B's claim.
/// Through several steps every one is checked whose start can be made again by doing the steps before it.
///
/// - Throws: `VerificationError`, when it cannot be told whether they agree.
public func verify(
  _ a: NetworkFile, _ b: NetworkFile, _ options: VerifyingOptions
) throws(VerificationError) -> Verification {
  var verifier = Verifier(a: a, b: b, options: options)
  verifier.result.seed = options.seed
  verifier.result.data = options.data.map { ($0.name, $0.samples, $0.inputCount, $0.scale) }
  if options.measures.contains(.weights) {
    try verifier.compareTensors()
    verifier.compareGraphs()
  }
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
  /// Tensors that no step of B says it changed, and that are not as in A.
  private var unexplained: [String] = []
  private var lonelyStates: [String: Int] = [:]
  /// Why something could not be compared: the last reason of all.
  var obstacle: String?
  var threads: Threads { a.options.threads }

  init(a: NetworkFile, b: NetworkFile, options: VerifyingOptions) {
    (self.a, self.b, self.options) = (a, b, options)
  }

  // MARK: Tensors

  mutating func compareTensors() throws(VerificationError) {
    var places: [TensorName: Int] = [:]
    for (index, tensor) in b.tensors.enumerated() { places[tensor.name] = index }
    for (index, tensor) in a.tensors.enumerated() {
      a.didReach(index)
      guard let place = places.removeValue(forKey: tensor.name) else {
        tell(tensor, isOnlyIn: "first")
        continue
      }
      let other = b.tensors[place]
      guard tensor.type == other.type else {
        result.differences.append("\(tensor.name): \(tensor.type.rawValue) and \(other.type.rawValue)")
        continue
      }
      guard tensor.shape == other.shape else {
        result.differences.append("\(tensor.name): \(tensor.shape) and \(other.shape)")
        continue
      }
      try compare(index, place)
    }
    a.didReach(a.tensors.count)
    for tensor in b.tensors where places[tensor.name] != nil {
      tell(tensor, isOnlyIn: "second")
    }
    for (side, count) in lonelyStates.sorted(by: { $0.key < $1.key }) {
      result.notes.append("\(count) tensors of training state are only in the \(side)")
    }
  }

  /// Training state is no part of a network: it may be missing.
  private mutating func tell(_ tensor: TensorRecord, isOnlyIn side: String) {
    if tensor.role == .optimizer {
      lonelyStates[side, default: 0] += 1
    } else {
      result.differences.append("\(tensor.name): only in the \(side)")
    }
  }

  private mutating func compare(_ index: Int, _ place: Int) throws(VerificationError) {
    let (tensor, other) = (a.tensors[index], b.tensors[place])
    let after = try on(.b) { try b.values(of: place) }
    let comparison = try on(.a) {
      try a.withValues(of: index) { before in
        try after.withUnsafeBytes { after in try compare(before, after, tensor, other) }
      }
    }
    result.tensors.append(comparison)
    let claims = comparison.claims
    if !comparison.isEqual, claims.isEmpty {
      unexplained.append(
        "\(tensor.name): differs, and "
          + (other.history.isEmpty
            ? "no step of the second file says so" : "what the second file says of it did not start from the first"))
    }
    if claims.count > 1, let bound = claims.bound, let error = comparison.relativeL2, !(error <= bound) {
      result.failures.append(
        "\(tensor.name): its steps claim a relative L2 error of at most \(bound) together, found \(error)")
    }
  }

  private func compare(
    _ before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer, _ tensor: TensorRecord, _ other: TensorRecord
  ) throws -> Verification.TensorComparison {
    var comparison = Verification.TensorComparison(
      name: tensor.name.text, shape: tensor.shape.extents, encodings: (tensor.encoding.name, other.encoding.name),
      isTrainingState: tensor.role == .optimizer, isEqual: areEqual(before, after))
    comparison.claims = try check(other.history, of: tensor, before, after)
    guard tensor.type.isFloat else { return comparison }
    comparison.relativeL2 = comparison.isEqual ? 0 : error(before, after, tensor).flatMap { $0.isFinite ? $0 : nil }
    guard tensor.isDenseMatrix, !comparison.isEqual else { return comparison }
    let (rows, columns) = tensor.matrixExtents
    guard 3 * 8 * rows * columns <= a.options.memory else { return comparison }
    func elements(_ bytes: UnsafeRawBufferPointer) -> [Double] {
      doubles(
        bytes, type: tensor.type, rows: tensor.shape.extents[0], columns: tensor.shape.extents[1],
        transposed: tensor.isTransposed)
    }
    let (own, others) = (elements(before), elements(after))
    guard own.allSatisfy(\.isFinite), others.allSatisfy(\.isFinite) else { return comparison }
    comparison.histogram = Verification.WeightHistogram(own, others)
    let lost = zip(own, others).map { $0 - $1 }
    let size = try largestSingularValue(of: own, rows: rows, columns: columns, threads: threads)
    let error = try largestSingularValue(of: lost, rows: rows, columns: columns, threads: threads)
    comparison.spectralError = size > 0 ? error / size : error == 0 ? 0 : nil
    if !options.isFast, min(rows, columns) <= Self.mostSingularValues {
      func values(_ matrix: [Double]) throws -> [Double] {
        try SingularValueDecomposition.values(rows: rows, columns: columns) { _ = $0.update(fromContentsOf: matrix) }
      }
      comparison.singularValues = (try values(own), try values(others))
    }
    return comparison
  }

  /// Of larger matrices all singular values would take long.
  private static let mostSingularValues = 1024

  // MARK: Claims

  /// Most steps that are done again.
  private static let mostRebuilt = 16

  private func check(
    _ history: [Step], of tensor: TensorRecord, _ before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer
  ) throws -> [Verification.Claim] {
    guard !history.isEmpty else { return [] }
    let digest = Digest(values: before, type: tensor.type, shape: tensor.shape, threads: threads)
    // The last step that started from what A has: steps that change nothing may stand before it.
    guard let first = history.lastIndex(where: { $0.from == digest }) else { return [] }
    var claims: [Verification.Claim] = []
    // What the steps so far made of A's values, as far as it is known.
    var made: [UInt8]?
    var isKnown = true
    func withStart<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
      made.map { $0.withUnsafeBytes(body) } ?? body(before)
    }
    for (number, step) in history.enumerated().dropFirst(first) {
      var claim = Verification.Claim(
        tensor: tensor.name.text, tool: step.tool, options: step.options, claimed: step.error, status: .unknown)
      if isKnown, number + 1 == history.count {
        claim.check(withStart { error($0, after, tensor) })
      } else if isKnown, number - first < Self.mostRebuilt,
        let values = withStart({ rebuilt($0, tensor, by: step, expecting: history[number + 1].from) })
      {
        claim.check(withStart { start in values.withUnsafeBytes { error(start, $0, tensor) } })
        made = values
      } else {
        isKnown = false
      }
      claims.append(claim)
    }
    return claims
  }

  private func rebuilt(
    _ start: UnsafeRawBufferPointer, _ tensor: TensorRecord, by step: Step, expecting digest: Digest
  ) -> [UInt8]? {
    if step.from == digest { return Array(start) }
    var values: [UInt8] = []
    a.rebuild(start, tensor, by: step)?
      .forEachPiece(type: tensor.type, threads: threads) { values.append(contentsOf: $0) }
    guard values.count == start.count else { return nil }
    let found = values.withUnsafeBytes {
      Digest(values: $0, type: tensor.type, shape: tensor.shape, threads: threads)
    }
    return found == digest ? values : nil
  }

  /// ‖before − after‖/‖before‖: infinite where only the divisor is 0, or what is after is not finite; nothing where what is
  /// before is not.
  private func error(
    _ before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer, _ tensor: TensorRecord
  ) -> Double? {
    guard tensor.type.isFloat else { return areEqual(before, after) ? 0 : 1 }
    let loss = SquaredLoss(before, after, type: tensor.type, threads: threads)
    guard loss.squaredNorm.isFinite else { return nil }
    return loss.squaredError.isFinite && (loss.squaredNorm > 0 || loss.squaredError == 0) ? loss.relativeL2 : .infinity
  }

  // MARK: Verdict

  mutating func judge() {
    let tolerances = options.tolerances
    let claims = result.claims
    result.failures = result.differences + result.failures
    for claim in claims where claim.status == .fails {
      result.failures.append(
        "\(claim.tensor): \(claim.tool) claims a relative L2 error of \(claim.claimed), found \(claim.measured ?? .infinity)"
      )
    }
    if !claims.isEmpty { result.failures += unexplained }
    let unchecked = claims.count { $0.status == .unknown }
    if unchecked > 0 {
      result.notes.append(
        "\(unchecked) of \(claims.count) claims are not checkable: what one of their steps started from, or left, is not at hand"
      )
    }
    func require(_ what: String, _ value: Double?, _ most: Double?) {
      guard let most, !((value ?? .nan) <= most) else { return }
      let found = value.flatMap { $0.isFinite ? "\($0)" : nil } ?? "undefined"
      result.failures.append("\(what): \(found), expected at most \(most)")
    }
    for tensor in result.tensors where !tensor.isEqual && !tensor.isTrainingState {
      require("\(tensor.name): relative L2 error", tensor.relativeL2, tolerances.weight)
    }
    for part in result.parts {
      let name = part.isWhole ? "" : "\(part.name): "
      require("\(name)output error", part.outputs?.relativeError, tolerances.output)
      require(
        "\(name)distance of conjugate kernels", part.spectrum?.conjugate.relativeSpectralNorm, tolerances.conjugate)
      require("\(name)distance of tangent kernels", part.spectrum?.tangent?.relativeSpectralNorm, tolerances.tangent)
      if let accuracies = part.outputs?.accuracies {
        // Accuracies are exact in decimals; their difference is not.
        require(
          "\(name)loss of accuracy", ((accuracies.a - accuracies.b) * 1e12).rounded() / 1e12, tolerances.accuracyLoss)
      }
    }
    let isEqual =
      options.measures.contains(.weights) && result.differences.isEmpty && result.tensors.allSatisfy(\.isEqual)
    result.verdict =
      !result.failures.isEmpty
      ? .differs : isEqual ? .equal : unchecked < claims.count || !tolerances.isEmpty ? .within : .unclaimed
    result.hasTolerance = !tolerances.isEmpty
  }
}

extension Verification.Claim {
  /// Compares with what was found. An error is recorded to nine significant digits; sums in double, in whatever order,
  /// differ by far less than 10⁻¹⁰ of themselves.
  fileprivate mutating func check(_ found: Double?) {
    guard let found else { return }
    measured = found
    var unit = 1e-8
    while unit * 1e8 > max(claimed, 1e-300) { unit /= 10 }
    while unit * 1e9 <= claimed { unit *= 10 }
    status = (found - claimed).magnitude <= 0.5 * unit + 1e-10 * claimed ? .holds : .fails
  }
}

extension [Verification.Claim] {
  /// What the steps of one tensor can have lost together, if what each claims is true: errors relative to norms that each
  /// step changes by at most its own error.
  fileprivate var bound: Double? {
    if isEmpty { return nil }
    var (total, norm) = (0.0, 1.0)
    for claim in self {
      total += claim.claimed * norm
      norm *= 1 + claim.claimed
    }
    return total * (1 + 1e-7) + 1e-12
  }
}

extension Verification.WeightHistogram {
  /// - Parameters: all finite.
  init?(_ a: [Double], _ b: [Double]) {
    let largest = a.reduce(0) { max($0, $1.magnitude) }
    guard largest > 0 else { return nil }
    // What lies beyond four standard deviations is put into the outermost bins.
    let deviation = (a.reduce(0) { $0 + $1 / largest * ($1 / largest) } / Double(a.count)).squareRoot() * largest
    limit = min(largest, 4 * deviation)
    let bins = 81
    counts = [Int](repeating: 0, count: bins)
    zeroed = counts
    var most = 0.0
    for (x, y) in zip(a, b) {
      let bin = min(bins - 1, max(0, Int(((x / limit).clamped + 1) / 2 * Double(bins))))
      counts[bin] += 1
      if y == 0 {
        zeroed[bin] += 1
        most = max(most, x.magnitude)
      }
    }
    threshold = most > 0 ? most : nil
  }
}

private func areEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  guard a.count == b.count, let first = a.baseAddress, let second = b.baseAddress else { return a.count == b.count }
  return memcmp(first, second, a.count) == 0
}

extension Double {
  fileprivate var clamped: Double { min(1, max(-1, self)) }
}
