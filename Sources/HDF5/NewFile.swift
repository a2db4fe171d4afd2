// SPDX-License-Identifier: Apache-2.0

public import SystemPackage

/// An HDF5 file being built by the guarded child process: groups, and datasets whose values the caller writes.
///
/// The same calls give the same bytes. Objects have no time stamps, datasets are contiguous without filters, and every
/// release of libhdf5 since 1.8 reads the file.
public struct NewFile: ~Copyable {
  private var child: ChildProcess

  /// A text attribute in UTF-8: one string, or a list of strings.
  ///
  /// Strings have a fixed length, those of a list that of the longest, and an object holds at most `maxBytes` of them in
  /// one attribute. A longer string alone has a variable length, and lies elsewhere in the file.
  public struct Text: Sendable {
    public var name: String
    public var values: [String]
    public let isList: Bool

    public init(_ name: String, _ value: String) {
      self.name = name
      values = [value]
      isList = false
    }

    public init(_ name: String, list: [String]) {
      self.name = name
      values = list
      isList = true
    }

    /// HDF5 gives an attribute, with its header, no more than 64 KiB.
    public static let maxBytes = 65_000
  }

  /// Starts a file.
  ///
  /// - Parameter file: seekable, empty, open for reading and writing; it may have no name.
  public init(_ file: FileDescriptor, limits: Limits) throws(HDF5Error) {
    child = try ChildProcess.opening(file, .create, limits: limits)
  }

  /// A group or a dataset to be.
  public enum Addition: Sendable {
    /// A group below one that exists; the root, which exists from the start, only takes the texts.
    case group([LinkName], texts: [Text] = [])
    /// A dataset in a group that exists.
    case dataset([LinkName], type: Datatype, dimensions: [UInt64], texts: [Text] = [])
  }

  /// Adds groups and datasets in their order, all in one message to the child, and allocates the storage of the
  /// datasets.
  ///
  /// - Returns: for each, where in the file its values belong, row-major; the caller writes all of them before
  ///   `close()`. `nil` where there are none.
  /// - Throws: `.unsupported` for a type that is neither an integer of 1, 2, 4 or 8 bytes nor a float; `.overLimit`
  ///   when the bytes cannot be counted. What comes before the addition that fails has been added.
  public mutating func add(_ additions: [Addition]) throws(HDF5Error) -> [ByteRange?] {
    var request = WireWriter()
    var sizes: [UInt64] = []
    for addition in additions {
      switch addition {
      case .group(let path, let texts):
        request.write(false)
        request.write(path, texts)
        sizes.append(0)
      case .dataset(let path, let type, let dimensions, let texts):
        guard let byteCount = product(dimensions, UInt64(max(0, type.size))), byteCount <= Int.max else {
          throw .overLimit("extents \(dimensions) of \(type.size) bytes each cannot be counted")
        }
        request.write(true)
        request.write(path, texts)
        request.write(type)
        request.write(dimensions)
        sizes.append(byteCount)
      }
    }
    var reader = WireReader(try child.ask(.add, request.bytes, most: 16 * additions.count))
    var places: [ByteRange?] = []
    for size in sizes {
      let place = ByteRange(offset: try reader.integer(), length: try reader.integer())
      guard place.length == size else { throw WireReader.nonsense }
      places.append(size == 0 ? nil : place)
    }
    return places
  }

  /// Adds one group.
  public mutating func addGroup(_ path: [LinkName], texts: [Text] = []) throws(HDF5Error) {
    _ = try add([.group(path, texts: texts)])
  }

  /// Adds one dataset, and tells where its values belong.
  public mutating func addDataset(
    _ path: [LinkName], type: Datatype, dimensions: [UInt64], texts: [Text] = []
  ) throws(HDF5Error) -> ByteRange? {
    try add([.dataset(path, type: type, dimensions: dimensions, texts: texts)])[0]
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
      writer.write(text.isList)
      writer.write(text.values) { $0.write($1) }
    }
  }
}
