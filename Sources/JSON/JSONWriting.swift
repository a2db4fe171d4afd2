// SPDX-License-Identifier: Apache-2.0

internal import Formatting

extension JSONValue {
  /// An integer, spelled canonically: `-?(0|[1-9][0-9]*)`, never `-0`.
  public static func integer(_ value: Int) -> JSONValue { .number(String(value)) }

  /// The shortest spelling of a number; null for one that is not finite or not known.
  public static func real(orNull value: Double?) -> JSONValue {
    value.flatMap { $0.isFinite ? shortest($0) : nil } ?? .null
  }

  /// A finite number, spelled canonically: as C's `%.*e` writes it, `d.ddde±dd` with two or three exponent digits,
  /// whatever the locale, in the fewest digits that give it back. −0 is written as 0.
  ///
  /// - Precondition: `value` is finite.
  public static func real(_ value: Double) -> JSONValue {
    precondition(value.isFinite, "JSON has no spelling for \(value)")
    return .number(realSpelling(value))
  }

  /// A finite number in the fewest digits that give it back, for reports.
  ///
  /// - Precondition: `value` is finite.
  public static func shortest(_ value: Double) -> JSONValue {
    precondition(value.isFinite, "JSON has no spelling for \(value)")
    return .number("\(value + 0)")
  }

  /// The same value with members sorted by the UTF-8 bytes of their keys, and integers in the range of `Int` and other
  /// numbers in the range of `Double` spelled by `integer(_:)` and `real(_:)`.
  ///
  /// Law: `parseCanonical(x.canonical().serialized()) == x.canonical()`, for distinct keys and numbers in range.
  public func canonical() -> JSONValue {
    switch self {
    case .null, .bool, .string: self
    case .number(let spelling): .number(Self.canonicalNumber(spelling) ?? spelling)
    case .array(let elements): .array(elements.map { $0.canonical() })
    case .object(let members):
      .object(
        members.map { Member($0.key, $0.value.canonical()) }
          .sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) })
    }
  }

  /// The one canonical spelling of a number; `nil` when it is not finite in `Double`.
  static func canonicalNumber(_ spelling: String) -> String? {
    if isPlainInteger(spelling) { return spelling }
    if let integer = Int(spelling) { return String(integer) }
    guard let value = Double(spelling), value.isFinite else { return nil }
    return realSpelling(value)
  }

  /// Whether a number is spelled with at most 18 digits, the first of them no 0, and so canonically: most are.
  private static func isPlainInteger(_ spelling: String) -> Bool {
    let digits = spelling.utf8
    guard (1...18).contains(digits.count), digits.first != UInt8(ascii: "0") || digits.count == 1 else { return false }
    return digits.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
  }

  private static func realSpelling(_ value: Double) -> String {
    // Adding 0 turns −0 into 0. No shorter number than Swift's gives the value back; but where the nearest one of so
    // few digits does not, Swift takes another, and C needs a digit more.
    let value = value + 0
    let digits = "\(value.magnitude)".prefix { $0 != "e" }.filter(\.isWholeNumber).drop { $0 == "0" }
    var decimals = 0
    if let last = digits.lastIndex(where: { $0 != "0" }) { decimals = digits[...last].count - 1 }
    while decimals < 16 {
      let spelling = spelled(value, .scientific, decimals: decimals)
      if Double(spelling) == value { return spelling }
      decimals += 1
    }
    return spelled(value, .scientific, decimals: 16)
  }

  /// The value as text without white space, members in their order, numbers as they are spelled; in strings only `"`,
  /// `\` and control characters below 20₁₆ are escaped.
  public func serialized() -> [UInt8] {
    var bytes: [UInt8] = []
    write(to: &bytes)
    return bytes
  }

  private func write(to bytes: inout [UInt8]) {
    switch self {
    case .null: bytes += "null".utf8
    case .bool(let value): bytes += (value ? "true" : "false").utf8
    case .number(let spelling): bytes += spelling.utf8
    case .string(let text): Self.write(text, to: &bytes)
    case .array(let elements):
      bytes.append(UInt8(ascii: "["))
      for (i, element) in elements.enumerated() {
        if i > 0 { bytes.append(UInt8(ascii: ",")) }
        element.write(to: &bytes)
      }
      bytes.append(UInt8(ascii: "]"))
    case .object(let members):
      bytes.append(UInt8(ascii: "{"))
      for (i, member) in members.enumerated() {
        if i > 0 { bytes.append(UInt8(ascii: ",")) }
        Self.write(member.key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        member.value.write(to: &bytes)
      }
      bytes.append(UInt8(ascii: "}"))
    }
  }

  private static func write(_ text: String, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    // Most texts are written as they stand.
    guard text.utf8.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) else {
      bytes.append(contentsOf: text.utf8)
      bytes.append(UInt8(ascii: "\""))
      return
    }
    for unit in text.utf8 {
      switch unit {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), unit]
      case 0..<0x20:
        let hexadecimal = Array("0123456789abcdef".utf8)
        bytes += "\\u00".utf8
        bytes += [hexadecimal[Int(unit >> 4)], hexadecimal[Int(unit & 15)]]
      default: bytes.append(unit)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
