// SPDX-License-Identifier: Apache-2.0

import Parallel
import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

/// A matrix in memory as a file would hold it, and what pruning it must give, by sorting.
struct SampleMatrix {
  let type: ElementType
  /// Output units × inputs.
  let rows: Int
  let columns: Int
  let transposed: Bool
  /// The elements in source order.
  var bits: [UInt64]

  var count: Int { rows * columns }
  var bytes: [UInt8] { littleEndian(bits, size: type.byteCount) }

  func index(_ row: Int, _ column: Int) -> Int { transposed ? column * rows + row : row * columns + column }

  func magnitude(_ i: Int) -> Double { value(bits[i], type).magnitude }

  /// The indices of all weights, largest first, and first ones first among equals.
  func sorted() -> [Int] {
    let magnitudes = bits.indices.map(magnitude)
    return bits.indices.sorted { a, b in
      magnitudes[a] > magnitudes[b] || magnitudes[a] == magnitudes[b] && a < b
    }
  }

  /// What is stored when the weights in `kept` are kept.
  func sparse(keeping kept: Set<Int>, values: KeptValues = .exact) -> SparseMatrix {
    let stored = values.stored(type)
    var mask = [UInt8](repeating: 0, count: rows * SparseMatrix.maskRowBytes(columns: columns))
    var elements: [UInt64] = []
    for r in 0..<rows {
      for c in 0..<columns where kept.contains(index(r, c)) {
        var bits = bits[index(r, c)]
        if stored != type {
          bits = roundedBits(value(bits, type), stored)
          if bits & 0x7FFF == 0 { continue }
        }
        if bits == 0 { continue }
        mask[r * SparseMatrix.maskRowBytes(columns: columns) + c / 8] |= 1 << UInt8(c % 8)
        elements.append(bits)
      }
    }
    return SparseMatrix(
      rows: rows, columns: columns, type: stored, mask: mask,
      values: littleEndian(elements, size: stored.byteCount))!
  }

  func threshold(_ rule: PruningRule, values: KeptValues = .exact, threads: Int = 1) throws -> MagnitudeThreshold {
    try bytes.withUnsafeBytes {
      try magnitudeThreshold($0, type: type, rule: rule, values: values, threads: Threads(threads))
    }
  }

  func pruned(_ rule: PruningRule, values: KeptValues = .exact, threads: Int = 1) throws -> Pruned {
    try bytes.withUnsafeBytes {
      Pruned(
        try pruneMagnitude(
          StoredMatrix(
            $0, type: type, rows: transposed ? columns : rows, columns: transposed ? rows : columns,
            transposed: transposed), rule: rule, values: values, threads: Threads(threads)),
        threads)
    }
  }

  func pruned(_ threshold: MagnitudeThreshold, values: KeptValues = .exact, threads: Int = 1) throws -> Pruned {
    try bytes.withUnsafeBytes {
      Pruned(
        try prune(
          StoredMatrix(
            $0, type: type, rows: transposed ? columns : rows, columns: transposed ? rows : columns,
            transposed: transposed), threshold: threshold, values: values, threads: Threads(threads)),
        threads)
    }
  }

  func ternarized(_ threshold: MagnitudeThreshold, threads: Int = 1) throws -> Ternarization {
    try bytes.withUnsafeBytes {
      try ternarize(
        StoredMatrix(
          $0, type: type, rows: transposed ? columns : rows, columns: transposed ? rows : columns,
          transposed: transposed), threshold: threshold, threads: Threads(threads))
    }
  }

  /// All weights whose bits are not all zero.
  func nonzeros(threads: Int = 1) -> SparseMatrix {
    let none = (outputs: [Bool](repeating: false, count: rows), inputs: [Bool](repeating: false, count: columns))
    return bytes.withUnsafeBytes {
      SparseMatrix(
        StoredMatrix(
          $0, type: type, rows: transposed ? columns : rows, columns: transposed ? rows : columns,
          transposed: transposed
        ).removing(outputs: none.outputs, inputs: none.inputs, threads: Threads(threads)))
    }
  }

  /// The same weights with the restored values of `matrix`.
  func restored(_ matrix: SparseMatrix, threads: Int = 1) -> SampleMatrix {
    var bytes = [UInt8](repeating: 0xAA, count: count * type.byteCount)
    bytes.withUnsafeMutableBytes {
      decode(matrix, type: type, transposed: transposed, into: $0, threads: Threads(threads))
    }
    var copy = self
    copy.bits = elements(bytes, size: type.byteCount)
    return copy
  }
}

/// What a pruning gives, with a copy of the values.
struct Pruned {
  let matrix: SparseMatrix
  let squaredNorm: Double
  let squaredError: Double
  let relativeL2: Double
  let nonzeroCount: Int

  init(_ pruning: MagnitudePruning, _ threads: Int) {
    let masked = pruning.matrix
    matrix = SparseMatrix(masked)
    (squaredNorm, squaredError) = pruning.error.squares
    (relativeL2, nonzeroCount) = (pruning.relativeL2, pruning.nonzeroCount)
    masked.expectSameValues(threads)
  }
}

extension MaskedMatrix {
  /// Checks that what it restores to is what its copy restores to, and that the smallest magnitude is right.
  func expectSameValues(_ threads: Int) {
    let (copy, type) = (SparseMatrix(self), weights.type)
    let count = rows * columns * type.byteCount
    var (own, others) = ([UInt8](repeating: 0xAA, count: count), [UInt8](repeating: 0x55, count: count))
    own.withUnsafeMutableBytes { MaskedSlabs(self).decode(into: $0, threads: Threads(threads)) }
    others.withUnsafeMutableBytes {
      decode(copy, type: type, transposed: weights.transposed, into: $0, threads: Threads(threads))
    }
    #expect(own == others)
    let keys = elements(copy.values, size: copy.type.byteCount).map {
      $0 & (.max >> UInt64(65 - 8 * copy.type.byteCount))
    }
    #expect(leastMagnitude == keys.min() ?? 0)
  }
}

extension SparseMatrix {
  func isStored(_ row: Int, _ column: Int) -> Bool {
    mask[row * maskRowBytes + column / 8] >> UInt8(column % 8) & 1 == 1
  }
}

/// The low bytes of each element; the machine is little-endian.
func littleEndian(_ elements: [UInt64], size: Int) -> [UInt8] {
  switch size {
  case 2: elements.map { UInt16(truncatingIfNeeded: $0) }.withUnsafeBytes(Array.init)
  case 4: elements.map { UInt32(truncatingIfNeeded: $0) }.withUnsafeBytes(Array.init)
  default: elements.withUnsafeBytes(Array.init)
  }
}

/// The inverse of `littleEndian`.
func elements(_ bytes: [UInt8], size: Int) -> [UInt64] {
  bytes.withUnsafeBytes { bytes in
    switch size {
    case 2: bytes.bindMemory(to: UInt16.self).map(UInt64.init)
    case 4: bytes.bindMemory(to: UInt32.self).map(UInt64.init)
    default: Array(bytes.bindMemory(to: UInt64.self))
    }
  }
}

func value(_ bits: UInt64, _ type: ElementType) -> Double {
  switch type {
  case .float16: Double(Float16(bitPattern: UInt16(bits)))
  case .bfloat16: Double(Float(bitPattern: UInt32(bits) << 16))
  case .float32: Double(Float(bitPattern: UInt32(bits)))
  default: Double(bitPattern: bits)
  }
}

/// The bits of the value of `type` nearest to x, ties to even; beyond the range infinity.
func roundedBits(_ x: Double, _ type: ElementType) -> UInt64 {
  let sign: UInt64 = x.sign == .minus ? 1 << UInt64(8 * type.byteCount - 1) : 0
  switch type {
  case .float16: return UInt64(Float16(x).bitPattern)
  case .float32: return UInt64(Float(x).bitPattern)
  case .float64: return x.bitPattern
  default:
    // Of the two neighbours, the one that is nearer, or the even one.
    var float = Float(x.magnitude)
    if Double(float) > x.magnitude { float = float.nextDown }
    let down = float.bitPattern >> 16
    let low = Double(Float(bitPattern: down << 16))
    let high = down == 0x7F7F ? 0x1p128 : Double(Float(bitPattern: (down + 1) << 16))
    let (below, above) = (x.magnitude - low, high - x.magnitude)
    let up = above < below || above == below && down & 1 == 1
    return UInt64(up ? down + 1 : down) | sign
  }
}

/// What weights look like.
enum Kind: CaseIterable {
  case gaussian, ties, zeros, subnormal, wide, equal
}

extension SplitMix64 {
  mutating func bits(_ kind: Kind, _ type: ElementType) -> UInt64 {
    let sign: UInt64 = next() & 1 << UInt64(8 * type.byteCount - 1)
    return switch kind {
    case .gaussian: roundedBits(gaussian(), type)
    case .ties: roundedBits(Double(next() % 4), type) | sign
    case .zeros: next() % 3 == 0 ? roundedBits(gaussian(), type) : sign
    case .subnormal: next() % 50 | sign
    case .wide:
      // Any finite number.
      next() % type.infinityKey | sign
    case .equal: roundedBits(0.75, type) | sign
    }
  }

  mutating func matrix(_ kind: Kind, _ type: ElementType, _ rows: Int, _ columns: Int, transposed: Bool) -> SampleMatrix
  {
    SampleMatrix(
      type: type, rows: rows, columns: columns, transposed: transposed,
      bits: (0..<rows * columns).map { _ in bits(kind, type) })
  }

  mutating func below(_ n: Int) -> Int { Int(next() % UInt64(n)) }

  /// A fraction of few digits, often 0 or 1.
  mutating func fraction() -> Fraction {
    switch next() % 8 {
    case 0: .zero
    case 1: .one
    case 2: Fraction("1e-9")!
    case 3: Fraction("0.999999")!
    default: Fraction("\(Double(next() % 1000) / 1000)")!
    }
  }
}
