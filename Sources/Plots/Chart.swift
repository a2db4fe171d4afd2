// SPDX-License-Identifier: Apache-2.0

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
  /// Curves of one position have one colour in every chart of a sheet.
  public var curves: [Curve]

  public init(title: String, curves: [Curve]) {
    self.title = title
    self.curves = curves
  }
}
