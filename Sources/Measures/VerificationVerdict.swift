// SPDX-License-Identifier: Apache-2.0

internal import Maths
internal import Networks
internal import Tensors

extension Verifier {
  /// Holds what was measured against tolerances and records, and answers.
  mutating func judge() {
    let claims = result.claims
    var limits: [Verification.Check] = []
    var reasons: [String] = []
    /// - Parameter told: what a reader is told where it is exceeded, without the limit.
    func hold(
      _ measure: Verification.Check.Measure, _ object: String?, _ measured: Double?, _ limit: Double?,
      _ told: String? = nil
    ) {
      guard let limit else { return }
      let value = measured.flatMap { $0.isFinite ? $0 : nil }
      let holds = value.map { $0 <= limit } ?? false
      limits.append(.init(measure: measure, object: object, limit: limit, measured: value, holds: holds))
      if !holds {
        let what = (object.map { "\($0): " } ?? "") + measure.name
        reasons.append(
          "\(told ?? "\(what) \(value?.short ?? "undefined")"), limit \(limit.short)")
      }
    }
    holdWeights { hold($0, $1, $2, $3, $4) }
    for part in result.parts {
      let tolerances = options.tolerances
      let name = part.isWhole ? nil : part.name
      if let outputs = part.outputs {
        hold(.output, name, outputs.relativeError, tolerances.output)
        if let (a, b) = outputs.accuracies {
          // Accuracies are exact in decimals; their difference is not.
          let loss = ((a - b) * 1e12).rounded() / 1e12
          hold(
            .accuracyLoss, name, loss, tolerances.accuracyLoss,
            "accuracy fell by \(loss.short) (\(a.short) → \(b.short))")
        }
      }
      // Of several chains, one whose kernels could not be had must not pass for the others.
      if part.hasKernels {
        hold(.conjugate, name, part.spectrum?.conjugate.relativeSpectralNorm, tolerances.conjugate)
        hold(.tangent, name, part.spectrum?.tangent?.relativeSpectralNorm, tolerances.tangent)
      }
    }
    hold(.size, nil, Double(b.size), options.tolerances.size.map(Double.init), "B has \(b.size) bytes")
    hold(.bits, nil, bitsPerWeight, options.tolerances.bits)
    let recorded = claims.map { claim in
      Verification.Check(
        measure: .recorded, object: claim.tensor, limit: claim.claimed, measured: claim.measured,
        holds: claim.status == .unknown ? nil : claim.status == .holds)
    }
    result.checks = limits + recorded + result.checks
    for check in result.checks where check.measure == .claimedOutput && check.holds == false {
      reasons.append(
        "\(check.object ?? "") claims an output error of \(check.limit), found \(check.measured.map { "\($0)" } ?? "∞")"
      )
    }
    // Nothing says that the outputs are near: without a limit of the caller's there is nothing to answer.
    if options.tolerances.isEmpty { reasons += unchecked } else { result.notes += unchecked }
    for claim in claims where claim.status == .fails {
      reasons.append(
        "\(claim.tensor): \(claim.tool) recorded "
          + (claim.reason ?? "a relative L2 error of \(claim.claimed), found \(claim.measured.map { "\($0)" } ?? "∞")"))
    }
    let unchecked = claims.count { $0.status == .unknown }
    if unchecked > 0 {
      result.notes.append(
        "\(unchecked) of \(claims.count) recorded errors cannot be checked: the values before or after one of their steps are not available"
      )
    }
    let isUnexplained = !unexplained.isEmpty && (!claims.isEmpty || options.tolerances.isEmpty)
    // Of files that share no record, one sentence says so; each tensor would be a list.
    if isUnexplained, !claims.isEmpty { reasons += unexplained.map { "\($0.tensor): \($0.reason)" } }
    if isUnexplained, claims.isEmpty {
      reasons.append(
        "\(unexplained.count) of \(result.tensors.count) tensors differ: "
          + abbreviated(unexplained.map { TensorName($0.tensor) }))
    }
    result.failures = result.differences + result.failures + reasons
    result.verdict = verdict
    result.sentence = sentence(limits, isUnexplained: isUnexplained)
    if options.isWithoutVerdict { result.failures = [] }
  }

  /// The largest error of a tensor; `--max-weight` is exceeded where one is undefined.
  private func holdWeights(
    _ hold: (Verification.Check.Measure, String?, Double?, Double?, String?) -> Void
  ) {
    guard options.measures.contains(.weights) else { return }
    let changed = result.tensors.filter { !$0.isEqual && !$0.isTrainingState }
    // What is not defined is beyond every limit.
    func size(_ tensor: Verification.TensorComparison) -> Double { tensor.relativeL2 ?? .infinity }
    guard let worst = changed.max(by: { size($0) < size($1) }) else {
      return hold(.weight, nil, 0, options.tolerances.weight, nil)
    }
    var told: String?
    if worst.relativeL2 == nil {
      told = "\(worst.name): relative L2 error undefined"
      if let distance = worst.distance { told? += " (A is zero; ‖A − B‖ is \(distance.short))" }
    }
    hold(.weight, worst.name, worst.relativeL2, options.tolerances.weight, told)
  }

  /// 8 × the bytes of B ÷ the numbers of A that are no training state.
  var bitsPerWeight: Double? { bitsPerWeight(bytes: b.size) }

  func bitsPerWeight(bytes: Int) -> Double? {
    let count = a.tensors.filter { !$0.isTrainingState }.reduce(0) { $0.addingOrMaximum($1.shape.count) }
    return count > 0 ? 8 * Double(bytes) / Double(count) : nil
  }

  private var verdict: Verification.Verdict {
    if options.isWithoutVerdict { return .none }
    if !result.failures.isEmpty { return .differs }
    guard options.measures.contains(.weights), declared.isEmpty else { return .within }
    if result.tensors.allSatisfy(\.isEqual) { return .equal }
    return result.tensors.allSatisfy { $0.isEqual || $0.isTrainingState } ? .equalNetworks : .within
  }

  private func sentence(_ limits: [Verification.Check], isUnexplained: Bool) -> String {
    let claims = result.claims
    let unchecked = claims.count { $0.status == .unknown }
    let records =
      unchecked > 0 ? "recorded errors that can be checked hold" : "errors are as recorded"
    switch result.verdict {
    case .none: return "no verdict was asked for"
    case .equal, .equalNetworks:
      return (result.verdict == .equal ? "equal, bit for bit" : "equal but for training state")
        + (limits.isEmpty ? "" : "; \(Self.counted(limits))")
    case .within where limits.isEmpty:
      if !declared.isEmpty, !claims.contains(where: { $0.status == .unknown }) {
        return "the output error is as claimed; no limit was set (--max-…), so quality was not judged"
      }
      return claims.isEmpty
        ? "no limit was checked"
        : "\(records); no limit was set (--max-…), so quality was not judged"
    case .within:
      return Self.counted(limits) + (claims.isEmpty ? "" : "; \(records)")
    case .differs:
      var parts: [String] = []
      let exceeded = limits.count { $0.holds == false }
      if exceeded > 0 { parts.append("\(exceeded) of \(limits.count) limits exceeded") }
      let refuted = claims.count { $0.status == .fails }
      if refuted > 0 { parts.append("\(refuted) of \(claims.count) recorded errors are wrong") }
      if !result.differences.isEmpty { parts.append("the files do not correspond") }
      if isUnexplained {
        parts.append(
          claims.isEmpty
            ? "B has no record of coming from A, and no --max-… was given"
            : "\(unexplained.count) \(unexplained.count == 1 ? "tensor differs" : "tensors differ") without a checked record"
        )
      }
      if result.checks.contains(where: { $0.measure == .claimedOutput && $0.holds == false }) {
        parts.append("what a step claims of the outputs does not hold")
      }
      if parts.isEmpty, !self.unchecked.isEmpty {
        parts.append("what a step claims of the outputs was not checked, and no --max-… was given")
      }
      if parts.isEmpty { parts.append("steps lost more than they record together") }
      return "FAILED: " + parts.joined(separator: "; ")
    }
  }

  private static func counted(_ limits: [Verification.Check]) -> String {
    limits.count == 1 ? "1 limit holds" : "\(limits.count) limits hold"
  }
}

extension Double {
  /// With the digits of a float32: `0.4377143`, `62912`, `1e-07`.
  fileprivate var short: String {
    if self == rounded(), magnitude < 1e15 { return String(Int(self)) }
    let short = Float(self)
    return short.isFinite && short != 0 ? "\(short)" : "\(self)"
  }
}
