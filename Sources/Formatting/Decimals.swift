// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// How `spelled` writes a number.
public enum Notation: Sendable {
  /// `-12.50`
  case fixed
  /// `-1.25e+01`, with two or three exponent digits.
  case scientific
}

/// A number with `decimals` digits after its point, rounded as C does (`%.*f`, `%.*e`); with a point in every locale.
public func spelled(_ value: Double, _ notation: Notation, decimals: Int) -> String {
  // The longest: 309 digits of the largest number, and as many decimals as anyone asks for.
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 400) { text in
    let format = notation == .fixed ? "%.*f" : "%.*e"
    let written = withVaList([Int32(clamping: min(decimals, 60)), value]) {
      vsnprintf(text.baseAddress!, text.count, format, $0)
    }
    let digits = text.prefix(min(max(0, Int(written)), text.count - 1)).map { UInt8(bitPattern: $0) }
    guard value.isFinite, decimals > 0, !digits.contains(UInt8(ascii: ".")) else {
      return String(decoding: digits, as: UTF8.self)
    }
    // Between the whole part and its decimals stands whatever the locale uses.
    let kept = Array("0123456789-+e".utf8)
    let head = digits.prefix { kept.contains($0) }
    return String(
      decoding: head + [UInt8(ascii: ".")] + digits.dropFirst(head.count).drop { !kept.contains($0) }, as: UTF8.self)
  }
}

/// A number with `digits` significant digits (more where its whole part has more), without exponent from 10⁻⁴ to 10⁹.
public func significant(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite, value != 0 else { return value == 0 ? "0" : "\(value)" }
  let scientific = spelled(value, .scientific, decimals: digits - 1)
  guard let mark = scientific.lastIndex(of: "e"), let exponent = Int(scientific[scientific.index(after: mark)...])
  else { return scientific }
  guard (-4..<9).contains(exponent) else { return "\(scientific[..<mark])e\(exponent)" }
  return spelled(value, .fixed, decimals: max(0, digits - 1 - exponent))
}

/// A decimal number without zeros at its end: `1.50` becomes `1.5`, `-0.00` becomes `0`.
public func trimmed(_ decimal: String) -> String {
  guard decimal.contains(".") else { return decimal }
  var digits = decimal
  while digits.hasSuffix("0") { digits.removeLast() }
  if digits.hasSuffix(".") { digits.removeLast() }
  return digits == "-0" ? "0" : digits
}

/// `1.08 MB`: three significant digits, decimal units.
public func text(bytes: Int) -> String {
  if bytes < 1000 { return "\(bytes) B" }
  var value = Double(bytes)
  var unit = -1
  // 999.5 kB and more reads as 1.00 MB.
  while value >= 999.5, unit < 4 {
    value /= 1000
    unit += 1
  }
  return "\(significant(value, 3)) \(["kB", "MB", "GB", "TB", "PB"][unit])"
}

/// `1 tensor`, `2 tensors`
public func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
