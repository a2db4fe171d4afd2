// SPDX-License-Identifier: Apache-2.0

public import Formatting
internal import JSON
public import Maths
public import Networks
internal import Tensors

/// What `nc-ternarize --method ntk` has to say about what it wrote.
public struct KernelReport: Sendable {
  public var tensors: [TensorReport] = []
  public var inputBytes: Int
  public var outputBytes = 0
  /// How the activations were matched; `nil` where they stayed.
  public var matching: NetworkMatching?
  /// λ of the last layer.
  public var penalty = 0.0
  public var samples = 0
  /// Samples whose label was found, before and after.
  public var correctBefore = 0
  public var correctAfter = 0
  /// The root of E‖f − g‖² ÷ E‖f‖² on the data.
  public var outputError = 0.0
  /// What the fourth moment of random weights adds to the kernel of the first layer; `nil` for other weights.
  public var fourthMoment: FourthMomentShift?
  /// What a user should be told.
  public var warnings: [String] = []

  /// ‖ΔK‖₂/‖K₁‖₂ on the first samples, for weights of this fourth moment.
  public struct FourthMomentShift: Sendable {
    public var moment: Double
    public var size: Double
    var isRotated: Bool
  }

  init(inputBytes: Int) { self.inputBytes = inputBytes }

  private func accuracy(_ correct: Int) -> Double { Double(correct) / Double(max(1, samples)) }
}

extension KernelReport: OutputReport {
  /// `net.h5: 1.08 MB → 67.2 kB, 16.1×, accuracy on the data 0.982 → 0.965`
  public func summary(input: String) -> String {
    let ratio = significant(Double(inputBytes) / Double(max(1, outputBytes)), 3)
    let (before, after) = (significant(accuracy(correctBefore), 4), significant(accuracy(correctAfter), 4))
    return
      "\(input): \(text(bytes: inputBytes)) → \(text(bytes: outputBytes)), \(ratio)×, accuracy on the data \(before) → \(after)"
  }

  public var remarks: [String] {
    var remarks = warnings
    if let fourthMoment, fourthMoment.size > 0.02 { remarks.append(fourthMoment.sentence) }
    guard let matching else { return remarks }
    remarks.append(
      "identity shift of the conjugate kernel: \(significant(matching.shift, 3)) (a ridge; eigenvectors stay)")
    for (number, layer) in matching.layers.enumerated() where !layer.matched.equationResiduals.isEmpty {
      let residuals = layer.matched.equationResiduals.map { significant($0, 3) }.joined(separator: ", ")
      if layer.matched.equationResiduals.contains(where: { $0.magnitude > 1e-9 }) {
        remarks.append("layer \(number + 1): the four equations of sigma-q have no solution; residuals \(residuals)")
      }
    }
    return remarks
  }

  /// What became of each tensor, and of each activation.
  public var table: String {
    var table = TextTable([("tensor", .left), ("shape", .right), ("encoding", .left), ("bytes", .right)])
    for report in tensors {
      table.add([
        report.tensor.name.text, report.tensor.shape.description, report.tensor.encoding.name,
        String(report.storedBytes),
      ])
    }
    guard let matching else { return table.text }
    var activations = TextTable([
      ("layer", .right), ("tau", .right), ("matched tau", .right), ("levels", .left), ("thresholds", .left),
    ])
    for (number, layer) in matching.layers.enumerated() {
      guard case .piecewiseConstant(let levels, let thresholds) = layer.matched.activation else { continue }
      func list(_ numbers: [Double]) -> String { numbers.map { significant($0, 6) }.joined(separator: " ") }
      activations.add([
        "\(number + 1)", significant(layer.deviation, 5), significant(layer.matchedDeviation, 5), list(levels),
        list(thresholds),
      ])
    }
    return table.text + "\n" + activations.text
  }

  public func serializedJSON(input: String, output: String?) -> [UInt8] {
    let layers = (matching?.layers ?? []).map { layer in
      guard case .piecewiseConstant(let levels, let thresholds) = layer.matched.activation else {
        return JSONValue.null
      }
      return JSONValue.object([
        .init("levels", .array(levels.map(JSONValue.real(_:)))),
        .init("matched_tau", .real(layer.matchedDeviation)), .init("residual", .real(layer.matched.residual)),
        .init("tau", .real(layer.deviation)), .init("thresholds", .array(thresholds.map(JSONValue.real(_:)))),
      ])
    }
    return JSONValue.object([
      .init("accuracy_after", .real(accuracy(correctAfter))),
      .init("accuracy_before", .real(accuracy(correctBefore))),
      .init("fourth_moment_shift", JSONValue.real(orNull: fourthMoment?.size)),
      .init("input", .string(input)),
      .init("input_bytes", .integer(inputBytes)),
      .init("layers", .array(layers)),
      .init("notes", .array(remarks.map(JSONValue.string))),
      .init("output", output.map(JSONValue.string) ?? .null),
      .init("output_bytes", .integer(outputBytes)),
      .init("output_error", .real(outputError)),
      .init("ridge", .real(penalty)),
      .init("samples", .integer(samples)),
      .init("shift", JSONValue.real(orNull: matching?.shift)),
      .init("tensors", .array(tensors.map { $0.json(reason: nil) })),
    ]).canonical().serialized()
  }
}

extension KernelReport.FourthMomentShift {
  fileprivate var sentence: String {
    let (percent, moment) = (significant(100 * size, 2), significant(moment, 3))
    let remedy = isRotated ? "--sparsity 0.667 makes" : "--rotate or --sparsity 0.667 makes"
    return
      "the weights shift the first layer's kernel by \(percent) % (fourth moment \(moment), of a Gaussian 3); \(remedy) it smaller"
  }
}
