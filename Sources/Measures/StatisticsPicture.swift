// SPDX-License-Identifier: Apache-2.0

internal import Compression
internal import Formatting
internal import Networks
internal import Plots
public import Tensors

extension Statistics {
  /// Fractions that the table of errors shows.
  public static let tableKeeps = [".5", ".2", ".1", ".05", ".01"].compactMap { Fraction($0) }
  /// From .01 to 1, twelve a decade, and closer before 1, where the errors fall steeply to zero.
  public static let plotKeeps =
    (["1", "1.2", "1.5", "1.8", "2.2", "2.7", "3.3", "3.9", "4.7", "5.6", "6.8", "8.2"].flatMap { mantissa in
      [Fraction(mantissa + "e-2"), Fraction(mantissa + "e-1")]
    } + [".75", ".9", ".95", ".98", "1"].map { Fraction($0) }).compactMap { $0 }.sorted { $0.value < $1.value }

  /// Of more matrices a heat map takes the place of a chart each.
  private static let maxCharts = 12

  /// Error against fraction kept as SVG: a large chart for all matrices, and a small one for each.
  public func picture(title: String) -> String {
    let layers = layers.naturallySorted(by: { TensorName($0.name) })
    let subject = layers.isEmpty ? "no dense weight matrices" : "what pruning costs"
    var sheet = ChartSheet(
      title: "\(fileName(title)): \(subject)", xLabel: "fraction kept", yLabel: "relative L2 error",
      least: 0.01, main: layers.isEmpty ? nil : chart(of: layers.count == 1 ? layers[0] : all, layers.count))
    let bytes = layers.reduce(0.0) { $0 + Double($1.weights) * Double($1.bytesPerWeight) }
    if bytes > 0 { sheet.bytes = ("bytes of the weights kept by magnitude, without their positions", bytes) }
    if layers.count > Self.maxCharts {
      sheet.heatMap = HeatMap(
        title: "Relative L2 error of magnitude pruning, by matrix", xs: keeps.map(\.value),
        rows: layers.map { ($0.name, $0.errors[.magnitude] ?? []) })
    } else if layers.count > 1 {
      sheet.charts = layers.map { chart(of: $0, 1) }
    }
    return sheet.svg
  }

  private func chart(of layer: Layer, _ count: Int) -> Chart {
    Chart(
      title: count > 1 ? "all \(count) matrices, each pruned to the same fraction" : layer.name,
      // One without points keeps the colours of the others.
      curves: Strategy.allCases.map { strategy in
        .init(strategy.rawValue, points: points(layer.errors[strategy] ?? []))
      } + [.init("Gaussian weights, magnitude", points: points(gaussianErrors), isReference: true)])
  }

  private func points(_ errors: [Double]) -> [(x: Double, y: Double)] { zip(keeps, errors).map { ($0.value, $1) } }
}
