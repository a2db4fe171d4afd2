internal import Glibc
internal import Networks
public import SystemPackage

/// A file being written that appears under its name only when it is whole.
///
/// A regular file is written without a name (or under a hidden name where the file system cannot do that), synced, and
/// then linked or renamed to its final name. Standard output, pipes and devices are written straight.
public final class Output {
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
    case hidden(FilePath, path: FilePath)
  }
  private let destination: Destination
  private let replacesExisting: Bool

  /// Prepares to write `path`; `nil` or `-` is standard output.
  ///
  /// - Parameters:
  ///   - force: replace an existing file.
  ///   - seekable: `file` must take writes at any offset, also when the output is a pipe.
  ///   - dryRun: nothing appears anywhere.
  public init(_ path: String?, force: Bool, seekable: Bool = false, dryRun: Bool = false) throws(Failure) {
    replacesExisting = force
    if dryRun {
      name = path ?? "standard output"
      file = try temporaryFile()
      destination = .discarded
      return
    }
    guard let path, path != "-" else {
      name = Self.standardOutputName
      if isatty(STDOUT_FILENO) == 1 {
        throw Failure(.usage, "binary output to a terminal is refused: name a file, or redirect standard output")
      }
      if seekable {
        file = try temporaryFile()
        destination = .copied(to: .standardOutput)
      } else {
        file = .standardOutput
        destination = .direct
      }
      return
    }
    name = path
    var status = stat()
    let exists = stat(path, &status) == 0
    if exists, status.st_mode & S_IFMT != S_IFREG {
      guard status.st_mode & S_IFMT != S_IFDIR else { throw Failure(.cannotCreate, file: path, "is a directory") }
      if seekable {
        // A device or a pipe: as for standard output, but opened here.
        let target = open(path, O_WRONLY | O_CLOEXEC)
        guard target >= 0 else { throw Failure(.cannotCreate, file: path, errorText()) }
        file = try temporaryFile()
        destination = .copied(to: FileDescriptor(rawValue: target))
        return
      }
      let descriptor = open(path, O_WRONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw Failure(.cannotCreate, file: path, errorText()) }
      file = FileDescriptor(rawValue: descriptor)
      destination = .direct
      return
    }
    if exists, !force { throw Failure(.cannotCreate, file: path, "exists; --force replaces it") }
    let target = FilePath(path)
    let folder = target.removingLastComponent()
    let folderPath = folder.isEmpty ? "." : folder.string
    let unnamed = open(folderPath, unnamedFile | O_RDWR | O_CLOEXEC, 0o666)
    if unnamed >= 0 {
      file = FileDescriptor(rawValue: unnamed)
      destination = .unnamed(path: target)
      return
    }
    let hidden = Self.hiddenSibling(of: target)
    let descriptor = open(hidden.string, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw Failure(.cannotCreate, file: path, errorText()) }
    removeOnSignal(hidden)
    file = FileDescriptor(rawValue: descriptor)
    destination = .hidden(hidden, path: target)
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
      let link = "/proc/self/fd/\(file.rawValue)"
      if !replacesExisting {
        try linked(linkat(AT_FDCWD, link, AT_FDCWD, path.string, AT_SYMLINK_FOLLOW))
      } else {
        let hidden = Self.hiddenSibling(of: path)
        try linked(linkat(AT_FDCWD, link, AT_FDCWD, hidden.string, AT_SYMLINK_FOLLOW))
        try rename(hidden, to: path)
      }
    case .hidden(let hidden, let path):
      try sync()
      if replacesExisting {
        try rename(hidden, to: path)
      } else {
        try linked(link(hidden.string, path.string))
        unlink(hidden.string)
      }
    }
    isFinished = true
  }
  private var isFinished = false

  deinit {
    if case .hidden(let hidden, _) = destination, !isFinished { unlink(hidden.string) }
    if file != .standardOutput { try? file.close() }
  }

  private func sync() throws(Failure) {
    guard fsync(file.rawValue) == 0 else { throw Failure(.ioError, file: name, errorText()) }
  }

  private func linked(_ result: Int32) throws(Failure) {
    if result == 0 { return }
    if errno == EEXIST { throw Failure(.cannotCreate, file: name, "exists; --force replaces it") }
    throw Failure(.cannotCreate, file: name, errorText())
  }

  private func rename(_ hidden: FilePath, to path: FilePath) throws(Failure) {
    guard Glibc.rename(hidden.string, path.string) == 0 else {
      let text = errorText()
      unlink(hidden.string)
      throw Failure(.cannotCreate, file: name, text)
    }
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

  private static func hiddenSibling(of path: FilePath) -> FilePath {
    let folder = path.removingLastComponent()
    let name = ".\(path.lastComponent?.string ?? "output").\(getpid()).tmp"
    return folder.isEmpty ? FilePath(name) : folder.appending(name)
  }
}

/// The path that a dying process removes, as a C string that lives for ever.
private nonisolated(unsafe) var hiddenPath: UnsafeMutablePointer<CChar>?

/// Removes the hidden file when the process is ended by a signal, which then takes its usual course.
private func removeOnSignal(_ path: FilePath) {
  hiddenPath = strdup(path.string)
  for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] {
    signal(number) { number in
      if let hiddenPath { unlink(hiddenPath) }
      signal(number, SIG_DFL)
      raise(number)
    }
  }
}
