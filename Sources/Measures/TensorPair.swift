// SPDX-License-Identifier: Apache-2.0

internal import Compression
internal import Maths
internal import Matrices
internal import Networks
internal import Parallel
internal import Tensors

/// A tensor of A and one of B, of one type and shape.
struct TensorPair {
  let a: (file: NetworkFile, index: Int)
  let b: (file: NetworkFile, index: Int)
  private var tensor: TensorRecord { a.file.tensors[a.index] }
  private var threads: Threads { a.file.options.threads }

  /// How the values differ, in one pass; and the digest of those of A.
  func difference(withDigest: Bool) throws(VerificationError) -> (ValueDifference, digest: Digest?) {
    let (type, threads) = (tensor.type, threads)
    var difference = ValueDifference()
    var folded = FoldedBytes()
    let isCounted = withDigest && tensor.digest == nil
    try forEachPiece { before, after in
      difference.add(before, after, type: type, threads: threads)
      if isCounted { folded.update(before, threads: threads) }
    }
    let digest = isCounted ? folded.digest(type: type, shape: tensor.shape) : tensor.digest
    return (difference, withDigest ? digest : nil)
  }

  /// How the values of B differ from others.
  func difference(from before: [UInt8]) throws(VerificationError) -> ValueDifference {
    var difference = ValueDifference()
    let stream = try on(.b) { try ValueStream(b.file, b.index) }
    let room = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(1, min(before.count, 4 << 20)), alignment: 64)
    defer { room.deallocate() }
    for start in stride(from: 0, to: before.count, by: room.count) {
      let piece = UnsafeMutableRawBufferPointer(rebasing: room[..<min(room.count, before.count - start)])
      try on(.b) { try stream.read(into: piece) }
      before.withUnsafeBytes {
        difference.add(
          .init(rebasing: $0[start..<start + piece.count]), .init(piece), type: tensor.type, threads: threads)
      }
    }
    return difference
  }

  private func forEachPiece(
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
  ) throws(VerificationError) {
    let first = try on(.a) { try ValueStream(a.file, a.index) }
    let second = try on(.b) { try ValueStream(b.file, b.index) }
    var done = 0
    try Measures.forEachPiece(first, second, byteCount: tensor.size) { before, after in
      try body(before, after)
      done += before.count
      a.file.didReach(a.index, bytes: done)
    }
  }

  // MARK: Spectra

  /// Of larger matrices all singular values would take long, and much memory.
  private static let (maxSingularValues, maxWeights) = (1024, 1 << 24)
  /// Bytes of values that are kept in memory between iterations.
  private static let maxKeptBytes = 128 << 20

  /// σ₁(W − Ŵ)/σ₁(W), and of matrices that are not large all singular values.
  func measureSpectra(
    _ difference: ValueDifference, _ comparison: inout Verification.TensorComparison, isFast: Bool
  ) throws(VerificationError) {
    let (size, distance) = (difference.squaredError.before, difference.squaredError.distance)
    guard !isFast, size.isFinite, distance.isFinite else { return }
    a.file.options.tell("largest singular values of \(tensor.name)")
    let own = try largestSingularValue(size, ofDifference: false)
    let lost = try largestSingularValue(distance, ofDifference: true)
    // A bound below divided by one below says nothing.
    if own.value > 0, own.isConverged {
      comparison.spectralError = lost.value / own.value
      comparison.isSpectralErrorBound = !lost.isConverged
    }
    let (rows, columns) = tensor.matrixDimensions
    guard min(rows, columns) <= Self.maxSingularValues, rows * columns <= Self.maxWeights,
      3 * 8 * rows * columns <= a.file.options.memory
    else { return }
    comparison.singularValues = (try on(.a) { try singularValues(a) }, try on(.b) { try singularValues(b) })
  }

  private func singularValues(_ side: (file: NetworkFile, index: Int)) throws -> [Double] {
    try side.file.withValues(of: side.index) {
      try Compression.singularValues(
        tensor.matrix($0))
    }
  }

  private func largestSingularValue(
    _ norm: Double, ofDifference: Bool
  ) throws(VerificationError) -> LargestSingularValue {
    let (rows, columns) = tensor.sourceDimensions
    let isInMemory =
      (a.file.isInPlace(a.index) || tensor.size <= Self.maxKeptBytes)
      && (!ofDifference || b.file.isInPlace(b.index) || tensor.size <= Self.maxKeptBytes)
    // Few iterations where each takes long.
    let iterations = max(10, min(300, (isInMemory ? 1 << 36 : 1 << 33) / max(1, rows * columns)))
    func value(
      _ forEachWindow: (_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer?) -> Void) throws -> Void
    ) throws -> LargestSingularValue {
      try LargestSingularValue(
        tensor.type, rows: rows, columns: columns, norm: norm, iterations: iterations, threads: threads, forEachWindow)
    }
    return try on(.a) {
      if isInMemory {
        return try a.file.withValues(of: a.index) { first in
          if !ofDifference { return try value { $0(first, nil) } }
          return try b.file.withValues(of: b.index) { second in try value { $0(first, second) } }
        }
      }
      // Decoded anew for each iteration.
      let rowBytes = columns * tensor.type.byteCount
      return try value { body in
        let first = try ValueStream(a.file, a.index)
        let second = ofDifference ? try ValueStream(b.file, b.index) : nil
        let some = max(1, (4 * (1 << 20)) / rowBytes)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * some * rowBytes, alignment: 64)
        defer { room.deallocate() }
        for row in stride(from: 0, to: rows, by: some) {
          let count = min(some, rows - row) * rowBytes
          let own = UnsafeMutableRawBufferPointer(rebasing: room[..<count])
          let other = UnsafeMutableRawBufferPointer(rebasing: room[(some * rowBytes)..<(some * rowBytes + count)])
          try first.read(into: own)
          try second?.read(into: other)
          body(UnsafeRawBufferPointer(own), second == nil ? nil : UnsafeRawBufferPointer(other))
        }
      }
    }
  }

  // MARK: Histogram

  /// In a second pass, when it is known how large the weights are.
  ///
  /// - Parameter squaredError: of all values.
  func histogram(_ squaredError: SquaredError) throws(VerificationError) -> Verification.WeightHistogram? {
    let type = tensor.type
    guard squaredError.before.isFinite, squaredError.distance.isFinite, squaredError.before > 0 else { return nil }
    // What lies beyond four standard deviations is put into the outermost bins.
    var histogram = Verification.WeightHistogram(
      limit: 4 * squaredError.before / Double(tensor.shape.count).squareRoot())
    guard histogram.limit > 0, histogram.limit.isFinite else { return nil }
    try forEachPiece { before, after in
      let (x, y) = (type.numbers(Array(before)), type.numbers(Array(after)))
      for (x, y) in zip(x, y) { histogram.add(x, y) }
    }
    return histogram
  }
}

extension NetworkFile {
  /// Whether the values of a tensor can be used where they are in the file.
  fileprivate func isInPlace(_ index: Int) -> Bool {
    guard case .hdf5 = source, case .contiguous = tensors[index].place else { return false }
    return tensors[index].byteOrder == .little || tensors[index].type.byteCount == 1
  }
}

extension Verification.WeightHistogram {
  fileprivate init(limit: Double) {
    self.limit = limit
    let bins = 81
    counts = [Int](repeating: 0, count: bins)
    zeroed = counts
  }

  /// Counts a weight of A and what it is in B.
  fileprivate mutating func add(_ x: Double, _ y: Double) {
    let place = (min(1, max(-1, x / limit)) + 1) / 2 * Double(counts.count)
    let bin = min(counts.count - 1, max(0, Int(place)))
    counts[bin] += 1
    guard y == 0 else { return }
    zeroed[bin] += 1
    if x != 0 { threshold = max(threshold ?? 0, x.magnitude) }
  }
}

/// Calls `body` with the same pieces of two tensors of one type and shape, in order: whole elements, divided at places
/// that depend on nothing else.
func forEachPiece(
  _ a: ValueStream, _ b: ValueStream, byteCount: Int,
  _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
) throws(VerificationError) {
  let window = min(byteCount, 4 * (1 << 20))
  let room = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, 2 * window), alignment: 64)
  defer { room.deallocate() }
  for start in stride(from: 0, to: byteCount, by: max(1, window)) {
    let some = min(window, byteCount - start)
    let first = UnsafeMutableRawBufferPointer(rebasing: room[..<some])
    let second = UnsafeMutableRawBufferPointer(rebasing: room[window..<window + some])
    try on(.a) { try a.read(into: first) }
    try on(.b) { try b.read(into: second) }
    try on(nil) { try body(UnsafeRawBufferPointer(first), UnsafeRawBufferPointer(second)) }
  }
}
