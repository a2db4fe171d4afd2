// SPDX-License-Identifier: Apache-2.0

import CLoops
import Random
import Testing

/// Loops of codes and levels, each against its plain Swift twin.
extension LoopsTests {
  private static let sizes = Array(0...20) + [31, 32, 33, 63, 64, 65, 255, 511, 512, 513, 1000]

  private func codes(_ n: Int, _ random: inout SplitMix64) -> [UInt8] {
    (0..<n).map { _ in UInt8(truncatingIfNeeded: random.next()) }
  }

  @Test func packedCodes() {
    onEveryLevel(seed: 61) { random in
      for n in Self.sizes {
        for bits in [1, 2, 4, 8] {
          let all = codes(n, &random)
          let mask = UInt8(truncatingIfNeeded: 1 << bits - 1)
          let size = (n * bits + 7) / 8
          var expected = [UInt8](repeating: 0, count: size)
          for i in 0..<n { expected[i * bits / 8] |= (all[i] & mask) << UInt8(i * bits % 8) }
          var packed = [UInt8](repeating: 0xEE, count: size + 1)
          nc_codes_pack(all, n, UInt32(bits), &packed)
          #expect(packed == expected + [0xEE])
          for isSigned in [false, true] {
            var back = [UInt8](repeating: 0xEE, count: n + 1)
            nc_codes_unpack(expected, n, UInt32(bits), isSigned, &back)
            let numbers = all.map { code in
              let low = code & mask
              return isSigned && low >> UInt8(bits - 1) == 1 ? low | ~mask : low
            }
            #expect(back == numbers + [0xEE])
          }
        }
      }
    }
  }

  @Test func valuesOfLevels() {
    onEveryLevel(seed: 62) { random in
      for n in Self.sizes {
        let all = codes(n, &random)
        for size in [1, 2, 4, 8] {
          let levels = codes(256 * size, &random)
          var out = [UInt8](repeating: 0xEE, count: n * size + 1)
          nc_levels_values(all, n, size, levels, &out)
          let expected = all.flatMap { Array(levels[Int($0) * size..<(Int($0) + 1) * size]) }
          #expect(out == expected + [0xEE])
        }
      }
    }
  }

  /// Products rounded once from what they are in float64.
  @Test func valuesOfGrids() {
    onEveryLevel(seed: 63) { random in
      for n in Self.sizes {
        let all = codes(n, &random).map { Int8(bitPattern: $0) }
        // Ordinary, subnormal and large; near the middle between two float16.
        let scales: [Float] = [
          0, 1, 0.1, Float.random(in: 0...1, using: &random), 0x1p-149, 0x1.8p-140, 0x1p-24, 0x1.fp-20, 511.99, 0x1p119,
          0x1.004002p0,
        ]
        for scale in scales {
          var floats = [Float](repeating: 7, count: n + 1)
          nc_grid_values(all, n, Double(scale), 4, false, &floats)
          let exact = all.map { Double(scale) * Double($0) }
          let expected = exact.map { Float($0).bitPattern }
          #expect(floats.map(\.bitPattern) == expected + [Float(7).bitPattern])
          var halves = [UInt16](repeating: 7, count: n + 1)
          nc_grid_values(all, n, Double(scale), 2, false, &halves)
          let narrow = exact.map { Float16($0).bitPattern }
          #expect(halves == narrow + [7])
          nc_grid_values(all, n, Double(scale), 2, true, &halves)
          #expect(halves == exact.map(brain) + [7])
        }
        let wide = Double.random(in: 0...1, using: &random)
        var doubles = [Double](repeating: 7, count: n + 1)
        nc_grid_values(all, n, wide, 8, false, &doubles)
        let products = all.map { (wide * Double($0)).bitPattern }
        #expect(doubles.map(\.bitPattern) == products + [Double(7).bitPattern])
        nc_grid_values(all, n, wide, 8, true, &doubles)
        #expect(doubles.last == 7)
      }
    }
  }

  /// The nearest bfloat16: of both neighbours the nearer, of two the even one. (Here x is exact in 33 bits.)
  private func brain(_ x: Double) -> UInt16 {
    if x.magnitude >= 0x1.ffp127 { return x < 0 ? 0xFF80 : 0x7F80 }
    let below = UInt16(Float(x).bitPattern >> 16)
    func value(_ bits: UInt16) -> Double { Double(Float(bitPattern: UInt32(bits) << 16)) }
    // The float may have been rounded up to it.
    let candidates = [below &- 1, below, below &+ 1].filter { ($0 ^ below) & 0x8000 == 0 && value($0).isFinite }
    return candidates.min { a, b in
      let (left, right) = ((value(a) - x).magnitude, (value(b) - x).magnitude)
      return left != right ? left < right : a & 1 < b & 1
    } ?? below
  }

  @Test func codesOfGrids() {
    onEveryLevel(seed: 64) { random in
      for n in Self.sizes {
        let inverse = [1, 2, 0.75, 1 / 0.3][Int(random.next() % 4)] as Float
        let x = (0..<n).map { _ -> Float in
          let bits = random.next()
          return switch bits % 12 {
          case 0: Float(Int32(truncatingIfNeeded: bits >> 40)) / inverse
          case 1: 127.5 / inverse
          case 2: -126.5 / inverse
          case 3: [.nan, .infinity, -.infinity, 3e38, -3e38, 0x1p31, -0x1p31][Int(bits >> 32) % 7]
          case 4: (Float(bits >> 32 & 63) + 0.5) / inverse
          default: Float(Int32(truncatingIfNeeded: bits >> 32)) * 0x1p-24
          }
        }
        var codes = [Int8](repeating: 7, count: n + 1)
        let outliers = nc_grid_codes(x, n, inverse, &codes)
        let numbers = x.map { ($0 * inverse).rounded(.toNearestOrEven) }
        let expected = numbers.map { number -> Int8 in number.magnitude <= 127 ? Int8(number) : -128 }
        #expect(codes == expected + [7])
        let outside = numbers.filter { !($0.magnitude <= 127) }
        #expect(outliers == outside.count)
        var exceptions = [Int32](repeating: 7, count: outliers + 1)
        let areNumbers = nc_grid_exceptions(x, codes, n, inverse, &exceptions)
        #expect(areNumbers == outside.allSatisfy { $0.magnitude <= 0x1p24 })
        if areNumbers { #expect(Array(exceptions.dropLast()) == outside.map { Int32($0) } && exceptions.last == 7) }
      }
    }
  }

  @Test func distinctElements() {
    onEveryLevel(seed: 65) { random in
      for size in [1, 2, 4, 8] {
        for kinds in [1, 17, 256, 257] {
          for n in [0, 1, 50, 900] {
            // Patterns that differ in high bits only, or in low ones.
            let shift = [0, 8 * size - 9, 3][Int(random.next() % 3)]
            let numbers = (0..<n).map { _ -> UInt64 in
              let number = random.next() % UInt64(kinds) << UInt64(max(0, shift))
              return size == 8 ? number : number & (1 << UInt64(8 * size) - 1)
            }
            let elements = numbers.flatMap { number in
              (0..<size).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) }
            }
            var seen: [UInt64] = []
            for number in numbers where !seen.contains(number) { seen.append(number) }
            var patterns = [UInt64](repeating: 7, count: 257)
            let count = nc_distinct(elements, n, size, &patterns, 0)
            #expect(patterns[256] == 7)
            guard seen.count <= 256 else {
              #expect(count == 257)
              continue
            }
            #expect(count == seen.count)
            #expect(Array(patterns[..<count]) == seen)
            // In two halves.
            let half = n / 2
            let first = nc_distinct(elements, half, size, &patterns, 0)
            let rest = Array(elements[(half * size)...])
            #expect(nc_distinct(rest, n - half, size, &patterns, first) == count)

            let sorted = seen.sorted()
            var codes = [UInt8](repeating: 0xEE, count: n + 1)
            #expect(nc_levels_codes(elements, n, size, sorted, count, &codes))
            let expected = numbers.map { number in UInt8(sorted.firstIndex(of: number) ?? 0) }
            #expect(codes == expected + [0xEE])
            if n > 0 { #expect(!nc_levels_codes(elements, n, size, Array(sorted.dropLast()), count - 1, &codes)) }
          }
        }
      }
    }
  }

  @Test func arrangementsOfCodes() {
    onEveryLevel(seed: 66) { random in
      for n in Self.sizes {
        let all = codes(n, &random)
        let (flip, center) = (UInt8(random.next() % 2 * 128), UInt8(truncatingIfNeeded: random.next()))
        var columns = [UInt32](repeating: 3, count: n + 1)
        let distances = all.map { code -> UInt32 in UInt32(abs(Int(code ^ flip) - Int(center))) }
        #expect(nc_codes_deviations(all, n, flip, center, &columns) == distances.reduce(0, +))
        let sums = distances.map { $0 + 3 }
        #expect(columns == sums + [3])

        let places = (0..<UInt32(n)).shuffled(using: &random)
        var gathered = [UInt8](repeating: 0xEE, count: n + 1)
        nc_codes_gather(all, places, n, &gathered)
        let inOrder = places.map { all[Int($0)] }
        #expect(gathered == inOrder + [0xEE])
        var scattered = [UInt8](repeating: 0xEE, count: n + 1)
        nc_codes_scatter(gathered, places, n, &scattered)
        #expect(scattered == all + [0xEE])
        nc_codes_flip(&scattered, n, 0x81)
        let flipped = all.map { $0 ^ 0x81 }
        #expect(scattered == flipped + [0xEE])

        let isStored = (0..<256).map { _ in UInt8(random.next() % 2) }
        var bits = [UInt8](repeating: 0xEE, count: (n + 7) / 8 + 1)
        var stored = [UInt8](repeating: 0xEE, count: n + 1)
        let expected = all.filter { isStored[Int($0)] == 1 }
        #expect(nc_codes_select(all, n, isStored, &bits, &stored) == expected.count)
        #expect(Array(stored[..<expected.count]) == expected && stored[n] == 0xEE)
        var run = [UInt8](repeating: 0, count: (n + 7) / 8)
        for i in 0..<n where isStored[Int(all[i])] == 1 { run[i / 8] |= 1 << UInt8(i % 8) }
        #expect(bits == run + [0xEE])
        var placed = [UInt8](repeating: 9, count: n + 1)
        nc_codes_place(bits, n, stored, &placed)
        let kept = all.map { code -> UInt8 in isStored[Int(code)] == 1 ? code : 9 }
        #expect(placed == kept + [9])
      }
    }
  }
}
