// SPDX-License-Identifier: Apache-2.0

internal import Compression
internal import Maths
internal import Matrices
public import Networks
internal import Parallel
public import SystemPackage
internal import Tensors

extension NetworkFile {
  /// Writes a ternary network whose kernels are those of this one, its last layer fitted to data, as `.ncz`.
  ///
  /// Gu et al. (2022), algorithm 1; `spec/maths.md`.
  ///
  /// - Parameters:
  ///   - data: samples with labels.
  ///   - writing: a container is never written, as no source file has this network.
  /// - Throws: also `.unsupported` for a network that is no chain of dense layers, or whose activations cannot be
  ///   matched.
  public func ternarize(
    _ method: KernelOptions, data: DataFile, to file: FileDescriptor, _ options: CompressingOptions
  ) throws(NetworkError) -> KernelReport {
    try KernelWork(self, method, data).write(to: file, options)
  }
}

/// One run of `nc-ternarize --method ntk`.
private struct KernelWork {
  let file: NetworkFile
  var method: KernelOptions
  let chain: LayerChain
  let data: DataFile
  let labelled: LabelledSamples
  /// The network before.
  let original: NetworkFunction
  let inputShape: [Int]?
  var threads: Threads { file.options.threads }

  init(_ file: NetworkFile, _ method: KernelOptions, _ data: DataFile) throws(NetworkError) {
    self.file = file
    self.method = method
    chain = try LayerChain(file)
    inputShape = file.network.flatMap { data.shape(for: $0) }
    original = try file.function(inputShape: inputShape)
    try original.check(data)
    guard original.classCount >= 2 else {
      throw NetworkError(.unsupported, "the network answers one number: --method ntk takes networks that tell classes")
    }
    self.data = data
    labelled = try LabelledSamples(data, classes: original.classCount)
    if method.weights == .project, method.widths != nil {
      throw NetworkError(.usage, "--widths: --weights project keeps the widths that the network has")
    }
  }

  func write(to output: FileDescriptor, _ options: CompressingOptions) throws(NetworkError) -> KernelReport {
    var draft = NetworkDraft(threads: threads, memory: file.options.memory)
    for node in chain.front { try draft.append(node, of: file) }
    var report = KernelReport(inputBytes: file.size)
    if method.weights == .project {
      try appendProjected(to: &draft, &report)
    } else {
      try appendSampled(to: &draft, &report)
    }
    let readout = try draft.fittedReadout(
      method.readout, method.penalty, to: labelled, inputShape: inputShape, file.options)
    report.penalty = readout.penalty
    try append(method.readout == .ridge ? calibrated(readout, after: draft) : readout, to: &draft)
    for node in chain.last.following { try draft.append(node, of: file) }
    let error = try compare(draft, &report)
    try warn(&report)
    // What is wrong in a `.ncz` must not be passed on.
    for index in file.tensors.indices where file.kind == .ncz && file.tensors[index].unsupported == nil {
      try file.forEachPiece(of: index, checkingDigest: true) { _ in }
    }
    let digests = try file.digests()
    var before: [TensorName: (history: [HistoryEntry], digest: Digest)] = [:]
    for (tensor, digest) in zip(file.tensors, digests) { before[tensor.name] = (tensor.history, digest) }
    let names = Set(draft.tensors.map(\.name))
    let step = Step(
      tool: options.tool, version: options.version, options: method.text,
      networkBefore: file.networkDigest(tensors: digests),
      claim: OutputClaim(error: error, inputs: .data(data.digest)),
      removed: file.tensors.map(\.name).filter { !names.contains($0) })
    var writing = options.writing
    writing.hasContainer = false
    let written = try draft.finished(step, after: file.steps, before: before)
      .write(to: output, writing, options: file.options)
    (report.tensors, report.outputBytes) = (written.tensors, written.byteCount)
    return report
  }

  // MARK: Hidden layers

  /// The trained weights, ternarized row by row.
  private func appendProjected(to draft: inout NetworkDraft, _ report: inout KernelReport) throws(NetworkError) {
    let matched: [CentredActivation]?
    if case .rule = method.matching {
      (matched, report.matching) = try method.matching.centred(chain.activations())
    } else {
      matched = nil
    }
    for (number, layer) in chain.hidden.enumerated() {
      let tensor = file.tensors[layer.kernel]
      let result = try file.withValues(of: layer.kernel) { values in
        try Compression.ternarize(
          tensor.matrix(values), group: .row, rule: .sparsity(method.sparsity), threads: threads)
      }
      guard let matched, let matching = report.matching else {
        draft.appendDense(
          layer.kernelName, .ternary(result.matrix.inSingle), isTransposed: tensor.isTransposed,
          bias: try bias(of: layer), name: nil)
        for node in layer.following { try draft.append(node, of: file) }
        continue
      }
      // What units add, and their scales, are in their means and deviations.
      draft.appendDense(
        layer.kernelName, .ternary(result.matrix.withUnitScale), isTransposed: tensor.isTransposed, bias: nil)
      try appendUnits(
        matched[number].activation, deviation: matching.layers[number].matchedDeviation, of: layer, to: &draft)
    }
  }

  /// Each unit's values in units of their own mean and deviation over the data, then the levels.
  private func appendUnits(
    _ activation: Activation, deviation: Double, of layer: LayerChain.Layer, to draft: inout NetworkDraft
  ) throws(NetworkError) {
    let function = try draft.function(inputShape: inputShape)
    let (means, variances) = function.outputMoments(for: data, threads: threads)
    guard means.allSatisfy(\.isFinite), variances.allSatisfy(\.isFinite) else {
      throw NetworkError(.unusable, "\(layer.kernelName): its values for the data are not finite")
    }
    let name = WeightName.split(layer.kernelName).layer.text
    draft.append(
      .batchNormalization(
        mean: draft.addVector(TensorName("\(name)/mean"), means, .normalization),
        variance: draft.addVector(
          TensorName("\(name)/variance"), variances.map { $0 > 0 ? $0 : 1 }, .normalization),
        gamma: nil, beta: nil, epsilon: 0))
    draft.append(.activation(activation.stretched(by: 1 / deviation)))
  }

  private func bias(of layer: LayerChain.Layer) throws(NetworkError) -> NetworkDraft.Bias? {
    guard let name = layer.bias, let index = file.tensors.firstIndex(where: { $0.name == name }) else { return nil }
    let type = file.tensors[index].type
    return NetworkDraft.Bias(name, type.numbers(try file.values(of: index)), type: type)
  }

  /// Random weights, of the widths that are wanted.
  ///
  /// - Parameter isMeasured: whether the report says what the fourth moment of the weights does.
  private func appendSampled(
    to draft: inout NetworkDraft, _ report: inout KernelReport, isMeasured: Bool = true
  ) throws(NetworkError) {
    var activations = try chain.activations()
    let widths = method.widths ?? chain.hidden.map { file.tensors[$0.kernel].matrixDimensions.rows }
    if widths.count != activations.count {
      guard let only = Set(activations).first, Set(activations).count == 1 else {
        throw NetworkError(
          .usage,
          "--widths: \(widths.count) for \(activations.count) layers, whose activations differ: expected as many")
      }
      activations = [Activation](repeating: only, count: widths.count)
    }
    let (layers, matching) = try method.matching.centred(activations)
    report.matching = matching
    let front = try draft.function(inputShape: inputShape)
    let (means, variances) = front.outputMoments(for: data, threads: threads)
    try draft.appendCentring(means, variances, name: "centring")
    var sampler = try TernarySampler(seed: method.seed, sparsity: method.sparsity.value)
    if method.rotates { draft.append(.rotation(seed: sampler.nextRotation()), name: "rotation") }
    var inputs = front.outputCount
    for (number, width) in widths.enumerated() {
      let matrix = try sampler.next(rows: width, columns: inputs, fanIn: number == 0 ? 1 : inputs)
      guard matrix.rows.multipliedOrMaximum(by: matrix.columns) / 4 <= file.options.memory else {
        throw NetworkError(
          .overLimit, "\(width) × \(inputs) weights take more than \(file.options.memory) bytes", remedy: .memory)
      }
      if isMeasured, number == 0 {
        report.fourthMoment = try fourthMomentShift(layers[0], of: draft, density: matrix.trits.density)
      }
      let own = widths.count == chain.hidden.count ? chain.hidden[number] : nil
      draft.appendDense(
        own?.kernelName ?? TensorName("hidden\(number + 1)/kernel"),
        method.weights == .seed ? .seeded(matrix) : draft.packed(matrix),
        isTransposed: own.map { file.tensors[$0.kernel].isTransposed } ?? true, bias: nil)
      draft.append(layers[number])
      inputs = width
    }
  }

  /// What the fourth moment of weights of which so many are not 0 adds to the kernel of the first layer.
  ///
  /// - Parameter draft: what comes before that layer.
  private func fourthMomentShift(
    _ layer: CentredActivation, of draft: NetworkDraft, density: Double
  ) throws(NetworkError) -> KernelReport.FourthMomentShift {
    let function = try draft.function(inputShape: inputShape)
    let count = min(512, data.samples)
    let points = function.outputs(in: 0..<count) { range, out in
      for (place, number) in range.enumerated() {
        let sample = number * data.samples / count
        let own = place * data.inputCount..<(place + 1) * data.inputCount
        data.fill(sample..<sample + 1, UnsafeMutableBufferPointer(rebasing: out[own]))
      }
    }
    let moment = 1 / density
    let size = try about {
      let wide = try WideNetwork([layer.activation], deviation: 1)
      let term = try fourthMomentTerm(
        points: points, width: function.outputCount, moments: wide.layers[0].moments, fourthMoment: moment,
        threads: threads)
      let gram = try SymmetricMatrix(gramOf: points, width: function.outputCount, threads: threads)
      let kernel = try WideKernels(.exact, of: wide, gram: gram, withTangent: false, threads: threads).conjugate
      let norm = try kernel.spectralNorm(threads: threads)
      return norm > 0 ? try term.spectralNorm(threads: threads) / norm : 0
    }
    return KernelReport.FourthMomentShift(moment: moment, size: size, isRotated: method.rotates)
  }

  // MARK: The last layer

  /// Where the network ends with probabilities, the scores of a ridge regression as logits.
  private func calibrated(_ readout: Readout, after draft: NetworkDraft) throws(NetworkError) -> Readout {
    guard original.endsInSoftmax || original.outputFunction == .sigmoid else { return readout }
    var scored = draft
    let classes = readout.offsets.count
    scored.appendDense(
      "scores/kernel", .dense(readout.weights, rows: classes, columns: readout.weights.count / classes),
      isTransposed: false, bias: .init("scores/bias", readout.offsets))
    let scores = try scored.function(inputShape: inputShape).outputs(for: data, threads: threads)
    let factor = calibrationFactor(scores.values, width: classes, labels: labelled.labels, threads: threads)
    var result = readout
    for i in result.weights.indices { result.weights[i] *= factor }
    for i in result.offsets.indices { result.offsets[i] *= factor }
    return result
  }

  private func append(_ readout: Readout, to draft: inout NetworkDraft) throws(NetworkError) {
    let tensor = file.tensors[chain.last.kernel]
    var (weights, offsets) = (readout.weights, readout.offsets)
    let width = weights.count / max(1, offsets.count)
    // A single output is the logarithm of the odds of the second class.
    if original.outputCount == 1 {
      weights = (0..<width).map { weights[width + $0] - weights[$0] }
      offsets = [offsets[1] - offsets[0]]
    }
    let layer = chain.last.kernelName
    let biasName = chain.last.bias ?? TensorName("\(WeightName.split(layer).layer.text)/bias")
    guard method.ternarizesReadout else {
      return draft.appendDense(
        layer, .dense(weights, rows: offsets.count, columns: width), isTransposed: tensor.isTransposed,
        bias: .init(biasName, offsets))
    }
    let result = try about(layer.text) {
      try ElementType.float32.bytes(rounding: weights).withUnsafeBytes { values in
        try Compression.ternarize(
          StoredMatrix(values, type: .float32, rows: offsets.count, columns: width, transposed: false), group: .row,
          threads: threads)
      }
    }
    // The means of the outputs stay.
    let function = try draft.function(inputShape: inputShape)
    let means = function.outputMoments(for: data, threads: threads).means
    let ternary = WeightMatrix.ternary(result.matrix).elements
    for row in offsets.indices {
      for column in 0..<width {
        offsets[row] += (weights[row * width + column] - ternary[row * width + column]) * means[column]
      }
    }
    draft.appendDense(
      layer, .ternary(result.matrix), isTransposed: tensor.isTransposed, bias: .init(biasName, offsets))
  }

  // MARK: What it is worth

  /// Compares the outputs on the data before and after.
  ///
  /// - Returns: the root of E‖f − g‖² ÷ E‖f‖².
  private func compare(_ draft: NetworkDraft, _ report: inout KernelReport) throws(NetworkError) -> Double {
    let function = try draft.function(inputShape: inputShape)
    let before = original.outputs(for: data, threads: threads)
    let after = function.outputs(for: data, threads: threads)
    report.samples = data.samples
    report.correctBefore = original.correct(before, labelled.labels)
    report.correctAfter = function.correct(after, labelled.labels)
    let (squares, differences) = squaredLoss(before.logits, after.logits)
    let error = (differences / squares).squareRoot()
    guard error.isFinite else { throw NetworkError(.unusable, "the outputs for the data are not finite, or all zero") }
    report.outputError = error
    return error
  }

  /// Says where random weights throw away what was learnt.
  private func warn(_ report: inout KernelReport) throws(NetworkError) {
    guard method.weights != .project else { return }
    let advice = "--weights \(method.weights.rawValue) throws the training away; --weights project keeps it"
    if chain.hidden.contains(where: { $0.bias != nil }) {
      report.warnings.append("the network has biases, as trained networks have: \(advice)")
      return
    }
    let random = try randomAccuracy()
    let trained = Double(report.correctBefore) / Double(max(1, data.samples))
    if trained > random + 0.02 {
      report.warnings.append(
        "its accuracy on the data is \(text(trained)), that of random features of the same widths \(text(random)): \(advice)"
      )
    }
  }

  /// Of random features with the activations as they are, of the same widths.
  private func randomAccuracy() throws(NetworkError) -> Double {
    var work = self
    (work.method.matching, work.method.weights, work.method.ternarizesReadout) = (.none, .seed, false)
    var draft = NetworkDraft(threads: threads, memory: file.options.memory)
    for node in chain.front { try draft.append(node, of: file) }
    var report = KernelReport(inputBytes: 0)
    try work.appendSampled(to: &draft, &report, isMeasured: false)
    try work.append(
      try draft.fittedReadout(.ridge, .heldBack, to: labelled, inputShape: inputShape, file.options), to: &draft)
    let function = try draft.function(inputShape: inputShape)
    let outputs = function.outputs(for: data, threads: threads)
    return Double(function.correct(outputs, labelled.labels)) / Double(max(1, data.samples))
  }
}

/// Three digits.
private func text(_ fraction: Double) -> String { "\((fraction * 1000).rounded() / 1000)" }

extension NetworkFunction {
  /// Samples whose class is the label.
  fileprivate func correct(_ outputs: Outputs, _ labels: [Int]) -> Int {
    Evaluation(
      outputs.values, width: outputs.width, meaning == .probability ? .probability : .values, labels: labels
    ).correct ?? 0
  }
}

extension Activation {
  /// The function of x·(1/factor): thresholds times the factor; only of a piecewise constant one.
  fileprivate func stretched(by factor: Double) -> Activation {
    guard case .piecewiseConstant(let levels, let thresholds) = self else { return self }
    return .piecewiseConstant(levels: levels, thresholds: thresholds.map { $0 * factor })
  }
}

extension TernaryMatrix {
  /// The same with scales that float32 holds.
  fileprivate var inSingle: TernaryMatrix {
    var matrix = self
    matrix.scales = scales.map { ElementType.float32.nearest($0) }
    return matrix
  }

  /// The trits alone, times 1.
  fileprivate var withUnitScale: TernaryMatrix {
    TernaryMatrix(
      rows: rows, columns: columns, group: .tensor, codes: codes,
      scales: [Double](repeating: 1, count: ScaleGroup.tensor.count(rows: rows, columns: columns)))!
  }
}
