// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Numbers from 0 to 1 as colours: a row for each name, a column for each x, which is logarithmic up to 1.
public struct HeatMap: Sendable {
  public var title: String
  public var xs: [Double]
  public var rows: [(name: String, values: [Double])]

  public init(title: String, xs: [Double], rows: [(name: String, values: [Double])]) {
    self.title = title
    self.xs = xs
    self.rows = rows
  }

  private static let (left, right, labelHeight) = (250.0, 618.0, 14.0)
  private static let colours = 20

  /// Where it ends.
  func draw(xLabel: String, least: Double, top: Double, into svg: inout SVG) -> Double {
    svg.add(
      "text", ["x": 16, "y": .number(top + 10), "font-weight": "bold"],
      text: fitted(title, to: ChartSheet.width - 32, size: 12.5))
    drawKey(top: top + 24, into: &svg)
    let first = top + 62
    let height = min(Self.labelHeight, max(2, 1800 / Double(max(rows.count, 1))))
    let stride = Int((Self.labelHeight / height).rounded(.up))
    let axis = Axis(.logarithmic, min(least, 1)...1, from: Self.left, to: Self.right)
    let places = xs.map { axis.position($0) }
    for (index, row) in rows.enumerated() {
      let y = first + Double(index) * height
      if index % stride == 0 {
        let name = fitted(row.name, to: Self.left - 24, size: 11.5)
        svg.add(
          "text",
          [
            "x": .number(Self.left - 8), "y": .number(y + min(height, Self.labelHeight) / 2 + 4),
            "text-anchor": "end", "font-size": 11.5, "fill": .string(Ink.text),
          ], text: name, title: name == row.name ? nil : row.name)
      }
      // Neighbours of one colour are one rectangle.
      let shades = zip(row.values, places).map { value, _ in Self.shade(value) }
      var start = 0
      while start < shades.count {
        let end = shades[start...].firstIndex { $0 != shades[start] } ?? shades.count
        let from = start == 0 ? axis.start : (places[start - 1] + places[start]) / 2
        let to = end == shades.count ? axis.end : (places[end - 1] + places[end]) / 2
        svg.add(
          "rect",
          [
            "x": .number(from), "y": .number(y), "width": .number(to - from), "height": .number(height),
            "fill": .string(shades[start]), "shape-rendering": "crispEdges",
          ])
        start = end
      }
    }
    let bottom = first + Double(rows.count) * height
    Panel(x: axis, y: Axis(.linear, 0...1, from: bottom, to: bottom, marks: [])).drawAxes(
      xName: xLabel, yName: nil, into: &svg)
    return bottom + 40
  }

  private func drawKey(top: Double, into svg: inout SVG) {
    let step = 200 / Double(Self.colours)
    for index in 0..<Self.colours {
      svg.add(
        "rect",
        [
          "x": .number(Self.left + Double(index) * step), "y": .number(top), "width": .number(step), "height": 9,
          "fill": .string(Self.shade((Double(index) + 0.5) / Double(Self.colours))), "shape-rendering": "crispEdges",
        ])
    }
    for (value, label) in [(0.0, "0"), (0.5, "0.5"), (1, "1")] {
      svg.add(
        "text",
        [
          "x": .number(Self.left + 200 * value), "y": .number(top + 22), "text-anchor": "middle",
          "fill": .string(Ink.faint),
        ], text: label)
    }
  }

  /// From nearly white to dark blue; what is not finite is grey.
  private static func shade(_ value: Double) -> String {
    guard value.isFinite else { return "#9a9a9a" }
    let level = min(Int(min(max(value, 0), 1) * Double(colours)), colours - 1)
    let place = Double(level) / Double(colours - 1)
    let stops: [[Double]] = [[243, 247, 251], [98, 160, 202], [8, 48, 107]]
    let (from, part) = place < 0.5 ? (0, place * 2) : (1, place * 2 - 1)
    let digits = zip(stops[from], stops[from + 1]).map { low, high in
      let byte = String(Int((low + (high - low) * part).rounded()), radix: 16)
      return byte.count < 2 ? "0" + byte : byte
    }
    return "#" + digits.joined()
  }
}
