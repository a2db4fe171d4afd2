// SPDX-License-Identifier: Apache-2.0

/// Positive numbers, such as singular values, against their index, on a logarithmic axis.
public struct DecayChart: Sendable {
  public var series: [Series]
  public var xName: String
  public var yName: String

  public init(_ series: [Series], xName: String = "index", yName: String = "singular value") {
    self.series = series
    self.xName = xName
    self.yName = yName
  }

  public var picture: Picture {
    let label = "\(yName) against \(xName)"
    let range = DrawnRange(of: series, leastQuotient: 1, noun: ("value", "values"))
    let floor = range.values.flatMap { $0 }.max().map { $0 * 1e-10 } ?? 0
    guard
      let y = Axis(
        .logarithmic, covering: range.values.flatMap { $0 }.filter { $0 > floor }, margin: 0.05, from: 0, to: 1)
    else { return .empty(label, notes: range.notes) }
    var svg = SVG()
    let legend = Legend(series.enumerated().map { ($1.name, .line($0)) })
    legend.draw(into: &svg)
    let (top, height) = (legend.height + 24, 200.0)
    let upright = Axis(.logarithmic, y.bounds, from: top + height, to: top)
    let panel = Panel(
      x: .indices(
        1...max(series.map(\.values.count).max() ?? 1, 1), from: Panel.margin(for: upright),
        to: Picture.width - Panel.rightMargin), y: upright)
    panel.drawAxes(xName: xName, yName: yName, into: &svg)
    for (index, series) in series.enumerated() {
      panel.draw(
        series.values.enumerated().map { (x: Double($0 + 1), y: $1 > floor ? $1 : .nan) }, Style[index], into: &svg)
    }
    return Picture(svg, height: top + height + Panel.footHeight, label: label, notes: range.notes)
  }
}
