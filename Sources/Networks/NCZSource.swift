internal import Codecs
internal import NCZ
internal import Parallel
internal import SystemPackage
internal import Tensors

/// A `.ncz` file as a source of tensors.
struct NCZSource {
  let reader: Reader
  let directory: Directory

  init(_ file: FileDescriptor, size: Int) throws {
    reader = try Reader(file, size: size)
    directory = try Directory(reader.content, payloadCount: reader.payloads.count)
  }

  func weights(of index: Int, threads: Threads) throws -> Weights {
    let tensor = directory.tensors[index]
    switch tensor.encoding {
    case .raw:
      let codec = try RawCodec(tensor.type, count: tensor.shape.count)
      let parts = try self.parts(of: tensor, blockCounts: [codec.blockCount])
      return .dense(
        try [UInt8](unsafeUninitializedCapacity: tensor.size) { buffer, initialized in
          let bytes = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: tensor.size)
          try codec.decode(into: bytes, threads: threads) { try parts[0].bytes($0) }
          initialized = tensor.size
        })
    case .ternary(let group):
      return try ternary(.ternary, tensor, group, threads: threads)
    case .sparseSigns(let group):
      return try ternary(.sparse, tensor, group, threads: threads)
    case .unknown(let id, _):
      throw NetworkError(.unsupported, "encoding \(id) is not known to this version")
    }
  }

  /// Decodes the container piece by piece, in order, and returns the CRC-32 of each.
  func forEachContainerPiece(
    threads: Threads, _ body: (_ number: Int, _ piece: [UInt8]) throws -> Void
  ) throws -> [UInt32] {
    guard let container = directory.container else { return [] }
    let count = remaining(of: container).count
    let codec = try containerCodec(byteCount: count)
    let blocks = reader.blocks(of: container.payload)
    guard blocks.count == codec.blockCount else {
      throw NetworkError(.corrupt, "container: \(blocks.count) blocks, expected \(codec.blockCount) for \(count) bytes")
    }
    var crcs: [UInt32] = []
    try codec.decode(threads: threads) {
      try blocks.bytes($0)
    } emit: { piece in
      try body(crcs.count, piece)
      crcs.append(crc32(piece))
    }
    return crcs
  }

  /// The bytes of the source file that no tensor cut out.
  func remaining(of container: Directory.Container) -> RemainingBytes {
    // The directory was checked when it was read: the cuts are sound.
    RemainingBytes(size: container.size, cuts: (try? Place.cuts(of: directory.tensors, size: container.size)) ?? [])
  }

  private func ternary(
    _ encoding: Codecs.Encoding, _ tensor: TensorRecord, _ group: ScaleGroup, threads: Threads
  ) throws -> Weights {
    let codec = try TernaryCodec(tensor, group)
    let parts = try self.parts(of: tensor, blockCounts: codec.blockCounts(encoding) ?? [])
    let matrix = try codec.decode(encoding, threads: threads) { part, index in try parts[part].bytes(index) }
    return .ternary(matrix, transposed: tensor.isTransposed)
  }

  /// The parts of a tensor, whose numbers of blocks must be these.
  private func parts(of tensor: TensorRecord, blockCounts: [Int]) throws -> [Blocks] {
    let parts = tensor.parts.map { reader.blocks(of: $0) }
    for (number, (part, count)) in zip(parts, blockCounts).enumerated() where part.count != count {
      throw NetworkError(.corrupt, "part \(number) has \(part.count) blocks, expected \(count)")
    }
    return parts
  }
}

extension TernaryCodec {
  init(_ tensor: TensorRecord, _ group: ScaleGroup) throws {
    let (rows, columns) = tensor.matrixExtents
    try self.init(rows: rows, columns: columns, group: group, source: tensor.type)
  }
}

extension TensorRecord {
  /// Output units and inputs of a matrix.
  var matrixExtents: (rows: Int, columns: Int) {
    let (first, second) = (shape.extents[0], shape.extents[1])
    return isTransposed ? (second, first) : (first, second)
  }
}
