// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Accuracy against bytes on disk: a curve for each way to make a network smaller, and where it began. An SVG file of its own,
/// light or dark as the reader prefers.
public struct TradeoffChart: Sendable {
  public struct Point: Sendable {
    public var bytes: Int
    /// 0…1.
    public var accuracy: Double
    /// Shown when a pointer rests on the point.
    public var label: String

    public init(bytes: Int, accuracy: Double, label: String) {
      self.bytes = bytes
      self.accuracy = accuracy
      self.label = label
    }
  }

  /// Points of one method; they are joined in the order of their bytes.
  public struct Curve: Sendable {
    public var name: String
    public var points: [Point]

    public init(_ name: String, _ points: [Point]) {
      self.name = name
      self.points = points
    }
  }

  public var title: String
  /// What all others are compared with, where there is one network that they all began with.
  public var original: Point?
  public var curves: [Curve]

  public init(title: String, original: Point?, curves: [Curve]) {
    self.title = title
    self.original = original
    self.curves = curves
  }

  /// Points of less accuracy than this part of the original's are left out: so small a network is of no use, and they
  /// would take the room of those that are.
  public static let leastPart = 0.5

  private static let (width, height, textSize) = (720.0, 400.0, 16.0)
  private static let (left, right) = (74.0, 16.0)

  /// The whole SVG file.
  public var document: String {
    let least = original.map { Self.leastPart * $0.accuracy } ?? 0
    func isDrawn(_ point: Point) -> Bool { point.bytes > 0 && point.accuracy >= least }
    let drawn = curves.map { curve in
      curve.points.filter(isDrawn).sorted { ($0.bytes, $0.accuracy) < ($1.bytes, $1.accuracy) }
    }
    let leftOut = curves.reduce(0) { $0 + $1.points.count } - drawn.reduce(0) { $0 + $1.count }
    var svg = SVG()
    svg.add("style", [:], text: Self.style)
    let legendRows = rows(of: curves.map(\.name))
    let top = 48 + 26 * Double(legendRows.count) + 14
    let bottom = top + Self.height
    let total = bottom + (leftOut > 0 ? 84 : 62)
    svg.add("rect", ["class": "ground", "width": .number(Self.width), "height": .number(total)])
    text(title, 16, 28, weight: "bold", size: 18, into: &svg)
    drawLegend(legendRows, into: &svg)
    let points = (original.map { [$0] } ?? []) + drawn.flatMap { $0 }
    let (x, y) = axes(points, top: top, bottom: bottom)
    drawAxes(x, y, into: &svg)
    if let original { draw(original, x, y, into: &svg) }
    for (index, points) in drawn.enumerated() where !points.isEmpty { draw(points, index, x, y, into: &svg) }
    if leftOut > 0 {
      text(
        "\(leftOut == 1 ? "1 point" : "\(leftOut) points") below \(readable(least)) not shown", Self.left, bottom + 76,
        style: "faint", into: &svg)
    }
    return svg.document(width: Self.width, height: total, title: title)
  }

  private func drawLegend(_ rows: [[(curve: Int, name: String, x: Double)]], into svg: inout SVG) {
    for (index, row) in rows.enumerated() {
      let y = 56 + 26 * Double(index)
      for (curve, name, x) in row {
        let line = "M\(number(x)),\(number(y))h26"
        svg.add("path", ["class": .string("line \(Self.series(curve))"), "d": .string(line)])
        marker(curve, at: (x + 13, y), title: nil, into: &svg)
        text(name, x + 34, y + 5.5, into: &svg)
      }
    }
  }

  private func draw(_ points: [Point], _ index: Int, _ x: Axis, _ y: Axis, into svg: inout SVG) {
    let places = points.map { (x.position(Double($0.bytes)), y.position($0.accuracy)) }
    let path = places.map { "\(number($0.0)),\(number($0.1))" }.joined(separator: " ")
    svg.add("polyline", ["class": .string("line \(Self.series(index))"), "points": .string(path)])
    for (point, place) in zip(points, places) {
      let found = "\(Self.size(point.bytes)), \(readable(point.accuracy, decimals: 4))"
      marker(index, at: place, title: "\(point.label): \(found)", into: &svg)
    }
  }

  private func axes(_ points: [Point], top: Double, bottom: Double) -> (x: Axis, y: Axis) {
    let bytes = points.map { Double(max(1, $0.bytes)) }
    let (least, greatest) = (bytes.min() ?? 1, bytes.max() ?? 1)
    let accuracies = points.map(\.accuracy).filter { $0.isFinite }
    let lowest = max(0, floor(20 * (accuracies.min() ?? 0) - 0.2) / 20)
    let highest = min(1, ceil(20 * (accuracies.max() ?? 1) + 0.2) / 20)
    return (
      Axis(.logarithmic, least / 1.15...greatest * 1.15, from: Self.left, to: Self.width - Self.right),
      Axis(.linear, lowest...max(highest, lowest), from: bottom, to: top)
    )
  }

  private func drawAxes(_ x: Axis, _ y: Axis, into svg: inout SVG) {
    let (top, bottom) = (y.end, y.start)
    for tick in y.ticks {
      guard let label = tick.label else { continue }
      let place = number(y.position(tick.value))
      svg.add("path", ["class": "grid", "d": .string("M\(number(x.start)),\(place)H\(number(x.end))")])
      text(label, x.start - 8, y.position(tick.value) + 5.5, anchor: "end", style: "faint", into: &svg)
    }
    var end = -Double.infinity
    for (value, isLabelled) in Self.sizes(in: x.bounds) {
      let place = x.position(value)
      let label = Self.size(Int(value))
      let half = Plots.width(of: label, size: Self.textSize) / 2
      let hasRoom = isLabelled && place - half > end
      if hasRoom {
        svg.add("path", ["class": "grid", "d": .string("M\(number(place)),\(number(top))V\(number(bottom))")])
        text(
          label, place, bottom + 24, anchor: place + half > Self.width ? "end" : "middle", style: "faint", into: &svg)
        end = place + half
      }
      svg.add("path", ["class": "axis", "d": .string("M\(number(place)),\(number(bottom))v\(hasRoom ? 6 : 4)")])
    }
    svg.add("path", ["class": "axis", "d": .string("M\(number(x.start)),\(number(bottom))H\(number(x.end))")])
    text(
      "bytes on disk, whole file (logarithmic)", (x.start + x.end) / 2, bottom + 50, anchor: "middle", style: "faint",
      into: &svg)
    let middle = (top + bottom) / 2
    svg.add(
      "text",
      [
        "class": "faint", "x": 18, "y": .number(middle), "text-anchor": "middle", "font-size": .number(Self.textSize),
        "transform": .string("rotate(-90 18 \(number(middle)))"),
      ], text: "test accuracy")
  }

  /// A line at the height of the original, for all others to be compared with.
  private func draw(_ original: Point, _ x: Axis, _ y: Axis, into svg: inout SVG) {
    guard original.accuracy.isFinite else { return }
    let place = (x.position(Double(max(1, original.bytes))), y.position(original.accuracy))
    svg.add("path", ["class": "original", "d": .string("M\(number(x.start)),\(number(place.1))H\(number(place.0))")])
    svg.add("circle", ["class": "dot", "cx": .number(place.0), "cy": .number(place.1), "r": 6], title: original.label)
    text(
      "original: \(Self.size(original.bytes)), \(readable(original.accuracy, decimals: 4))", place.0 + 6, place.1 - 12,
      anchor: "end", style: "ink halo", into: &svg)
  }

  // MARK: Parts

  /// Where names in the legend stand, row by row.
  private func rows(of names: [String]) -> [[(curve: Int, name: String, x: Double)]] {
    var rows: [[(curve: Int, name: String, x: Double)]] = []
    var x = Double.infinity
    for (index, name) in names.enumerated() {
      let name = fitted(name, to: Self.width - 66, size: Self.textSize)
      let length = 34 + Plots.width(of: name, size: Self.textSize)
      if x + length > Self.width - Self.right {
        rows.append([])
        x = 16
      }
      rows[rows.count - 1].append((index, name, x))
      x += length + 20
    }
    return rows
  }

  private func text(
    _ text: String, _ x: Double, _ y: Double, anchor: String = "start", style: String = "ink",
    weight: String = "normal",
    size: Double = textSize, into svg: inout SVG
  ) {
    svg.add(
      "text",
      [
        "class": .string(style), "x": .number(x), "y": .number(y), "text-anchor": .string(anchor),
        "font-size": .number(size), "font-weight": .string(weight),
      ], text: fitted(text, to: Self.width - 32, size: size))
  }

  /// Shapes that differ without colour too; where colours come again they have other shapes.
  private func marker(_ index: Int, at place: (x: Double, y: Double), title: String?, into svg: inout SVG) {
    let shapes = [
      "m-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z", "m-4.5,-4.5h9v9h-9z", "m0,-6.5l6,10.5h-12z",
      "m0,-6.5l6.5,6.5l-6.5,6.5l-6.5,-6.5z",
      "m0,6.5l6,-10.5h-12z", "m-2,-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
      "m0,-2.8l3.2,-3.2l2.8,2.8l-3.2,3.2l3.2,3.2l-2.8,2.8l-3.2,-3.2l-3.2,3.2l-2.8,-2.8l3.2,-3.2l-3.2,-3.2l2.8,-2.8z",
      "m-6.5,-2.5h13v5h-13z", "m-2.5,-6.5h5v13h-5z",
    ]
    svg.add(
      "path",
      [
        "class": .string("mark \(Self.series(index))"),
        "d": .string("M\(number(place.x)),\(number(place.y))" + shapes[(index + index / shapes.count) % shapes.count]),
      ], title: title)
  }

  private static func series(_ index: Int) -> String { "s\(index % colours.count)" }

  /// On white and on black; neighbours differ in lightness too.
  private static let colours: [(light: String, dark: String)] = [
    ("#0b62a4", "#5ab0f2"), ("#d97706", "#f5b556"), ("#7c3aed", "#b9a2ff"), ("#be123c", "#ff7d95"),
    ("#047857", "#4fd1a5"), ("#5b6470", "#a9b2bd"), ("#b45309", "#e0a36b"), ("#0e7490", "#4cc9e0"),
    ("#a21caf", "#f08cf7"),
  ]

  /// Classes instead of attributes: a style sheet knows what the reader prefers.
  private static var style: String {
    func rules(_ ground: String, _ ink: String, _ faint: String, _ grid: String, _ colours: [String]) -> String {
      ".ground{fill:\(ground)}.ink{fill:\(ink)}.faint{fill:\(faint)}.grid{stroke:\(grid)}.axis{stroke:\(faint)}"
        + ".original{stroke:\(ink)}.dot{fill:\(ink)}.mark,.halo{stroke:\(ground)}"
        + colours.enumerated().map { ".line.s\($0){stroke:\($1)}.mark.s\($0){fill:\($1)}" }.joined()
    }
    return
      ".halo{paint-order:stroke;stroke-width:5px}.line{fill:none;stroke-width:2.2;stroke-linejoin:round}.original{stroke-dasharray:5 4;fill:none}"
      + rules("#ffffff", "#1d2329", "#57606a", "#e6e9ed", colours.map(\.light)) + "@media (prefers-color-scheme:dark){"
      + rules("#0d1117", "#e6edf3", "#9aa4af", "#262c33", colours.map(\.dark)) + "}"
  }

  /// 1, 2 and 5 times powers of ten, which are labelled if there is room, and what lies between.
  private static func sizes(in bounds: ClosedRange<Double>) -> [(bytes: Double, isLabelled: Bool)] {
    (0...18).flatMap { exponent in
      (1...9).map { (bytes: Double($0) * pow(10, Double(exponent)), isLabelled: [1, 2, 5].contains($0)) }
    }.filter { bounds.contains($0.bytes) }
  }

  /// `61.8 kB`: three digits, decimal units.
  private static func size(_ bytes: Int) -> String {
    var (value, unit) = (Double(bytes), 0)
    while value >= 999.5, unit < 4 { (value, unit) = (value / 1000, unit + 1) }
    return "\(readable(value)) \(["B", "kB", "MB", "GB", "TB"][unit])"
  }
}
