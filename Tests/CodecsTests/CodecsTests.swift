// SPDX-License-Identifier: Apache-2.0

import Codecs
import Parallel
import Random
import Tensors
import Testing

// MARK: - Making and taking apart

func hex(_ text: String) -> [UInt8] { text.split(separator: " ").map { UInt8($0, radix: 16)! } }

/// `count` bytes, each with probability `noise` random and else the one before.
func bytes(_ count: Int, noise: Double, _ random: inout SplitMix64) -> [UInt8] {
  var last: UInt8 = 0
  return (0..<count).map { _ in
    if Double.random(in: 0..<1, using: &random) < noise { last = UInt8(truncatingIfNeeded: random.next()) }
    return last
  }
}

private func matrix(
  _ rows: Int, _ columns: Int, density: Double, group: ScaleGroup = .row, _ random: inout SplitMix64
) -> TernaryMatrix {
  let rowBytes = TernaryMatrix.rowBytes(columns: columns)
  var codes = [UInt8](repeating: 0, count: rows * rowBytes)
  let threshold = UInt64(density * 0x1p53)
  for row in 0..<rows {
    for column in 0..<columns {
      let draw = random.next()
      if draw >> 11 < threshold { codes[row * rowBytes + column / 4] |= (draw & 1 == 0 ? 1 : 3) << (column % 4 * 2) }
    }
  }
  let scales = (0..<group.count(rows: rows, columns: columns)).map { _ in
    // A value of every type of weights but bfloat16. Those of no weights are not stored.
    rows * columns == 0 ? 0 : Double(Float16.random(in: 0..<1, using: &random))
  }
  return TernaryMatrix(rows: rows, columns: columns, group: group, codes: codes, scales: scales)!
}

private func codec(_ matrix: TernaryMatrix, source: ElementType = .float32) throws -> TernaryCodec {
  try TernaryCodec(rows: matrix.rows, columns: matrix.columns, group: matrix.group, source: source)
}

private func decoded(_ stored: EncodedTensor, _ codec: TernaryCodec, threads: Int = 1) throws -> TernaryMatrix {
  try codec.decode(stored.encoding, threads: Threads(threads)) { stored.parts[$0][$1] }
}

private func encoded(
  _ bytes: [UInt8], _ codec: RawCodec, level: CompressionLevel = .standard, threads: Int = 1
) throws -> [[UInt8]] {
  var blocks: [[UInt8]] = []
  try bytes.withUnsafeBytes { try codec.encode($0, level: level, threads: Threads(threads)) { blocks.append($0) } }
  return blocks
}

private func decoded(_ blocks: [[UInt8]], _ codec: RawCodec, threads: Int = 1) throws -> [UInt8] {
  try [UInt8](unsafeUninitializedCapacity: codec.byteCount) { out, count in
    let out = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(out)[..<codec.byteCount])
    try codec.decode(into: out, threads: Threads(threads)) { blocks[$0] }
    count = codec.byteCount
  }
}

// MARK: - Raw

@Suite struct Raw {
  @Test func storesPlanes() throws {
    let codec = try RawCodec(.int32, count: 2)
    let blocks = try encoded(hex("00 01 02 03 10 11 12 13"), codec)
    #expect(blocks == [hex("00 10 01 11 02 12 03 13")])
    #expect(try encoded(hex("01 02 03"), RawCodec(.uint8, count: 3)) == [hex("01 02 03")])
    #expect(try encoded(hex("01 80 02 81"), RawCodec(.bfloat16, count: 2)) == [hex("01 02 80 81")])
  }

  @Test(arguments: ElementType.allCases)
  func comesBack(_ type: ElementType) throws {
    var random = SplitMix64(seed: 1)
    for count in [0, 1, 2, 15, 16, 17, 33, 1000] {
      let codec = try RawCodec(type, count: count)
      for noise in [0, 0.01, 1] {
        let values = bytes(codec.byteCount, noise: noise, &random)
        for level in [CompressionLevel.uncompressed, .standard, .zstd(1), .zstd(19)] {
          let blocks = try encoded(values, codec, level: level)
          #expect(blocks.count == codec.blockCount)
          #expect(try decoded(blocks, codec) == values)
        }
      }
    }
  }

  /// Pieces of 2²⁰ bytes, the same whatever the number of threads, in one buffer or one by one.
  @Test(arguments: [
    (ElementType.float32, (1 << 19) + 5), (.float64, 1 << 18), (.float16, 1 << 20 | 1), (.uint8, 3 << 20),
  ])
  func cutsPieces(_ type: ElementType, _ count: Int) throws {
    var random = SplitMix64(seed: 2)
    let codec = try RawCodec(type, count: count)
    let pattern = bytes(4096, noise: 0.5, &random)
    let values = (0..<codec.byteCount).map { pattern[$0 & 4095] ^ UInt8(truncatingIfNeeded: $0 >> 12) }
    let blocks = try encoded(values, codec)
    #expect(blocks.count == codec.blockCount)
    #expect(blocks.count == (codec.byteCount + (1 << 20) - 1) >> 20)
    #expect(try encoded(values, codec, threads: 2) == blocks)
    #expect(try encoded(values, codec, threads: 5) == blocks)
    #expect(try decoded(blocks, codec, threads: 2) == values)
    var pieces: [UInt8] = []
    try codec.decode(threads: Threads(2), block: { blocks[$0] }, emit: { pieces += $0 })
    #expect(pieces == values)
  }

  /// Never larger than what gzip -9 makes of the bytes (the figures) and a few bytes more.
  @Test func choosesWhatIsSmaller() throws {
    var state: UInt32 = 1
    func next(_ limit: UInt32) -> UInt32 {
      state = 1_664_525 &* state &+ 1_013_904_223
      return (state >> 16) % limit
    }
    func little<Number: BitwiseCopyable>(_ numbers: [Number]) -> [UInt8] { numbers.withUnsafeBytes { Array($0) } }
    func fresh<Number>(_ count: Int, _ limit: UInt32, _ make: (UInt32) -> Number) -> [Number] {
      state = 1
      return (0..<count).map { _ in make(next(limit)) }
    }
    let row = little(fresh(100, 65_536) { $0 &* 0x9E37_79B9 })
    let cases: [(ElementType, [UInt8], Int)] = [
      (.int32, little((0..<5000).map { Int32($0) }), 6968),
      (.float32, (0..<50).flatMap { _ in row }, 598),
      (.float32, little(fresh(9000, 3) { [Float(1), -0.5, 0.3][Int($0)] }), 3038),
      (.float32, little((0..<30_000).map { Float($0) / 64 }), 36_046),
      (.uint16, little(fresh(3000, 700) { UInt16($0) }), 4513),
      (.float32, (0..<1000).flatMap { _ in row }, 2277),
      (.float64, [UInt8](repeating: 0, count: 40), 24),
      (.float32, little(fresh(20_000, 65_536) { $0 &* 0x9E37_79B9 }), 77_846),
    ]
    for (type, bytes, gzip) in cases {
      var blocks: [[UInt8]] = []
      let codec = try bytes.withUnsafeBytes { try RawCodec.encodeSmallest($0, type) { blocks.append($0) } }
      #expect(blocks.reduce(0) { $0 + $1.count } <= gzip + 16, "\(type) \(bytes.count)")
      #expect(blocks.count == codec.blockCount)
      #expect(try decoded(blocks, codec) == bytes)
      // What is uncompressed is an array.
      blocks = []
      let plain = try bytes.withUnsafeBytes {
        try RawCodec.encodeSmallest($0, type, level: .uncompressed) { blocks.append($0) }
      }
      #expect(!plain.planes && blocks == [bytes])
    }
  }

  /// The first piece decides for all.
  @Test(arguments: [CompressionLevel.standard, .zstd(1)])
  func choosesForLargeTensors(_ level: CompressionLevel) throws {
    var random = SplitMix64(seed: 8)
    let pattern = bytes(5003, noise: 1, &random)
    let repeated = (0..<(5 << 19) + 8).map { pattern[$0 % 5003] }
    let noise = (0..<(5 << 17) + 2).map { _ in Float.random(in: 1..<2, using: &random) }.withUnsafeBytes { Array($0) }
    for (values, most) in [(repeated, 100_000), (noise, noise.count * 13 / 16)] {
      var blocks: [[UInt8]] = []
      let codec = try values.withUnsafeBytes { values in
        try RawCodec.encodeSmallest(values, .float32, level: level, threads: Threads(2)) { blocks.append($0) }
      }
      #expect(codec.planes == (values.count == noise.count && values == noise))
      #expect(blocks.count == 3)
      #expect(blocks.reduce(0) { $0 + $1.count } < most)
      #expect(try decoded(blocks, codec) == values)
    }
  }

  @Test func storesArraysInMappedFiles() throws {
    let zeros = [UInt8](repeating: 0, count: 400)
    let codec = try RawCodec(.float32, count: 100, isMapped: true)
    #expect(!codec.planes)
    #expect(try encoded(zeros, codec) == [zeros])
    #expect(try decoded([zeros], codec) == zeros)
    let frame = try encoded(zeros, RawCodec(.float32, count: 100))
    #expect(frame[0].count < 40)
    #expect(throws: CodecError.self) { try decoded(frame, codec) }
    // The uncompressed blocks of another file have planes.
    #expect(try encoded(hex("00 01 02 03"), RawCodec(.int16, count: 2), level: .uncompressed) == [hex("00 02 01 03")])
    #expect(try encoded(hex("00 01 02 03"), RawCodec(.int16, count: 2, planes: false)) == [hex("00 01 02 03")])
  }

  @Test func refusesSizesThatOverflow() {
    #expect(throws: CodecError.self) { try RawCodec(.float64, count: .max / 4) }
    #expect(throws: CodecError.self) { try RawCodec(.uint8, count: -1) }
  }

  /// A block is a frame of exactly the declared size, with nothing behind it.
  @Test func refusesWrongBlocks() throws {
    let codec = try RawCodec(.uint8, count: 1000)
    let zeros = [UInt8](repeating: 0, count: 1000)
    let frame = try encoded(zeros, codec)[0]
    #expect(frame.count < 40)
    let shorter = try encoded([UInt8](repeating: 0, count: 999), RawCodec(.uint8, count: 999))[0]
    let skippable = hex("50 2a 4d 18 04 00 00 00 00 00 00 00")
    // Single frames with a checksum; of unknown size; and with a dictionary's id.
    for wrong in [
      [], shorter, frame + [0], frame + frame, skippable + frame, frame + skippable, skippable, zeros + [0],
    ] {
      let error = #expect(throws: CodecError.self) { try decoded([wrong], codec) }
      #expect(error?.verdict == .corrupt)
      #expect(error?.part == "values")
      #expect(error?.block == 0)
    }
  }

  @Test func refusesFramesOfOtherKinds() throws {
    let codec = try RawCodec(.uint8, count: 4096)
    // One run of 4096 zeros, by hand: magic, descriptor, (window), size, block header, byte.
    #expect(try decoded([hex("28 b5 2f fd 60 00 0f 03 80 00 00")], codec) == [UInt8](repeating: 0, count: 4096))
    let wrong: [(String, CodecError.Verdict)] = [
      ("28 b5 2f fd 00 60 03 80 00 00", .corrupt),  // no content size
      ("28 b5 2f fd 64 00 0f 03 80 00 00 00 00 00 00", .corrupt),  // checksum
      ("28 b5 2f fd 61 07 00 0f 03 80 00 00", .corrupt),  // dictionary 7
      ("28 b5 2f fd 40 70 00 0f 03 80 00 00", .overLimit),  // window 16 MiB
      ("28 b5 2f fd 60 01 0f 03 80 00 00", .corrupt),  // 4097 bytes declared
      ("28 b5 2f fd 60 00 0f fb 7f 00 00", .corrupt),  // 4095 bytes in it
      ("28 b5 2f fd 60 00 0f 0b 80 00 00", .corrupt),  // 4097 bytes in it
      ("28 b5 2f fd 60 00 0f 02 80 00 00", .corrupt),  // not the last block
      ("27 b5 2f fd 60 00 0f 03 80 00 00", .corrupt),  // an older format's magic
    ]
    for (frame, verdict) in wrong {
      let error = #expect(throws: CodecError.self) { try decoded([hex(frame)], codec) }
      #expect(error?.verdict == verdict, "\(frame)")
    }
    #expect(try decoded([hex("28 b5 2f fd 40 68 00 0f 03 80 00 00")], codec).count == 4096)  // window 8 MiB
  }
}

// MARK: - Ternary and sparse

private let shapes = [
  (0, 0), (0, 5), (5, 0), (1, 1), (1, 7), (7, 1), (3, 4), (4, 3), (2, 8), (5, 9), (13, 17), (97, 101), (1, 1000),
  (1000, 1), (300, 784),
]

@Suite struct Ternary {
  /// Rows 0 + − 0 + and − 0 0 0 0, with scales 1 and 2⁻¹²⁶.
  static let small = TernaryMatrix(
    rows: 2, columns: 5, group: .row, codes: hex("34 01 03 00"), scales: [1, 0x1p-126])!

  @Test func storesPlainBlocks() throws {
    let ternary = try codec(Self.small).encode(Self.small, level: .uncompressed)
    #expect(ternary.encoding == .ternary)
    #expect(ternary.parts == [[hex("34 01 03 00")], [hex("00 00 00 00 80 80 3f 00")]])
    let wide = try codec(Self.small, source: .float64).encode(Self.small, level: .uncompressed)
    #expect(wide.parts[1] == [hex("00 00 00 00 00 00 00 00 00 00 00 00 f0 10 3f 38")])
  }

  @Test func storesArraysInMappedFiles() throws {
    let codec = try TernaryCodec(rows: 2, columns: 5, group: .row, source: .float32, isMapped: true)
    let stored = try codec.encode(Self.small)
    #expect(stored.parts == [[hex("34 01 03 00")], [hex("00 00 80 3f 00 00 80 00")]])
    #expect(try decoded(stored, codec) == Self.small)
    let ones = TernaryMatrix(
      rows: 40, columns: 40, group: .tensor, codes: [UInt8](repeating: 0x55, count: 400), scales: [1])!
    let compressed = try TernaryCodec(rows: 40, columns: 40, group: .tensor, source: .float32).encode(ones)
    let mapped = try TernaryCodec(rows: 40, columns: 40, group: .tensor, source: .float32, isMapped: true)
    #expect(throws: CodecError.self) { try decoded(compressed, mapped) }
  }

  /// No weights, no blocks.
  @Test func storesNothingOfEmptyMatrices() throws {
    for group in [ScaleGroup.tensor, .row, .inputs(2)] {
      let codec = try TernaryCodec(rows: 3, columns: 0, group: group, source: .float32)
      for encoding in [Encoding.ternary, .sparse] {
        #expect(codec.blockCounts(encoding)?.allSatisfy { $0 == 0 } == true)
        let count = group.count(rows: 3, columns: 0)
        #expect(try codec.decode(encoding) { _, _ in [] }.scales == [Double](repeating: 0, count: count))
      }
    }
  }

  @Test func readsSparseBlocks() throws {
    let parts = [[hex("04 00 00 00")], [hex("01 00 01 00")], [hex("0a")], [hex("00 00 00 00 80 80 3f 00")]]
    #expect(try codec(Self.small).decode(.sparse) { parts[$0][$1] } == Self.small)
  }

  @Test(arguments: shapes)
  func comesBack(_ rows: Int, _ columns: Int) throws {
    var random = SplitMix64(seed: 3)
    for density in [0, 0.02, 0.2, 0.54, 1] {
      for group in [ScaleGroup.tensor, .row, .inputs(4)] {
        let matrix = matrix(rows, columns, density: density, group: group, &random)
        let codec = try codec(matrix, source: group == .tensor ? .float64 : .float16)
        for level in [CompressionLevel.uncompressed, .standard, .zstd(19)] {
          let stored = try codec.encode(matrix, level: level, threads: Threads(1))
          #expect(stored.parts.map(\.count) == codec.blockCounts(stored.encoding))
          #expect(try decoded(stored, codec) == matrix)
          #expect(
            level != .uncompressed
              || stored.encoding == .ternary && stored.parts[0].joined().elementsEqual(matrix.codes))
        }
      }
    }
  }

  /// Several blocks of whole rows, and rows that are cut.
  @Test(arguments: [(2, 1 << 18, 2), (3, 100_000, 2), (1, (1 << 18) + 1, 2), (2, (1 << 18) + 7, 4)])
  func cutsBlocks(_ rows: Int, _ columns: Int, _ blocks: Int) throws {
    var random = SplitMix64(seed: 4)
    for density in [0.05, 0.54] {
      let matrix = matrix(rows, columns, density: density, &random)
      let codec = try codec(matrix)
      #expect(codec.blocks.count == blocks)
      let stored = try codec.encode(matrix, threads: Threads(1))
      #expect(stored.encoding == (density < 0.1 ? .sparse : .ternary))
      #expect(try codec.encode(matrix, threads: Threads(2)) == stored)
      #expect(try decoded(stored, codec, threads: 2) == matrix)
    }
  }

  @Test func blocksTileTheMatrix() throws {
    for (rows, columns) in shapes + [(1 << 19, 1), (5, 1 << 17), (9, 70_000), (2, 1_000_000), (1, 1 << 40)] {
      let blocks = try TernaryCodec(rows: rows, columns: columns, group: .tensor, source: .float32).blocks
      guard blocks.count < 1000 else {
        #expect(blocks[blocks.count - 1].columns.upperBound == columns)
        continue
      }
      var next = (row: 0, column: 0)
      for block in (0..<blocks.count).map({ blocks[$0] }) {
        #expect((block.rows.lowerBound, block.columns.lowerBound) == next)
        #expect(block.rows.count * block.columns.count <= 1 << 18)
        #expect(block.columns.count == columns || block.rows.count == 1)
        next =
          block.columns.upperBound == columns
          ? (block.rows.upperBound, 0) : (block.rows.lowerBound, block.columns.upperBound)
      }
      #expect(columns == 0 || next == (rows, 0))
    }
  }

  @Test func refusesSizesThatOverflow() {
    let cases: [(Int, Int, ScaleGroup)] = [
      (.max, 2, .row), (-1, 1, .row), (1, -1, .row), (.max, 1, .row), (4, 4, .inputs(0)), (4, 4, .inputs(-1)),
      (1, .max, .inputs(1)),
    ]
    for (rows, columns, group) in cases {
      #expect(throws: CodecError.self) {
        try TernaryCodec(rows: rows, columns: columns, group: group, source: .float32)
      }
    }
  }

  @Test func refusesWrongParts() throws {
    let codec = try codec(Self.small)
    func error(_ encoding: Encoding, _ parts: String...) -> CodecError? {
      #expect(throws: CodecError.self) { try codec.decode(encoding) { part, _ in hex(parts[part]) } }
    }
    let scales = "00 00 00 00 80 80 3f 00"
    #expect(error(.ternary, "34 02 03 00", scales)?.what == "code 10 in byte 1")
    #expect(error(.ternary, "34 05 03 00", scales)?.what == "padding of row 0 is not zero")
    #expect(error(.ternary, "34 01 03 40", scales)?.what == "padding of row 1 is not zero")
    #expect(error(.ternary, "34 01 03", scales)?.part == "codes")
    #expect(error(.ternary, "34 01 03 00 00", scales)?.part == "codes")
    let count = "04 00 00 00"
    #expect(error(.sparse, count, "01 00 01 05", "0a", scales)?.what == "position 3 is beyond the block")
    #expect(error(.sparse, count, "01 00 01 ff", "02", scales)?.what == "zeros are skipped after the last position")
    #expect(error(.sparse, count, "01 00 01 00", "1a", scales)?.what == "padding after 4 signs is not zero")
    #expect(error(.sparse, count, "01 00 01 00", "1a", scales)?.part == "signs")
    #expect(error(.sparse, count, "01 00 01 00", "", scales)?.part == "signs")
    #expect(error(.sparse, count, "01 00 01", "0a", scales)?.part == "gaps")
    #expect(error(.sparse, "0b 00 00 00", "01 00 01 00", "0a", scales)?.part == "counts")
    #expect(error(.sparse, "00 00 00 00", "", "00", scales)?.part == "signs")
    #expect(error(.raw, "")?.verdict == .corrupt)
    for scale in [
      "00 00 00 00 80 80 3f 80", "00 00 00 00 80 80 7f 00", "00 00 00 00 c0 80 7f 00", "00 00 00 00 00 80 bf 00",
    ] {
      #expect(error(.ternary, "34 01 03 00", scale)?.part == "scales")
    }
    // Minus zero.
    #expect(error(.ternary, "34 01 03 00", "00 00 00 00 00 80 80 3f")?.what == "scale 0 is -0.0, in float32")
  }

  /// Every cut and every changed byte of stored blocks is refused or decodes, to the same matrix or another.
  @Test(arguments: [(40, 30, 0.06), (24, 24, 0.5), (3, 5, 0.5)])
  func survivesDamage(_ rows: Int, _ columns: Int, _ density: Double) throws {
    var random = SplitMix64(seed: 5)
    let matrix = matrix(rows, columns, density: density, &random)
    let codec = try codec(matrix)
    for level in [CompressionLevel.uncompressed, .standard, .zstd(3)] {
      let stored = try codec.encode(matrix, level: level, threads: Threads(1))
      for part in stored.parts.indices {
        let block = stored.parts[part][0]
        func attempt(_ damaged: [UInt8]) throws -> Bool {
          do {
            _ = try codec.decode(stored.encoding, threads: Threads(1)) { $0 == part ? damaged : stored.parts[$0][$1] }
            return true
          } catch is CodecError { return false }
        }
        for length in 0..<block.count { #expect(try !attempt(Array(block[..<length]))) }
        for at in block.indices {
          for change in [1, 2, 0x10, 0x80, UInt8.random(in: 3...255, using: &random)] {
            var damaged = block
            damaged[at] ^= change
            _ = try attempt(damaged)
          }
        }
      }
    }
  }
}

// MARK: - Sizes

@Suite struct Sizes {
  /// −Σ p log₂ p of a zero of probability p₀ and two signs equally likely.
  static func entropy(zeros p: Double) -> Double {
    func term(_ p: Double) -> Double { p == 0 ? 0 : -p * logarithm(p) }
    return term(p) + 2 * term((1 - p) / 2)
  }

  /// log₂ p by its series; a test needs no more.
  static func logarithm(_ p: Double) -> Double {
    var square = p.significand
    var result = Double(p.exponent)
    for bit in 1...50 {
      square *= square
      if square >= 2 {
        square /= 2
        result += 1 / Double(1 << bit)
      }
    }
    return result
  }

  /// Within 1 % of the entropy at the optimum for Gaussian weights; within 1.3 % at nine zeros in ten.
  @Test(arguments: [(0.4595, 1.545), (0.9, 0.576)])
  func ofTrits(_ zeros: Double, _ bits: Double) throws {
    var random = SplitMix64(seed: 6)
    let matrix = matrix(512, 1024, density: 1 - zeros, group: .tensor, &random)
    let stored = try codec(matrix).encode(matrix)
    let measured = Double(stored.byteCount) * 8 / Double(512 * 1024)
    #expect(measured < bits)
    #expect(measured > 0.99 * Self.entropy(zeros: zeros))
  }

  @Test func ofGaussianFloats() throws {
    var random = SplitMix64(seed: 7)
    // The sum of twelve uniform numbers is Gaussian enough.
    let values = (0..<1 << 17).map { _ in
      (0..<12).reduce(Float(-6)) { sum, _ in sum + Float(random.next() >> 40) * 0x1p-24 } * 0.02
    }
    let stored = try encoded(values.withUnsafeBytes { Array($0) }, RawCodec(.float32, count: values.count))
    #expect(Double(stored.reduce(0) { $0 + $1.count }) * 8 / Double(values.count) < 26.9)
  }

  @Test func ofNothing() throws {
    let zeros = [UInt8](repeating: 0, count: 4 << 20)
    #expect(try encoded(zeros, RawCodec(.float32, count: 1 << 20)).reduce(0) { $0 + $1.count } < 4096)
  }
}
