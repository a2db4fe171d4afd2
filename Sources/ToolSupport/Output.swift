// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import CProcess
internal import Glibc
internal import Networks
public import SystemPackage

/// A file being written that appears under its name only when it is whole.
///
/// A regular file is written without a name (or under a hidden name where the file system cannot do that), synced, and
/// then linked or renamed to its final name, and its folder synced. Standard output, pipes and devices are written
/// straight.
///
/// A symbolic link is followed: its target is replaced, and the link stays.
public final class Output {
  /// What a tool writes. An existing file of another kind is never replaced.
  public enum Kind: String, Sendable {
    case ncz = ".ncz"
    case hdf5 = "HDF5"
    /// What a `.ncz` was made from.
    case source = "HDF5 or .keras"
    case svg = "SVG"
    case html = "HTML"

    /// Whether writing needs offsets that do not only grow.
    var isSeekable: Bool { self == .hdf5 || self == .source }

    /// Checks that a file of this kind has no name of another kind, under which nobody could open it.
    ///
    /// - Parameter option: `--plot`
    /// - Throws: a `ValidationError`; only for a picture or a page.
    public func check(name: String, of option: String) throws {
      let suffix: String
      switch self {
      case .svg: suffix = ".svg"
      case .html: suffix = ".html"
      case .ncz, .hdf5, .source: return
      }
      let others = [
        ".png", ".pdf", ".jpg", ".jpeg", ".gif", ".eps", ".ps", ".webp", ".svg", ".html", ".txt", ".md", ".json",
      ]
      if let other = others.first(where: name.lowercased().hasSuffix), other != suffix {
        throw ValidationError(
          "\(option) \(name): writes \(rawValue), not \(other.dropFirst().uppercased()); name it \(suffix)")
      }
    }
  }

  /// The path, or `standard output`.
  public let name: String
  /// Where to write.
  public let file: FileDescriptor

  private enum Destination {
    /// Written straight.
    case direct
    /// Written to an unnamed file that nobody will see.
    case discarded
    /// An unnamed file, to be copied to where it is wanted when `finish()` is called.
    case copied(to: FileDescriptor)
    /// An unnamed file in the folder of `path`.
    case unnamed(path: FilePath)
    /// A hidden file beside `path`.
    case hidden(HiddenFile, path: FilePath)
  }
  private let destination: Destination
  private let replacesExisting: Bool

  /// Prepares to write `path`; `nil` or `-` is standard output.
  ///
  /// - Parameters:
  ///   - kind: what will be written.
  ///   - permissions: of a new file, less those that the umask takes away. A file that is replaced passes on its own,
  ///     and its owner and group where the system allows it.
  ///   - force: replace an existing file, if it is empty or of the same kind.
  ///   - dryRun: nothing appears anywhere.
  public init(
    _ path: String?, _ kind: Kind, permissions: FilePermissions, force: Bool, dryRun: Bool = false
  ) throws(Failure) {
    replacesExisting = force
    if dryRun {
      name = path ?? Self.standardOutputName
      file = try temporaryFile()
      destination = .discarded
      return
    }
    guard let path, path != "-" else {
      name = Self.standardOutputName
      if isatty(STDOUT_FILENO) == 1 {
        throw Failure(.usage, "binary output to a terminal is refused: name a file, or redirect standard output")
      }
      file = kind.isSeekable ? try temporaryFile() : .standardOutput
      destination = kind.isSeekable ? .copied(to: .standardOutput) : .direct
      return
    }
    name = path
    let existing = try Self.status(of: path)
    if let existing, existing.st_mode & S_IFMT != S_IFREG {
      guard existing.st_mode & S_IFMT != S_IFDIR else { throw Failure(.cannotCreate, file: path, "is a directory") }
      let target = try Self.opened(path, path, options: .closeOnExec)
      file = kind.isSeekable ? try temporaryFile() : target
      destination = kind.isSeekable ? .copied(to: target) : .direct
      return
    }
    if existing != nil { try Self.check(path, mayBeReplacedBy: kind, force: force) }
    let target = try Self.target(of: path, exists: existing != nil, force: force)
    // Nobody may read what is written for longer or wider than the file that it replaces.
    let mode = existing == nil ? permissions.rawValue & 0o777 : S_IRUSR | S_IWUSR
    if let unnamed = Self.unnamedFile(in: target.folder, mode) {
      file = FileDescriptor(rawValue: unnamed)
      destination = .unnamed(path: target)
    } else {
      let hidden = HiddenFile(in: target.folder)
      file = try Self.opened(
        hidden.path, path, .readWrite, options: [.create, .exclusiveCreate, .closeOnExec],
        permissions: FilePermissions(rawValue: mode))
      destination = .hidden(hidden, path: target)
    }
    if let existing { pass(existing, to: file.rawValue) }
  }

  /// Whether what is written goes to standard output, which then has no room for a report.
  public var isStandardOutput: Bool { name == Self.standardOutputName }
  private static let standardOutputName = "standard output"

  /// Writes text.
  public func write(_ text: String) throws(Failure) {
    do {
      _ = try file.writeAll(text.utf8)
    } catch {
      throw Failure(.ioError, file: name, "\(error)")
    }
  }

  /// Makes the output appear under its name, synced to disk.
  public func finish() throws(Failure) {
    switch destination {
    case .direct, .discarded:
      break
    case .copied(let target):
      try copy(to: target)
    case .unnamed(let path):
      try sync()
      if replacesExisting {
        // A link cannot take the place of a file, a rename can. SIGKILL or a loss of power between these two calls, and
        // there alone, leaves a hidden file; its name is random, so it is in nobody's way.
        let hidden = HiddenFile(in: path.folder)
        try created(linkUnnamed(to: hidden.path))
        try rename(hidden, to: path)
      } else {
        try created(linkUnnamed(to: path.string))
      }
      try syncFolder(path.folder)
    case .hidden(let hidden, let path):
      try sync()
      if replacesExisting {
        try rename(hidden, to: path)
      } else if nc_rename_new(hidden.path, path.string) == 0 {
        hidden.forget()
      } else {
        // Where a rename cannot leave an existing file alone, a link does.
        try created(errno == EEXIST ? -1 : link(hidden.path, path.string))
      }
      try syncFolder(path.folder)
    }
  }

  deinit {
    if case .copied(let target) = destination, target != .standardOutput { try? target.close() }
    if file != .standardOutput { try? file.close() }
  }

  // MARK: Before

  /// What is at a path, symbolic links followed; `nil` when there is nothing.
  private static func status(of path: String) throws(Failure) -> stat? {
    var status = stat()
    if stat(path, &status) == 0 { return status }
    guard errno == ENOENT else { throw Failure(.cannotCreate, file: path, errorText()) }
    return nil
  }

  private static func check(_ path: String, mayBeReplacedBy kind: Kind, force: Bool) throws(Failure) {
    guard force else { throw Failure(.cannotCreate, file: path, "exists; --force replaces it") }
    let found: String
    do {
      let file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
      defer { try? file.close() }
      let size = Int(try file.seek(offset: 0, from: .end))
      if size == 0 { return }
      switch try NetworkFile.Kind(contentOf: file, size: size) {
      case .ncz?:
        if kind == .ncz { return }
        found = "a .ncz file"
      case .hdf5?:
        if kind == .hdf5 || kind == .source { return }
        found = "an HDF5 file"
      case .keras?:
        if kind == .source { return }
        found = "a .keras file"
      case nil:
        if try kind.isText(file) { return }
        found = "a file of another kind"
      }
    } catch {
      throw Failure(.cannotCreate, file: path, "exists and cannot be read, so --force does not replace it: \(error)")
    }
    throw Failure(
      .cannotCreate, file: path,
      "is \(found); --force replaces \(kind.rawValue) files alone. Remove it first, or choose another name")
  }

  private static func opened(
    _ path: String, _ name: String, _ access: FileDescriptor.AccessMode = .writeOnly,
    options: FileDescriptor.OpenOptions, permissions: FilePermissions? = nil
  ) throws(Failure) -> FileDescriptor {
    do {
      return try FileDescriptor.open(FilePath(path), access, options: options, permissions: permissions)
    } catch {
      throw Failure(.cannotCreate, file: name, "\(error)")
    }
  }

  /// The path without the symbolic links that its last component stands for.
  private static func target(of path: String, exists: Bool, force: Bool) throws(Failure) -> FilePath {
    var target = FilePath(path)
    // As many as Linux follows.
    for _ in 0..<40 {
      var status = stat()
      guard lstat(target.string, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return target }
      var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
      guard readlink(target.string, &buffer, buffer.count - 1) > 0 else { break }
      // Relative to the folder of the link.
      target = target.removingLastComponent().pushing(FilePath(platformString: buffer))
      guard exists || force else {
        throw Failure(
          .cannotCreate, file: path, "is a symbolic link to \(target), which does not exist; --force makes that file")
      }
    }
    throw Failure(.cannotCreate, file: path, "leads through too many symbolic links")
  }

  /// Opens a file without a name in a folder; `nil` where the file system has none, or where it could get no name.
  private static func unnamedFile(in folder: String, _ mode: mode_t) -> Int32? {
    guard access(descriptorFolder, X_OK) == 0 else { return nil }
    let descriptor = open(folder, Networks.unnamedFile | O_RDWR | O_CLOEXEC, mode)
    return descriptor >= 0 ? descriptor : nil
  }

  /// Gives the file owner, group and permissions of the one that it is to replace. Of a group that cannot be kept, the
  /// permissions are dropped: they were not meant for another one.
  private func pass(_ existing: stat, to descriptor: Int32) {
    var mode = existing.st_mode & 0o777
    if fchown(descriptor, existing.st_uid, existing.st_gid) != 0, fchown(descriptor, .max, existing.st_gid) != 0 {
      mode &= ~0o070
    }
    _ = fchmod(descriptor, mode)
  }

  // MARK: After

  private func sync() throws(Failure) {
    guard synced(file.rawValue) else { throw Failure(.ioError, file: name, errorText()) }
  }

  /// A name is as durable as its folder. Where the folder may be written but not read, or the file system cannot do it,
  /// there is no more to be done.
  private func syncFolder(_ folder: String) throws(Failure) {
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    guard synced(descriptor) || errno == EINVAL || errno == ENOTSUP else {
      throw Failure(.ioError, file: name, "its folder: \(errorText())")
    }
  }

  private func linkUnnamed(to path: String) -> Int32 {
    linkat(AT_FDCWD, "\(descriptorFolder)/\(file.rawValue)", AT_FDCWD, path, AT_SYMLINK_FOLLOW)
  }

  private func created(_ result: Int32) throws(Failure) {
    if result == 0 { return }
    throw Failure(.cannotCreate, file: name, errno == EEXIST ? "exists; --force replaces it" : errorText())
  }

  private func rename(_ hidden: HiddenFile, to path: FilePath) throws(Failure) {
    guard Glibc.rename(hidden.path, path.string) == 0 else {
      throw Failure(.cannotCreate, file: name, errorText())
    }
    hidden.forget()
  }

  private func copy(to target: FileDescriptor) throws(Failure) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { buffer.deallocate() }
    var offset: Int64 = 0
    do {
      while case let count = try file.read(fromAbsoluteOffset: offset, into: buffer), count > 0 {
        _ = try target.writeAll(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        offset += Int64(count)
      }
    } catch {
      throw Failure(.ioError, file: name, "\(error)")
    }
  }
}

extension Output.Kind {
  /// Whether a file is a text that looks like one of this kind.
  fileprivate func isText(_ file: FileDescriptor) throws -> Bool {
    var front = [UInt8](repeating: 0, count: 4096)
    let count = try front.withUnsafeMutableBytes { try file.read(fromAbsoluteOffset: 0, into: $0) }
    let text = String(decoding: front[..<count], as: UTF8.self).lowercased()
    let begin = text.drop { $0.isWhitespace || $0 == "\u{FEFF}" }
    return switch self {
    case .ncz, .hdf5, .source: false
    case .html: begin.hasPrefix("<!doctype html") || begin.hasPrefix("<html")
    case .svg: begin.hasPrefix("<svg") || begin.hasPrefix("<?xml") && text.contains("<svg")
    }
  }
}

/// A file under a hidden, random name: it goes when nobody holds this any more, or when a signal ends the process.
private final class HiddenFile {
  let path: String
  private var ownPath: UnsafeMutablePointer<CChar>?

  init(in folder: String) {
    path = "\(folder)/.nc-\(String(UInt64.random(in: 0...UInt64.max), radix: 36)).tmp"
    ownPath = strdup(path)
    nc_process_hides(ownPath)
  }

  /// It has its name.
  func forget() {
    nc_process_hides(nil)
    free(ownPath)
    ownPath = nil
  }

  deinit {
    guard let ownPath else { return }
    unlink(ownPath)
    forget()
  }
}

/// Where the descriptors of this process have names.
private let descriptorFolder = "/proc/self/fd"

extension FilePath {
  fileprivate var folder: String {
    let folder = removingLastComponent()
    return folder.isEmpty ? "." : folder.string
  }
}

/// Waits until what was written is on the disk, whatever interrupts it.
private func synced(_ descriptor: Int32) -> Bool {
  while fsync(descriptor) != 0 {
    guard errno == EINTR else { return false }
  }
  return true
}
