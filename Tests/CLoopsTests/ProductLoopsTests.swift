// SPDX-License-Identifier: Apache-2.0

import CLoops
import Random
import Testing

/// Products with a panel, each against a plain loop that adds in the order the header states.
extension LoopsTests {
  private static let lanes = Int(nc_panel_lanes)
  /// About the words of 32 trits and 64 bits that are taken at once.
  private static let sizes = Array(0...9) + [31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128, 129, 257]

  /// Numbers of very different sizes, so that sums in another order have other bits.
  private func numbers(_ n: Int, _ random: inout SplitMix64) -> [Double] {
    (0..<n).map { _ in
      let bits = random.next()
      return Double(Int64(bitPattern: bits)) * (bits % 3 == 0 ? 0x1p-63 : bits % 3 == 1 ? 0x1p-40 : 0x1p-80)
    }
  }

  @Test func ternaryProducts() {
    onEveryLevel(seed: 59) { random in
      for n in Self.sizes {
        for first in [0, 1, 2, 3, 4, 5, 31, 33, 62] {
          // Trits beyond the range, and bytes beyond the row, are not to be looked at.
          let after = Int(random.next() % 6)
          let trits = (0..<first + n + after).map { _ in [0, 1, 3][Int(random.next() % 3)] as UInt8 }
          let rowBytes = (trits.count + 3) / 4
          var row = [UInt8](repeating: 0, count: rowBytes) + [0xFF]
          for (i, trit) in trits.enumerated() { row[i / 4] |= trit << UInt8(i % 4 * 2) }
          let panel = numbers((first + n) * Self.lanes, &random)
          let before = numbers(Self.lanes, &random)
          var sums = before + [7]
          nc_ternary_product(row, rowBytes, first, n, panel, &sums)
          var expected = before
          for start in stride(from: first, to: first + n, by: 32) {
            for wanted in [1, 3] as [UInt8] {
              for i in start..<min(start + 32, first + n) where trits[i] == wanted {
                for lane in 0..<Self.lanes {
                  expected[lane] += (wanted == 1 ? 1 : -1) * panel[i * Self.lanes + lane]
                }
              }
            }
          }
          #expect(sums.map(\.bitPattern) == (expected + [7]).map(\.bitPattern), "\(first) \(n)")
        }
      }
    }
  }

  @Test func maskProducts() {
    onEveryLevel(seed: 59) { random in
      for n in Self.sizes {
        for density in [0, 10, 50, 100] as [UInt64] {
          // Bits and bytes beyond the row are set: they are not to be looked at.
          let bits = (0..<n).map { _ in random.next() % 100 < density }
          var row = [UInt8](repeating: 0xFF, count: (n + 7) / 8 + 1)
          for (i, bit) in bits.enumerated() where !bit { row[i / 8] &= ~(1 << UInt8(i % 8)) }
          let stored = bits.count { $0 }
          let values = numbers(stored, &random) + [.nan]
          let panel = numbers(n * Self.lanes, &random)
          let before = numbers(Self.lanes, &random)
          var sums = before + [7]
          #expect(nc_mask_product(row, n, values, panel, &sums) == stored)
          var expected = before
          var next = 0
          for (i, bit) in bits.enumerated() where bit {
            for lane in 0..<Self.lanes { expected[lane] += values[next] * panel[i * Self.lanes + lane] }
            next += 1
          }
          #expect(sums.map(\.bitPattern) == (expected + [7]).map(\.bitPattern), "\(n) \(density)")
        }
      }
    }
  }
}
