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
  let width = Frame.width * Double(columns) + 20
  var svg = SVG()
  svg.add(
    "text", ["x": 16, "y": 26, "font-size": 16, "font-weight": "bold"],
    text: fitted(title, to: width - 24, size: 16))
  let top = drawLegend(of: charts.first?.curves ?? [], width: width, into: &svg)
  for (index, chart) in charts.enumerated() {
    let (row, column) = index.quotientAndRemainder(dividingBy: columns)
    let frame = Frame(
      left: Double(column) * Frame.width + 58, top: top + Double(row) * Frame.height + 42, least: least)
    frame.draw(chart, xLabel: xLabel, yLabel: yLabel, into: &svg)
  }
  return svg.document(width: width, height: top + 24 + Frame.height * Double(rows), title: title)
}

/// Where it ends.
private func drawLegend(of curves: [Chart.Curve], width: Double, into svg: inout SVG) -> Double {
  var (x, y) = (16.0, 46.0)
  for (index, curve) in curves.enumerated() {
    let length = 30 + Plots.width(of: curve.name, size: 12)
    if x > 16, x + length > width {
      x = 16
      y += 18
    }
    draw([(x, y), (x + 24, y)], curve, index, into: &svg)
    svg.add("text", ["x": .number(x + 30), "y": .number(y + 4)], text: fitted(curve.name, to: width - 46, size: 12))
    x += length + 14
  }
  return y + 4
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
  private let left: Double
  private let top: Double
  private let panel: Panel

  init(left: Double, top: Double, least: Double) {
    self.left = left
    self.top = top
    panel = Panel(
      x: Axis(.logarithmic, min(least, 1)...1, from: left, to: left + Self.plotWidth),
      y: Axis(.linear, 0...1, from: top + Self.plotHeight, to: top))
  }

  func draw(_ chart: Chart, xLabel: String, yLabel: String, into svg: inout SVG) {
    svg.add(
      "text", ["x": .number(left), "y": .number(top - 10), "font-weight": "bold"],
      text: fitted(chart.title, to: Self.width - 58, size: 12.5))
    panel.drawAxes(xName: xLabel, yName: nil, into: &svg)
    for (index, curve) in chart.curves.enumerated() {
      let points = curve.points.filter { $0.x.isFinite && $0.y.isFinite }
      Plots.draw(points.map { (panel.x.position($0.x), panel.y.position($0.y)) }, curve, index, into: &svg)
    }
    let middle = top + Self.plotHeight / 2
    svg.add(
      "text",
      [
        "x": .number(left - 42), "y": .number(middle), "text-anchor": "middle",
        "transform": .string("rotate(-90 \(number(left - 42)) \(number(middle)))"),
      ], text: yLabel)
  }
}
