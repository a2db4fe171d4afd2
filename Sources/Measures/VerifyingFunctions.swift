// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Maths
internal import Networks
internal import Parallel
internal import Tensors
internal import Transforms

extension Verifier {
  /// Compares how the layers are connected, where both say it.
  mutating func compareGraphs() {
    guard declared.isEmpty, let first = a.statedNetwork, let second = b.statedNetwork,
      !first.isConnected(as: second)
    else { return }
    result.differences.append("the layers are not connected in the same way, or have other activations")
  }

  /// Compares the networks as functions: all of them, or where that cannot be run each chain of dense layers.
  mutating func compareFunctions() throws(VerificationError) {
    // A file that does not say how its layers are connected takes the other's word, before any guess.
    let stated = (a.statedNetwork, b.statedNetwork)
    guard let ownA = stated.0 ?? stated.1 ?? a.network ?? b.network,
      let ownB = stated.1 ?? stated.0 ?? b.network ?? a.network
    else { return leaveOut("how the layers are connected is not known: outputs and kernels are not compared") }
    if ownA.isAssumed {
      try refuseTolerances(of: ownA)
      result.notes += [a.assumption ?? b.assumption].compactMap { $0 }
    } else {
      tellWhoStates(ownA)
    }
    for (network, file, which) in [(ownA, a, "A"), (ownB, b, "B")] {
      let known = Set(file.tensors.map { $0.name })
      if let missing = network.tensorNames.first(where: { !known.contains($0) }) {
        return leaveOut("\(which) has no \(missing): outputs and kernels are not compared")
      }
    }
    guard let obstacle = ownA.firstOpaque ?? ownB.firstOpaque else {
      return try compare(Verification.Part(name: "network", isWhole: true), ownA, ownB, on: options.data)
    }
    let (chainsA, chainsB) = (ownA.denseChains, ownB.denseChains)
    guard !chainsA.isEmpty || !chainsB.isEmpty else {
      return leaveOut("\(obstacle) cannot be run, and there are no dense layers: outputs and kernels are not compared")
    }
    let unused = options.data == nil ? "" : ", not on the data"
    leaveOut("\(obstacle) cannot be run: each chain of dense layers is compared by itself, on Gaussian input\(unused)")
    var others: [TensorName: Network] = [:]
    for chain in chainsB { others[chain.name] = chain.network }
    for chain in chainsA {
      if let other = others.removeValue(forKey: chain.name) {
        try compare(Verification.Part(name: chain.name.text, isWhole: false), chain.network, other, on: nil)
      } else {
        tell(chain.name.text, isOnlyIn: "A")
      }
    }
    for chain in chainsB where others[chain.name] != nil { tell(chain.name.text, isOnlyIn: "B") }
  }

  /// Refuses tolerances for what a network does whose layers are only assumed to be connected so.
  private func refuseTolerances(of network: Network) throws(VerificationError) {
    let tolerances = options.tolerances
    let refused = [
      ("--max-output", tolerances.output), ("--max-ck", tolerances.conjugate), ("--max-ntk", tolerances.tangent),
      ("--max-accuracy-loss", tolerances.accuracyLoss),
    ].first { $0.1 != nil }
    guard let (option, _) = refused else { return }
    throw VerificationError(
      side: nil,
      error: NetworkError(
        .unsupported,
        "\(option) cannot be judged on an assumed network: no file says how the layers are connected; assuming \(network.arrows)",
        remedy: .architecture
      ))
  }

  /// Notes where a network is not what its own file says.
  private mutating func tellWhoStates(_ network: Network) {
    if [a, b].contains(where: \.isStatedByCaller) {
      result.notes.append("the network is as --activation, --order or --like state it: \(network.summary)")
      return
    }
    for (file, which, other) in [(a, "A", "B"), (b, "B", "A")] where file.statedNetwork == nil {
      result.notes.append("the network of \(which) is as \(other) states it: \(network.summary)")
    }
  }

  private mutating func tell(_ chain: String, isOnlyIn side: String) {
    result.differences.append("the chain \(chain) of dense layers: only in \(side)")
  }

  /// Notes why something is not compared.
  mutating func leaveOut(_ reason: String) {
    obstacle = reason
    result.notes.append(reason)
  }

  private mutating func compare(
    _ part: Verification.Part, _ networkA: Network, _ networkB: Network, on data: DataFile?
  ) throws(VerificationError) {
    var (part, data) = (part, data)
    let shape = data?.shape(for: networkA)
    let f = try on(.a) { try a.function(of: networkA, inputShape: shape) }
    let g = try on(.b) { try b.function(of: networkB, inputShape: shape) }
    guard f.inputCount == g.inputCount, f.outputCount == g.outputCount else {
      result.differences.append(
        "\(part.name): \(f.inputCount) → \(f.outputCount) and \(g.inputCount) → \(g.outputCount) numbers")
      return
    }
    if let samples = data {
      if f.inputCounts.count == 1 {
        try on(.a) { try f.check(samples) }
      } else {
        leaveOut("the network has \(f.inputCounts.count) inputs, data files have one x: random inputs are used")
        data = nil
      }
    }
    if case .one(let index) = options.tangentOutput, index >= f.outputCount {
      throw VerificationError(
        side: nil, error: NetworkError(.usage, "--ntk-output \(index): expected 0…\(f.outputCount - 1)"))
    }
    if options.measures.contains(.outputs) {
      part.outputs = try compareOutputs(f, g, on: data)
      if !part.isWhole { part.outputs?.agreement = nil }
    }
    if options.measures.contains(.spectrum) {
      if part.isWhole || !networkA.isOneLayer || !networkB.isOneLayer {
        part.spectrum = try compareSpectra(f, g, on: data)
      } else {
        part.hasKernels = false
        leaveOut("\(part.name): one layer: its kernels depend on no weight, and are not compared")
      }
    }
    result.parts.append(part)
  }

  // MARK: Outputs

  private mutating func tell(_ a: NetworkFunction.Outputs, _ b: NetworkFunction.Outputs) {
    result.notes += [("A", a), ("B", b)].compactMap { name, outputs in outputs.nonFinite.map { "\(name): \($0)" } }
  }

  private mutating func compareOutputs(
    _ f: NetworkFunction, _ g: NetworkFunction, on data: DataFile?
  ) throws(VerificationError) -> Verification.OutputComparison {
    if let data {
      try require(
        (32 * data.samples).multipliedOrMaximum(by: f.outputCount), for: "outputs of \(data.samples) samples",
        "fewer samples take less")
      let (outputsA, outputsB) = outputs(of: f, g, samples: data.samples) { data.fill($0, $1) }
      tell(outputsA, outputsB)
      var comparison = Verification.OutputComparison(.data, outputsA, outputsB, samples: data.samples)
      comparison.agreement = OutputAgreement.fraction(f, outputsA, outputsB)
      if f.endsInSoftmax, g.endsInSoftmax, f.classCount > 1 {
        comparison.divergence = meanDivergence(outputsA.logits, outputsB.logits, width: outputsA.width)
      }
      let (own, others) = try on(nil) { (try f.evaluate(outputsA, data), try g.evaluate(outputsB, data)) }
      if let note = own.note { leaveOut(note) }
      if let labels = try on(nil, { try data.labels(classes: f.classCount) }), f.doubt(labels, data) != nil {
        comparison.agreement = nil
      }
      if let correctA = own.result?.correct, let correctB = others.result?.correct {
        let count = Double(data.samples)
        comparison.accuracies = (Double(correctA) / count, Double(correctB) / count)
      }
      return comparison
    }
    if let twoA = f.twoLayers(maxCorners: Self.maxCorners), let twoB = g.twoLayers(maxCorners: Self.maxCorners),
      twoA.cornerCount + twoB.cornerCount <= Self.maxCorners,
      let loss = populationLoss(twoA, twoB, threads: threads)
    {
      return Verification.OutputComparison(
        method: .closedForm, squaredNorm: loss.squaredNorm, squaredError: loss.squaredError)
    }
    try require(
      (32 * options.samples).multipliedOrMaximum(by: f.outputCount), for: "\(options.samples) samples",
      "--samples takes fewer")
    let points = RandomPoints(.gaussian, count: options.samples, width: f.inputCount, seed: options.seed)
    let (outputsA, outputsB) = outputs(of: f, g, samples: points.count) { points.fill($0, $1) }
    tell(outputsA, outputsB)
    var comparison = Verification.OutputComparison(.monteCarlo, outputsA, outputsB, samples: points.count)
    comparison.agreement = OutputAgreement.fraction(f, outputsA, outputsB)
    if let effective = comparison.effectiveSamples, effective < Self.fewSamples {
      result.notes.append(
        "about \(max(1, Int(effective.rounded()))) of \(points.count) random inputs carry the output error: ± may be far too small; use --data, or more --samples"
      )
    } else if comparison.squaredError == 0, result.tensors.contains(where: { !$0.isEqual && !$0.isTrainingState }) {
      result.notes.append(
        "none of \(points.count) random inputs shows an output error: it may be rare; use --data, or more --samples")
    }
    return comparison
  }

  func outputs(
    of f: NetworkFunction, _ g: NetworkFunction, samples: Int,
    fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> (NetworkFunction.Outputs, NetworkFunction.Outputs) {
    let counter = a.options.counter("outputs", of: 2 * samples)
    func outputs(_ function: NetworkFunction) -> NetworkFunction.Outputs {
      function.outputs(samples: samples, threads: threads) { range, out in
        fill(range, out)
        counter?.add(range.count)
      }
    }
    return (outputs(f), outputs(g))
  }

  /// With fewer that count, a standard error means little.
  private static let fewSamples = 30.0
  /// With more of them, a closed form would take longer than a mean over samples.
  static let maxCorners = 4096

  func require(_ byteCount: Int, for what: String, _ remedy: String) throws(VerificationError) {
    guard byteCount > a.options.memory else { return }
    throw VerificationError(
      side: nil,
      error: NetworkError(
        .overLimit,
        "\(what) take \(byteCount) bytes, more than \(a.options.memory); \(remedy)", remedy: .memory
      ))
  }

  /// Refuses a tolerance for what could not be measured.
  func checkMeasured() throws(VerificationError) {
    let tolerances = options.tolerances
    func require(
      _ option: String, _ tolerance: Double?, _ measure: VerifyingOptions.Measure, _ isMeasured: Bool,
      otherwise reason: String = "it was not measured"
    ) throws(VerificationError) {
      guard tolerance != nil, !isMeasured, result.differences.isEmpty else { return }
      let why = options.measures.contains(measure) ? obstacle ?? reason : "--measure leaves it out"
      throw VerificationError(
        side: nil, error: NetworkError(.unsupported, "\(option) cannot be checked: \(why)"))
    }
    let parts = result.parts
    if tolerances.bits != nil, bitsPerWeight == nil {
      throw VerificationError(side: .a, error: NetworkError(.unsupported, "--max-bits: there are no weights"))
    }
    if tolerances.accuracyLoss != nil, options.measures.contains(.outputs), options.data?.answers == nil {
      throw VerificationError(
        side: nil, error: NetworkError(.unsupported, "--max-accuracy-loss needs --data FILE with labels y"))
    }
    try require("--max-weight", tolerances.weight, .weights, options.measures.contains(.weights))
    try require("--max-output", tolerances.output, .outputs, parts.contains { $0.outputs != nil })
    try require("--max-ck", tolerances.conjugate, .spectrum, parts.contains { $0.spectrum != nil })
    try require("--max-ntk", tolerances.tangent, .spectrum, parts.contains { $0.spectrum?.tangent != nil })
    try require(
      "--max-accuracy-loss", tolerances.accuracyLoss, .outputs, parts.contains { $0.outputs?.accuracies != nil },
      otherwise: "the outputs, or the labels y, are no classes")
  }
}

extension Verification.OutputComparison {
  /// Means over samples; the standard error of their ratio where these are random.
  fileprivate init(
    _ method: Method, _ a: NetworkFunction.Outputs, _ b: NetworkFunction.Outputs, samples: Int
  ) {
    var (norms, errors) = ([Double](), [Double]())
    for sample in 0..<samples {
      var (norm, error) = (0.0, 0.0)
      for i in sample * a.width..<(sample + 1) * a.width {
        norm += a.logits[i] * a.logits[i]
        error += (a.logits[i] - b.logits[i]) * (a.logits[i] - b.logits[i])
      }
      norms.append(norm)
      errors.append(error)
    }
    let count = Double(max(1, samples))
    self.init(
      method: method, samples: samples, squaredNorm: norms.reduce(0, +) / count,
      squaredError: errors.reduce(0, +) / count)
    guard method == .monteCarlo, let ratio = relativeError, samples > 1, squaredNorm > 0 else { return }
    let variance = zip(norms, errors).reduce(0) { sum, pair in
      let rest = pair.1 - ratio * pair.0
      return sum + rest * rest
    }
    standardError = (variance / (count * (count - 1))).squareRoot() / squaredNorm
    let (total, squares) = (errors.reduce(0, +), errors.reduce(0) { $0 + $1 * $1 })
    if squares > 0, total.isFinite, squares.isFinite { effectiveSamples = total * total / squares }
  }
}

private enum OutputAgreement {
  /// The fraction of samples for which two networks choose the same class; `nil` for networks that choose none.
  static func fraction(
    _ f: NetworkFunction, _ a: NetworkFunction.Outputs, _ b: NetworkFunction.Outputs
  ) -> Double? {
    guard f.classCount > 1, a.width > 0, !a.values.isEmpty else { return nil }
    let samples = a.values.count / a.width
    let equal = (0..<samples).count { sample in
      let (x, y) = (a.values[sample], b.values[sample])
      if a.width == 1 { return !x.isNaN && !y.isNaN && (x > 0.5) == (y > 0.5) }
      let range = sample * a.width..<(sample + 1) * a.width
      let choice = largest(of: a.values[range])
      return choice >= 0 && choice == largest(of: b.values[range])
    }
    return Double(equal) / Double(samples)
  }
}

extension NetworkFile {
  /// Whether options say how its layers are connected.
  fileprivate var isStatedByCaller: Bool {
    options.assumption.statesLayers || options.assumption.like != nil
  }

  /// The network, where the file or the caller says how its layers are connected.
  fileprivate var statedNetwork: Network? { network.flatMap { $0.isAssumed ? nil : $0 } }
}

extension Network {
  /// Whether there is one dense layer, and nothing else that has weights: the conjugate kernel is that of the inputs,
  /// and so is the tangent kernel, but for what comes after the layer.
  fileprivate var isOneLayer: Bool { denseKernels.count == 1 && tensorNames.count <= 2 }

  /// The class of the first operation that cannot be run.
  fileprivate var firstOpaque: String? {
    for node in nodes {
      if case .opaque(let name, _) = node.operation { return name }
    }
    return nil
  }
}
