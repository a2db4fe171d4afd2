// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Histograms of the eigenvalues of two matrices over each other, the first filled, the second an outline, and below
/// them eigenvectors of both: Gu et al., figure 2.
///
/// Eigenvalues far from the others are dots on stems, so that one of many remains visible. The axis is logarithmic if
/// all are positive but for rounding and the greatest is at least 30 times the least.
public struct SpectrumChart: Sendable {
  /// One eigenvector of each matrix: components in the order of the samples, the sign already chosen.
  public struct Vectors: Sendable {
    public var name: String
    public var first: [Double]
    public var second: [Double]

    public init(_ name: String, first: [Double], second: [Double]) {
      self.name = name
      self.first = first
      self.second = second
    }
  }

  public var first: Series
  public var second: Series
  public var vectors: [Vectors]
  /// Indices of samples where something new begins, such as a class.
  public var boundaries: [Int]

  public init(_ first: Series, _ second: Series, vectors: [Vectors] = [], boundaries: [Int] = []) {
    self.first = first
    self.second = second
    self.vectors = vectors
    self.boundaries = boundaries
  }

  private static let (histogramHeight, vectorHeight) = (150.0, 58.0)

  public var picture: Picture {
    let label = "Eigenvalues of \(first.name) and \(second.name)"
    let range = DrawnRange(of: [first, second], leastQuotient: 30, noun: ("eigenvalue", "eigenvalues"))
    let axis = Axis(range.scale, covering: range.values.flatMap { $0 }, margin: 0.03, from: 0, to: 1)
    let vectors = self.vectors.filter { ($0.first + $0.second).contains { Axis.Scale.linear.takes($0) } }
    guard axis != nil || !vectors.isEmpty else { return .empty(label, notes: range.notes) }
    var svg = SVG()
    let legend = Legend([(first.name, .area(0)), (second.name, .area(1))])
    legend.draw(into: &svg)
    var notes = range.notes
    var top = legend.height
    if let axis {
      let hasStems = drawHistograms(of: range.values, on: axis, top: top + 24, into: &svg)
      if hasStems {
        notes.append("Dots are single eigenvalues far from the others; their height means nothing.")
      }
      top += 24 + Self.histogramHeight + Panel.footHeight
    }
    for (index, pair) in vectors.enumerated() {
      drawVectors(pair, isLast: index == vectors.count - 1, top: top + 22, into: &svg)
      top += 22 + Self.vectorHeight
    }
    if !vectors.isEmpty { top += Panel.footHeight }
    return Picture(svg, height: top + 2, label: label, notes: notes)
  }

  /// Whether any eigenvalue became a dot.
  private func drawHistograms(of values: [[Double]], on axis: Axis, top: Double, into svg: inout SVG) -> Bool {
    let most = values.map(\.count).max() ?? 0
    let count = min(max(12, Int(2.5 * Double(most).squareRoot())), 56)
    let bins = values.map { Bins($0, count: count, on: axis) }
    let tallest = bins.flatMap(\.counts).max() ?? 0
    let y = Axis(
      .linear, 0...Double(max(tallest, 5)) * 1.06, from: top + Self.histogramHeight, to: top,
      marks: tallest == 0 ? [] : nil)
    let x = Axis(
      axis.scale, axis.bounds, from: max(Panel.margin(for: y), 20), to: Picture.width - Panel.rightMargin)
    Panel(x: x, y: y).drawAxes(
      xName: axis.scale == .linear ? "eigenvalue" : "eigenvalue, logarithmic",
      yName: tallest == 0 ? nil : "eigenvalues", into: &svg)
    let binWidth = (x.end - x.start) / Double(count)
    for (index, bins) in bins.enumerated() {
      let style = Style[index]
      var path = ""
      for run in bins.counts.indices.split(whereSeparator: { bins.counts[$0] == 0 }) {
        path += "M\(tenths(x.start + Double(run.startIndex) * binWidth)),\(tenths(y.start))"
        for bin in run {
          path += "V\(tenths(y.position(Double(bins.counts[bin]))))H\(tenths(x.start + Double(bin + 1) * binWidth))"
        }
        path += "V\(tenths(y.start))"
      }
      if !path.isEmpty {
        svg.add(
          "path",
          [
            "d": .string(path), "fill": .string(style.fill), "stroke": .string(style.colour), "stroke-width": 1.3,
            "stroke-linejoin": "round",
          ])
      }
      for value in bins.isolated {
        let (place, height) = (x.position(value), index == 0 ? 16.0 : 24.0)
        svg.add(
          "path",
          [
            "d": .string("M\(tenths(place)),\(tenths(y.start))V\(tenths(y.start - height))"), "stroke-width": 1.3,
            "stroke": .string(style.colour),
          ])
        svg.add(
          "circle",
          [
            "cx": .number(place), "cy": .number(y.start - height), "r": 3.2, "stroke-width": 1.3,
            "fill": .string(index == 0 ? style.fill : "#ffffff"), "stroke": .string(style.colour),
          ], title: readable(value))
      }
    }
    return bins.contains { !$0.isolated.isEmpty }
  }

  /// From a round number to a round number and always past 0; a side that would be too small for a number has none.
  private static func axis(for values: [Double], top: Double) -> Axis {
    var (lower, upper) = (roundedUp(-(values.min() ?? 0)), roundedUp(values.max() ?? 0))
    if lower + upper <= 0 { upper = 1 }
    let least = max(lower, upper) / 4
    let marks = (lower > least ? [-lower] : []) + [0] + (upper > least ? [upper] : [])
    (lower, upper) = (max(lower, least), max(upper, least))
    return Axis(.linear, -lower...upper, from: top + vectorHeight, to: top, marks: marks)
  }

  private func drawVectors(_ pair: Vectors, isLast: Bool, top: Double, into svg: inout SVG) {
    let values = (pair.first + pair.second).filter { Axis.Scale.linear.takes($0) }
    let y = Self.axis(for: values, top: top)
    let count = max(pair.first.count, pair.second.count)
    // As wide as most numbers are, so that the vectors lie below each other.
    let left = max(Panel.margin(for: y), width(of: "\u{2212}0.05") + 8)
    let x = Axis.indices(0...max(count - 1, 0), from: left, to: Picture.width - Panel.rightMargin)
    svg.add(
      "text", ["x": .number(left), "y": .number(top - 6)], text: fitted(pair.name, to: Picture.width - left),
      title: pair.name)
    let panel = Panel(x: x, y: y)
    panel.drawAxes(xName: isLast ? "sample" : nil, yName: nil, into: &svg)
    for boundary in boundaries where boundary > 0 && boundary < count {
      let place = x.position(Double(boundary) - 0.5)
      svg.add(
        "line",
        [
          "x1": .number(place), "x2": .number(place), "y1": .number(top), "y2": .number(y.start),
          "stroke": .string(Ink.axis), "stroke-dasharray": "2 2", "stroke-width": 0.8,
        ])
    }
    for (index, vector) in [pair.first, pair.second].enumerated() {
      let style = Style[index]
      panel.draw(
        vector.enumerated().map { (x: Double($0), y: $1) },
        Style(colour: style.colour, fill: "none", width: index == 0 ? 2.4 : 0.8, dashes: "none"), into: &svg)
    }
  }
}

/// The next number of one or two digits; 0 for what is not positive.
private func roundedUp(_ value: Double) -> Double {
  guard value > 1e-300 else { return 0 }
  let power = pow(10, floor(log10(value)))
  return ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8].first { $0 * power >= value } ?? 10) * power
}

/// What of some series one axis shows, and what it leaves out.
struct DrawnRange {
  let scale: Axis.Scale
  let values: [[Double]]
  let notes: [String]

  /// A logarithmic axis if all numbers are positive but for rounding, 10⁻⁵ of the greatest, and the greatest is at
  /// least `leastQuotient` times the least that is more than 10⁻¹⁰ of it; else a linear one.
  init(of series: [Series], leastQuotient: Double, noun: (one: String, many: String)) {
    let finite = series.map { $0.values.filter { Axis.Scale.linear.takes($0) } }
    let all = finite.flatMap { $0 }
    let greatest = all.max() ?? 0
    let floor = max(greatest * 1e-10, 1e-300)
    let positive = all.filter { $0 > floor }
    let isLogarithmic =
      greatest > 0 && (all.min() ?? 0) >= -1e-5 * greatest
      && greatest >= leastQuotient * (positive.min() ?? greatest)
    scale = isLogarithmic ? .logarithmic : .linear
    values = isLogarithmic ? finite.map { $0.filter { $0 > floor } } : finite
    let strange = series.indices.map { series[$0].values.count - finite[$0].count }
    let tiny = zip(finite, values).map { $0.count - $1.count }
    notes = [(strange, "not finite"), (tiny, "less than 10⁻¹⁰ of the largest")].compactMap { counts, what in
      let parts = zip(counts, series).filter { $0.0 > 0 }.enumerated().map { index, part in
        "\(readable(Double(part.0), decimals: 0)) \(index > 0 ? "" : part.0 == 1 ? noun.one + " " : noun.many + " ")"
          + "(\(fitted(part.1.name, to: 200)))"
      }
      guard let last = parts.last else { return nil }
      let list = parts.count == 1 ? last : parts.dropLast().joined(separator: ", ") + " and " + last
      return "\(list) \(counts.reduce(0, +) == 1 ? "is" : "are") \(what) and left out."
    }
  }
}

/// A histogram and the numbers that lie apart.
private struct Bins {
  private(set) var counts: [Int]
  private(set) var isolated: [Double] = []

  /// Apart are at most four numbers that are within two bins of each other, but of no other.
  init(_ values: [Double], count: Int, on axis: Axis) {
    counts = Array(repeating: 0, count: count)
    let sorted = values.sorted()
    var groups: [ArraySlice<Double>] = []
    var first = 0
    for index in sorted.indices {
      let isEnd =
        index + 1 == sorted.count
        || axis.fraction(sorted[index + 1]) - axis.fraction(sorted[index]) > 2 / Double(count)
      if isEnd {
        groups.append(sorted[first...index])
        first = index + 1
      }
    }
    for group in groups {
      if group.count <= 4 {
        isolated += group
      } else {
        for value in group {
          counts[min(max(Int(axis.fraction(value) * Double(count)), 0), count - 1)] += 1
        }
      }
    }
  }
}
