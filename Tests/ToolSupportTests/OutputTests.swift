// SPDX-License-Identifier: Apache-2.0

import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import ToolSupport

@Suite("Input and output")
struct OutputTests {
  private let folder = try! TemporaryFolder()
  private var target: FilePath { folder / "net.ncz" }

  /// Writes a file as a tool does.
  private func make(
    _ text: String, _ kind: Output.Kind = .ncz, at path: FilePath? = nil, force: Bool = false, dryRun: Bool = false,
    finishing: Bool = true
  ) throws {
    let output = try Output((path ?? target).string, kind, permissions: .ofNewFiles, force: force, dryRun: dryRun)
    _ = try output.file.writeAll(text.utf8)
    if finishing { try output.finish() }
  }

  /// What is enough to be taken for a `.ncz`.
  private static let old = "\u{89}NCZ\r\n\u{1A}\n old".unicodeScalars.map { UInt8($0.value) }
  private static let hdf5 = "\u{89}HDF\r\n\u{1A}\n".unicodeScalars.map { UInt8($0.value) }

  private func text() throws -> String { String(decoding: try contents(of: target), as: UTF8.self) }

  @Test func aFileAppearsWhenItIsWhole() throws {
    do {
      let output = try Output(target.string, .ncz, permissions: .ofNewFiles, force: false)
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
    try write(Self.old, to: target)
    try make("half", force: true, finishing: false)
    #expect(try contents(of: target) == Self.old)
    #expect(names(in: folder.path) == ["net.ncz"])
  }

  @Test func anExistingFileIsReplacedByForceAlone() throws {
    try write(Self.old, to: target)
    let error = #expect(throws: Failure.self) { try make("new") }
    #expect(error?.status == .cannotCreate && error?.file == target.string)
    #expect(try contents(of: target) == Self.old)
    try make("new", force: true)
    #expect(try text() == "new")
    #expect(names(in: folder.path) == ["net.ncz"])
  }

  /// Another program was faster.
  @Test func aFileThatAppearsInBetweenIsNotReplaced() throws {
    let output = try Output(target.string, .ncz, permissions: .ofNewFiles, force: false)
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
      let error = #expect(throws: Failure.self) { try make("new", at: path, force: true) }
      #expect(error?.status == .cannotCreate && error?.file == path.string)
    }
  }

  @Test func aDeviceIsWrittenStraight() throws {
    try make("gone", at: "/dev/null")
  }

  /// Input and output may be the same file: the input stays readable until it is replaced.
  @Test func aFileMayReplaceItsInput() throws {
    try write(Self.old, to: target)
    let input = try Input(target.string)
    try make("new", force: true)
    var old = [UInt8](repeating: 0, count: Self.old.count)
    #expect(try old.withUnsafeMutableBytes { try input.file.read(fromAbsoluteOffset: 0, into: $0) } == old.count)
    #expect(old == Self.old)
    #expect(try text() == "new")
  }

  // MARK: Kinds

  /// `--force` replaces what is of the kind that is written, and what is empty; a slip of two names costs nothing else.
  @Test(
    arguments: [
      (.ncz, old, true), (.ncz, hdf5, false), (.ncz, [], true), (.ncz, Array("text".utf8), false),
      (.source, hdf5, true), (.hdf5, hdf5, true), (.source, old, false), (.hdf5, old, false), (.hdf5, [], true),
      // HDF5 after a block of the user's own.
      (.hdf5, Array(repeating: 0, count: 512) + hdf5, true), (.ncz, Array(repeating: 0, count: 1024) + hdf5, false),
      // A zip archive alone is no Keras file.
      (.source, [0x50, 0x4B, 0x03, 0x04, 0, 0], false), (.hdf5, Array("<svg/>".utf8), false),
      (.svg, Array("<?xml version='1.0'?>\n<svg xmlns='x'/>".utf8), true), (.svg, Array(" <SVG>".utf8), true),
      (.svg, Array("<!DOCTYPE html>".utf8), false), (.html, Array("<!doctype html>".utf8), true),
      (.html, Array("<html>".utf8), true), (.html, Array("notes".utf8), false), (.html, hdf5, false),
      (.svg, old, false),
    ] as [(Output.Kind, [UInt8], Bool)])
  func aFileOfAnotherKindIsNeverReplaced(kind: Output.Kind, existing: [UInt8], isReplaced: Bool) throws {
    try write(existing, to: target)
    if isReplaced {
      try make("new", kind, force: true)
      #expect(try text() == "new")
    } else {
      let error = #expect(throws: Failure.self) { try make("new", kind, force: true) }
      #expect(error?.status == .cannotCreate && error?.message.contains(kind.rawValue) == true)
      #expect(try contents(of: target) == existing)
    }
    #expect(names(in: folder.path) == ["net.ncz"])
  }

  // MARK: Permissions

  private func permissions(of path: FilePath) throws -> mode_t {
    var status = stat()
    try #require(stat(path.string, &status) == 0)
    return status.st_mode & 0o777
  }

  @Test func aNewFileHasThePermissionsOfItsInput() throws {
    let mask = umask(0)
    umask(mask)
    for mode: mode_t in [0o600, 0o640, 0o444, 0o666] {
      let input = folder / "input"
      try write("in".utf8, to: input)
      chmod(input.string, mode)
      let permissions = try Input(input.string).permissions
      let output = try Output((folder / "out").string, .ncz, permissions: permissions, force: false)
      // Already while it is written.
      var status = stat()
      #expect(fstat(output.file.rawValue, &status) == 0 && status.st_mode & 0o777 == mode & ~mask)
      try output.finish()
      #expect(try self.permissions(of: folder / "out") == mode & ~mask)
      for name in ["input", "out"] { unlink((folder / name).string) }
    }
  }

  @Test func aReplacedFileKeepsItsPermissions() throws {
    for mode: mode_t in [0o600, 0o664, 0o777, 0o400] {
      try write(Self.old, to: target)
      chmod(target.string, mode)
      try make("new", force: true)
      #expect(try permissions(of: target) == mode)
      unlink(target.string)
    }
  }

  // MARK: Links

  @Test func aSymbolicLinkIsWrittenThrough() throws {
    let link = folder / "link"
    try write(Self.old, to: target)
    try #require(symlink("net.ncz", link.string) == 0)
    #expect(throws: Failure.self) { try make("new", at: link) }
    try make("new", at: link, force: true)
    #expect(try text() == "new")
    var status = stat()
    #expect(lstat(link.string, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
    #expect(names(in: folder.path) == ["link", "net.ncz"])
  }

  /// Where it leads is not what the command line says: `--force` must want it.
  @Test func aDanglingLinkIsWrittenThroughByForceAlone() throws {
    let link = folder / "link"
    try #require(mkdir((folder / "sub").string, 0o755) == 0)
    try #require(symlink("sub/new.ncz", link.string) == 0)
    let error = #expect(throws: Failure.self) { try make("new", at: link) }
    #expect(error?.status == .cannotCreate && error?.message.contains("new.ncz") == true)
    try make("new", at: link, force: true)
    #expect(try contents(of: folder.path.appending("sub").appending("new.ncz")) == Array("new".utf8))
    #expect(names(in: folder.path) == ["link", "sub"])
  }

  @Test func linksInACircleLeadNowhere() throws {
    let link = folder / "link"
    try #require(symlink("link", link.string) == 0)
    #expect(throws: Failure.self) { try make("new", at: link, force: true) }
  }

  // MARK: Input

  @Test func anInputHasItsSizeAndName() throws {
    try write("12345".utf8, to: target)
    let input = try Input(target.string)
    #expect(input.size == 5 && input.name == target.string)
  }

  /// Another size, another time, by writing or by setting the times back.
  @Test func anInputThatChangesIsSeen() throws {
    func change(_ body: (FilePath) throws -> Void) throws {
      try write("12345".utf8, to: target)
      let input = try Input(target.string)
      try input.checkUnchanged()
      // The clock of the file system has a resolution.
      usleep(20_000)
      try body(target)
      do {
        try input.checkUnchanged()
        Issue.record("nothing was seen")
      } catch {
        #expect(error.status == .ioError && error.message == "changed while it was read")
      }
    }
    try change { try write("54321".utf8, to: $0) }
    try change { truncate($0.string, 3) }
    try change { path in
      var status = stat()
      stat(path.string, &status)
      try write("54321".utf8, to: path)
      var times = [status.st_atim, status.st_mtim]
      utimensat(AT_FDCWD, path.string, &times, 0)
    }
    try write("12345".utf8, to: target)
    let input = try Input(target.string)
    _ = try contents(of: target)
    try input.checkUnchanged()
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
