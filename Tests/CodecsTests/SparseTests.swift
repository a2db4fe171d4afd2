// SPDX-License-Identifier: Apache-2.0

import Codecs
import Parallel
import Random
import Tensors
import Testing

/// A matrix of random values, none of them all bits zero; each weight is stored with probability `density`.
private func sparse(
  _ rows: Int, _ columns: Int, _ type: ElementType = .float32, density: Double, _ random: inout SplitMix64
) -> SparseMatrix {
  let rowBytes = SparseMatrix.maskRowBytes(columns: columns)
  var mask = [UInt8](repeating: 0, count: rows * rowBytes)
  var values: [UInt8] = []
  for row in 0..<rows {
    for column in 0..<columns where Double(random.next() >> 11) * 0x1p-53 < density {
      mask[row * rowBytes + column / 8] |= 1 << UInt8(column % 8)
      let bits = random.next()
      values += (0..<type.byteCount).map { UInt8(truncatingIfNeeded: bits >> UInt64(8 * $0)) | ($0 == 1 ? 1 : 0) }
    }
  }
  return SparseMatrix(rows: rows, columns: columns, type: type, mask: mask, values: values)!
}

private func codec(_ matrix: SparseMatrix) throws -> SparseCodec {
  try SparseCodec(rows: matrix.rows, columns: matrix.columns, type: matrix.type)
}

/// The bits of each stored value.
private func patterns(_ matrix: SparseMatrix) -> [UInt64] {
  let width = matrix.type.byteCount
  return (0..<matrix.storedCount).map { i in
    (0..<width).reduce(0) { $0 | UInt64(matrix.values[i * width + $1]) << UInt64(8 * $1) }
  }
}

/// The smallest magnitude, as an integer; 0 where nothing is stored.
private func least(_ matrix: SparseMatrix) -> UInt64 {
  patterns(matrix).map { $0 & (.max >> UInt64(65 - 8 * matrix.type.byteCount)) }.min() ?? 0
}

/// The blocks of each part, plain, written down from the specification weight by weight.
///
/// - Parameter least: at most the smallest magnitude.
private func plain(_ matrix: SparseMatrix, _ positions: Positions, less least: UInt64) throws -> [[[UInt8]]] {
  let (blocks, width) = (try codec(matrix).blocks, matrix.type.byteCount)
  let lowered = patterns(matrix).map { $0 - least }
  var counts: [UInt32] = []
  var gaps: [[UInt8]] = []
  var bitmaps: [[UInt8]] = []
  var planes = [[[UInt8]]](repeating: [], count: width)
  var next = 0
  for block in (0..<blocks.count).map({ blocks[$0] }) {
    var (gap, blockGaps, bitmap): (Int, [UInt8], [UInt8]) = (0, [], [])
    let start = next
    for row in block.rows {
      for column in block.columns {
        if (column - block.columns.lowerBound) % 8 == 0 { bitmap.append(0) }
        guard matrix.mask[row * matrix.maskRowBytes + column / 8] >> UInt8(column % 8) & 1 == 1 else {
          gap += 1
          continue
        }
        bitmap[bitmap.count - 1] |= 1 << UInt8(column % 8)
        blockGaps += [UInt8](repeating: 255, count: gap / 255) + [UInt8(gap % 255)]
        gap = 0
        next += 1
      }
    }
    counts.append(UInt32(blockGaps.count))
    gaps.append(blockGaps)
    bitmaps.append(bitmap)
    for plane in 0..<width {
      planes[plane].append(lowered[start..<next].map { UInt8(truncatingIfNeeded: $0 >> UInt64(8 * plane)) })
    }
  }
  if positions == .bitmap { return [bitmaps] + planes }
  let countBytes = (0..<4).flatMap { plane in counts.map { UInt8(truncatingIfNeeded: $0 >> UInt32(8 * plane)) } }
  return [countBytes.isEmpty ? [] : [countBytes], gaps] + planes
}

private func decoded(
  _ positions: Positions, _ least: UInt64, _ parts: [[[UInt8]]], _ codec: SparseCodec, threads: Int = 1
) throws -> SparseMatrix {
  try codec.decode(positions, least: least, threads: Threads(threads)) { parts[$0][$1] }
}

private func byteCount(_ parts: [[[UInt8]]]) -> Int { parts.joined().reduce(0) { $0 + $1.count } }

private let shapes = [
  (0, 0), (0, 5), (5, 0), (1, 1), (1, 7), (7, 1), (3, 8), (4, 9), (13, 17), (97, 101), (1, 1000), (1000, 1), (300, 784),
]

@Suite struct Sparse {
  /// Rows 0 1 0 0 0 0 0 0 0 −2 and 0 0 0 0 0 0 0 0 0.5 0.
  static let small = SparseMatrix(
    rows: 2, columns: 10, type: .float16, mask: hex("02 02 00 01"), values: hex("00 3c 00 c0 00 38"))!

  @Test func storesPlainBlocks() throws {
    let codec = try codec(Self.small)
    let gaps = [[hex("03 00 00 00")], [hex("01 07 08")], [hex("00 00 00")], [hex("3c c0 38")]]
    let bitmap = [[hex("02 02 00 01")], [hex("00 00 00")], [hex("3c c0 38")]]
    #expect(try plain(Self.small, .gaps, less: 0) == gaps)
    #expect(try plain(Self.small, .bitmap, less: 0) == bitmap)
    #expect(try decoded(.gaps, 0, gaps, codec) == Self.small)
    #expect(try decoded(.bitmap, 0, bitmap, codec) == Self.small)
    let stored = try codec.encode(Self.small, level: .uncompressed)
    #expect(stored.positions == .bitmap)
    // That of 0.5.
    #expect(stored.least == 0x3800)
    #expect(stored.parts == [[hex("02 02 00 01")], [hex("00 00 00")], [hex("04 88 00")]])
    #expect(try decoded(.bitmap, 0x3800, stored.parts, codec) == Self.small)
    // The smallest magnitude of others is 0, and the largest that of a NaN.
    for (values, least, low, high) in [
      ("00 3c 00 80 00 38", 0, "00 00 00", "3c 80 38"), ("ff 7f ff ff ff 7f", 0x7FFF, "00 00 00", "00 80 00"),
    ] as [(String, UInt64, String, String)] {
      let matrix = SparseMatrix(rows: 2, columns: 10, type: .float16, mask: Self.small.mask, values: hex(values))!
      let stored = try codec.encode(matrix, level: .uncompressed)
      #expect(stored.least == least)
      #expect(stored.parts == [[hex("02 02 00 01")], [hex(low)], [hex(high)]])
      #expect(try decoded(.bitmap, least, stored.parts, codec) == matrix)
    }
  }

  @Test(arguments: [ElementType.float16, .bfloat16, .float32, .float64])
  func comesBack(_ type: ElementType) throws {
    var random = SplitMix64(seed: 11)
    for (rows, columns) in shapes {
      for density in [0, 0.004, 0.06, 0.2, 0.5, 1] {
        let matrix = sparse(rows, columns, type, density: rows * columns > 10_000 ? density / 8 : density, &random)
        let codec = try codec(matrix)
        let least = least(matrix)
        for positions in Positions.allCases {
          for part in [0, least / 2, least] {
            let parts = try plain(matrix, positions, less: part)
            #expect(parts.map(\.count) == codec.blockCounts(positions))
            #expect(try decoded(positions, part, parts, codec) == matrix)
          }
        }
        for level in [CompressionLevel.uncompressed, .standard, .zstd(3)] {
          let stored = try codec.encode(matrix, level: level, threads: Threads(1))
          #expect(stored.parts.map(\.count) == codec.blockCounts(stored.positions))
          #expect(stored.least == least)
          #expect(try decoded(stored.positions, least, stored.parts, codec) == matrix)
          if level == .uncompressed {
            let smaller = try Positions.allCases.map { byteCount(try plain(matrix, $0, less: least)) }.min()
            #expect(stored.parts == (try plain(matrix, stored.positions, less: least)))
            #expect(byteCount(stored.parts) == smaller)
          }
        }
      }
    }
  }

  /// Several blocks of whole rows, and rows that are cut; the same bytes whatever the number of threads.
  @Test(arguments: [(2, 1 << 18, 2), (3, 100_001, 2), (1, (1 << 18) + 1, 2), (2, (1 << 18) + 9, 4)])
  func cutsBlocks(_ rows: Int, _ columns: Int, _ blocks: Int) throws {
    var random = SplitMix64(seed: 12)
    for density in [0.002, 0.02] {
      let matrix = sparse(rows, columns, density: density, &random)
      let codec = try codec(matrix)
      #expect(codec.blocks.count == blocks)
      let stored = try codec.encode(matrix, threads: Threads(1))
      #expect(stored.positions == .gaps)
      let again = try codec.encode(matrix, threads: Threads(2))
      #expect(again.positions == stored.positions && again.least == stored.least && again.parts == stored.parts)
      #expect(try decoded(.gaps, stored.least, stored.parts, codec, threads: 2) == matrix)
      #expect(stored.least == least(matrix))
      #expect(try decoded(.bitmap, 7, try plain(matrix, .bitmap, less: 7), codec, threads: 2) == matrix)
    }
  }

  @Test func refusesSizesThatOverflow() {
    for (rows, columns) in [(Int.max, 2), (-1, 1), (1, -1), (1 << 31, 1 << 31), (.max, 1)] {
      let error = #expect(throws: CodecError.self) { try SparseCodec(rows: rows, columns: columns, type: .float64) }
      #expect(error?.verdict == .overLimit)
    }
    let error = #expect(throws: CodecError.self) { try SparseCodec(rows: 1, columns: 1, type: .int32) }
    #expect(error?.verdict == .corrupt)
  }

  @Test func refusesWrongParts() throws {
    let codec = try codec(Self.small)
    func error(_ positions: Positions, _ parts: String..., least: UInt64 = 0) -> CodecError? {
      #expect(throws: CodecError.self) { try codec.decode(positions, least: least) { part, _ in hex(parts[part]) } }
    }
    let (low, high) = ("00 00 00", "3c c0 38")
    let count = "03 00 00 00"
    #expect(error(.gaps, count, "01 07 0a", low, high)?.what == "position 2 is beyond the block")
    #expect(error(.gaps, count, "01 14 00", low, high)?.what == "position 1 is beyond the block")
    #expect(error(.gaps, count, "01 ff 00", low, high)?.what == "position 1 is beyond the block")
    #expect(error(.gaps, count, "01 07 ff", low, high)?.what == "zeros are skipped after the last position")
    #expect(error(.gaps, count, "01 07", low, high)?.part == "gaps")
    #expect(error(.gaps, "15 00 00 00", "", low, high)?.what == "count 0 is 21, more than weights")
    #expect(error(.gaps, "15 00 00 00", "", low, high)?.part == "counts")
    #expect(error(.gaps, "ff ff ff ff", "", low, high)?.part == "counts")
    #expect(error(.gaps, "00 00 00", "", "", "")?.part == "counts")
    #expect(error(.gaps, "00 00 00 00", "", "", "00")?.part == "plane 1")
    #expect(error(.gaps, "00 00 00 00", "00", "", "")?.part == "gaps")
    #expect(error(.gaps, count, "01 07 08", "00 00", high)?.part == "plane 0")
    #expect(error(.gaps, count, "01 07 08", low, "3c c0 38 38")?.part == "plane 1")
    #expect(error(.gaps, count, "01 07 08", low, "3c 00 38")?.what == "a value with all bits zero")
    let padding = "bits after the last weight of a row are not zero"
    #expect(error(.bitmap, "02 06 00 01", low, high)?.what == padding)
    #expect(error(.bitmap, "02 02 00 81", low, high)?.what == padding)
    #expect(error(.bitmap, "02 02 00 03", low, high)?.part == "plane 0")
    #expect(error(.bitmap, "02 02 80 01", "00 00 00 00", high)?.part == "plane 1")
    #expect(error(.bitmap, "02 02 00", low, high)?.part == "bitmap")
    #expect(error(.bitmap, "02 02 00 01 00", low, high)?.part == "bitmap")
    #expect(error(.bitmap, "02 02 00 01", low, "00 c0 38")?.what == "a value with all bits zero")
    for wrong in [error(.bitmap, "02 06 00 01", low, high), error(.gaps, count, "01 07 0a", low, high)] {
      #expect(wrong?.verdict == .corrupt)
      #expect(wrong?.block == 0)
    }
    // Minus zero is a value.
    #expect(throws: Never.self) {
      try codec.decode(.bitmap, least: 0) { part, _ in hex(["02 02 00 01", "00 00 00", "80 c0 38"][part]) }
    }
    // The largest magnitude is 0x4000.
    #expect(throws: Never.self) {
      try codec.decode(.bitmap, least: 0x3FFF) { part, _ in hex(["02 02 00 01", "00 00 00", "3c c0 38"][part]) }
    }
    let sum = error(.bitmap, "02 02 00 01", low, high, least: 0x4000)
    #expect(sum?.what == "a magnitude with a bit too many" && sum?.verdict == .corrupt && sum?.block == 0)
    for least in [0x8000, 0x8001, 0x1_0000, .max] as [UInt64] {
      #expect(error(.bitmap, "02 02 00 01", "00 00 00", "00 00 00", least: least)?.verdict == .corrupt)
    }
  }

  /// Every cut and every changed byte of stored blocks is refused or decodes, to the same matrix or another.
  @Test(arguments: [(40, 30, 0.06), (24, 24, 0.5), (3, 5, 0.5), (20, 64, 0.2)])
  func survivesDamage(_ rows: Int, _ columns: Int, _ density: Double) throws {
    var random = SplitMix64(seed: 13)
    let matrix = sparse(rows, columns, .float16, density: density, &random)
    let codec = try codec(matrix)
    var forms = try Positions.allCases.map {
      (positions: $0, least: 99 as UInt64, parts: try plain(matrix, $0, less: 99))
    }
    forms.append(try codec.encode(matrix, level: .zstd(3), threads: Threads(1)))
    for (positions, least, parts) in forms {
      for part in parts.indices {
        let block = parts[part][0]
        func attempt(_ damaged: [UInt8]) throws -> Bool {
          do {
            _ = try codec.decode(positions, least: least, threads: Threads(1)) { $0 == part ? damaged : parts[$0][$1] }
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

  /// Weights N(0, σ²), the largest tenth and hundredth kept. Of gaps and of magnitudes above the threshold, entropies
  /// are 2.8201 (σ = .02) to 2.8417 (.05) and .3053 to .3103 bits a weight; half a per cent more is Huffman's, and a
  /// block has its tables. (Magnitudes themselves have 2.9409 at σ = 1: planes 2 and 3 say the same bit.)
  @Test(arguments: [(1.644854, 2.86), (2.575829, 0.326)], [0.02, 0.05, 1, 1.3])
  func ofPrunedGaussianWeights(_ keep: (threshold: Double, bits: Double), _ deviation: Double) throws {
    var random = SplitMix64(seed: 14)
    var mask = [UInt8](repeating: 0, count: 1 << 15)
    var values: [UInt8] = []
    for i in 0..<1 << 18 {
      let weight = gaussian(&random)
      if weight.magnitude <= keep.threshold { continue }
      mask[i / 8] |= 1 << UInt8(i % 8)
      let pattern = Float(weight * deviation).bitPattern
      values += (0..<4).map { UInt8(truncatingIfNeeded: pattern >> UInt32(8 * $0)) }
    }
    let matrix = SparseMatrix(rows: 512, columns: 512, type: .float32, mask: mask, values: values)!
    let stored = try codec(matrix).encode(matrix)
    #expect(stored.positions == .gaps)
    #expect(Double(byteCount(stored.parts)) * 8 / Double(1 << 18) <= keep.bits)
    // The two low bytes of a float are noise, and are stored as they are.
    #expect(stored.parts[2][0].count == matrix.storedCount && stored.parts[3][0].count == matrix.storedCount)
  }

  /// A standard normal number by rejection (Marsaglia and Bray 1964).
  private func gaussian(_ random: inout SplitMix64) -> Double {
    while true {
      let (x, y) = (Double.random(in: -1...1, using: &random), Double.random(in: -1...1, using: &random))
      let square = x * x + y * y
      if square < 1, square > 0 {
        return x * (-2 * Sizes.logarithm(square) * 0.693_147_180_559_945_3 / square).squareRoot()
      }
    }
  }
}

// MARK: - Low rank

@Suite struct LowRank {
  private func matrix(_ rows: Int, _ columns: Int, _ rank: Int, _ random: inout SplitMix64) -> LowRankMatrix {
    LowRankMatrix(
      rows: rows, columns: columns, left: (0..<rows * rank).map { _ in Float.random(in: -1...1, using: &random) },
      right: (0..<rank * columns).map { _ in Float.random(in: -1...1, using: &random) },
      singularValues: (0..<rank).map { Double(rank - $0) })!
  }

  @Test func comesBack() throws {
    var random = SplitMix64(seed: 15)
    for (rows, columns, rank) in [(0, 0, 0), (0, 4, 0), (3, 5, 0), (1, 1, 1), (3, 5, 2), (5, 3, 3), (700, 401, 400)] {
      let matrix = matrix(rows, columns, rank, &random)
      let codec = try LowRankCodec(rows: rows, columns: columns, rank: rank)
      for level in [CompressionLevel.uncompressed, .standard] {
        let parts = try codec.encode(matrix, level: level, threads: Threads(1))
        #expect(parts.map(\.count) == codec.blockCounts)
        #expect(try codec.encode(matrix, level: level, threads: Threads(2)) == parts)
        #expect(try codec.decode(singularValues: matrix.singularValues) { parts[$0][$1] } == matrix)
      }
    }
  }

  @Test func storesFactorsAsRawTensors() throws {
    let matrix = LowRankMatrix(
      rows: 2, columns: 1, left: [1, -0.0], right: [0x1p-126], singularValues: [1])!
    let codec = try LowRankCodec(rows: 2, columns: 1, rank: 1)
    #expect(
      try codec.encode(matrix, level: .uncompressed) == [[hex("00 00 00 00 80 00 3f 80")], [hex("00 00 80 00")]])
  }

  @Test func refusesWrongSizesAndElements() throws {
    for (rows, columns, rank) in [(2, 3, 3), (2, 3, -1), (0, 3, 1)] {
      let error = #expect(throws: CodecError.self) { try LowRankCodec(rows: rows, columns: columns, rank: rank) }
      #expect(error?.verdict == .corrupt)
    }
    for (rows, columns, rank) in [(-1, 3, 0), (3, -1, 0), (Int.max, Int.max, 2), (1 << 61, 2, 2)] {
      let error = #expect(throws: CodecError.self) { try LowRankCodec(rows: rows, columns: columns, rank: rank) }
      #expect(error?.verdict == .overLimit)
    }
    let codec = try LowRankCodec(rows: 1, columns: 2, rank: 1)
    func error(_ left: String, _ right: String, _ values: [Double] = [1]) -> CodecError? {
      #expect(throws: CodecError.self) {
        try codec.decode(singularValues: values) { part, _ in hex([left, right][part]) }
      }
    }
    let (one, ones) = ("00 00 80 3f", "00 00 00 00 80 80 3f 3f")
    #expect(error("00 00 c0 7f", ones)?.what == "element 0 is nan")
    #expect(error("00 00 c0 7f", ones)?.part == "left")
    #expect(error(one, "00 00 00 00 80 80 3f ff")?.what == "element 1 is -inf")
    #expect(error(one, "00 00 00 00 80 80 3f ff")?.part == "right")
    #expect(error("00 00 80", ones)?.part == "left")
    #expect(error(one, ones + " 00")?.part == "right")
    #expect(error(one, ones, [])?.what == "0 singular values for rank 1")
    #expect(error(one, ones, [1, 1])?.verdict == .corrupt)
  }
}
