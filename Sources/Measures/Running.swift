// SPDX-License-Identifier: Apache-2.0

internal import HDF5
public import JSON
public import Maths
public import Networks
public import SystemPackage
internal import Tensors
public import Transforms

/// What a network answers to samples, and how well.
public struct RunReport: Sendable {
  public var samples: Int
  /// Numbers a sample has.
  public var inputs: Int
  public var outputs: NetworkFunction.Outputs
  /// The shape of one sample's outputs.
  public var outputShape: [Int]
  public var precision: Precision
  /// What x was multiplied with.
  public var scale: Double
  /// `nil` when the data do not say what the network should answer.
  public var evaluation: Evaluation?
  /// What a user should be told.
  public var notes: [String]

  /// Numbers that the network answers to a sample.
  public var outputCount: Int { outputs.width }
  /// Samples whose label was found.
  public var correct: Int? { evaluation?.correct }
  /// Fraction of the samples whose label was found.
  public var accuracy: Double? { correct.map { Double($0) / Double(max(1, samples)) } }
  /// The loss, and what it is called.
  public var loss: (value: Double, name: String)? {
    if let loss = evaluation?.loss, let kind = evaluation?.lossKind { (loss, kind.rawValue) } else { nil }
  }
}

extension NetworkFile {
  /// Applies the network to every sample.
  ///
  /// - Parameter precision: `nil` for that of the file.
  public func run(on data: DataFile, precision: Precision? = nil) throws(NetworkError) -> RunReport {
    let precision = precision ?? ownPrecision
    let function = try function(
      precision: precision, inputShape: network.flatMap { data.shape(for: $0) }, onlyRuns: true)
    try function.check(data)
    let needed = (16 * data.samples).multipliedOrMaximum(by: function.outputCount)
    guard needed <= options.memory else {
      throw NetworkError(
        .overLimit,
        "the outputs of \(data.samples) samples take \(needed) bytes, more than \(options.memory)", remedy: .memory
      )
    }
    let counter = options.counter("outputs", of: data.samples)
    let outputs = function.outputs(samples: data.samples, threads: options.threads) { range, out in
      data.fill(range, out)
      counter?.add(range.count)
    }
    let (evaluation, note) = try function.evaluate(outputs, data)
    return RunReport(
      samples: data.samples, inputs: data.inputCount, outputs: outputs,
      outputShape: function.outputShape(for: data.shape),
      precision: precision, scale: data.scale,
      evaluation: evaluation, notes: [assumption, note, outputs.nonFinite].compactMap { $0 })
  }
}

extension NetworkFunction {
  /// The shape of one sample's outputs; positions as in samples that have as many.
  fileprivate func outputShape(for sample: [Int]) -> [Int] {
    let shape = outputShape
    let positions = Array(sample.dropLast())
    return shape.count == 2 && positions.reduce(1, *) == shape[0] ? positions + [shape[1]] : shape
  }
}

extension NetworkFunction.Outputs {
  /// What is to be said of outputs that are no numbers.
  var nonFinite: String? {
    let count = values.count { !$0.isFinite }
    return count == 0 ? nil : "\(count) of \(values.count) outputs are infinite or not a number"
  }
}

extension NetworkFunction {
  /// Why the outputs are no classes for these labels; `nil` where they may be.
  ///
  /// A softmax, a single sigmoid, or a row for each sample with a single 1 say that they are. Else the labels must use
  /// more than a tenth of the outputs, and more than half where there are as many outputs as inputs, as an autoencoder
  /// has.
  func doubt(_ labels: [Int], _ data: DataFile) -> String? {
    guard data.answerCount == 1, meaning != .probability, !endsInSoftmax, let largest = labels.max() else { return nil }
    let used = largest + 1
    guard outputCount >= 10 * used || (outputCount == inputCount && outputCount >= 2 * used) else { return nil }
    return
      "labels up to \(largest) for \(outputCount) outputs without softmax: not treated as classes, and not compared (write labels as rows with a single 1 if they are classes)"
  }

  /// Compares outputs with what the data say; or why not.
  func evaluate(_ outputs: Outputs, _ data: DataFile) throws(NetworkError) -> (result: Evaluation?, note: String?) {
    guard let answers = data.answers else { return (nil, nil) }
    let y = "\(data.name): \(data.options.y)"
    if let sample = answers.firstIndex(where: { !$0.isFinite }) {
      return (nil, "\(y): NaN or infinity for sample \(sample / data.answerCount): not compared")
    }
    if let labels = try data.labels(classes: classCount) {
      if let doubt = doubt(labels, data) { return (nil, "\(y): \(doubt)") }
      let values = meaning == .logits ? outputs.logits : outputs.values
      return (Evaluation(values, width: outputs.width, meaning, labels: labels), nil)
    }
    guard data.answerCount == outputs.width else {
      return (
        nil,
        "\(y): \(data.answerCount) numbers a sample, and the network has \(outputs.width) outputs: not compared"
      )
    }
    let isNearlyLabels = classCount > 1 && answers.allSatisfy { $0 == 0 || $0 == 1 }
    return (
      Evaluation(outputs.values, targets: answers),
      isNearlyLabels ? "\(y): zeros and ones, but not a single 1 in each sample: treated as targets, not labels" : nil
    )
  }
}

extension RunReport {
  /// Writes the outputs as a new HDF5 file: a dataset `y` of float32, samples × outputs, or samples × positions ×
  /// outputs where a network answers at each position.
  ///
  /// - Parameter file: seekable, empty, open for reading and writing.
  public func writeOutputs(to file: FileDescriptor, options: ReadingOptions) throws(NetworkError) {
    try about("y") {
      let limits = Limits(building: 1, options: options)
      var new = try written { () throws(HDF5Error) in try NewFile(file, limits: limits) }
      let storage = try written { () throws(HDF5Error) in
        try new.addDataset(
          LinkName.path("y"), type: Datatype(.float32), dimensions: ([samples] + outputShape).map { UInt64($0) })
      }
      if let storage {
        try writeBytes(
          ElementType.float32.bytes(rounding: outputs.values), to: file, at: Int(clamping: storage.offset))
      }
      do throws(HDF5Error) { try new.close() } catch { throw NetworkError(writing: error) }
    }
  }

  /// One object; its keys are documented in the manual page.
  public var json: JSONValue {
    return .object([
      .init("accuracy", JSONValue.real(orNull: accuracy)),
      .init("input_scale", JSONValue.real(orNull: scale)),
      .init("inputs", .integer(inputs)),
      .init("loss", JSONValue.real(orNull: loss?.value)),
      .init("loss_kind", (loss?.name).map(JSONValue.string) ?? .null),
      .init("notes", .array(notes.map(JSONValue.string))),
      .init("outputs", .integer(outputs.width)),
      .init("precision", .string(precision.rawValue)),
      .init("samples", .integer(samples)),
    ])
  }
}
