// SPDX-License-Identifier: Apache-2.0

import CLoops
import Codecs
import Compression
import Glibc
import Matrices
import Parallel
import Random
import Tensors

/// Times what works on weights in memory: the loops, the search for the best trits, the encodings.
func measureLoops(into bench: inout Measurements) throws {
  let side = 4096
  let count = side * side
  let bytes = 4 * count
  let square = "\(side)×\(side)"
  var random = SplitMix64(seed: 1)
  let weights = random.floats(.gaussian, count)
  var room = [UInt8](repeating: 0, count: bytes)

  // Loops.
  bench.add("memcpy", "\(bytes >> 20) MiB", bytes: bytes) { _ = memcpy(&room, weights, bytes) }
  bench.add("crc32", "\(bytes >> 20) MiB", bytes: bytes) { _ = nc_crc32(0, weights, bytes) }
  bench.add("transpose", "\(square) float32", bytes: bytes) {
    nc_transpose(weights, side, side, side, 4, &room, side)
  }
  bench.add("pack", "\(square) float32", bytes: bytes) {
    for row in 0..<side {
      weights.withPointer(at: row * side) { _ = nc_ternary_pack($0, side, 0.6, &room, row * side) }
    }
  }
  let trits = Array(room[..<(count / 4)])
  bench.add("unpack", "\(square) float32", bytes: bytes) {
    nc_ternary_unpack(trits, 0, count, 4, 0x3F80_0000, 0xBF80_0000, &room)
  }
  bench.add("draw", "\(square) float32, a tenth not 0", bytes: bytes) {
    nc_seeded_trits(7, 3277, 0, count, &room)
  }
  let drawn = SeededMatrix(
    rows: side, columns: side, group: .tensor, trits: TernarySeed(seed: 7, threshold: 3277)!, scales: [1])!
  for transposed in [false, true] {
    let slabs = SeededSlabs(drawn, type: .float32, transposed: transposed)
    bench.add("draw values", transposed ? "inputs × outputs" : "outputs × inputs", bytes: bytes) {
      room.withUnsafeMutableBytes { room in
        for slab in 0..<slabs.count { slabs.decode(slab, into: .init(rebasing: room[slabs.bytes(of: slab)])) }
      }
    }
  }

  // The search for the best trits, packing included.
  for (distribution, samples) in [
    (Distribution.gaussian, weights), (.laplace, random.floats(.laplace, count)),
    (.student, random.floats(.student, count)),
  ] {
    let source = Source(distribution: distribution, samples: samples, rows: side, columns: side)
    try source.ternarize(.row, into: &bench)
    try source.transposed.ternarize(.row, into: &bench)
  }
  let source = Source(distribution: .gaussian, samples: weights, rows: side, columns: side)
  try source.ternarize(.row, threads: 2, into: &bench)
  for group in [ScaleGroup.tensor, .inputs(32), .inputs(64), .inputs(128)] {
    try source.ternarize(group, into: &bench)
    try source.transposed.ternarize(group, into: &bench)
  }
  for columns in [64, 256, 1024, 65536] {
    let source = Source(distribution: .gaussian, samples: weights, rows: count / columns, columns: columns)
    try source.ternarize(.row, into: &bench)
    try source.transposed.ternarize(.row, into: &bench)
  }
  for type in [ElementType.float16, .bfloat16, .float64] {
    let source = Source(distribution: .gaussian, samples: weights, rows: side, columns: side, type: type)
    try source.ternarize(.row, into: &bench)
    try source.transposed.ternarize(.row, into: &bench)
  }

  // Restored values, and encodings.
  let matrix = try source.ternarized(.row, threads: Threads(0)).matrix
  for (type, transposed, threads) in [
    (ElementType.float32, false, 1), (.float32, true, 1), (.float32, false, 2), (.float32, true, 2),
    (.float16, false, 1), (.float16, true, 1),
  ] {
    let bytes = count * type.byteCount
    bench.add(
      "decode", "\(square) \(type)\(transposed ? ", inputs×outputs" : "")", threads: threads, bytes: bytes
    ) {
      room.withUnsafeMutableBytes { out in
        decode(
          matrix, type: type, transposed: transposed, into: UnsafeMutableRawBufferPointer(rebasing: out[..<bytes]),
          threads: Threads(threads))
      }
    }
  }
  let codec = try TernaryCodec(rows: side, columns: side, group: .row, source: .float32)
  let raw = try RawCodec(.float32, count: count)
  for threads in [1, 2] {
    let parallel = Threads(threads)
    try bench.add("encode codes", "\(square), zstd", threads: threads, bytes: bytes) {
      _ = try codec.encode(matrix, threads: parallel)
    }
    let encoded = try codec.encode(matrix, threads: parallel)
    try bench.add("decode codes", "\(square), zstd", threads: threads, bytes: bytes) {
      _ = try codec.decode(encoded.encoding, threads: parallel) { encoded.parts[$0][$1] }
    }
    var blocks: [[UInt8]] = []
    func encodeRaw() throws {
      blocks = []
      try weights.withUnsafeBytes { try raw.encode($0, threads: parallel) { blocks.append($0) } }
    }
    try bench.add("encode raw", "\(square) float32", threads: threads, bytes: bytes, encodeRaw)
    if blocks.isEmpty { try encodeRaw() }
    let stored = blocks
    try bench.add("decode raw", "\(square) float32", threads: threads, bytes: bytes) {
      try room.withUnsafeMutableBytes { try raw.decode(into: $0, threads: parallel) { stored[$0] } }
    }
  }
}

/// A matrix in memory as a file would hold it.
private struct Source {
  let distribution: Distribution
  /// Row-major, little-endian.
  let bytes: [UInt8]
  /// Of the bytes.
  private(set) var rows: Int
  private(set) var columns: Int
  let type: ElementType
  /// Whether the rows are inputs.
  private var isTransposed = false

  init(distribution: Distribution, samples: [Float], rows: Int, columns: Int, type: ElementType = .float32) {
    (self.distribution, self.rows, self.columns, self.type) = (distribution, rows, columns, type)
    bytes =
      switch type {
      case .float16: Self.bytes(samples.map { Float16($0) })
      case .bfloat16: Self.bytes(samples.map { UInt16($0.bitPattern >> 16) })
      case .float64: Self.bytes(samples.map { Double($0) })
      default: Self.bytes(samples)
      }
  }

  private static func bytes<T: BitwiseCopyable>(_ elements: [T]) -> [UInt8] { elements.withUnsafeBytes { Array($0) } }

  /// The same bytes, as inputs × output units of a matrix of the same shape.
  var transposed: Source {
    var copy = self
    copy.isTransposed = true
    (copy.rows, copy.columns) = (columns, rows)
    return copy
  }

  func ternarized(_ group: ScaleGroup, threads: Threads) throws -> Ternarization {
    try bytes.withUnsafeBytes {
      try Compression.ternarize(
        StoredMatrix($0, type: type, rows: rows, columns: columns, transposed: isTransposed), group: group,
        threads: threads)
    }
  }

  /// Times the search for the best trits. Speed is that of the bytes.
  func ternarize(_ group: ScaleGroup, threads: Int = 1, into bench: inout Measurements) throws {
    let scales =
      switch group {
      case .tensor: "a tensor"
      case .row: "a row"
      case .inputs(let count): "\(count) inputs"
      }
    try bench.add(
      "ternarize \(scales)",
      "\(rows)×\(columns) \(type)\(isTransposed ? ", inputs×outputs" : ""), \(distribution.rawValue)",
      threads: threads, bytes: bytes.count
    ) {
      _ = try ternarized(group, threads: Threads(threads))
    }
  }
}

extension Array {
  fileprivate func withPointer(at index: Int, _ body: (UnsafePointer<Element>) -> Void) {
    withUnsafeBufferPointer { if let base = $0.baseAddress { body(base + index) } }
  }
}
