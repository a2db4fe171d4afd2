// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization
public import SystemPackage

/// Bounds on what libhdf5 may use on one file.
public struct Limits: Sendable {
  /// Bytes of memory for the child process that reads the file.
  public var memory: UInt64
  /// Seconds of processor time for the child process, all requests together.
  public var seconds: Double
  /// Seconds that the child process may sleep while it should answer.
  public var patience: Double

  /// With less memory than this, libhdf5 fails on sound files.
  public static let minMemory: UInt64 = 64 << 20

  public init(memory: UInt64, seconds: Double, patience: Double = 30) {
    self.memory = memory
    self.seconds = seconds
    self.patience = patience
  }
}

/// The one guarded way into an HDF5 file: a child process that runs libhdf5 under limits and answers with values.
///
/// Every tool calls `Session.serveIfChild()` first: the child is the same executable, started again. Whatever the
/// file does to libhdf5 (a crash, a loop, a huge allocation, a system call that reading does not need) ends the child,
/// and the request throws.
public struct Session: ~Copyable {
  private var child: ChildProcess
  private let limits: Limits
  private let fileSize: UInt64

  /// The executable that is started as the child; by default the running one. It must call `serveIfChild()`.
  ///
  /// Test runners, which are not ours to change, point it at one of the tools.
  public static var executable: FilePath {
    get { chosenExecutable.withLock { $0 } }
    set { chosenExecutable.withLock { $0 = newValue } }
  }
  private static let chosenExecutable = Mutex<FilePath>("/proc/self/exe")
  /// What the tests of one task start in its place.
  @TaskLocal package static var standIn: FilePath?

  /// Runs the child's side and exits, when this process was started as a child; else returns at once.
  public static func serveIfChild() {
    if CommandLine.argc == 2, CommandLine.arguments[1] == childArgument { serveAsChild() }
  }

  /// Starts a child on an open, seekable file. With `writable`, `replaceChunks` is allowed.
  ///
  /// The file may have no name; `writable` needs a descriptor that is open for reading and writing.
  public init(file: FileDescriptor, writable: Bool = false, limits: Limits) throws(HDF5Error) {
    var status = stat()
    guard fstat(file.rawValue, &status) == 0 else { throw .io("fstat: \(Errno(rawValue: errno))") }
    let fileSize = UInt64(clamping: status.st_size)
    child = try ChildProcess.opening(file, writable ? .change : .read, limits: limits)
    self.limits = limits
    self.fileSize = fileSize
  }

  /// What the file holds. Texts are read for the attributes that `texts` names (a name may end in `*`).
  ///
  /// Every size and offset in it has been checked against the file, see ``Dataset/inconsistency(fileSize:)``.
  public mutating func tableOfContents(texts: [String]) throws(HDF5Error) -> TableOfContents {
    var request = WireWriter()
    request.write(texts) { $0.write($1) }
    var reader = WireReader(
      try child.ask(.tableOfContents, request.bytes, most: Int(clamping: limits.memory)))
    let table = try reader.tableOfContents()
    guard reader.isAtEnd, table.fileSize == fileSize, table.userBlock < fileSize else { throw WireReader.nonsense }
    for object in table.objects {
      guard case .dataset(let dataset) = object.kind else { continue }
      if let error = dataset.inconsistency(fileSize: fileSize) { throw error.at("\(object.paths[0])") }
    }
    return table
  }

  /// The values of a dataset, decoded, row-major, in the file's byte order.
  ///
  /// - Parameter byteCount: product of the dimensions and the element size, as the table of contents has them.
  public mutating func values(ofDatasetAt address: UInt64, byteCount: Int) throws(HDF5Error) -> [UInt8] {
    guard byteCount <= limits.memory else {
      throw .overMemory(
        "a dataset claims \(byteCount) bytes, more than \(limits.memory) bytes of memory")
    }
    let blocks = try blocks(.values, address)
    guard blocks.byteCount == byteCount else { throw WireReader.nonsense }
    var values = [UInt8](repeating: 0, count: byteCount)
    for index in 0..<blocks.count {
      let block = blocks[index]
      let bytes = try child.receive(most: blocks.byteCount(of: block))
      guard bytes.count == blocks.byteCount(of: block) else { throw WireReader.nonsense }
      blocks.scatter(bytes, of: block, into: &values)
    }
    return values
  }

  /// Whether decoding the stored chunks and encoding them again gives the same bytes and masks.
  public mutating func reencodesExactly(datasetAt address: UInt64) throws(HDF5Error) -> Bool {
    var request = WireWriter()
    request.write(address)
    var reader = WireReader(try child.ask(.reencodes, request.bytes, most: 1))
    return try reader.bool()
  }

  /// Encodes `values` (row-major, the file's byte order) with the dataset's own chunk shape and filters, and
  /// returns every chunk of the dataset in the order of its coordinates. The file is not changed.
  public mutating func encodedChunks(
    ofDatasetAt address: UInt64, values: [UInt8]
  ) throws(HDF5Error) -> [EncodedChunk] {
    let blocks = try blocks(.encode, address)
    guard blocks.byteCount == values.count else {
      throw .corrupt("\(values.count) bytes of values for a dataset of \(blocks.byteCount)")
    }
    var chunks: [EncodedChunk] = []
    for index in 0..<blocks.count {
      let block = blocks[index]
      let origins = blocks.chunkOrigins(in: block)
      // Filters can make data longer, though none does by more than its header and a few bytes in a hundred.
      let most = 2 * blocks.byteCount(ofChunksIn: block) + 1024 * origins.count
      var reader = WireReader(try child.ask(.block, blocks.gather(block, from: values), most: most))
      for origin in origins {
        chunks.append(
          EncodedChunk(origin: origin, filterMask: try reader.integer(), bytes: try reader.run()))
      }
      guard reader.isAtEnd else { throw WireReader.nonsense }
    }
    chunks.sort { $0.origin.lexicographicallyPrecedes($1.origin) }
    return chunks
  }

  /// Stores chunks in the file (opened `writable`), whatever their size, through libhdf5.
  public mutating func replaceChunks(
    ofDatasetAt address: UInt64, with chunks: [EncodedChunk]
  ) throws(HDF5Error) {
    var next = 0
    while next < chunks.count {
      // Several small chunks share a message.
      var batch = WireWriter()
      batch.write(address)
      repeat {
        batch.write(chunks[next].origin)
        batch.write(chunks[next].filterMask)
        batch.write(chunks[next].bytes)
        next += 1
      } while next < chunks.count && batch.bytes.count + chunks[next].bytes.count < 1 << 20
      _ = try child.ask(.replace, batch.bytes, most: 0)
    }
  }

  /// Ends the child and reports what it could not do (such as flush the file).
  public consuming func close() throws(HDF5Error) {
    _ = try child.ask(.close, most: 0)
  }

  /// Sends a request about a dataset and receives the blocks in which its values will travel.
  private mutating func blocks(_ request: Request, _ address: UInt64) throws(HDF5Error) -> Blocks {
    var writer = WireWriter()
    writer.write(address)
    var reader = WireReader(try child.ask(request, writer.bytes, most: 1 << 10))
    return try Blocks(dimensions: reader.numbers(), chunk: reader.numbers(), elementSize: reader.size())
  }
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
