// SPDX-License-Identifier: Apache-2.0

/// A rectangle with two axes.
struct Panel {
  let x: Axis
  let y: Axis

  private var left: Double { x.start }
  private var right: Double { x.end }
  private var top: Double { y.end }
  private var bottom: Double { y.start }

  /// Lines of the grid and numbers at them. With no name the x axis has no numbers either.
  func drawAxes(xName: String?, yName: String?, into svg: inout SVG) {
    for tick in y.ticks where tick.label != nil { line(left, y.position(tick.value), right, nil, Ink.grid, &svg) }
    for tick in x.ticks where tick.label != nil { line(x.position(tick.value), top, nil, bottom, Ink.grid, &svg) }
    for tick in y.ticks {
      guard let label = tick.label else { continue }
      svg.add(
        "text",
        [
          "x": .number(left - 6), "y": .number(y.position(tick.value) + 4), "text-anchor": "end",
          "fill": .string(Ink.faint),
        ], text: label)
    }
    line(left, bottom, right, nil, Ink.axis, &svg)
    if let yName {
      svg.add("text", ["x": 0, "y": .number(top - 10), "fill": .string(Ink.faint)], text: y.heading(yName))
    }
    guard let xName else { return }
    for tick in x.ticks {
      let position = x.position(tick.value)
      line(position, bottom, nil, bottom + (tick.label == nil ? 3 : 5), Ink.axis, &svg)
      guard let label = tick.label else { continue }
      svg.add(
        "text",
        [
          "x": .number(position), "y": .number(bottom + 17), "text-anchor": "middle", "fill": .string(Ink.faint),
        ], text: label)
    }
    svg.add(
      "text",
      [
        "x": .number((left + right) / 2), "y": .number(bottom + 34), "text-anchor": "middle",
        "fill": .string(Ink.faint),
      ], text: x.heading(xName))
  }

  /// Half a number at the end of the x axis.
  static let rightMargin = 15.0

  /// How far numbers and name of the x axis reach below.
  static let footHeight = 40.0

  /// How much room the numbers of an upright axis take at its left.
  static func margin(for axis: Axis) -> Double {
    (axis.ticks.compactMap { $0.label.map { width(of: $0) } }.max() ?? 0) + 8
  }

  private func line(
    _ x: Double, _ y: Double, _ toX: Double?, _ toY: Double?, _ colour: String, _ svg: inout SVG
  ) {
    svg.add(
      "line",
      [
        "x1": .number(x), "y1": .number(y), "x2": .number(toX ?? x), "y2": .number(toY ?? y),
        "stroke": .string(colour),
      ])
  }

  /// A curve through the points, which go from left to right; where a pixel holds more than two, through the lowest
  /// and the highest of them, which looks the same. Points that the axes cannot take break it.
  func draw(_ points: [(x: Double, y: Double)], _ style: Style, into svg: inout SVG) {
    var path = ""
    var count = 0
    var column: [(x: Double, y: Double)] = []
    func flush() {
      guard let low = column.indices.max(by: { column[$0].y < column[$1].y }),
        let high = column.indices.min(by: { column[$0].y < column[$1].y })
      else { return }
      for index in low == high ? [low] : [min(low, high), max(low, high)] {
        path += (count == 0 ? "M" : " ") + tenths(column[index].x) + "," + tenths(column[index].y)
        count += 1
      }
      column = []
    }
    func lift() {
      flush()
      // A dot.
      if count == 1 { path += "h0" }
      count = 0
    }
    for point in points {
      guard x.scale.takes(point.x), y.scale.takes(point.y) else {
        lift()
        continue
      }
      let place = (x: x.position(point.x), y: y.position(point.y))
      if let last = column.last, last.x.rounded(.down) != place.x.rounded(.down) { flush() }
      column.append(place)
    }
    lift()
    guard !path.isEmpty else { return }
    svg.add(
      "path",
      [
        "d": .string(path), "fill": "none", "stroke": .string(style.colour), "stroke-width": .number(style.width),
        "stroke-dasharray": .string(style.dashes), "stroke-linejoin": "round", "stroke-linecap": "round",
      ])
    // Few points are dots too.
    guard points.count <= 12 else { return }
    for point in points where x.scale.takes(point.x) && y.scale.takes(point.y) {
      svg.add(
        "circle",
        [
          "cx": .number(x.position(point.x)), "cy": .number(y.position(point.y)),
          "r": .number(1.6 + style.width / 2), "fill": .string(style.colour),
        ])
    }
  }
}

func tenths(_ value: Double) -> String { number((value * 10).rounded() / 10) }

/// How a series looks. Neighbours differ in lightness, width and dashes too, for those who see no hue and for paper.
struct Style {
  let colour: String
  /// Of areas.
  let fill: String
  let width: Double
  let dashes: String

  static let all = [
    Style(colour: "#4a90c8", fill: "#b5d3ea", width: 3.2, dashes: "none"),
    Style(colour: "#8a1538", fill: "none", width: 1.3, dashes: "none"),
    Style(colour: "#d18b1f", fill: "#f0d6a8", width: 2.2, dashes: "7 4"),
    Style(colour: "#22513b", fill: "none", width: 1.3, dashes: "2 3"),
  ]

  static subscript(index: Int) -> Style { all[index % all.count] }
}

/// What explains the styles: beside each other where the names have room, else below each other, shortened.
struct Legend {
  /// With the index of the style.
  enum Swatch {
    case area(Int)
    case bar(Int)
    case line(Int)
  }

  private let entries: [(name: String, swatch: Swatch)]

  init(_ entries: [(name: String, swatch: Swatch)]) { self.entries = entries }

  private static let (lineHeight, textLeft, gap) = (18.0, 27.0, 22.0)

  private var isOneLine: Bool {
    entries.reduce(-Self.gap) { $0 + Self.textLeft + width(of: $1.name) + Self.gap } <= Picture.width
  }

  var height: Double { Self.lineHeight * Double(isOneLine ? min(entries.count, 1) : entries.count) }

  func draw(into svg: inout SVG) {
    var (x, y) = (0.0, 0.0)
    for (name, swatch) in entries {
      draw(swatch, x, y, into: &svg)
      let text = fitted(name, to: Picture.width - Self.textLeft)
      svg.add(
        "text", ["x": .number(x + Self.textLeft), "y": .number(y + 11)], text: text, title: text == name ? nil : name)
      if isOneLine {
        x += Self.textLeft + width(of: name) + Self.gap
      } else {
        y += Self.lineHeight
      }
    }
  }

  private func draw(_ swatch: Swatch, _ x: Double, _ y: Double, into svg: inout SVG) {
    switch swatch {
    case .area(let index):
      svg.add(
        "rect",
        [
          "x": .number(x + 1), "y": .number(y + 2.5), "width": 18, "height": 9, "fill": .string(Style[index].fill),
          "stroke": .string(Style[index].colour), "stroke-width": 1.3,
        ])
    case .bar(let index):
      svg.add(
        "rect",
        [
          "x": .number(x + 8.5), "y": .number(y + 1), "width": 3, "height": 12,
          "fill": .string(Style[index].colour),
        ])
    case .line(let index):
      svg.add(
        "line",
        [
          "x1": .number(x), "x2": .number(x + 20), "y1": .number(y + 7), "y2": .number(y + 7),
          "stroke": .string(Style[index].colour), "stroke-width": .number(Style[index].width),
          "stroke-dasharray": .string(Style[index].dashes),
        ])
    }
  }
}
