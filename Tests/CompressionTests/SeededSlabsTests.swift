// SPDX-License-Identifier: Apache-2.0

import Parallel
import Random
import Tensors
import Testing

@testable import Matrices

@Suite struct SeededSlabsTests {
  private func matrix(
    _ rows: Int, _ columns: Int, _ group: ScaleGroup, _ random: inout SplitMix64
  ) throws -> SeededMatrix {
    let trits = try #require(TernarySeed(seed: random.next(), threshold: Int(random.next() % ((1 << 15) + 1))))
    let scales = (0..<group.count(rows: rows, columns: columns)).map { _ in Double(random.next() % 16) / 4 }
    return try #require(SeededMatrix(rows: rows, columns: columns, group: group, trits: trits, scales: scales))
  }

  private func decoded(_ slabs: some Slabs, _ byteCount: Int, threads: Int = 1) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xAA, count: byteCount)
    bytes.withUnsafeMutableBytes { slabs.decode(into: $0, threads: Threads(threads)) }
    return bytes
  }

  /// Drawn slab by slab, in either orientation, the values are those of the matrix with all its trits.
  @Test(arguments: [ElementType.float16, .bfloat16, .float32, .float64])
  func slabsAreThoseOfThePackedMatrix(_ type: ElementType) throws {
    var random = SplitMix64(seed: 31)
    for (rows, columns) in [(1, 1), (1, 37), (37, 1), (5, 67), (24, 16), (130, 9), (3, 0), (0, 3), (0, 0), (70, 51)] {
      for group in [ScaleGroup.tensor, .row, .inputs(1), .inputs(7), .inputs(1000)] {
        let seeded = try matrix(rows, columns, group, &random)
        let packed = TernaryMatrix(seeded, threads: Threads(2))
        for transposed in [false, true] {
          let size = rows * columns * type.byteCount
          let expected = decoded(TernarySlabs(packed, type: type, transposed: transposed), size)
          for weights in [1, 100, 1 << 20] {
            let slabs = SeededSlabs(seeded, type: type, transposed: transposed, slabWeights: weights)
            #expect(decoded(slabs, size, threads: 1 + weights % 2) == expected, "\(rows)×\(columns), \(group)")
          }
        }
      }
    }
  }

  /// What is packed are the trits of the numbers of the weights, whatever the length of a row.
  @Test func rowsFollowEachOther() throws {
    var random = SplitMix64(seed: 32)
    let whole = try matrix(1, 66 * 1001, .tensor, &random)
    let all = TernaryMatrix(whole, threads: Threads(1)).codes
    func trit(_ codes: [UInt8], _ i: Int) -> UInt8 { codes[i / 4] >> UInt8(2 * (i % 4)) & 3 }
    for columns in [66, 1001, 13, 1] {
      let rows = whole.columns / columns
      let cut = try #require(
        SeededMatrix(rows: rows, columns: columns, group: .tensor, trits: whole.trits, scales: whole.scales))
      let packed = TernaryMatrix(cut, threads: Threads(2))
      let same = (0..<rows).allSatisfy { row in
        let own = Array(packed.codes[row * packed.rowBytes..<(row + 1) * packed.rowBytes])
        return (0..<columns).allSatisfy { trit(own, $0) == trit(all, row * columns + $0) }
      }
      #expect(same)
    }
  }
}
