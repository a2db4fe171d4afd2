// SPDX-License-Identifier: Apache-2.0

import CLoops
import Random
import Testing

@Suite struct SeededLoopsTests {
  /// Of `spec/ncz-v1.md` §4.8, one trit at a time.
  private func trits(_ seed: UInt64, _ threshold: Int, _ range: Range<Int>) -> [UInt8] {
    range.map { number in
      var generator = SplitMix64(seed: seed &+ UInt64(number / 4) &* 0x9E37_79B9_7F4A_7C15)
      let u = Int(generator.next() >> UInt64(16 * (number % 4)) & 0xFFFF)
      return u / 2 >= threshold ? 0 : u % 2 == 1 ? 3 : 1
    }
  }

  @Test func tritsOfASeed() {
    var random = SplitMix64(seed: 5)
    for n in Array(0...40) + [63, 64, 65, 1001] {
      let first = n % 3 == 0 ? n % 5 : Int(random.next() >> 3)
      let seed = random.next()
      for threshold in [0, 1, Int(random.next() % (1 << 15)), (1 << 15) - 1, 1 << 15] {
        var codes = [UInt8](repeating: 0xEE, count: (n + 3) / 4 + 1)
        nc_seeded_trits(seed, UInt32(threshold), first, n, &codes)
        var twin = [UInt8](repeating: 0, count: (n + 3) / 4)
        for (i, trit) in trits(seed, threshold, first..<first + n).enumerated() {
          twin[i / 4] |= trit << UInt8(2 * (i % 4))
        }
        #expect(codes == twin + [0xEE], "\(n) from \(first), seed \(seed), threshold \(threshold)")
      }
    }
  }

  /// The vectors of the text: the first trits, and how many are not 0.
  @Test(
    arguments: [
      (0x0123_4567_89AB_CDEF, 1 << 14, "00-+0--0000+++-0"), (0, 1 << 15, "---++-++--+++++-"),
    ] as [(UInt64, UInt32, String)])
  func vectors(_ seed: UInt64, _ threshold: UInt32, _ expected: String) {
    var codes = [UInt8](repeating: 0, count: 300 * 784 / 4)
    nc_seeded_trits(seed, threshold, 0, 300 * 784, &codes)
    let text = (0..<16).map { ["0", "+", "?", "-"][Int(codes[$0 / 4] >> UInt8(2 * ($0 % 4)) & 3)] }.joined()
    #expect(text == expected)
    let nonzeros = codes.reduce(0) { $0 + ($1 & 0x55).nonzeroBitCount }
    #expect(nonzeros == (threshold == 1 << 14 ? 117_938 : 300 * 784))
  }
}
