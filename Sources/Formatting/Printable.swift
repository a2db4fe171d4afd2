// SPDX-License-Identifier: Apache-2.0

/// Text as a terminal shows it without being driven by it: control characters are spelled `\xHH`; what has no width,
/// turns the direction of writing, ends a line or has no meaning `\u{HHHH}`.
public func printable(_ text: String) -> String {
  if text.isPrintableASCII || text.unicodeScalars.allSatisfy(\.isPrintable) { return text }
  return text.unicodeScalars.map { scalar -> String in
    guard !scalar.isPrintable else { return String(scalar) }
    let digits = String(scalar.value, radix: 16, uppercase: true)
    return scalar.properties.generalCategory == .control ? "\\x\(digits)" : "\\u{\(digits)}"
  }.joined()
}

/// The text of a JSON value with characters that are not printable escaped, so that it is the same value.
public func printable(json: [UInt8]) -> String {
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

/// The last component of a path, for titles.
public func fileName(_ path: String) -> String {
  String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
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
  /// Whether all its characters are printable ones of ASCII.
  var isPrintableASCII: Bool { utf8.allSatisfy { (0x20..<0x7F).contains($0) } }
}
