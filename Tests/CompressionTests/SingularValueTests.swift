// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Parallel
import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

private func pruned<T: BitwiseCopyable>(
  _ elements: [T], type: ElementType = .float32, rows: Int, columns: Int, transposed: Bool = false,
  rule: PruningRule, threads: Int = 1
) throws -> SingularValuePruning {
  try elements.withUnsafeBytes {
    try pruneSingularValues(
      StoredMatrix($0, type: type, rows: rows, columns: columns, transposed: transposed), rule: rule,
      threads: Threads(threads))
  }
}

/// What the roundings of factors and values may add to the relative error, and LAPACK's own.
private func roundings(_ type: ElementType) -> Double {
  let own: Double =
    switch type {
    case .float16: 0x1p-11
    case .bfloat16: 0x1p-8
    default: 0
    }
  return 3 * 0x1p-24 + own + 1e-12
}

extension Fraction {
  fileprivate init(_ numerator: Int, per thousand: Int) { self.init("\(Double(numerator) / Double(thousand))")! }
}

@Suite struct SingularValueTests {
  private static let shapes = [(1, 1), (1, 9), (9, 1), (5, 8), (8, 5), (31, 30), (20, 64), (64, 20)]

  /// Elements of a type, and what they are.
  private func sample(_ type: ElementType, _ n: Int, using random: inout SplitMix64) -> (
    bytes: [UInt8], values: [Double]
  ) {
    var bytes: [UInt8] = []
    var values: [Double] = []
    for _ in 0..<n {
      let x = random.gaussian()
      let bits =
        type == .float64
        ? x.bitPattern : type.bits(type.nearest(x.magnitude)) | (x < 0 ? 1 << UInt64(8 * type.byteCount - 1) : 0)
      for b in 0..<type.byteCount { bytes.append(UInt8(truncatingIfNeeded: bits >> UInt64(8 * b))) }
      values.append(type == .float64 ? x : x < 0 ? -type.nearest(-x) : type.nearest(x))
    }
    return (bytes, values)
  }

  private func values(_ bytes: [UInt8], _ type: ElementType) -> [Double] {
    bytes.withUnsafeBytes { bytes in
      (0..<bytes.count / type.byteCount).map { i in
        switch type {
        case .float16: Double(bytes.loadUnaligned(fromByteOffset: 2 * i, as: Float16.self))
        case .bfloat16:
          Double(Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)) << 16))
        case .float32: Double(bytes.loadUnaligned(fromByteOffset: 4 * i, as: Float.self))
        default: bytes.loadUnaligned(fromByteOffset: 8 * i, as: Double.self)
        }
      }
    }
  }

  @Test(arguments: LowRankTests.floats) func errorsAreThoseOfTheDecodedValues(_ type: ElementType) throws {
    var random = SplitMix64(seed: 1)
    for (rows, columns) in Self.shapes {
      for transposed in [false, true] {
        for keep in [0, 100, 500, 900, 1000] {
          let (bytes, weights) = sample(type, rows * columns, using: &random)
          let found = try pruned(
            bytes, type: type, rows: rows, columns: columns, transposed: transposed,
            rule: .keep(Fraction(keep, per: 1000)))
          #expect(found.matrix.rank == (keep * min(rows, columns) + 999) / 1000)
          #expect((found.matrix.rows, found.matrix.columns) == (transposed ? (columns, rows) : (rows, columns)))
          let decoded = values(found.matrix.decoded(type: type, transposed: transposed), type)
          let norm = weights.reduce(0) { $0 + $1 * $1 }
          let error = zip(weights, decoded).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
          // Two sums of squares, added in different orders.
          let tolerance = Double(rows * columns) * 0x1p-52
          #expect(abs(found.error.squares.norm - norm) <= tolerance * norm)
          #expect(abs(found.error.squares.difference - error) <= tolerance * error)
          #expect(abs(found.relativeL2 - sqrt(error / norm)) <= tolerance)
          #expect(abs(found.relativeL2 - found.spectralError) <= roundings(type))
        }
      }
    }
  }

  /// √(Σ dropped s² / Σ s²), from all singular values.
  @Test func spectralError() throws {
    var random = SplitMix64(seed: 2)
    let (rows, columns) = (24, 40)
    let (bytes, _) = sample(.float32, rows * columns, using: &random)
    let s = try bytes.withUnsafeBytes {
      try singularValues(StoredMatrix($0, type: .float32, rows: rows, columns: columns, transposed: false))
    }
    #expect(s.count == 24)
    let total = s.reduce(0) { $0 + $1 * $1 }
    for rank in 0...24 {
      let found = try pruned(bytes, rows: rows, columns: columns, rule: .keep(Fraction(rank * 125 / 3, per: 1000)))
      #expect(found.matrix.rank == rank)
      let dropped = s[rank...].reduce(0) { $0 + $1 * $1 }
      #expect(abs(found.spectralError - sqrt(dropped / total)) <= 1e-13)
      for (kept, value) in zip(found.matrix.singularValues, s) { #expect(abs(kept - value) <= 1e-13 * s[0]) }
    }
  }

  @Test func fewestThatStayBelowAnError() throws {
    var random = SplitMix64(seed: 3)
    for (rows, columns) in Self.shapes {
      let (bytes, _) = sample(.float32, rows * columns, using: &random)
      let errors = try (0...min(rows, columns)).map { rank in
        try pruned(
          bytes, rows: rows, columns: columns, rule: .keep(Fraction(rank * 1000 / min(rows, columns), per: 1000))
        ).spectralError
      }
      for bound in [0, 0.1, 0.3, 0.5, 0.9, 1, 7, errors[errors.count / 2]] {
        let found = try pruned(bytes, rows: rows, columns: columns, rule: .error(bound))
        #expect(found.spectralError <= bound)
        #expect(found.matrix.rank == 0 || errors[found.matrix.rank - 1] > bound)
        #expect(found.spectralError == errors[found.matrix.rank])
      }
    }
  }

  /// diag(4, −2, 1): terms and errors are known, and exact.
  @Test func knownMatrix() throws {
    let elements: [Float] = [0, 4, 0, -2, 0, 0, 0, 0, 1, 0, 0, 0]
    let found = try pruned(elements, rows: 4, columns: 3, rule: .keep(Fraction("0.5")!))
    #expect(
      found.matrix
        == LowRankMatrix(
          rows: 4, columns: 3, left: [4, 0, 0, 2, 0, 0, 0, 0], right: [0, 1, 0, -1, 0, 0], singularValues: [4, 2]))
    #expect(found.error.squares.norm == 21 && found.error.squares.difference == 1)
    #expect(found.relativeL2 == sqrt(1.0 / 21) && found.spectralError == sqrt(1.0 / 21))
    // √(1/21) = .218, √(5/21) = .488.
    for (bound, rank) in [(0.21, 3), (0.22, 2), (0.48, 2), (0.49, 1), (1, 0)] {
      #expect(try pruned(elements, rows: 4, columns: 3, rule: .error(bound)).matrix.rank == rank)
    }
  }

  @Test func transposedSourceHasTheSameResult() throws {
    var random = SplitMix64(seed: 4)
    for (rows, columns) in Self.shapes {
      let elements = random.floats(.gaussian, rows * columns)
      let transposed = (0..<rows * columns).map { elements[$0 % rows * columns + $0 / rows] }
      let first = try pruned(elements, rows: rows, columns: columns, rule: .keep(Fraction("0.4")!))
      let second = try pruned(
        transposed, rows: columns, columns: rows, transposed: true, rule: .keep(Fraction("0.4")!))
      #expect(first.matrix == second.matrix && first.spectralError == second.spectralError)
    }
  }

  @Test func powersOfTwoScaleTheLeftFactor() throws {
    var random = SplitMix64(seed: 5)
    let elements = random.floats(.student(3), 30 * 20)
    let plain = try pruned(elements, rows: 30, columns: 20, rule: .keep(Fraction("0.5")!))
    for unit in [0x1p-60, 0x1p60] as [Float] {
      let scaled = try pruned(elements.map { $0 * unit }, rows: 30, columns: 20, rule: .keep(Fraction("0.5")!))
      #expect(scaled.matrix.right == plain.matrix.right && scaled.matrix.left == plain.matrix.left.map { $0 * unit })
      #expect(scaled.matrix.singularValues == plain.matrix.singularValues.map { $0 * Double(unit) })
      #expect(scaled.relativeL2 == plain.relativeL2 && scaled.spectralError == plain.spectralError)
      #expect(scaled.error.squares.norm == plain.error.squares.norm * Double(unit) * Double(unit))
    }
  }

  @Test func signs() throws {
    var random = SplitMix64(seed: 6)
    let found = try pruned(random.floats(.gaussian, 12 * 17), rows: 12, columns: 17, rule: .keep(.one))
    for k in 0..<12 {
      let column = (0..<12).map { found.matrix.left[$0 * 12 + k] }
      #expect(column.max { $0.magnitude < $1.magnitude }! > 0)
    }
  }

  /// More is kept than there is: what is zero stays out.
  @Test func zerosAreNotKept() throws {
    let zeros = try pruned([Float](repeating: 0, count: 12), rows: 3, columns: 4, rule: .keep(.one))
    #expect(
      zeros.matrix.rank == 0 && zeros.relativeL2 == 0 && zeros.spectralError == 0 && zeros.error.squares.norm == 0)
    #expect(zeros.matrix.decoded(type: .float32, transposed: false).allSatisfy { $0 == 0 })

    // Small integers, exactly of rank 3.
    var random = SplitMix64(seed: 7)
    let exact = LowRankMatrix(rows: 40, columns: 30, rank: 3, using: &random) { Float(Int($0.next() % 9)) - 4 }
    let found = try pruned(exact.decoded(type: .float32, transposed: false), rows: 40, columns: 30, rule: .keep(.one))
    #expect(found.matrix.rank == 3)
    #expect(found.relativeL2 <= roundings(.float32))
    #expect(
      try pruned(exact.decoded(type: .float32, transposed: false), rows: 40, columns: 30, rule: .error(0)).matrix.rank
        == 3)
  }

  @Test func emptyMatrices() throws {
    for (rows, columns) in [(0, 0), (0, 3), (3, 0)] {
      for rule in [PruningRule.keep(.one), .error(0)] {
        let found = try pruned([Float](), rows: rows, columns: columns, rule: rule)
        #expect(found.matrix.rows == rows && found.matrix.columns == columns && found.matrix.rank == 0)
        #expect(found.relativeL2 == 0 && found.spectralError == 0)
      }
    }
  }

  @Test(arguments: LowRankTests.floats) func refusesWhatIsNotFinite(_ type: ElementType) throws {
    var random = SplitMix64(seed: 8)
    var (bytes, _) = sample(type, 24, using: &random)
    let infinity: [UInt8] =
      switch type {
      case .float16: [0, 0xFC]
      case .bfloat16: [0x80, 0x7F]
      case .float32: [0, 0, 0xC0, 0x7F]
      default: [0, 0, 0, 0, 0, 0, 0xF0, 0x7F]
      }
    for index in [17, 11] {
      bytes.replaceSubrange(index * type.byteCount..<(index + 1) * type.byteCount, with: infinity)
      for transposed in [false, true] {
        #expect(throws: NonFiniteWeight(index: index)) {
          try pruned(bytes, type: type, rows: 4, columns: 6, transposed: transposed, rule: .keep(.one))
        }
        #expect(throws: NonFiniteWeight(index: index)) {
          try bytes.withUnsafeBytes {
            try singularValues(StoredMatrix($0, type: type, rows: 4, columns: 6, transposed: transposed))
          }
        }
      }
    }
  }

  @Test func refusesWhatFactorsCannotHold() throws {
    for magnitude in [1e39, 1e300, Double.greatestFiniteMagnitude] {
      #expect(throws: LowRankOverflow()) {
        try pruned([magnitude, 0, 0, -magnitude], type: .float64, rows: 2, columns: 2, rule: .keep(.one))
      }
    }
    // The nearest matrix of rank 1 has 1.14 where this one has 1.
    let elements = ([64_992, 58_496, 58_496, 0] as [Float16])
    #expect(throws: LowRankOverflow()) {
      try pruned(elements, type: .float16, rows: 2, columns: 2, rule: .keep(Fraction("0.5")!))
    }
    #expect(try pruned(elements, type: .float16, rows: 2, columns: 2, rule: .keep(.one)).matrix.rank == 2)
  }

  /// Squares of the weights vanish in double; the factors in float32.
  @Test func tinyWeights() throws {
    let found = try pruned(
      [3e-200, 0, 4e-200, 5e-200], type: .float64, rows: 2, columns: 2, rule: .keep(Fraction("0.5")!))
    #expect(abs(found.spectralError - sqrt(0.1)) <= 1e-14)
    #expect(found.relativeL2 == 1)
  }

  @Test func sameForAnyNumberOfThreads() throws {
    var random = SplitMix64(seed: 9)
    // Several slabs.
    let elements = random.floats(.gaussian, 8 * 150_000)
    let first = try pruned(elements, rows: 8, columns: 150_000, rule: .keep(Fraction("0.5")!))
    for threads in [2, 5] {
      let other = try pruned(elements, rows: 8, columns: 150_000, rule: .keep(Fraction("0.5")!), threads: threads)
      #expect(other.matrix == first.matrix)
      #expect(
        other.error.squares.difference == first.error.squares.difference
          && other.error.squares.norm == first.error.squares.norm)
    }
  }

  @Test func countsItsMemory() throws {
    #expect(
      try singularValueByteCount(rows: 300, columns: 784, vectors: true)
        == SingularValueDecomposition.byteCount(rows: 300, columns: 784, vectors: true))
    #expect(throws: SingularValueError.tooLarge(rows: 1 << 31, columns: 2)) {
      try singularValueByteCount(rows: 1 << 31, columns: 2, vectors: false)
    }
  }
}
