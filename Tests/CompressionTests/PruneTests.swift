// SPDX-License-Identifier: Apache-2.0

import Parallel
import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

private let types: [ElementType] = [.float16, .bfloat16, .float32, .float64]

/// Sums of n squares in double, in any two orders, differ by less than n · 2⁻⁵² of their value; matrices here have
/// fewer than 2¹² weights.
private let sumTolerance = 0x1p-40

@Suite struct PruneTests {
  private let shapes = [(1, 1), (1, 37), (37, 1), (5, 67), (24, 16), (13, 8), (3, 0), (0, 3), (0, 0), (2, 9)]

  /// 2,400 random cases.
  @Test(arguments: types) func keepsWhatASortKeeps(_ type: ElementType) throws {
    var random = SplitMix64(seed: 1)
    for kind in Kind.allCases {
      for trial in 0..<100 {
        let (rows, columns) = trial < shapes.count ? shapes[trial] : (1 + random.below(12), 1 + random.below(30))
        let matrix = random.matrix(kind, type, rows, columns, transposed: trial % 2 == 1)
        let keep = random.fraction()
        let found = try matrix.pruned(.keep(keep), threads: 1 + trial % 2)
        let kept = Set(matrix.sorted().prefix(keep.ceiling(of: matrix.count)))
        try #require(found.matrix == matrix.sparse(keeping: kept), "\(kind) \(rows)×\(columns) \(keep)")
        #expect(found.nonzeroCount == kept.count { matrix.magnitude($0) > 0 })
        expectErrors(found, of: matrix)
      }
    }
  }

  /// Compares the errors with those of the restored values; with weights near the largest number, their ratio.
  private func expectErrors(_ found: Pruned, of matrix: SampleMatrix) {
    let back = matrix.restored(found.matrix)
    let unit = matrix.bits.indices.map(matrix.magnitude).max().flatMap { $0 > 0 ? $0.binade : nil } ?? 1
    var (norm, error) = (0.0, 0.0)
    for i in matrix.bits.indices {
      let v = value(matrix.bits[i], matrix.type) / unit
      let d = v - value(back.bits[i], matrix.type) / unit
      norm += v * v
      error += d * d
    }
    #expect(abs(found.relativeL2 * found.relativeL2 * norm - error) <= 2 * sumTolerance * norm)
    if unit.exponent < 400, unit.exponent > -400 {
      #expect(abs(found.squaredNorm - norm * unit * unit) <= sumTolerance * found.squaredNorm)
      #expect(abs(found.squaredError - error * unit * unit) <= sumTolerance * found.squaredNorm)
    }
  }

  @Test func theThresholdIsTheKthLargest() throws {
    var random = SplitMix64(seed: 2)
    for type in types {
      for kind in Kind.allCases {
        let matrix = random.matrix(kind, type, 6, 11, transposed: false)
        let sorted = matrix.sorted().map(matrix.magnitude)
        for k in 1..<sorted.count {
          let threshold = try matrix.threshold(.keep(Fraction("\(k)e-2")!))
          let kept = Fraction("\(k)e-2")!.ceiling(of: sorted.count)
          #expect(threshold.magnitude == sorted[kept - 1])
          let ties = sorted[..<kept].count { $0 == threshold.magnitude }
          #expect(threshold.ties == (kept < sorted.count && sorted[kept] == threshold.magnitude ? ties : nil))
        }
      }
    }
  }

  @Test func tiesOfATransposedMatrixAreThoseOfTheSource() throws {
    // Source: inputs × outputs, 2 × 3. The first three of the four ones in its order.
    let source: [Float] = [1, 0, -1, 1, 2, 1]
    let found = try source.withUnsafeBytes {
      Pruned(
        try pruneMagnitude(
          StoredMatrix($0, type: .float32, rows: 2, columns: 3, transposed: true), rule: .keep(Fraction("0.6")!),
          threads: Threads(1)),
        1)
    }
    // 2 and three ones: outputs (1, 1), (0, 2), (−1, —).
    #expect(found.matrix.mask == [0b11, 0b10, 0b01])
    #expect(found.matrix.values == [Float(1), 1, 2, -1].flatMap { littleEndian([UInt64($0.bitPattern)], size: 4) })
    #expect(found.squaredError == 1 && found.squaredNorm == 8 && found.nonzeroCount == 4)
  }

  @Test func zerosAreStoredOnlyWhenNegative() throws {
    let source: [Float] = [0, -0.0, 3, 0, -0.0]
    func kept(_ keep: String) throws -> Pruned {
      try source.withUnsafeBytes {
        Pruned(
          try pruneMagnitude(
            StoredMatrix($0, type: .float32, rows: 1, columns: 5, transposed: false), rule: .keep(Fraction(keep)!),
            threads: Threads(1)),
          1)
      }
    }
    #expect(try kept("1").matrix.mask == [0b10110])
    #expect(try kept(".6").matrix.mask == [0b00110])
    #expect(try kept(".4").matrix.mask == [0b00100])
    #expect(try kept("1").nonzeroCount == 1)
  }

  @Test(arguments: types) func nonFiniteWeightsAreNamedInSourceOrder(_ type: ElementType) throws {
    var random = SplitMix64(seed: 3)
    for transposed in [false, true] {
      for bad in [type.infinityKey, type.infinityKey | 1, type.infinityKey | 1 << UInt64(8 * type.byteCount - 1)] {
        for (rows, columns) in [(1, 1), (7, 40), (130, 1100)] {
          // The last one is large enough for a sample.
          if rows == 130, type != .float32 { continue }
          var matrix = random.matrix(.gaussian, type, rows, columns, transposed: transposed)
          let first = random.below(matrix.count)
          matrix.bits[first] = bad
          matrix.bits[first + random.below(matrix.count - first)] = bad
          for keep in [Fraction.zero, .one, Fraction("0.3")!] {
            #expect(throws: NonFiniteWeight(index: first)) { try matrix.threshold(.keep(keep)) }
          }
          #expect(throws: NonFiniteWeight(index: first)) { try matrix.threshold(.error(0.5)) }
          #expect(throws: NonFiniteWeight(index: first)) {
            try matrix.pruned(MagnitudeThreshold(magnitude: 0.5, ties: nil), threads: 2)
          }
          #expect(throws: NonFiniteWeight(index: first)) { try matrix.ternarized(.nothing) }
        }
      }
    }
  }

  @Test func laws() throws {
    var random = SplitMix64(seed: 4)
    for trial in 0..<120 {
      let type = types[trial % 4]
      let kind = [Kind.gaussian, .ties, .zeros][trial % 3]
      let matrix = random.matrix(kind, type, 1 + random.below(20), 1 + random.below(40), transposed: trial % 2 == 0)
      let (a, b) = (random.fraction(), random.fraction())
      let (more, fewer) = a.ceiling(of: matrix.count) >= b.ceiling(of: matrix.count) ? (a, b) : (b, a)
      let found = try matrix.pruned(.keep(more))
      // Twice is once.
      let again = matrix.restored(found.matrix)
      #expect(try again.pruned(.keep(more)).matrix == found.matrix)
      // Less of some is less of all.
      #expect(try again.pruned(.keep(fewer)).matrix == matrix.pruned(.keep(fewer)).matrix)
      // A power of two changes no bit of the mask.
      var scaled = matrix
      scaled.bits = matrix.bits.map { roundedBits(value($0, type) * 4, type) }
      let larger = try scaled.pruned(.keep(more))
      #expect(larger.matrix.mask == found.matrix.mask && larger.relativeL2 == found.relativeL2)
      #expect(try matrix.pruned(.keep(more), threads: 2).squaredError == found.squaredError)
    }
  }

  @Test func orientationAndThreadsDoNotMatter() throws {
    var random = SplitMix64(seed: 5)
    // Two blocks: 2^18 weights a block.
    let (rows, columns) = (300, 1001)
    let matrix = random.matrix(.gaussian, .float32, rows, columns, transposed: false)
    var other = SampleMatrix(type: .float32, rows: rows, columns: columns, transposed: true, bits: matrix.bits)
    for r in 0..<rows { for c in 0..<columns { other.bits[c * rows + r] = matrix.bits[r * columns + c] } }
    for values in [KeptValues.exact, .bfloat16] {
      let one = try matrix.pruned(.keep(Fraction("0.1")!), values: values)
      let two = try matrix.pruned(.keep(Fraction("0.1")!), values: values, threads: 2)
      #expect(one.matrix == two.matrix && one.squaredError == two.squaredError)
      let transposed = try other.pruned(.keep(Fraction("0.1")!), values: values, threads: 2)
      #expect(one.matrix == transposed.matrix && one.squaredError == transposed.squaredError)
    }
  }

  @Test func valuesAreRoundedToNearest() throws {
    var random = SplitMix64(seed: 6)
    for trial in 0..<160 {
      let type = types[trial % 4]
      let kind = [Kind.gaussian, .ties, .zeros, .subnormal][trial / 4 % 4]
      let values = trial % 3 == 0 ? KeptValues.float16 : .bfloat16
      var matrix = random.matrix(kind, type, 1 + random.below(9), 1 + random.below(40), transposed: trial % 2 == 0)
      if trial % 5 == 0, type.byteCount > 2 {
        // Around the smallest values and half of them, and halfway between values.
        let scale = values == .float16 ? 0x1p-25 : 0x1p-134
        for i in matrix.bits.indices {
          matrix.bits[i] = roundedBits(scale * Double(random.below(6)) * (1 + 0x1p-20 * Double(random.below(2))), type)
        }
      }
      let keep = random.fraction()
      let kept = Set(matrix.sorted().prefix(keep.ceiling(of: matrix.count)))
      let found = try matrix.pruned(.keep(keep), values: values)
      #expect(found.matrix == matrix.sparse(keeping: kept, values: values), "\(type) \(kind) \(values)")
      if type.byteCount > 2 { #expect(found.nonzeroCount == found.matrix.storedCount) }
      expectErrors(found, of: matrix)
    }
  }

  @Test func weightsTooLargeToRoundAreNamed() throws {
    for type in [ElementType.float32, .float64] {
      for (values, largest) in [(KeptValues.float16, 65519.996), (.bfloat16, 0x1.fefffp127)] {
        for transposed in [false, true] {
          // 2 × 3 in source order; 65520 and 2^128 − 2^119 round to infinity.
          let tooLarge = values == .float16 ? 65520 : 0x1.ffp127
          let elements = [1, largest, 0.5, -tooLarge, 2, tooLarge]
          let matrix = SampleMatrix(
            type: type, rows: 2, columns: 3, transposed: transposed, bits: elements.map { roundedBits($0, type) })
          let expected = NonFiniteWeight(index: 3, rounded: values.stored(type))
          #expect(throws: expected) { try matrix.pruned(.keep(Fraction("0.4")!), values: values) }
          #expect(throws: expected) { try matrix.pruned(.error(0.1), values: values) }
          #expect(try matrix.pruned(.keep(.zero), values: values).nonzeroCount == 0)
          var small = matrix
          small.bits = elements.map { roundedBits(abs($0) == tooLarge ? 1 : $0, type) }
          #expect(try small.pruned(.keep(.one), values: values).nonzeroCount == 6)
        }
      }
    }
  }

  @Test func nonzerosAreAllThatHaveBits() throws {
    var random = SplitMix64(seed: 7)
    for trial in 0..<80 {
      let type = types[trial % 4]
      let (rows, columns) = trial < shapes.count ? shapes[trial] : (1 + random.below(12), 1 + random.below(60))
      var matrix = random.matrix(
        trial % 3 == 0 ? .zeros : .gaussian, type, rows, columns, transposed: trial % 2 == 1)
      for i in matrix.bits.indices where random.below(3) == 0 {
        matrix.bits[i] = random.below(5) == 0 ? type.infinityKey | 1 : 0
      }
      let found = matrix.nonzeros(threads: 1 + trial % 2)
      #expect(found == matrix.sparse(keeping: Set(matrix.bits.indices)))
      #expect(matrix.restored(found).bits == matrix.bits)
    }
  }

  @Test(arguments: types) func ternaryKeepsTheSameWeights(_ type: ElementType) throws {
    var random = SplitMix64(seed: 8)
    for kind in [Kind.gaussian, .ties, .zeros, .equal] {
      for trial in 0..<20 {
        let matrix = random.matrix(
          kind, type, 1 + random.below(6), 1 + random.below(50), transposed: trial % 2 == 1)
        let threshold = try matrix.threshold(.keep(random.fraction()))
        let found = try matrix.ternarized(threshold, threads: 1 + trial % 2)
        let sparse = try matrix.pruned(threshold).matrix
        var nonzero = 0
        for r in 0..<matrix.rows {
          let row = (0..<matrix.columns).map { value(matrix.bits[matrix.index(r, $0)], type) }
          let kept = row.indices.filter { sparse.isStored(r, $0) && row[$0] != 0 }
          for c in row.indices {
            #expect(found.matrix.trit(r, c) == (kept.contains(c) ? (row[c] < 0 ? -1 : 1) : 0))
          }
          let mean = kept.isEmpty ? 0 : kept.reduce(0) { $0 + row[$1].magnitude } / Double(kept.count)
          // The mean in double, in another order, before it is rounded: at most to the next value.
          let scale = found.matrix.scales[r]
          #expect(type.contains(scale))
          let least = type.nearest(mean * (1 - sumTolerance))
          let most = type.nearest(mean * (1 + sumTolerance))
          #expect(least <= scale && scale <= most)
          nonzero += kept.count
        }
        #expect(found.nonzeroCount == nonzero && found.matrix.group == .row)
      }
    }
  }
}
