// SPDX-License-Identifier: Apache-2.0

/// An SVG file of several pictures with headings, two beside each other, and sentences below each.
public struct PictureSheet: Sendable {
  public struct Entry: Sendable {
    public var heading: String
    public var picture: Picture
    public var caption: String

    public init(_ heading: String, _ picture: Picture, caption: String = "") {
      self.heading = heading
      self.picture = picture
      self.caption = caption
    }
  }

  public var title: String
  public var entries: [Entry]

  public init(title: String, entries: [Entry]) {
    self.title = title
    self.entries = entries
  }

  private static let (margin, gap, lineHeight) = (16.0, 32.0, 15.0)
  private static let width = 2 * margin + gap + 2 * Picture.width

  public var svg: String {
    var svg = SVG()
    svg.add(
      "text", ["x": .number(Self.margin), "y": 26, "font-size": 16, "font-weight": "bold"],
      text: fitted(title, to: Self.width - 2 * Self.margin, size: 16), title: title)
    var top = 40.0
    for first in stride(from: 0, to: entries.count, by: 2) {
      var bottom = top
      for (column, entry) in entries[first..<min(first + 2, entries.count)].enumerated() {
        let x = Self.margin + Double(column) * (Picture.width + Self.gap)
        bottom = max(bottom, draw(entry, x, top, into: &svg))
      }
      top = bottom + 18
    }
    return svg.document(width: Self.width, height: top, title: title)
  }

  /// Where it ends.
  private func draw(_ entry: Entry, _ x: Double, _ top: Double, into svg: inout SVG) -> Double {
    svg.add(
      "text", ["x": .number(x), "y": .number(top + 14), "font-weight": "bold"],
      text: fitted(entry.heading, to: Picture.width, size: 12), title: entry.heading)
    svg.add(entry.picture.drawing, x: x, y: top + 26)
    var bottom = top + 26 + entry.picture.height
    for sentence in [entry.caption] + entry.picture.notes where !sentence.isEmpty {
      for line in lines(of: sentence) {
        bottom += Self.lineHeight
        svg.add(
          "text", ["x": .number(x), "y": .number(bottom), "font-size": 11, "fill": .string(Ink.faint)], text: line)
      }
    }
    return bottom
  }

  private func lines(of sentence: String) -> [String] {
    var lines: [String] = []
    for word in sentence.split(separator: " ") {
      if let last = lines.last, Plots.width(of: "\(last) \(word)") <= Picture.width {
        lines[lines.count - 1] = "\(last) \(word)"
      } else {
        lines.append(fitted(String(word), to: Picture.width))
      }
    }
    return lines
  }
}
