// SPDX-License-Identifier: Apache-2.0

import Glibc
import Parallel
import Random
import Testing

@testable import Maths

@Suite struct TailIndexTests {
  /// From the procedure's own code in NumPy.
  @Test(arguments: [
    (4, [2]), (6, [2]), (10, [2, 5]), (26, [2]), (300, [2, 5, 10, 15, 20, 50, 100]),
    (784, [2, 4, 8, 16, 28, 49, 98]), (1000, [2, 5, 10, 20, 25, 50, 100, 500]),
    (1024, [2, 4, 8, 16, 32, 64, 256]), (2048, [2, 4, 8, 16, 32, 64, 256, 512]),
    (10_000, [2, 5, 10, 20, 50, 100, 500, 1000]), (235_200, [2, 5, 10, 20, 50, 100, 480, 490, 980]),
    (1 << 24, [2, 4, 8, 16, 32, 64, 256, 512, 4096]),
  ])
  func scales(_ count: Int, _ scales: [Int]) {
    #expect(TailIndex.scales(count) == scales)
  }

  /// Lower scales than 2 never occur.
  @Test func everyEvenNumberHasScales() {
    for count in stride(from: 4, to: 3000, by: 2) {
      let scales = TailIndex.scales(count)
      #expect(scales.first == 2 && scales.allSatisfy { count % $0 == 0 } && scales == Set(scales).sorted())
    }
  }

  @Test func anOddSampleIsLeftOut() throws {
    var random = SplitMix64(seed: 3)
    var samples = (0..<1009).map { _ in Float(random.gaussian()) }
    var (first, second) = (SplitMix64(seed: 4), SplitMix64(seed: 4))
    let odd = try #require(TailIndex(of: samples, using: &first))
    samples.removeLast()
    let even = try #require(TailIndex(of: samples, using: &second))
    #expect(odd.droppedCount == 1 && even.droppedCount == 0)
    #expect(odd.sampleCount == 1008 && odd.value == even.value && odd.scales == even.scales)
  }

  @Test func tooFewSamplesOrNotFinite() {
    var random = SplitMix64(seed: 3)
    #expect(TailIndex(of: [1, 2, 3], using: &random) == nil)
    #expect(TailIndex(of: [1, 2, 3, .nan], using: &random) == nil)
    #expect(TailIndex(ofRows: [1, 2, 3], rows: 3, columns: 1, using: &random, threads: Threads(1)) == nil)
    #expect(TailIndex(ofRows: [1, 2, .infinity, 0], rows: 4, columns: 1, using: &random, threads: Threads(1)) == nil)
    let none = LayerTailIndices(of: [], rows: 0, columns: 5, using: &random, threads: Threads(1))
    #expect(none.rows == nil && none.entries == nil && none.norms == nil)
  }

  /// Sums grow as slowly as they can: 1/α̂ ≤ 0 counts as ∞.
  @Test func samplesWithoutSpread() throws {
    var random = SplitMix64(seed: 3)
    let zeros = try #require(TailIndex(of: [Float](repeating: 0, count: 100), using: &random))
    #expect(zeros.value == 2)
    // Sums of m equal samples are m times as large: α = 1.
    let ones = try #require(TailIndex(of: [Float](repeating: 1, count: 1000), using: &random))
    #expect(abs(ones.value - 1) < 1e-12)
  }

  /// Σ ln(|Y| + ε) of each scale, as the formula has it. A logarithm errs by 2⁻⁵³, a sum of m by m·2⁻⁵³ of its terms'
  /// magnitudes; none of the sums is so near to 0 that this shows.
  @Test func sumsOfEachScale() {
    var random = SplitMix64(seed: 21)
    for count in [24, 300, 1000] {
      let samples = (0..<count).map { _ in Float(random.stable(1.5)) }
      let scales = TailIndex.scales(count)
      let found = samples.withUnsafeBufferPointer { ScalarSums(count: count, scales: scales).logarithms(of: $0) }
      for (m, sum) in zip(scales, found) {
        let expected = stride(from: 0, to: count, by: m).reduce(0.0) { total, first in
          total + log(abs(samples[first..<first + m].reduce(0.0) { $0 + Double($1) }) + .ulpOfOne)
        }
        #expect(abs(sum - expected) < 1e-9, "\(count) \(m)")
      }
    }
  }

  @Test func sumsOfVectors() {
    var random = SplitMix64(seed: 22)
    for (count, columns) in [(24, 3), (100, 64), (60, 130), (4, 0)] {
      let matrix = (0..<count * columns).map { _ in Float(random.gaussian()) }
      let order = (0..<UInt32(count)).shuffled(using: &random)
      let scales = TailIndex.scales(count)
      let sums = VectorSums(count: count, columns: columns, scales: scales)
      let found = sums.logarithms(of: matrix, order: order, threads: Threads(1))
      #expect(found == sums.logarithms(of: matrix, order: order, threads: Threads(3)))
      for (m, sum) in zip([1] + scales, found) {
        let expected = stride(from: 0, to: count, by: m).reduce(0.0) { total, first in
          let square = (0..<columns).reduce(0.0) { square, column in
            let y = order[first..<first + m].reduce(0.0) { $0 + Double(matrix[Int($1) * columns + column]) }
            return square + y * y
          }
          return total + log(sqrt(square) + .ulpOfOne)
        }
        #expect(abs(sum - expected) < 1e-9, "\(count)×\(columns) \(m)")
      }
    }
  }

  @Test func vectorsOfOneAreNumbers() throws {
    var random = SplitMix64(seed: 23)
    let samples = (0..<600).map { _ in Float(random.stable(1.6)) }
    var (first, second) = (SplitMix64(seed: 1), SplitMix64(seed: 1))
    let numbers = try #require(TailIndex(of: samples, using: &first))
    let vectors = try #require(
      TailIndex(ofRows: samples, rows: 600, columns: 1, using: &second, threads: Threads(1)))
    #expect(abs(numbers.value - vectors.value) < 1e-9 && numbers.scales == vectors.scales)
    #expect(numbers.value < 2)
  }

  // MARK: The tables of science.md, section 4

  private func estimates(_ repetitions: Int, _ samples: () -> [Float], seed: UInt64) throws -> [Double] {
    var random = SplitMix64(seed: seed)
    return try (0..<repetitions).map { _ in try #require(TailIndex(of: samples(), using: &random)).value }
  }

  /// A mean of n estimates and one of the table's 20, each with the table's deviation, differ by less than four
  /// deviations of their difference; deviations of 20 differ by less than a factor 2.5 (F at 10⁻⁴).
  @Test(arguments: [
    (1.9, 1000, 1.914, 0.086), (1.9, 10_000, 1.894, 0.033), (1.75, 1000, 1.727, 0.094), (1.75, 10_000, 1.755, 0.027),
    (1.5, 1000, 1.507, 0.070), (1.5, 10_000, 1.495, 0.029), (1.2, 1000, 1.204, 0.063), (1.2, 10_000, 1.200, 0.020),
  ])
  func stableSamples(_ alpha: Double, _ count: Int, _ mean: Double, _ deviation: Double) throws {
    var random = SplitMix64(seed: UInt64(alpha * 100) + UInt64(count))
    let found = meanAndDeviation(
      try estimates(20, { (0..<count).map { _ in Float(random.stable(alpha)) } }, seed: 6))
    #expect(abs(found.mean - mean) <= 4 * deviation * sqrt(2.0 / 20))
    #expect(found.deviation <= 2.5 * deviation && found.deviation >= deviation / 2.5)
  }

  /// The table gives no deviations here; ours serves for both means (of 10 estimates each), and the table is rounded.
  @Test(arguments: [
    ("Laplace", 1.70, 0.005), ("t3", 1.69, 0.005), ("uniform", 2.0, 0.05), ("mean 0.1", 1.80, 0.005),
    ("Gaussian", 1.985, 0.0005),
  ])
  func cornerCases(_ name: String, _ mean: Double, _ rounding: Double) throws {
    var random = SplitMix64(seed: 88)
    let samples = {
      (0..<10_000).map { _ in
        switch name {
        case "Laplace": Float(random.laplace())
        case "t3": Float(random.studentOfThree())
        case "uniform": Float(random.uniform() - 0.5)
        case "mean 0.1": Float(random.gaussian() + 0.1)
        default: Float(random.gaussian())
        }
      }
    }
    let found = meanAndDeviation(try estimates(10, samples, seed: 7))
    #expect(abs(found.mean - mean) <= rounding + 4 * found.deviation * sqrt(2.0 / 10))
    #expect(found.deviation < 0.1)
  }

  /// Rows √A·G, A positive and α/2-stable: 30 draws in the table, 6 here.
  @Test(arguments: [(1.9, 1.90, 0.014), (1.75, 1.74, 0.034), (1.5, 1.51, 0.046)])
  func ellipticVectors(_ alpha: Double, _ mean: Double, _ deviation: Double) throws {
    var random = SplitMix64(seed: UInt64(alpha * 1000))
    let (rows, columns) = (2000, 50)
    let found = try (0..<6).map { _ in
      var matrix: [Float] = []
      for _ in 0..<rows {
        let radius = sqrt(random.stable(alpha / 2, skewness: 1) * pow(cos(.pi * alpha / 4), 2 / alpha))
        for _ in 0..<columns { matrix.append(Float(radius * random.gaussian())) }
      }
      return try #require(
        TailIndex(ofRows: matrix, rows: rows, columns: columns, using: &random, threads: Threads(0))
      ).value
    }
    #expect(abs(meanAndDeviation(found).mean - mean) <= 4 * deviation * sqrt(1.0 / 6 + 1.0 / 30))
  }

  /// Adding to all weights of a column changes nothing in rows and norms, adding to all weights nothing in the entries.
  @Test func layersAreCentred() throws {
    var random = SplitMix64(seed: 31)
    let (rows, columns) = (100, 30)
    // Multiples of 2⁻¹², so that sums are exact.
    let matrix = (0..<rows * columns).map { _ in (Float(random.stable(1.7)) * 4096).rounded() / 4096 }
    let shifted = matrix.indices.map { matrix[$0] + Float($0 % columns) }
    var (first, second, third) = (SplitMix64(seed: 1), SplitMix64(seed: 1), SplitMix64(seed: 1))
    let plain = LayerTailIndices(of: matrix, rows: rows, columns: columns, using: &first, threads: Threads(1))
    let other = LayerTailIndices(of: shifted, rows: rows, columns: columns, using: &second, threads: Threads(4))
    let raised = LayerTailIndices(
      of: matrix.map { $0 + 2 }, rows: rows, columns: columns, using: &third, threads: Threads(1))
    #expect(plain.rows == other.rows && plain.norms == other.norms)
    #expect(plain == raised)
    #expect(plain.rows?.sampleCount == 100 && plain.entries?.sampleCount == 3000 && plain.norms?.sampleCount == 100)
  }

  /// Each estimate is that of samples centred as the documentation says.
  @Test func layersByHand() {
    func centred(_ x: [Float]) -> [Float] {
      let sorted = x.sorted()
      let (a, b) = (Double(sorted[(x.count - 1) / 2]), Double(sorted[x.count / 2]))
      return x.map { $0 - Float((a + b) / 2) }
    }
    var random = SplitMix64(seed: 32)
    let (rows, columns) = (60, 21)
    let matrix = (0..<rows * columns).map { _ in Float(random.stable(1.7)) + 3 }
    var byColumns = matrix
    for column in 0..<columns {
      let wide = centred((0..<rows).map { matrix[$0 * columns + column] })
      for row in 0..<rows { byColumns[row * columns + column] = wide[row] }
    }
    let norms = rowNorms(of: byColumns, rows: rows, columns: columns).map { Float($0) }
    var (first, second) = (SplitMix64(seed: 1), SplitMix64(seed: 1))
    let found = LayerTailIndices(of: matrix, rows: rows, columns: columns, using: &first, threads: Threads(2))
    #expect(
      found.rows == TailIndex(ofRows: byColumns, rows: rows, columns: columns, using: &second, threads: Threads(1)))
    #expect(found.norms == TailIndex(of: centred(norms), using: &second))
    #expect(found.entries == TailIndex(of: centred(matrix), using: &second))
  }

  /// With an odd number of rows or columns, no sample is its own median and counts as ln ε: entries of stable weights
  /// have the index they have as samples, within four standard deviations of one estimate at N = 10⁴ (.033 and .027).
  @Test(arguments: [(1.9, 0.033), (1.75, 0.027)]) func oddShapes(alpha: Double, deviation: Double) throws {
    for (rows, columns) in [(25, 400), (101, 99)] {
      var random = SplitMix64(seed: 33)
      let matrix = (0..<rows * columns).map { _ in Float(random.stable(alpha)) }
      let found = LayerTailIndices(of: matrix, rows: rows, columns: columns, using: &random, threads: Threads(1))
      #expect(abs(try #require(found.entries).value - alpha) <= 4 * deviation, "\(rows)×\(columns)")
      #expect(try #require(found.norms).sampleCount == rows - 1)
    }
  }
}

@Suite struct MedianTests {
  @Test func equalsSorting() {
    var random = SplitMix64(seed: 41)
    for count in Array(0...70) + [127, 128, 1000, 1001, 5000] {
      for distribution in 0..<4 {
        let x = (0..<count).map { _ -> Float in
          switch distribution {
          case 0: Float(random.gaussian())
          case 1: Float(Int(random.next() % 3)) - 1
          case 2: Float(bitPattern: UInt32(truncatingIfNeeded: random.next()) & 0xBF7F_FFFF)
          default: Float(random.uniform()) * 0x1p-140
          }
        }
        let sorted = x.sorted()
        let expected =
          count == 0
          ? 0
          : count % 2 == 1
            ? sorted[count / 2] : Float((Double(sorted[count / 2 - 1]) + Double(sorted[count / 2])) / 2)
        #expect(x.withUnsafeBufferPointer { median($0) } == expected, "\(count) \(distribution)")
      }
    }
  }

  @Test func ofColumns() {
    var random = SplitMix64(seed: 42)
    let (rows, columns) = (75, 37)
    let matrix = (0..<rows * columns).map { _ in Float(random.gaussian()) }
    let found = matrix.withUnsafeBufferPointer {
      columnMedians($0, rows: rows, columns: columns, threads: Threads(3))
    }
    #expect(found == (0..<columns).map { c in (0..<rows).map { matrix[$0 * columns + c] }.sorted()[rows / 2] })
  }
}

@Suite struct ShuffleTests {
  private func shuffled(_ count: Int, using random: inout SplitMix64) -> [UInt32] {
    var elements = (0..<UInt32(count)).map { $0 }
    var room = [UInt32](repeating: 0, count: shuffleRoom(for: count))
    elements.withUnsafeMutableBufferPointer { elements in
      room.withUnsafeMutableBufferPointer { shuffle(elements, room: $0, using: &random) }
    }
    return elements
  }

  /// All 24 orders of four elements, each 1000 times of 24,000, with the deviation of a binomial distribution.
  @Test func everyOrderIsEquallyLikely() {
    var random = SplitMix64(seed: 51)
    var counts: [[UInt32]: Int] = [:]
    for _ in 0..<24_000 { counts[shuffled(4, using: &random), default: 0] += 1 }
    #expect(counts.count == 24)
    #expect(counts.values.allSatisfy { abs(Double($0) - 1000) <= 5 * sqrt(1000 * 23.0 / 24) })
  }

  /// More elements than fit the cache: none is lost, and where one ends up does not depend on where it began.
  @Test func manyElements() {
    var random = SplitMix64(seed: 52)
    let count = 1 << 18 + 1
    let elements = shuffled(count, using: &random)
    #expect(elements.sorted().elementsEqual(0..<UInt32(count)))
    // Correlation of independent places: 0 with deviation 1/√n.
    let middle = Double(count - 1) / 2
    var product = 0.0
    var square = 0.0
    for (i, element) in elements.enumerated() {
      product += (Double(i) - middle) * (Double(element) - middle)
      square += (Double(i) - middle) * (Double(i) - middle)
    }
    #expect(abs(product / square) <= 5 / sqrt(Double(count)))
  }
}

@Suite struct LogarithmSumTests {
  /// Each factor and each logarithm errs by 2⁻⁵³ at most, and so does each of the few sums, in relation to what is
  /// summed.
  @Test func equalsTheSumOfLogarithms() {
    var random = SplitMix64(seed: 61)
    for count in [0, 1, 7, 8, 9, 100, 8_000, 9_001] {
      let x = (0..<count).map { _ in random.gaussian() * pow(2, 40 * random.gaussian()) }
      var sum = LogarithmSum()
      x.withUnsafeBufferPointer { sum.add(magnitudesOf: $0) }
      let terms = x.map { log(abs($0) + .ulpOfOne) }
      let scale = terms.reduce(0) { $0 + abs($1) } + Double(count)
      #expect(abs(sum.total - terms.reduce(0, +)) <= Double(count) * 0x1p-52 * scale, "\(count)")
    }
  }

  /// Significands near 2 do not overflow their product.
  @Test func largestSignificands() {
    var sum = LogarithmSum()
    let x = [Double](repeating: 2.0.nextDown, count: 20_000)
    x.withUnsafeBufferPointer { sum.add(magnitudesOf: $0) }
    #expect(abs(sum.total - 20_000 * log(2)) < 1e-8)
  }
}
