// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Maths
internal import Networks
internal import Plots

extension Verification {
  /// The page that `--report` writes: sizes, verdict and checks, notes, then a section for each thing that was measured
  /// with its pictures, and at the end how it was measured.
  public func page(a: String, b: String) -> String {
    var page = Page(title: "\(fileName(b)) compared with \(fileName(a))")
    addSummary(a: fileName(a), b: fileName(b), to: &page)
    page.add(verdict: sentence, mark)
    let rows = checkRows(isVerbose: false)
    if !rows.isEmpty {
      var table = Page.Table([("check", .left), ("limit", .right), ("measured", .right), ("", .left)])
      for row in rows { table.add(row, isMarked: row.last == "FAILED") }
      page.add(table, beside: limitFigure)
    }
    for failure in failures.prefix(Self.maxOpen) { page.add(paragraph: failure) }
    page.add(folded: "\(failures.count - Self.maxOpen) further reasons") { page in
      for failure in failures.dropFirst(Self.maxOpen) { page.add(paragraph: failure) }
    }
    if !notes.isEmpty { page.add(heading: "Notes") }
    for note in notes { page.add(paragraph: note) }
    if !tensors.isEmpty || !differences.isEmpty { addWeights(to: &page) }
    for part in parts { part.add(to: &page) }
    addMethod(to: &page)
    return page.text
  }

  /// Of tensors and reasons: the others are folded.
  private static let maxOpen = 20
  /// Of tensors whose histograms and singular values are open, and of all that have some.
  private static let (maxOpenFigures, maxFigures) = (3, 20)

  /// Green only where values are equal or a limit was set and holds.
  private var mark: Page.Verdict {
    switch verdict {
    case .differs: .bad
    case .none: .neutral
    case .equal, .equalNetworks: .good
    case .within: checks.contains { $0.measure != .recorded && $0.holds == true } ? .good : .neutral
    }
  }

  /// What was held against limits, but for sizes.
  private var limitFigure: Page.Figure? {
    let bars = checks.filter { ![.recorded, .size, .bits].contains($0.measure) }.map { check in
      BarChart.Bar(check.label, check.measured.map { max($0, 0) } ?? .nan, limit: check.limit)
    }
    return bars.isEmpty ? nil : .init("Errors and limits", BarChart(bars, limitName: "limit").picture)
  }

  private func addSummary(a: String, b: String, to page: inout Page) {
    var table = Page.Table([("", .left), ("A, original", .left), ("B, compressed", .left)])
    table.add(["file", a, b])
    if let files {
      table.add(["size", Formatting.text(bytes: files.a.size), Formatting.text(bytes: files.b.size)])
      let (less, more) = (min(files.a.size, files.b.size), max(files.a.size, files.b.size))
      if less > 0 {
        let ratio = significant(Double(more) / Double(less), 3)
        let kind = files.b.size < files.a.size ? "smaller" : "larger"
        table.add(["ratio", "", less == more ? "the same size" : "\(ratio) times \(kind)"])
      }
      if let bitsA = files.a.bitsPerWeight, let bitsB = files.b.bitsPerWeight {
        table.add(["bits a weight", significant(bitsA, 3), significant(bitsB, 3)])
      }
    }
    for part in parts {
      guard let (before, after) = part.outputs?.accuracies else { continue }
      let change = ((after - before) * 1e12).rounded() / 1e12
      let sign = change < 0 ? "\u{2212}" : "+"
      table.add([
        part.isWhole ? "accuracy" : "accuracy of \(part.name)", significant(before, 4),
        significant(after, 4) + (change == 0 ? " (unchanged)" : " (\(sign)\(significant(change.magnitude, 3)))"),
      ])
    }
    page.add(table)
  }

  private func addWeights(to page: inout Page) {
    page.add(heading: "Weights")
    let changed = tensors.filter { !$0.isEqual }
    page.add(
      paragraph: "\(tensors.count - changed.count) of \(tensors.count) tensors are equal, bit for bit."
        + (differences.isEmpty ? "" : " \(differences.count) do not correspond."))
    guard !changed.isEmpty else { return }
    page.add(
      paragraph: "Relative L2 error is ‖W − Ŵ‖/‖W‖, W a tensor of A and Ŵ the same of B: 0 is equal; at 1 the error "
        + "is as large as the weights. The σ₁ error is the largest singular value of W − Ŵ over that of W. A recorded error is "
        + "what the history of B says; where that is possible, it is measured again.")
    // The largest error first; one that is not defined is larger than any.
    func rank(_ index: Int) -> Double { changed[index].relativeL2 ?? .infinity }
    let sorted = changed.indices.sorted { (rank($1), $0) < (rank($0), $1) }.map { changed[$0] }
    let errors = sorted.compactMap { tensor in tensor.relativeL2.map { BarChart.Bar(tensor.name, $0) } }
    if !errors.isEmpty {
      page.add([
        .init(
          "Relative L2 error", BarChart(errors, limit: options?.tolerances.weight, limitName: "--max-weight").picture)
      ])
    }
    page.add(weightTable(sorted.prefix(Self.maxOpen)))
    if sorted.count > Self.maxOpen {
      page.add(folded: "\(counted(sorted.count - Self.maxOpen, "tensor")) with smaller errors") { page in
        page.add(weightTable(sorted.dropFirst(Self.maxOpen)))
      }
    }
    let drawn = sorted.filter { $0.figure != nil || $0.decay != nil }
    page.add(figures(of: drawn.prefix(Self.maxOpenFigures)))
    let more = drawn.prefix(Self.maxFigures).dropFirst(Self.maxOpenFigures)
    if !more.isEmpty {
      page.add(folded: "Weights and singular values of \(counted(more.count, "tensor")) with smaller errors") { page in
        page.add(figures(of: more))
      }
    }
    if drawn.count > Self.maxFigures {
      page.add(paragraph: "Pictures are of the \(Self.maxFigures) matrices with the largest errors.")
    }
  }

  private func figures(of tensors: ArraySlice<TensorComparison>) -> [Page.Figure] {
    tensors.flatMap { [$0.figure, $0.decay].compactMap { $0 } }
  }

  private func weightTable(_ tensors: ArraySlice<TensorComparison>) -> Page.Table {
    var table = Page.Table([
      ("tensor", .left), ("shape", .right), ("stored in A", .left), ("stored in B", .left),
      ("relative L2 error", .right), ("σ₁ error", .right), ("recorded", .left),
    ])
    for tensor in tensors {
      let own = tensor.claims
      table.add(
        [
          tensor.name, tensor.dimensions, tensor.encodings.a, tensor.encodings.b,
          tensor.relativeL2.map { significant($0, 4) } ?? "undefined", tensor.spectralText,
          own.map { "\(significant($0.claimed, 4)) \($0.status.rawValue)" }.joined(separator: ", "),
        ], isMarked: own.contains { $0.status == .fails })
    }
    return table
  }

  /// Version, options, digests.
  private func addMethod(to page: inout Page) {
    guard let options else { return }
    page.add(heading: "How it was measured")
    var table = Page.Table([("", .left), ("", .left)])
    table.add(["tool", "nc-verify \(options.version)"])
    for option in options.spelled { table.add([option.name, option.value]) }
    if let data {
      let names = data.names.map(fileName).joined(separator: ", ")
      table.add(["data", sampled(data.samples, of: data.inputs, from: names, scale: data.scale)])
    }
    if let files {
      for (name, file) in [("A", files.a), ("B", files.b)] {
        let digest = file.digest.map { "content digest \($0)" } ?? "records no digest"
        table.add([name, "\(file.kind), \(file.size) bytes, \(digest)"])
      }
    }
    page.add(table)
  }
}

extension VerifyingOptions {
  /// As on a command line, also those that nobody gave, without the data.
  fileprivate var spelled: [(name: String, value: String)] {
    var words: [(String, String)] = []
    func add(_ name: String, _ value: Double?) {
      guard let value else { return }
      let short = Float(value)
      words.append(("--\(name)", short.isFinite && short != 0 ? "\(short)" : "\(value)"))
    }
    add("max-weight", tolerances.weight)
    add("max-output", tolerances.output)
    add("max-ck", tolerances.conjugate)
    add("max-ntk", tolerances.tangent)
    add("max-accuracy-loss", tolerances.accuracyLoss)
    if let size = tolerances.size { words.append(("--max-size", "\(size)")) }
    add("max-bits", tolerances.bits)
    if isWithoutVerdict { words.append(("--no-verdict", "")) }
    let output = if case .one(let index) = tangentOutput { "\(index)" } else { "sum" }
    words += [
      ("--measure", Measure.allCases.filter(measures.contains).map(\.rawValue).joined(separator: ",")),
      ("--points", "\(points)"), ("--law", distribution.rawValue), ("--samples", "\(samples)"), ("--seed", "\(seed)"),
      ("--ntk-output", output),
    ]
    if isFast { words.append(("--fast", "")) }
    return words
  }
}

extension Verification.Part {
  fileprivate func add(to page: inout Page) {
    let whose = isWhole ? "" : " of \(name)"
    if let outputs {
      page.add(heading: "Outputs\(whose)")
      page.add(Page.Table(outputs.measurements))
    }
    guard let spectrum else { return }
    let points = "\(counted(spectrum.points, "point")) (\(spectrum.distribution))"
    page.add(heading: capitalized(conjugateKernelName) + whose)
    page.add(
      paragraph: "Inner products of what the last layer is given, for each two of \(points): what another last layer "
        + "could make of the network.")
    page.add(
      Page.Table(spectrum.conjugateMeasurements), beside: spectrum.figure("Eigenvalues of the CK", spectrum.conjugate))
    if let tangent = spectrum.tangent, let measurements = spectrum.tangentMeasurements {
      page.add(heading: capitalized(tangentKernelName) + spectrum.output + whose)
      page.add(
        paragraph: "Inner products of the gradients by the weights, for each two of \(points): how the network would "
          + "learn.")
      page.add(Page.Table(measurements), beside: spectrum.figure("Eigenvalues of the NTK", tangent))
    }
  }

  private func capitalized(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }
}

extension Page.Table {
  fileprivate init(_ measurements: [Measurement]) {
    self.init([("measure", .left), ("value", .right), ("", .left)])
    for measurement in measurements {
      add([measurement.name, measurement.text, measurement.comment], meaning: measurement.meaning)
    }
  }
}
