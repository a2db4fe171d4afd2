internal import Glibc

/// Curves over two axes: x logarithmic, from a power of ten to 1; y linear, from 0 to 1.
public struct Chart: Sendable {
  public struct Curve: Sendable {
    public var name: String
    public var points: [(x: Double, y: Double)]
    /// Drawn thin and dashed, for comparison.
    public var isReference: Bool

    public init(_ name: String, points: [(x: Double, y: Double)], isReference: Bool = false) {
      self.name = name
      self.points = points
      self.isReference = isReference
    }
  }

  public var title: String
  /// Curves of one position have one colour in every chart of a page.
  public var curves: [Curve]

  public init(title: String, curves: [Curve]) {
    self.title = title
    self.curves = curves
  }
}

/// Several charts with the same axes and one legend, as an SVG file.
///
/// - Parameters:
///   - xLabel, yLabel: what the axes show.
///   - least: the x of the left edge, a power of ten below 1.
public func page(title: String, xLabel: String, yLabel: String, least: Double, charts: [Chart]) -> String {
  let columns = max(1, min(3, charts.count))
  let rows = (charts.count + columns - 1) / columns
  let (width, height) = (Frame.width * Double(columns) + 20, 74 + Frame.height * Double(rows))
  var svg = SVG()
  svg.add("text", ["x": 16, "y": 26, "font-size": 16, "font-weight": "bold"], text: title.shortened(to: 40 * columns))
  drawLegend(of: charts.first?.curves ?? [], width: width, into: &svg)
  for (index, chart) in charts.enumerated() {
    let (row, column) = index.quotientAndRemainder(dividingBy: columns)
    let frame = Frame(left: Double(column) * Frame.width + 58, top: Double(row) * Frame.height + 92, least: least)
    frame.draw(chart, xLabel: xLabel, yLabel: yLabel, into: &svg)
  }
  return svg.document(width: width, height: height, title: title)
}

private func drawLegend(of curves: [Chart.Curve], width: Double, into svg: inout SVG) {
  var x = 16.0
  for (index, curve) in curves.enumerated() {
    draw([(x, 46), (x + 24, 46)], curve, index, into: &svg)
    svg.add("text", ["x": .number(x + 30), "y": 50], text: curve.name)
    x += 44 + 6.6 * Double(curve.name.count)
  }
}

/// Colours that differ in lightness too, for those who see no hue.
private let colours = ["#1b6ca8", "#d1495b", "#e8a33d", "#3f784c"]

private func draw(_ points: [(Double, Double)], _ curve: Chart.Curve, _ index: Int, into svg: inout SVG) {
  guard !points.isEmpty else { return }
  let path = points.map { "\(number($0.0)),\(number($0.1))" }.joined(separator: " ")
  svg.add(
    "polyline",
    [
      "points": .string(path), "fill": "none",
      "stroke": .string(curve.isReference ? "#777777" : colours[index % colours.count]),
      "stroke-width": curve.isReference ? 1.2 : 2, "stroke-dasharray": curve.isReference ? "4 3" : "none",
    ])
}

/// Where one chart lies on the page.
private struct Frame {
  static let (width, height) = (310.0, 250.0)
  private static let (plotWidth, plotHeight) = (236.0, 170.0)
  let left: Double
  let top: Double
  let least: Double

  private func x(_ value: Double) -> Double {
    left + Self.plotWidth * (1 - log(min(max(value, least), 1)) / log(least))
  }

  private func y(_ value: Double) -> Double { top + Self.plotHeight * (1 - min(max(value, 0), 1)) }

  func draw(_ chart: Chart, xLabel: String, yLabel: String, into svg: inout SVG) {
    svg.add(
      "text", ["x": .number(left), "y": .number(top - 10), "font-weight": "bold"], text: chart.title.shortened(to: 36))
    for step in 0...4 {
      let value = Double(step) / 4
      svg.add(
        "line",
        [
          "x1": .number(left), "x2": .number(left + Self.plotWidth), "y1": .number(y(value)), "y2": .number(y(value)),
          "stroke": "#dddddd",
        ])
      svg.add(
        "text", ["x": .number(left - 6), "y": .number(y(value) + 4), "text-anchor": "end", "fill": "#444444"],
        text: number(value))
    }
    var decade = least
    while decade < 1.5 {
      for (factor, isLabelled) in [(1.0, true), (2, true), (5, true)] where decade * factor <= 1.0001 {
        let position = x(decade * factor)
        svg.add(
          "line",
          [
            "x1": .number(position), "x2": .number(position), "y1": .number(top), "y2": .number(top + Self.plotHeight),
            "stroke": factor == 1 ? "#cccccc" : "#eeeeee",
          ])
        if isLabelled {
          svg.add(
            "text",
            [
              "x": .number(position), "y": .number(top + Self.plotHeight + 16), "text-anchor": "middle",
              "fill": "#444444",
            ], text: number(decade * factor))
        }
      }
      decade *= 10
    }
    for (index, curve) in chart.curves.enumerated() {
      Plots.draw(curve.points.map { (x($0.x), y($0.y)) }, curve, index, into: &svg)
    }
    svg.add(
      "text",
      ["x": .number(left + Self.plotWidth / 2), "y": .number(top + Self.plotHeight + 33), "text-anchor": "middle"],
      text: xLabel)
    let middle = top + Self.plotHeight / 2
    svg.add(
      "text",
      [
        "x": .number(left - 42), "y": .number(middle), "text-anchor": "middle",
        "transform": .string("rotate(-90 \(number(left - 42)) \(number(middle)))"),
      ], text: yLabel)
  }
}

extension String {
  /// The same, or its beginning and an ellipsis, so that it fits.
  fileprivate func shortened(to count: Int) -> String {
    self.count <= count ? self : prefix(count - 1) + "…"
  }
}
