// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Maths
internal import Networks
internal import Plots

extension Verification.TensorComparison {
  /// The weights of the original, and those of them that are zero in the compressed network.
  var figure: Page.Figure? {
    guard let histogram, histogram.limit > 0 else { return nil }
    let marks = histogram.threshold.map { threshold in
      threshold <= histogram.limit ? [HistogramChart.Mark(-threshold, "−t"), HistogramChart.Mark(threshold, "t")] : []
    }
    return .init(
      name,
      HistogramChart(
        Series("original", histogram.counts.map(Double.init)), over: -histogram.limit...histogram.limit,
        overlay: histogram.threshold == nil ? nil : Series("zero in the compressed", histogram.zeroed.map(Double.init)),
        marks: marks ?? []
      ).picture,
      caption: histogram.threshold.map {
        "No weight of the original beyond t = \(significant($0, 3)) is zero in the compressed network."
      } ?? "")
  }

  var decay: Page.Figure? {
    singularValues.map {
      .init("Singular values of \(name)", DecayChart([Series("original", $0.a), Series("compressed", $0.b)]).picture)
    }
  }
}

extension Verification.SpectrumComparison {
  /// Histograms of the eigenvalues of both networks, and their first eigenvectors, points of one class side by side.
  func figure(_ name: String, _ distance: KernelDistance) -> Page.Figure? {
    guard let chart = distance.spectrumChart(("original", "compressed"), classes) else { return nil }
    return .init(name, chart.picture, caption: classes == nil ? "" : "Points are sorted by class.")
  }
}

extension KernelDistance {
  /// Eigenvalues and first eigenvectors of A and B, points of one class side by side; `nil` without spectra.
  func spectrumChart(_ names: (a: String, b: String), _ classes: [Int]?) -> SpectrumChart? {
    guard let spectra else { return nil }
    let order = classes.map { classes in classes.indices.sorted { (classes[$0], $0) < (classes[$1], $1) } }
    let boundaries = order.map { order in
      order.indices.dropFirst().filter { classes?[order[$0]] != classes?[order[$0 - 1]] }
    }
    func arranged(_ vector: [Double]) -> [Double] { order.map { $0.map { vector[$0] } } ?? vector }
    let vectors = (0..<min(2, spectra.a.vectors.count, spectra.b.vectors.count)).map { k in
      let (a, b) = (spectra.a.vectors[k], spectra.b.vectors[k])
      let overlap = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
      return SpectrumChart.Vectors(
        "eigenvector \(k + 1), overlap \(significant(overlap.magnitude, 3))", first: arranged(a),
        second: arranged(overlap < 0 ? b.map { -$0 } : b))
    }
    return SpectrumChart(
      Series(names.a, spectra.a.values), Series(names.b, spectra.b.values), vectors: vectors,
      boundaries: boundaries ?? [])
  }
}
