// SPDX-License-Identifier: Apache-2.0

/// A drawn chart: what a `Page.Figure` shows.
public struct Picture: Sendable {
  /// Of every picture: a phone shows it unscaled, a screen three in a row.
  static let width = 360.0

  /// An `<svg>` element for an HTML page.
  public let svg: String
  /// Sentences on what the picture leaves out.
  public let notes: [String]
  /// The same for a file with others in it.
  let drawing: SVG
  let height: Double

  init(_ svg: SVG, height: Double, label: String, notes: [String] = []) {
    self.svg = svg.inline(width: Self.width, height: height, label: label)
    self.notes = notes
    drawing = svg
    self.height = height
  }

  /// In place of a chart without numbers.
  static func empty(_ label: String, notes: [String] = []) -> Picture {
    var svg = SVG()
    svg.add("rect", ["x": 0.5, "y": 0.5, "width": 359, "height": 79, "rx": 4, "fill": "none", "stroke": "#d0d7de"])
    svg.add(
      "text", ["x": 180, "y": 44, "text-anchor": "middle", "fill": .string(Ink.faint)], text: "nothing to show")
    return Picture(svg, height: 80, label: "\(label): nothing to show", notes: notes)
  }
}

/// Numbers with a name.
public struct Series: Sendable {
  public var name: String
  public var values: [Double]

  public init(_ name: String, _ values: [Double]) {
    self.name = name
    self.values = values
  }
}
