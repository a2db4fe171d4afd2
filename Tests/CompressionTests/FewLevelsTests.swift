// SPDX-License-Identifier: Apache-2.0

import Matrices
import Parallel
import Random
import Tensors
import Testing

/// Matrices of few different values are found, and restored bit for bit.
@Suite("Few levels")
struct FewLevelsTests {
  private func bytes(_ values: [Float]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

  private func found(_ values: [Float], rows: Int, columns: Int, transposed: Bool) -> LevelsMatrix? {
    bytes(values).withUnsafeBytes {
      LevelsMatrix(
        $0, type: .float32, rows: rows, columns: columns, transposed: transposed, threads: Threads(1))
    }
  }

  /// What is found decodes to the elements, in either orientation.
  private func restored(_ matrix: LevelsMatrix, transposed: Bool) -> [UInt8] {
    var bytes = [UInt8](repeating: 1, count: matrix.rows * matrix.columns * 4)
    bytes.withUnsafeMutableBytes { bytes in
      let slabs = LevelsSlabs(matrix, transposed: transposed)
      for slab in 0..<slabs.count {
        slabs.decode(slab, into: UnsafeMutableRawBufferPointer(rebasing: bytes[slabs.bytes(of: slab)]))
      }
    }
    return bytes
  }

  @Test(arguments: [false, true], [1, 3, 127]) func rowsOnAGridAreFound(transposed: Bool, most: Int) throws {
    var random = SplitMix64(seed: UInt64(most))
    let (rows, columns) = (300, 40)
    let scales = (0..<rows).map { _ in Float.random(in: 0.001...3, using: &random) }
    var values = [Float](repeating: 0, count: rows * columns)
    for row in 0..<rows {
      for column in 0..<columns {
        let k = Int.random(in: -most...most, using: &random)
        let value = k == 0 ? 0 : scales[row] * Float(k)
        values[transposed ? column * rows + row : row * columns + column] = value
      }
    }
    let matrix = try #require(found(values, rows: rows, columns: columns, transposed: transposed))
    guard case .grid(_, .row, []) = matrix.levels else {
      Issue.record("not a grid of rows")
      return
    }
    #expect(restored(matrix, transposed: transposed) == bytes(values))
  }

  @Test(arguments: [false, true]) func atMost256PatternsAreATable(transposed: Bool) throws {
    var random = SplitMix64(seed: 7)
    let levels = (0..<256).map { _ in Float.random(in: -1...1, using: &random) } + [0]
    for count in [1, 2, 255, 256, 257] {
      var values = (0..<1200).map { _ in levels[Int.random(in: 0..<count, using: &random)] }
      // Each occurs.
      for i in 0..<count { values[i] = levels[i] }
      let matrix = found(values, rows: 30, columns: 40, transposed: transposed)
      #expect((matrix == nil) == (count > 256))
      if let matrix { #expect(restored(matrix, transposed: transposed) == bytes(values)) }
    }
  }

  /// −0 is a pattern of its own, and no multiple of a scale.
  @Test func negativeZeroIsKept() throws {
    let table = try #require(found([0, -0.0, 1, -0.0], rows: 2, columns: 2, transposed: false))
    #expect(restored(table, transposed: false) == bytes([0, -0.0, 1, -0.0]))
    var values: [Float] = []
    for row in 1...300 { values += [Float(row), -Float(row)] }
    #expect(found(values, rows: 300, columns: 2, transposed: false) != nil)
    values[599] = -0.0
    #expect(found(values, rows: 300, columns: 2, transposed: false) == nil)
  }
}
