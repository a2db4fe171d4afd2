// SPDX-License-Identifier: Apache-2.0

import Codecs
import Parallel
import Random
import Tensors
import Testing

@Suite struct SeededCodecTests {
  private static let trits = TernarySeed(seed: 7, threshold: 1 << 14)!

  private func codec(
    _ matrix: SeededMatrix, _ source: ElementType = .float32, isMapped: Bool = false
  ) throws -> SeededCodec {
    try SeededCodec(
      rows: matrix.rows, columns: matrix.columns, group: matrix.group, trits: matrix.trits, source: source,
      isMapped: isMapped)
  }

  @Test func thresholdsHaveTwoEnds() {
    #expect(TernarySeed(seed: 0, threshold: -1) == nil && TernarySeed(seed: 0, threshold: (1 << 15) + 1) == nil)
    #expect(TernarySeed(seed: 0, threshold: 1 << 15)?.density == 1 && TernarySeed(seed: 0, threshold: 0)?.density == 0)
  }

  @Test func sizesMustAgree() {
    #expect(SeededMatrix(rows: 2, columns: 3, group: .row, trits: Self.trits, scales: [1]) == nil)
    #expect(SeededMatrix(rows: .max, columns: 2, group: .tensor, trits: Self.trits, scales: [1]) == nil)
    #expect(SeededMatrix(rows: 2, columns: 3, group: .row, trits: Self.trits, scales: [1, 2]) != nil)
  }

  @Test(arguments: [ElementType.float16, .bfloat16, .float32, .float64], [false, true])
  func scalesComeBack(_ type: ElementType, isMapped: Bool) throws {
    for (rows, columns) in [(1, 1), (3, 7), (300, 5), (0, 4), (4, 0)] {
      for group in [ScaleGroup.tensor, .row, .inputs(2)] {
        let scales = (0..<group.count(rows: rows, columns: columns)).map { Double($0 % 250) / 8 }
        let matrix = try #require(
          SeededMatrix(rows: rows, columns: columns, group: group, trits: Self.trits, scales: scales))
        let codec = try codec(matrix, type, isMapped: isMapped)
        let parts = try codec.encode(matrix)
        #expect(parts.map(\.count) == codec.blockCounts && parts.count == 1)
        if isMapped {
          #expect(parts[0].reduce(0) { $0 + $1.count } == scales.count * (type == .float64 ? 8 : 4))
        }
        #expect(try codec.decode { parts[$0][$1] } == matrix)
      }
    }
  }

  @Test func refusesWrongScales() throws {
    let matrix = try #require(SeededMatrix(rows: 2, columns: 2, group: .row, trits: Self.trits, scales: [1, 2]))
    // 0.1 is no float16; then −1, −0 and an infinity.
    for (type, second) in [
      (.float16, "CD CC CC 3D"), (.float32, "00 00 80 BF"), (.float32, "00 00 00 80"), (.float32, "00 00 80 7F"),
    ] as [(ElementType, String)] {
      let codec = try codec(matrix, type, isMapped: true)
      let error = #expect(throws: CodecError.self) { try codec.decode { _, _ in hex("00 00 80 3F " + second) } }
      #expect(error?.verdict == .corrupt)
    }
  }
}
