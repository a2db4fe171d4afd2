// SPDX-License-Identifier: Apache-2.0

import CLoops
import Random
import Testing

/// The fold of digests, against sums written down from the specification, and those of another program
/// (`.ci/vectors.py`).
extension LoopsTests {
  private func sums(_ key: [UInt32], _ bytes: [UInt8]) -> [UInt64] {
    let count = (bytes.count + 4095) / 4096 * 4
    var sums = [UInt64](repeating: 0xEE, count: count + 1)
    nc_fold(key, bytes, bytes.count, &sums)
    #expect(sums[count] == 0xEE)
    return Array(sums[..<count])
  }

  @Test func folds() {
    onEveryLevel(seed: 31) { random in
      let key = (0..<nc_fold_key_words).map { _ in UInt32(truncatingIfNeeded: random.next()) }
      for n in Array(0...70) + [127, 128, 129, 255, 4095, 4096, 4097, 4104, 12_345] {
        let bytes = (0..<n).map { _ in random.next() % 5 == 0 ? 0xFF : UInt8(truncatingIfNeeded: random.next()) }
        var expected: [UInt64] = []
        for start in stride(from: 0, to: n, by: 4096) {
          let piece = Array(bytes[start..<min(n, start + 4096)])
          let words = stride(from: 0, to: (piece.count + 7) / 8 * 8, by: 4).map { at in
            (at..<at + 4).reduce(UInt32(0)) { $0 | ($1 < piece.count ? UInt32(piece[$1]) : 0) << UInt32(8 * ($1 - at)) }
          }
          for t in 0..<4 {
            expected.append(
              stride(from: 0, to: words.count, by: 2).reduce(UInt64(0)) { sum, i in
                sum &+ UInt64(words[i] &+ key[i + 4 * t]) &* UInt64(words[i + 1] &+ key[i + 1 + 4 * t])
              })
          }
        }
        #expect(sums(key, bytes) == expected)
      }
    }
  }

  /// With a key whose word i is (i + 1) · 0x9E3779B9, and bytes that are the high ones of a linear congruential generator.
  @Test func foldsOfAnotherProgram() {
    let key = (0..<1036).map { UInt32($0 + 1) &* 0x9E37_79B9 }
    var state: UInt32 = 1
    let pattern = (0..<4100).map { _ in
      state = 1_664_525 &* state &+ 1_013_904_223
      return UInt8(state >> 24)
    }
    onEveryLevel { _ in
      for (n, expected) in Self.folds { #expect(sums(key, Array(pattern[..<n])).suffix(4) == expected[...]) }
    }
  }

  private static let folds: [(Int, [UInt64])] = [
    (
      1,
      [
        0x2559_92E0_F0BD_DE1A, 0x1059_0B82_2313_52E6,
        0x19F5_C174_C135_BDD2, 0x05C0_C1BE_CB25_1EDE,
      ]
    ),
    (
      8,
      [
        0x41A9_CDD9_3007_CF96, 0x3623_53B8_B78F_8712,
        0x3286_23E3_AAE4_34AE, 0x27CB_316C_0A05_D86A,
      ]
    ),
    (
      20,
      [
        0xD2F7_3E16_3D1E_F3D1, 0xEC18_5074_8C57_B331,
        0xA7FC_F5EC_1EF7_54F1, 0xC380_9F44_F4FD_D911,
      ]
    ),
    (
      4096,
      [
        0x94E0_F0EF_29B6_9DF7, 0x010E_0195_AEB5_923B,
        0x0B92_7BA5_CDA0_C67F, 0xEDFF_457E_8678_3AC3,
      ]
    ),
    (
      4097,
      [
        0x2559_92FC_8F73_2134, 0x1059_0BD4_FF33_1C34,
        0x19F5_C189_DAC0_0D54, 0x05C0_C20B_2219_F494,
      ]
    ),
  ]
}
