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

  /// Error against keep: a chart for each matrix, and one for all.
  public func picture(title: String) -> String {
    page(
      title: "\(title): what pruning costs", xLabel: "keep", yLabel: "relative L2 error", least: 0.01,
      charts: (layers + (layers.count > 1 ? [all] : [])).map { layer in
        Chart(
          title: layer.name,
          // One without points keeps the colours of the others, and the legend.
          curves: Strategy.allCases.map { strategy in
            .init(strategy.rawValue, points: points(layer.errors[strategy] ?? []))
          } + [.init("Gaussian weights, magnitude", points: points(gaussianErrors), isReference: true)])
      })
  }

  private func points(_ errors: [Double]) -> [(x: Double, y: Double)] { zip(keeps, errors).map { ($0.value, $1) } }
}
