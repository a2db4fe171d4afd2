public import Networks

extension Verification {
  /// The tables that `nc-verify` prints.
  ///
  /// - Parameter isVerbose: also tensors that are equal.
  public func text(a: String, b: String, isVerbose: Bool) -> String {
    var lines = ["A \(printable(a))", "B \(printable(b))"]
    if let data {
      lines.append("x \(sampled(data.samples, of: data.inputs, from: data.name, scale: data.scale))")
    }
    let equal = tensors.count(where: \.isEqual)
    var table = Table([
      ("tensor", .left), ("shape", .right), ("A", .left), ("B", .left), ("relative L2", .right), ("σ₁ error", .right),
      ("claimed", .left),
    ])
    let shown = tensors.filter { isVerbose || !$0.isEqual && !$0.isTrainingState }
    for tensor in shown {
      table.add([
        tensor.name, tensor.extents, tensor.encodings.a, tensor.encodings.b,
        tensor.isEqual ? "equal" : tensor.relativeL2.map { significant($0, 4) } ?? "differs",
        tensor.spectralError.map { significant($0, 4) } ?? "",
        tensor.claims.map { "\(significant($0.claimed, 4)) \($0.status.rawValue)" }.joined(separator: ", "),
      ])
    }
    if !shown.isEmpty { lines.append(table.text.droppingLastNewline) }
    if !isVerbose, equal > 0 { lines.append("\(equal) of \(tensors.count) tensors are equal, bit for bit") }
    let states = tensors.count { !$0.isEqual && $0.isTrainingState }
    if !isVerbose, states > 0 {
      lines.append("\(counted(states, "tensor")) of training state: not equal (-v lists them)")
    }
    for part in parts {
      var measures = Table([(part.isWhole ? "measure" : part.name, .left), ("value", .right), ("", .left)])
      func add(_ heading: String, _ measurements: [Measurement]) {
        measures.add([heading, "", ""])
        for measurement in measurements {
          measures.add(["  \(measurement.name)", measurement.text, measurement.comment])
        }
      }
      if let outputs = part.outputs { add("outputs", outputs.measurements) }
      if let spectrum = part.spectrum {
        let points = "\(counted(spectrum.points, "point")), \(spectrum.law)"
        add("conjugate kernel (\(points))", spectrum.conjugateMeasurements)
        if let tangent = spectrum.tangentMeasurements { add("tangent kernel\(spectrum.output) (\(points))", tangent) }
      }
      lines.append(measures.text.droppingLastNewline)
    }
    lines += notes.map { "note: \(printable($0))" }
    lines += failures.map { "failed: \(printable($0))" }
    // Nothing that was not claimed is answered here; standard error says so.
    if verdict != .unclaimed { lines.append(sentence) }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension Verification.TensorComparison {
  /// `784×300`
  public var extents: String { shape.isEmpty ? "scalar" : shape.map(String.init).joined(separator: "×") }
}

extension Measurement {
  /// `0.3178 ± 0.0014`
  public var text: String {
    guard let value, value.isFinite else { return "undefined" }
    return significant(value, 4) + (standardError.map { " ± \(significant($0, 2))" } ?? "")
  }
}

extension Verification {
  /// The verdict for people.
  public var sentence: String {
    switch verdict {
    case .equal: "equal, bit for bit"
    case .within where hasTolerance: "within tolerance"
    case .within:
      (claims.contains { $0.status == .unknown } ? "the claims that can be checked hold" : "the claims hold")
        + "; no other tolerance was given"
    case .differs: "DIFFERENT"
    case .unclaimed:
      claims.isEmpty
        ? "no tolerance: nothing was claimed about this pair"
        : "no tolerance, and nothing that was claimed about this pair can be checked"
    }
  }
}
