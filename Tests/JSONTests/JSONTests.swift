// SPDX-License-Identifier: Apache-2.0

import Glibc
import JSON
import Random
import Testing

private func parsed(_ text: String, nonFinite: Bool = false) throws -> JSONValue {
  try JSONValue.parse(Array(text.utf8), nonFinite: nonFinite)
}

private func canonical(_ text: String) throws -> JSONValue { try JSONValue.parseCanonical(Array(text.utf8)) }

private func text(_ value: JSONValue) -> String { String(decoding: value.serialized(), as: UTF8.self) }

@Suite struct Parsing {
  @Test(arguments: [
    ("null", JSONValue.null), (" \t\r\n true ", .bool(true)), ("false", .bool(false)),
    ("0", .number("0")), ("-0", .number("-0")), ("-12.50e+03", .number("-12.50e+03")), ("1E9", .number("1E9")),
    ("0.1", .number("0.1")), ("123456789012345678901234567890", .number("123456789012345678901234567890")),
    (#""""#, .string("")), (#""a/\/b""#, .string("a//b")), (#""\"\\\b\f\n\r\t""#, .string("\"\\\u{8}\u{c}\n\r\t")),
    (#""\u00e9\u00E9é""#, .string("ééé")), (#""\ud83d\uDE00""#, .string("😀")), (#""\u0000x""#, .string("\0x")),
    (#""\uFFFF\uffff""#, .string("\u{ffff}\u{ffff}")), ("\"\u{7f}\u{2028}\"", .string("\u{7f}\u{2028}")),
    ("[]", .array([])), ("[ ]", .array([])),
    ("[1 , [2],3]", .array([.number("1"), .array([.number("2")]), .number("3")])),
    ("{}", .object([])), ("{ }", .object([])),
    (#"{"b" : 1, "a":{"b":2}}"#, .object([.init("b", .number("1")), .init("a", .object([.init("b", .number("2"))]))])),
    (#"{"":0}"#, .object([.init("", .number("0"))])),
  ])
  func accepts(_ text: String, _ value: JSONValue) throws {
    #expect(try parsed(text) == value)
  }

  @Test(arguments: [
    "", " ", "nul", "nulll", "True", "truefalse", "1 2", "{} []", "[1]]",
    "+1", "01", "-01", "-", "1.", ".5", "1.e3", "1e", "1e+", "0x10", "1_000", "NaN", "Infinity", "-Infinity", "--1",
    "1٢",
    "'a'", "\"", "\"a", "\"\\\"", #""\a""#, #""\u12""#, #""\u12g4""#, #""\ud800""#, #""\udc00""#, #""\ud800\ud800""#,
    #""\ud800\n""#, #""\ud800x""#, "\"\t\"", "\"\n\"", "\"\u{1f}\"", "\"\0\"",
    "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "{", "}", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
    "{\"a\":1,}", "{,}", "{a:1}", "{1:1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "{\"a\":1]", "// c\n1", "[1]\0",
    "\u{feff}1", "\u{a0}1",
    #"{"a":1,"a":1}"#, #"{"a":1,"b":2,"\u0061":3}"#, #"{"x":{"a":1,"a":2}}"#,
  ])
  func refuses(_ text: String) {
    let error = #expect(throws: JSONError.self) { try parsed(text) }
    #expect(error?.reason == .malformed)
    #expect((0...text.utf8.count).contains(error?.offset ?? -1))
  }

  @Test(
    arguments: [
      [0xFF], [0xC0, 0x80], [0xC1, 0xBF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82], [0x80],
      [0xF8, 0x88, 0x80, 0x80, 0x80],
    ] as [[UInt8]])
  func refusesWhatIsNotUTF8(_ bytes: [UInt8]) {
    for text in [[0x22] + bytes + [0x22], [0x22, 0x5C, 0x6E] + bytes + [0x22], bytes] {
      let error = #expect(throws: JSONError.self) { try JSONValue.parse(text) }
      #expect(error?.reason == .malformed)
    }
  }

  @Test func saysWhere() {
    #expect(throws: JSONError(reason: .malformed, offset: 9, what: "expected ',' or ']'")) {
      try parsed(#"{"a": [1 2]}"#)
    }
    #expect(throws: JSONError(reason: .malformed, offset: 4, what: "the text ends where a value should be")) {
      try parsed("[1, ")
    }
    #expect(throws: JSONError(reason: .malformed, offset: 7, what: "the key occurs twice in its object")) {
      try parsed(#"{"a":1,"a":2}"#)
    }
  }

  /// Python writes these; the canonical form and the strict one do not know them.
  @Test func takesNonFiniteNumbersOnRequest() throws {
    let values = try #require(parsed("[NaN,Infinity,-Infinity,-1]", nonFinite: true).array)
    #expect(values.map(\.double)[1...] == [.infinity, -.infinity, -1])
    #expect(values[0].double?.isNaN == true)
    for bad in ["nan", "Inf", "-NaN", "+Infinity", "Infinit", "-I"] {
      #expect(throws: JSONError.self) { try parsed(bad, nonFinite: true) }
    }
  }

  @Test func comparesKeysAsBytes() throws {
    // The same letter to Swift's ==, two keys to JSON.
    let value = try parsed(#"{"\u00e9":1,"e\u0301":2}"#)
    #expect(value["\u{e9}"]?.integer == 1)
    #expect(value["e\u{301}"]?.integer == 2)
  }

  @Test func findsAnyDuplicateKey() throws {
    for count in [1, 2, 7, 8, 9, 10, 40] {
      let keys = (0..<count).map { #""k\#($0)":0"# }
      _ = try parsed("{\(keys.joined(separator: ","))}")
      for again in 0..<count {
        #expect(throws: JSONError.self) { try parsed("{\((keys + [keys[again]]).joined(separator: ","))}") }
      }
    }
  }

  @Test func keepsToLimits() throws {
    func reason(_ text: String, _ limits: JSONValue.Limits) -> JSONError.Reason? {
      do {
        _ = try JSONValue.parse(Array(text.utf8), limits: limits)
        return nil
      } catch { return error.reason }
    }
    #expect(reason("[0]", .init(bytes: 3)) == nil)
    #expect(reason("[0] ", .init(bytes: 3)) == .overLimit)
    #expect(reason("[[{}]]", .init(depth: 3)) == nil)
    #expect(reason("[[{\"a\":[]}]]", .init(depth: 3)) == .overLimit)
    #expect(reason("0", .init(depth: 0)) == nil)
    #expect(reason("[1,{\"a\":2}]", .init(values: 4)) == nil)
    #expect(reason("[1,{\"a\":2},3]", .init(values: 4)) == .overLimit)
    // However deep the caller allows, the stack is safe.
    let deep = String(repeating: "[", count: 1 << 20)
    #expect(reason(deep, .init(depth: .max)) == .overLimit)
    let deepest = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
    #expect(reason(deepest, .init(depth: .max)) == nil)
  }
}

@Suite struct Access {
  @Test func looksInside() throws {
    let value = try parsed(
      #"{"n":null,"b":true,"i":-7,"r":2.5,"s":"x","a":[1,2],"big":1e400,"long":9223372036854775808}"#)
    #expect(value["b"]?.bool == true)
    #expect(value["i"]?.integer == -7)
    #expect(value["i"]?.double == -7)
    #expect(value["r"]?.double == 2.5)
    #expect(value["r"]?.integer == nil)
    #expect(value["s"]?.string == "x")
    #expect(value["a"]?.array?.count == 2)
    #expect(value["big"]?.double == nil)
    #expect(value["long"]?.integer == nil)
    #expect(value["long"]?.double == 0x1p63)
    #expect(value["none"] == nil)
    #expect(value["a"]?["x"] == nil)
    #expect(value.members?.count == 8)
    #expect(value["s"]?.double == nil)
  }
}

@Suite struct CanonicalForm {
  @Test(
    arguments: [
      (0.0, "0e+00"), (-0.0, "0e+00"), (1, "1e+00"), (-2.5, "-2.5e+00"), (1e-3, "1e-03"), (-0.1, "-1e-01"),
      (0.4375, "4.375e-01"), (123456789.5, "1.234567895e+08"), (9.9999999996, "9.9999999996e+00"),
      (0.1 + 0.2, "3.0000000000000004e-01"), (1e23, "1e+23"), (1e100, "1e+100"), (1e-99, "1e-99"),
      // An integer of Double, not the number that is written here.
      (9007199254740993, "9.007199254740992e+15"), (0x1p63, "9.223372036854776e+18"),
      (.greatestFiniteMagnitude, "1.7976931348623157e+308"), (.leastNormalMagnitude, "2.2250738585072014e-308"),
      (0x1.0p-1074, "5e-324"), (3 * 0x1.0p-1074, "1.5e-323"),
      // 5.684341886080802e-14 is read back as the same number, but not what C writes with so many digits.
      (0x1p-44, "5.6843418860808015e-14"),
    ] as [(Double, String)])
  func spellsReals(_ value: Double, _ spelling: String) throws {
    #expect(JSONValue.real(value) == .number(spelling))
    #expect(try canonical(spelling) == .number(spelling))
  }

  /// What C's `%.*e` writes with the smallest precision with which C reads the same number.
  private func spelledByC(_ value: Double) -> String {
    for precision in 0...16 {
      let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 40) { text in
        _ = withVaList([Int32(precision), value]) { vsnprintf(text.baseAddress!, text.count, "%.*e", $0) }
        return String(cString: text.baseAddress!)
      }
      if strtod(text, nil) == value { return text }
    }
    return "none"
  }

  /// Every power of two, where the next number below is nearer than the one above, and its neighbours.
  @Test func powersOfTwoAreSpelledAsByC() {
    for exponent in -1074...1023 {
      let power = Double(sign: .plus, exponent: exponent, significand: 1)
      for value in [power, -power, power.nextUp, power.nextDown] where value != 0 {
        #expect(JSONValue.real(value) == .number(spelledByC(value)))
      }
    }
  }

  /// Doubles of any bits, subnormal ones, floats, and such with few digits.
  @Test func everyRealIsSpelledAsByC() {
    var random = SplitMix64(seed: 1)
    for _ in 0..<3000 {
      let bits = random.next()
      let decimal = Double(Int.random(in: 1...99999, using: &random)) / 1000
      let values = [
        Double(bitPattern: bits), Double(bitPattern: bits & 0x800F_FFFF_FFFF_FFFF),
        Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits))), decimal, decimal * 1e-300, decimal.nextUp,
      ]
      for value in values where value.isFinite && value != 0 {
        let real = JSONValue.real(value)
        #expect(real == .number(spelledByC(value)))
        #expect(real.double == value && real.integer == nil)
        #expect(real.canonical() == real)
      }
    }
  }

  /// Integers of 64 bits are no reals, and lose nothing.
  @Test(arguments: [0, 1, -1, 9_007_199_254_740_993, 999_999_999_999_999_999, .max, .min])
  func integersAreSpelledInFull(_ value: Int) throws {
    #expect(JSONValue.integer(value) == .number("\(value)"))
    #expect(try canonical("\(value)").integer == value)
    #expect(JSONValue.integer(value) != .real(Double(value)))
  }

  @Test(arguments: [
    " 1", "1 ", "[1, 2]", "{\"a\": 1}", "[ ]", #"{"b":1,"a":2}"#, #"{"a":1,"a":2}"#, "-0", "1.5", "1e0", "1e+0",
    "1E+00", "1e00", "1.e+00", "1.0e+00", "1.50e+00", "1.00000000e+00", "1e+000", "10e+00", "0.1e+01", "-0e+00",
    "0e+01", "0e-00", "1e-00", "9223372036854775808", "-9223372036854775809", "1e400", "9e+999", "1e-999",
    "4.94065646e-324", "9.007199254740993e+15", "1.7976931348623158e+308", "5.684341886080802e-14",
    "3.00000000000000044e-01",
    #""\/""#, #""\n""#, #""\u000A""#, #""\u0041""#, #""\u0020""#, #""\u00e9""#, #""\u0022""#, #""\ud83d\ude00""#,
  ])
  func refusesOtherSpellings(_ text: String) {
    #expect(throws: JSONError.self) { try canonical(text) }
  }

  @Test func sortsKeysByBytes() throws {
    // In UTF-16 the emoji would come before U+FFFF.
    let value = try parsed(#"{"\ud83d\ude00":0,"\uffff":1,"b":2,"":3,"B":4,"ab":{"z":1.5,"y":10}}"#)
    let expected = "{\"\":3,\"B\":4,\"ab\":{\"y\":10,\"z\":1.5e+00},\"b\":2,\"\u{ffff}\":1,\"😀\":0}"
    #expect(text(value.canonical()) == expected)
    #expect(try canonical(expected) == value.canonical())
  }
}

@Suite struct Laws {
  /// A random value, nested at most four deep, with distinct keys.
  static func value(_ random: inout SplitMix64, depth: Int = 0) -> JSONValue {
    func string() -> String {
      let alphabet: [Character] = ["a", "b", "\"", "\\", "\n", "\0", "\u{1f}", "\u{7f}", "é", "\u{301}", "€", "😀", "/"]
      return String((0..<Int.random(in: 0...6, using: &random)).map { _ in alphabet.randomElement(using: &random)! })
    }
    switch Int.random(in: 0..<(depth < 4 ? 9 : 6), using: &random) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &random))
    case 2: return .integer(Int(truncatingIfNeeded: random.next()) >> Int.random(in: 0..<64, using: &random))
    case 3: return .real(Double(sign: .minus, exponent: Int.random(in: -300...300, using: &random), significand: 1.1))
    case 4: return .number(["-0", "1.250", "1E5", "0.1e-7", "18446744073709551616"].randomElement(using: &random)!)
    case 5: return .string(string())
    case 6, 7: return .array((0..<Int.random(in: 0...4, using: &random)).map { _ in value(&random, depth: depth + 1) })
    default:
      var members: [JSONValue.Member] = []
      for _ in 0..<Int.random(in: 0...12, using: &random) {
        let key = string()
        if members.allSatisfy({ !$0.key.utf8.elementsEqual(key.utf8) }) {
          members.append(.init(key, value(&random, depth: depth + 1)))
        }
      }
      return .object(members)
    }
  }

  @Test func whatIsWrittenIsRead() throws {
    var random = SplitMix64(seed: 2)
    for _ in 0..<500 {
      let value = Self.value(&random)
      #expect(try JSONValue.parse(value.serialized()) == value)
      let canonical = value.canonical()
      #expect(try JSONValue.parseCanonical(canonical.serialized()) == canonical)
      #expect(canonical.canonical() == canonical)
    }
  }

  /// Whether every number in `value` has a canonical spelling.
  static func isInRange(_ value: JSONValue) -> Bool {
    switch value {
    case .number: value.double != nil
    case .array(let elements): elements.allSatisfy(isInRange)
    case .object(let members): members.allSatisfy { isInRange($0.value) }
    default: true
    }
  }

  /// A changed text is refused or is another text; it is canonical exactly when it is its value's canonical text.
  @Test func mutationsNeverTrap() throws {
    var random = SplitMix64(seed: 3)
    let interesting = Array("{}[]\",:\\u0019eE+-.ntf \n\u{0}".utf8) + [0x80, 0xC3, 0xFF]
    var accepted = 0
    for _ in 0..<3000 {
      var bytes = Self.value(&random, depth: 1).canonical().serialized()
      for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes.removeSubrange(at...)
        case 1: bytes.remove(at: at)
        case 2: bytes.insert(interesting.randomElement(using: &random)!, at: at)
        default: bytes[at] = interesting.randomElement(using: &random)!
        }
      }
      guard let value = try? JSONValue.parse(bytes) else {
        #expect(throws: JSONError.self) { try JSONValue.parseCanonical(bytes) }
        continue
      }
      accepted += 1
      #expect(try JSONValue.parse(value.serialized()) == value)
      let isCanonical = (try? JSONValue.parseCanonical(bytes)) != nil
      #expect(isCanonical == (Self.isInRange(value) && value.canonical().serialized() == bytes))
    }
    #expect(accepted > 300)
  }
}
