// SPDX-License-Identifier: Apache-2.0

import Parallel
import Random
import Tensors
import Testing

@testable import Matrices

@Suite struct SparseSlabsTests {
  private let pairs: [(tensor: ElementType, stored: ElementType)] = [
    (.float16, .float16), (.bfloat16, .bfloat16), (.float32, .float32), (.float64, .float64), (.float32, .float16),
    (.float32, .bfloat16), (.float64, .float16), (.float64, .bfloat16),
  ]

  private func expectRestored(_ matrix: SparseMatrix, type: ElementType) {
    var elements = [UInt64](repeating: 0, count: matrix.rows * matrix.columns)
    let size = matrix.type.byteCount
    var at = 0
    for r in 0..<matrix.rows {
      for c in 0..<matrix.columns where matrix.isStored(r, c) {
        let bits = (0..<size).reduce(UInt64(0)) { $0 | UInt64(matrix.values[at + $1]) << UInt64(8 * $1) }
        elements[r * matrix.columns + c] = type == matrix.type ? bits : roundedBits(value(bits, matrix.type), type)
        at += size
      }
    }
    let expected = littleEndian(elements, size: type.byteCount)
    var transposed: [UInt64] = []
    for c in 0..<matrix.columns { for r in 0..<matrix.rows { transposed.append(elements[r * matrix.columns + c]) } }
    for threads in [1, 2] {
      var bytes = [UInt8](repeating: 0xAA, count: expected.count)
      bytes.withUnsafeMutableBytes {
        decode(matrix, type: type, transposed: false, into: $0, threads: Threads(threads))
      }
      #expect(bytes == expected, "\(matrix.rows)×\(matrix.columns) \(matrix.type) as \(type)")
      bytes.withUnsafeMutableBytes {
        decode(matrix, type: type, transposed: true, into: $0, threads: Threads(threads))
      }
      #expect(bytes == littleEndian(transposed, size: type.byteCount))
    }
  }

  private func random(_ rows: Int, _ columns: Int, _ type: ElementType, _ random: inout SplitMix64) -> SparseMatrix {
    var matrix = random.matrix(.gaussian, type, rows, columns, transposed: false)
    let density = random.below(5)
    for i in matrix.bits.indices where random.below(4) >= density { matrix.bits[i] = 0 }
    return matrix.nonzeros()
  }

  @Test func restoresEveryValue() {
    var random = SplitMix64(seed: 21)
    for (rows, columns) in [
      (1, 1), (1, 37), (37, 1), (5, 67), (24, 16), (130, 8), (3, 0), (0, 3), (0, 0), (2, 4099), (70, 520),
    ] {
      for pair in pairs { expectRestored(self.random(rows, columns, pair.stored, &random), type: pair.tensor) }
    }
  }

  @Test(arguments: [(3, 401), (401, 3), (104, 105), (64, 2048), (2048, 64)]) func slabsAreWholeRowsOfTheSource(
    _ rows: Int, _ columns: Int
  ) {
    var random = SplitMix64(seed: 22)
    let matrix = self.random(rows, columns, .float32, &random)
    var dense = [UInt8](repeating: 0, count: 4 * rows * columns)
    for transposed in [false, true] {
      dense.withUnsafeMutableBytes {
        decode(matrix, type: .float32, transposed: transposed, into: $0, threads: Threads(1))
      }
      let rowBytes = 4 * (transposed ? rows : columns)
      for weights in [1, 1000, 5000] {
        let slabs = SparseSlabs(matrix, type: .float32, transposed: transposed, slabWeights: weights)
        #expect(slabs.count > 1 || weights >= 1000 && rows * columns < 1300)
        var end = 0
        for slab in 0..<slabs.count {
          let range = slabs.bytes(of: slab)
          #expect(range.lowerBound == end && range.count % rowBytes == 0)
          #expect(range.count <= slabs.bytes(of: 0).count && range.count <= 4 * max(weights, rowBytes / 4))
          end = range.upperBound
          var out = [UInt8](repeating: 0xAA, count: range.count)
          out.withUnsafeMutableBytes { slabs.decode(slab, into: $0) }
          #expect(out == Array(dense[range]))
        }
        #expect(end == 4 * rows * columns)
      }
    }
  }
}
