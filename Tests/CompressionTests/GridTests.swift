// SPDX-License-Identifier: Apache-2.0

import Glibc
import Parallel
import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

/// Calls `body` with elements as a stored matrix.
func withMatrix<T: BitwiseCopyable, R>(
  _ elements: [T], type: ElementType = .float32, rows: Int = 1, transposed: Bool = false,
  _ body: (StoredMatrix) throws -> R
) rethrows -> R {
  try elements.withUnsafeBytes {
    try body(
      StoredMatrix($0, type: type, rows: rows, columns: elements.count / max(1, rows), transposed: transposed))
  }
}

extension LevelsMatrix {
  var scales: [Double] { if case .grid(let scales, _, _) = levels { scales } else { [] } }
  var exceptions: [Int32] { if case .grid(_, _, let exceptions) = levels { exceptions } else { [] } }
  private var group: ScaleGroup { if case .grid(_, let group, _) = levels { group } else { .tensor } }

  /// The integers.
  var integers: [Int] {
    var next = exceptions.makeIterator()
    return codes.map { $0 == Self.exceptionCode ? Int(next.next()!) : Int(Int8(bitPattern: $0)) }
  }

  /// The restored values.
  func values(_ type: ElementType) -> [Double] {
    let perRow = group.perRow(columns: columns)
    return integers.enumerated().map { i, k in
      let scale: Double
      switch group {
      case .tensor: scale = scales[0]
      case .row: scale = scales[i / columns]
      case .inputs(let g): scale = scales[i / columns * perRow + i % columns / g]
      }
      return k == 0 ? 0 : type.nearest(scale * Double(k))
    }
  }
}

func relativeError(_ before: [Double], _ after: [Double]) -> Double {
  // Of a size whose squares are finite.
  let unit = max(before.reduce(0) { max($0, $1.magnitude) }, .leastNormalMagnitude)
  func square(_ x: Double) -> Double { (x / unit) * (x / unit) }
  let norm = before.reduce(0) { $0 + square($1) }
  let difference = zip(before, after).reduce(0) { $0 + square($1.0 - $1.1) }
  return norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
}

@Suite("A uniform step") struct StepTests {
  /// The example of the documentation.
  @Test func fourWeights() throws {
    let found = try #require(
      try withMatrix([2.9, -1.2, 0.4, 0] as [Double], type: .float64) { try quantize($0, step: 1, threads: .one) })
    #expect(found.matrix.integers == [3, -1, 0, 0] && found.matrix.exceptions == [] && found.nonzeroCount == 2)
    #expect(abs(found.matrix.scales[0] - 0.99) <= 1e-15)
    #expect(zip(found.matrix.values(.float64), [2.97, -0.99, 0, 0]).allSatisfy { abs($0 - $1) <= 1e-15 * 4 })
  }

  @Test func halvesGoToEvenIntegers() throws {
    let w: [Float] = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 127.5, -127.5, 126.5]
    let found = try #require(try withMatrix(w) { try quantize($0, step: 1, threads: .one) })
    #expect(found.matrix.integers == [0, 2, 2, 0, -2, -2, 128, -128, 126])
    #expect(
      found.matrix.codes.map { $0 == LevelsMatrix.exceptionCode } == [
        false, false, false, false, false, false, true, true, false,
      ])
    #expect(found.matrix.exceptions == [128, -128])
  }

  /// k as the quotient says, the scale to 10⁻¹² of Σ w k / Σ k² (in fractions of integers of 128 bits), exceptions in the
  /// order of the rows, the error of what is restored: for any orientation and number of threads.
  @Test(arguments: [ElementType.float16, .bfloat16, .float32, .float64]) func everyType(_ type: ElementType) throws {
    var random = SplitMix64(seed: 1)
    // Several blocks are cut alike for all types.
    for (rows, columns) in [(1, 1), (3, 5), (7, 129)] + (type == .float32 ? [(33, 8500)] : []) {
      for step in rows < 33 ? [0.7, 0.01, 0x1p-5, 0.0003] : [0.01] {
        let numbers = (0..<rows * columns).map { _ in type.nearest(random.sample(.student(3))) }
        let turned = (0..<columns).flatMap { c in (0..<rows).map { numbers[$0 * columns + c] } }
        let found = try #require(
          try type.bytes(rounding: numbers).withUnsafeBytes {
            try quantize(
              StoredMatrix($0, type: type, rows: rows, columns: columns, transposed: false), step: step,
              threads: .one)
          })
        let k = found.matrix.integers
        let inverse = 1 / step
        #expect(k == numbers.map { Int(($0 * inverse).rounded(.toNearestOrEven)) })
        #expect(found.nonzeroCount == k.count { $0 != 0 })
        let scale = exactQuotient(numbers, k)
        #expect(abs(found.matrix.scales[0] - type.scaleType.nearest(scale)) <= 1e-12 * scale)
        try type.bytes(rounding: turned).withUnsafeBytes {
          let other = try quantize(
            StoredMatrix($0, type: type, rows: columns, columns: rows, transposed: true), step: step,
            threads: Threads(3))
          #expect(other?.matrix == found.matrix)
        }
      }
    }
  }

  /// Σ w k / Σ k² with numerators of integers in units of 2⁻⁷⁰.
  private func exactQuotient(_ w: [Double], _ k: [Int]) -> Double {
    var (sum, squares) = (Int128(0), Int128(0))
    for (w, k) in zip(w, k) where k != 0 {
      sum += Int128(w * 0x1p70) * Int128(k)
      squares += Int128(k * k)
    }
    return squares == 0 ? 0 : Double(sum) * 0x1p-70 / Double(squares)
  }

  @Test func zerosAndExtremes() throws {
    func quantized(_ w: [Double], _ type: ElementType, _ step: Double) throws -> GridQuantization? {
      try type.bytes(rounding: w).withUnsafeBytes {
        try quantize(
          StoredMatrix($0, type: type, rows: 1, columns: w.count, transposed: false), step: step, threads: .one)
      }
    }
    let zeros = try #require(try quantized([0, -0.0, 0], .float32, 1))
    #expect(zeros.matrix.codes == [0, 0, 0] && zeros.matrix.scales == [0])
    let none = try #require(try quantized([], .float32, 1))
    #expect(none.matrix.codes == [])
    // 2²⁴ steps and more.
    #expect(try quantized([0x1p24, 1], .float32, 1)?.matrix.exceptions == [1 << 24])
    #expect(try quantized([0x1p24 + 2, 1], .float32, 1) == nil)
    #expect(try quantized([1e30, 1], .float32, 1) == nil)
    #expect(try quantized([1e300, 1], .float64, 0x1p-1022) == nil)
    // A scale below the smallest number.
    let small = try #require(try quantized([0x1p-149, 0x1p-148], .float32, 0x1p-152))
    #expect(small.matrix.codes == [0, 0] && small.matrix.scales == [0])
    // The scale that suits the many takes the few beyond the type.
    let most = 65504.0
    let large = try #require(try quantized([most, -most] + [Double](repeating: 34000, count: 100), .float16, 24000))
    #expect(large.matrix.integers.prefix(3) == [2, -2, 1] && large.matrix.values(.float16).allSatisfy { $0.isFinite })
    let exceptions = try #require(
      try quantized([0x1p1023 * 1.9] + [Double](repeating: 0x1p1015 * 0.51, count: 99), .float64, 0x1p1015))
    #expect(exceptions.matrix.values(.float64).allSatisfy { $0.isFinite })
    for bad in [Double.infinity, -.infinity, .nan] {
      for type in [ElementType.float16, .bfloat16, .float32, .float64] {
        #expect(throws: NonFiniteWeight(index: 1)) { _ = try quantized([1, bad, 2], type, 1) }
      }
    }
  }
}

@Suite("One step for a network") struct StepSearchTests {
  /// Matrices in memory, with their types.
  private struct Matrices {
    var bytes: [[UInt8]] = []
    var types: [ElementType] = []
    var rows: [Int] = []

    mutating func add(_ numbers: [Double], _ type: ElementType, rows: Int = 1) {
      bytes.append(type.bytes(rounding: numbers))
      types.append(type)
      self.rows.append(rows)
    }

    var counts: [Int] { zip(bytes, types).map { $0.count / $1.byteCount } }

    func visit(_ i: Int, _ body: (StoredMatrix) -> Void) {
      bytes[i].withUnsafeBytes {
        body(
          StoredMatrix(
            $0, type: types[i], rows: rows[i], columns: counts[i] / max(1, rows[i]), transposed: i % 2 == 1))
      }
    }

    func step(_ bound: Double, threads: Int = 1) -> UniformStep {
      uniformStep(weights: counts, bound: bound, threads: Threads(threads)) { visit($0, $1) }
    }

    /// The error of all together.
    func error(_ step: Double) -> Double {
      var total = SquaredError()
      for i in bytes.indices { visit(i) { total.add($0.error(step: step, threads: .one)) } }
      return total.error
    }
  }

  private func matrices(_ type: ElementType, sizes: [(rows: Int, columns: Int)], seed: UInt64) -> Matrices {
    var random = SplitMix64(seed: seed)
    var result = Matrices()
    for (i, size) in sizes.enumerated() {
      let distribution = Distribution.all[i % 3]
      let scale = [1, 0.1, 0.01][i % 3]
      result.add(
        (0..<size.rows * size.columns).map { _ in random.sample(distribution) * scale }, type, rows: size.rows)
    }
    return result
  }

  /// Within the bound, and the next step is not.
  @Test(arguments: [ElementType.float16, .bfloat16, .float32, .float64]) func largestStepWithin(_ type: ElementType) {
    for (seed, sizes) in [
      [(30, 20), (20, 10), (1, 1)],
      type == .float32 ? [(300, 300), (5, 100), (200, 300), (0, 0), (100, 100)] : [(60, 70), (5, 100), (0, 0)],
    ].enumerated() {
      let matrices = matrices(type, sizes: sizes.map { (rows: $0.0, columns: $0.1) }, seed: UInt64(seed))
      for bound in [0.9, 0.2, 0.01, 1e-4] {
        let found = matrices.step(bound)
        #expect(found == matrices.step(bound, threads: 3))
        #expect(found.isWithin && found.passes <= 6, "\(found)")
        let error = matrices.error(found.step)
        #expect(error <= bound && abs(error - found.error) <= 0.02 * bound)
        #expect(matrices.error(found.step * 1.0218971486541166) > bound, "\(bound) \(found)")
        let j = log2(found.step) * 32
        #expect(abs(j - j.rounded()) < 1e-9)
      }
    }
  }

  @Test func boundsWithoutAStep() {
    let matrices = matrices(.float64, sizes: [(20, 30), (9, 50)], seed: 7)
    for bound in [0, 1e-12] {
      let found = matrices.step(bound)
      #expect(!found.isWithin && found.error > bound && found.error < 1e-6)
      #expect(abs(matrices.error(found.step) / found.error - 1) < 1e-6)
    }
    for bound in [1, 2, Double.infinity] {
      let found = matrices.step(bound)
      #expect(found.isWithin && found.error == 1 && matrices.error(found.step) == 1)
      #expect(matrices.error(found.step / 1.03) < 1)
    }
  }

  @Test func zerosAndNothing() {
    var zeros = Matrices()
    let nothing = UniformStep(step: 1, error: 0, isWithin: true, passes: 1, nonFinite: [:])
    #expect(zeros.step(0.2) == nothing)
    zeros.add([0, -0.0, 0], .float32)
    zeros.add([], .float16)
    #expect(zeros.step(0.2) == nothing && zeros.step(0) == nothing)
  }

  @Test func notFiniteIsLeftOut() {
    var some = matrices(.float32, sizes: [(20, 30), (9, 50)], seed: 8)
    let found = some.step(0.1)
    some.add([1, 2, .nan, .infinity], .float32)
    some.add([1, -.infinity], .float64)
    let other = some.step(0.1)
    #expect(other.nonFinite == [2: NonFiniteWeight(index: 2), 3: NonFiniteWeight(index: 1)])
    #expect(other.step == found.step && other.error == found.error)
  }

  /// Ternary and few-level networks lose nothing.
  @Test(arguments: [1, 3, 7]) func gridsWithoutLoss(most: Int) {
    var random = SplitMix64(seed: 9)
    var matrices = Matrices()
    matrices.add(
      (0..<5000).map { _ in Double(Float(0.1)) * Double(Int(random.next() % UInt64(2 * most + 1)) - most) }, .float32)
    let found = matrices.step(1e-6)
    #expect(found.isWithin && found.step > 0.1 / 1.2 && matrices.error(found.step) <= 1e-6)
  }

  @Test func extremes() {
    for (type, scale) in [
      (ElementType.float64, 1e300), (.float64, 1e-300), (.float64, 0x1p-1060), (.float32, 0x1p-140), (.float32, 1e37),
      (.float16, 0x1p-22), (.float16, 2e4), (.bfloat16, 1e37),
    ] {
      var random = SplitMix64(seed: 10)
      var matrices = Matrices()
      matrices.add((0..<500).map { _ in random.sample(.uniform) * scale }, type)
      let found = matrices.step(0.1)
      let error = matrices.error(found.step)
      #expect(found.isWithin == (error <= 0.1), "\(type) \(scale) \(found)")
      if scale > 0x1p-1000 { #expect(found.isWithin) }
    }
  }
}

@Suite("The best scale") struct BestScaleTests {
  /// The least error over the assignments of all pieces between breakpoints.
  private func exhaustive(_ magnitudes: [Double], most: Int) -> Double {
    var breakpoints: [(at: Double, w: Double, step: Double)] = []
    for w in magnitudes where w > 0 {
      for k in 1...most {
        let step = Double(2 * k - 1)
        breakpoints.append((2 * w / step, w, step))
      }
    }
    breakpoints.sort { $0.at > $1.at }
    let norm = magnitudes.reduce(0) { $0 + $1 * $1 }
    var (sum, squares, best) = (0.0, 0.0, norm)
    for (_, w, step) in breakpoints {
      sum += w
      squares += step
      best = min(best, norm - sum * sum / squares)
    }
    return best
  }

  private func error(_ magnitudes: [Double], scale: Double, most: Int) -> Double {
    magnitudes.reduce(0) {
      let e = $1 - scale * min((($1 / scale).rounded(.toNearestOrEven)), Double(most))
      return $0 + e * e
    }
  }

  private func check(_ w: [Float], bits: Int) {
    let most = 1 << (bits - 1) - 1
    let magnitudes = w.map { Double($0.magnitude) }
    let found = w.withUnsafeBufferPointer {
      ScaleSearch(
        weights: GridWeights($0.baseAddress!, w.count), largest: magnitudes.max()!, most: Double(most),
        threads: .one
      ).best()
    }
    let best = exhaustive(magnitudes, most: most)
    let norm = magnitudes.reduce(0) { $0 + $1 * $1 }
    let error = error(magnitudes, scale: found, most: most)
    #expect(error <= best * (1 + 1e-9) + 1e-13 * norm, "\(bits) bits of \(w)")
  }

  /// 2,000 groups and more: ties, zeros, heavy tails, near and far from zero.
  @Test(arguments: 2...8) func equalsExhaustiveSearch(bits: Int) {
    var random = SplitMix64(seed: UInt64(bits))
    for distribution in Distribution.all {
      for n in [1, 2, 3, 5, 8, 13, 32, 40] {
        for _ in 0..<(n < 32 ? 5 : 2) {
          var w = random.floats(distribution, n)
          if w.allSatisfy({ $0 == 0 }) { w[0] = 1 }
          check(w, bits: bits)
          // Subnormal.
          if n == 13 { check(w.map { $0 * 0x1p-140 + 0x1p-149 }, bits: bits) }
        }
      }
    }
  }

  /// Weights that lie on a grid are found exactly, whatever the grid.
  @Test(arguments: 2...8) func gridsAreFound(bits: Int) throws {
    var random = SplitMix64(seed: 3)
    let most = 1 << (bits - 1) - 1
    for scale in [1, 0.1, 0x1p-140, 1e-30, 1e30] as [Float] {
      let w = (0..<50).map { _ in scale * Float(Int(random.next() % UInt64(2 * most + 1)) - most) }
      let found = try withMatrix(w) { try quantize($0, bits: bits, group: .row, threads: .one) }
      #expect(relativeError(w.map { Double($0) }, found.matrix.values(.float32)) <= 1e-7, "\(bits) \(scale)")
    }
  }

  @Test func twoBitsAreTernary() throws {
    var random = SplitMix64(seed: 4)
    for distribution in Distribution.all {
      for n in [7, 64, 1000] {
        let w = random.floats(distribution, n)
        let found = try withMatrix(w) { try quantize($0, bits: 2, group: .row, threads: .one) }
        let ternary = try ternarized(w)
        let back = restored(ternary.matrix)
        let error = w.withUnsafeBytes { before in
          back.withUnsafeBytes { SquaredError(before, $0, type: .float32, threads: .one).error }
        }
        let here = relativeError(w.map { Double($0) }, found.matrix.values(.float32))
        #expect(abs(here - error) <= 1e-7, "\(distribution) \(n)")
      }
    }
  }

  @Test(arguments: [ElementType.float16, .bfloat16, .float32, .float64]) func everyType(_ type: ElementType) throws {
    var random = SplitMix64(seed: 5)
    // Several blocks are cut alike for all types.
    let (rows, columns) = type == .float32 ? (35, 8200) : (5, 2100)
    let numbers = (0..<rows * columns).map { _ in type.nearest(random.sample(.laplace) * 0.03) }
    let turned = (0..<columns).flatMap { c in (0..<rows).map { numbers[$0 * columns + c] } }
    for group in [ScaleGroup.tensor, .inputs(1000)] {
      let found = try type.bytes(rounding: numbers).withUnsafeBytes {
        try quantize(
          StoredMatrix($0, type: type, rows: rows, columns: columns, transposed: false), bits: 5, group: group,
          threads: .one)
      }
      #expect(found.nonzeroCount == found.matrix.codes.count { $0 != 0 })
      #expect(found.matrix.integers.allSatisfy { $0.magnitude <= 15 })
      let other = try type.bytes(rounding: turned).withUnsafeBytes {
        try quantize(
          StoredMatrix($0, type: type, rows: columns, columns: rows, transposed: true), bits: 5, group: group,
          threads: Threads(3))
      }
      #expect(other.matrix == found.matrix)
    }
  }

  @Test func zerosAndExtremes() throws {
    func quantized(_ w: [Double], _ type: ElementType, _ bits: Int) throws -> GridQuantization {
      try type.bytes(rounding: w).withUnsafeBytes {
        try quantize(
          StoredMatrix($0, type: type, rows: 1, columns: w.count, transposed: false), bits: bits, group: .row,
          threads: .one)
      }
    }
    let zeros = try quantized([0, -0.0], .float32, 4)
    #expect(zeros.matrix.codes == [0, 0] && zeros.matrix.scales == [0])
    #expect(try quantized([], .float32, 4).matrix.codes == [])
    let none = try withMatrix([] as [Float]) { try quantize($0, bits: 4, group: .tensor, threads: .one) }
    #expect(none.matrix.codes == [] && none.matrix.scales == [])
    for bits in 2...8 {
      #expect(
        try quantized([0x1p-1074, 0, -0x1p-1074], .float64, bits).matrix.values(.float64) == [0x1p-1074, 0, -0x1p-1074])
      for (x, type) in [(0x1p-149, ElementType.float32), (0x1p-24, .float16), (1e308, .float64)] {
        #expect(relativeError([x, 0, -x], try quantized([x, 0, -x], type, bits).matrix.values(type)) <= 1e-15)
      }
      for type in [ElementType.float16, .bfloat16, .float32, .float64] {
        let most = type.magnitude(ofKey: type.infinityKey - 1)
        let w = [most, -most, most * 0.63, most * 0.61]
        let found = try quantized(w, type, bits).matrix.values(type)
        #expect(found.allSatisfy { $0.isFinite } && relativeError(w, found) < 0.4)
      }
    }
    for bad in [Double.infinity, .nan] {
      #expect(throws: NonFiniteWeight(index: 2)) { _ = try quantized([1, 2, bad], .float32, 4) }
      #expect(throws: NonFiniteWeight(index: 2)) { _ = try quantized([1, 2, bad], .float64, 4) }
    }
  }
}
