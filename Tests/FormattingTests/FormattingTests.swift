// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Formatting

@Suite("Formatting")
struct FormattingTests {
  @Test(
    arguments: [
      (0, 3, "0"), (1, 3, "1.00"), (0.436, 3, "0.436"), (0.4364, 3, "0.436"), (0.4366, 3, "0.437"), (16.11, 3, "16.1"),
      (161.1, 3, "161"), (1611, 3, "1611"), (-2.5, 2, "-2.5"), (0.000123, 3, "0.000123"),
      (0.05, 3, "0.0500"), (123_456_789, 3, "123456789"), (1.0625, 4, "1.062"), (0.00001, 3, "1.00e-5"),
      (1e9, 3, "1.00e9"), (-1e-7, 2, "-1.0e-7"), (.infinity, 3, "inf"), (-.infinity, 3, "-inf"), (.nan, 3, "nan"),
    ] as [(Double, Int, String)])
  func significantDigits(value: Double, digits: Int, text: String) {
    #expect(significant(value, digits) == text)
  }

  /// A carry out of the nines makes no digit too many and no exponent too small.
  @Test(
    arguments: [
      (9.999, 3, "10.0"), (9.995, 2, "10"), (99.99, 3, "100"), (0.9999, 3, "1.00"), (9.9996e-5, 3, "0.000100"),
      (9.999e-6, 3, "1.00e-5"),
      (-0.9999, 3, "-1.00"),
    ] as [(Double, Int, String)])
  func significantDigitsAfterACarry(value: Double, digits: Int, text: String) {
    #expect(significant(value, digits) == text)
  }

  @Test(arguments: [
    (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (67_234, "67.2 kB"), (999_499, "999 kB"),
    (1_082_872, "1.08 MB"), (1_000_000_000, "1.00 GB"), (5_000_000_000_000, "5.00 TB"),
    (6_000_000_000_000_000, "6.00 PB"), (Int.max, "9223 PB"),
  ])
  func bytesInDecimalUnits(bytes: Int, expected: String) {
    #expect(text(bytes: bytes) == expected)
  }

  @Test func bytesAfterACarry() {
    #expect(text(bytes: 999_500) == "1.00 MB")
  }

  @Test func tablesAlignTheirColumns() {
    var table = TextTable([("name", .left), ("bytes", .right), ("note", .left)])
    table.add(["a", "1", ""])
    table.add(["longer", "12345678", "x\ny"])
    table.add(["é", "", "z"])
    #expect(
      table.text == """
        name       bytes  note
        a              1
        longer  12345678  x\\xAy
        é                 z

        """)
  }

  @Test func namesAreShortenedToFit() {
    var table = TextTable([("tensor", .left), ("bytes", .right)])
    table.add(["a/rather/long/name/of/a/kernel", "12345"])
    table.add(["short", "1"])
    #expect(table.text(columns: nil).split(separator: "\n")[1] == "a/rather/long/name/of/a/kernel  12345")
    for columns in [20, 25, 36, 37, 80] {
      let lines = table.text(columns: columns).split(separator: "\n")
      #expect(lines.allSatisfy { $0.count <= columns }, "\(columns)")
      #expect(lines[1].contains("…") == (columns < 37))
    }
    // Columns of numbers are never cut.
    #expect(table.text(columns: 5).split(separator: "\n")[1] == "a/rat…kernel  12345")
  }

  @Test func controlCharactersAreSpelled() {
    #expect(printable("plain é 日本 🙂 \"quoted\" \\") == "plain é 日本 🙂 \"quoted\" \\")
    #expect(
      printable("a\u{202E}b\u{200B}\u{2066}\u{FEFF}\u{E0041}") == "a\\u{202E}b\\u{200B}\\u{2066}\\u{FEFF}\\u{E0041}")
    #expect(
      printable("\u{2028}\u{2029}\u{E000}\u{AD}\u{3164}\u{378}")
        == "\\u{2028}\\u{2029}\\u{E000}\\u{AD}\\u{3164}\\u{378}")
    #expect(printable("❤\u{FE0F} e\u{301}") == "❤\u{FE0F} e\u{301}")
    #expect(printable("\u{1B}[2J\u{7}\n\t\u{7F}\u{85}\u{0}") == "\\x1B[2J\\x7\\xA\\x9\\x7F\\x85\\x0")
  }

  @Test(
    arguments: [
      (0.125, .fixed, 2, "0.12"), (-0.5, .fixed, 0, "-0"), (1234.5, .scientific, 2, "1.23e+03"),
      (1e300, .scientific, 0, "1e+300"),
      (.nan, .fixed, 2, "nan"), (-.infinity, .scientific, 2, "-inf"),
    ] as [(Double, Notation, Int, String)])
  func numbersAreSpelledAsInC(value: Double, notation: Notation, decimals: Int, text: String) {
    #expect(spelled(value, notation, decimals: decimals) == text)
  }

  /// The longest texts there are.
  @Test func longNumbersAreWhole() {
    #expect(spelled(-.greatestFiniteMagnitude, .fixed, decimals: 60).count == 1 + 309 + 1 + 60)
    #expect(spelled(-.leastNonzeroMagnitude, .scientific, decimals: 60).hasSuffix("e-324"))
  }

  @Test(arguments: [("1.50", "1.5"), ("2.00", "2"), ("-0.00", "0"), ("100", "100"), ("0.001", "0.001")])
  func zerosAtTheEndAreTrimmed(text: String, expected: String) {
    #expect(trimmed(text) == expected)
  }
}
