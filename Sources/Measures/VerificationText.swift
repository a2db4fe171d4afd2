// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Networks
internal import Tensors

extension Verification {
  /// The tables that `nc-verify` prints.
  ///
  /// - Parameter isVerbose: also tensors that are equal.
  public func text(a: String, b: String, isVerbose: Bool) -> String {
    var lines = [sentence]
    if !checks.isEmpty { lines.append(checkTable(isVerbose: isVerbose)) }
    lines += differences.prefix(isVerbose ? .max : 20).map { "differs: \(printable($0))" }
    if !isVerbose, differences.count > 20 {
      lines.append("and \(differences.count - 20) differences more (-v lists them)")
    }
    lines += ["A \(printable(a))", "B \(printable(b))"]
    if let data {
      let names = data.names.joined(separator: ", ")
      lines.append("x \(sampled(data.samples, of: data.inputs, from: names, scale: data.scale))")
    }
    let equal = tensors.count(where: \.isEqual)
    var table = TextTable([
      ("tensor", .left), ("shape", .right), ("A", .left), ("B", .left), ("relative L2", .right), ("σ₁ error", .right),
      ("claimed", .left),
    ])
    let shown = tensors.filter { isVerbose || !$0.isEqual && !$0.isTrainingState }
    for tensor in shown.naturallySorted(by: { TensorName($0.name) }) {
      table.add([
        tensor.name, tensor.dimensions, tensor.encodings.a, tensor.encodings.b,
        tensor.isEqual ? "equal" : tensor.relativeL2.map { significant($0, 4) } ?? "differs",
        tensor.spectralText,
        tensor.claims.map { "\(significant($0.claimed, 4)) \($0.status.rawValue)" }.joined(separator: ", "),
      ])
    }
    if !shown.isEmpty { lines.append(table.text.droppingLastNewline) }
    if !isVerbose, equal > 0 { lines.append("\(equal) of \(tensors.count) tensors are equal, bit for bit") }
    for part in parts {
      var measures = TextTable([(part.isWhole ? "measure" : part.name, .left), ("value", .right), ("", .left)])
      func add(_ heading: String, _ measurements: [Measurement]) {
        measures.add([heading, "", ""])
        for measurement in measurements {
          measures.add(["  \(measurement.name)", measurement.text, measurement.comment])
        }
      }
      if let outputs = part.outputs { add("outputs", outputs.measurements) }
      if let spectrum = part.spectrum {
        let points = "\(counted(spectrum.points, "point")), \(spectrum.distribution)"
        add("\(conjugateKernelName), \(points)", spectrum.conjugateMeasurements)
        if let tangent = spectrum.tangentMeasurements {
          add("\(tangentKernelName)\(spectrum.output), \(points)", tangent)
        }
      }
      lines.append(measures.text.droppingLastNewline)
    }
    lines += notes.map { "note: \(printable($0))" }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension Verification.TensorComparison {
  /// `784×300`
  public var dimensions: String { shape.isEmpty ? "scalar" : shape.map(String.init).joined(separator: "×") }
}

extension Measurement {
  /// `0.3178 ± 0.0014`
  public var text: String {
    guard let value, value.isFinite else { return "undefined" }
    return significant(value, 4) + (standardError.map { " ± \(significant($0, 2))" } ?? "")
  }
}

extension Verification.Check {
  /// `fc1/kernel: relative L2 error`
  var label: String { (object.map { "\($0): " } ?? "") + measure.name }
}

extension Verification {
  /// What was held against what. Recorded errors that hold are one row, unless all are asked for.
  private func checkTable(isVerbose: Bool) -> String {
    var table = TextTable([("check", .left), ("limit", .right), ("measured", .right), ("", .left)])
    for row in checkRows(isVerbose: isVerbose) { table.add(row) }
    return table.text.droppingLastNewline
  }

  /// Measure, limit, what was measured, outcome.
  public func checkRows(isVerbose: Bool) -> [[String]] {
    let recorded = checks.filter { $0.measure == .recorded }
    let isListed: (Check) -> Bool = { isVerbose || $0.measure != .recorded || $0.holds == false }
    var rows = checks.filter(isListed).map { check in
      [
        check.label, limit(check.limit),
        check.measured.map(number) ?? (check.holds == nil ? "" : "undefined"),
        check.holds.map { $0 ? "ok" : "FAILED" } ?? "not checkable",
      ]
    }
    if !isVerbose, !recorded.isEmpty {
      let (holds, unknown) = (recorded.count { $0.holds == true }, recorded.count { $0.holds == nil })
      if holds > 0 { rows.append(["recorded errors", "\(recorded.count)", "\(holds) as recorded", "ok"]) }
      if unknown > 0 { rows.append(["recorded errors", "\(recorded.count)", "\(unknown)", "not checkable"]) }
    }
    return rows
  }

  /// As it was given, or recorded.
  private func limit(_ value: Double) -> String {
    let short = Float(value)
    return value == value.rounded() || !short.isFinite || short == 0 ? number(value) : "\(short)"
  }

  private func number(_ value: Double) -> String {
    value == value.rounded() && value.magnitude < 1e15 ? String(Int(value)) : significant(value, 4)
  }

  /// Why they do not agree, for standard error: the first reasons of many.
  public var reasons: [String] {
    let most = 20
    return failures.prefix(most) + (failures.count > most ? ["and \(failures.count - most) reasons more"] : [])
  }
}

extension Verification.TensorComparison {
  /// The spectral error; `≥` where it is a lower bound.
  public var spectralText: String {
    spectralError.map { (isSpectralErrorBound ? "≥ " : "") + significant($0, 4) } ?? ""
  }
}
