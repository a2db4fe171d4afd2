// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import TestSupport
import Testing

/// Tools that are starved, interrupted or crowded: one line, a documented status, and no half file.
@Suite("Process")
struct ProcessTests {
  private static let start = Preparation(
    ["net.h5": "networks/digits_relu.h5", "data.h5": "data/digits_relu.ref.h5"], "nc-ternarize -q net.h5 net.ncz")
  private let folder: TemporaryFolder

  init() throws { folder = try Self.start.folder() }

  /// The address sanitizer reserves terabytes, and keeps its own handlers.
  private static let isSanitized = environment("ASAN_OPTIONS") != nil
  private static let canMount =
    (try? TemporaryFolder()).flatMap { try? shell("unshare -rm mount -t tmpfs none /proc", in: $0) }?.status == 0

  private func expect(_ status: Int32, _ line: String, says: String, _ location: SourceLocation = #_sourceLocation)
    throws
  {
    let before = names(in: folder.path)
    let run = try shell(line, in: folder)
    #expect(run.status == status, "\(run.diagnostics)", sourceLocation: location)
    #expect(run.diagnostics.contains(says), "\(run.diagnostics)", sourceLocation: location)
    #expect(run.diagnostics.hasPrefix("nc-"), "\(run.diagnostics)", sourceLocation: location)
    #expect(run.diagnostics.split(separator: "\n").count == 1, "\(run.diagnostics)", sourceLocation: location)
    #expect(names(in: folder.path) == before, sourceLocation: location)
  }

  // MARK: Starved

  /// OpenBLAS would ask for ever for a buffer that it cannot get.
  @Test(.enabled(if: !isSanitized), arguments: [150_000, 250_000])
  func tooLittleAddressSpaceForOpenBLASIsALimit(kilobytes: Int) throws {
    for line in [
      "nc-run --data data.h5 net.h5", "nc-prune --by singular-value --keep .3 net.h5 o",
      "nc-verify --data data.h5 --points 64 net.h5 net.ncz",
    ] {
      let run = try shell("ulimit -v \(kilobytes); timeout 20 \(line)", in: folder)
      #expect(run.status == 75, "\(line): \(run.diagnostics)")
      #expect(run.diagnostics.split(separator: "\n").count == 1, "\(run.diagnostics)")
    }
  }

  @Test(.enabled(if: !isSanitized))
  func noMemoryIsOneLine() throws {
    for kilobytes in stride(from: 60_000, through: 120_000, by: 10_000) {
      let run = try shell("ulimit -v \(kilobytes); timeout 20 nc-ternarize -q net.h5 o && rm o", in: folder)
      // The dynamic loader speaks before the tool does.
      if run.status == 127 { continue }
      #expect([0, 70, 74, 75].contains(run.status), "\(kilobytes): \(run.status) \(run.diagnostics)")
      #expect(run.diagnostics.split(separator: "\n").count <= 1, "\(kilobytes): \(run.diagnostics)")
    }
    #expect(names(in: folder.path) == ["data.h5", "net.h5", "net.ncz"])
  }

  @Test(arguments: ["nc-ternarize net.h5 o", "nc-restore net.ncz o", "nc-run --data data.h5 -o o net.h5"])
  func aLimitOnFilesIsAFailureToWrite(line: String) throws {
    try expect(74, "ulimit -f 1; \(line)", says: "File too large")
  }

  @Test(arguments: [8, 12, 16])
  func tooFewDescriptorsAreNamed(count: Int) throws {
    for line in ["nc-ternarize net.h5 o", "nc-info net.ncz", "nc-verify net.h5 net.ncz"] {
      try expect(75, "ulimit -n \(count); \(line)", says: "too many open files")
    }
  }

  /// Without `/proc` no argument is lost: that would turn `nc-restore --help` into a restoration.
  @Test(
    .enabled(if: !isSanitized, "The address sanitizer needs /proc"),
    .enabled(if: canMount, "A namespace of one's own with other mounts is not allowed here"))
  func withoutProcTheReasonIsGiven() throws {
    for line in ["nc-restore --help", "nc-info net.ncz", "nc-ternarize net.h5 o"] {
      try expect(70, "unshare -rm sh -c 'mount -t tmpfs none /proc; \(line) < net.ncz'", says: "/proc")
    }
  }

  // MARK: Interrupted

  /// What another process sends takes its course; what was ignored stays so.
  @Test(
    .enabled(if: !isSanitized),
    arguments: [("TERM", 143), ("HUP", 129), ("SEGV", 139), ("ABRT", 134), ("BUS", 135), ("FPE", 136), ("USR1", 138)]
      as [(String, Int32)])
  func aSignalFromOutsideTakesItsCourse(signal: String, status: Int32) throws {
    let run = try shell(
      "mkfifo p; exec 3<> p; ulimit -c 0; timeout --preserve-status -s \(signal) .3 nc-info p; s=$?; rm p; exit $s",
      in: folder)
    #expect(run.status == status)
    #expect(!run.diagnostics.contains("nc-info"), "\(run.diagnostics)")
  }

  @Test func anIgnoredHangupStaysIgnored() throws {
    let run = try shell(
      "mkfifo p; exec 3<> p; (trap '' HUP; exec 3>&- nc-info p) & sleep .3; kill -HUP $!; cat net.ncz >&3; exec 3>&-; wait $!",
      in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
  }

  // MARK: Crowded

  /// Whoever may write the folder can make any name beforehand; a random one he cannot guess.
  @Test func namesMadeBeforehandAreInNobodysWay() throws {
    let run = try shell(
      "sh -c 'touch .o.$$.tmp .net.ncz.$$.tmp; exec nc-ternarize -qf net.h5 net.ncz' && nc-info --test -q net.ncz",
      in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
  }

  @Test func aSlipOfTwoInputsCostsNothing() throws {
    try write(contents(of: folder / "net.h5"), to: folder / "b.h5")
    try expect(73, "nc-ternarize -f net.h5 b.h5", says: "b.h5: is an HDF5 file; --force replaces .ncz files alone")
    try expect(73, "nc-restore -f net.ncz net.ncz", says: "is a .ncz file")
    try expect(
      73, "nc-run -f --data data.h5 -o net.ncz net.h5", says: "is a .ncz file; --force replaces HDF5 files alone")
    try expect(73, "nc-info --stats -f --plot net.h5 net.h5", says: "SVG")
    try expect(73, "nc-verify -f --report net.ncz net.h5 net.ncz", says: "HTML")
    #expect(try contents(of: folder / "b.h5") == contents(of: folder / "net.h5"))
  }

  @Test func anInputThatIsWrittenMeanwhileIsRefused() throws {
    // The data arrive when the network was opened, and touched.
    let run = try shell(
      "mkfifo d; (exec 4> d; sleep .3; printf x >> net.h5; cat data.h5 >&4) & nc-run --data d -o o net.h5; s=$?; wait; rm d; exit $s",
      in: folder)
    #expect(run.status == 74, "\(run.diagnostics)")
    #expect(run.diagnostics == "nc-run: net.h5: changed while it was read\n")
    #expect(names(in: folder.path) == ["data.h5", "net.h5", "net.ncz"])
  }

  // MARK: Terminal

  @Test func argumentsDoNotDriveTheTerminal() throws {
    for line in [
      "nc-info \"$E\"", "nc-info --x\"$E\"", "nc-prune --keep \"$E\" net.h5", "nc-prune --by \"$E\" net.h5",
      "nc-ternarize --only \"$E\" net.h5 o", "nc-ternarize a b \"$E\"",
    ] {
      let run = try shell("E=$(printf '\\342\\200\\256\\033[2J\\302\\233'); \(line)", in: folder)
      #expect(run.status != 0 && run.diagnostics.hasPrefix("nc-"), "\(run.diagnostics)")
      #expect(run.diagnostics.contains("\\u{202E}"), "\(run.diagnostics)")
      for scalar in ["\u{1B}", "\u{202E}", "\u{9B}"] as [Unicode.Scalar] {
        #expect(!run.diagnostics.unicodeScalars.contains(scalar), "\(line)")
      }
    }
  }

  @Test(arguments: ["inf", "nan", "1e999", "0x10", "-inf"])
  func numbersAreFinite(text: String) throws {
    for line in [
      "nc-prune --max-error \(text) net.h5 o", "nc-prune --keep \(text) net.h5 o",
      "nc-prune --target-size \(text) net.h5 o",
      "nc-ternarize --sparsity \(text) net.h5 o", "nc-ternarize --memory \(text) net.h5 o",
      "nc-ternarize -T \(text) net.h5 o", "nc-ternarize --level \(text) net.h5 o",
      "nc-ternarize --scale-per \(text) net.h5 o",
      "nc-run --data data.h5 --input-scale \(text) net.h5", "nc-verify --max-weight \(text) net.h5 net.ncz",
      "nc-verify --max-output \(text) net.h5 net.ncz", "nc-verify --max-ck \(text) net.h5 net.ncz",
      "nc-verify --max-ntk \(text) net.h5 net.ncz", "nc-verify --max-accuracy-loss \(text) net.h5 net.ncz",
      "nc-verify --points \(text) net.h5 net.ncz", "nc-verify --seed \(text) net.h5 net.ncz",
    ] {
      #expect(try shell(line, in: folder).status == 64, "\(line)")
    }
  }
}
