// SPDX-License-Identifier: Apache-2.0

import CLoops
import Parallel
import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

extension LowRankMatrix {
  /// Factors of `distribution`; singular values that nobody looks at.
  init(rows: Int, columns: Int, rank: Int, using random: inout SplitMix64, entry: (inout SplitMix64) -> Float) {
    let left = (0..<rows * rank).map { _ in entry(&random) }
    let right = (0..<rank * columns).map { _ in entry(&random) }
    self.init(
      rows: rows, columns: columns, left: left, right: right, singularValues: [Double](repeating: 1, count: rank))!
  }

  /// The value of a weight as the specification has it.
  func value(_ row: Int, _ column: Int) -> Float {
    var sum = 0.0
    for k in 0..<rank { sum += Double(left[row * rank + k]) * Double(right[k * columns + column]) }
    return Float(sum)
  }

  /// All values, one by one, as little-endian elements.
  func values(type: ElementType, transposed: Bool) -> [UInt8] {
    var bytes: [UInt8] = []
    let (outer, inner) = transposed ? (columns, rows) : (rows, columns)
    for i in 0..<outer {
      for j in 0..<inner {
        let value = transposed ? value(j, i) : value(i, j)
        let bits: UInt64 =
          switch type {
          case .float16: UInt64(Float16(value).bitPattern)
          case .bfloat16: UInt64(type.bits(Double(value.magnitude))) | UInt64(value.sign == .minus ? 0x8000 : 0)
          case .float32: UInt64(value.bitPattern)
          default: Double(value).bitPattern
          }
        for b in 0..<type.byteCount { bytes.append(UInt8(truncatingIfNeeded: bits >> UInt64(8 * b))) }
      }
    }
    return bytes
  }

  func decoded(type: ElementType, transposed: Bool, threads: Int = 1) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xAA, count: rows * columns * type.byteCount)
    bytes.withUnsafeMutableBytes {
      decode(self, type: type, transposed: transposed, into: $0, threads: Threads(threads))
    }
    return bytes
  }
}

@Suite(.serialized) struct LowRankTests {
  static let floats: [ElementType] = [.float16, .bfloat16, .float32, .float64]

  /// Ordinary, zero of both signs, subnormal, and so large that the others are lost beside them, unless two cancel
  /// first: the order of the sum shows.
  private static func entry(_ random: inout SplitMix64) -> Float {
    let plain = Float(random.gaussian())
    return switch random.next() % 12 {
    case 0: 0
    case 1: -0.0
    case 2: plain * 0x1p-140
    case 3, 5: plain.sign == .minus ? -0x1p50 : 0x1p50
    case 4: plain * 0x1p-50
    default: plain
    }
  }

  private func onEveryLevel(_ body: () throws -> Void) rethrows {
    let most = nc_limit_level(.max)
    for level in 0...most {
      nc_limit_level(level)
      try body()
    }
    nc_limit_level(.max)
  }

  @Test(arguments: floats) func valuesAreThoseOfTheSpecification(_ type: ElementType) {
    onEveryLevel {
      var random = SplitMix64(seed: 1)
      for (rows, columns, rank) in [
        (1, 1, 1), (1, 9, 1), (5, 8, 3), (6, 8, 6), (7, 9, 7), (13, 70, 12), (70, 13, 5), (4, 65, 4), (3, 3, 0),
        (64, 130, 31),
      ] {
        let matrix = LowRankMatrix(rows: rows, columns: columns, rank: rank, using: &random, entry: Self.entry)
        for transposed in [false, true] {
          #expect(
            matrix.decoded(type: type, transposed: transposed) == matrix.values(type: type, transposed: transposed),
            "\(rows)×\(columns) rank \(rank) transposed \(transposed) level \(nc_level())")
        }
      }
    }
  }

  /// 2¹⁰⁰ + 1 − 2¹⁰⁰ is 0 from the left, and 1 in any other order.
  @Test func sumsAreTakenInAscendingOrder() {
    let matrix = LowRankMatrix(
      rows: 3, columns: 3, left: [0x1p100, 1, -0x1p100, 0x1p100, -0x1p100, 1, 0, 0, -0.0],
      right: [Float](repeating: 1, count: 9), singularValues: [1, 1, 1])!
    let expected: [Float] = [0, 0, 0, 1, 1, 1, 0, 0, 0]
    onEveryLevel {
      #expect(matrix.decoded(type: .float32, transposed: false) == expected.withUnsafeBytes { Array($0) })
    }
  }

  /// Rounding to float32 first: 2049 + 2⁻²⁰ would be 2050 as float16, but it is 2049 as float32, and then 2048.
  @Test func valuesAreRoundedTwice() {
    let matrix = LowRankMatrix(
      rows: 2, columns: 2, left: [2049, 0x1p-20, 1, 0], right: [1, 0, 1, 0], singularValues: [1, 1])!
    #expect(matrix.value(0, 0) == 2049)
    let expected: [Float16] = [2048, 0, 1, 0]
    #expect(matrix.decoded(type: .float16, transposed: false) == expected.withUnsafeBytes { Array($0) })
  }

  @Test func noValues() {
    for (rows, columns) in [(0, 0), (0, 4), (4, 0)] {
      let matrix = LowRankMatrix(rows: rows, columns: columns, left: [], right: [], singularValues: [])!
      for transposed in [false, true] {
        #expect(matrix.decoded(type: .float32, transposed: transposed) == [])
      }
      #expect(matrix.isFinite(in: .float32, threads: Threads(1)))
    }
  }

  /// Several slabs, of many rows and of rows that are long; on any number of threads.
  @Test(arguments: [(1100, 1003, 2), (5, 300_007, 3), (300_007, 5, 3)])
  func slabs(_ rows: Int, _ columns: Int, _ rank: Int) {
    var random = SplitMix64(seed: 3)
    let matrix = LowRankMatrix(rows: rows, columns: columns, rank: rank, using: &random, entry: Self.entry)
    for transposed in [false, true] {
      let slabs = LowRankSlabs(matrix, type: .float32, transposed: transposed)
      var end = 0
      for slab in 0..<slabs.count {
        #expect(slabs.bytes(of: slab).lowerBound == end)
        #expect(slabs.bytes(of: slab).count <= slabs.bytes(of: 0).count)
        end = slabs.bytes(of: slab).upperBound
      }
      #expect(end == rows * columns * 4)
      let whole = matrix.decoded(type: .float32, transposed: transposed)
      #expect(matrix.decoded(type: .float32, transposed: transposed, threads: 3) == whole)
      whole.withUnsafeBytes { bytes in
        for _ in 0..<5000 {
          let (r, c) = (Int(random.next() % UInt64(rows)), Int(random.next() % UInt64(columns)))
          let value = bytes.load(fromByteOffset: 4 * (transposed ? c * rows + r : r * columns + c), as: Float.self)
          #expect(value.bitPattern == matrix.value(r, c).bitPattern)
        }
      }
    }
  }

  @Test func finiteOrNot() throws {
    func isFinite(_ left: [Float], _ right: [Float], in type: ElementType) throws -> Bool {
      try #require(LowRankMatrix(rows: 2, columns: 2, left: left, right: right, singularValues: [1, 1]))
        .isFinite(in: type, threads: Threads(2))
    }
    let one: [Float] = [1, 0, 0, 1]
    let great = Float.greatestFiniteMagnitude
    for type in Self.floats {
      #expect(try isFinite(one, one, in: type))
      #expect(try !isFinite([.infinity, 0, 0, 1], one, in: type))
      #expect(try !isFinite(one, [1, 0, .nan, 1], in: type))
      #expect(try !isFinite([great, 0, 0, 1], [2, 0, 0, 1], in: type))
      // The bound is far above what the values are: they cancel.
      #expect(try isFinite([great, great, 1, 1], [great, great, -great, -great], in: type))
    }
    // The largest finite value of each type, and half a unit more.
    for type in [ElementType.float32, .float64] { #expect(try isFinite([great, 0, 0, 1], one, in: type)) }
    #expect(try isFinite([65519, 0, 0, 1], one, in: .float16))
    #expect(try !isFinite([65520, 0, 0, 1], one, in: .float16))
    #expect(try isFinite([Float(bitPattern: 0x7F7F_7FFF), 0, 0, 1], one, in: .bfloat16))
    #expect(try !isFinite([Float(bitPattern: 0x7F7F_8000), 0, 0, 1], one, in: .bfloat16))
  }

  /// The bfloat16 nearest to x, of two with the same distance the even one: chosen from both neighbours.
  private func brain(_ x: Float) -> UInt32 {
    let lower = x.bitPattern >> 16
    let value = { (half: UInt32) in
      // What would be infinite counts as 2¹²⁸.
      let bits = half & 0x7FFF
      return bits == 0x7F80 ? 0x1p128 : Double(Float(bitPattern: bits << 16))
    }
    if !x.isFinite { return lower }
    let (below, above) = (Double(x.magnitude) - value(lower), value(lower + 1) - Double(x.magnitude))
    return below < above || (below == above && lower % 2 == 0) ? lower : lower + 1
  }

  /// Every float16, the floats halfway to the next, and those beside them; both signs.
  @Test func rounding() {
    var floats: [Float] = [
      .infinity, 65519.996, 65520, 1e30, .leastNonzeroMagnitude, 0x1p-25, (0x1p-25 as Float).nextUp,
    ]
    for bits in UInt16(0)..<0x7C00 {
      let x = Float(Float16(bitPattern: bits))
      let next = Float(Float16(bitPattern: bits + 1))
      let middle = next.isFinite ? (x + next) / 2 : 65520
      floats += [x, middle, middle.nextUp, middle.nextDown]
    }
    floats += floats.map { -$0 }
    var random = SplitMix64(seed: 5)
    let others = (0..<50_000).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: random.next())) }
      .filter { !$0.isNaN }
    onEveryLevel {
      for x in [floats, others] {
        var halves = [UInt16](repeating: 0, count: x.count)
        nc_narrow(x, x.count, false, &halves)
        #expect(zip(x, halves).allSatisfy { Float16($0).bitPattern == $1 })
        nc_narrow(x, x.count, true, &halves)
        #expect(zip(x, halves).allSatisfy { UInt16(truncatingIfNeeded: brain($0)) == $1 })
      }
      var nans = [UInt16](repeating: 0, count: 9)
      var brains = nans
      nc_narrow([Float](repeating: .nan, count: 9), 9, false, &nans)
      nc_narrow([Float](repeating: .nan, count: 9), 9, true, &brains)
      #expect(nans.allSatisfy { Float16(bitPattern: $0).isNaN })
      #expect(brains.allSatisfy { Float(bitPattern: UInt32($0) << 16).isNaN })
    }
  }
}
