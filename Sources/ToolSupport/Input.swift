// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Networks
public import SystemPackage

/// A seekable file to read: a path, or standard input, which is spooled to an unnamed temporary file unless it can be
/// read at any offset itself.
public struct Input: ~Copyable {
  /// The descriptor, to be read at absolute offsets only.
  public let file: FileDescriptor
  /// Bytes of the file.
  public let size: Int
  /// The path, or `standard input`.
  public let name: String
  /// What a file made from this one may be used for: read and written by whom this may; by anybody where it is a pipe.
  public let permissions: FilePermissions
  /// What it was like when it was opened; `nil` for a copy of our own.
  private let state: FileState?

  /// Opens `path`; `nil` or `-` is standard input.
  public init(_ path: String?) throws(Failure) {
    if let path, path != "-" {
      try self.init(file: path)
    } else {
      try self.init(standardInput: ())
    }
  }

  private init(file path: String) throws(Failure) {
    let file: FileDescriptor
    do {
      file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
    } catch {
      throw Failure(.noInput, file: path, "\(error)")
    }
    try self.init(file, name: path)
  }

  private init(standardInput: ()) throws(Failure) {
    let name = "standard input"
    if isatty(STDIN_FILENO) == 1 {
      throw Failure(.usage, "no input: name a file, or send one to standard input")
    }
    try self.init(.standardInput, name: name)
  }

  /// Takes `file` as it is when it is a regular file at its beginning, else copies what can be read from it.
  private init(_ file: FileDescriptor, name: String) throws(Failure) {
    var status = stat()
    guard fstat(file.rawValue, &status) == 0 else { throw Failure(.noInput, file: name, errorText()) }
    if status.st_mode & S_IFMT == S_IFDIR { throw Failure(.noInput, file: name, "is a directory") }
    let isRegular = status.st_mode & S_IFMT == S_IFREG && lseek(file.rawValue, 0, SEEK_CUR) == 0
    let source = isRegular ? file : try spool(file, name: name)
    if !isRegular {
      if file != .standardInput { try? file.close() }
      guard fstat(source.rawValue, &status) == 0 else { throw Failure(.ioError, file: name, errorText()) }
    }
    self.file = source
    size = Int(status.st_size)
    self.name = name
    permissions = isRegular ? FilePermissions(rawValue: status.st_mode & 0o777) : .ofNewFiles
    state = isRegular ? FileState(status) : nil
  }

  /// Makes sure that the file is what it was when it was opened: to be called after the last byte was read, before
  /// anything is made of what was read.
  ///
  /// Seen are: another file, another size, another time of modification or change. Within the resolution of the file
  /// system's clock (a few milliseconds before Linux 6.13) a change may go unseen. A copy of a pipe cannot change.
  ///
  /// - Throws: status 74.
  public func checkUnchanged() throws(Failure) {
    guard let state else { return }
    var status = stat()
    guard fstat(file.rawValue, &status) == 0 else { throw Failure(.ioError, file: name, errorText()) }
    guard FileState(status) == state else { throw Failure(.ioError, file: name, "changed while it was read") }
  }

  deinit { if file != .standardInput { try? file.close() } }
}

/// What a file is like without a look into it.
private struct FileState: Equatable {
  private let device: UInt
  private let number: UInt
  private let size: Int
  private let modified: [Int]
  private let changed: [Int]

  init(_ status: stat) {
    device = UInt(status.st_dev)
    number = UInt(status.st_ino)
    size = Int(status.st_size)
    modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
  }
}

extension FilePermissions {
  /// What a new file gets where nothing speaks against it.
  public static let ofNewFiles = FilePermissions(rawValue: 0o666)
}

/// A temporary file whose failure is the tool's.
func temporaryFile() throws(Failure) -> FileDescriptor {
  do {
    return try Networks.temporaryFile()
  } catch {
    throw Failure(.cannotCreate, error.message)
  }
}

private func spool(_ file: FileDescriptor, name: String) throws(Failure) -> FileDescriptor {
  let copy = try temporaryFile()
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
  defer { buffer.deallocate() }
  do {
    while case let count = try file.read(into: buffer), count > 0 {
      do {
        _ = try copy.writeAll(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      } catch {
        throw Failure(.ioError, file: name, "cannot be copied to \(temporaryFolder): \(error)")
      }
    }
  } catch let failure as Failure {
    throw failure
  } catch {
    throw Failure(.ioError, file: name, "\(error)")
  }
  return copy
}

/// The text of the error that the last system call left.
func errorText() -> String { Errno(rawValue: errno).description }
