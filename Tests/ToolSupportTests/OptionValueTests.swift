// SPDX-License-Identifier: Apache-2.0

import Formatting
import JSON
import Networks
import Tensors
import Testing

@testable import ToolSupport

@Suite("Values of options")
struct OptionValueTests {
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

  @Test func kindsOfMatrices() {
    #expect(IncludedKinds(argument: "convolution")?.roles == [.convolution])
    #expect(IncludedKinds(argument: "attention,recurrent,attention")?.roles == [.recurrent, .attention])
    for text in ["", ",", "embedding,", "kernel", "bias", "Convolution", "embedding, recurrent", "all"] {
      #expect(IncludedKinds(argument: text) == nil, "\(text)")
    }
  }

  /// What follows `--` are names, and long options are no clusters.
  @Test func clustersAreSeparated() {
    #expect(
      separated(["-qT2", "-fqoa b", "-fq", "-T2", "--q", "-", "-fo"]) == [
        "-q", "-T2", "-fq", "-oa b", "-fq", "-T2", "--q", "-", "-fo",
      ])
    #expect(separated(["a", "--", "-qT2"]) == ["a", "--", "-qT2"])
  }

  /// JSON keeps the value, and a terminal sees nothing of it.
  @Test func jsonIsEscapedWithoutAChange() throws {
    let value = JSONValue.string("é\u{202E}\u{7F}\u{9B}\u{E0041}🙂")
    let text = printable(json: value.serialized())
    #expect(text == #""é\u202e\u007f\u009b\udb40\udc41🙂""#)
    #expect(try JSONValue.parse(Array(text.utf8)) == value)
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
      (.internal, 70),

    ] as [(NetworkError.Verdict, Int32)])
  func everyVerdictHasItsStatus(verdict: NetworkError.Verdict, status: Int32) {
    #expect(ExitStatus(verdict).rawValue == status)
    let failure = Failure(NetworkError(verdict, "what"), input: "in", output: "out")
    #expect(failure.status.rawValue == status && failure.message.hasPrefix("what"))
    #expect(failure.file == (verdict == .output ? "out" : "in"))
  }

  /// An error of a library names no option; a tool does.
  @Test(
    arguments: [
      (.memory, "--memory raises the limit"), (.time, "--time raises the limit"),
      (.carry("a/b"), "--except 'a/b' carries it unchanged"), (.dataset, "--x names another"),
      (.rebuilding, "without --layout container a new file is built"), (nil, nil),
    ] as [(Remedy?, String?)])
  func remediesAreSpelledByTools(remedy: Remedy?, advice: String?) {
    let error = NetworkError(.overLimit, "too much", file: "own", remedy: remedy)
    let failure = Failure(error, about: "file")
    #expect(failure.message == (["too much"] + [advice].compactMap { $0 }).joined(separator: "; "))
    #expect(failure.file == "own")
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
