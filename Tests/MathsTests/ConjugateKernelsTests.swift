// SPDX-License-Identifier: Apache-2.0

import Maths
import Parallel
import Random
import Tensors
import Testing

@Suite struct ConjugateKernelsTests {
  /// Two networks, and points for both.
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var a: SampleNetwork
    var b: SampleNetwork
    var points: [[Double]]
    var testDescription: String { name }

    init(_ name: String, _ a: SampleNetwork, _ b: SampleNetwork, points: Int) {
      (self.name, self.a, self.b) = (name, a, b)
      var random = SplitMix64(seed: 93)
      self.points = random.points(points, a.inputCount)
    }
  }

  /// Every weight of a chain times 1 + ε, ε Gaussian.
  static func moved(_ network: SampleNetwork, by size: Double) -> SampleNetwork {
    var (result, random) = (network, SplitMix64(seed: 94))
    for name in network.matrices.keys.sorted() {
      result.matrices[name] = network.matrices[name]?.map { $0.map { $0 * (1 + size * random.gaussian()) } }
    }
    return result
  }

  /// The weights before the last layer multiplied by a number.
  static func scaled(_ network: SampleNetwork, by factor: Double) -> SampleNetwork {
    var result = network
    for name in ["w1", "w2"] as [TensorName] {
      result.matrices[name] = network.matrices[name]?.map { $0.map { $0 * factor } }
    }
    return result
  }

  static let cases: [Case] = {
    let relu = SampleNetwork.chain([6, 9, 5, 2], .relu, seed: 90)
    let wide = SampleNetwork.chain([6, 4, 12, 3], .tanh, seed: 91)
    let plain = SampleNetwork.chain([6, 9, 5, 2], .tanh, biased: false, seed: 92)
    let unbiased = SampleNetwork.chain([6, 8, 7, 2], .relu, biased: false, seed: 92)
    return [
      Case("near", relu, moved(relu, by: 0.1), points: 40),
      Case("nearer", relu, moved(relu, by: 1e-5), points: 270),
      Case("almost the same", relu, moved(relu, by: 1e-9), points: 100),
      Case("other widths", relu, wide, points: 290),
      Case("the other way round", wide, relu, points: 257),
      Case("as few points as may be", relu, wide, points: 18),
      Case("scale", plain, scaled(plain, by: 0.5), points: 90),
      Case("constant features", scaled(relu, by: 0), wide, points: 60),
      Case("constant features of both", scaled(relu, by: 0), scaled(wide, by: 0), points: 60),
      Case("A is zero", scaled(unbiased, by: 0), relu, points: 60),
      Case("B is zero", relu, scaled(unbiased, by: 0), points: 60),
      Case("both are zero", scaled(unbiased, by: 0), scaled(plain, by: 0), points: 60),
      Case("one layer", .chain([6, 3], .relu, seed: 96), .chain([6, 2], .relu, seed: 97), points: 80),
    ]
  }()

  private func distance(_ one: Case, withSpectra: Bool = true, threads: Int = 2) throws -> KernelDistance {
    let (f, g) = (try one.a.function(), try one.b.function())
    #expect(ConjugateKernels.isSmaller(f, g, points: one.points.count))
    let kernels = ConjugateKernels(
      of: f, g, points: one.points.count, threads: Threads(threads), fill: filler(one.points))
    #expect(kernels.areFinite == (true, true))
    return try KernelDistance(kernels, withSpectra: withSpectra, threads: Threads(threads))
  }

  private func denseDistance(_ one: Case) throws -> KernelDistance {
    func kernel(_ network: SampleNetwork) throws -> SymmetricMatrix {
      NetworkKernels(
        of: try network.function(), points: one.points.count, threads: Threads(2), fill: filler(one.points)
      ).conjugate
    }
    return try KernelDistance(kernel(one.a), kernel(one.b), withSpectra: true, threads: Threads(2))
  }

  /// All measures as those of the n × n matrices: what is divided by ‖A‖ to 10⁻¹⁰, sines to 10⁻⁷.
  @Test(arguments: cases) func asDense(_ one: Case) throws {
    let (found, expected) = (try distance(one), try denseDistance(one))
    expectClose(found, expected, gap: 1e-9, one.name)
    let norm = expected.norms.a > 0 ? expected.norms.a : 1
    if let distance = expected.eigenvalueDistance {
      #expect(abs(try #require(found.eigenvalueDistance) - distance) <= 1e-10)
    } else {
      #expect(found.eigenvalueDistance == nil)
    }
    let (spectra, dense) = (try #require(found.spectra), try #require(expected.spectra))
    for (own, other) in [(spectra.a.values, dense.a.values), (spectra.b.values, dense.b.values)] {
      #expect(own.count == one.points.count)
      #expect(zip(own, own.dropFirst()).allSatisfy { $0 >= $1 })
      #expect(zip(own, other).allSatisfy { abs($0 - $1) <= 1e-12 * norm })
    }
  }

  /// What is small is not lost in the square of what is large: a network whose features differ by 10⁻⁹ has kernels that
  /// differ by as much, to 10⁻¹⁵ of their size.
  @Test func smallDifferences() throws {
    let near = Self.cases[2]
    let found = try #require(try distance(near).relativeSpectralNorm)
    let expected = try #require(try denseDistance(near).relativeSpectralNorm)
    #expect(1e-11...1e-8 ~= expected)
    #expect(abs(found - expected) <= 3e-15)
  }

  @Test(arguments: cases) func sameNetworks(_ one: Case) throws {
    var same = one
    same.b = one.a
    let found = try distance(same)
    #expect(found.norms.a == found.norms.b && found.shift == 0)
    if found.norms.a > 0 {
      #expect(found.relativeSpectralNorm == 0 && found.residualAfterShift == 0)
      #expect(found.scale == 1 && found.residualAfterScale == 0 && found.eigenvalueDistance == 0)
      #expect(try #require(found.subspace?.sine) <= 1e-14)
    }
    if let alignment = found.alignment { #expect(abs(alignment - 1) <= 1e-14) }
  }

  /// With more blocks of points than threads, and fewer.
  @Test func threadsDoNotMatter() throws {
    let one = Case("many", Self.cases[3].a, Self.cases[3].b, points: 1300)
    let expected = try distance(one, threads: 1)
    for threads in [3] {
      let found = try distance(one, threads: threads)
      #expect(found.norms == expected.norms && found.shift == expected.shift && found.scale == expected.scale)
      #expect(found.relativeSpectralNorm == expected.relativeSpectralNorm)
      #expect(found.residualAfterShift == expected.residualAfterShift)
      #expect(found.residualAfterScale == expected.residualAfterScale)
      #expect(found.eigenvalueDistance == expected.eigenvalueDistance && found.alignment == expected.alignment)
      #expect(found.subspace?.sine == expected.subspace?.sine)
    }
  }

  @Test func withoutSpectra() throws {
    let one = Self.cases[0]
    let (all, fast) = (try distance(one), try distance(one, withSpectra: false))
    #expect(fast.spectra == nil && fast.eigenvalueDistance == nil && fast.subspace == nil)
    #expect(fast.norms == all.norms && fast.alignment == all.alignment)
    #expect(fast.residualAfterShift == all.residualAfterShift)
  }

  /// Eigenvectors of points are those of the matrices.
  @Test(arguments: [0, 3, 8]) func eigenvectors(_ number: Int) throws {
    let one = Self.cases[number]
    let (f, g) = (try one.a.function(), try one.b.function())
    let kernels = ConjugateKernels(of: f, g, points: one.points.count, threads: Threads(2), fill: filler(one.points))
    let spectra = try #require(try KernelDistance(kernels, withSpectra: true, threads: Threads(2)).spectra)
    let found = kernels.vectors(spectra, count: 2, of: f, g, threads: Threads(2), fill: filler(one.points))
    let dense = try #require(try denseDistance(one).spectra)
    for (vectors, expected) in [(found.a, dense.a.vectors), (found.b, dense.b.vectors)] {
      #expect(vectors.count == (number == 8 ? 1 : 2))
      for (vector, other) in zip(vectors, expected) { #expect(relativeDifference(vector, other) <= 1e-10) }
    }
  }

  @Test func notFinite() throws {
    let (relu, wide) = (Self.cases[3].a, Self.cases[3].b)
    let points = Self.cases[3].points
    for (a, b, expected) in [
      (Self.scaled(relu, by: 1e100), wide, (false, true)), (relu, Self.scaled(wide, by: .infinity), (true, false)),
    ] {
      let kernels = ConjugateKernels(
        of: try a.function(), try b.function(), points: points.count, threads: Threads(2), fill: filler(points))
      #expect(kernels.areFinite == expected)
    }
  }

  /// As many points as there are features of both leave no room for the basis.
  @Test func fewPoints() throws {
    let (f, g) = (try Self.cases[3].a.function(), try Self.cases[3].b.function())
    #expect(!ConjugateKernels.isSmaller(f, g, points: 17))
    #expect(ConjugateKernels.isSmaller(f, g, points: 18))
  }
}

/// All that does not need every eigenvalue: what is divided by ‖A‖ to 10⁻¹⁰, sines to 10⁻⁷, gaps to a part of themselves.
func expectClose(_ found: KernelDistance, _ expected: KernelDistance, gap tolerance: Double, _ comment: String) {
  let norm = expected.norms.a > 0 ? expected.norms.a : 1
  func expect(_ x: Double?, _ y: Double?, within tolerance: Double = 1e-10, _ what: String) {
    guard let x, let y else {
      #expect(x == nil && y == nil, "\(comment), \(what): \(String(describing: x)), \(String(describing: y))")
      return
    }
    #expect(abs(x - y) <= tolerance, "\(comment), \(what): \(x), \(y)")
  }
  expect(found.norms.a / norm, expected.norms.a / norm, "‖A‖")
  expect(found.norms.b / norm, expected.norms.b / norm, "‖B‖")
  expect(found.relativeSpectralNorm, expected.relativeSpectralNorm, "‖A − B‖")
  expect(found.shift / norm, expected.shift / norm, "c")
  expect(found.residualAfterShift, expected.residualAfterShift, "after the shift")
  expect(found.scale, expected.scale, "s")
  expect(found.residualAfterScale, expected.residualAfterScale, "after the scale")
  expect(found.alignment, expected.alignment, "alignment")
  #expect(found.subspace?.dimension == expected.subspace?.dimension, "\(comment)")
  expect(found.subspace?.sine, expected.subspace?.sine, within: 1e-7, "sine")
  if let gap = found.subspace?.gap, let other = expected.subspace?.gap {
    expect(gap, other, within: tolerance * other, "gap")
  }
}
