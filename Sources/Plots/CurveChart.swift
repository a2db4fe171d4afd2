// SPDX-License-Identifier: Apache-2.0

/// Functions of one number, on linear axes.
public struct CurveChart: Sendable {
  public struct Curve: Sendable {
    public var name: String
    /// From left to right; two of equal x are a jump.
    public var points: [(x: Double, y: Double)]

    public init(_ name: String, _ points: [(x: Double, y: Double)]) {
      self.name = name
      self.points = points
    }
  }

  public var curves: [Curve]
  public var xName: String
  public var yName: String

  public init(_ curves: [Curve], xName: String, yName: String) {
    self.curves = curves
    self.xName = xName
    self.yName = yName
  }

  public var picture: Picture {
    let label = "\(yName) against \(xName)"
    let points = curves.flatMap(\.points)
    guard let x = Axis(.linear, covering: points.map(\.x), margin: 0, from: 0, to: 1),
      let y = Axis(.linear, covering: points.map(\.y), margin: 0.05, from: 0, to: 1)
    else { return .empty(label) }
    var svg = SVG()
    let legend = Legend(curves.enumerated().map { ($1.name, .line($0)) })
    legend.draw(into: &svg)
    let (top, height) = (legend.height + 24, 170.0)
    let upright = Axis(.linear, y.bounds, from: top + height, to: top)
    let panel = Panel(
      x: Axis(.linear, x.bounds, from: Panel.margin(for: upright), to: Picture.width - Panel.rightMargin), y: upright)
    panel.drawAxes(xName: xName, yName: yName, into: &svg)
    for (index, curve) in curves.enumerated() { panel.draw(curve.points, Style[index], into: &svg) }
    return Picture(svg, height: top + height + Panel.footHeight, label: label)
  }
}
