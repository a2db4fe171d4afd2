// SPDX-License-Identifier: Apache-2.0

import JSON
import SystemPackage
import TestSupport
import Testing

/// The command line contract, as a shell sees it. The working folder of every test has `net.h5` (three dense layers)
/// and `net.ncz` made from it.
@Suite("Command line")
struct CommandLineTests {
  private static let start = Preparation(["net.h5": "networks/digits_relu.h5"], "nc-ternarize -q net.h5 net.ncz")
  private let folder: TemporaryFolder

  init() throws { folder = try Self.start.folder() }

  // MARK: Exit status

  @Test(
    arguments: [
      (0, "nc-info net.h5"), (0, "nc-info net.ncz"), (0, "nc-info --test net.ncz"), (0, "nc-info --test net.h5"),
      (0, "nc-info --json net.h5"), (0, "nc-info --help"), (0, "nc-info --version"), (0, "nc-ternarize --version"),
      (0, "nc-restore --version"), (0, "nc-ternarize net.ncz again.ncz"), (0, "nc-ternarize --except '*' net.h5 o"),
      (0, "nc-ternarize --scale-per tensor net.h5 o"), (0, "nc-ternarize --scale-per 16 --sparsity .5 net.h5 o"),
      (0, "nc-ternarize --mapped net.h5 o"), (0, "nc-ternarize --level 19 net.h5 o"),
      (0, "nc-ternarize --drop optimizer net.h5 o"), (0, "nc-ternarize -n net.h5"), (0, "nc-restore net.ncz o"),
      (0, "nc-prune --keep 0 net.h5 o"), (0, "nc-prune --keep 1e-2 --values ternary net.h5 o"),
      (0, "nc-prune --by node --max-error .5 net.h5 o"), (64, "nc-prune --keep .5 --only '*/bias' net.h5 o"),
      (0, "nc-info --stats net.h5"), (0, "nc-info --stats --json net.ncz"), (0, "nc-info --stats --plot o net.h5"),
      (0, "nc-info --plot sizes net.ncz"),
      (0, "nc-restore --shape reduced net.ncz o"),
      // Usage.
      (64, "nc-prune net.h5 o"), (64, "nc-prune --keep .1 --max-error .1 net.h5 o"), (64, "nc-prune --keep 2 net.h5 o"),
      (64, "nc-prune --keep .1 --by layer net.h5 o"), (64, "nc-prune --max-error .1 --values ternary net.h5 o"),
      (64, "nc-info --test --plot o net.h5"), (64, "nc-info --stats --test net.h5"), (64, "nc-info --only '*' net.h5"),
      (64, "nc-info --no-such-option net.h5"), (64, "nc-info --stats --plot o net.h5 net.h5"),
      (64, "nc-ternarize --level 0 net.h5 o"),
      (64, "nc-ternarize --level 20 net.h5 o"), (64, "nc-ternarize --scale-per 0 net.h5 o"),
      (64, "nc-ternarize --scale-per column net.h5 o"), (64, "nc-ternarize --sparsity 1.5 net.h5 o"),
      (64, "nc-ternarize --sparsity -1 net.h5 o"), (64, "nc-ternarize -T -1 net.h5 o"),
      (64, "nc-ternarize -T many net.h5 o"), (64, "nc-ternarize --memory lots net.h5 o"),
      (64, "nc-ternarize net.h5 o -o p"), (64, "nc-ternarize --only nothing net.h5 o"),
      (64, "nc-ternarize --except nothing net.h5 o"), (64, "nc-ternarize --drop biases net.h5 o"),
      // Data.
      (65, "nc-info /dev/null"), (65, "nc-info < /dev/null"), (65, "echo no network | nc-info"),
      (65, "head -c 5000 net.h5 > cut; nc-info --test cut"), (65, "head -c 5000 net.ncz > cut; nc-info cut"),
      (65, "cat net.ncz net.ncz > two; nc-info two"), (65, "echo >> net.ncz; nc-info net.ncz"),
      (64, "nc-ternarize --only '*bias*' net.h5 o"), (75, "nc-prune --target-size 1k net.h5 o"),
      (64, "nc-prune --keep .5 --values ternary --only '*bias*' net.h5 o"),
      (64, "nc-prune --by singular-value --keep .5 --only '*bias*' net.h5 o"), (64, "nc-restore net.h5 o"),
      (66, "nc-info missing"), (66, "nc-info ."), (66, "nc-ternarize missing o"), (66, "nc-restore missing o"),
      // Output.
      (73, "nc-ternarize net.h5 net.ncz"), (73, "nc-prune --keep .1 net.h5 net.ncz"),
      (73, "nc-info --stats --plot net.ncz net.h5"), (74, "nc-prune --keep .1 net.h5 > /dev/full"),
      (74, "nc-info --stats --plot /dev/full net.h5"), (73, "nc-restore net.ncz net.h5"),
      (73, "nc-ternarize net.h5 none/o"),
      (73, "nc-ternarize net.h5 ."), (74, "nc-ternarize net.h5 > /dev/full"), (74, "nc-ternarize net.h5 /dev/full"),
      (74, "nc-restore net.ncz > /dev/full"), (74, "nc-restore net.ncz /dev/full"), (74, "nc-info net.h5 > /dev/full"),
      (74, "nc-info --json net.h5 > /dev/full"), (74, "nc-info --test net.h5 > /dev/full"),
      (75, "nc-ternarize --memory 1k net.ncz o"),
    ] as [(Int32, String)])
  func statusSaysWhatHappened(status: Int32, line: String) throws {
    let run = try shell(line, in: folder)
    #expect(run.status == status, "\(line): \(run.diagnostics)")
    if status > 0 {
      #expect(!run.diagnostics.isEmpty, "an error is never silent")
      #expect(run.output.isEmpty || line.contains("info"), "standard output carries data alone")
      #expect(
        names(in: folder.path).allSatisfy { ["net.h5", "net.ncz", "cut", "two"].contains($0) }, "nothing is left")
    }
  }

  /// Too little memory, for a tensor or for libhdf5, is a limit and not a fault of the file; a listing of a `.ncz`
  /// needs none.
  @Test func tooLittleMemoryIsALimit() throws {
    #expect(try shell("nc-info --memory 1k net.ncz", in: folder).status == 0)
    for line in ["nc-info --test --memory 1k net.ncz", "nc-info --memory 1k net.h5"] {
      let run = try shell(line, in: folder)
      #expect(run.status == 75 && run.diagnostics.contains("--memory"), "\(run.diagnostics)")
    }
  }

  /// A newer format, by its version: unsupported, not corrupt.
  @Test func aNewerVersionIsUnsupported() throws {
    var bytes = try contents(of: folder / "net.ncz")
    bytes.replaceSubrange(8..<10, with: [9, 0])
    bytes.replaceSubrange(28..<32, with: littleEndianCRC(Array(bytes[..<28])))
    try write(bytes, to: folder / "newer.ncz")
    for tool in ["nc-info", "nc-info --test", "nc-restore -n", "nc-ternarize -n"] {
      let run = try shell("\(tool) newer.ncz", in: folder)
      #expect(run.status == 69 && run.diagnostics.contains("version 9"), "\(run.diagnostics)")
    }
  }

  /// A file of the first draft, by its version.
  @Test func aFileOfAnOlderDraftIsUnsupported() throws {
    var bytes = try contents(of: folder / "net.ncz")
    bytes.replaceSubrange(10..<12, with: [1, 0])
    try write(bytes, to: folder / "older.ncz")
    for tool in ["nc-info", "nc-info --test", "nc-restore -n", "nc-prune -n --keep .5", "nc-verify net.h5"] {
      let run = try shell("\(tool) older.ncz", in: folder)
      #expect(run.status == 69 && run.diagnostics.contains("format version 0.1"), "\(run.diagnostics)")
    }
  }

  @Test func helpIsShortAndVersionsNameLibraries() throws {
    for tool in ["nc-info", "nc-ternarize", "nc-restore"] {
      let help = try shell("\(tool) --help", in: folder)
      #expect(help.status == 0 && help.diagnostics.isEmpty)
      let version = String(decoding: try shell("\(tool) --version", in: folder).output, as: UTF8.self)
      #expect(version.hasPrefix("\(tool) ") && version.contains("HDF5 1.") && version.contains("zstd 1."))
      #expect(version.contains("confined by: ") && version.contains("seccomp"))
    }
  }

  /// Damaged and malicious files: read, or refused in bounded time, in one line; never a crash or a bug of ours.
  @Test(arguments: Fixtures.files(in: Fixtures.folder.appending("hostile"), extensions: ["h5", "keras", "ncz"]))
  func aHostileFileHasAVerdict(path: FilePath) throws {
    let run = try shell("timeout 60 nc-ternarize -q '\(path)' o", in: folder)
    #expect([0, 65, 69, 75].contains(run.status), "\(run.status): \(run.diagnostics)")
    #expect(run.status == 0 || run.diagnostics.split(separator: "\n").count == 1, "\(run.diagnostics)")
  }

  // MARK: Messages

  /// One line, with the tool, the file and the object.
  @Test(arguments: [
    ("nc-info missing.h5", "nc-info: missing.h5: No such file or directory"),
    ("nc-ternarize net.h5 net.ncz", "nc-ternarize: net.ncz: exists; --force replaces it"),
    (
      "nc-ternarize --only 'fc1/bias' net.h5 o",
      "nc-ternarize: net.h5: --only: fc1/bias matches no weight matrix: fc1/bias (bias)"
    ),
    ("nc-restore net.h5 o", "nc-restore: net.h5: is HDF5 already; expected .ncz"),
    ("nc-info < /dev/null", "nc-info: standard input: is empty"),
    (
      "echo no network | nc-info", "nc-info: standard input: neither HDF5, .keras nor .ncz: unknown signature"
    ),
    ("nc-ternarize net.h5 > /dev/full", "nc-ternarize: standard output: No space left on device"),
  ])
  func anErrorIsOneLineThatNamesFileAndObject(line: String, message: String) throws {
    #expect(try shell(line, in: folder).diagnostics == message + "\n")
  }

  /// What matches nothing is told with what there is.
  @Test func namesThatAreThereAreTold() throws {
    let run = try shell("nc-ternarize --except 'no*' net.h5 o", in: folder)
    #expect(run.status == 64 && run.diagnostics.split(separator: "\n").count == 1)
    #expect(run.diagnostics.contains("net.h5: --except: no tensor matches no*; there are "), "\(run.diagnostics)")
    #expect(run.diagnostics.contains("fc1/kernel"), "\(run.diagnostics)")
  }

  @Test func quietToolsSayNothing() throws {
    let run = try shell("nc-ternarize -q net.h5 o; nc-restore -q o p; nc-info --test -q o", in: folder)
    #expect(run.status == 0 && run.diagnostics.isEmpty && run.output.isEmpty)
  }

  @Test func aNameOfAFileDoesNotDriveTheTerminal() throws {
    let run = try shell(
      "cp net.h5 \"$(printf 'a\\033[2Jb')\"; nc-info a*b; nc-ternarize a*b o; nc-info x$(printf '\\033')", in: folder)
    #expect(!run.diagnostics.contains("\u{1B}") && !run.output.contains(0x1B))
    #expect(run.diagnostics.contains("\\x1B"))
  }

  /// Whatever a file is called, a message is one line.
  @Test func aNameOfAFileDoesNotBreakTheLine() throws {
    for tool in ["nc-info", "nc-ternarize -n", "nc-restore"] {
      let run = try shell("\(tool) \"$(printf 'missing\\nnc-info: forged')\"", in: folder)
      #expect(run.status == 66)
      #expect(run.diagnostics.split(separator: "\n").count == 1, "\(run.diagnostics)")
    }
  }

  @Test func theSummarySaysFromAndTo() throws {
    let run = try shell("nc-ternarize net.h5 o", in: folder)
    let size = try contents(of: folder / "net.h5").count
    #expect(size == 111_920 && run.diagnostics.contains("net.h5: 112 kB → "))
    #expect(run.diagnostics.contains("3 tensors changed, relative L2 0."))
  }

  @Test func theReportIsOneObjectOfJSON() throws {
    for file in ["net.h5", "net.ncz"] {
      let run = try shell("nc-info --json \(file)", in: folder)
      let json = try JSONValue.parse(run.output)
      #expect(json["bytes"]?.integer == (try contents(of: folder / file).count))
      #expect(json["tensors"]?.array?.contains { $0["name"]?.string == "fc1/kernel" } == true)
    }
  }

  // MARK: Ways in and out

  /// Every way to name input and output gives the same bytes.
  @Test(arguments: [
    "nc-ternarize net.h5 o", "nc-ternarize net.h5 -o o", "nc-ternarize -o o net.h5", "nc-ternarize net.h5 > o",
    "nc-ternarize net.h5 - > o", "nc-ternarize < net.h5 > o", "nc-ternarize - o < net.h5",
    "cat net.h5 | nc-ternarize | cat > o",
    "nc-ternarize -q net.h5 o", "nc-ternarize -T 1 net.h5 o", "nc-ternarize -T 2 net.h5 o",
    "nc-ternarize -T 7 net.h5 o",
    "LC_ALL=de_DE.UTF-8 nc-ternarize net.h5 o", "LC_ALL=C.UTF-8 TZ=Asia/Tokyo nc-ternarize net.h5 o",
    "mkdir d; cd d; nc-ternarize ../net.h5 ../o; cd ..; rmdir d", "touch o; nc-ternarize -f net.h5 o",
    "nc-ternarize net.h5 | tee o | nc-info --test",
    "nc-ternarize net.h5 | nc-restore | cmp -s - net.h5 || nc-ternarize net.h5 o",
    "(head -c 1000; nc-info > /dev/null; true) < net.h5 > o; : > o; nc-ternarize -f net.h5 o",
  ])
  func theBytesDependOnInputAndOptionsAlone(line: String) throws {
    let run = try shell(line, in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
    #expect(try contents(of: folder / "o") == contents(of: folder / "net.ncz"))
    #expect(names(in: folder.path) == ["net.h5", "net.ncz", "o"])
  }

  @Test(arguments: [
    "nc-restore net.ncz o", "nc-restore net.ncz -o o", "nc-restore net.ncz > o", "nc-restore < net.ncz > o",
    "cat net.ncz | nc-restore | cat > o", "cp net.h5 o; nc-restore -f net.ncz o", "nc-restore -T 1 - o < net.ncz",
    "touch o; nc-restore --force net.ncz o",
  ])
  func whatIsRestoredDependsOnTheInputAlone(line: String) throws {
    try #require(try shell("nc-restore net.ncz expected", in: folder).status == 0)
    #expect(try shell(line, in: folder).status == 0)
    #expect(try contents(of: folder / "o") == contents(of: folder / "expected"))
  }

  @Test func listingsDoNotDependOnTheWayIn() throws {
    let lines = [
      "nc-info --json net.ncz", "nc-info --json < net.ncz", "cat net.ncz | nc-info --json -",
      "nc-info -T 1 --json net.ncz",
    ]
    let outputs = try lines.map { try shell($0, in: folder).output }
    #expect(Set(outputs).count == 1)
  }

  @Test func aDryRunReportsAndWritesNothing() throws {
    for line in [
      "nc-ternarize -n net.h5 o", "nc-ternarize -n net.h5", "nc-prune -n --keep .1 net.h5 o",
      "nc-restore --dry-run net.ncz o",
    ] {
      let run = try shell(line, in: folder)
      #expect(run.status == 0 && run.diagnostics.contains(" → "))
      // What a compressor would have written, as a table; else nothing.
      let table = String(decoding: run.output, as: UTF8.self)
      #expect(line.hasPrefix("nc-restore") ? table.isEmpty : table.hasPrefix("tensor"))
    }
    #expect(names(in: folder.path) == ["net.h5", "net.ncz"])
  }

  @Test func whatFailsLeavesTheOldFile() throws {
    let old = try ["net.h5", "net.ncz"].map { try contents(of: folder / $0) }
    #expect(try shell("nc-ternarize -f --only nothing net.h5 net.ncz", in: folder).status == 64)
    #expect(try shell("head -c 9000 net.ncz | nc-restore -f - net.h5", in: folder).status == 65)
    #expect(try ["net.h5", "net.ncz"].map { try contents(of: folder / $0) } == old)
    #expect(names(in: folder.path) == ["net.h5", "net.ncz"])
  }

  // MARK: Signals

  /// The reader is gone before the first byte: the tool dies by the signal, quietly.
  @Test(arguments: ["nc-ternarize -q net.h5", "nc-restore -q net.ncz", "nc-info net.h5", "nc-info --json net.ncz"])
  func aClosedPipeEndsTheTool(line: String) throws {
    let run = try shell("mkfifo p s; (exec 3< p; read -r x < s) & exec 4> p; echo > s; wait; \(line) >&4", in: folder)
    #expect(run.status == 141 && run.diagnostics.isEmpty, "\(run.diagnostics)")
  }

  /// A small file that claims much is refused before anything is unpacked or written.
  @Test(arguments: ["nc-restore net.ncz o", "nc-restore --layout plain net.ncz o", "nc-info --test net.ncz"])
  func whatIsOutOfProportionIsALimit(line: String) throws {
    let run = try shell("\(line) --max-output-size 10k", in: folder)
    #expect(run.status == 75 && run.diagnostics.contains("--max-output-size raises the limit"), "\(run.diagnostics)")
    #expect(!names(in: folder.path).contains("o"))
    #expect(try shell("\(line) --max-output-size 10M", in: folder).status == 0)
  }

  /// The tool waits for its input; the signal ends it, and nothing is left behind.
  @Test(arguments: [("INT", 130), ("TERM", 143)] as [(String, Int32)])
  func aSignalEndsTheToolAndLeavesNothing(signal: String, status: Int32) throws {
    let run = try shell(
      """
      mkfifo p
      exec 3<> p
      head -c 1000 net.h5 >&3
      timeout --preserve-status -s \(signal) .5 nc-ternarize p o
      """, in: folder)
    #expect(run.status == status && run.diagnostics.isEmpty, "\(run.diagnostics)")
    #expect(names(in: folder.path) == ["net.h5", "net.ncz", "p"])
  }
}

/// zlib's CRC-32, bit by bit.
private func littleEndianCRC(_ bytes: [UInt8]) -> [UInt8] {
  var crc = UInt32.max
  for byte in bytes {
    crc ^= UInt32(byte)
    for _ in 0..<8 { crc = crc & 1 == 0 ? crc >> 1 : crc >> 1 ^ 0xEDB8_8320 }
  }
  return (0..<4).map { UInt8(truncatingIfNeeded: ~crc >> (8 * $0)) }
}
