internal import Glibc

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

extension Table {
  /// As few characters as still tell names apart.
  private static var shortestName: Int { 12 }
}

/// How many characters a text has.
private func characters(_ text: String) -> Int { text.isPlain ? text.utf8.count : text.count }

extension String {
  /// Whether all its characters are printable ones of ASCII.
  fileprivate var isPlain: Bool { utf8.allSatisfy { (0x20..<0x7F).contains($0) } }
}

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

/// Text as a terminal shows it without being driven by it: control characters are spelled `\xHH`; what has no width,
/// turns the direction of writing, ends a line or has no meaning `\u{HHHH}`.
public func printable(_ text: String) -> String {
  if text.isPlain || text.unicodeScalars.allSatisfy(\.isPrintable) { return text }
  return text.unicodeScalars.map { scalar -> String in
    guard !scalar.isPrintable else { return String(scalar) }
    let digits = String(scalar.value, radix: 16, uppercase: true)
    return scalar.properties.generalCategory == .control ? "\\x\(digits)" : "\\u{\(digits)}"
  }.joined()
}

/// The text of a JSON value with characters that are not printable escaped, so that it is the same value.
func printable(json: [UInt8]) -> String {
  let text = String(decoding: json, as: UTF8.self)
  if text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) { return text }
  // Outside of strings a JSON text has none of them.
  return text.unicodeScalars.map { scalar in
    scalar.isPrintable
      ? String(scalar)
      : String(scalar).utf16.map { unit in
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }.joined()
  }.joined()
}

extension Unicode.Scalar {
  fileprivate var isPrintable: Bool {
    // Looking properties up is slow; ASCII and × need none.
    if (0x20..<0x7F).contains(value) || self == "×" { return true }
    return switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: false
    // Variation selectors pick the shape of the character before; other invisible ones hide in a name.
    case .nonspacingMark: true
    default: !properties.isDefaultIgnorableCodePoint
    }
  }
}

extension String {
  var droppingLastNewline: String { hasSuffix("\n") ? String(dropLast()) : self }
}
