// SPDX-License-Identifier: Apache-2.0

import Glibc
import HDF5
import Synchronization
import SystemPackage
import Tensors

let ample = Limits(memory: 1 << 30, seconds: 10)

/// The folder with this package's own HDF5 files.
let files = FilePath(#filePath).removingLastComponent().appending("Files")

/// A tool that serves as the child; it lies beside the test bundle.
let tool: FilePath = {
  var path = [UInt8](repeating: 0, count: 4096)
  let count = path.withUnsafeMutableBytes {
    readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
  }
  return FilePath(String(decoding: path.prefix(max(0, count)), as: UTF8.self)).removingLastComponent().appending(
    "nc-info")
}()

/// Tests run side by side, and `Session.executable` is one for all of them.
private let starting = Mutex(())

func openSession(_ file: FileDescriptor, writable: Bool = false, limits: Limits = ample) throws -> Session {
  try starting.withLock { _ in
    Session.executable = tool
    return try Session(file: file, writable: writable, limits: limits)
  }
}

func createFile(_ file: FileDescriptor) throws -> NewFile {
  try starting.withLock { _ in
    Session.executable = tool
    return try NewFile(file, limits: ample)
  }
}

func makeCopy(
  of file: FileDescriptor, in copy: FileDescriptor, changing changes: CopyChanges
) throws -> CopiedFile {
  try starting.withLock { _ in
    Session.executable = tool
    return try copyFile(file, to: copy, changing: changes, limits: ample)
  }
}

func contents(_ name: String, texts: [String] = [], limits: Limits = ample) throws -> TableOfContents {
  let file = try FileDescriptor.open(files.appending(name), .readOnly)
  defer { try? file.close() }
  var session = try openSession(file, limits: limits)
  let table = try session.tableOfContents(texts: texts)
  try session.close()
  return table
}

func bytes(of file: FileDescriptor, at offset: UInt64 = 0, count: Int? = nil) throws -> [UInt8] {
  let count = try count ?? Int(file.seek(offset: 0, from: .end))
  return try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
    initialized = try file.read(fromAbsoluteOffset: Int64(offset), into: UnsafeMutableRawBufferPointer(buffer))
  }
}

/// An unlinked temporary file with these bytes.
func temporaryFile(_ bytes: [UInt8]) throws -> FileDescriptor {
  var template = Array("/tmp/hdf5-tests-XXXXXX".utf8CString)
  let file = FileDescriptor(rawValue: mkstemp(&template))
  unlink(template)
  try file.writeAll(bytes)
  return file
}

extension TableOfContents {
  func object(_ path: String) throws -> Object {
    guard let object = objects.first(where: { $0.paths.contains(TensorName(path)) }) else { throw NotFound(path: path) }
    return object
  }

  func dataset(_ path: String) throws -> Dataset {
    guard case .dataset(let dataset) = try object(path).kind else { throw NotFound(path: path) }
    return dataset
  }
}

struct NotFound: Error { var path: String }

func littleEndian<T: FixedWidthInteger>(_ values: some Sequence<T>) -> [UInt8] {
  values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
}

func floats(_ values: some Sequence<Int>) -> [UInt8] { littleEndian(values.map { Float($0).bitPattern }) }
