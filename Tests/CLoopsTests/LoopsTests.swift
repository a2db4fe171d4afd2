// SPDX-License-Identifier: Apache-2.0

import CLoops
import Random
import Testing

/// Every loop against its plain Swift twin, at random lengths and offsets, on every level the processor has.
@Suite(.serialized) struct LoopsTests {
  static let levels = Array(0...Int(nc_limit_level(.max)))
  private static let lengths = Array(0...70) + [127, 128, 129, 511, 512, 513, 529, 1040]

  /// Does `body` on every level, with the same random numbers.
  func onEveryLevel(seed: UInt64 = 7, _ body: (inout SplitMix64) throws -> Void) rethrows {
    for level in Self.levels {
      nc_limit_level(Int32(level))
      var random = SplitMix64(seed: seed)
      try body(&random)
    }
    nc_limit_level(.max)
  }

  /// Values of every scale: ordinary, equal, zero of both signs, subnormal, huge.
  private func floats(_ n: Int, _ random: inout SplitMix64) -> [Float] {
    (0..<n).map { _ in
      let bits = random.next()
      let plain = Float(Int32(truncatingIfNeeded: bits >> 32)) * 0x1p-31
      return switch bits % 16 {
      case 0: 0
      case 1: -0.0
      case 2: plain.sign == .minus ? -0.5 : 0.5
      case 3: plain * 0x1p-140
      case 4: plain * 0x1p115
      default: plain
      }
    }
  }

  private func added(_ lanes: [Double]) -> Double {
    var lanes = lanes
    while lanes.count > 1 {
      let half = lanes.count / 2
      lanes = (0..<half).map { lanes[$0] + lanes[$0 + half] }
    }
    return lanes[0]
  }

  /// Float lanes of at most 32 elements, then double.
  private func flushedSum(_ x: [Float], above: Float?) -> Double {
    var total = [Double](repeating: 0, count: 16)
    for start in stride(from: 0, to: x.count, by: 512) {
      var lanes = [Float](repeating: 0, count: 16)
      for i in start..<min(x.count, start + 512) where above.map({ x[i].magnitude > $0 }) ?? true {
        lanes[i % 16] += x[i].magnitude
      }
      for l in 0..<16 { total[l] += Double(lanes[l]) }
    }
    return added(total)
  }

  private func doubleSum(_ x: [Float], _ term: (Float) -> Double) -> Double {
    var lanes = [Double](repeating: 0, count: 16)
    for i in x.indices { lanes[i % 16] += term(x[i]) }
    return added(lanes)
  }

  @Test func crcIsThatOfZlib() {
    func bitwise(_ bytes: some Sequence<UInt8>) -> UInt32 {
      ~bytes.reduce(~UInt32(0)) { crc, byte in
        (0..<8).reduce(crc ^ UInt32(byte)) { c, _ in c >> 1 ^ (c & 1 == 1 ? 0xEDB8_8320 : 0) }
      }
    }
    onEveryLevel { random in
      #expect(nc_crc32(0, Array("123456789".utf8), 9) == 0xCBF4_3926)
      let bytes = (0..<1200).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      bytes.withUnsafeBytes { b in
        for n in Self.lengths {
          let offset = Int(random.next() % 64)
          let expected = bitwise(bytes[offset..<offset + n])
          let base = b.baseAddress! + offset
          #expect(nc_crc32(0, base, n) == expected)
          let cut = n == 0 ? 0 : Int(random.next() % UInt64(n))
          #expect(nc_crc32(nc_crc32(0, base, cut), base + cut, n - cut) == expected)
        }
      }
    }
  }

  @Test func packAndUnpack() {
    onEveryLevel { random in
      for n in Self.lengths {
        let x = floats(n, &random)
        let first = Int(random.next() % 9)
        let above = x.randomElement(using: &random)?.magnitude ?? 0
        var row = [UInt8](repeating: 0, count: (first + n + 3) / 4 + 1)
        // Trits before the range stay.
        for i in 0..<first { row[i / 4] |= 1 << UInt8(i % 4 * 2) }
        var twin = row
        for i in 0..<n where x[i].magnitude > above {
          twin[(first + i) / 4] |= (x[i] < 0 ? 3 : 1) << UInt8((first + i) % 4 * 2)
        }
        #expect(nc_ternary_pack(x, n, above, &row, first) == x.count { $0.magnitude > above })
        #expect(row == twin)
        for (size, plus, minus) in [
          (2, 0x3C01, 0xBC01), (4, 0x3F80_0001, 0xBF80_0001), (8, 0x3FF0_0000_0000_0001, 0xBFF0_0000_0000_0001),
        ] as [(Int, UInt64, UInt64)] {
          var out = [UInt8](repeating: 0xEE, count: n * size + 1)
          nc_ternary_unpack(row, first, n, size, plus, minus, &out)
          var expected: [UInt8] = []
          for i in first..<first + n {
            let value = [0, plus, 0, minus][Int(twin[i / 4] >> UInt8(i % 4 * 2) & 3)]
            expected += (0..<size).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
          }
          #expect(out == expected + [0xEE])
        }
      }
    }
  }

  @Test func wordsAndTheirValues() {
    onEveryLevel { random in
      for _ in 0..<60 {
        let (rows, rowBytes) = (Int(random.next() % 40), Int(1 + random.next() % 40))
        let rowWords = (rowBytes + 3) / 4
        let first = Int(random.next() % UInt64(rowWords))
        let n = 1 + Int(random.next() % UInt64(min(4, rowWords - first)))
        let codes = (0..<rows * rowBytes).map { _ in [0, 1, 3, 0x4D, 0xF1, 0x37][Int(random.next() % 6)] as UInt8 }
        var words = [UInt32](repeating: 7, count: n * rows + 1)
        nc_ternary_words(codes, rowBytes, rows, first, n, &words)
        var expected: [UInt32] = []
        for word in first..<first + n {
          for row in 0..<rows {
            let bytes = codes[row * rowBytes..<(row + 1) * rowBytes].dropFirst(4 * word).prefix(4)
            expected.append(bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) })
          }
        }
        #expect(words == expected + [7])

        let scales = floats(words.count, &random).map(\.magnitude)
        for trit in 0..<16 {
          var out = [Float](repeating: 7, count: words.count)
          nc_ternary_values(words, UInt32(trit), words.count - 1, scales, &out)
          let values = zip(words, scales).map { [0, $1, 0, -$1][Int($0 >> UInt32(2 * trit) & 3)] }
          #expect(out.map(\.bitPattern) == (values.dropLast() + [7]).map(\.bitPattern))
        }
      }
    }
  }

  @Test func magnitudes() {
    onEveryLevel { random in
      for n in Self.lengths {
        let offset = Int(random.next() % 5)
        let all = floats(n + offset, &random)
        let x = Array(all[offset...])
        all.withUnsafeBufferPointer { buffer in
          let p = buffer.baseAddress! + offset
          var sum = 0.0
          #expect(nc_magnitude_largest(p, n, &sum) == x.map(\.magnitude.bitPattern).max() ?? 0)
          #expect(sum == flushedSum(x, above: nil))

          let thresholds = (0..<4).map { _ in x.randomElement(using: &random)?.magnitude ?? 0 }
          var tails = [nc_tail](repeating: nc_tail(), count: 4)
          nc_magnitude_above(p, n, thresholds, &tails)
          for (t, tail) in zip(thresholds, tails) {
            #expect(tail.sum == flushedSum(x, above: t))
            #expect(tail.count == x.count { $0.magnitude > t })
          }

          let (low, high) = (min(thresholds[0], thresholds[1]), max(thresholds[0], thresholds[1]))
          var out = [Float](repeating: .nan, count: n + 16)
          var tail = nc_tail()
          let between = x.map(\.magnitude).filter { $0 > low && $0 <= high }
          #expect(nc_magnitude_collect(p, n, low, high, &out, &tail) == between.count)
          #expect(Array(out.prefix(between.count)) == between)
          #expect(tail.count == x.count { $0.magnitude > high })
          #expect(tail.sum == doubleSum(x) { $0.magnitude > high ? Double($0.magnitude) : 0 })
          // In place.
          out = x + [Float](repeating: 0, count: 16)
          out.withUnsafeMutableBufferPointer {
            _ = nc_magnitude_collect($0.baseAddress!, n, low, high, $0.baseAddress!, &tail)
          }
          #expect(Array(out.prefix(between.count)) == between)
        }
      }
    }
  }

  /// Magnitudes that are sums of few bits, so that sums are exact in any order: then the smallest of several best
  /// supports is found, too.
  @Test func nearest() {
    onEveryLevel { random in
      var answered = 0
      for n in Self.lengths where n > 0 && n <= Int(nc_nearest_limit) {
        for kind in 0..<6 {
          let x = (0..<n).map { _ -> Float in
            let uniform = Double(random.next() >> 40) * 0x1p-24
            let magnitude =
              switch kind {
              case 0: (uniform * 4).rounded()
              case 1: (uniform * 4096).rounded()
              case 2: (4096 / (uniform + 0.001)).rounded()
              case 3: (uniform * uniform * uniform * 65536).rounded() * 0x1p-149
              case 4: (uniform * 1024 * 1.5).rounded() * 0x1p106
              default: uniform < 0.9 ? 0.0 : 1.0
              }
            return Float(random.next() & 1 == 0 ? magnitude : -magnitude)
          }
          let sorted = x.map { Double($0.magnitude) }.sorted(by: >)
          var (sum, best, count, kept) = (0.0, 0.0, 0, 0.0)
          for (i, magnitude) in sorted.enumerated() {
            sum += magnitude
            if sum * sum / Double(i + 1) > best { (best, count, kept) = (sum * sum / Double(i + 1), i + 1, sum) }
          }
          var found = nc_support()
          guard nc_ternary_nearest(x, n, &found) else { continue }
          answered += 1
          #expect(found.count == count && found.sum == kept, "\(n) \(kind)")
          #expect(x.count { $0.magnitude > found.above } == count)
        }
      }
      #expect(answered > 400)
      var found = nc_support()
      #expect(!nc_ternary_nearest([1, 0x1p120, 2], 3, &found))
      #expect(!nc_ternary_nearest([Float](repeating: 1, count: 99) + [-.nan], 100, &found))
    }
  }

  /// Inexact sums: the same on every level.
  @Test func nearestOfAnyFloats() {
    var results: [[Double]] = []
    onEveryLevel { random in
      var all: [Double] = []
      for n in Self.lengths where n <= Int(nc_nearest_limit) {
        let x = floats(n, &random).map { $0.magnitude > 0x1p100 ? $0 * 0x1p-100 : $0 }
        var found = nc_support()
        let isFound = nc_ternary_nearest(x, n, &found)
        all += isFound ? [found.sum, Double(found.count), Double(found.above)] : []
      }
      results.append(all)
    }
    #expect(results.allSatisfy { $0 == results[0] && $0.count > 3 * Self.lengths.count / 2 })
  }

  @Test func candidatesOfDoublesHoldTheBestSupport() {
    onEveryLevel { random in
      for n in Self.lengths where n > 0 {
        for power in [1, 3, 9] {
          let x = (0..<n).map { _ -> Double in
            let uniform = Double(Int64(bitPattern: random.next())) * 0x1p-63
            return (0..<power).reduce(1) { product, _ in product * uniform }
          }
          var room = [Double](repeating: .nan, count: n + 1)
          var low = 0.0
          var above = nc_tail()
          let count = nc_wide_collect(x, n, &room, &low, &above)
          let sorted = x.map(\.magnitude).sorted(by: >)
          let base = Int(above.count)
          #expect(room.prefix(count).sorted(by: >) == Array(sorted[base..<base + count]))
          #expect(abs(above.sum - sorted.prefix(base).reduce(0, +)) <= 1e-12 * above.sum)
          #expect(sorted.dropFirst(base + count).allSatisfy { $0 <= low })
          var (sum, best, kept) = (0.0, 0.0, 0)
          for (i, magnitude) in sorted.enumerated() {
            sum += magnitude
            if sum * sum / Double(i + 1) > best { (best, kept) = (sum * sum / Double(i + 1), i + 1) }
          }
          #expect((base...base + count).contains(kept), "\(n) \(power)")
        }
      }
    }
  }

  @Test func sort() {
    var random = SplitMix64(seed: 8)
    for n in Self.lengths {
      var x = floats(n, &random).map(\.magnitude)
      let sorted = x.sorted(by: >)
      var room = x
      nc_magnitude_sort(&x, n, &room)
      #expect(x == sorted)
    }
  }

  @Test func widen() {
    let halves = (0...UInt16.max).map { $0 }
    onEveryLevel { _ in
      for brain in [false, true] {
        var out = [Float](repeating: 0, count: halves.count)
        nc_widen(halves, halves.count, brain, &out)
        for (bits, value) in zip(halves, out) {
          let sign = UInt32(bits & 0x8000) << 16
          let fraction = brain ? UInt32(bits & 0x7F) << 16 : UInt32(bits & 0x3FF) << 13
          let number = brain ? UInt32(bits) << 16 : sign | Float(Float16(bitPattern: bits & 0x7FFF)).bitPattern
          // A NaN becomes quiet.
          let expected = value.isNaN ? sign | 0x7FC0_0000 | fraction : number
          if value.bitPattern != expected || value.isNaN != Float(bitPattern: number).isNaN {
            Issue.record("\(bits) as \(value)")
          }
        }
      }
    }
  }

  @Test func nonFiniteElementsAreTheLargest() {
    onEveryLevel { random in
      for bad in [Float.nan, -.nan, .infinity, -.infinity] {
        for n in [1, 7, 16, 33, 600] {
          var x = floats(n, &random)
          x[Int(random.next() % UInt64(n))] = bad
          var sum = 0.0
          #expect(nc_magnitude_largest(x, n, &sum) >= 0x7F80_0000)
        }
      }
    }
  }

  @Test func transpose() {
    onEveryLevel { random in
      for _ in 0..<12 {
        let (rows, columns) = (Int(random.next() % 80), Int(random.next() % 80))
        let (inStride, outStride) = (columns + Int(random.next() % 3), rows + Int(random.next() % 3))
        for size in [1, 2, 4, 8] {
          let input = (0..<rows * inStride * size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
          var out = [UInt8](repeating: 0, count: columns * outStride * size)
          var twin = out
          for r in 0..<rows {
            for c in 0..<columns {
              for b in 0..<size { twin[(c * outStride + r) * size + b] = input[(r * inStride + c) * size + b] }
            }
          }
          nc_transpose(input, inStride, rows, columns, size, &out, outStride)
          #expect(out == twin)
        }
      }
    }
  }

  @Test func planes() {
    onEveryLevel { random in
      for n in Self.lengths {
        for size in [2, 4, 8] {
          let elements = (0..<n * size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
          var planes = [UInt8](repeating: 0, count: n * size)
          nc_planes_split(elements, n, size, &planes)
          #expect(planes == (0..<size).flatMap { b in (0..<n).map { elements[$0 * size + b] } })
          var back = [UInt8](repeating: 0, count: n * size)
          nc_planes_join(planes, n, size, &back)
          #expect(back == elements)
        }
      }
    }
  }

  // MARK: Sparse rows

  private func bits(_ n: Int, density: Double, _ random: inout SplitMix64) -> [Bool] {
    (0..<n).map { _ in Double(random.next() >> 11) * 0x1p-53 < density }
  }

  /// Bits in a run, the first lowest.
  private func packed(_ bits: some Collection<Bool>) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: (bits.count + 7) / 8)
    for (i, bit) in bits.enumerated() where bit { bytes[i / 8] |= 1 << UInt8(i % 8) }
    return bytes
  }

  private static let densities = [0, 0.003, 0.03, 0.1, 0.3, 0.7, 1]

  @Test func bitsInRowsAndInARun() {
    onEveryLevel { random in
      for columns in Array(0...20) + [63, 64, 65, 128, 200] {
        let rows = Int(random.next() % 9)
        let run = bits(rows * columns, density: 0.4, &random)
        let inRows = (0..<rows).flatMap { packed(run[$0 * columns..<($0 + 1) * columns]) }
        var closed = [UInt8](repeating: 0xEE, count: (run.count + 7) / 8 + 1)
        nc_bits_close(inRows, rows, columns, &closed)
        #expect(closed == packed(run) + [0xEE])
        var opened = [UInt8](repeating: 0xEE, count: inRows.count + 1)
        nc_bits_open(closed, rows, columns, &opened)
        #expect(opened == inRows + [0xEE])
        #expect(nc_bits_padded(inRows, rows, columns))
      }
    }
    for columns in 1...17 {
      let rowBytes = (columns + 7) / 8
      for bit in 0..<3 * 8 * rowBytes {
        var rows = [UInt8](repeating: 0, count: 3 * rowBytes)
        rows[bit / 8] = 1 << UInt8(bit % 8)
        #expect(nc_bits_padded(rows, 3, columns) == (bit % (8 * rowBytes) < columns))
      }
    }
  }

  @Test func gaps() {
    onEveryLevel { random in
      for n in Self.lengths + [2111, 2112, 2113, 5000] {
        for density in Self.densities {
          let run = bits(n, density: density, &random)
          var expected: [UInt8] = []
          var zeros = 0
          for bit in run {
            if bit {
              expected += [UInt8](repeating: 255, count: zeros / 255) + [UInt8(zeros % 255)]
              zeros = 0
            } else {
              zeros += 1
            }
          }
          let stored = run.count { $0 }
          let room = stored + n / 255 + 8
          var gaps = [UInt8](repeating: 0xEE, count: room + 1)
          #expect(nc_gaps_encode(packed(run), n, &gaps) == expected.count)
          #expect(Array(gaps.prefix(expected.count)) == expected)
          #expect(gaps[room] == 0xEE)

          var back = [UInt8](repeating: 0xEE, count: (n + 7) / 8 + 1)
          var found = 0
          #expect(nc_gaps_decode(expected, expected.count, n, &back, &found))
          #expect(back == packed(run) + [0xEE])
          #expect(found == stored)

          // One more position: the last that there is, and the first that there is not.
          let last = n - (run.lastIndex(of: true).map { $0 + 1 } ?? 0)
          for zeros in [last - 1, last, last + 300] where zeros >= 0 {
            let longer = expected + [UInt8](repeating: 255, count: zeros / 255) + [UInt8(zeros % 255)]
            #expect(nc_gaps_decode(longer, longer.count, n, &back, &found) == (zeros < last))
            #expect(found == stored + (zeros < last ? 1 : 0))
            #expect(back.last == 0xEE)
          }
        }
      }
    }
  }

  /// Whatever the bytes are, nothing beyond the bits is written.
  @Test func anyBytesAsGaps() {
    onEveryLevel { random in
      for n in [0, 1, 63, 64, 2048, 2112, 2113, 4000, 9000] {
        for greatest in [1, 3, 40, 255] as [UInt64] {
          let gaps = (0..<300).map { _ in UInt8(random.next() % (greatest + 1)) }
          var positions: [Int] = []
          var next = 0
          for gap in gaps {
            next += Int(gap)
            if gap == 255 { continue }
            if next >= n { break }
            positions.append(next)
            next += 1
          }
          var back = [UInt8](repeating: 0xEE, count: (n + 7) / 8 + 1)
          var found = 0
          let isSound = nc_gaps_decode(gaps, gaps.count, n, &back, &found)
          #expect(isSound == (positions.count == gaps.count { $0 != 255 }))
          #expect(found == positions.count)
          let set = Set(positions)
          #expect(back == packed((0..<n).map(set.contains)) + [0xEE])
        }
      }
    }
  }

  @Test func tritsAsBitsAndSigns() {
    onEveryLevel { random in
      for columns in Array(0...10) + [31, 32, 33, 64, 100] {
        for density in Self.densities {
          let rows = Int(random.next() % 7)
          let isStored = bits(rows * columns, density: density, &random)
          let signs = bits(isStored.count { $0 }, density: 0.5, &random)
          let rowBytes = (columns + 3) / 4
          var codes = [UInt8](repeating: 0, count: rows * rowBytes)
          var k = 0
          for (i, bit) in isStored.enumerated() where bit {
            codes[i / columns * rowBytes + i % columns / 4] |= (signs[k] ? 3 : 1) << UInt8(i % columns % 4 * 2)
            k += 1
          }
          var run = [UInt8](repeating: 0xEE, count: (isStored.count + 7) / 8 + 1)
          var signBytes = [UInt8](repeating: 0xEE, count: (k + 7) / 8 + 1)
          #expect(nc_ternary_split(codes, rows, columns, &run, &signBytes) == k)
          #expect(run == packed(isStored) + [0xEE])
          #expect(signBytes == packed(signs) + [0xEE])
          var back = [UInt8](repeating: 0xEE, count: codes.count + 1)
          nc_ternary_join(run, signBytes, k, rows, columns, &back)
          #expect(back == codes + [0xEE])
        }
      }
    }
  }

  /// One bit of an element, any one, is enough.
  @Test func elementsThatAreZero() {
    onEveryLevel { random in
      for n in Self.lengths {
        for size in [2, 4, 8] {
          var elements = [UInt8](repeating: 0, count: n * size)
          for i in 0..<n {
            let bit = random.next() % UInt64(8 * size)
            elements[i * size + Int(bit / 8)] = 1 << UInt8(bit % 8)
          }
          #expect(nc_sparse_nonzero(elements, n, size))
          guard n > 0 else { continue }
          let zero = Int(random.next() % UInt64(n))
          for byte in 0..<size { elements[zero * size + byte] = 0 }
          #expect(!nc_sparse_nonzero(elements, n, size))
        }
      }
    }
  }

  /// Uniform bytes are noise; bytes of seven bits, bytes of which one more in 32 is zero (two are equal 1.25 times in
  /// 256), and bytes of which half are noise are not.
  @Test func noise() {
    var random = SplitMix64(seed: 9)
    for n in [4096, 10_000, 65_536, 65_537] {
      let uniform = (0..<n).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      #expect(nc_bytes_are_noise(uniform, n))
      #expect(!nc_bytes_are_noise(uniform.map { $0 & 0x7F }, n))
      #expect(!nc_bytes_are_noise(uniform.map { random.next() % 32 == 0 ? 0 : $0 }, n))
    }
    for n in 2...64 { #expect(!nc_bytes_are_noise([UInt8](repeating: 7, count: n), n)) }
    var late = [UInt8](repeating: 0, count: 1 << 16)
    for i in 0..<1 << 15 { late[i] = UInt8(truncatingIfNeeded: random.next()) }
    #expect(!nc_bytes_are_noise(late, late.count))
  }
}
