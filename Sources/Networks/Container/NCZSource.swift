// SPDX-License-Identifier: Apache-2.0

internal import Codecs
package import Matrices
package import NCZ
package import Parallel
internal import SystemPackage
internal import Tensors

/// A `.ncz` file as a source of tensors.
package struct NCZSource {
  package let reader: Reader
  package let directory: Directory
  /// The bytes of the source file that belong to no tensor.
  let remaining: RemainingBytes

  init(_ file: FileDescriptor, size: Int) throws {
    reader = try Reader(file, size: size, codec: .zstd)
    directory = try Directory(reader.content, payloadCount: reader.payloads.count)
    let container = directory.container
    let tensors = directory.tensors
    let holes = try container.map { try Place.holes(of: tensors, size: $0.size) } ?? []
    remaining = RemainingBytes(size: container?.size ?? 0, holes: holes)
  }

  func weights(of index: Int, threads: Threads) throws -> Weights {
    let tensor = directory.tensors[index]
    let weights = try matrix(of: tensor, threads: threads)
    if case .dense = weights { return weights }
    guard tensor.axes.layout == .permuted else { return weights }
    var matrix: [UInt8] = []
    matrix.reserveCapacity(tensor.size)
    weights.forEachPiece(type: tensor.type, threads: threads) { matrix.append(contentsOf: $0) }
    return .dense(tensor.axes.tensor(fromMatrix: matrix, shape: tensor.shape, width: tensor.type.byteCount))
  }

  /// The values of a tensor; in other encodings than raw, those of its matrix.
  private func matrix(of tensor: TensorRecord, threads: Threads) throws -> Weights {
    switch tensor.encoding {
    case .raw:
      let (codec, blocks) = try rawBlocks(of: tensor)
      return .dense(
        try [UInt8](unsafeUninitializedCapacity: tensor.size) { buffer, initialized in
          let bytes = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: tensor.size)
          try codec.decode(into: bytes, threads: threads) { try blocks.bytes($0) }
          initialized = tensor.size
        })
    case .ternary(let group):
      return try ternary(.ternary, tensor, group, threads: threads)
    case .sparseSigns(let positions, let group):
      return try ternary(positions == .gaps ? .sparse : .sparseBitmap, tensor, group, threads: threads)
    case .sparse(let positions, let values, let least):
      let codec = try SparseCodec(tensor, type: values.type(of: tensor.type) ?? tensor.type, isMapped: reader.isMapped)
      let parts = try self.parts(of: tensor, blockCounts: codec.blockCounts(positions))
      let matrix = try codec.decode(positions, least: least, threads: threads) { part, index in
        try parts[part].bytes(index)
      }
      return .sparse(matrix, transposed: tensor.isTransposed)
    case .lowRank(let singularValues):
      let codec = try LowRankCodec(tensor, rank: singularValues.count, isMapped: reader.isMapped)
      let parts = try self.parts(of: tensor, blockCounts: codec.blockCounts)
      let matrix = try codec.decode(singularValues: singularValues, threads: threads) { part, index in
        try parts[part].bytes(index)
      }
      guard matrix.isFinite(in: .float32, threads: threads) else {
        throw NetworkError(.corrupt, "a weight that is infinite in float32")
      }
      return .lowRank(matrix, transposed: tensor.isTransposed)
    case .levels(let parameters):
      let (rows, columns) = tensor.matrixDimensions
      let codec = try LevelsCodec(
        rows: rows, columns: columns, type: tensor.type, parameters, isMapped: reader.isMapped)
      let parts = try self.parts(of: tensor, blockCounts: codec.blockCounts)
      let matrix = try codec.decode(threads: threads) { part, index in try parts[part].bytes(index) }
      // The same in fewer bits, which steps know and products are fast with.
      if let ternary = TernaryMatrix(matrix) { return .ternary(ternary, transposed: tensor.isTransposed) }
      return .levels(matrix, transposed: tensor.isTransposed)
    case .seeded(let trits, let group):
      let (rows, columns) = tensor.matrixDimensions
      let codec = try SeededCodec(
        rows: rows, columns: columns, group: group, trits: trits, source: tensor.type, isMapped: reader.isMapped)
      let parts = try self.parts(of: tensor, blockCounts: codec.blockCounts)
      let matrix = try codec.decode(threads: threads) { part, index in try parts[part].bytes(index) }
      return .seeded(matrix, transposed: tensor.isTransposed)
    case .unknown(let id):
      throw NetworkError(.unsupported, tensor.unsupported ?? "encoding \(id) is not known to this version")
    }
  }

  /// The blocks of a tensor in raw encoding.
  func rawBlocks(of tensor: TensorRecord) throws -> (codec: RawCodec, blocks: Blocks) {
    let isInPlanes = if case .raw(let planes) = tensor.encoding { planes } else { false }
    if isInPlanes, reader.isMapped { throw NetworkError(.corrupt, "planes in a mapped file") }
    let codec = try RawCodec(
      tensor.type, count: tensor.shape.count, planes: isInPlanes, isMapped: reader.isMapped)
    return (codec, try parts(of: tensor, blockCounts: [codec.blockCount])[0])
  }

  /// Decodes the container piece by piece, in order.
  package func forEachContainerPiece(
    threads: Threads, _ body: (_ number: Int, _ piece: [UInt8]) throws -> Void
  ) throws {
    guard directory.container != nil, let payload = directory.containerPayload else { return }
    let count = remaining.count
    let codec = try containerCodec(byteCount: count)
    let blocks = reader.blocks(of: payload)
    guard blocks.count == codec.blockCount else {
      throw NetworkError(.corrupt, "container: \(blocks.count) blocks, expected \(codec.blockCount) for \(count) bytes")
    }
    var number = 0
    try codec.decode(threads: threads) {
      try blocks.bytes($0)
    } emit: { piece in
      try body(number, piece)
      number += 1
    }
  }

  /// Checks the container's digest.
  package func checkContainer(threads: Threads) throws {
    guard let container = directory.container else { return }
    var folded = FoldedBytes()
    try forEachContainerPiece(threads: threads) { _, piece in piece.withUnsafeBytes { folded.update($0) } }
    let digest = folded.digest(containerKind: container.kind.rawValue, size: container.size)
    guard digest == container.digest else {
      throw NetworkError(.corrupt, "digest \(container.digest), computed \(digest)")
    }
  }

  private func ternary(
    _ encoding: Codecs.Encoding, _ tensor: TensorRecord, _ group: ScaleGroup, threads: Threads
  ) throws -> Weights {
    let codec = try TernaryCodec(tensor, group, isMapped: reader.isMapped)
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
  init(_ tensor: TensorRecord, _ group: ScaleGroup, isMapped: Bool) throws {
    let (rows, columns) = tensor.matrixDimensions
    try self.init(rows: rows, columns: columns, group: group, source: tensor.type, isMapped: isMapped)
  }
}

extension SparseCodec {
  init(_ tensor: TensorRecord, type: ElementType, isMapped: Bool) throws {
    let (rows, columns) = tensor.matrixDimensions
    try self.init(rows: rows, columns: columns, type: type, isMapped: isMapped)
  }
}

extension LowRankCodec {
  init(_ tensor: TensorRecord, rank: Int, isMapped: Bool) throws {
    let (rows, columns) = tensor.matrixDimensions
    try self.init(rows: rows, columns: columns, rank: rank, isMapped: isMapped)
  }
}

extension TensorRecord {
  /// Output units and inputs of its matrix.
  package var matrixDimensions: (rows: Int, columns: Int) { axes.dimensions(of: shape) }

  /// A tensor as a matrix.
  ///
  /// - Precondition: its elements are those of the matrix or of the transposed one, in order.
  /// - Parameter values: its elements as the source has them, little-endian; they must outlive the matrix.
  package func matrix(_ values: UnsafeRawBufferPointer) -> StoredMatrix {
    let (rows, columns) = sourceDimensions
    return StoredMatrix(values, type: type, rows: rows, columns: columns, transposed: isTransposed)
  }

  /// Rows and columns in the order of its elements: those of the matrix, or of the transposed one.
  package var sourceDimensions: (rows: Int, columns: Int) {
    let (rows, columns) = matrixDimensions
    return isTransposed ? (columns, rows) : (rows, columns)
  }
}
