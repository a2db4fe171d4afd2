// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Maths
internal import Networks
internal import Plots
internal import Tensors

extension WideComparison {
  /// Eigenvalues and first eigenvectors of the network's kernels and of those of infinite width; each activation with what it
  /// is matched by, and the means of both against the deviation of their inputs: Gu et al., figures 1 and 2.
  public func picture(title: String) -> String {
    var entries: [PictureSheet.Entry] = []
    for (name, distance) in [("Conjugate kernel", own.conjugate as KernelDistance?), ("Tangent kernel", own.tangent)] {
      guard let distance, let chart = distance.spectrumChart(("infinite width", "this network"), classes) else {
        continue
      }
      entries.append(
        .init(
          "\(name), \(points.count) points", chart.picture, caption: classes == nil ? "" : "Points are sorted by class."
        ))
    }
    for (index, layer) in (matching?.layers ?? []).enumerated() {
      let name = "\(layers[index].name.text), \(layer.original.word)"
      let range = 4 * layer.deviation
      let (original, matched) = (layer.original, layer.matched)
      let mean = layer.moments.mean
      let end = 3 * max(layer.deviation, layer.matchedDeviation)
      entries.append(
        .init(
          "\(name): the function, less its mean",
          CurveChart(
            [
              .init("original", original.points(-range, range, minus: mean)),
              .init(
                "three levels", matched.activation.points(-range, range, minus: 0, scale: layer.stretch)),
            ], xName: "input", yName: "output"
          ).picture,
          caption: layer.stretch == 1 ? "" : "Inputs of the new function are scaled from τ̃ to τ."))
      entries.append(
        .init(
          "\(name): mean output E σ(τξ)",
          CurveChart(
            [
              .init("original", means(of: original, upTo: end, minus: mean)),
              .init("three levels", means(of: matched.activation, upTo: end, minus: 0)),
            ], xName: "τ", yName: "mean, less that at the layer's τ"
          ).picture))
    }
    return PictureSheet(title: "\(fileName(title)): kernels of a wide network", entries: entries).svg
  }

  private func means(of activation: Activation, upTo end: Double, minus mean: Double) -> [(x: Double, y: Double)] {
    (1...120).compactMap { k in
      let tau = end * Double(k) / 120
      return GaussianMoments(of: activation, deviation: tau).map { (tau, $0.mean - mean) }
    }
  }
}

extension NetworkMatching.Layer {
  /// τ/τ̃
  fileprivate var stretch: Double { deviation / matchedDeviation }
}

extension Activation {
  /// The graph of the function of x/scale, with its jumps upright.
  fileprivate func points(
    _ low: Double, _ high: Double, minus mean: Double, scale: Double = 1
  ) -> [(x: Double, y: Double)] {
    func at(_ x: Double) -> (x: Double, y: Double) { (x, (value(at: x / scale) ?? .nan) - mean) }
    let places: [Double] =
      if case .piecewiseConstant(_, let thresholds) = self { thresholds.map { $0 * scale } } else { [] }
    let jumps = places.filter { low < $0 && $0 < high }.flatMap { place in
      // The function to the left of a jump, and to the right.
      [at(place), (place, at(place.nextUp + 1e-12 * (high - low)).y)]
    }
    return ((0...240).map { at(low + (high - low) * Double($0) / 240) } + jumps).enumerated()
      .sorted { ($0.element.x, $0.offset) < ($1.element.x, $1.offset) }.map(\.element)
  }
}
