public import SystemPackage

/// An HDF5 file being built by the guarded child process: groups, and datasets whose values the caller writes.
///
/// The same calls give the same bytes. Objects have no time stamps, datasets are contiguous without filters, and every
/// release of libhdf5 since 1.8 reads the file.
public struct NewFile: ~Copyable {
  private var child: ChildProcess

  /// A text attribute: one string of fixed length in UTF-8. An object holds at most 64 KiB of text in one.
  public struct Text: Sendable {
    public var name: String
    public var value: String
    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// Starts a file.
  ///
  /// - Parameter file: seekable, empty, open for reading and writing; it may have no name.
  public init(_ file: FileDescriptor, limits: Limits) throws(HDF5Error) {
    child = try ChildProcess.opening(file, .create, limits: limits)
  }

  /// Adds a group below one that exists; the root, which exists from the start, only takes the texts.
  public mutating func addGroup(_ path: [LinkName], texts: [Text] = []) throws(HDF5Error) {
    var request = WireWriter()
    request.write(path, texts)
    _ = try child.ask(.addGroup, request.bytes, most: 0)
  }

  /// Adds a dataset to a group that exists, and allocates its storage.
  ///
  /// - Returns: where in the file its values belong, row-major; the caller writes all of them before `close()`. Nothing
  ///   when there are none.
  /// - Throws: `.unsupported` when the type is neither an integer of 1, 2, 4 or 8 bytes nor a float; `.overLimit` when the
  ///   bytes cannot be counted.
  public mutating func addDataset(
    _ path: [LinkName], type: Datatype, extents: [UInt64], texts: [Text] = []
  ) throws(HDF5Error) -> Extent? {
    guard let byteCount = product(extents, UInt64(max(0, type.size))), byteCount <= Int.max else {
      throw .overLimit("extents \(extents) of \(type.size) bytes each cannot be counted")
    }
    var request = WireWriter()
    request.write(path, texts)
    request.write(type)
    request.write(extents)
    var reader = WireReader(try child.ask(.addDataset, request.bytes, most: 17))
    let extent = Extent(offset: try reader.integer(), length: try reader.integer())
    guard extent.length == byteCount else { throw WireReader.nonsense }
    return extent.length == 0 ? nil : extent
  }

  /// Completes the file and ends the child.
  public consuming func close() throws(HDF5Error) {
    _ = try child.ask(.close, most: 0)
  }
}

extension WireWriter {
  fileprivate mutating func write(_ path: [LinkName], _ texts: [NewFile.Text]) {
    write(path) { $0.write($1.bytes) }
    write(texts) { writer, text in
      writer.write(text.name)
      writer.write(text.value)
    }
  }
}
