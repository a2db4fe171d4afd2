import SystemPackage
import TestSupport
import Testing

@testable import ToolSupport

@Suite("Input and output")
struct OutputTests {
  private let folder = try! TemporaryFolder()
  private var target: FilePath { folder / "net.ncz" }

  /// Writes a file as a tool does.
  private func make(_ text: String, force: Bool = false, dryRun: Bool = false, finishing: Bool = true) throws {
    let output = try Output(target.string, force: force, dryRun: dryRun)
    _ = try output.file.writeAll(text.utf8)
    if finishing { try output.finish() }
  }

  private func text() throws -> String { String(decoding: try contents(of: target), as: UTF8.self) }

  @Test func aFileAppearsWhenItIsWhole() throws {
    do {
      let output = try Output(target.string, force: false)
      _ = try output.file.writeAll("whole".utf8)
      #expect(names(in: folder.path).allSatisfy { $0.hasPrefix(".") })
      try output.finish()
    }
    #expect(try text() == "whole")
    #expect(names(in: folder.path) == ["net.ncz"])
  }

  @Test func nothingIsLeftOfAFileThatIsNotFinished() throws {
    try make("half", finishing: false)
    #expect(names(in: folder.path).isEmpty)
    try write("old".utf8, to: target)
    try make("half", force: true, finishing: false)
    #expect(try text() == "old")
    #expect(names(in: folder.path) == ["net.ncz"])
  }

  @Test func anExistingFileIsReplacedByForceAlone() throws {
    try write("old".utf8, to: target)
    let error = #expect(throws: Failure.self) { try make("new") }
    #expect(error?.status == .cannotCreate && error?.file == target.string)
    #expect(try text() == "old")
    try make("new", force: true)
    #expect(try text() == "new")
    #expect(names(in: folder.path) == ["net.ncz"])
  }

  /// Another program was faster.
  @Test func aFileThatAppearsInBetweenIsNotReplaced() throws {
    let output = try Output(target.string, force: false)
    try write("other".utf8, to: target)
    let error = #expect(throws: Failure.self) { try output.finish() }
    #expect(error?.status == .cannotCreate)
    #expect(try text() == "other")
  }

  @Test func aDryRunWritesNothing() throws {
    try make("new", dryRun: true)
    #expect(names(in: folder.path).isEmpty)
  }

  @Test func foldersAndMissingFoldersCannotBeWritten() {
    for path in [folder.path, folder / "none" / "net.ncz"] {
      let error = #expect(throws: Failure.self) { try Output(path.string, force: true) }
      #expect(error?.status == .cannotCreate && error?.file == path.string)
    }
  }

  @Test func aDeviceIsWrittenStraight() throws {
    let output = try Output("/dev/null", force: false)
    _ = try output.file.writeAll("gone".utf8)
    try output.finish()
  }

  /// Input and output may be the same file: the input stays readable until it is replaced.
  @Test func aFileMayReplaceItsInput() throws {
    try write("old".utf8, to: target)
    let input = try Input(target.string)
    let output = try Output(target.string, force: true)
    _ = try output.file.writeAll("new".utf8)
    try output.finish()
    var old = [UInt8](repeating: 0, count: 3)
    #expect(try old.withUnsafeMutableBytes { try input.file.read(fromAbsoluteOffset: 0, into: $0) } == 3)
    #expect(old == Array("old".utf8))
    #expect(try text() == "new")
  }

  // MARK: Input

  @Test func anInputHasItsSizeAndName() throws {
    try write("12345".utf8, to: target)
    let input = try Input(target.string)
    #expect(input.size == 5 && input.name == target.string)
  }

  @Test func missingInputsAndFoldersAreNoInput() {
    for path in [folder.path, folder / "none"] {
      let error = #expect(throws: Failure.self) { _ = try Input(path.string).size }
      #expect(error?.status == .noInput && error?.file == path.string)
    }
  }
}

extension FilePath {
  fileprivate static func / (path: FilePath, name: String) -> FilePath { path.appending(name) }
}
