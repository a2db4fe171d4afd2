// SPDX-License-Identifier: Apache-2.0

/// An SVG picture being drawn: shapes in the order in which they cover each other. Lengths are pixels, y grows downwards.
struct SVG {
  static let textSize = 11.0
  static let typefaces = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

  private var elements: [String] = []

  /// A shape with numbers and strings as attributes, perhaps text in it, and the text that shows when a pointer rests
  /// on it. Whatever the strings hold, they stay text.
  mutating func add(
    _ name: String, _ attributes: KeyValuePairs<String, SVGValue>, text: String? = nil, title: String? = nil
  ) {
    let list = attributes.map { " \($0.key)=\"\($0.value.text)\"" }.joined()
    let content = (title.map { "<title>\(escaped(shortened($0)))</title>" } ?? "") + (text.map(escaped) ?? "")
    elements.append(content.isEmpty ? "<\(name)\(list)/>" : "<\(name)\(list)>\(content)</\(name)>")
  }

  /// Another picture, drawn as part of a page, with its upper left corner at a place.
  mutating func add(_ other: SVG, x: Double, y: Double) {
    let place = "translate(\(Plots.number(x)) \(Plots.number(y)))"
    elements.append(
      "<g transform=\"\(place)\" font-family=\"\(Self.typefaces)\" font-size=\"\(Plots.number(Self.textSize))\""
        + " fill=\"\(Ink.text)\">")
    elements += other.elements
    elements.append("</g>")
  }

  /// The whole file, one element a line.
  func document(width: Double, height: Double, title: String) -> String {
    let size = "width=\"\(number(width))\" height=\"\(number(height))\""
    return
      ([
        "<svg xmlns=\"http://www.w3.org/2000/svg\" \(size) viewBox=\"0 0 \(number(width)) \(number(height))\""
          + " font-family=\"sans-serif\" font-size=\"12\" role=\"img\">",
        "<title>\(escaped(title))</title>",
        "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
      ] + elements + ["</svg>", ""]).joined(separator: "\n")
  }

  /// A part of an HTML page, which gives it the width it has.
  func inline(width: Double, height: Double, label: String) -> String {
    let fonts = "font-family=\"\(Self.typefaces)\" font-size=\"\(number(Self.textSize))\" fill=\"\(Ink.text)\""
    return
      ([
        "<svg viewBox=\"0 0 \(number(width)) \(number(height))\" \(fonts) role=\"img\""
          + " aria-label=\"\(escaped(shortened(label)))\">"
      ] + elements + ["</svg>"]).joined(separator: "\n")
  }
}

/// What an attribute holds.
enum SVGValue: ExpressibleByStringLiteral, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral {
  case number(Double)
  case string(String)

  init(stringLiteral value: String) { self = .string(value) }
  init(floatLiteral value: Double) { self = .number(value) }
  init(integerLiteral value: Int) { self = .number(Double(value)) }

  fileprivate var text: String {
    switch self {
    case .number(let value): Plots.number(value)
    case .string(let value): escaped(value)
    }
  }
}

/// Colours of what is no data.
enum Ink {
  static let text = "#1d2329"
  static let faint = "#57606a"
  static let axis = "#8c959f"
  static let grid = "#e6e9ed"
}
