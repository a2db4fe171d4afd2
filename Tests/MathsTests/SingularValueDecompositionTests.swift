// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Parallel
import Random
import Testing

@Suite struct SingularValueDecompositionTests {
  private static let shapes = [
    (1, 1), (1, 7), (7, 1), (2, 3), (5, 5), (16, 9), (9, 16), (40, 3), (3, 40), (33, 32), (60, 60),
  ]

  /// What LAPACK promises is a modest multiple of the unit roundoff, growing with the shape.
  private func tolerance(_ rows: Int, _ columns: Int) -> Double { 8 * Double(max(rows, columns)) * .ulpOfOne }

  /// Largest |XᵀX − I| of the k columns that `column` gives.
  private func departure(_ k: Int, _ length: Int, _ entry: (Int, Int) -> Double) -> Double {
    var most = 0.0
    for i in 0..<k {
      for j in 0...i {
        let product = (0..<length).reduce(0.0) { $0 + entry(i, $1) * entry(j, $1) }
        most = max(most, abs(product - (i == j ? 1 : 0)))
      }
    }
    return most
  }

  @Test(arguments: shapes) func laws(_ rows: Int, _ columns: Int) throws {
    var random = SplitMix64(seed: UInt64(100 * rows + columns))
    let matrix = random.matrix(rows, columns)
    let parts = try SingularValueDecomposition(matrix, rows: rows, columns: columns)
    let k = min(rows, columns)
    #expect(parts.values.count == k && parts.left.count == rows * k && parts.right.count == k * columns)
    #expect(zip(parts.values, parts.values.dropFirst()).allSatisfy { $0 >= $1 } && parts.values[k - 1] >= 0)
    #expect(departure(k, rows) { parts.left[$1 * k + $0] } <= tolerance(rows, columns))
    #expect(departure(k, columns) { parts.right[$0 * columns + $1] } <= tolerance(rows, columns))
    for row in 0..<rows {
      for column in 0..<columns {
        let sum = (0..<k).reduce(0.0) {
          $0 + parts.left[row * k + $1] * parts.values[$1] * parts.right[$1 * columns + column]
        }
        #expect(abs(sum - matrix[row * columns + column]) <= tolerance(rows, columns) * parts.values[0])
      }
    }
    let norm = matrix.reduce(0) { $0 + $1 * $1 }
    #expect(abs(parts.values.reduce(0) { $0 + $1 * $1 } - norm) <= tolerance(rows, columns) * norm)
    let values = try SingularValueDecomposition.values(rows: rows, columns: columns) {
      _ = $0.update(fromContentsOf: matrix)
    }
    for (value, other) in zip(values, parts.values) {
      #expect(abs(value - other) <= tolerance(rows, columns) * parts.values[0])
    }
  }

  @Test func knownMatrices() throws {
    // WᵀW of [[3, 0], [4, 5]] is [[25, 20], [20, 25]]: 45 with (1, 1)/√2, 5 with (1, −1)/√2.
    let parts = try SingularValueDecomposition([3, 0, 4, 5], rows: 2, columns: 2)
    let (whole, half) = (0.1.squareRoot(), 0.5.squareRoot())
    let values: [Double] = [sqrt(45.0), sqrt(5.0)]
    let left: [Double] = [whole, 3 * whole, 3 * whole, -whole]
    let right: [Double] = [half, half, half, -half]
    for (found, wanted) in [(parts.values, values), (parts.left, left), (parts.right, right)] {
      #expect(found.count == wanted.count)
      for (x, y) in zip(found, wanted) { #expect(abs(x - y) <= 7 * tolerance(2, 2)) }
    }
    let diagonal = try SingularValueDecomposition([0, -3, 0, 0, 0, 2], rows: 2, columns: 3)
    #expect(diagonal.values == [3, 2])
    #expect(diagonal.left == [1, 0, 0, 1])
    #expect(diagonal.right == [0, -1, 0, 0, 0, 1])
  }

  /// The Hilbert matrix of order 3, of which many digits are known.
  @Test func hilbertMatrix() throws {
    let matrix: [Double] = (0..<9).map { (i: Int) -> Double in 1 / Double(i / 3 + i % 3 + 1) }
    let parts = try SingularValueDecomposition(matrix, rows: 3, columns: 3)
    let known: [Double] = [1.4083189271236540, 0.12232706585390585, 0.0026873403557735292]
    for (x, y) in zip(parts.values, known) {
      #expect(abs(x - y) <= tolerance(3, 3))
    }
  }

  @Test(arguments: shapes) func largestEntriesOfTheLeftColumnsArePositive(_ rows: Int, _ columns: Int) throws {
    var random = SplitMix64(seed: UInt64(rows * columns))
    let parts = try SingularValueDecomposition(random.matrix(rows, columns), rows: rows, columns: columns)
    let k = min(rows, columns)
    for column in 0..<k {
      let entries = (0..<rows).map { parts.left[$0 * k + column] }
      #expect(entries.max { abs($0) < abs($1) }! > 0)
    }
  }

  @Test func emptyMatrices() throws {
    for (rows, columns) in [(0, 0), (0, 5), (5, 0)] {
      let parts = try SingularValueDecomposition([], rows: rows, columns: columns)
      #expect(parts.values.isEmpty && parts.left.isEmpty && parts.right.isEmpty)
      let values = try SingularValueDecomposition.values(rows: rows, columns: columns) { #expect($0.isEmpty) }
      #expect(values.isEmpty)
      #expect(try SingularValueDecomposition.byteCount(rows: rows, columns: columns, vectors: true) == 0)
    }
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity]) func refusesWhatIsNotFinite(_ element: Double) {
    var random = SplitMix64(seed: 9)
    var matrix = random.matrix(4, 6)
    matrix[13] = element
    matrix[20] = element
    #expect(throws: SingularValueError.notFinite(index: 13)) {
      try SingularValueDecomposition(matrix, rows: 4, columns: 6)
    }
    #expect(throws: SingularValueError.notFinite(index: 13)) {
      try SingularValueDecomposition.values(rows: 4, columns: 6) { _ = $0.update(fromContentsOf: matrix) }
    }
  }

  /// Nothing is allocated before the sizes are checked.
  @Test func refusesWhatLAPACKCannotCount() {
    for (rows, columns) in [(1 << 31, 1), (1, 1 << 40), (25_000, 25_000), (1 << 62, 1 << 62)] {
      #expect(throws: SingularValueError.tooLarge(rows: rows, columns: columns)) {
        try SingularValueDecomposition.byteCount(rows: rows, columns: columns, vectors: true)
      }
      #expect(throws: SingularValueError.tooLarge(rows: rows, columns: columns)) {
        try SingularValueDecomposition(rows: rows, columns: columns) { _ in Issue.record("filled") }
      }
    }
  }

  /// At least what must be in memory at once: the matrix, both factors and the values; LAPACK's documentation asks for
  /// 3k² + 7k of work space, and the results are as large as the factors.
  @Test func countsItsMemory() throws {
    for (rows, columns) in [(10, 20), (300, 784), (4096, 4096), (30_000, 768), (1, 100_000)] {
      let k = min(rows, columns)
      let working = rows * columns + k * (rows + columns) + k + 3 * k * k
      let found = try SingularValueDecomposition.byteCount(rows: rows, columns: columns, vectors: true)
      #expect(found >= 8 * max(working, 2 * k * (rows + columns)))
      #expect(found <= 8 * (rows * columns + 2 * k * (rows + columns) + 4 * k * k + 300 * k + rows + columns + 64))
      let without = try SingularValueDecomposition.byteCount(rows: rows, columns: columns, vectors: false)
      #expect(without >= 8 * rows * columns && without < found)
    }
  }

  /// Squares of the elements overflow, or vanish.
  @Test(arguments: [0x1p1000, 0x1p-1000]) func farFromOne(_ unit: Double) throws {
    let parts = try SingularValueDecomposition([3 * unit, 0, 4 * unit, 5 * unit], rows: 2, columns: 2)
    #expect(abs(parts.values[0] / unit - sqrt(45)) <= tolerance(2, 2) * 7)
    #expect(abs(parts.values[1] / unit - sqrt(5)) <= tolerance(2, 2) * 7)
  }

  @Test func sameBytesEveryTime() throws {
    var random = SplitMix64(seed: 77)
    let matrix = random.matrix(90, 70)
    let first = try SingularValueDecomposition(matrix, rows: 90, columns: 70)
    let others = try Threads(4).map(12) { _ in try SingularValueDecomposition(matrix, rows: 90, columns: 70) }
    for other in others {
      #expect(other.values == first.values && other.left == first.left && other.right == first.right)
    }
  }
}
