/// A report as one HTML file that needs nothing else: no scripts, no requests. Whatever the texts hold, they stay text.
public struct Page: Sendable {
  public enum Verdict: String, Sendable { case good, bad, neutral }

  public struct Table: Sendable {
    public enum Alignment: Sendable { case left, right }

    private let columns: [(heading: String, alignment: Alignment)]
    private var rows: [(cells: [String], isMarked: Bool)] = []

    /// A table with one column for each heading, text at the left, numbers at the right. If no heading has a text,
    /// there are none, and the first column names the rows.
    public init(_ columns: [(heading: String, alignment: Alignment)]) { self.columns = columns }

    /// - Parameter isMarked: whether the row is set off, for example because it exceeds a tolerance.
    public mutating func add(_ row: [String], isMarked: Bool = false) { rows.append((row, isMarked)) }
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

  /// The whole file.
  public var text: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8"/>
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
    <meta name="viewport" content="width=device-width, initial-scale=1"/>
    <meta name="color-scheme" content="light"/>
    <title>\(escaped(shortened(title)))</title>
    <style>
    \(style)
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
          ? cell("th", scope: "row", text, column.alignment) : cell("td", text, column.alignment)
      }
      lines.append("<tr\(row.isMarked ? " class=\"marked\"" : "")>\(cells.joined())</tr>")
    }
    return (lines + ["</tbody>", "</table>", "</div>"]).joined(separator: "\n")
  }

  private func cell(_ element: String, scope: String? = nil, _ text: String, _ alignment: Alignment) -> String {
    let kind = alignment == .right ? "number" : width(of: text, size: 1) > 22 ? "long" : nil
    let attributes = (scope.map { " scope=\"\($0)\"" } ?? "") + (kind.map { " class=\"\($0)\"" } ?? "")
    return "<\(element)\(attributes)>\(legible(text))</\(element)>"
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

private let style = """
  * { box-sizing: border-box; }
  html { -webkit-text-size-adjust: 100%; }
  body { margin: 0; background: #ffffff; color: \(Ink.text); line-height: 1.5;
    font: 15px/1.5 \(SVG.typefaces); overflow-wrap: anywhere; }
  main { max-width: 1200px; margin: 0 auto; padding: 32px 40px 56px; }
  h1 { font-size: 25px; line-height: 1.25; font-weight: 650; margin: 0 0 18px; letter-spacing: -0.01em; }
  h2 { font-size: 18px; line-height: 1.3; font-weight: 650; margin: 40px 0 12px; padding-top: 14px;
    border-top: 1px solid #d0d7de; }
  h3 { font-size: 14px; line-height: 1.35; font-weight: 600; margin: 0; }
  p { margin: 0 0 12px; max-width: 46em; }
  .verdict { display: flex; gap: 12px; align-items: flex-start; margin: 0 0 20px; padding: 14px 18px;
    border: 1px solid; border-left-width: 6px; border-radius: 4px; font-size: 17px; line-height: 1.4; }
  .verdict strong { font-weight: 600; color: \(Ink.text); min-width: 0; }
  .verdict svg { flex: none; width: 22px; height: 22px; margin-top: 1px; }
  .good { color: #17693a; background: #eaf6ee; }
  .bad { color: #b3211d; background: #fdeeec; }
  .neutral { color: #57606a; background: #f3f5f7; }
  .scroll { overflow-x: auto; margin: 0 0 20px; }
  table { border-collapse: collapse; font-size: 14px; line-height: 1.4; }
  th, td { padding: 6px 14px; text-align: left; vertical-align: top; white-space: nowrap;
    border-bottom: 1px solid #e3e6ea; }
  th:first-child, td:first-child { padding-left: 6px; }
  thead th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid \(Ink.axis); }
  tbody th { font-weight: 400; }
  .facts th { color: \(Ink.faint); }
  .long { min-width: 16em; max-width: 34em; white-space: normal; overflow-wrap: anywhere; }
  .number { text-align: right; font-variant-numeric: tabular-nums; }
  .marked { background: #fdeeec; }
  .marked th, .marked td { font-weight: 600; }
  .figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); gap: 10px 36px;
    margin: 0 0 20px; }
  figure { display: grid; grid-template-rows: subgrid; grid-row: span 2; margin: 0 0 22px; min-width: 0; }
  figure h3 { align-self: end; }
  figure svg { display: block; width: 100%; max-width: 420px; height: auto; }
  figcaption { margin-top: 8px; font-size: 13px; line-height: 1.45; color: \(Ink.faint); max-width: 420px; }
  @media (max-width: 600px) { main { padding: 18px 16px 40px; } h1 { font-size: 21px; } }
  @page { margin: 14mm; }
  @media print {
    main { padding: 0; max-width: none; }
    body { font-size: 11pt; }
    .scroll { overflow: visible; }
    figure, .verdict, tr { break-inside: avoid; }
    h2, h3 { break-after: avoid; }
    * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  }
  """
