/// Rows of text in aligned columns.
public struct Table {
  public enum Alignment: Sendable { case left, right }

  private let alignments: [Alignment]
  private var rows: [[String]]

  /// A table with one column for each heading.
  public init(_ headings: [(String, Alignment)]) {
    alignments = headings.map(\.1)
    rows = [headings.map(\.0)]
  }

  public mutating func add(_ row: [String]) { rows.append(row.map(printable)) }

  public var text: String {
    let widths = alignments.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let cells = zip(zip(row, widths), alignments).map { cell, alignment in
        let space = String(repeating: " ", count: cell.1 - cell.0.count)
        return alignment == .left ? cell.0 + space : space + cell.0
      }
      var line = cells.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }
}

/// Names from files without the control characters that would drive a terminal.
public func printable(_ text: String) -> String {
  String(
    text.unicodeScalars.map { scalar -> String in
      scalar.properties.generalCategory == .control
        ? "\\x" + String(scalar.value, radix: 16, uppercase: true)
        : String(scalar)
    }.joined())
}

extension String {
  var droppingLastNewline: String { hasSuffix("\n") ? String(dropLast()) : self }
}
