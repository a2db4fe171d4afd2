// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Glibc

/// An SVG file of charts with the same axes and one legend: one that is large, then small ones or a heat map.
public struct ChartSheet: Sendable {
  public var title: String
  /// What the axes show.
  public var xLabel: String
  public var yLabel: String
  /// The x of the left edge, a power of ten below 1.
  public var least: Double
  public var main: Chart?
  /// A second scale above the large chart: its name, and the bytes at x = 1.
  public var bytes: (name: String, atOne: Double)?
  public var charts: [Chart] = []
  public var heatMap: HeatMap?

  public init(title: String, xLabel: String, yLabel: String, least: Double, main: Chart?) {
    self.title = title
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.least = least
    self.main = main
  }

  static let width = 640.0
  private static let columns = 2

  public var svg: String {
    var svg = SVG()
    svg.add(
      "text", ["x": 16, "y": 26, "font-size": 16, "font-weight": "bold"],
      text: fitted(title, to: Self.width - 32, size: 16), title: title)
    guard let main else {
      svg.add("text", ["x": 16, "y": 54, "fill": .string(Ink.faint)], text: "nothing to show")
      return svg.document(width: Self.width, height: 74, title: title)
    }
    var top = drawLegend(of: main.curves, into: &svg)
    let large = Frame(left: 58, top: top + (bytes == nil ? 42 : 78), width: 560, height: 300, least: least)
    large.draw(main, xLabel: xLabel, yLabel: yLabel, titleLift: bytes == nil ? 10 : 46, into: &svg)
    if let bytes { large.drawBytes(bytes.name, atOne: bytes.atOne, into: &svg) }
    top = large.bottom + 46
    for (index, chart) in charts.enumerated() {
      let (row, column) = index.quotientAndRemainder(dividingBy: Self.columns)
      let frame = Frame(
        left: Double(column) * 312 + 58, top: top + Double(row) * 250 + 30, width: 240, height: 165, least: least)
      frame.draw(chart, xLabel: xLabel, yLabel: yLabel, titleLift: 10, into: &svg)
    }
    top += Double((charts.count + Self.columns - 1) / Self.columns) * 250
    if let heatMap { top = heatMap.draw(xLabel: xLabel, least: least, top: top + 16, into: &svg) }
    return svg.document(width: Self.width, height: top + 10, title: title)
  }

  /// Of curves that are drawn somewhere. Where it ends.
  private func drawLegend(of curves: [Chart.Curve], into svg: inout SVG) -> Double {
    let all = [main].compactMap { $0 } + charts
    var (x, y) = (16.0, 48.0)
    for (index, curve) in curves.enumerated() {
      guard all.contains(where: { index < $0.curves.count && !$0.curves[index].points.isEmpty }) else { continue }
      let length = 30 + Plots.width(of: curve.name, size: 12)
      if x > 16, x + length > Self.width {
        x = 16
        y += 18
      }
      draw([(x, y), (x + 24, y)], curve, index, into: &svg)
      svg.add(
        "text", ["x": .number(x + 30), "y": .number(y + 4)], text: fitted(curve.name, to: Self.width - 46, size: 12))
      x += length + 14
    }
    return y + 4
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

/// Where one chart lies on the sheet.
private struct Frame {
  private let left: Double
  private let top: Double
  private let width: Double
  private let panel: Panel
  let bottom: Double

  init(left: Double, top: Double, width: Double, height: Double, least: Double) {
    (self.left, self.top, self.width, bottom) = (left, top, width, top + height)
    panel = Panel(
      x: Axis(.logarithmic, min(least, 1)...1, from: left, to: left + width),
      y: Axis(.linear, 0...1, from: top + height, to: top))
  }

  func draw(_ chart: Chart, xLabel: String, yLabel: String, titleLift: Double, into svg: inout SVG) {
    let title = fitted(chart.title, to: width, size: 12.5)
    svg.add(
      "text", ["x": .number(left), "y": .number(top - titleLift), "font-weight": "bold"], text: title,
      title: title == chart.title ? nil : chart.title)
    panel.drawAxes(xName: xLabel, yName: nil, into: &svg)
    for (index, curve) in chart.curves.enumerated() {
      let points = curve.points.filter { $0.x.isFinite && $0.y.isFinite }
      Plots.draw(points.map { (panel.x.position($0.x), panel.y.position($0.y)) }, curve, index, into: &svg)
    }
    let middle = (top + bottom) / 2
    svg.add(
      "text",
      [
        "x": .number(left - 42), "y": .number(middle), "text-anchor": "middle", "fill": .string(Ink.faint),
        "transform": .string("rotate(-90 \(number(left - 42)) \(number(middle)))"),
      ], text: yLabel)
  }

  /// Above the chart.
  func drawBytes(_ name: String, atOne bytes: Double, into svg: inout SVG) {
    guard bytes >= 1, bytes < 1e18 else { return }
    let axis = Axis(
      .logarithmic, panel.x.bounds.lowerBound * bytes...bytes, from: panel.x.start, to: panel.x.end)
    var free = -Double.infinity
    for tick in axis.ticks where tick.label != nil && tick.value >= 1 {
      let label = readable(bytes: Int(tick.value.rounded()))
      let (place, half) = (axis.position(tick.value), Plots.width(of: label, size: 12) / 2)
      guard place - half > free else { continue }
      free = place + half + 6
      svg.add(
        "line",
        [
          "x1": .number(place), "x2": .number(place), "y1": .number(top - 5), "y2": .number(top),
          "stroke": .string(Ink.axis),
        ])
      svg.add(
        "text",
        ["x": .number(place), "y": .number(top - 9), "text-anchor": "middle", "fill": .string(Ink.faint)], text: label)
    }
    svg.add(
      "line",
      [
        "x1": .number(axis.start), "x2": .number(axis.end), "y1": .number(top), "y2": .number(top),
        "stroke": .string(Ink.axis),
      ])
    svg.add(
      "text",
      [
        "x": .number((axis.start + axis.end) / 2), "y": .number(top - 26), "text-anchor": "middle",
        "fill": .string(Ink.faint),
      ], text: name)
  }
}
