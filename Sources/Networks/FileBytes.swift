// SPDX-License-Identifier: Apache-2.0

internal import Glibc
package import Parallel
public import SystemPackage

/// Reads exactly `count` bytes at `offset`, large reads on several threads.
package func read(_ file: FileDescriptor, at offset: Int, count: Int, threads: Threads = Threads(1))
  throws(NetworkError)
  -> [UInt8]
{
  // Long enough that a read costs more than handing it to a thread.
  let piece = 8 << 20
  return try about {
    try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      nonisolated(unsafe) let buffer = UnsafeMutableRawBufferPointer(buffer)
      adviseHugePages(buffer)
      _ = try threads.map((count + piece - 1) / piece) { index in
        let start = index * piece
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[start..<min(start + piece, count)])
        try read(file, at: offset + start, into: part)
      }
      initialized = count
    }
  }
}

/// Reads as many bytes at `offset` as `out` has room for.
package func read(_ file: FileDescriptor, at offset: Int, into out: UnsafeMutableRawBufferPointer) throws(NetworkError)
{
  try about {
    var rest = out
    var position = Int64(offset)
    while !rest.isEmpty {
      let got = try file.read(fromAbsoluteOffset: position, into: rest)
      guard got > 0 else { throw NetworkError(.corrupt, "the file ends at byte \(position)") }
      position += Int64(got)
      rest = UnsafeMutableRawBufferPointer(rebasing: rest[got...])
    }
  }
}

/// Calls `body` with bytes of a file in place, without a copy.
///
/// A file that is cut meanwhile makes the system send SIGBUS; a tool turns that into an error (`Tool.main`).
func withMapping<Result>(
  _ file: FileDescriptor, at offset: Int, count: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
) throws -> Result {
  // Mapping costs more than reading so little.
  if count < 1 << 16 { return try read(file, at: offset, count: count).withUnsafeBytes(body) }
  guard let mapped = MappedBytes(file, at: offset, count: count) else {
    return try read(file, at: offset, count: count).withUnsafeBytes(body)
  }
  return try withExtendedLifetime(mapped) {
    mapped.populate()
    return try body(mapped.bytes)
  }
}

/// Part of a file in memory, in place, for as long as somebody uses it.
package final class MappedBytes: @unchecked Sendable {
  package let bytes: UnsafeRawBufferPointer
  private let base: UnsafeMutableRawPointer
  private let length: Int

  /// `nil` for no bytes, and for a kind of file that cannot be mapped.
  package init?(_ file: FileDescriptor, at offset: Int, count: Int) {
    let inside = offset % pageSize
    length = count + inside
    guard count > 0, let base = mmap(nil, length, PROT_READ, MAP_PRIVATE, file.rawValue, off_t(offset - inside)),
      base != MAP_FAILED
    else { return nil }
    self.base = base
    bytes = UnsafeRawBufferPointer(start: base + inside, count: count)
  }

  deinit { munmap(base, length) }

  /// Reads all of it: one call instead of a fault for every few pages. Older kernels refuse, which costs nothing but time.
  func populate() { madvise(base, length, populateForReading) }
}

private let pageSize = sysconf(Int32(_SC_PAGESIZE))
/// Linux's `MADV_POPULATE_READ`, which the C library here does not name.
private let populateForReading: Int32 = 22

/// Asks for huge pages under a large buffer that was not touched yet: clearing small ones one by one costs more than
/// reading a file into them.
private func adviseHugePages(_ buffer: UnsafeMutableRawBufferPointer) {
  let page = 2 << 20
  guard let base = buffer.baseAddress, buffer.count >= 2 * page else { return }
  let start = (UInt(bitPattern: base) + UInt(page) - 1) & ~(UInt(page) - 1)
  let end = (UInt(bitPattern: base) + UInt(buffer.count)) & ~(UInt(page) - 1)
  // A refusal costs time and nothing else.
  _ = UnsafeMutableRawPointer(bitPattern: start).map { madvise($0, Int(end - start), MADV_HUGEPAGE) }
}

/// Writes all bytes at `offset`.
package func writeBytes(_ bytes: some Sequence<UInt8>, to file: FileDescriptor, at offset: Int) throws(NetworkError) {
  do {
    _ = try file.writeAll(toAbsoluteOffset: Int64(offset), bytes)
  } catch {
    throw NetworkError(.output, "\(error)")
  }
}

/// Linux's `O_TMPFILE`, a chain of C macros that is not imported.
public let unnamedFile: Int32 = 0o20_000_000 | O_DIRECTORY

/// The folder of temporary files.
public var temporaryFolder: String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }

/// Opens an unnamed temporary file; it is gone with the process, whatever ends it.
public func temporaryFile() throws(NetworkError) -> FileDescriptor {
  let folder = temporaryFolder
  var descriptor = Glibc.open(folder, unnamedFile | O_RDWR | O_CLOEXEC, 0o600)
  if descriptor < 0 {
    var template = Array("\(folder)/nc-XXXXXX".utf8CString)
    descriptor = mkstemp(&template)
    if descriptor >= 0 { unlink(template) }
  }
  guard descriptor >= 0 else {
    throw NetworkError(.output, "no temporary file in \(folder): \(Errno(rawValue: errno))")
  }
  return FileDescriptor(rawValue: descriptor)
}

/// Reverses the bytes of every element.
package func swapBytes(_ bytes: inout [UInt8], elementSize: Int) {
  func swap<Element: FixedWidthInteger>(_: Element.Type, _ buffer: UnsafeMutableRawBufferPointer) {
    for offset in stride(from: 0, to: buffer.count, by: MemoryLayout<Element>.size) {
      let element = buffer.loadUnaligned(fromByteOffset: offset, as: Element.self)
      buffer.storeBytes(of: element.byteSwapped, toByteOffset: offset, as: Element.self)
    }
  }
  bytes.withUnsafeMutableBytes { buffer in
    switch elementSize {
    case 2: swap(UInt16.self, buffer)
    case 4: swap(UInt32.self, buffer)
    case 8: swap(UInt64.self, buffer)
    default: break
    }
  }
}

/// Sets the size of a file that is being written.
func resize(_ file: FileDescriptor, to size: Int) throws(NetworkError) {
  do {
    try file.resize(to: Int64(size))
  } catch {
    throw NetworkError(.output, "\(error)")
  }
}
