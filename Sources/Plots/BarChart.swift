// SPDX-License-Identifier: Apache-2.0

/// Numbers that are not negative as horizontal bars, each below its label, the largest first, and limits that they
/// should keep: one of all, or one of each. The axis reaches from 0 to 1, or to what is larger.
public struct BarChart: Sendable {
  public struct Bar: Sendable {
    public var label: String
    public var value: Double
    /// In place of that of all bars.
    public var limit: Double?

    public init(_ label: String, _ value: Double, limit: Double? = nil) {
      self.label = label
      self.value = value
      self.limit = limit
    }
  }

  public var bars: [Bar]
  /// A line across each bar. A bar that exceeds it is set off.
  public var limit: Double?
  public var limitName: String

  public init(_ bars: [Bar], limit: Double? = nil, limitName: String = "tolerance") {
    self.bars = bars
    self.limit = limit
    self.limitName = limitName
  }

  /// So many are drawn at most, the largest.
  public static let maxBars = 20

  private static let rowHeight = 36.0

  public var picture: Picture {
    let label = "Bars of \(bars.count) values"
    guard !bars.isEmpty else { return .empty(label) }
    let takes = Axis.Scale.linear.takes
    let common = self.limit.flatMap { takes($0) && $0 >= 0 ? $0 : nil }
    func limit(_ index: Int) -> Double? { bars[index].limit.flatMap { takes($0) && $0 >= 0 ? $0 : nil } ?? common }
    // What is not finite is worse than anything that is.
    func rank(_ index: Int) -> Double { takes(bars[index].value) ? bars[index].value : .infinity }
    let drawn = bars.indices.sorted { (rank($1), $0) < (rank($0), $1) }.prefix(Self.maxBars)
    let greatest = drawn.flatMap { [bars[$0].value, limit($0) ?? 0] }.filter { takes($0) }.max() ?? 0
    let x = Axis(.linear, 0...(greatest > 1 ? greatest * 1.02 : 1), from: 0, to: Picture.width)
    var svg = SVG()
    var top = 0.0
    if drawn.contains(where: { limit($0) != nil }) {
      let name = common.map { "\(limitName) \(readable($0))" } ?? limitName
      svg.add("path", ["d": "M1,2V14", "stroke": .string(Ink.text), "stroke-width": 1.5, "stroke-dasharray": "3 2"])
      svg.add("text", ["x": 8, "y": 12], text: fitted(name, to: Picture.width - 8))
      top += 22
    }
    for index in drawn {
      let bar = bars[index]
      let limit = limit(index)
      let isOver = !takes(bar.value) || limit.map { bar.value > $0 } == true
      let colour = limit != nil && isOver ? Style[1].colour : Style[0].colour
      let value = readable(bar.value)
      let room = Picture.width - width(of: value) * 1.1 - 12
      let text = fitted(bar.label, to: room)
      svg.add("text", ["x": 0, "y": .number(top + 11)], text: text, title: text == bar.label ? nil : bar.label)
      svg.add(
        "text",
        [
          "x": .number(Picture.width), "y": .number(top + 11), "text-anchor": "end",
          "font-weight": limit != nil && isOver ? "bold" : "normal",
          "fill": .string(limit != nil && isOver ? colour : Ink.text),
        ], text: value)
      svg.add(
        "rect", ["x": 0, "y": .number(top + 17), "width": 360, "height": 9, "rx": 1.5, "fill": .string(Ink.grid)])
      if takes(bar.value), bar.value > 0 {
        svg.add(
          "rect",
          [
            "x": 0, "y": .number(top + 17), "width": .number(max(x.position(bar.value), 1)), "height": 9, "rx": 1.5,
            "fill": .string(colour),
          ])
      }
      if let limit {
        let place = min(max(x.position(limit), 1), Picture.width - 1)
        svg.add(
          "line",
          [
            "x1": .number(place), "x2": .number(place), "y1": .number(top + 15), "y2": .number(top + 28),
            "stroke": .string(Ink.text), "stroke-width": 1.5, "stroke-dasharray": "3 2",
          ])
      }
      top += Self.rowHeight
    }
    drawAxis(x, top: top, into: &svg)
    let more = bars.count - drawn.count
    return Picture(
      svg, height: top + 20, label: label,
      notes: more > 0 ? ["The \(Self.maxBars) largest of \(bars.count)."] : [])
  }

  private func drawAxis(_ x: Axis, top: Double, into svg: inout SVG) {
    svg.add(
      "line",
      [
        "x1": 0, "x2": .number(Picture.width), "y1": .number(top), "y2": .number(top), "stroke": .string(Ink.axis),
      ])
    for tick in x.ticks {
      guard let label = tick.label else { continue }
      let (place, half) = (x.position(tick.value), width(of: label) / 2)
      svg.add(
        "line",
        [
          "x1": .number(place), "x2": .number(place), "y1": .number(top), "y2": .number(top + 4),
          "stroke": .string(Ink.axis),
        ])
      svg.add(
        "text",
        [
          "x": .number(place), "y": .number(top + 16), "fill": .string(Ink.faint),
          "text-anchor": .string(place < half ? "start" : place > Picture.width - half ? "end" : "middle"),
        ], text: label)
    }
  }
}
