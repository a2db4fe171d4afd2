// SPDX-License-Identifier: Apache-2.0

import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

@Suite struct TernarizeTests {
  private let groups: [ScaleGroup] = [.tensor, .row, .inputs(5), .inputs(32)]
  private let rules: [TernaryRule] = [.optimal, .sparsity(Fraction(".9")!), .sparsity(.zero), .sparsity(.one)]

  /// The example of the documentation.
  @Test func fourWeights() throws {
    let w: [Float] = [4, -3, 1, 0]
    let found = try ternarized(w)
    #expect(found.matrix.scales == [3.5] && found.nonzeroCount == 2)
    #expect((0..<4).map { found.matrix.trit(0, $0) } == [1, -1, 0, 0])
    let back = restored(found.matrix).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    #expect(back == [3.5, -3.5, 0, 0])
    #expect(zip(w, back).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } == 1.5)
  }

  @Test func orientationAndThreadsDoNotMatter() throws {
    var random = SplitMix64(seed: 1)
    // Two blocks and more: 2^18 weights a block.
    let (rows, columns) = (37, 1001 * 8)
    for distribution in [Distribution.gaussian, .ties] {
      let w = random.floats(distribution, rows * columns)
      let t = (0..<columns).flatMap { c in (0..<rows).map { w[$0 * columns + c] } }
      for group in [ScaleGroup.tensor, .row, .inputs(1001)] {
        for rule in [TernaryRule.optimal, .sparsity(Fraction(".9")!)] {
          let one = try ternarized(w, rows: rows, columns: columns, group: group, rule: rule)
          let two = try ternarized(w, rows: rows, columns: columns, group: group, rule: rule, threads: 2)
          let transposed = try ternarized(
            t, rows: columns, columns: rows, transposed: true, group: group, rule: rule, threads: 2)
          for other in [two, transposed] {
            #expect(other.matrix == one.matrix && other.nonzeroCount == one.nonzeroCount)
          }
        }
      }
    }
  }

  @Test(arguments: [ElementType.float16, .bfloat16, .float32, .float64])
  func countsTheRestoredValues(_ type: ElementType) throws {
    var random = SplitMix64(seed: 2)
    for (rows, columns) in [(1, 1), (1, 37), (37, 1), (5, 67), (64, 16), (0, 3), (3, 0), (0, 0)] {
      for group in groups {
        for rule in rules {
          for transposed in [false, true] {
            let values = (0..<rows * columns).map { _ in type.nearest(abs(random.gaussian())) * random.sign() }
            let bytes = values.flatMap { value -> [UInt8] in
              let bits = type.bits(value.magnitude) | (value < 0 ? 1 << UInt64(8 * type.byteCount - 1) : 0)
              return (0..<type.byteCount).map { UInt8(truncatingIfNeeded: bits >> UInt64(8 * $0)) }
            }
            let found = try ternarized(
              bytes, type: type, rows: rows, columns: columns, transposed: transposed, group: group, rule: rule)
            let back = restored(found.matrix, type: type, transposed: transposed)
            var (nonzero, negativeZeros) = (0, 0)
            for i in 0..<values.count {
              let v = value(back, i, type)
              if v != 0 { nonzero += 1 } else if v.sign == .minus { negativeZeros += 1 }
            }
            #expect(found.nonzeroCount == nonzero && negativeZeros == 0)
          }
        }
      }
    }
  }

  private func value(_ bytes: [UInt8], _ i: Int, _ type: ElementType) -> Double {
    let size = type.byteCount
    let bits = (0..<size).reduce(UInt64(0)) { $0 | UInt64(bytes[i * size + $1]) << UInt64(8 * $1) }
    return switch type {
    case .float16: Double(Float16(bitPattern: UInt16(bits)))
    case .bfloat16: Double(Float(bitPattern: UInt32(bits) << 16))
    case .float32: Double(Float(bitPattern: UInt32(bits)))
    default: Double(bitPattern: bits)
    }
  }

  /// Shapes beyond what is rearranged at once, and no multiples of it; slabs that begin inside a word of codes; scales
  /// that are zero.
  @Test func restoredValuesDoNotDependOnTheOrientation() throws {
    var random = SplitMix64(seed: 5)
    for (rows, columns) in [(1, 1), (3, 17), (70, 63), (1030, 70), (66_000, 17)] {
      for group in rows > 10_000 ? [.inputs(5)] : groups + [.inputs(48)] {
        let codes = (0..<rows).flatMap { _ in
          var row = [UInt8](repeating: 0, count: TernaryMatrix.rowBytes(columns: columns))
          for i in 0..<columns { row[i / 4] |= [0, 1, 3][Int(random.next() % 3)] << UInt8(i % 4 * 2) }
          return row
        }
        let scales = (0..<group.count(rows: rows, columns: columns)).map { _ in
          random.next() % 4 == 0 ? 0 : Double(Float(random.uniform()))
        }
        let matrix = try #require(
          TernaryMatrix(rows: rows, columns: columns, group: group, codes: codes, scales: scales))
        let plain = restored(matrix)
        let transposed = restored(matrix, transposed: true, threads: 2)
        let same = plain.withUnsafeBytes { plain in
          transposed.withUnsafeBytes { transposed in
            (0..<rows).allSatisfy { r in
              (0..<columns).allSatisfy { c in
                plain.load(fromByteOffset: (r * columns + c) * 4, as: UInt32.self)
                  == transposed.load(fromByteOffset: (c * rows + r) * 4, as: UInt32.self)
              }
            }
          }
        }
        #expect(same, "\(rows) × \(columns), \(group)")
      }
    }
  }

  @Test func powersOfTwoScaleAndSignsCarryOver() throws {
    var random = SplitMix64(seed: 3)
    for distribution in Distribution.all {
      let w = random.floats(distribution, 600)
      let one = try ternarized(w, rows: 2)
      for power: Float in [0x1p-20, 0x1p30, 0x1p98] {
        let other = try ternarized(w.map { $0 * power }, rows: 2)
        #expect(other.matrix.codes == one.matrix.codes)
        #expect(other.matrix.scales == one.matrix.scales.map { $0 * Double(power) })
      }
      let minus = try ternarized(w.map { -$0 }, rows: 2)
      #expect(minus.matrix.scales == one.matrix.scales)
      #expect(minus.matrix.trits(row: 1) == one.matrix.trits(row: 1).map { -$0 })
      let order = Array(0..<600).shuffled(using: &random)
      let permuted = try ternarized(order.map { w[$0] })
      let whole = try ternarized(w)
      #expect(permuted.matrix.trits(row: 0) == order.map { whole.matrix.trit(0, $0) })
      #expect(permuted.matrix.scales == whole.matrix.scales)
    }
  }

  @Test func extremeMagnitudes() throws {
    let denormal = Float.leastNonzeroMagnitude
    let tiny = try ternarized([denormal, -denormal, 0, denormal])
    #expect(tiny.matrix.trits(row: 0) == [1, -1, 0, 1] && tiny.matrix.scales == [Double(denormal)])
    let huge = Float.greatestFiniteMagnitude
    for n in [4, 100, 5000] {
      let w = (0..<n).map { $0 % 2 == 0 ? huge : -huge }
      for group in [ScaleGroup.tensor, .row] {
        let found = try ternarized(w, group: group)
        #expect(found.matrix.scales == [Double(huge)] && found.nonzeroCount == n)
      }
    }
    let wide = try ternarized([1e308, -1.7e308, 1e-308, 1.7e308], type: .float64)
    #expect(wide.matrix.trits(row: 0) == [1, -1, 0, 1])
    let zeros = try ternarized([Float](repeating: -0.0, count: 50), rows: 5)
    #expect(zeros.nonzeroCount == 0 && zeros.matrix.scales == [0, 0, 0, 0, 0])
    let equal = try ternarized([Float](repeating: -0.3, count: 3000), group: .inputs(128))
    #expect(equal.nonzeroCount == 3000 && equal.matrix.scales.allSatisfy { $0 == Double(Float(0.3)) })
  }

  @Test(arguments: [Float.nan, -.infinity, .infinity]) func firstNonFiniteWeightIsNamed(_ bad: Float) {
    var w = [Float](repeating: 1, count: 70 * 4000)
    w[150_001] = bad
    w[270_000] = bad
    for group in groups {
      for transposed in [false, true] {
        #expect(throws: NonFiniteWeight(index: 150_001)) {
          try ternarized(w, rows: 70, transposed: transposed, group: group, threads: 2)
        }
        #expect(throws: NonFiniteWeight(index: 150_001)) {
          try ternarized(w.map(Double.init), type: .float64, rows: 70, transposed: transposed, group: .row)
        }
      }
    }
  }

  @Test func sparsityKeepsTheLargest() throws {
    var random = SplitMix64(seed: 4)
    for distribution in Distribution.all {
      for (text, dropped) in [("0", 0), (".07", 7), ("0.5", 50), ("0.999", 99), ("1", 100)] {
        let w = random.floats(distribution, 100)
        let found = try ternarized(w, rule: .sparsity(Fraction(text)!))
        let ranked = w.indices.sorted { (w[$1].magnitude, $0) < (w[$0].magnitude, $1) }
        let kept = Set(ranked.prefix(100 - dropped).filter { w[$0] != 0 })
        #expect(Set((0..<100).filter { found.matrix.trit(0, $0) != 0 }) == kept, "\(distribution) \(text)")
        let mean = kept.reduce(0.0) { $0 + Double(w[$1].magnitude) } / Double(max(1, kept.count))
        #expect(abs(found.matrix.scales[0] - mean) <= 0x1p-23 * mean)
      }
    }
  }
}

@Suite struct FractionTests {
  @Test func readsDecimalsExactly() {
    for (text, n, floor) in [
      ("0.07", 100, 7), (".07", 100, 7), ("7e-2", 100, 7), ("0.29", 100, 29), ("1", 5, 5), ("1.000", 5, 5), ("0", 5, 0),
      ("0.9", 4096, 3686), ("1e-400", 5, 0), ("0.999999999999999999", Int.max, 9_223_372_036_854_775_797),
      ("10e-1", 3, 3), ("000.50", 3, 1), ("0.1e1", 3, 3),
    ] {
      #expect(Fraction(text)?.floor(of: n) == floor, "\(text)")
    }
    for (text, n, ceiling) in [
      (".07", 100, 7), ("0.1", 4096, 410), ("0", 5, 0), ("1", 5, 5), ("1e-400", 5, 1), ("0.5", 0, 0), ("0.3", 10, 3),
      ("0.999999999999999999", Int.max, 9_223_372_036_854_775_798),
    ] {
      #expect(Fraction(text)?.ceiling(of: n) == ceiling, "\(text)")
    }
    for text in [
      "", ".", "-0.1", "1.1", "2", "0.5x", "1e", "e5", "nan", "0x1", "1e99999999999", "0.1234567890123456789",
    ] {
      #expect(Fraction(text) == nil, "\(text)")
    }
    for text in ["0.07", "1", "0", "0.9", "1e-30"] { #expect(Fraction(text)?.description == text) }
    #expect(Fraction("0.50") == Fraction("5e-1"))
  }
}
