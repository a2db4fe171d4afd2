// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Parallel
import Random
import Testing

@Suite struct KernelDistanceTests {
  private static let threads = Threads(2)

  /// XᵀX/p of n random points with p coordinates.
  private func gram(_ n: Int, _ p: Int, _ random: inout SplitMix64) -> SymmetricMatrix {
    let x = random.matrix(n, p)
    var elements = [Double](repeating: 0, count: n * n)
    x.withUnsafeBufferPointer { x in
      for i in 0..<n {
        for j in 0...i {
          var sum = 0.0
          for k in 0..<p { sum += x[i * p + k] * x[j * p + k] }
          (elements[i * n + j], elements[j * n + i]) = (sum / Double(p), sum / Double(p))
        }
      }
    }
    return SymmetricMatrix(elements, count: n)
  }

  private func distance(_ a: SymmetricMatrix, _ b: SymmetricMatrix, withSpectra: Bool = true) throws -> KernelDistance {
    try KernelDistance(a, b, withSpectra: withSpectra, threads: Self.threads)
  }

  private func plus(_ a: SymmetricMatrix, _ c: Double) -> SymmetricMatrix {
    var result = a
    for i in 0..<a.count { result.elements[i * a.count + i] += c }
    return result
  }

  /// Whether a measure is what it should be, to a thousand units of roundoff, but for norms by Lanczos's method.
  private func expect(_ found: Double?, _ expected: Double, within tolerance: Double = 3e-13, _ comment: String) {
    #expect(found.map { abs($0 - expected) <= tolerance } ?? false, "\(comment): \(String(describing: found))")
  }

  /// The table of 300 points with 50 features: A itself, 1.1A, A + ½I and another draw.
  @Test func tableOfMeasures() throws {
    var random = SplitMix64(seed: 81)
    let a = gram(300, 50, &random)

    let same = try distance(a, a)
    #expect(same.relativeSpectralNorm == 0 && same.eigenvalueDistance == 0 && same.shift == 0 && same.scale == 1)
    #expect(same.residualAfterShift == 0 && same.residualAfterScale == 0)
    expect(same.subspace?.sine, 0, "same")
    expect(same.alignment, 1, "same")
    let norm = same.norms.a
    #expect(norm == same.norms.b)
    let spectrum = try Eigenvalues(of: a).values
    expect(norm / spectrum[0], 1, within: 1e-7, "norm")

    // Norms by Lanczos's method are right to 1e-7.
    let scaled = try distance(a, a.scaled(1.1))
    expect(scaled.relativeSpectralNorm, 0.1, within: 2e-8, "1.1A")
    expect(scaled.eigenvalueDistance, 0.1, "1.1A")
    expect(scaled.subspace?.sine, 0, "1.1A")
    expect(scaled.alignment, 1, "1.1A")
    expect(scaled.scale, 1.1, "1.1A")
    expect(scaled.residualAfterScale, 0, "1.1A")
    expect(scaled.shift, 0.1 * a.trace / 300, "1.1A")

    let shifted = try distance(a, plus(a, 0.5))
    expect(shifted.relativeSpectralNorm, 0.5 / norm, within: 1e-8, "A + ½I")
    expect(shifted.eigenvalueDistance, 0.5 * 300 / a.trace, "A + ½I")
    expect(shifted.subspace?.sine, 0, within: 1e-11, "A + ½I")
    expect(shifted.shift, 0.5, "A + ½I")
    expect(shifted.residualAfterShift, 0, "A + ½I")
    // Means and deviations of 150 draws with another program: 0.0436 ± 0.0013, 0.501 ± 0.005, 0.98687 ± 0.00026.
    expect(shifted.relativeSpectralNorm, 0.0436, within: 4 * 0.0013, "A + ½I")
    expect(shifted.eigenvalueDistance, 0.501, within: 4 * 0.0053, "A + ½I")
    expect(shifted.alignment, 0.98687, within: 4 * 0.00026, "A + ½I")

    // Likewise: 0.970 ± 0.031, 0.0245 ± 0.0055, 0.9992 ± 0.0014, 0.1431 ± 0.0035.
    let other = try distance(a, gram(300, 50, &random))
    expect(other.relativeSpectralNorm, 0.970, within: 4 * 0.031, "another draw")
    expect(other.eigenvalueDistance, 0.0245, within: 4 * 0.0055, "another draw")
    expect(other.alignment, 0.1431, within: 4 * 0.0035, "another draw")
    let sine = try #require(other.subspace?.sine)
    #expect(sine > 0.99 && sine <= 1)
  }

  /// Exact angles: A has e₁, e₂ on top, B has them turned by θ towards e₃.
  @Test(arguments: [0, 1e-9, 1e-5, 0.1, 1, .pi / 2]) func angles(_ angle: Double) throws {
    let a = SymmetricSamples.diagonal([5, 4, 1e-3, 1e-3, 1e-3])
    let (c, s) = (cos(angle), sin(angle))
    // 5 e₁e₁ᵀ + 4 vvᵀ, v = c e₂ + s e₃
    var b = SymmetricSamples.diagonal([5, 0, 0, 0, 0])
    for (i, x) in [(1, c), (2, s)] {
      for (j, y) in [(1, c), (2, s)] { b.elements[5 * i + j] = 4 * x * y }
    }
    let found = try #require(try distance(a, b).subspace)
    #expect(found.dimension == 2)
    #expect(try abs(#require(found.gap) - 4000) <= 1e-8)
    #expect(try abs(#require(found.sine) - s) <= 1e-14 + 1e-12 * s)
  }

  /// Beside eigenvalues that are rounding there is no gap to tell, and a space that B has not has no angle.
  @Test func lowRank() throws {
    let three = SymmetricSamples.lowRank(40, [1, 1, 1], seed: 12)
    let same = try #require(try distance(three, three).subspace)
    #expect(same.dimension == 3 && same.gap == nil)
    #expect(try #require(same.sine) <= 1e-10)
    let zero = SymmetricMatrix([Double](repeating: 0, count: 1600), count: 40)
    for (b, sine) in [(zero, false), (SymmetricSamples.lowRank(40, [1, 1], seed: 12), false), (three, true)] {
      #expect((try distance(three, b).subspace?.sine != nil) == sine)
    }
  }

  /// A gap is looked for among the first ten, and a matrix without more than rounding below has one there.
  @Test func gaps() throws {
    let three = SymmetricSamples.lowRank(20, [1, 2, 3], seed: 84)
    #expect(try distance(three, three).subspace?.dimension == 3)
    let far = SymmetricSamples.diagonal((0..<20).map { $0 < 12 ? 2 - 0.001 * Double($0) : 1e-6 })
    #expect(try #require(try distance(far, far).subspace).dimension <= 10)
  }

  @Test func withoutSpectraTheRestIsTheSame() throws {
    var random = SplitMix64(seed: 82)
    let (a, b) = (gram(40, 10, &random), gram(40, 10, &random))
    let (all, fast) = (try distance(a, b), try distance(a, b, withSpectra: false))
    #expect(fast.spectra == nil && fast.eigenvalueDistance == nil && fast.subspace == nil)
    #expect(all.spectra != nil && all.eigenvalueDistance != nil && all.subspace != nil)
    #expect(fast.norms == all.norms && fast.shift == all.shift && fast.scale == all.scale)
    #expect(fast.relativeSpectralNorm == all.relativeSpectralNorm && fast.alignment == all.alignment)
    #expect(fast.residualAfterShift == all.residualAfterShift && fast.residualAfterScale == all.residualAfterScale)
    for threads in [1, 3] {
      let other = try KernelDistance(a, b, withSpectra: true, threads: Threads(threads))
      #expect(other.relativeSpectralNorm == all.relativeSpectralNorm && other.subspace?.sine == all.subspace?.sine)
    }
  }

  /// Weyl: no eigenvalue changes by more than the norm of the difference.
  @Test func eigenvaluesChangeByLessThanTheNorm() throws {
    var random = SplitMix64(seed: 83)
    for _ in 0..<10 {
      let (a, b) = (gram(20, 30, &random), gram(20, 30, &random))
      let found = try distance(a, b)
      let spectra = try #require(found.spectra)
      let most = zip(spectra.a.values, spectra.b.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(most <= (1 + 1e-6) * (try #require(found.relativeSpectralNorm)) * found.norms.a)
    }
  }

  // MARK: What is not defined

  @Test(arguments: [0, 1, 2, 3, 12]) func zeros(_ n: Int) throws {
    let zero = SymmetricMatrix([Double](repeating: 0, count: n * n), count: n)
    let other = n == 0 ? zero : SymmetricSamples.random(n, seed: 5)
    for b in [zero, other] {
      let found = try distance(zero, b)
      #expect(found.relativeSpectralNorm == nil && found.residualAfterShift == nil)
      #expect(found.scale == nil && found.residualAfterScale == nil && found.eigenvalueDistance == nil)
      #expect(found.subspace == nil && found.alignment == nil && found.shift.isFinite)
    }
    guard n > 0 else { return }
    let gone = try distance(other, zero)
    expect(gone.relativeSpectralNorm, 1, within: 1e-7, "B = 0")
    #expect(gone.scale == 0 && gone.residualAfterScale == nil && gone.alignment == nil)
  }

  @Test func noTrace() throws {
    let a = SymmetricSamples.diagonal([1, -1, 0, 0])
    let found = try distance(a, plus(a, 1))
    #expect(found.eigenvalueDistance == nil && found.shift == 1)
    expect(found.relativeSpectralNorm, 1, within: 1e-7, "trace 0")
    let negative = try distance(a.scaled(-3), a)
    #expect(negative.subspace != nil && negative.eigenvalueDistance == nil)
    let down = SymmetricSamples.diagonal([-1, -2, -3])
    #expect(try distance(down, down.scaled(-1)).subspace == nil)
  }

  /// Matrices whose rows are all the same: nothing is left of them without the means but rounding.
  @Test func nothingButMeans() throws {
    let n = 30
    var random = SplitMix64(seed: 85)
    let vector = random.matrix(n, 1)
    // v1ᵀ + 1vᵀ
    let sums = SymmetricMatrix((0..<n * n).map { vector[$0 / n] + vector[$0 % n] }, count: n)
    let flat = SymmetricMatrix([Double](repeating: 0.1, count: n * n), count: n)
    let other = gram(n, 5, &random)
    for means in [flat, sums, flat.scaled(1e30), flat.scaled(1e-30)] {
      #expect(try distance(means, other).alignment == nil)
      #expect(try distance(other, means).alignment == nil)
      #expect(try distance(means, means).alignment == nil)
    }
    #expect(try distance(other, other).alignment != nil)
  }

  /// One or two points.
  @Test func fewPoints() throws {
    let one = try distance(SymmetricMatrix([2], count: 1), SymmetricMatrix([3], count: 1))
    expect(one.relativeSpectralNorm, 0.5, "one point")
    expect(one.eigenvalueDistance, 0.5, "one point")
    #expect(one.subspace == nil && one.alignment == nil)
    let two = try distance(SymmetricMatrix([2, 1, 1, 2], count: 2), SymmetricMatrix([2, -1, -1, 2], count: 2))
    expect(two.relativeSpectralNorm, 2.0 / 3, "two points")
    expect(two.subspace?.sine, 1, "two points")
    expect(two.alignment, 1, "two points")
    expect(two.eigenvalueDistance, 0, "two points")
  }

  /// No measure depends on the unit.
  @Test(arguments: [1e-290, 1e-170, 1e-140, 1e-90, 1e-60, 1e60, 1e90, 1e140, 1e170, 1e290])
  func units(_ unit: Double) throws {
    var random = SplitMix64(seed: 86)
    let (a, b) = (gram(12, 20, &random), gram(12, 20, &random))
    let (found, expected) = (try distance(a.scaled(unit), b.scaled(unit)), try distance(a, b))
    for (x, y) in [
      (found.relativeSpectralNorm, expected.relativeSpectralNorm), (found.scale, expected.scale),
      (found.residualAfterShift, expected.residualAfterShift),
      (found.residualAfterScale, expected.residualAfterScale), (found.alignment, expected.alignment),
      (found.eigenvalueDistance, expected.eigenvalueDistance), (found.subspace?.sine, expected.subspace?.sine),
      (found.shift / unit, expected.shift), (found.norms.a / unit, expected.norms.a),
    ] {
      expect(x, try #require(y), within: 1e-10, "unit \(unit)")
    }
  }

  /// Nor on whether both have the same, where a factor is no more than a scale.
  @Test(arguments: [(1e-90, 1e90), (1e90, 1e-90), (1e-170, 1e-20), (1e170, 1e20), (1, 1e170), (1e-170, 1)])
  func factors(_ unit: Double, _ other: Double) throws {
    var random = SplitMix64(seed: 87)
    let a = gram(12, 20, &random)
    let found = try distance(a.scaled(unit), a.scaled(other))
    expect(found.scale.map { $0 * (unit / other) }, 1, "scale")
    expect(found.alignment, 1, "alignment")
    expect(found.residualAfterScale, 0, "residual")
  }
}
