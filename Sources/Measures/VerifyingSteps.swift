// SPDX-License-Identifier: Apache-2.0

internal import Maths
internal import Networks
internal import Parallel
internal import Tensors
internal import Transforms

/// The steps of B that changed more than values, and that came after A: what they name is no difference.
struct DeclaredSteps {
  /// By their numbers in B.
  private let steps: [Int: Step]
  /// Tensors that some step left out.
  let removed: Set<TensorName>
  /// The digest of the network of A, where there are such steps.
  private let networkOfA: Digest?

  static let none = DeclaredSteps(steps: [:], removed: [], networkOfA: nil)

  private init(steps: [Int: Step], removed: Set<TensorName>, networkOfA: Digest?) {
    self.steps = steps
    self.removed = removed
    self.networkOfA = networkOfA
  }

  /// - Throws: what reading A throws, whose values are all read where B has such a step.
  init(of b: NetworkFile, after a: NetworkFile) throws(NetworkError) {
    let removed = Set(b.steps.flatMap(\.removed))
    let structural = b.steps.enumerated().filter { $0.element.networkBefore != nil }
    guard !structural.isEmpty else {
      self.init(steps: [:], removed: removed, networkOfA: nil)
      return
    }
    let digests = try a.digests()
    let whole = a.networkDigest(tensors: digests)
    // A step may have started from what other steps made of A.
    let known = zip(a.tensors, digests).reduce(into: [:]) { $0[$1.0.name] = $1.1 }
    let chained = b.tensors.flatMap { tensor in
      tensor.history.filter { $0.from != nil && $0.from == known[tensor.name] }.compactMap(\.stepNumber)
    }.min()
    let after = structural.filter { number, step in
      step.networkBefore == whole || chained.map { $0 < number } ?? false
    }
    self.init(
      steps: Dictionary(uniqueKeysWithValues: after.map { ($0.offset, $0.element) }), removed: removed,
      networkOfA: whole)
  }

  var isEmpty: Bool { steps.isEmpty }

  /// Whether such a step changed a tensor of B, or made it.
  func names(_ tensor: TensorRecord) -> Bool {
    tensor.history.contains { $0.stepNumber.map { steps[$0] != nil } ?? false }
  }

  /// In order.
  var all: [Step] { steps.sorted { $0.key < $1.key }.map(\.value) }

  /// Whether this step alone made of the network of A what is in B.
  func isAll(_ step: Step) -> Bool { steps.count == 1 && step.networkBefore != nil && step.networkBefore == networkOfA }
}

extension Verifier {
  /// Checks what steps of B say about the outputs, on the inputs that they name.
  mutating func checkOutputClaims() throws(VerificationError) {
    for step in declared.all {
      result.notes.append("declared by \(step.tool) \(step.options): more than values changed")
      guard let claim = step.claim else {
        unchecked.append("\(step.tool) \(step.options): nothing is claimed about the outputs")
        continue
      }
      let (found, reason) = try outputError(claim.inputs, of: step)
      let holds = found.map { ($0 - claim.error).magnitude <= 1e-6 * claim.error + 1e-12 }
      result.checks.append(
        .init(
          measure: .claimedOutput, object: "\(step.tool) \(step.options)", limit: claim.error, measured: found,
          holds: holds))
      if holds == nil { unchecked.append("\(step.tool) \(step.options): not checkable: \(reason)") }
    }
  }

  /// The root of E‖f − g‖² ÷ E‖f‖² of logits, or why it cannot be had.
  private func outputError(
    _ inputs: OutputClaim.Inputs, of step: Step
  ) throws(VerificationError) -> (Double?, reason: String) {
    if let key = step.unknownKey { return (nil, "its key \(key) is not known to this version") }
    guard declared.isAll(step) else { return (nil, "it started from another network than A") }
    guard let networkA = a.network, let networkB = b.network, networkA.isRunnable, networkB.isRunnable else {
      return (nil, "a network cannot be run")
    }
    let shape = options.data?.shape(for: networkA)
    let f = try on(.a) { try a.function(of: networkA, inputShape: shape) }
    let g = try on(.b) { try b.function(of: networkB, inputShape: shape) }
    guard f.inputCount == g.inputCount, f.outputCount == g.outputCount else {
      return (nil, "inputs or outputs are of other shapes")
    }
    var loss: (squaredNorm: Double, squaredError: Double)?
    switch inputs {
    case .normal:
      guard let twoA = f.twoLayers(maxCorners: Self.maxCorners), let twoB = g.twoLayers(maxCorners: Self.maxCorners)
      else { return (nil, "there is no closed form for these networks") }
      loss = populationLoss(twoA, twoB, threads: threads)
    case .samples(let count, let seed):
      guard count > 0, count <= 1 << 24, let seed = UInt64(exactly: seed) else {
        return (nil, "\(count) samples of seed \(seed)")
      }
      let points = RandomPoints(.gaussian, count: count, width: f.inputCount, seed: seed)
      loss = meanLoss(of: f, g, samples: count) { points.fill($0, $1) }
    case .data(let digest):
      guard let data = options.data, data.digest == digest else {
        return (nil, "it takes the samples of digest \(digest): --data FILE")
      }
      try on(.a) { try f.check(data) }
      loss = meanLoss(of: f, g, samples: data.samples) { data.fill($0, $1) }
    case .unknown:
      return (nil, "its inputs are of a kind that this version does not know")
    }
    guard let loss, loss.squaredNorm > 0, loss.squaredError.isFinite else { return (nil, "the outputs are not finite") }
    return ((loss.squaredError / loss.squaredNorm).squareRoot(), "")
  }

  private func meanLoss(
    of f: NetworkFunction, _ g: NetworkFunction, samples: Int,
    fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> (squaredNorm: Double, squaredError: Double) {
    let (a, b) = outputs(of: f, g, samples: samples, fill: fill)
    return squaredLoss(a.logits, b.logits)
  }
}
