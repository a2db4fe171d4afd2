// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import Matrices
internal import Parallel
internal import Tensors

/// Values as they are to be stored: an encoding, and the blocks of each of its parts.
struct EncodedValues {
  var encoding: Encoding
  var parts: [WaitingBlocks]

  var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }
  /// With what the directory says of it, about.
  var cost: Int { byteCount + 16 * parts.count + (encoding.isRaw ? 0 : 24) }
}

/// Encodes the values of one tensor in the way that takes fewest bytes.
struct TensorEncoder {
  let tensor: TensorRecord
  let writing: WritingOptions
  let threads: Threads
  /// Told of how many bytes of values the weights are encoded.
  let didReach: (Int) -> Void

  private var isCounted: Bool { writing.trial != nil }
  private var level: CompressionLevel { writing.compression }

  /// Weights up to which more than one form of codes is made, to see which is smaller.
  private static let maxComparedWeights = 1 << 24

  func encode(_ values: NewValues) throws -> EncodedValues {
    switch values {
    case .weights(.dense(let bytes)): return try bytes.withUnsafeBytes { try encode(dense: $0) }
    case .weights(.ternary(let matrix, _)): return try ternary(matrix)
    case .weights(.sparse(let matrix, _)): return try sparse(matrix, values)
    case .masked(let matrix): return try sparse(matrix, values)
    case .weights(.levels(let matrix, _)): return try levels(matrix)
    case .weights(.seeded(let matrix, _)):
      let (rows, columns) = tensor.matrixDimensions
      let codec = try SeededCodec(
        rows: rows, columns: columns, group: matrix.group, trits: matrix.trits, source: tensor.type,
        isMapped: writing.isMapped)
      return EncodedValues(
        encoding: .seeded(matrix.trits, matrix.group),
        parts: try codec.encode(matrix, level: level, threads: threads).map(waiting))
    case .weights(.lowRank(let matrix, _)):
      let (rows, columns) = tensor.matrixDimensions
      let codec = try LowRankCodec(rows: rows, columns: columns, rank: matrix.rank, isMapped: writing.isMapped)
      let factors = EncodedValues(
        encoding: .lowRank(singularValues: matrix.singularValues.map(\.roundedToNineDigits)),
        parts: try codec.encode(matrix, level: level, threads: threads).map(waiting))
      return try raw(values, smallerThan: factors) ?? factors
    }
  }

  /// What values that nobody changed are stored as, where they are more than noise: zeros, or few levels. `nil` for
  /// others, which are a raw tensor.
  func unlikeNoise(_ values: UnsafeRawBufferPointer) throws -> EncodedValues? {
    if writing.isMapped { return nil }
    let few = try fewLevels(values).map(levels)
    let nonzeros = tensor.withoutZeros(values, threads: threads)
    let sparse = try nonzeros.map { try encoded($0) }
    guard let best = [few, sparse].compactMap({ $0 }).min(by: { $0.cost < $1.cost }) else { return nil }
    return try raw(values, smallerThan: best) ?? best
  }

  private func encode(dense values: UnsafeRawBufferPointer) throws -> EncodedValues {
    try unlikeNoise(values) ?? raw(values)
  }

  private func waiting(_ blocks: [[UInt8]]) throws -> WaitingBlocks {
    try WaitingBlocks(blocks, isCounted: isCounted)
  }

  // MARK: Raw

  private func raw(_ values: UnsafeRawBufferPointer) throws -> EncodedValues {
    let blocks = WaitingBlocks(isCounted: isCounted)
    let codec = try encodeRaw(values, emit: blocks.append)
    return EncodedValues(encoding: .raw(planes: codec.planes), parts: [blocks])
  }

  /// Encodes values as they are.
  ///
  /// - Returns: the codec that decodes them.
  func encodeRaw(_ values: UnsafeRawBufferPointer, emit: ([UInt8]) throws -> Void) throws -> RawCodec {
    guard writing.isMapped else {
      return try RawCodec.encodeSmallest(values, tensor.type, level: level, threads: threads, emit: emit)
    }
    let codec = try RawCodec(tensor.type, count: tensor.shape.count, isMapped: true)
    try codec.encode(values, threads: threads, emit: emit)
    return codec
  }

  private func raw(_ values: UnsafeRawBufferPointer, smallerThan other: EncodedValues) throws -> EncodedValues? {
    try raw(smallerThan: other) { try encodeRaw(values, emit: $0) }
  }

  /// The restored values in raw encoding, where that takes fewer bytes than another.
  private func raw(_ values: NewValues, smallerThan other: EncodedValues) throws -> EncodedValues? {
    if writing.isMapped { return nil }
    return try raw(smallerThan: other) { emit in
      var codec: RawCodec?
      var waiting: [UInt8] = []
      func encode(_ size: Int) throws {
        try waiting.withUnsafeBytes { bytes in
          for start in stride(from: 0, to: size, by: RawCodec.pieceSize) {
            let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(size, start + RawCodec.pieceSize)])
            if let codec {
              try emit(codec.encode(piece: piece, level: level))
            } else {
              let first = try RawCodec.smallest(tensor.type, count: tensor.shape.count, first: piece, level: level)
              codec = first.codec
              try emit(first.block)
            }
          }
        }
        waiting.removeFirst(size)
      }
      try values.forEachPiece(type: tensor.type, threads: threads) { piece in
        waiting.append(contentsOf: piece)
        let pieces = waiting.count / RawCodec.pieceSize
        if pieces >= 1 { try encode(pieces * RawCodec.pieceSize) }
      }
      try encode(waiting.count)
      return codec
    }
  }

  /// What `encode` emits, where that takes fewer bytes than another encoding. Given up as soon as it takes more.
  private func raw(
    smallerThan other: EncodedValues, _ encode: (_ emit: ([UInt8]) throws -> Void) throws -> RawCodec?
  ) throws -> EncodedValues? {
    struct Larger: Error {}
    let blocks = WaitingBlocks(isCounted: isCounted)
    do {
      let codec = try encode { block in
        try blocks.append(block)
        if blocks.byteCount + 16 >= other.cost { throw Larger() }
      }
      return codec.map { EncodedValues(encoding: .raw(planes: $0.planes), parts: [blocks]) }
    } catch is Larger {
      return nil
    }
  }

  // MARK: Ternary and sparse

  private func ternary(_ matrix: TernaryMatrix) throws -> EncodedValues {
    let codec = try TernaryCodec(tensor, matrix.group, isMapped: writing.isMapped)
    let encoded = try codec.encode(matrix, level: level, threads: threads)
    let trits = EncodedValues(
      encoding: encoded.encoding == .sparse ? .sparseSigns(.gaps, matrix.group) : .ternary(matrix.group),
      parts: try encoded.parts.map(waiting))
    // Two bits a weight are simpler to use, and are given up for a real gain alone.
    guard !writing.isMapped, matrix.rows * matrix.columns <= Self.maxComparedWeights,
      let grid = LevelsMatrix(matrix, type: tensor.type),
      case let codes = try levels(grid), codes.cost < trits.cost - trits.byteCount / 50
    else { return trits }
    return codes
  }

  private func sparse(_ matrix: some SparseContent, _ values: NewValues) throws -> EncodedValues {
    var best = try encoded(matrix)
    if let few = try fewLevels(values), case let codes = try levels(few), codes.cost < best.cost { best = codes }
    // Zeros cost a raw encoding little where hardly a weight is one.
    let mayBeSmallerRaw =
      matrix.storedCount >= matrix.rows * matrix.columns / 2 || tensor.size < 1 << 16 || tensor.history.isEmpty
    return mayBeSmallerRaw ? try raw(values, smallerThan: best) ?? best : best
  }

  private func encoded(_ matrix: some SparseContent) throws -> EncodedValues {
    let codec = try SparseCodec(tensor, type: matrix.type, isMapped: writing.isMapped)
    var waiting: [SparseCodec.Part: WaitingBlocks] = [:]
    func blocks(of part: SparseCodec.Part) -> WaitingBlocks {
      if let blocks = waiting[part] { return blocks }
      let blocks = WaitingBlocks(isCounted: isCounted)
      waiting[part] = blocks
      return blocks
    }
    var planes = 0
    let blockBytes = tensor.size / max(1, codec.blocks.count * matrix.type.byteCount)
    let (positions, least) = try codec.encode(matrix, level: level, threads: threads) { part, block in
      try blocks(of: part).append(block)
      guard case .plane = part else { return }
      planes += 1
      didReach(planes * blockBytes)
    }
    return EncodedValues(
      encoding: .sparse(positions, StoredValues(matrix.type, of: tensor.type), least: least),
      parts: codec.parts(positions).map(blocks))
  }

  // MARK: Levels

  private func levels(_ matrix: LevelsMatrix) throws -> EncodedValues {
    let (parameters, parts) = try LevelsCodec.encode(
      matrix, level: level, isMapped: writing.isMapped, threads: threads)
    return EncodedValues(encoding: .levels(parameters), parts: try parts.map(waiting))
  }

  /// The values as levels, where they are few; `nil` for others, and for so few values that nothing is gained.
  private func fewLevels(_ values: UnsafeRawBufferPointer) throws -> LevelsMatrix? {
    guard tensor.shape.count >= 64, let (rows, columns, isTransposed) = tensor.storedMatrix else { return nil }
    return LevelsMatrix(
      values, type: tensor.type, rows: rows, columns: columns, transposed: isTransposed, threads: threads)
  }

  private func fewLevels(_ values: NewValues) throws -> LevelsMatrix? {
    struct Many: Error {}
    guard tensor.shape.count >= 64, tensor.shape.count <= Self.maxComparedWeights, !writing.isMapped else {
      return nil
    }
    var patterns = DistinctPatterns(width: tensor.type.byteCount)
    var bytes: [UInt8] = []
    var isFew = true
    do {
      try values.forEachPiece(type: tensor.type, threads: threads) { piece in
        // What a step changed is on no grid of rows, unless it was made for one.
        if isFew, !patterns.insert(piece) {
          isFew = false
          if !tensor.history.isEmpty { throw Many() }
        }
        bytes.append(contentsOf: piece)
      }
    } catch is Many {
      return nil
    }
    return try bytes.withUnsafeBytes { try fewLevels($0) }
  }
}

extension TensorRecord {
  /// Rows and columns of the matrix, and whether the elements are those of the transposed one; `nil` where they are
  /// neither.
  fileprivate var storedMatrix: (rows: Int, columns: Int, isTransposed: Bool)? {
    guard axes.layout != .permuted else { return nil }
    let (rows, columns) = matrixDimensions
    return (rows, columns, isTransposed)
  }

  /// The weights that are not +0, where most of them are zeros of either sign: what somebody pruned before. `nil` for
  /// other tensors; a sample says which they are.
  fileprivate func withoutZeros(_ values: UnsafeRawBufferPointer, threads: Threads) -> MaskedMatrix? {
    let (size, count) = (type.byteCount, shape.count)
    guard type.isFloat, axes.layout != .permuted, count >= 64 else { return nil }
    let samples = min(count, 4096)
    let zeros = (0..<samples).count { sample in
      let start = sample * (count / samples) * size
      return values[start..<start + size - 1].allSatisfy { $0 == 0 } && values[start + size - 1] & 0x7F == 0
    }
    guard 2 * zeros >= samples else { return nil }
    let matrix = matrix(values)
    let nonzeros = matrix.removing(
      outputs: [Bool](repeating: false, count: matrix.outputs), inputs: [Bool](repeating: false, count: matrix.inputs),
      threads: threads)
    return nonzeros.storedCount > 0 ? nonzeros : nil
  }
}
