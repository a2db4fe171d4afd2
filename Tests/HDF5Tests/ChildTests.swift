// SPDX-License-Identifier: Apache-2.0

import Glibc
import HDF5
import SystemPackage
import Testing

/// What the parent makes of a child that is no child of ours: scripts in its place, which find the channel at 3.
@Suite struct ChildTests {
  /// Opens a file with a script as the child.
  private func error(
    _ script: String, seconds: Double = 10, patience: Double = 30
  ) throws -> (error: HDF5Error?, seconds: Double) {
    var template = Array("/tmp/hdf5-child-XXXXXX".utf8CString)
    let file = FileDescriptor(rawValue: mkstemp(&template))
    let path = template.withUnsafeBufferPointer { FilePath(platformString: $0.baseAddress!) }
    defer { unlink(template) }
    try file.writeAll("#!/bin/sh\n\(script)\n".utf8)
    fchmod(file.rawValue, 0o700)
    try file.close()
    let source = try FileDescriptor.open(files.appending("filters.h5"), .readOnly)
    defer { try? source.close() }
    let limits = Limits(memory: 1 << 30, seconds: seconds, patience: patience)
    let begin = ContinuousClock.now
    let error = Session.$standIn.withValue(path) {
      #expect(throws: HDF5Error.self, "\(script)") { _ = try openSession(source, limits: limits) }
    }
    return (error, (ContinuousClock.now - begin) / .seconds(1))
  }

  @Test(arguments: [
    ("exit 3", HDF5Error.corrupt("libhdf5 ended on this file (status 3)")),
    ("exit 127", .io("the process that reads HDF5 does not find its libraries")),
    ("kill -KILL $$", .io("the process that reads HDF5 was killed (signal 9)")),
    ("kill -TERM $$", .io("the process that reads HDF5 was killed (signal 15)")),
    ("kill -SYS $$", .corrupt("libhdf5 tried a forbidden system call on this file")),
    ("kill -ABRT $$", .corrupt("libhdf5 died by signal 6 on this file")),
    ("kill -SEGV $$", .corrupt("libhdf5 died by signal 11 on this file")),
    ("kill -XCPU $$", .overTime("libhdf5 takes more than 10 s of processor time")),
    // The same after the request was left unread, which the parent sees as an error of its own.
    ("sleep .1; kill -TERM $$", .io("the process that reads HDF5 was killed (signal 15)")),
  ])
  func aDeathIsToldByItsCause(_ script: String, _ expected: HDF5Error) throws {
    #expect(try error("ulimit -c 0; \(script)").error == expected)
  }

  /// A loop is stopped after its processor time.
  @Test func loopsEnd() throws {
    let (error, seconds) = try error("while :; do :; done", seconds: 0.3)
    #expect(error == .overTime("libhdf5 takes more than 0.3 s of processor time"))
    #expect(seconds < 60)
  }

  @Test func sleepersAreGivenUp() throws {
    let (error, seconds) = try error("exec sleep 1000", patience: 0.3)
    #expect(error == .overLimit("libhdf5 has neither computed nor read for 0.3 s on this file"))
    #expect(seconds < 60)
  }

  /// One that closes its end and lives is not waited for.
  @Test func whoHangsUpIsKilled() throws {
    let (error, seconds) = try error("exec sleep 1000 3>&-")
    #expect(error == .corrupt("the process that reads HDF5 closed its connection on this file"))
    #expect(seconds < 60)
  }

  /// A stopped process is late, whatever the patience; so is one whose time is spent otherwise than asleep.
  @Test func lateIsNotHung() throws {
    let (error, seconds) = try error("(sleep 1; kill -CONT $$) & kill -STOP $$; exit 7", patience: 0.2)
    #expect(error == .corrupt("libhdf5 ended on this file (status 7)"))
    #expect(seconds > 0.9)
  }

  @Test func theSandboxHasAName() {
    #expect(Session.sandbox.contains("seccomp") && Session.sandbox.contains("Landlock"))
  }
}
