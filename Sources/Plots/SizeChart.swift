// SPDX-License-Identifier: Apache-2.0

internal import Formatting

/// An SVG file of where bytes are: for each thing a bar of what it takes, below one of what it took before.
public struct SizeChart: Sendable {
  public struct Row: Sendable {
    public var name: String
    /// `nil` where that is not known.
    public var before: Int?
    public var after: Int

    public init(_ name: String, before: Int?, after: Int) {
      self.name = name
      self.before = before
      self.after = after
    }
  }

  public var title: String
  /// Names of the two kinds of bars; without the first there are no bars of before.
  public var names: (before: String?, after: String)
  /// Things of which the largest are named and the others summed.
  public var parts: [Row]
  /// Below them, always named.
  public var others: [Row]

  public init(title: String, names: (before: String?, after: String), parts: [Row], others: [Row]) {
    self.title = title
    self.names = names
    self.parts = parts
    self.others = others
  }

  /// So many are named at most.
  public static let maxNamed = 20

  private static let (left, right) = (16.0, 624.0)

  public var svg: String {
    // The largest by what they take, then by what they took; of equals the first.
    let order = parts.indices.sorted {
      (parts[$1].after, parts[$1].before ?? 0, $0) < (parts[$0].after, parts[$0].before ?? 0, $1)
    }
    let rest = order.dropFirst(Self.maxNamed).map { parts[$0] }
    var rows = order.prefix(Self.maxNamed).map { (row: parts[$0], isNamed: true) }
    if !rest.isEmpty {
      let before = rest.compactMap(\.before)
      rows.append(
        (
          Row(
            counted(rest.count, "further tensor"),
            before: before.count == rest.count ? before.reduce(0) { $0.addingClamped($1) } : nil,
            after: rest.reduce(0) { $0.addingClamped($1.after) }), false
        ))
    }
    rows += others.map { ($0, false) }
    let all = rows.map(\.row)
    let greatest = all.flatMap { [$0.after] + (names.before == nil ? [] : [$0.before ?? 0]) }.max() ?? 0
    let scale = (Self.right - Self.left) / Double(max(greatest, 1))
    var svg = SVG()
    svg.add(
      "text", ["x": .number(Self.left), "y": 26, "font-size": 16, "font-weight": "bold"],
      text: fitted(title, to: Self.right - Self.left, size: 16), title: title)
    var x = Self.left
    for (name, style) in [(names.before, Ink.axis), (names.after, Style[0].colour)] {
      guard let name else { continue }
      svg.add("rect", ["x": .number(x), "y": 43, "width": 16, "height": 9, "fill": .string(style)])
      svg.add("text", ["x": .number(x + 22), "y": 52], text: name)
      x += 46 + width(of: name, size: 12)
    }
    var top = 66.0
    for (row, isNamed) in rows { top = draw(row, isNamed: isNamed, scale: scale, top: top, into: &svg) }
    return svg.document(width: 640, height: top + 6, title: title)
  }

  private func draw(_ row: Row, isNamed: Bool, scale: Double, top: Double, into svg: inout SVG) -> Double {
    let before = names.before == nil ? nil : row.before
    var value = readable(bytes: row.after)
    if let before {
      value = "\(readable(bytes: before)) → \(value)"
      if before > 0 { value += " (\(significant(100 * Double(row.after) / Double(before), 3)) %)" }
    }
    let room = Self.right - Self.left - width(of: value, size: 12) - 16
    let name = fitted(row.name, to: room, size: 12)
    svg.add(
      "text",
      [
        "x": .number(Self.left), "y": .number(top + 12), "fill": .string(isNamed ? Ink.text : Ink.faint),
        "font-style": isNamed ? "normal" : "italic",
      ], text: name, title: name == row.name ? nil : row.name)
    svg.add(
      "text", ["x": .number(Self.right), "y": .number(top + 12), "text-anchor": "end"], text: value)
    var y = top + 17
    for (bytes, colour, what) in [(before, Ink.axis, "before"), (row.after, Style[0].colour, "bytes")] {
      guard let bytes else { continue }
      svg.add(
        "rect",
        [
          "class": .string(what), "x": .number(Self.left), "y": .number(y),
          "width": .number(bytes > 0 ? max(Double(bytes) * scale, 0.5) : 0), "height": 7, "fill": .string(colour),
        ], title: "\(bytes) bytes")
      y += 8
    }
    return y + 8
  }
}

extension Int {
  fileprivate func addingClamped(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
