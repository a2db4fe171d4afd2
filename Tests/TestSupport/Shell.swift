// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage

/// What a command line did.
public struct Outcome: Sendable {
  /// The exit status as the shell has it: 128 + the number of the signal for a process that died by one.
  public let status: Int32
  public let output: [UInt8]
  public let diagnostics: String
}

/// Runs a command line of `sh` with the built tools first in the path, in the C locale unless it says otherwise, and
/// nothing on standard input.
///
/// - Parameter folder: the working directory.
public func shell(_ script: String, in folder: TemporaryFolder) throws -> Outcome {
  let (output, diagnostics) = (try OpenFile(), try OpenFile())
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)

  let arguments = ["sh", "-c", "cd \"$0\" || exit 127\n\(script)", folder.path.string]
  let sanitizer = getenv("ASAN_OPTIONS").map { ["ASAN_OPTIONS=" + String(cString: $0)] } ?? []
  let environment = ["PATH=\(BuiltTools.folder):/usr/bin:/bin", "TMPDIR=\(folder.path)", "LC_ALL=C"] + sanitizer
  let process = try output.with { output, _ in
    try diagnostics.with { diagnostics, _ in
      posix_spawn_file_actions_adddup2(&actions, output.rawValue, STDOUT_FILENO)
      posix_spawn_file_actions_adddup2(&actions, diagnostics.rawValue, STDERR_FILENO)
      var process = pid_t()
      let failure = withCStrings(arguments) { arguments in
        withCStrings(environment) { posix_spawn(&process, "/bin/sh", &actions, nil, arguments, $0) }
      }
      guard failure == 0 else { throw Errno(rawValue: failure) }
      return process
    }
  }
  var status: Int32 = 0
  while waitpid(process, &status, 0) < 0 {
    guard errno == EINTR else { throw Errno(rawValue: errno) }
  }
  let signal = status & 0x7F
  return Outcome(
    status: signal == 0 ? status >> 8 & 0xFF : 128 + signal, output: try output.bytes,
    diagnostics: String(decoding: try diagnostics.bytes, as: UTF8.self))
}

private func withCStrings<Result>(
  _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) throws -> Result
) rethrows -> Result {
  let pointers = strings.map { strdup($0) }
  defer { for pointer in pointers { free(pointer) } }
  return try body(pointers + [nil])
}
