// SPDX-License-Identifier: Apache-2.0

/// Why a text is not the JSON that was asked for.
public struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Reason: Sendable, Hashable {
    /// Not JSON as RFC 8259 defines it, or a key occurs twice in one object.
    case malformed
    /// JSON, but not in the canonical form.
    case notCanonical
    /// More bytes, depth or values than allowed.
    case overLimit
  }

  public let reason: Reason
  /// The byte at which the trouble was noticed, 0 for the first.
  public let offset: Int
  /// One sentence without full stop.
  public let what: String

  public init(reason: Reason, offset: Int, what: String) {
    self.reason = reason
    self.offset = offset
    self.what = what
  }

  public var description: String { "byte \(offset): \(what)" }
}

extension JSONValue {
  /// What `parse` accepts at most.
  public struct Limits: Sendable, Hashable {
    /// The greatest depth that may be asked for: a value of this depth can still be parsed, compared and released on
    /// the small stack of a secondary thread.
    public static let maxDepth = 512

    /// Bytes of the text.
    public var bytes: Int
    /// Arrays and objects inside each other; `maxDepth` where more is asked for.
    public var depth: Int
    /// Values of every kind, arrays and objects themselves included.
    public var values: Int

    public init(bytes: Int = 64 << 20, depth: Int = 128, values: Int = 1 << 20) {
      self.bytes = bytes
      self.depth = depth
      self.values = values
    }
  }

  /// Parses one JSON text, strictly as RFC 8259 has it: UTF-8 without a byte order mark, nothing after the value but
  /// white space, no control characters in strings, surrogates only in pairs. An object with two equal keys is refused.
  ///
  /// - Parameter nonFinite: also take `NaN`, `Infinity` and `-Infinity`, which Python writes.
  /// - Throws: `JSONError`, malformed or over a limit.
  public static func parse(
    _ bytes: [UInt8], limits: Limits = Limits(), nonFinite: Bool = false
  ) throws(JSONError) -> JSONValue {
    try Parser.parse(bytes, limits, nonFinite ? .nonFinite : .strict)
  }

  /// Parses a JSON text that must be in the canonical form, the only spelling `canonical().serialized()` has for it:
  /// no white space; keys in strictly ascending order of their UTF-8 bytes; in strings `"` and `\` escaped by a
  /// backslash, control characters below 20₁₆ as `\u00xx` with lower-case digits, nothing else escaped; numbers as
  /// `integer(_:)` or `real(_:)` spell them.
  ///
  /// - Throws: `JSONError`, malformed, not canonical or over a limit.
  public static func parseCanonical(_ bytes: [UInt8], limits: Limits = Limits()) throws(JSONError) -> JSONValue {
    try Parser.parse(bytes, limits, .canonical)
  }
}

/// A recursive descent through the bytes of one text; `Limits` bounds the recursion.
private struct Parser {
  enum Dialect { case strict, nonFinite, canonical }

  let bytes: [UInt8]
  let limits: JSONValue.Limits
  let dialect: Dialect
  var at = 0
  var values = 0

  static func parse(_ bytes: [UInt8], _ limits: JSONValue.Limits, _ dialect: Dialect) throws(JSONError) -> JSONValue {
    var parser = Parser(bytes: bytes, limits: limits, dialect: dialect)
    if bytes.count > limits.bytes {
      throw parser.overLimit("\(bytes.count) bytes, more than the limit of \(limits.bytes)")
    }
    try parser.skipWhiteSpace()
    let value = try parser.value(depthLeft: min(limits.depth, JSONValue.Limits.maxDepth))
    try parser.skipWhiteSpace()
    if parser.at < bytes.count { throw parser.malformed("text goes on after the value") }
    return value
  }

  // MARK: Errors

  func malformed(_ what: String, at offset: Int? = nil) -> JSONError {
    JSONError(reason: .malformed, offset: offset ?? at, what: what)
  }

  func notCanonical(_ what: String, at offset: Int) -> JSONError {
    JSONError(reason: .notCanonical, offset: offset, what: what)
  }

  func overLimit(_ what: String) -> JSONError {
    JSONError(reason: .overLimit, offset: at, what: what)
  }

  func unexpected(_ expected: String) -> JSONError {
    malformed(at < bytes.count ? "expected \(expected)" : "the text ends where \(expected) should be")
  }

  // MARK: Bytes

  /// The byte at the cursor; 0, which no rule expects, at the end.
  var next: UInt8 { at < bytes.count ? bytes[at] : 0 }

  mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    at += 1
    return true
  }

  mutating func skipWhiteSpace() throws(JSONError) {
    let start = at
    while true {
      switch next {
      case 0x20, 0x09, 0x0A, 0x0D: at += 1
      default:
        if dialect == .canonical, at > start { throw notCanonical("white space", at: start) }
        return
      }
    }
  }

  mutating func takeWord(_ word: StaticString) -> Bool {
    let count = word.utf8CodeUnitCount
    guard bytes.count - at >= count else { return false }
    for i in 0..<count where bytes[at + i] != word.utf8Start[i] { return false }
    at += count
    return true
  }

  // MARK: Values

  mutating func value(depthLeft: Int) throws(JSONError) -> JSONValue {
    values += 1
    if values > limits.values { throw overLimit("more values than the limit of \(limits.values)") }
    switch next {
    case UInt8(ascii: "{"): return try object(depthLeft: depthLeft)
    case UInt8(ascii: "["): return try array(depthLeft: depthLeft)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t") where takeWord("true"): return .bool(true)
    case UInt8(ascii: "f") where takeWord("false"): return .bool(false)
    case UInt8(ascii: "n") where takeWord("null"): return .null
    case UInt8(ascii: "N") where dialect == .nonFinite && takeWord("NaN"): return .number("NaN")
    case UInt8(ascii: "I") where dialect == .nonFinite && takeWord("Infinity"): return .number("Infinity")
    case UInt8(ascii: "-") where dialect == .nonFinite && takeWord("-Infinity"): return .number("-Infinity")
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
    default: throw unexpected("a value")
    }
  }

  mutating func enter(depthLeft: Int) throws(JSONError) {
    if depthLeft <= 0 {
      throw overLimit("arrays and objects deeper than the limit of \(min(limits.depth, JSONValue.Limits.maxDepth))")
    }
    at += 1
    try skipWhiteSpace()
  }

  mutating func array(depthLeft: Int) throws(JSONError) -> JSONValue {
    try enter(depthLeft: depthLeft)
    var elements: [JSONValue] = []
    if take(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      elements.append(try value(depthLeft: depthLeft - 1))
      try skipWhiteSpace()
      if take(UInt8(ascii: "]")) { return .array(elements) }
      guard take(UInt8(ascii: ",")) else { throw unexpected("',' or ']'") }
      try skipWhiteSpace()
    }
  }

  mutating func object(depthLeft: Int) throws(JSONError) -> JSONValue {
    try enter(depthLeft: depthLeft)
    var members: [JSONValue.Member] = []
    var seen = Keys()
    if take(UInt8(ascii: "}")) { return .object(members) }
    while true {
      let start = at
      guard next == UInt8(ascii: "\"") else { throw unexpected("a key") }
      let key = try string()
      if dialect == .canonical, let last = members.last, !last.key.utf8.lexicographicallyPrecedes(key.utf8) {
        throw notCanonical("the key is not in order", at: start)
      }
      // Keys in strict order differ.
      if dialect != .canonical, !seen.insert(key, after: members) {
        throw malformed("the key occurs twice in its object", at: start)
      }
      try skipWhiteSpace()
      guard take(UInt8(ascii: ":")) else { throw unexpected("':'") }
      try skipWhiteSpace()
      members.append(JSONValue.Member(key, try value(depthLeft: depthLeft - 1)))
      try skipWhiteSpace()
      if take(UInt8(ascii: "}")) { return .object(members) }
      guard take(UInt8(ascii: ",")) else { throw unexpected("',' or '}'") }
      try skipWhiteSpace()
    }
  }

  // MARK: Numbers

  mutating func digits() throws(JSONError) {
    let start = at
    while case UInt8(ascii: "0")...UInt8(ascii: "9") = next { at += 1 }
    if at == start { throw unexpected("a digit") }
  }

  mutating func number() throws(JSONError) -> String {
    let start = at
    _ = take(UInt8(ascii: "-"))
    if !take(UInt8(ascii: "0")) { try digits() }
    if take(UInt8(ascii: ".")) { try digits() }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    let spelling = String(decoding: bytes[start..<at], as: UTF8.self)
    if dialect == .canonical, JSONValue.canonicalNumber(spelling) != spelling {
      throw notCanonical("the number is not spelled canonically", at: start)
    }
    return spelling
  }

  // MARK: Strings

  mutating func string() throws(JSONError) -> String {
    let open = at
    at += 1
    // What stands before `start`, escapes replaced. Most strings have none and are taken as they stand.
    var decoded: [UInt8] = []
    var start = at
    var isASCII = true
    while at < bytes.count {
      let byte = bytes[at]
      switch byte {
      case UInt8(ascii: "\""):
        let tail = bytes[start..<at]
        at += 1
        // Validating is slow, and only what is not ASCII can be wrong.
        if isASCII { return String(decoding: decoded.isEmpty ? tail : decoded + tail, as: UTF8.self) }
        guard let text = String(validating: decoded + tail, as: UTF8.self) else {
          throw malformed("the string is not UTF-8", at: open)
        }
        return text
      case UInt8(ascii: "\\"):
        decoded += bytes[start..<at]
        try escape(into: &decoded)
        start = at
      case 0..<0x20: throw malformed("a control character in a string")
      default:
        if byte >= 0x80 { isASCII = false }
        at += 1
      }
    }
    throw malformed("the text ends inside a string", at: open)
  }

  mutating func escape(into decoded: inout [UInt8]) throws(JSONError) {
    let start = at
    at += 1
    let letter = next
    at += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"):
      decoded.append(letter)
      return
    case UInt8(ascii: "/"): decoded.append(letter)
    case UInt8(ascii: "b"): decoded.append(0x08)
    case UInt8(ascii: "f"): decoded.append(0x0C)
    case UInt8(ascii: "n"): decoded.append(0x0A)
    case UInt8(ascii: "r"): decoded.append(0x0D)
    case UInt8(ascii: "t"): decoded.append(0x09)
    case UInt8(ascii: "u"):
      let scalar = try escapedScalar(from: start)
      decoded.append(contentsOf: UTF8.encode(scalar)!)
      let isLowerCase = bytes[start..<at].allSatisfy { !(UInt8(ascii: "A")...UInt8(ascii: "F") ~= $0) }
      if scalar.value < 0x20, isLowerCase { return }
    default: throw malformed("no such escape", at: start)
    }
    if dialect == .canonical { throw notCanonical("the character is not escaped canonically", at: start) }
  }

  /// The scalar of `\uXXXX` or of a pair of surrogates, the cursor being after the first `u`.
  mutating func escapedScalar(from start: Int) throws(JSONError) -> Unicode.Scalar {
    let first = try fourHexDigits()
    if let scalar = Unicode.Scalar(first) { return scalar }
    if first < 0xDC00, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
      let second = try fourHexDigits()
      if 0xDC00...0xDFFF ~= second,
        let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
      {
        return scalar
      }
    }
    throw malformed("half of a surrogate pair", at: start)
  }

  mutating func fourHexDigits() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      let digit: UInt8
      switch next {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = next - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = next - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = next - UInt8(ascii: "A") + 10
      default: throw unexpected("a hexadecimal digit")
      }
      value = value << 4 | UInt32(digit)
      at += 1
    }
    return value
  }
}

/// The keys of one object so far, compared as bytes.
private struct Keys {
  /// A string that is equal only to itself byte for byte.
  struct Exact: Hashable {
    let key: String
    static func == (a: Exact, b: Exact) -> Bool { a.key.isSpelled(b.key) }
    func hash(into hasher: inout Hasher) {
      var key = key
      key.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
  }

  /// Filled only once an object has many members; a few are compared one by one.
  var many: Set<Exact> = []

  /// Whether `key` differs from the keys of all `members`, which this has been asked about one by one before.
  mutating func insert(_ key: String, after members: [JSONValue.Member]) -> Bool {
    if members.count < 8 { return !members.contains { $0.key.isSpelled(key) } }
    if many.isEmpty { many = Set(members.map { Exact(key: $0.key) }) }
    return many.insert(Exact(key: key)).inserted
  }
}
