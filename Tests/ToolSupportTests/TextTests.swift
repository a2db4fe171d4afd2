import Compression
import JSON
import Networks
import Testing

@testable import ToolSupport

@Suite("Text")
struct TextTests {
  @Test(arguments: [
    ("0", 0), ("1", 1), ("500B", 500), ("1k", 1000), ("1K", 1000), ("1kB", 1000), ("500M", 500_000_000),
    ("2G", 2_000_000_000), ("3TB", 3_000_000_000_000), ("1Ki", 1024), ("4GiB", 4 << 30), ("1MiB", 1 << 20),
    ("2Ti", 2 << 40), ("007", 7), ("1.5G", 1_500_000_000), (".5k", 500), ("0.1", 0), ("1.Ki", 1024),
    ("9223372036854775807", Int.max),
  ])
  func byteSizes(text: String, bytes: Int) {
    #expect(ByteSize(argument: text)?.bytes == bytes)
  }

  @Test(arguments: [
    "", "B", "k", "-1", "+1", ".", ".k", "1.2.3k", "1,5G", "1 G", "1g", "1KIB", "1BB", "1GiBB", "0x10", "1e9",
    "9223372036854775808",
    "9223372036854775807k", "99999999999999999999", "١", "1²",
  ])
  func textThatIsNoByteSize(text: String) {
    #expect(ByteSize(argument: text) == nil)
  }

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
    var table = Table([("name", .left), ("bytes", .right), ("note", .left)])
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

  /// What follows `--` are names, and long options are no clusters.
  @Test func clustersAreSeparated() {
    #expect(
      separated(["-qT2", "-fqoa b", "-fq", "-T2", "--q", "-", "-fo"]) == [
        "-q", "-T2", "-fq", "-oa b", "-fq", "-T2", "--q", "-", "-fo",
      ])
    #expect(separated(["a", "--", "-qT2"]) == ["a", "--", "-qT2"])
  }

  @Test func namesAreShortenedToFit() {
    var table = Table([("tensor", .left), ("bytes", .right)])
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

  /// JSON keeps the value, and a terminal sees nothing of it.
  @Test func jsonIsEscapedWithoutAChange() throws {
    let value = JSON.string("é\u{202E}\u{7F}\u{9B}\u{E0041}🙂")
    let text = printable(json: value.serialized())
    #expect(text == #""é\u202e\u007f\u009b\udb40\udc41🙂""#)
    #expect(try JSON.parse(Array(text.utf8)) == value)
  }

  @Test(arguments: ["0", "-1", "+.5", ".05", "1e-3", "1E3", "1.7e308", "5."])
  func numbersAreDecimal(text: String) {
    #expect(FiniteNumber(argument: text)?.value == Double(text))
  }

  @Test(
    arguments: [
      "", "inf", "-inf", "infinity", "nan", "NaN", "1e999", "-1e999", "0x10", "0x1p3", "1,5", "1_000", " 1", "1 ", "١",
      "e",
      ".", "1e", "--1", "snan", "nan(1)",
    ])
  func otherNumbersAreRefused(text: String) {
    #expect(FiniteNumber(argument: text) == nil)
    #expect(ByteSize(argument: text) == nil || text.isEmpty)
    #expect(Fraction(text) == nil)
  }

  @Test func theVersionNamesTheLibraries() {
    let lines = Version.text("nc-x").split(separator: "\n")
    #expect(lines.count == 3 && lines[0] == "nc-x \(Version.number)")
    #expect(lines[1].contains("HDF5 1.") && lines[1].contains("zstd 1."))
  }
}

@Suite("Failures")
struct FailureTests {
  /// The table of the command line contract.
  @Test(
    arguments: [
      (.corrupt, 65), (.unusable, 65), (.unsupported, 69), (.overLimit, 75), (.io, 74), (.output, 74), (.usage, 64),
    ] as [(NetworkError.Verdict, Int32)])
  func everyVerdictHasItsStatus(verdict: NetworkError.Verdict, status: Int32) {
    #expect(ExitStatus(verdict).rawValue == status)
    let failure = Failure(NetworkError(verdict, "what"), input: "in", output: "out")
    #expect(failure.status.rawValue == status && failure.message == "what")
    #expect(failure.file == (verdict == .output ? "out" : "in"))
  }

  @Test func aFailureStaysWhatItIs() {
    let failure = Failure(Failure(.noInput, file: "f", "m"), input: "in", output: nil)
    #expect((failure.status, failure.file, failure.message) == (.noInput, "f", "m"))
  }

  @Test func anyOtherErrorIsABugOfOurs() {
    struct Surprise: Error {}
    #expect(throws: Failure.self) { try naming("in") { throw Surprise() } }
    let failure = Failure(Surprise(), input: "in", output: nil)
    #expect(failure.status == .internalError && failure.message.contains("bug"))
  }
}
