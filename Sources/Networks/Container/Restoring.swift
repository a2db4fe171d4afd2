// SPDX-License-Identifier: Apache-2.0

internal import HDF5
internal import NCZ
internal import Parallel
public import SystemPackage
internal import Tensors

/// How much of a source file is restored.
package enum RestoredContent {
  case everything
  /// Not the values that only have to be put into their place.
  case structure
  /// Nor the chunks of unchanged datasets, which are known to be encoded as they were.
  case changedStructure
}

extension NetworkFile {
  /// Writes the source file back: the container with every tensor's values in its place.
  ///
  /// - Parameter file: seekable, empty, open for reading and writing.
  /// - Returns: bytes of the file.
  public func restore(to file: FileDescriptor) throws(NetworkError) -> Int {
    try restore(to: file, .everything)
  }

  /// Why the source file cannot be restored from a `.ncz`, as what it does; `nil` where it can be, and of other files.
  public var reasonWithoutContainer: String? {
    guard case .ncz(let source) = source, source.directory.container == nil else { return nil }
    return source.directory.foreignContainer.map { "has a container that this version cannot use (\($0.reason))" }
      ?? "has no container"
  }

  /// Whether the container is an archive of Keras 3.
  public var restoresArchive: Bool {
    if case .ncz(let source) = source { source.directory.container?.kind == .keras } else { false }
  }

  /// - Parameter content: how much of it is written.
  func restore(to file: FileDescriptor, _ content: RestoredContent) throws(NetworkError) -> Int {
    let isStructureOnly = content != .everything
    guard case .ncz(let source) = source else {
      throw NetworkError(.usage, "is \(kind.rawValue) already; expected .ncz")
    }
    guard let container = source.directory.container else {
      throw NetworkError(.unsupported, reasonWithoutContainer ?? "has no container", remedy: .rebuilding)
    }
    try checkProportion(container.size, "the source file has")
    try about { try writeContainer(source, container, to: file) }
    var chunked: [Int] = []
    var archiveChanged = false
    for (index, tensor) in tensors.enumerated() {
      if !isStructureOnly { didReach(index) }
      switch tensor.place {
      case .contiguous where isStructureOnly: break
      case .contiguous(let run):
        var offset = run.offset
        try forEachPiece(of: index) { piece in
          if tensor.byteOrder == .big {
            var bytes = Array(piece)
            swapBytes(&bytes, elementSize: tensor.type.byteCount)
            try writeBytes(bytes, to: file, at: offset)
          } else {
            try writeBytes(piece, to: file, at: offset)
          }
          offset += piece.count
        }
      case .chunked(_, _, let isKept) where !tensor.history.isEmpty || !(isKept || content == .changedStructure):
        chunked.append(index)
      case .chunked, nil:
        break
      }
      archiveChanged = archiveChanged || !tensor.history.isEmpty
    }
    if !chunked.isEmpty { try about { try writeChunks(chunked, container, to: file) } }
    if !isStructureOnly { didReach(tensors.count) }
    if container.kind == .keras, archiveChanged, !isStructureOnly { try patchArchive(file, size: container.size) }
    return try about { Int(try file.seek(offset: 0, from: .end)) }
  }

  private func writeContainer(
    _ source: NCZSource, _ container: Directory.Container, to file: FileDescriptor
  ) throws {
    try resize(file, to: container.size)
    let remaining = source.remaining
    var cursor = (run: 0, start: 0)
    var position = 0
    try source.forEachContainerPiece(threads: options.threads) { _, piece in
      var done = 0
      for run in remaining.runs(at: position, count: piece.count, cursor: &cursor) {
        try writeBytes(piece[done..<(done + run.length)], to: file, at: run.offset)
        done += run.length
      }
      position += piece.count
    }
  }

  private func sourceOrderedValues(of index: Int) throws(NetworkError) -> [UInt8] {
    var bytes = try values(of: index)
    if tensors[index].byteOrder == .big { swapBytes(&bytes, elementSize: tensors[index].type.byteCount) }
    return bytes
  }

  // MARK: Chunks

  /// Encodes the values of chunked datasets with their own filters, and puts them where they were, or where libhdf5
  /// finds room when their sizes changed.
  private func writeChunks(_ indices: [Int], _ container: Directory.Container, to file: FileDescriptor) throws {
    // libhdf5 needs the HDF5 file by itself; in an archive it gets a copy.
    let isArchive = container.kind == .keras
    let hdf5 =
      isArchive
      ? try temporaryCopy(of: file, at: container.offset, count: container.size - container.offset) : file
    defer { if isArchive { try? hdf5.close() } }
    let limits = Limits(encoding: indices.reduce(0) { $0 + tensors[$1].size }, options: options)

    var moved: [(address: UInt64, chunks: [EncodedChunk])] = []
    var encoder = try Session(file: hdf5, limits: limits)
    let found = try chunks(in: encoder.tableOfContents(texts: []), at: isArchive ? container.offset : 0)
    for index in indices {
      guard case .chunked(let address, let stored, _) = tensors[index].place else { continue }
      guard found[address] == stored else {
        throw NetworkError(.corrupt, "\(tensors[index].name): the dataset has other chunks in the container")
      }
      let encoded = try about(tensors[index].name) {
        try encoder.encodedChunks(ofDatasetAt: address, values: try sourceOrderedValues(of: index))
      }
      let places = Dictionary(stored.map { ($0.origin, $0) }, uniquingKeysWith: { first, _ in first })
      var misfits: [EncodedChunk] = []
      for chunk in encoded {
        if let place = places[chunk.origin] {
          if place.run.length == chunk.bytes.count, place.filterMask == chunk.filterMask {
            try writeBytes(chunk.bytes, to: file, at: place.run.offset)
          } else {
            misfits.append(chunk)
          }
        } else if !tensors[index].history.isEmpty {
          // Never stored before: only changed values need it.
          misfits.append(chunk)
        }
      }
      if !misfits.isEmpty {
        guard !isArchive else {
          throw NetworkError(
            .unsupported, "\(tensors[index].name): its chunks changed size inside a .keras archive")
        }
        moved.append((address, misfits))
      }
    }
    try encoder.close()
    if moved.isEmpty { return }
    var writer = try Session(file: file, writable: true, limits: limits)
    for (address, chunks) in moved { try writer.replaceChunks(ofDatasetAt: address, with: chunks) }
    try writer.close()
  }

  /// The chunks of every dataset by the address of its object header, in a file that begins at `offset` of the source.
  private func chunks(in table: TableOfContents, at offset: Int) -> [UInt64: [Place.StoredChunk]] {
    var found: [UInt64: [Place.StoredChunk]] = [:]
    for object in table.objects {
      guard case .dataset(let dataset) = object.kind, case .chunked(_, let chunks) = dataset.layout else { continue }
      found[object.address] = chunks.map { chunk in
        // What it says was checked to lie in the file.
        let run = Place.Run(offset: offset + Int(chunk.range.offset), length: Int(chunk.range.length))
        return Place.StoredChunk(run: run, filterMask: chunk.filterMask, origin: chunk.origin)
      }
    }
    return found
  }

  // MARK: Archive

  /// Sets the CRC-32 fields of the weights in a `.keras` archive to those of its bytes.
  private func patchArchive(_ file: FileDescriptor, size: Int) throws(NetworkError) {
    let weights = try KerasArchive(file, size: size).weights
    let crc = try weights.computedCRC(in: file)
    for field in weights.crcFields {
      try writeBytes((0..<4).map { UInt8(truncatingIfNeeded: crc >> (8 * $0)) }, to: file, at: field)
    }
  }
}
