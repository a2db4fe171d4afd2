public import SystemPackage

/// Bounds on what libhdf5 may use on one file.
public struct Limits: Sendable {
  /// Bytes of memory for the child process that reads the file.
  public var memory: UInt64
  /// Seconds for the child process, all requests together.
  public var seconds: Double

  public init(memory: UInt64, seconds: Double) {
    self.memory = memory
    self.seconds = seconds
  }
}

/// The one guarded way into an HDF5 file: a child process that runs libhdf5 under limits and answers with values.
///
/// Every tool calls `Session.serveIfChild()` first: the child is the same executable, started again.
public struct Session: ~Copyable {
  /// Runs the child's side and exits, when this process was started as a child; else returns at once.
  public static func serveIfChild() {}

  /// Starts a child on an open, seekable file. With `writable`, `replaceChunks` is allowed.
  public init(file: FileDescriptor, writable: Bool = false, limits: Limits) throws(HDF5Error) {
    throw .unsupported("no HDF5 yet")
  }

  /// What the file holds. Texts are read for the attributes that `texts` names (a name may end in `*`).
  public mutating func tableOfContents(texts: [String]) throws(HDF5Error) -> TableOfContents {
    throw .unsupported("no HDF5 yet")
  }

  /// The values of a chunked dataset, decoded, row-major, in the file's byte order.
  public mutating func values(ofDatasetAt address: UInt64, byteCount: Int) throws(HDF5Error) -> [UInt8] {
    throw .unsupported("no HDF5 yet")
  }

  /// Whether decoding the stored chunks and encoding them again gives the same bytes and masks.
  public mutating func reencodesExactly(datasetAt address: UInt64) throws(HDF5Error) -> Bool {
    throw .unsupported("no HDF5 yet")
  }

  /// Encodes `values` (row-major, the file's byte order) with the dataset's own chunk shape and filters, and
  /// returns every chunk of the dataset's extent in the order of its coordinates. The file is not changed.
  public mutating func encodedChunks(
    ofDatasetAt address: UInt64, values: [UInt8]
  ) throws(HDF5Error) -> [EncodedChunk] {
    throw .unsupported("no HDF5 yet")
  }

  /// Stores chunks in the file (opened `writable`), whatever their size, through libhdf5.
  public mutating func replaceChunks(
    ofDatasetAt address: UInt64, with chunks: [EncodedChunk]
  ) throws(HDF5Error) {
    throw .unsupported("no HDF5 yet")
  }

  /// Ends the child and reports what it could not do (such as flush the file).
  public consuming func close() throws(HDF5Error) {}
}

/// A chunk as libhdf5 would store it.
public struct EncodedChunk: Sendable, Equatable {
  public var origin: [UInt64]
  public var filterMask: UInt32
  public var bytes: [UInt8]
  public init(origin: [UInt64], filterMask: UInt32, bytes: [UInt8]) {
    self.origin = origin
    self.filterMask = filterMask
    self.bytes = bytes
  }
}
