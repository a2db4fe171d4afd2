// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage

/// Files that each test of a suite begins with. They are made once.
public struct Preparation: Sendable {
  private let files: Result<[(name: String, bytes: [UInt8])], any Error>

  /// - Parameters:
  ///   - fixtures: names of files, and where they are in `fixtures`.
  ///   - script: what makes the other files of them; it must end with status 0.
  public init(_ fixtures: KeyValuePairs<String, String>, _ script: String = "") {
    files = Result {
      let folder = try TemporaryFolder()
      for (name, path) in fixtures { try write(contents(of: Fixtures.folder.appending(path)), to: folder / name) }
      let run = try shell(script, in: folder)
      guard run.status == 0 else { throw Failure(script: script, diagnostics: run.diagnostics) }
      return try names(in: folder.path).map { ($0, try contents(of: folder / $0)) }
    }
  }

  /// A new folder with these files.
  public func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for (name, bytes) in try files.get() { try write(bytes, to: folder / name) }
    return folder
  }

  private struct Failure: Error {
    let script: String
    let diagnostics: String
  }
}
