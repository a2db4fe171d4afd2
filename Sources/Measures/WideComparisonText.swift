// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Maths
internal import Networks
internal import Tensors

extension WideComparison {
  /// The tables that `nc-info --equivalent` prints.
  public func text(name: String) -> String {
    func short(_ value: Double) -> String { value.isFinite ? significant(value, 4) : "infinite" }
    var lines = ["\(printable(name)): \(summary)", "x \(pointsText)"]
    let left = omissions.isEmpty ? "" : "\(omissions.joined(separator: ", ")) left out; "
    lines.append("\(left)weights of each layer divided by their root mean square")

    var moments = TextTable([
      ("layer", .left), ("width", .right), ("activation", .left), ("gain", .right), ("τ", .right), ("d1", .right),
      ("d2", .right), ("dd", .right), ("next τ", .right),
    ])
    var coefficients = TextTable(
      [("behind", .left)]
        + ["α₁", "α₂", "α₃", "α₄", "β₁", "β₂", "β₃", "κ²"].map { ($0, TextTable.Alignment.right) })
    for (layer, own) in zip(network.layers, layers) {
      let (m, c) = (layer.moments, layer.coefficients)
      moments.add(
        [own.name.text, "\(own.rows)", layer.activation.word, significant(own.gain, 3)]
          + [layer.inputDeviation, m.d1, m.d2, m.centredCurvature, layer.deviation].map(short))
      coefficients.add(
        [own.name.text] + (0..<4).map { short(c.alpha[$0]) } + (0..<3).map { short(c.beta[$0]) }
          + [short(c.kappaSquared)])
    }
    lines += [moments.text, coefficients.text.droppingLastNewline, closedForm + "\n"]

    if let matching {
      var levels = TextTable([
        ("three levels", .left), ("τ̃", .right), ("levels", .left), ("thresholds", .left), ("next τ̃", .right),
      ])
      for (layer, own) in zip(matching.layers, layers) {
        guard case .piecewiseConstant(let values, let thresholds) = layer.matched.activation else { continue }
        levels.add([
          own.name.text, short(layer.matchedDeviation), values.map(short).joined(separator: " "),
          thresholds.map(short).joined(separator: " "), short(layer.matched.moments.variance.squareRoot()),
        ])
      }
      lines.append(levels.text.droppingLastNewline)
      lines.append("shift of the matched kernels, c = τ̃² − τ² behind the last layer: \(short(matching.shift))\n")
    } else if let obstacle {
      lines.append("no matched activations: \(obstacle)\n")
    }

    var table = TextTable([
      ("kernel", .left), ("of", .left), ("from", .left), ("relative distance", .right), ("after shift", .right),
      ("after scale", .right), ("alignment", .right),
    ])
    for distance in distances {
      func text(_ value: Double?) -> String { value.map { significant($0, 3) } ?? "undefined" }
      let d = distance.value
      table.add(
        [distance.kernel.rawValue, distance.b.rawValue, distance.a.rawValue]
          + [d.relativeSpectralNorm, d.residualAfterShift, d.residualAfterScale, d.alignment].map(text))
    }
    lines.append(table.text)
    lines.append(
      "ternary weights of sparsity \(significant(fourthMoment.sparsity, 3)) (fourth moment \(significant(fourthMoment.moment, 3))) change the conjugate kernel by \(significant(fourthMoment.first, 3)) in the first layer, \(significant(fourthMoment.last, 3)) behind the last"
    )
    lines += notes.map { "note: \(printable($0))" }
    return lines.joined(separator: "\n") + "\n"
  }

  private var pointsText: String {
    let scaled = "less their mean, divided by \(significant(points.unit, 4)): mean square norm 1"
    guard let file = points.file else {
      return "\(points.count) random Gaussian points of \(points.width), seed \(points.seed), \(scaled)"
    }
    let samples = sampled(file.samples, of: points.width, from: file.name, scale: file.scale)
    return (points.count < file.samples ? "the first \(points.count) of \(samples)" : samples) + ", " + scaled
  }

  /// `K ≈ .0156 x·x′ + …`
  private var closedForm: String {
    let c = network.coefficients
    func short(_ value: Double) -> String { significant(value, 3) }
    let conjugate =
      "K ≈ \(short(c.alpha[0])) x·x′ + \(short(c.alpha[1])) χχ′ + \(short(c.alpha[2])) (x·x′)², diagonal \(short(c.variance)) + \(short(c.alpha[3])) χ, χ = ‖x‖² − 1"
    guard c.kappaSquared.isFinite else { return conjugate }
    return conjugate
      + "\nN ≈ \(short(c.beta[0])) x·x′ + \(short(c.beta[1])) χχ′ + \(short(c.beta[2])) (x·x′)², diagonal \(short(c.kappaSquared))"
  }
}
