// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import HDF5
internal import Matrices
internal import NCZ
public import Parallel
public import SystemPackage
public import Tensors

/// How a file is opened.
public struct ReadingOptions: Sendable {
  /// Maximum bytes for one tensor, and for the process that reads HDF5.
  public var memory: Int
  /// Processor seconds for reading the HDF5 structure; `nil`: by the file's size.
  public var time: Double?
  public var threads: Threads
  /// Maximum bytes that may be written or decoded where a file claims many times its own size; `nil` for the default.
  public var output: Int?
  /// What to assume of a file without architecture.
  public var assumption: Assumption
  /// Whether roles of tensors and the network are found out, and not only what is stored where.
  var findsLayers = true
  /// Told often how far the work is.
  public var progress: (@Sendable (WorkProgress) -> Void)?

  public init(
    memory: Int, time: Double? = nil, threads: Threads, output: Int? = nil, assumption: Assumption = Assumption(),
    progress: (@Sendable (WorkProgress) -> Void)? = nil
  ) {
    self.memory = memory
    self.time = time
    self.threads = threads
    self.output = output
    self.assumption = assumption
    self.progress = progress
  }
}

/// What the caller says of a network, whatever its file says.
public struct Assumption: Sendable {
  /// Of the hidden layers (one), or of every layer.
  public var activations: [String]?
  /// Names of the layers, first to last.
  public var order: [TensorName]?
  /// That of another file, instead of these two.
  public var like: StatedArchitecture?
  /// Of matrices of which neither names nor shapes say it.
  public var orientation: MatrixOrientation?

  public init(
    activations: [String]? = nil, order: [TensorName]? = nil, like: StatedArchitecture? = nil,
    orientation: MatrixOrientation? = nil
  ) {
    self.activations = activations
    self.order = order
    self.like = like
    self.orientation = orientation
  }

  /// Whether layers are named, or their functions.
  package var statesLayers: Bool { activations != nil || order != nil }
}

/// A network in a file: HDF5, `.keras` or `.ncz`. Opening reads what the file holds; values are read on demand.
public final class NetworkFile {
  public enum Kind: String, Sendable {
    case hdf5 = "HDF5"
    case keras = "Keras archive"
    case ncz = ".ncz"
  }

  public let kind: Kind
  /// Bytes of the file.
  public let size: Int
  /// Every tensor, in the order of the file.
  public let tensors: [TensorRecord]
  /// How the layers are connected, if the file or the caller says so.
  public let network: Network?
  /// How the layers were assumed to be connected, where neither the file nor the caller says it.
  public let assumption: String?
  /// Conventions of an HDF5 tree, for people; for `.ncz` that of its source is not recorded.
  public let layout: String?
  /// What a user should be told about how the file was understood.
  public let notes: [String]

  package let source: Source
  package let options: ReadingOptions
  /// Bytes of the values of all tensors before each, and of all.
  private lazy var sizesBefore = tensors.reduce(into: [0]) { sums, tensor in
    sums.append((sums.last ?? 0).addingOrMaximum(tensor.size))
  }

  /// Where the values come from.
  package enum Source {
    case hdf5(HDF5Source)
    case ncz(NCZSource)
  }

  /// Serves the parent and exits, in a process that was started to read HDF5; returns at once in any other.
  public static func serveIfChild() { Session.serveIfChild() }

  /// The C libraries this build uses, and their versions.
  public static var libraries: [(name: String, version: String)] {
    [("HDF5", Session.libraryVersion), ("zstd", Zstd.version)]
  }

  /// What confines the process that runs libhdf5: `seccomp, Landlock 7`, or what of it is missing and why.
  public static var sandbox: String { Session.sandbox }

  /// Opens a seekable file of `size` bytes; which kind it is, its signature says.
  public init(_ file: FileDescriptor, size: Int, options: ReadingOptions) throws(NetworkError) {
    self.size = size
    self.options = options
    guard size > 0 else { throw NetworkError(.corrupt, "is empty") }
    let front = try read(file, at: 0, count: min(size, 8))
    if front.starts(with: [0x89, 0x4E, 0x43, 0x5A]) {
      let ncz = try about { try NCZSource(file, size: size) }
      kind = .ncz
      source = .ncz(ncz)
      tensors = ncz.directory.tensors
      let stated = try about { try options.assumption.network(of: ncz.directory) }
      network = stated.map { $0.network } ?? ncz.directory.network
      assumption = network?.assumption
      layout = nil
      notes = ncz.directory.problems + (stated?.notes ?? [])
      return
    }
    let hdf5: HDF5Source
    if front.starts(with: KerasArchive.signature) {
      kind = .keras
      hdf5 = try HDF5Source(archive: try KerasArchive(file, size: size), file: file, size: size, options: options)
    } else if try Self.hasHDF5Signature(file, size: size) {
      kind = .hdf5
      hdf5 = try HDF5Source(file, size: size, options: options)
    } else {
      let advice = try ForeignFormat.advice(on: file, size: size) ?? "unknown signature"
      throw NetworkError(.corrupt, "neither HDF5, .keras nor .ncz: \(advice)")
    }
    source = .hdf5(hdf5)
    tensors = hdf5.tensors
    let names = Set(hdf5.tensors.map { $0.name })
    let missing = hdf5.reading.network?.tensorNames.first { !names.contains($0) }
    network = missing == nil ? hdf5.reading.network : nil
    assumption = missing == nil ? hdf5.reading.assumption : nil
    layout = hdf5.reading.kind.rawValue
    notes =
      (try Self.isLeftOpen(file, at: hdf5.offset, size: size) ? [Self.leftOpen] : []) + hdf5.notes
      + (missing.map { ["no network: \($0) cannot be read"] } ?? [])
  }

  static func hasHDF5Signature(_ file: FileDescriptor, size: Int) throws(NetworkError) -> Bool {
    try superblock(of: file, size: size) != nil
  }

  /// Where the signature of HDF5 is: at 0, 512, 1024, 2048, …, after `start`.
  private static func superblock(
    of file: FileDescriptor, from start: Int = 0, size: Int
  ) throws(NetworkError) -> Int? {
    var offset = 0
    while start + offset <= size - 8 {
      let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
      if try read(file, at: start + offset, count: 8) == signature { return start + offset }
      offset = offset == 0 ? 512 : offset * 2
    }
    return nil
  }

  /// Whether the HDF5 file that begins at `start` says that a program still writes it: bits 0 (writing) and 2 (one
  /// writer, many readers) of the consistency flags, byte 11 of a superblock of version 3.
  private static func isLeftOpen(
    _ file: FileDescriptor, at start: Int, size: Int
  ) throws(NetworkError) -> Bool {
    guard let superblock = try superblock(of: file, from: start, size: size), superblock <= size - 12 else {
      return false
    }
    let bytes = try read(file, at: superblock, count: 12)
    return bytes[8] == 3 && bytes[11] & 0b101 != 0
  }
  private static let leftOpen =
    "its writer did not close it (HDF5 consistency flags): values may be missing, and other programs may refuse it; "
    + "h5clear -s FILE removes the mark"

  /// Reports progress: all tensors before `index` are done, and `bytes` of this one.
  package func didReach(_ index: Int, bytes: Int = 0) {
    guard let progress = options.progress else { return }
    let done = sizesBefore[index].addingOrMaximum(bytes)
    progress(WorkProgress("values", done: done, of: sizesBefore[tensors.count]))
  }

  /// What runs of programs did to it, oldest first, as a `.ncz` file records it.
  public var steps: [Step] { if case .ncz(let source) = source { source.directory.steps } else { [] } }

  /// The digest of every tensor's values, as the file has it or computed.
  package func digests() throws(NetworkError) -> [Digest] {
    var digests: [Digest] = []
    for (index, tensor) in tensors.enumerated() {
      if let digest = tensor.digest {
        digests.append(digest)
        continue
      }
      var folded = FoldedBytes()
      try forEachPiece(of: index) { folded.update($0, threads: options.threads) }
      digests.append(folded.digest(type: tensor.type, shape: tensor.shape))
    }
    return digests
  }

  /// The digest of the network (`spec/ncz-v1.md` §3.2), whatever the source file has beside it.
  ///
  /// - Parameter digests: of the tensors' values.
  package func networkDigest(tensors digests: [Digest]) -> Digest {
    if case .ncz(let source) = source { return source.directory.contentDigest(hasContainer: false) }
    var records = tensors
    for (index, digest) in digests.enumerated() { records[index].digest = digest }
    return Directory(container: nil, network: network, steps: [], tensors: records, extensions: []).digest
  }

  /// Why a network that the file has cannot be run by this version.
  package var networkProblem: String? {
    if case .ncz(let source) = source { source.directory.networkProblem } else { nil }
  }

  /// Weight matrices that cannot be read.
  var sealed: [SealedMatrix] {
    if case .hdf5(let source) = source { source.sealed } else { [] }
  }

  /// The values of a tensor in the form in which they are stored.
  public func weights(of index: Int) throws(NetworkError) -> Weights {
    let tensor = tensors[index]
    try checkMemory(tensor)
    return try about(tensor.name) {
      switch source {
      case .hdf5(let source): .dense(try source.values(of: index, threads: options.threads))
      case .ncz(let source): try source.weights(of: index, threads: options.threads)
      }
    }
  }

  /// The decoded values of a tensor, little-endian, row-major.
  public func values(of index: Int) throws(NetworkError) -> [UInt8] {
    if case .dense(let bytes) = try weights(of: index), kind != .ncz { return bytes }
    var values: [UInt8] = []
    values.reserveCapacity(tensors[index].size)
    try forEachPiece(of: index) { values.append(contentsOf: $0) }
    return values
  }

  /// Calls `body` with the decoded values, little-endian, row-major.
  package func withValues<Result>(
    of index: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws(NetworkError) -> Result {
    guard case .hdf5(let source) = source else { return try about { try values(of: index).withUnsafeBytes(body) } }
    try checkMemory(tensors[index])
    return try about(tensors[index].name) {
      try source.withValues(of: index, threads: options.threads, body)
    }
  }

  /// Checks that the values, and what they are decoded from, fit the memory, and that all values together are not out
  /// of proportion to the file.
  package func checkMemory(_ tensor: TensorRecord) throws(NetworkError) {
    let needed = max(tensor.size, kind == .ncz ? tensor.decodedSize : 0)
    guard needed <= options.memory else {
      throw NetworkError(
        .overLimit, "\(tensor.name): \(needed) bytes, more than \(options.memory)", remedy: .memory)
    }
    try checkProportion(sizesBefore[tensors.count], "its tensors take")
  }

  /// Refuses more than 4 GiB that are also more than a thousand times what was read: a small file must not fill a disk,
  /// or keep a machine busy.
  func checkProportion(_ byteCount: Int, _ what: String) throws(NetworkError) {
    let limit = options.output ?? max(4 << 30, size.multipliedOrMaximum(by: 1000))
    guard byteCount <= limit else {
      throw NetworkError(
        .overLimit, "\(what) \(byteCount) bytes, more than \(limit)", remedy: .outputSize)
    }
  }

  /// Decodes a tensor piece by piece, in order; pieces hold whole elements.
  ///
  /// - Parameter checkingDigest: whether the last thing done is to compare the values with the digest in a `.ncz` file.
  ///   (What changed by accident, the CRC-32 of its block finds.)
  package func forEachPiece(
    of index: Int, checkingDigest: Bool = false, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws(NetworkError) {
    let tensor = tensors[index]
    var folded = FoldedBytes()
    let weights = try weights(of: index)
    var done = 0
    try about(tensor.name) {
      try weights.forEachPiece(type: tensor.type, threads: options.threads) { piece in
        if checkingDigest { folded.update(piece, threads: options.threads) }
        try body(piece)
        done += piece.count
        didReach(index, bytes: done)
      }
    }
    if checkingDigest, tensor.digest != nil {
      try tensor.check(folded.digest(type: tensor.type, shape: tensor.shape))
    }
  }
}

extension TensorRecord {
  /// Holds the digest of the values that were read to the one that a `.ncz` file declares.
  package func check(_ computed: Digest) throws(NetworkError) {
    if let digest, digest != computed {
      throw NetworkError(.corrupt, "\(name): content digest \(digest), computed \(computed)")
    }
  }
}

extension Weights {
  /// Restores the values, little-endian and row-major, piece by piece in order; few pieces are in memory at once.
  func forEachPiece(
    type: ElementType, threads: Threads, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    switch self {
    case .dense(let bytes):
      try bytes.withUnsafeBytes { bytes in
        let piece = 1 << 20
        for start in stride(from: 0, to: bytes.count, by: piece) {
          try body(.init(rebasing: bytes[start..<min(start + piece, bytes.count)]))
        }
      }
    case .ternary(let matrix, let transposed):
      try TernarySlabs(matrix, type: type, transposed: transposed).forEach(threads, body)
    case .seeded(let matrix, let transposed):
      try SeededSlabs(matrix, type: type, transposed: transposed).forEach(threads, body)
    case .sparse(let matrix, let transposed):
      try SparseSlabs(matrix, type: type, transposed: transposed).forEach(threads, body)
    case .levels(let matrix, let transposed):
      try LevelsSlabs(matrix, transposed: transposed).forEach(threads, body)
    case .lowRank(let matrix, let transposed):
      try LowRankSlabs(matrix, type: type, transposed: transposed).forEach(threads, body)
    }
  }
}

extension Slabs {
  /// Calls `body` with the values of each slab, in order.
  func forEach(_ threads: Threads, _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
    guard count > 0 else { return }
    // The first slab is a largest one; its room serves all that follow.
    let size = bytes(of: 0).count
    let batch = min(threads.count, count)
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: size * batch, alignment: 64)
    defer { room.deallocate() }
    for first in stride(from: 0, to: count, by: batch) {
      nonisolated(unsafe) let pieces = (first..<min(first + batch, count)).map { slab in
        let start = (slab - first) * size
        return UnsafeMutableRawBufferPointer(rebasing: room[start..<(start + bytes(of: slab).count)])
      }
      threads.forEach(pieces.count) { decode(first + $0, into: pieces[$0]) }
      for piece in pieces { try body(UnsafeRawBufferPointer(piece)) }
    }
  }
}
