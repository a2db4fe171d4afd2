internal import Glibc

/// An SVG picture being drawn: shapes in the order in which they cover each other. Lengths are pixels, y grows downwards.
struct SVG {
  private var elements: [String] = []

  /// A shape with numbers and strings as attributes, and perhaps text in it. Whatever the strings hold, they stay
  /// text.
  mutating func add(_ name: String, _ attributes: KeyValuePairs<String, SVGValue>, text: String? = nil) {
    let list = attributes.map { " \($0.key)=\"\($0.value.text)\"" }.joined()
    elements.append(text.map { "<\(name)\(list)>\(escaped($0))</\(name)>" } ?? "<\(name)\(list)/>")
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

/// At most two decimals: a hundredth of a pixel.
func number(_ value: Double) -> String {
  var text = [CChar](repeating: 0, count: 40)
  _ = withVaList([value]) { vsnprintf(&text, text.count, "%.2f", $0) }
  var digits = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  while digits.hasSuffix("0") { digits.removeLast() }
  if digits.hasSuffix(".") { digits.removeLast() }
  return digits == "-0" ? "0" : digits
}

/// Text that XML takes for text; control characters, which it forbids, become U+FFFD.
func escaped(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    case "\u{0}"..<"\u{20}", "\u{7F}"..."\u{9F}", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}
