// SPDX-License-Identifier: Apache-2.0

/// How often values occur, as a filled histogram; over it a second one, or the few values that something took instead;
/// and marks, such as thresholds.
public struct HistogramChart: Sendable {
  /// A dashed line across the chart.
  public struct Mark: Sendable {
    public var x: Double
    public var label: String

    public init(_ x: Double, _ label: String) {
      self.x = x
      self.label = label
    }
  }

  /// A value that occurs often.
  public struct Value: Sendable {
    public var x: Double
    public var count: Double

    public init(_ x: Double, count: Double) {
      self.x = x
      self.count = count
    }
  }

  /// Counts in bins of equal width, which divide `bounds`.
  public var counts: Series
  public var bounds: ClosedRange<Double>
  /// Counts in bins of the same bounds, perhaps another number of them.
  public var overlay: Series?
  /// Lines as high as their shares of the greatest count, with the shares of the sum in percent.
  public var values: (name: String, values: [Value])?
  public var marks: [Mark]
  public var xName: String

  public init(
    _ counts: Series, over bounds: ClosedRange<Double>, overlay: Series? = nil,
    values: (name: String, values: [Value])? = nil, marks: [Mark] = [], xName: String = "weight"
  ) {
    self.counts = counts
    self.bounds = bounds
    self.overlay = overlay
    self.values = values
    self.marks = marks
    self.xName = xName
  }

  private static let height = 170.0

  public var picture: Picture {
    let label = "Histogram of \(counts.name)"
    let takes = Axis.Scale.linear.takes
    let histograms = [counts, overlay].compactMap { $0 }.map { series in
      series.values.map { takes($0) ? max($0, 0) : 0 }
    }
    let values = (self.values?.values ?? []).filter { takes($0.x) && takes($0.count) && $0.count > 0 }.prefix(200)
    let marks = self.marks.filter { takes($0.x) }.prefix(12)
    let hasBounds = takes(bounds.lowerBound) && takes(bounds.upperBound)
    let places = values.map(\.x) + marks.map(\.x) + [bounds.lowerBound, bounds.upperBound]
    guard hasBounds, histograms.contains(where: { $0.contains { $0 > 0 } }) || !values.isEmpty,
      let draft = Axis(.linear, covering: places, margin: 0.02, from: 0, to: 1)
    else { return .empty(label) }
    let (highest, isCut) = Self.highest(of: histograms)
    // Of the margin, only the numbers matter.
    let left = Panel.margin(for: Axis(.linear, 0...highest, from: Self.height, to: 0))
    let x = Axis(.linear, draft.bounds, from: left, to: Picture.width - Panel.rightMargin)

    var svg = SVG()
    let legend = Legend(
      [(counts.name, .area(0))] + (overlay.map { [($0.name, .area(1))] } ?? [])
        + (self.values.map { [($0.name, .bar(1))] } ?? []))
    legend.draw(into: &svg)
    let sum = values.reduce(0) { $0 + $1.count }
    let valueLabels = (values.count <= 9 ? Array(values) : []).map { value in
      (
        text: "\(readable(value.x)): \(readable(100 * value.count / sum)) %", place: x.position(value.x),
        colour: Style[1].colour
      )
    }
    let markLabels = marks.map { (text: $0.label, place: x.position($0.x), colour: Ink.text) }
    let lanes = Lanes(valueLabels + markLabels, middle: (x.start + x.end) / 2)
    let top = legend.height + 24 + lanes.height
    let y = Axis(.linear, 0...highest, from: top + Self.height, to: top)
    let panel = Panel(x: x, y: y)
    panel.drawAxes(xName: xName, yName: nil, into: &svg)
    svg.add("text", ["x": 0, "y": .number(legend.height + 14), "fill": .string(Ink.faint)], text: y.heading("count"))
    for (index, counts) in histograms.enumerated() { draw(counts, Style[index], on: panel, into: &svg) }
    for mark in marks {
      let place = x.position(mark.x)
      svg.add(
        "line",
        [
          "x1": .number(place), "x2": .number(place), "y1": .number(top), "y2": .number(y.start),
          "stroke": .string(Ink.text), "stroke-dasharray": "4 3",
        ])
    }
    let greatest = values.map(\.count).max() ?? 1
    for value in values {
      let place = x.position(value.x)
      svg.add(
        "line",
        [
          "x1": .number(place), "x2": .number(place), "y1": .number(y.start),
          "y2": .number(y.start - 0.9 * Self.height * value.count / greatest),
          "stroke": .string(Style[1].colour), "stroke-width": values.count > 20 ? 1 : 3,
        ])
    }
    lanes.draw(above: top, into: &svg)
    var notes: [String] = []
    if isCut { notes.append("The highest bars are cut off: the greatest count is \(Self.greatest(of: histograms)).") }
    if let name = self.values?.name, !values.isEmpty {
      notes.append("The lines of \(fitted(name, to: 200)) have a scale of their own.")
    }
    return Picture(svg, height: top + Self.height + Panel.footHeight, label: label, notes: notes)
  }

  private static func greatest(of histograms: [[Double]]) -> String {
    readable(histograms.flatMap { $0 }.max() ?? 0, decimals: 0)
  }

  /// The upper end of the axis. A few bars that tower over all others do not make them vanish.
  private static func highest(of histograms: [[Double]]) -> (Double, isCut: Bool) {
    let sorted = histograms.flatMap { $0 }.filter { $0 > 0 }.sorted(by: >)
    guard let greatest = sorted.first else { return (1, false) }
    let usual = sorted.dropFirst(2).first ?? greatest
    return greatest > 5 * usual ? (usual * 1.6, true) : (greatest * 1.05, false)
  }

  private func draw(_ counts: [Double], _ style: Style, on panel: Panel, into svg: inout SVG) {
    // No more bars than pixels.
    let stride = (counts.count + 299) / 300
    guard stride > 0 else { return }
    let step = (bounds.upperBound - bounds.lowerBound) / Double(counts.count)
    func place(_ bin: Int) -> String { tenths(panel.x.position(bounds.lowerBound + Double(bin) * step)) }
    let base = tenths(panel.y.start)
    var path = "M\(place(0)),\(base)"
    for bin in Swift.stride(from: 0, to: counts.count, by: stride) {
      let end = min(bin + stride, counts.count)
      path += "V\(tenths(panel.y.position(counts[bin..<end].max() ?? 0)))H\(place(end))"
    }
    path += "V\(base)"
    svg.add(
      "path",
      [
        "d": .string(path), "fill": .string(style.fill), "stroke": .string(style.colour), "stroke-width": 1.2,
        "stroke-linejoin": "round",
      ])
  }
}

/// Labels above places on an axis, in as many lines as they need. Those at the left reach to the left of their places,
/// those at the right to the right, and the inner ones are higher, so that the thin line from each down to its place
/// crosses no other.
private struct Lanes {
  private struct Label {
    let text: String
    let colour: String
    let place: Double
    let left: Double
    let right: Double
    let lane: Int

    /// From the line to the other end of the text.
    func isCloseTo(_ left: Double, _ right: Double) -> Bool {
      min(self.left, place) - 5 < right && left < max(self.right, place) + 5
    }
  }

  private static let lineHeight = 16.0
  private var labels: [Label] = []

  init(_ labels: [(text: String, place: Double, colour: String)], middle: Double) {
    func isLeft(_ place: Double) -> Bool { place < middle - 12 }
    func isRight(_ place: Double) -> Bool { place > middle + 12 }
    let sorted = labels.sorted { $0.place < $1.place }
    let outerFirst =
      sorted.filter { isLeft($0.place) } + sorted.filter { isRight($0.place) }.reversed()
      + sorted.filter { !isLeft($0.place) && !isRight($0.place) }
    for (text, place, colour) in outerFirst {
      let text = fitted(text, to: Picture.width - 4)
      let length = width(of: text)
      let wish = isLeft(place) ? place + 3 - length : isRight(place) ? place - 3 : place - length / 2
      let left = min(max(wish, 2), Picture.width - 2 - length)
      let lane = self.labels.filter { $0.isCloseTo(left, left + length) }.map { $0.lane + 1 }.max() ?? 0
      self.labels.append(
        Label(text: text, colour: colour, place: place, left: left, right: left + length, lane: lane))
    }
  }

  var height: Double { labels.map { Self.lineHeight * Double($0.lane + 1) + 12 }.max() ?? 0 }

  func draw(above bottom: Double, into svg: inout SVG) {
    func baseline(_ label: Label) -> Double { bottom - 12 - Self.lineHeight * Double(label.lane) }
    for label in labels {
      svg.add(
        "line",
        [
          "x1": .number(label.place), "x2": .number(label.place), "y1": .number(baseline(label) + 3),
          "y2": .number(bottom), "stroke": .string(label.colour), "stroke-width": 0.7,
        ])
    }
    for label in labels {
      // The text may be narrower than estimated: it stays at its line.
      let isLeft = label.place >= label.right - 4
      let isRight = label.place <= label.left + 4
      svg.add(
        "text",
        [
          "x": .number(isLeft ? label.right : isRight ? label.left : (label.left + label.right) / 2),
          "y": .number(baseline(label)), "text-anchor": .string(isLeft ? "end" : isRight ? "start" : "middle"),
          "fill": .string(label.colour), "stroke": "#ffffff", "stroke-width": 4, "paint-order": "stroke",
          "stroke-linejoin": "round",
        ], text: label.text)
    }
  }
}
