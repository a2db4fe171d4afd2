// SPDX-License-Identifier: Apache-2.0

public import SystemPackage

/// What a copy of an HDF5 file has different.
public struct CopyChanges: Sendable {
  /// New dimensions of datasets, by the addresses of their object headers. Their storage becomes contiguous.
  public var dimensions: [UInt64: [UInt64]]
  /// Links that are left out, with all that only they lead to.
  public var without: [[LinkName]]
  /// Text attributes of the root, each of one string, that get another text.
  public var texts: [NewFile.Text]

  public init(dimensions: [UInt64: [UInt64]] = [:], without: [[LinkName]] = [], texts: [NewFile.Text] = []) {
    self.dimensions = dimensions
    self.without = without
    self.texts = texts
  }
}

/// What became of a copy.
public struct CopiedFile: Sendable, Equatable {
  /// Where in the copy the values of the datasets with new dimensions belong, row-major, by the addresses that the
  /// datasets have in the source; the caller writes them. One without values has no place.
  public var places: [UInt64: ByteRange]
  /// What was not copied, because it would be something else in another file: one phrase each.
  public var leftBehind: [String]
}

/// Copies an HDF5 file, object by object, in the guarded child process.
///
/// Groups, datasets, committed types, attributes and links of all kinds are copied as they are, datasets with their
/// storage layout and filters; several hard links to one object stay that. Nothing that is in other files is read.
/// Left behind, and said, are attributes and datasets that hold references (to places in the file), and user-defined
/// links. Groups and datasets that are made anew have no time stamps. The same file gives the same copy.
///
/// - Parameters:
///   - file: open for reading, with a table of contents that `Session` has given without complaint.
///   - copy: seekable, empty, open for reading and writing.
/// - Throws: `.corrupt` or `.unsupported` for what libhdf5 cannot read, `.overLimit` too when the copy becomes much
///   larger than the file.
public func copyFile(
  _ file: FileDescriptor, to copy: FileDescriptor, changing changes: CopyChanges, limits: Limits
) throws(HDF5Error) -> CopiedFile {
  var child = try ChildProcess.opening(file, copy: copy, .copy, limits: limits)
  var request = WireWriter()
  request.write(changes)
  var reader = WireReader(try child.ask(.copy, request.bytes, most: Int(clamping: limits.memory)))
  let result = try reader.copiedFile()
  guard reader.isAtEnd, Set(result.places.keys).isSubset(of: changes.dimensions.keys) else { throw WireReader.nonsense }
  _ = try child.ask(.close, most: 0)
  return result
}

// MARK: - As bytes

extension WireWriter {
  fileprivate mutating func write(_ changes: CopyChanges) {
    write(changes.dimensions.sorted { $0.key < $1.key }) { writer, change in
      writer.write(change.key)
      writer.write(change.value)
    }
    write(changes.without) { writer, path in writer.write(path) { $0.write($1.bytes) } }
    write(changes.texts) { writer, text in
      writer.write(text.name)
      writer.write(text.values.joined())
    }
  }

  mutating func write(_ copied: CopiedFile) {
    write(copied.places.sorted { $0.key < $1.key }) { writer, place in
      writer.write(place.key)
      writer.write(place.value.offset)
      writer.write(place.value.length)
    }
    write(copied.leftBehind) { $0.write($1) }
  }
}

extension WireReader {
  /// Paths as the child compares them: each name after a slash.
  mutating func changes() throws(HDF5Error) -> (
    dimensions: [UInt64: [UInt64]], without: Set<[UInt8]>, texts: [String: String]
  ) {
    let dimensions = try list { (reader) throws(HDF5Error) in (try reader.integer(UInt64.self), try reader.numbers()) }
    let without = try list { (reader) throws(HDF5Error) in
      try reader.list { (reader) throws(HDF5Error) in try reader.run() }.flatMap { [UInt8(ascii: "/")] + $0 }
    }
    let texts = try list { (reader) throws(HDF5Error) in (try reader.text(), try reader.text()) }
    return (
      Dictionary(dimensions) { first, _ in first }, Set(without), Dictionary(texts) { first, _ in first }
    )
  }

  fileprivate mutating func copiedFile() throws(HDF5Error) -> CopiedFile {
    let places = try list { (reader) throws(HDF5Error) in
      (
        try reader.integer(UInt64.self),
        ByteRange(offset: try reader.integer(), length: try reader.integer())
      )
    }
    return CopiedFile(
      places: Dictionary(places) { first, _ in first },
      leftBehind: try list { (reader) throws(HDF5Error) in try reader.text() })
  }
}
