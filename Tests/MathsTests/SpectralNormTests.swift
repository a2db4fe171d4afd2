// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Parallel
import Random
import Tensors
import Testing

/// Matrices of known and unknown spectra.
enum SymmetricSamples {
  static func random(_ n: Int, seed: UInt64) -> SymmetricMatrix {
    var random = SplitMix64(seed: seed)
    let matrix = random.matrix(n, n)
    return SymmetricMatrix((0..<n * n).map { matrix[$0] + matrix[$0 % n * n + $0 / n] }, count: n)
  }

  static func diagonal(_ values: [Double]) -> SymmetricMatrix {
    var elements = [Double](repeating: 0, count: values.count * values.count)
    for (i, value) in values.enumerated() { elements[i * values.count + i] = value }
    return SymmetricMatrix(elements, count: values.count)
  }

  /// Σ sₖ vₖvₖᵀ with random vectors.
  static func lowRank(_ n: Int, _ signs: [Double], seed: UInt64) -> SymmetricMatrix {
    var random = SplitMix64(seed: seed)
    var elements = [Double](repeating: 0, count: n * n)
    for sign in signs {
      let vector = random.matrix(n, 1)
      for i in 0..<n * n { elements[i] += sign * vector[i / n] * vector[i % n] }
    }
    return SymmetricMatrix(elements, count: n)
  }

  static let all: [(name: String, matrix: SymmetricMatrix)] = [
    ("nothing", SymmetricMatrix([], count: 0)),
    ("one", SymmetricMatrix([-3], count: 1)),
    ("zero of one", SymmetricMatrix([0], count: 1)),
    ("two", SymmetricMatrix([1, 2, 2, -3], count: 2)),
    ("two, negative", SymmetricMatrix([-5, 1, 1, -4], count: 2)),
    ("two, opposite", SymmetricMatrix([0, 2, 2, 0], count: 2)),
    ("two, positive", SymmetricMatrix([5, 1, 1, 4], count: 2)),
    ("two, diagonal", diagonal([-7, 2])),
    ("two, equal", diagonal([3, 3])),
    ("zero", diagonal([0, 0, 0, 0, 0, 0])),
    ("identity", diagonal([1, 1, 1, 1, 1, 1, 1])),
    ("random of 3", random(3, seed: 1)),
    ("random of 10", random(10, seed: 2)),
    ("random of 47", random(47, seed: 3)),
    ("rank 1", lowRank(30, [1], seed: 4)),
    ("rank 1, negative", lowRank(30, [-1], seed: 5)),
    ("rank 4, indefinite", lowRank(30, [1, -1, 2, -2], seed: 6)),
    ("top cluster", diagonal((0..<40).map { 1 - Double($0) * 1e-9 })),
    ("top cluster of both signs", diagonal((0..<40).map { sign($0) * (1 - 1e-8 * Double($0)) })),
    ("slow decay", diagonal((0..<50).map { 1 - Double($0) / 50 })),
    ("steep decay", diagonal((0..<50).map { exp(-Double($0)) })),
    ("opposite ends", diagonal((0..<31).map { Double($0 - 15) })),
  ]

  private static func sign(_ k: Int) -> Double { k % 2 == 0 ? 1 : -1 }

  static let units: [Double] = [1, 0x1p30, 0x1p-40, 0x1p500, 0x1p-500, 0x1p1000, 0x1p-1000, 0x1p-1060]
}

extension SymmetricMatrix {
  func scaled(_ factor: Double) -> SymmetricMatrix { SymmetricMatrix(elements.map { $0 * factor }, count: count) }
}

@Suite struct EigenvaluesTests {
  /// LAPACK's errors are a modest multiple of n units of roundoff, of the norm.
  private func tolerance(_ n: Int) -> Double { 10 * Double(max(4, n)) * .ulpOfOne }

  @Test(arguments: SymmetricSamples.all.indices) func laws(_ index: Int) throws {
    let (name, matrix) = SymmetricSamples.all[index]
    let n = matrix.count
    let size = matrix.elements.reduce(0) { $0 + $1 * $1 }.squareRoot()
    for wanted in Set([0, min(1, n), min(2, n), min(10, n), n, n + 3]) {
      let found = try Eigenvalues(of: matrix, vectors: wanted)
      #expect(found.values.count == n && found.vectors.count == min(wanted, n), "\(name)")
      #expect(zip(found.values, found.values.dropFirst()).allSatisfy { $0 >= $1 }, "\(name)")
      let total = found.values.reduce(0, +)
      #expect(abs(total - matrix.trace) <= tolerance(n) * size, "\(name)")
      let squares = found.values.reduce(0) { $0 + $1 * $1 }
      #expect(abs(squares - size * size) <= tolerance(n) * size * size, "\(name)")
      for (k, vector) in found.vectors.enumerated() {
        #expect(vector.count == n && vector.reduce(0, +) >= 0, "\(name)")
        let residual = (0..<n).reduce(0.0) { most, row in
          let image = (0..<n).reduce(0) { $0 + matrix.elements[row * n + $1] * vector[$1] }
          return max(most, abs(image - found.values[k] * vector[row]))
        }
        // Of eigenvalues nearer than √ε, the vector may be that of another.
        let separation = name.hasPrefix("top cluster") ? Double.ulpOfOne.squareRoot() : tolerance(n)
        #expect(residual <= separation * size, "\(name), vector \(k) of \(wanted): \(residual)")
        for j in 0...k {
          let product = zip(vector, found.vectors[j]).reduce(0) { $0 + $1.0 * $1.1 }
          #expect(abs(product - (j == k ? 1 : 0)) <= tolerance(n), "\(name), vectors \(j) and \(k)")
        }
      }
    }
  }

  /// Of n points on a circle with only neighbours joined: 2 cos 2πk/n.
  @Test func knownSpectrum() throws {
    let n = 24
    var circle = SymmetricSamples.diagonal([Double](repeating: 0, count: n))
    for i in 0..<n {
      for j in [(i + 1) % n, (i + n - 1) % n] { circle.elements[i * n + j] = 1 }
    }
    let angle = 2 * Double.pi / Double(n)
    let expected = (0..<n).map { 2 * cos(angle * Double($0)) }.sorted(by: >)
    let found = try Eigenvalues(of: circle, vectors: 1)
    #expect(zip(found.values, expected).allSatisfy { abs($0 - $1) <= tolerance(n) * 2 })
    let flat = 1 / Double(n).squareRoot()
    #expect(found.vectors[0].allSatisfy { abs($0 - flat) <= tolerance(n) })
  }

  @Test(arguments: SymmetricSamples.units) func everyScale(_ unit: Double) throws {
    // Short of the smallest numbers, which have fewer digits.
    guard unit >= 0x1p-1000 else { return }
    for n in [1, 2, 12] {
      let matrix = SymmetricSamples.random(n, seed: 71)
      let expected = try Eigenvalues(of: matrix, vectors: 1)
      let found = try Eigenvalues(of: matrix.scaled(unit), vectors: 1)
      #expect(zip(found.values, expected.values).allSatisfy { abs($0 / unit - $1) <= tolerance(n) * 20 })
      #expect(zip(found.vectors[0], expected.vectors[0]).allSatisfy { abs($0 - $1) <= 1e-12 })
    }
  }

  @Test(arguments: [Double.nan, .infinity]) func refusesWhatIsNotFinite(_ element: Double) {
    var matrix = SymmetricSamples.random(3, seed: 1)
    matrix.elements[4] = element
    #expect(throws: LinearAlgebraError.notFinite) { try Eigenvalues(of: matrix) }
    #expect(throws: LinearAlgebraError.notFinite) { try matrix.spectralNorm(threads: Threads(1)) }
  }
}

@Suite struct SpectralNormTests {
  /// That of Lanczos's method, and LAPACK's.
  private static let tolerance = 1e-7

  @Test(arguments: SymmetricSamples.all.indices) func ofSymmetricMatrices(_ index: Int) throws {
    let (name, matrix) = SymmetricSamples.all[index]
    let expected = try Eigenvalues(of: matrix).values.reduce(0) { max($0, abs($1)) }
    let found = try matrix.spectralNorm(threads: Threads(1))
    #expect(abs(found - expected) <= Self.tolerance * expected, "\(name): \(found), expected \(expected)")
    // What Lanczos's method finds is the quotient of a vector, which no vector makes larger than the norm.
    #expect(found <= expected * (1 + 1e-13))
    for threads in [2, 7] { #expect(try matrix.spectralNorm(threads: Threads(threads)) == found) }
  }

  @Test(arguments: SymmetricSamples.units) func ofEveryScale(_ unit: Double) throws {
    for n in [1, 2, 20] {
      let matrix = SymmetricSamples.random(n, seed: 72)
      let expected = try matrix.spectralNorm(threads: Threads(1))
      let found = try matrix.scaled(unit).spectralNorm(threads: Threads(1))
      // 2⁻¹⁰⁶⁰ leaves fourteen bits.
      #expect(abs(found / unit - expected) <= (unit < 0x1p-1022 ? 1e-3 : 1e-12) * expected, "\(unit) \(n)")
    }
  }

}

@Suite struct LargestSingularValueTests {
  /// That of bytes, in windows of `window` rows, perhaps less others.
  private func value<Element: BitwiseCopyable>(
    _ type: ElementType, _ rows: Int, _ columns: Int, _ a: [Element], less b: [Element]? = nil, norm: Double,
    window: Int = .max, iterations: Int = 300, threads: Int = 1
  ) throws -> LargestSingularValue {
    try LargestSingularValue(
      type, rows: rows, columns: columns, norm: norm, iterations: iterations, threads: Threads(threads)
    ) { body in
      for row in stride(from: 0, to: rows, by: min(rows, window)) {
        let range =
          row * columns..<min(rows, row.addingReportingOverflow(window).overflow ? rows : row + window) * columns
        a[range].withUnsafeBytes { a in
          if let b { b[range].withUnsafeBytes { body(a, $0) } } else { body(a, nil) }
        }
      }
    }
  }

  private func norm(_ x: [Double]) -> Double {
    let unit = x.map(\.magnitude).max() ?? 0
    return unit > 0 ? x.reduce(0) { $0 + ($1 / unit) * ($1 / unit) }.squareRoot() * unit : 0
  }

  /// Shapes, and matrices of low rank, whose singular values LAPACK gives.
  @Test(arguments: [
    (1, 1), (1, 9), (9, 1), (2, 2), (2, 30), (30, 2), (17, 23), (23, 17), (40, 40), (3, 600), (200, 150),
  ])
  func ofAnyMatrix(_ rows: Int, _ columns: Int) throws {
    var random = SplitMix64(seed: UInt64(1000 * rows + columns))
    let whole = random.matrix(rows, columns).map { Double(Float($0)) }
    let (left, right) = (random.matrix(rows, 1), random.matrix(1, columns))
    let rankOne = (0..<rows * columns).map { Double(Float(left[$0 / columns] * right[$0 % columns])) }
    for (name, matrix) in [("random", whole), ("rank 1", rankOne)] {
      let expected = try SingularValueDecomposition.values(rows: rows, columns: columns) {
        _ = $0.update(fromContentsOf: matrix)
      }[0]
      let size = norm(matrix)
      let narrow = matrix.map { Float($0) }
      let found = [
        try value(.float64, rows, columns, matrix, norm: size),
        try value(.float32, rows, columns, narrow, norm: size),
        try value(.float32, rows, columns, narrow.map { 3 * $0 }, less: narrow.map { 2 * $0 }, norm: size),
        try value(.float32, rows, columns, narrow, norm: size, window: 7),
      ]
      for found in found {
        #expect(found.isConverged, "\(name)")
        #expect(abs(found.value - expected) <= 1e-4 * expected, "\(name): \(found), expected \(expected)")
        #expect(found.value <= expected * (1 + 1e-6), "\(name)")
      }
      #expect(try value(.float32, rows, columns, narrow, norm: size, threads: 5) == found[1])
    }
  }

  /// Cut short, it is a lower bound, and says so.
  @Test func ofFewSteps() throws {
    var random = SplitMix64(seed: 74)
    let matrix = random.matrix(120, 120)
    let whole = try value(.float64, 120, 120, matrix, norm: norm(matrix))
    let few = try value(.float64, 120, 120, matrix, norm: norm(matrix), iterations: 4)
    #expect(whole.isConverged && !few.isConverged && few.value < whole.value && few.value > 0.5 * whole.value)
  }

  @Test(arguments: SymmetricSamples.units) func ofEveryScale(_ unit: Double) throws {
    var random = SplitMix64(seed: 73)
    for (rows, columns) in [(1, 1), (4, 30), (30, 4)] {
      let matrix = random.matrix(rows, columns)
      let expected = try value(.float64, rows, columns, matrix, norm: norm(matrix)).value
      let scaled = matrix.map { $0 * unit }
      let found = try value(.float64, rows, columns, scaled, norm: norm(scaled)).value
      #expect(abs(found / unit - expected) <= (unit < 0x1p-1022 ? 1e-3 : 1e-12) * expected, "\(unit)")
    }
    // Beyond what squares in float32 can hold.
    for (type, factor) in [(ElementType.float32, Float(0x1p120)), (.float32, 0x1p-130)] {
      let matrix = random.matrix(20, 20).map { Float($0) * factor }
      let wide = matrix.map { Double($0) }
      let expected = try value(.float64, 20, 20, wide, norm: norm(wide)).value
      #expect(try abs(value(type, 20, 20, matrix, norm: norm(wide)).value - expected) <= 1e-4 * expected)
    }
  }

  @Test func zerosAndNothing() throws {
    for (rows, columns) in [(0, 0), (0, 3), (3, 0), (1, 1), (2, 2), (5, 9)] {
      let found = try value(.float32, rows, columns, [Float](repeating: 0, count: rows * columns), norm: 0)
      #expect(found.value == 0 && found.isConverged)
    }
  }
}
