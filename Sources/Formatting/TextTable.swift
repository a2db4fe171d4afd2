// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Rows of text in aligned columns.
public struct TextTable {
  public enum Alignment: Sendable { case left, right }

  private let alignments: [Alignment]
  private var rows: [[String]]

  /// A table with one column for each heading.
  public init(_ headings: [(String, Alignment)]) {
    alignments = headings.map(\.1)
    rows = [headings.map(\.0)]
  }

  public mutating func add(_ row: [String]) { rows.append(row.map(printable)) }

  /// The lines; names are shortened where standard output is a terminal that is too narrow for them.
  public var text: String { text(columns: terminalColumns) }

  /// - Parameter columns: what the lines should not be longer than; `nil`: as long as they get.
  func text(columns: Int?) -> String {
    var rows = rows
    var counts = rows.map { $0.map(characters) }
    var widths = alignments.indices.map { [counts] column in counts.map { $0[column] }.max() ?? 0 }
    let excess = widths.reduce(2 * (widths.count - 1), +) - (columns ?? .max)
    if excess > 0, let width = widths.first {
      widths[0] = min(width, max(Self.shortestName, width - excess))
      for index in rows.indices {
        rows[index][0] = shortened(rows[index][0], to: widths[0])
        counts[index][0] = min(counts[index][0], widths[0])
      }
    }
    var text = ""
    for (row, counts) in zip(rows, counts) {
      // Spaces that nothing comes after are not written.
      var spaces = 0
      for (column, cell) in row.enumerated() {
        if column > 0 { spaces += 2 }
        let space = widths[column] - counts[column]
        if alignments[column] == .right { spaces += space }
        if !cell.isEmpty {
          text += String(repeating: " ", count: spaces)
          text += cell
          spaces = 0
        }
        if alignments[column] == .left { spaces += space }
      }
      text += "\n"
    }
    return text
  }
}

extension TextTable {
  /// As few characters as still tell names apart.
  private static var shortestName: Int { 12 }
}

/// How many characters a text has.
private func characters(_ text: String) -> Int { text.isPrintableASCII ? text.utf8.count : text.count }

/// The text in at most `count` characters: its middle left out where it is longer.
func shortened(_ text: String, to count: Int) -> String {
  guard text.count > count, count > 1 else { return text }
  let front = (count - 1) / 2
  return "\(text.prefix(front))…\(text.suffix(count - 1 - front))"
}

/// Columns of the terminal that standard output is; `nil` where it is none, or does not say.
private let terminalColumns: Int? = {
  var size = winsize()
  guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
  return Int(size.ws_col)
}()

extension String {
  /// The text without the line feed at its end.
  public var droppingLastNewline: String { hasSuffix("\n") ? String(dropLast()) : self }
}

extension Array {
  /// Those for which the condition holds, and the others.
  public func split(by condition: (Element) -> Bool) -> (matching: [Element], others: [Element]) {
    (filter(condition), filter { !condition($0) })
  }
}
