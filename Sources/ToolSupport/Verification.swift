public import Networks

extension Verification {
  /// The tables that `nc-verify` prints.
  ///
  /// - Parameter isVerbose: also tensors that are equal.
  public func text(a: String, b: String, isVerbose: Bool) -> String {
    var lines = ["A \(printable(a))", "B \(printable(b))"]
    let equal = tensors.count(where: \.isEqual)
    var table = Table([
      ("tensor", .left), ("shape", .right), ("A", .left), ("B", .left), ("relative L2", .right), ("σ₁ error", .right),
      ("claimed", .left),
    ])
    let shown = tensors.filter { isVerbose || !$0.isEqual }
    for tensor in shown {
      let own = claims.filter { $0.tensor == tensor.name }
      table.add([
        tensor.name, tensor.extents, tensor.encodings.a, tensor.encodings.b,
        tensor.isEqual ? "equal" : tensor.relativeL2.map { significant($0, 4) } ?? "differs",
        tensor.spectralError.map { significant($0, 4) } ?? "",
        own.map { "\(significant($0.claimed, 4)) \($0.status.rawValue)" }.joined(separator: ", "),
      ])
    }
    if !shown.isEmpty { lines.append(table.text.droppingLastNewline) }
    if !isVerbose, equal > 0 { lines.append("\(equal) of \(tensors.count) tensors are equal, bit for bit") }
    for part in parts {
      var measures = Table([
        (part.name == "network" ? "measure" : part.name, .left), ("value", .right), ("", .left),
      ])
      func add(_ heading: String, _ measurements: [Measurement]) {
        measures.add([heading, "", ""])
        for measurement in measurements {
          let error = measurement.standardError.map { " ± \(significant($0, 2))" } ?? ""
          measures.add([
            "  \(measurement.name)", measurement.value.map { significant($0, 4) + error } ?? "undefined",
            measurement.comment,
          ])
        }
      }
      if let outputs = part.outputs { add("outputs", outputs.measurements) }
      if let spectrum = part.spectrum {
        let points = "\(spectrum.points) points, \(spectrum.law)"
        add("conjugate kernel (\(points))", spectrum.conjugateMeasurements)
        if let tangent = spectrum.tangentMeasurements { add("tangent kernel (\(points))", tangent) }
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
    case .unclaimed: "no tolerance: nothing was claimed about this pair"
    }
  }
}
