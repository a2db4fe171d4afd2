// SPDX-License-Identifier: Apache-2.0

/// A report as one HTML file that needs nothing else: no scripts, no requests. Whatever the texts hold, they stay text.
public struct Page: Sendable {
  public enum Verdict: String, Sendable { case good, bad, neutral }

  public struct Table: Sendable {
    public enum Alignment: Sendable { case left, right }

    private let columns: [(heading: String, alignment: Alignment)]
    private var rows: [(cells: [String], meaning: String, isMarked: Bool)] = []

    /// A table with one column for each heading, text at the left, numbers at the right. If no heading has a text,
    /// there are none, and the first column names the rows.
    public init(_ columns: [(heading: String, alignment: Alignment)]) { self.columns = columns }

    /// - Parameters:
    ///   - meaning: what the row says, in a line below its first cell.
    ///   - isMarked: whether the row is set off, for example because it exceeds a tolerance.
    public mutating func add(_ row: [String], meaning: String = "", isMarked: Bool = false) {
      rows.append((row, meaning, isMarked))
    }
  }

  public struct Figure: Sendable {
    public var title: String
    public var picture: Picture
    /// Below the picture; notes of the picture follow it.
    public var caption: String

    public init(_ title: String, _ picture: Picture, caption: String = "") {
      self.title = title
      self.picture = picture
      self.caption = caption
    }
  }

  private let title: String
  private var elements: [String] = []

  /// An empty page, but for its title.
  public init(title: String) { self.title = title }

  public mutating func add(heading: String) { elements.append("<h2>\(legible(heading))</h2>") }

  public mutating func add(paragraph: String) { elements.append("<p>\(sentences(paragraph))</p>") }

  /// The answer, which catches the eye.
  public mutating func add(verdict: String, _ kind: Verdict) {
    let mark =
      switch kind {
      case .good: "M4,12.5L10,18.5L20,6"
      case .bad: "M5,5L19,19M19,5L5,19"
      case .neutral: "M4,12H20"
      }
    elements.append(
      "<div class=\"verdict \(kind.rawValue)\"><svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"\(mark)\""
        + " fill=\"none\" stroke=\"currentColor\" stroke-width=\"3\"/></svg><strong>\(sentences(verdict))</strong></div>"
    )
  }

  /// A table, which scrolls sideways where it is too wide.
  public mutating func add(_ table: Table) { elements.append(table.markup) }

  /// Pictures beside each other, as many as have room.
  public mutating func add(_ figures: [Figure]) {
    guard !figures.isEmpty else { return }
    elements.append("<div class=\"figures\">\n\(figures.map(\.markup).joined(separator: "\n"))\n</div>")
  }

  /// A table with a picture beside it, or below it where there is no room.
  public mutating func add(_ table: Table, beside figure: Figure?) {
    guard let figure else { return add(table) }
    elements.append("<div class=\"beside\">\n\(table.markup)\n\(figure.markup)\n</div>")
  }

  /// Elements that are hidden until a reader opens them.
  public mutating func add(folded summary: String, _ fill: (inout Page) -> Void) {
    var inner = Page(title: "")
    fill(&inner)
    guard !inner.elements.isEmpty else { return }
    elements.append(
      "<details>\n<summary>\(legible(summary))</summary>\n\(inner.elements.joined(separator: "\n"))\n</details>")
  }

  /// The whole file.
  public var text: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8"/>
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
    <meta name="viewport" content="width=device-width, initial-scale=1"/>
    <meta name="color-scheme" content="light dark"/>
    <title>\(escaped(shortened(title)))</title>
    <style>
    \(pageStyle)
    </style>
    </head>
    <body>
    <main>
    <h1>\(legible(title))</h1>
    \(elements.joined(separator: "\n"))
    </main>
    </body>
    </html>

    """
  }
}

extension Page.Table {
  fileprivate var markup: String {
    let hasHeadings = columns.contains { !$0.heading.isEmpty }
    var lines = [
      "<div class=\"scroll\" role=\"region\" aria-label=\"Table\" tabindex=\"0\">",
      "<table\(hasHeadings ? "" : " class=\"facts\"")>",
    ]
    if hasHeadings {
      let cells = columns.map { cell("th", scope: "col", $0.heading, $0.alignment) }
      lines.append("<thead><tr>\(cells.joined())</tr></thead>")
    }
    lines.append("<tbody>")
    for row in rows {
      let cells = columns.enumerated().map { index, column in
        let text = index < row.cells.count ? row.cells[index] : ""
        return index == 0
          ? cell("th", scope: "row", text, column.alignment, meaning: row.meaning)
          : cell("td", text, column.alignment)
      }
      lines.append("<tr\(row.isMarked ? " class=\"marked\"" : "")>\(cells.joined())</tr>")
    }
    return (lines + ["</tbody>", "</table>", "</div>"]).joined(separator: "\n")
  }

  private func cell(
    _ element: String, scope: String? = nil, _ text: String, _ alignment: Alignment, meaning: String = ""
  ) -> String {
    let kind = alignment == .right ? "number" : width(of: text, size: 1) > 22 ? "long" : nil
    let attributes = (scope.map { " scope=\"\($0)\"" } ?? "") + (kind.map { " class=\"\($0)\"" } ?? "")
    let below = meaning.isEmpty ? "" : "<small>\(sentences(meaning))</small>"
    return "<\(element)\(attributes)>\(legible(text))\(below)</\(element)>"
  }
}

extension Page.Figure {
  fileprivate var markup: String {
    let below = ([caption] + picture.notes).filter { !$0.isEmpty }.map(sentences).joined(separator: " ")
    // Two lines.
    let text = fitted(title, to: 600, size: 14)
    return """
      <figure>
      <h3\(text == title ? "" : " title=\"\(escaped(shortened(title)))\"")>\(legible(text))</h3>
      <div>
      \(picture.svg)
      <figcaption>\(below)</figcaption>
      </div>
      </figure>
      """
  }
}

/// A name, which may break after a slash and where it must.
private func legible(_ name: String) -> String { sentences(shortened(name)) }

/// Text that is not shortened unless it is longer than any that a person wrote.
private func sentences(_ text: String) -> String {
  escaped(shortened(text, to: 5000)).replacing("/", with: "/<wbr/>")
}
