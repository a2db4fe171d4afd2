// SPDX-License-Identifier: Apache-2.0

import CLoops
import Random
import Testing

/// As the others, each against its plain twin on every level.
extension LoopsTests {
  private static let counts = Array(0...70) + [127, 128, 129, 1040]

  /// Elements of every magnitude, some of them zero, some equal; the last ones any bits, NaN among them.
  private func elements(_ n: Int, size: Int, _ random: inout SplitMix64) -> [UInt64] {
    let all = UInt64.max >> UInt64(64 - 8 * size)
    return (0..<n).map { _ in
      let bits = random.next()
      return switch bits % 8 {
      case 0: 0
      case 1: 1 << UInt64(8 * size - 1)
      case 2: 0x3C05 | bits & 1 << UInt64(8 * size - 1)
      default: random.next() & all
      }
    }
  }

  private func bytes(_ elements: [UInt64], size: Int) -> [UInt8] {
    elements.flatMap { e in (0..<size).map { UInt8(truncatingIfNeeded: e >> UInt64(8 * $0)) } }
  }

  @Test func keysAreCollected() {
    onEveryLevel(seed: 31) { random in
      for size in [2, 4, 8] {
        for n in Self.counts {
          let x = elements(n, size: size, &random)
          let keys = x.map { $0 & (UInt64.max >> UInt64(65 - 8 * size)) }
          let a = keys.randomElement(using: &random) ?? 0
          let b = keys.randomElement(using: &random) ?? 0
          let (low, high) = (min(a, b), max(a, b))
          var out = [UInt8](repeating: 0xEE, count: n * size + 1)
          var tail = nc_key_tail(count: 3, largest: 5)
          let taken = nc_key_collect(bytes(x, size: size), n, size, low, high, &out, &tail)
          let expected = keys.filter { low <= $0 && $0 <= high }
          #expect(taken == expected.count && Array(out[..<(taken * size)]) == bytes(expected, size: size))
          #expect(tail.count == UInt64(3 + keys.count { $0 > high }) && tail.largest == max(5, keys.max() ?? 0))
          #expect(out[n * size] == 0xEE)
        }
      }
    }
  }

  @Test func keysAreLoweredAndRaised() {
    onEveryLevel(seed: 31) { random in
      for size in [2, 4, 8] {
        let (greatest, sign) = (UInt64.max >> UInt64(65 - 8 * size), 1 << UInt64(8 * size - 1) as UInt64)
        for n in Self.counts {
          let floor = (random.next() & greatest) >> (random.next() % 16)
          let x = elements(n, size: size, &random).map { $0 & sign | max(floor, $0 & greatest) }
          let least = x.map { $0 & greatest }.min() ?? greatest
          let input = bytes(x, size: size)
          #expect(nc_key_least(input, n, size) == least)
          for by in [0, least / 3, least] {
            var out = [UInt8](repeating: 0xEE, count: n * size + 1)
            nc_key_lower(input, n, size, by, &out)
            #expect(out == bytes(x.map { $0 & sign | ($0 & greatest - by) }, size: size) + [0xEE])
            #expect(nc_key_raise(&out, n, size, by))
            #expect(out == input + [0xEE])
          }
          // The largest sum that is a key, and one more, wherever it is.
          guard n > 0, floor > 0 else { continue }
          var sums = [UInt64](repeating: greatest - floor, count: n).map { $0 | random.next() & sign }
          var out = bytes(sums, size: size)
          #expect(nc_key_raise(&out, n, size, floor))
          #expect(out == bytes(sums.map { $0 | greatest }, size: size))
          sums[Int(random.next() % UInt64(n))] += 1
          out = bytes(sums, size: size)
          #expect(!nc_key_raise(&out, n, size, floor))
        }
      }
    }
  }

  @Test func masksAndValues() {
    onEveryLevel(seed: 31) { random in
      for size in [2, 4, 8] {
        for n in Self.counts {
          // Some with few values, and with hardly a zero among them.
          let (few, many) = (random.next() % 3 == 0, random.next() % 3 == 0)
          let x = elements(n, size: size, &random).map {
            few && random.next() % 16 > 0 ? 0 : many && $0 == 0 ? 1 : $0
          }
          let keys = x.map { $0 & (UInt64.max >> UInt64(65 - 8 * size)) }
          let least = random.next() % 4 == 0 ? 0 : keys.randomElement(using: &random) ?? 0
          let first = Int(random.next() % 19)
          var row = [UInt8](repeating: 0, count: (first + n + 7) / 8 + 1)
          // Bits before the range stay, bytes after it, too.
          for i in 0..<first { row[i / 8] |= 1 << UInt8(i % 8) }
          row[row.count - 1] = 0xEE
          var twin = row
          let kept = x.indices.filter { keys[$0] >= least && x[$0] != 0 }
          for i in kept { twin[(first + i) / 8] |= 1 << UInt8((first + i) % 8) }
          let expected = bytes(kept.map { x[$0] }, size: size)
          var values = [UInt8](repeating: 0xEE, count: n * size + 1)
          #expect(nc_mask_compact(bytes(x, size: size), n, size, least, &row, first, &values) == kept.count)
          #expect(row == twin && Array(values[..<expected.count]) == expected && values[n * size] == 0xEE)
          #expect(nc_mask_count(row, row.count - 1) == first + kept.count)
          var gathered = [UInt8](repeating: 0xEE, count: n * size + 1)
          #expect(nc_mask_gather(bytes(x, size: size), row, first, n, size, &gathered) == kept.count)
          #expect(Array(gathered[..<expected.count]) == expected && gathered[n * size] == 0xEE)
          // Back; nothing is read beyond the values (an address sanitizer sees it).
          var out = [UInt8](repeating: 0xEE, count: n * size + 1)
          let exactly = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: expected.count)
          defer { exactly.deallocate() }
          _ = exactly.initialize(from: expected)
          if let base = exactly.baseAddress {
            #expect(nc_mask_expand(row, first, n, size, base, &out) == kept.count)
            let dense = x.indices.map { keys[$0] >= least ? x[$0] : 0 }
            #expect(Array(out[..<(n * size)]) == bytes(dense, size: size) && out[n * size] == 0xEE)
          }
        }
      }
    }
  }

  @Test func squaresOfWhatIsDropped() {
    func added(_ lanes: [Double]) -> Double {
      var lanes = lanes
      while lanes.count > 1 { lanes = (0..<lanes.count / 2).map { lanes[$0] + lanes[$0 + lanes.count / 2] } }
      return lanes[0]
    }
    onEveryLevel(seed: 31) { random in
      for n in Self.counts {
        let x = (0..<n).map { _ in Float(Int32(truncatingIfNeeded: random.next())) * 0x1p-31 }
        let least = x.randomElement(using: &random)?.magnitude ?? 0
        var (norms, dropped) = ([Double](repeating: 0, count: 16), [Double](repeating: 0, count: 16))
        for i in 0..<n {
          let square = Double(x[i]) * Double(x[i])
          norms[i % 16] += square
          if x[i].magnitude < least { dropped[i % 16] += square }
        }
        var found = (0.0, 0.0)
        nc_squares(x, n, least, &found.0, &found.1)
        #expect(found == (added(norms), added(dropped)))
        nc_wide_squares(x.map { Double($0) * 0x1p600 }, n, 0x1p600, Double(least) * 0x1p600, &found.0, &found.1)
        #expect(found == (added(norms), added(dropped)))
        let half = x.map { $0 / 2 }
        #expect(nc_squared_distance(x, half, n) == added(norms) / 4)
      }
    }
  }

  /// Against the rounding of the standard library: every float16, and what lies between and halfway between two.
  @Test func narrowing() {
    onEveryLevel(seed: 31) { random in
      var floats: [Float] = []
      for bits in stride(from: UInt16(0), through: 0x7BFF, by: 7) {
        let low = Float(Float16(bitPattern: bits))
        let high: Float = bits == 0x7BFF ? 65536 : Float(Float16(bitPattern: bits + 1))
        let middle = (low + high) / 2
        floats += [low, -low, middle, middle.nextUp, -middle.nextDown]
      }
      floats += (0..<2000).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: random.next()) % 0x7F80_0000) }
      floats += [
        .leastNonzeroMagnitude, 0x1p-25, Float(0x1p-25).nextUp, 65520, Float(65520).nextDown, .greatestFiniteMagnitude,
      ]
      var out = [UInt16](repeating: 0, count: floats.count)
      nc_narrow(floats, floats.count, false, &out)
      #expect(out == floats.map { Float16($0).bitPattern })
      nc_narrow(floats, floats.count, true, &out)
      for (float, bits) in zip(floats, out) where float.magnitude < 0x1p127 {
        // The nearest of the values around it, and the even one of two.
        let down = float.bitPattern >> 16
        let (low, high) = (Float(bitPattern: down << 16), Float(bitPattern: (down + 1) << 16))
        let (below, above) = (Double(float - low).magnitude, Double(high - float).magnitude)
        let up = above < below || above == below && down & 1 == 1
        #expect(UInt32(bits) == (up ? down + 1 : down))
      }
      nc_narrow([.greatestFiniteMagnitude, -0x1.fefffep127 as Float], 2, true, &out)
      #expect(out[0] == 0x7F80 && out[1] == 0xFF7F)
    }
  }
}
