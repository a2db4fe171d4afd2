// SPDX-License-Identifier: Apache-2.0

import CLoops
import Random
import Testing

/// Loops of bit planes, each against its plain Swift twin: a loop over rows, samples and columns.
extension LoopsTests {
  /// About the words of 32 columns, and the 8 words that are added before their bits are counted.
  private static let widths = [0, 1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 257, 300]

  /// Ternary rows, whose bits and bytes beyond the last column are set.
  private struct Rows {
    let count: Int
    let columns: Int
    let rowBytes: Int
    let codes: [UInt8]
    /// −1, 0 or 1, row by row.
    let trits: [Int]
    let scales: [Double]
    private(set) var planes: [UInt32]
    private(set) var plus: [Int32]
    private(set) var minus: [Int32]

    /// - Parameter codes: one for each weight, row by row; `nil`: random.
    init(_ count: Int, _ columns: Int, codes wanted: [UInt8]? = nil, _ random: inout SplitMix64) {
      (self.count, self.columns) = (count, columns)
      let drawn = wanted ?? (0..<count * columns).map { _ in [0, 1, 3][Int(random.next() % 3)] as UInt8 }
      rowBytes = (columns + 3) / 4 + 1
      var codes = [UInt8](repeating: 0xFF, count: count * rowBytes)
      for i in drawn.indices {
        let (row, column) = i.quotientAndRemainder(dividingBy: columns)
        let shift = UInt8(column % 4 * 2)
        codes[row * rowBytes + column / 4] &= ~(3 << shift) | drawn[i] << shift
      }
      self.codes = codes
      trits = drawn.map { $0 == 3 ? -1 : Int($0) }
      scales = (0..<count).map { _ in Double(random.next() >> 11) * 0x1p-53 }
      planes = [UInt32](repeating: .max, count: (count + 15) / 16 * 32 * ((columns + 31) / 32))
      plus = [Int32](repeating: 7, count: count + 1)
      minus = plus
      nc_ternary_planes(codes, rowBytes, count, columns, &planes, &plus, &minus)
    }

    func row(_ r: Int) -> ArraySlice<Int> { trits[r * columns..<(r + 1) * columns] }
  }

  @Test func planesOfTrits() {
    onEveryLevel(seed: 71) { random in
      for (count, columns) in [(0, 5), (3, 0), (1, 1), (15, 33), (16, 64), (17, 31), (40, 100)] {
        let rows = Rows(count, columns, &random)
        let words = (columns + 31) / 32
        var expected = [UInt32](repeating: 0, count: rows.planes.count)
        for r in 0..<count {
          for (column, trit) in rows.row(r).enumerated() where trit != 0 {
            let word = (r / 16 * words + column / 32) * 32 + r % 16
            expected[word] |= 1 << UInt32(column % 32)
            if trit < 0 { expected[word + 16] |= 1 << UInt32(column % 32) }
          }
        }
        #expect(rows.planes == expected, "\(count) × \(columns)")
        #expect(rows.plus == (0..<count).map { Int32(rows.row($0).count { $0 > 0 }) } + [7])
        #expect(rows.minus == (0..<count).map { Int32(rows.row($0).count { $0 < 0 }) } + [7])
      }
    }
  }

  private static let fiveLevels: [Double] = [-2.5, -0.3, 0, 0.7, 1e6]

  /// Numbers that no level is.
  private static let others: [Double] = [.nan, -3, -0.1, 0.7.nextUp, .infinity]

  private func draw(_ count: Int, _ numbers: [Double], _ random: inout SplitMix64) -> [Double] {
    (0..<count).map { _ in numbers[Int(random.next() % UInt64(numbers.count))] }
  }

  /// The words that planes of samples take.
  private func wordCount(_ samples: Int, _ columns: Int, levels: Int) -> Int {
    let panels = (samples + 7) / 8
    return panels * (levels - 1) * ((columns + 31) / 32) * 8
  }

  @Test func planesOfLevels() {
    onEveryLevel(seed: 72) { random in
      for columns in Self.widths {
        for count in 2...Self.fiveLevels.count {
          let samples = Int(random.next() % 11)
          let levels = Array(Self.fiveLevels[..<count])
          var x = draw(samples * columns, levels, &random)
          // Some samples have a number that is none.
          var expected = [Bool](repeating: true, count: samples)
          for s in 0..<samples where columns > 0 && random.next() % 3 == 0 {
            let place = Int(random.next() % UInt64(columns))
            x[s * columns + place] = draw(1, Self.others, &random)[0]
            expected[s] = false
          }
          let words = (columns + 31) / 32
          // Samples beyond the last are left as they are.
          var planes = [UInt32](repeating: 7, count: wordCount(samples, columns, levels: count))
          var areLevels = [Bool](repeating: false, count: samples + 1)
          nc_level_planes(x, samples, columns, levels, count, &planes, &areLevels)
          #expect(areLevels == expected + [false])
          var bits = [UInt32](repeating: 7, count: planes.count)
          for s in 0..<samples {
            for k in 1..<count {
              for w in 0..<words {
                var word: UInt32 = 0
                for column in 32 * w..<min(32 * w + 32, columns) where x[s * columns + column] >= levels[k] {
                  word |= 1 << UInt32(column % 32)
                }
                let plane = s / 8 * (count - 1) + k - 1
                bits[(plane * words + w) * 8 + s % 8] = word
              }
            }
          }
          #expect(planes == bits, "\(samples) × \(columns), \(count) levels")
        }
      }
    }
  }

  /// Outputs of samples whose numbers are levels.
  private func products(_ rows: Rows, _ x: [Double], samples: Int, _ levels: [Double]) -> [Double] {
    var planes = [UInt32](repeating: .max, count: wordCount(samples, rows.columns, levels: levels.count))
    var areLevels = [Bool](repeating: false, count: samples)
    nc_level_planes(x, samples, rows.columns, levels, levels.count, &planes, &areLevels)
    #expect(areLevels.allSatisfy { $0 })
    var out = [Double](repeating: 7, count: samples * rows.count + 1)
    nc_planes_product(
      rows.planes, rows.plus, rows.minus, rows.scales, rows.count, rows.columns, planes, samples, levels, levels.count,
      &out)
    #expect(out.popLast() == 7)
    return out
  }

  private func expectedProducts(_ rows: Rows, _ x: [Double], samples: Int, _ levels: [Double]) -> [UInt64] {
    (0..<samples).flatMap { s in
      (0..<rows.count).map { r in
        var sums = [Int](repeating: 0, count: levels.count)
        for (trit, number) in zip(rows.row(r), x[s * rows.columns..<(s + 1) * rows.columns]) {
          sums[levels.firstIndex(of: number)!] += trit
        }
        var sum = 0.0
        for (level, n) in zip(levels, sums) { sum += level * Double(n) }
        return (sum * rows.scales[r]).bitPattern
      }
    }
  }

  @Test func bitplaneProducts() {
    onEveryLevel(seed: 73) { random in
      for (number, columns) in Self.widths.enumerated() {
        let rows = Rows([1, 15, 16, 17, 33][number % 5], columns, &random)
        let samples = [1, 2, 7, 8, 9, 0][number % 6]
        for count in 2...Self.fiveLevels.count {
          let levels = Array(Self.fiveLevels[..<count])
          let x = draw(samples * columns, levels, &random)
          let found = products(rows, x, samples: samples, levels).map(\.bitPattern)
          #expect(found == expectedProducts(rows, x, samples: samples, levels), "\(rows.count) × \(columns)")
        }
      }
    }
  }

  /// Every byte of four trits, with every input of four numbers.
  @Test func bitplaneProductsOfAllCodes() {
    onEveryLevel(seed: 74) { random in
      let all = (0..<256).map { byte in (0..<4).map { UInt8(byte >> (2 * $0) & 3) } }.filter { !$0.contains(2) }
      let rows = Rows(all.count, 4, codes: all.flatMap { $0 }, &random)
      for levels in [[0, 1], [-1, 0, 1]] as [[Double]] {
        let count = levels.count * levels.count * levels.count * levels.count
        let x = (0..<count).flatMap { number in
          var rest = number
          return (0..<4).map { _ in
            defer { rest /= levels.count }
            return levels[rest % levels.count]
          }
        }
        let found = products(rows, x, samples: count, levels).map(\.bitPattern)
        #expect(found == expectedProducts(rows, x, samples: count, levels))
      }
    }
  }

  /// More columns than are counted in bytes: all weights alike, all inputs alike.
  @Test func bitplaneProductsOfManyColumns() {
    onEveryLevel(seed: 75) { random in
      let columns = 3 * 8192 + 45
      for code in [1, 3] as [UInt8] {
        let rows = Rows(1, columns, codes: [UInt8](repeating: code, count: columns), &random)
        for x in [-0.5, 3] {
          let found = products(rows, [Double](repeating: x, count: columns), samples: 1, [-0.5, 3])
          #expect(found == [x * Double(code == 1 ? columns : -columns) * rows.scales[0]])
        }
      }
    }
  }

  @Test func bitplaneVectors() {
    onEveryLevel(seed: 76) { random in
      for (number, columns) in Self.widths.enumerated() {
        let rows = Rows([1, 16, 47, 49, 100][number % 5], columns, &random)
        // Of very different sizes.
        let x = (0..<columns).map { _ in
          Float(Int64(bitPattern: random.next())) * (random.next() % 2 == 0 ? 0x1p-63 : 0x1p-71)
        }
        var room = [Int32](repeating: 7, count: Int(nc_plane_room) * ((columns + 31) / 32))
        var out = [Double](repeating: 7, count: rows.count + 1)
        #expect(nc_planes_vector(rows.planes, rows.scales, rows.count, columns, x, &room, &out))
        // The sum of magnitudes is taken in 8 lanes; only its exponent matters.
        let norm = x.reduce(0) { $0 + Double($1.magnitude) }
        let unit = norm == 0 ? 1 : 2 * norm.binade * 0x1p-30
        let expected = (0..<rows.count).map { r in
          let sum = zip(rows.row(r), x).reduce(0) { $0 + $1.0 * Int((Double($1.1) / unit).rounded(.toNearestOrEven)) }
          return (Double(sum) * unit * rows.scales[r]).bitPattern
        }
        #expect(out.map(\.bitPattern) == expected + [Double(7).bitPattern], "\(rows.count) × \(columns)")
        guard columns > 0 else { continue }
        for bad in [Float.nan, .infinity, -.infinity] {
          #expect(!nc_planes_vector(rows.planes, rows.scales, rows.count, columns, [bad] + x.dropFirst(), &room, &out))
        }
      }
    }
  }
}
