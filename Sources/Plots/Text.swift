// SPDX-License-Identifier: Apache-2.0

internal import Formatting

/// At most two decimals: a hundredth of a pixel.
func number(_ value: Double) -> String { trimmed(spelled(value, .fixed, decimals: 2)) }

/// A number to be read: three significant digits, a true minus, powers of ten from a million on and below 10⁻⁴.
func readable(_ value: Double) -> String {
  guard value.isFinite else { return "not finite" }
  let parts = spelled(value, .scientific, decimals: 2).split(separator: "e")
  guard value != 0, parts.count == 2, let exponent = Int(parts[1]) else { return "0" }
  return switch exponent {
  case -4..<6: readable(value, decimals: max(0, 2 - exponent), isTrimmed: true)
  default: trimmed(String(parts[0])).replacing("-", with: "\u{2212}") + "×" + powerOfTen(exponent)
  }
}

/// A number to be read, with groups of three digits from 10 000 on.
func readable(_ value: Double, decimals: Int, isTrimmed: Bool = false) -> String {
  let text = spelled(abs(value), .fixed, decimals: decimals)
  let digits = (isTrimmed ? trimmed(text) : text).split(separator: ".", omittingEmptySubsequences: false)
  var whole = String(digits[0])
  if whole.count > 4 {
    var position = whole.endIndex
    while let next = whole.index(position, offsetBy: -3, limitedBy: whole.startIndex), next > whole.startIndex {
      whole.insert("\u{A0}", at: next)
      position = next
    }
  }
  let result = ([whole] + digits.dropFirst().map(String.init)).joined(separator: ".")
  return value < 0 && result.contains(where: { ("1"..."9").contains($0) }) ? "\u{2212}" + result : result
}

func powerOfTen(_ exponent: Int) -> String {
  let digits = Array("⁰¹²³⁴⁵⁶⁷⁸⁹")
  let raised = String(abs(exponent)).compactMap { $0.wholeNumberValue.map { digits[$0] } }
  return "10" + (exponent < 0 ? "⁻" : "") + String(raised)
}

/// Text that XML takes for text. What XML forbids, what would turn the direction of the text around it and what nobody sees
/// become U+FFFD; of marks piled on one letter the first four stay.
func escaped(_ text: String) -> String {
  var result = ""
  var marks = 0
  for scalar in text.unicodeScalars {
    marks = scalar.isMark ? marks + 1 : 0
    guard marks <= 4 else { continue }
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    case "\u{0}"..<"\u{20}", "\u{7F}"..."\u{9F}", "\u{2028}"..."\u{202E}", "\u{2066}"..."\u{2069}", "\u{FFFE}",
      "\u{FFFF}":
      result += "\u{FFFD}"
    case _ where scalar.properties.generalCategory == .format: result += "\u{FFFD}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

extension Unicode.Scalar {
  fileprivate var isMark: Bool {
    value >= 0x300 && (properties.generalCategory == .nonspacingMark || properties.generalCategory == .enclosingMark)
  }

  /// Its advance in ems in a wide sans-serif typeface, rather more than less.
  fileprivate var advance: Double {
    switch self {
    case "i", "j", "l", "I", "'", "|", ".", ",", ":", ";", " ", "\u{A0}", "·", "!", "(", ")", "[", "]", "/", "\\": 0.39
    case "f", "t", "r", "-", "\"": 0.42
    case "m", "w", "M", "W", "@", "%", "—", "…": 1
    case "0"..."9", "a"..."z", "_": 0.64
    case "⁰"..."⁹", "¹", "²", "³", "⁻": 0.46
    case "A"..."Z", "+", "=", "<", ">", "~", "#", "×", "\u{2212}": 0.84
    case "\u{0}"..."\u{24F}": 0.84
    case "\u{FDFD}": 12
    case "\u{FB50}"..."\u{FDFF}", "\u{12000}"..."\u{1254F}": 3
    default: isMark ? 0 : value < 0x1100 ? 0.9 : 1.4
    }
  }
}

/// How wide a line is at most, estimated: a picture is drawn before anyone knows the reader's typeface.
func width(of text: String, size: Double = SVG.textSize) -> Double {
  text.unicodeScalars.reduce(0) { $0 + $1.advance } * size
}

/// The same, or its beginning, an ellipsis and its end, so that it fits: names of layers differ at the end.
func fitted(_ text: String, to width: Double, size: Double = SVG.textSize) -> String {
  guard Plots.width(of: text, size: size) > width else { return text }
  let room = width / size - 1
  var (head, tail) = (text[...].prefix(0), text[...].suffix(0))
  var (used, isHead) = (0.0, true)
  var rest = text.prefix(4000)
  if rest.endIndex < text.endIndex { rest = text.prefix(2000) + text.suffix(2000) }
  while let character = isHead ? rest.popFirst() : rest.popLast() {
    used += character.unicodeScalars.reduce(0) { $0 + $1.advance }
    if used > room { break }
    if isHead { head.append(character) } else { tail.insert(character, at: tail.startIndex) }
    isHead.toggle()
  }
  return head + "…" + tail
}

/// The same, or its two ends: nobody reads more of one name.
func shortened(_ text: String, to count: Int = 500) -> String {
  text.unicodeScalars.count <= count ? text : text.prefix(count / 2) + "…" + text.suffix(count / 2)
}

/// `1 kB`, `62.9 kB`: as `text(bytes:)`, without zeros at the end.
func readable(bytes: Int) -> String {
  let words = text(bytes: bytes).split(separator: " ")
  return "\(trimmed(String(words[0]))) \(words.dropFirst().joined())"
}
