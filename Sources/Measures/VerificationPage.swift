internal import Formatting
internal import Maths
internal import Networks
internal import Plots

extension Verification {
  /// The page that `--report` writes: what the tables say, and pictures of spectra, singular values and weights.
  public func page(a: String, b: String) -> String {
    var page = Page(title: "\(fileName(b)) against \(fileName(a))")
    page.add(verdict: sentence, verdict == .differs ? .bad : verdict == .none ? .neutral : .good)
    let rows = checkRows(isVerbose: false)
    if !rows.isEmpty {
      var table = Page.Table([("check", .left), ("limit", .right), ("measured", .right), ("", .left)])
      for row in rows { table.add(row, isMarked: row.last == "FAILED") }
      page.add(table)
    }
    for failure in failures { page.add(paragraph: failure) }
    if let data {
      page.add(paragraph: "x: \(sampled(data.samples, of: data.inputs, from: data.name, scale: data.scale)).")
    }
    if !tensors.isEmpty || !differences.isEmpty { addWeights(to: &page) }
    for part in parts { part.add(to: &page) }
    if !notes.isEmpty { page.add(heading: "Notes") }
    for note in notes { page.add(paragraph: note) }
    return page.text
  }

  private func addWeights(to page: inout Page) {
    page.add(heading: "Weights")
    let changed = tensors.filter { !$0.isEqual }
    page.add(
      paragraph: "\(tensors.count - changed.count) of \(tensors.count) tensors are equal, bit for bit."
        + (differences.isEmpty ? "" : " \(differences.count) do not correspond."))
    guard !changed.isEmpty else { return }
    var table = Page.Table([
      ("tensor", .left), ("shape", .right), ("A", .left), ("B", .left), ("relative L2 error", .right),
      ("σ₁ error", .right), ("claimed", .right), ("claim", .left),
    ])
    for tensor in changed {
      let own = tensor.claims
      table.add(
        [
          tensor.name, tensor.dimensions, tensor.encodings.a, tensor.encodings.b, text(tensor.relativeL2),
          tensor.spectralText, own.map { significant($0.claimed, 4) }.joined(separator: ", "),
          own.map(\.status.rawValue).joined(separator: ", "),
        ], isMarked: own.contains { $0.status == .fails })
    }
    page.add(table)
    let errors = changed.compactMap { tensor in tensor.relativeL2.map { BarChart.Bar(tensor.name, $0) } }
    page.add([.init("Relative L2 error", BarChart(errors).picture)])
    page.add(changed.compactMap(\.figure))
    page.add(changed.compactMap(\.decay))
  }

  private func fileName(_ path: String) -> String {
    String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
  }

  private func text(_ value: Double?) -> String { value.map { significant($0, 4) } ?? "" }
}

extension Verification.Part {
  fileprivate func add(to page: inout Page) {
    if let outputs {
      page.add(heading: isWhole ? "Outputs" : "Outputs of \(name)")
      page.add(Page.Table(outputs.measurements))
    }
    guard let spectrum else { return }
    page.add(heading: isWhole ? "Kernel spectra" : "Kernel spectra of \(name)")
    page.add(paragraph: "On \(spectrum.points) points (\(spectrum.distribution)).")
    var figures = [spectrum.figure("Conjugate kernel", spectrum.conjugate)]
    page.add(heading: "Conjugate kernel")
    page.add(Page.Table(spectrum.conjugateMeasurements))
    if let tangent = spectrum.tangent, let measurements = spectrum.tangentMeasurements {
      page.add(heading: "Tangent kernel\(spectrum.output)")
      page.add(Page.Table(measurements))
      figures.append(spectrum.figure("Tangent kernel", tangent))
    }
    page.add(figures.compactMap { $0 })
  }
}

extension Page.Table {
  fileprivate init(_ measurements: [Measurement]) {
    self.init([("measure", .left), ("value", .right), ("", .left)])
    for measurement in measurements {
      add([measurement.name, measurement.text, measurement.comment])
    }
  }
}
