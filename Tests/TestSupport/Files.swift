// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Networks
public import SystemPackage

/// Files that come with the project.
public enum Fixtures {
  /// The folder `fixtures`.
  public static let folder = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
    .appending("fixtures")

  /// The small real networks: HDF5 files and `.keras` archives.
  public static let networks = files(in: folder.appending("networks"), extensions: ["h5", "keras"])

  /// The files of a folder that have one of these extensions, in the order of their names; none when there is no such
  /// folder.
  public static func files(in folder: FilePath, extensions: Set<String>) -> [FilePath] {
    names(in: folder).map { folder.appending($0) }.filter { extensions.contains($0.extension ?? "") }
  }
}

/// The names in a folder, sorted.
public func names(in folder: FilePath) -> [String] {
  guard let stream = opendir(folder.string) else { return [] }
  defer { closedir(stream) }
  var names: [String] = []
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    if name != ".", name != ".." { names.append(name) }
  }
  return names.sorted()
}

/// All bytes of a file.
public func contents(of path: FilePath) throws -> [UInt8] {
  try OpenFile(path).bytes
}

private func contents(of file: FileDescriptor) throws -> [UInt8] {
  let size = Int(try file.seek(offset: 0, from: .end))
  return try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
    while count < size {
      let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
      let got = try file.read(fromAbsoluteOffset: Int64(count), into: rest)
      if got == 0 { break }
      count += got
    }
  }
}

/// Makes a file of these bytes, or replaces it.
public func write(_ bytes: some Sequence<UInt8>, to path: FilePath) throws {
  let file = try FileDescriptor.open(
    path, .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: .ownerReadWrite)
  try file.closeAfter { _ = try file.writeAll(bytes) }
}

/// An open file, closed with its last reference.
public final class OpenFile: Sendable {
  private let file: FileDescriptor

  /// Opens the file at a path for reading.
  public init(_ path: FilePath) throws { file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec) }

  /// Makes a file without a name that holds these bytes.
  public init(_ bytes: [UInt8] = []) throws {
    file = try temporaryFile()
    _ = try file.writeAll(toAbsoluteOffset: 0, bytes)
  }

  deinit { try? file.close() }

  /// Lends the descriptor, which is open at least as long as the work takes, and the size of the file.
  public func with<Result>(_ work: (_ file: FileDescriptor, _ size: Int) throws -> Result) throws -> Result {
    try withExtendedLifetime(self) { try work(file, Int(file.seek(offset: 0, from: .end))) }
  }

  public var bytes: [UInt8] { get throws { try with { file, _ in try contents(of: file) } } }

  public func replace(at offset: Int, with byte: UInt8) throws {
    _ = try file.writeAll(toAbsoluteOffset: Int64(offset), CollectionOfOne(byte))
  }

  public func resize(to size: Int) throws { try file.resize(to: Int64(size)) }
}

/// A new folder that is removed with all that is in it.
public final class TemporaryFolder: Sendable {
  public let path: FilePath

  public init() throws {
    var template = Array("\(getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp")/nc-tests-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
    path = FilePath(platformString: template)
  }

  deinit { remove(path) }

  public static func / (folder: TemporaryFolder, name: String) -> FilePath { folder.path.appending(name) }

  private func remove(_ folder: FilePath) {
    for name in names(in: folder) {
      let path = folder.appending(name)
      if unlink(path.string) != 0 { remove(path) }
    }
    rmdir(folder.string)
  }
}
