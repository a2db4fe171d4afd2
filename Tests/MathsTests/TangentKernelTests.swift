// SPDX-License-Identifier: Apache-2.0

import Parallel
import Random
import Tensors
import Testing

@testable import Maths

/// Tangent kernels as operators, against the matrices.
@Suite struct TangentKernelTests {
  private func kernel(
    _ network: SampleNetwork, _ points: [[Double]], isStored: Bool, output: TangentOutput = .sum, threads: Int = 2,
    memory: Int = 1 << 30
  ) throws -> TangentKernel {
    TangentKernel(
      of: try network.function(), points: points.count, output: output, isStored: isStored, threads: Threads(threads),
      memory: memory, fill: filler(points))
  }

  private func dense(
    _ network: SampleNetwork, _ points: [[Double]], output: TangentOutput = .sum
  ) throws -> SymmetricMatrix {
    NetworkKernels.tangent(
      of: try network.function(), points: points.count, output: output, threads: Threads(2), fill: filler(points))
  }

  private func product(_ kernel: TangentKernel, _ x: [Double], threads: Int = 2) -> [Double] {
    [Double](unsafeUninitializedCapacity: x.count) { out, count in
      kernel.multiply(x, to: out.baseAddress!, threads: Threads(threads))
      count = x.count
    }
  }

  private func product(_ matrix: SymmetricMatrix, _ x: [Double]) -> [Double] {
    let n = matrix.count
    return (0..<n).map { row in (0..<n).reduce(0) { $0 + matrix.elements[row * n + $1] * x[$1] } }
  }

  // MARK: Products

  @Test(arguments: NetworkSamples.all.indices) func productsOfEveryOperation(_ index: Int) throws {
    var (name, network) = NetworkSamples.all[index]
    let points = network.random.points(6, network.inputCount)
    let x = network.random.matrix(6, 1)
    let logits = network.expected([points[0]]).logits.count
    for output in [.sum, .one(logits - 1)] as [TangentOutput] {
      let matrix = try dense(network, points, output: output)
      for isStored in [true, false] {
        let own = try kernel(network, points, isStored: isStored, output: output)
        #expect(relativeDifference(product(own, x), product(matrix, x)) <= 1e-13, "\(name), stored: \(isStored)")
        #expect(relativeDifference(own.diagonal, (0..<6).map { matrix.elements[7 * $0] }) <= 1e-14, "\(name)")
      }
    }
  }

  /// More points than a block, and not a multiple; with room for all derivatives, or for those of one output.
  @Test(arguments: [true, false]) func manyPoints(_ isStored: Bool) throws {
    var network = SampleNetwork.chain([3, 5, 4], .relu, seed: 101)
    let points = network.random.points(600, 3)
    let x = network.random.matrix(600, 1)
    let expected = product(try dense(network, points), x)
    let own = try kernel(network, points, isStored: isStored)
    let found = product(own, x)
    #expect(relativeDifference(found, expected) <= 1e-13)
    #expect(
      relativeDifference(product(try kernel(network, points, isStored: isStored, memory: 1), x), expected) <= 1e-13)
    for threads in [1, 5] {
      #expect(product(try kernel(network, points, isStored: isStored, threads: threads), x, threads: threads) == found)
    }
  }

  // MARK: Measures

  private func distance(
    _ a: TangentKernel, _ b: TangentKernel, withVectors: Bool = true, threads: Int = 2
  ) throws -> KernelDistance {
    try KernelDistance(leadingOf: a, b, withVectors: withVectors, threads: Threads(threads))
  }

  private func expectSame(_ found: KernelDistance, _ expected: KernelDistance, _ comment: String) {
    expectClose(found, expected, gap: 1e-8, comment)
    #expect(found.spectra == nil && found.eigenvalueDistance == nil)
  }

  @Test(arguments: ConjugateKernelsTests.cases, [true, false])
  func asDense(_ one: ConjugateKernelsTests.Case, isStored: Bool) throws {
    // In one case more than a block.
    let points = Array(one.points.prefix(one.name == "nearer" ? 270 : 60))
    let expected = try KernelDistance(
      dense(one.a, points), dense(one.b, points), withSpectra: true, threads: Threads(2))
    let (a, b) = (
      try kernel(one.a, points, isStored: isStored), try kernel(one.b, points, isStored: isStored)
    )
    expectSame(try distance(a, b), expected, one.name)
    // The same network.
    let same = try distance(a, try kernel(one.a, points, isStored: isStored))
    #expect(same.norms.a == same.norms.b && same.shift == 0)
    guard same.norms.a > 0 else { return }
    #expect(same.relativeSpectralNorm == 0 && same.residualAfterShift == 0)
    #expect(same.scale == 1 && same.residualAfterScale == 0)
    if let sine = same.subspace?.sine { #expect(sine <= 1e-14) }
  }

  @Test func fewPoints() throws {
    var network = SampleNetwork.chain([3, 4, 2], .tanh, seed: 67)
    var other = SampleNetwork.chain([3, 4, 2], .tanh, seed: 68)
    for count in 0...12 {
      let points = network.random.points(count, 3)
      let expected = try KernelDistance(
        dense(network, points), dense(other, points), withSpectra: true, threads: Threads(2))
      let found = try distance(
        kernel(network, points, isStored: count % 2 == 0), kernel(other, points, isStored: count % 2 == 0))
      expectSame(found, expected, "\(count) points")
    }
    other = NetworkSamples.noWeights
    let points = other.random.points(5, 4)
    let zero = try kernel(other, points, isStored: true)
    let found = try distance(zero, zero)
    #expect(found.norms == (0, 0) && found.relativeSpectralNorm == nil && found.alignment == nil)
  }

  @Test(arguments: [true, false]) func threadsDoNotMatter(_ isStored: Bool) throws {
    var one = ConjugateKernelsTests.cases[3]
    one.points = Array(one.points.prefix(270))
    func found(_ one: ConjugateKernelsTests.Case, _ threads: Int) throws -> KernelDistance {
      try distance(
        kernel(one.a, one.points, isStored: isStored, threads: threads),
        kernel(one.b, one.points, isStored: isStored, threads: threads), threads: threads)
    }
    let expected = try found(one, 1)
    for threads in [3] {
      let found = try found(one, threads)
      #expect(found.norms == expected.norms && found.shift == expected.shift && found.scale == expected.scale)
      #expect(found.relativeSpectralNorm == expected.relativeSpectralNorm && found.alignment == expected.alignment)
      #expect(found.residualAfterShift == expected.residualAfterShift)
      #expect(found.residualAfterScale == expected.residualAfterScale)
      #expect(found.subspace?.sine == expected.subspace?.sine)
    }
  }

  /// No measure depends on the unit: weights of the last layer, which make all but its own part.
  @Test(arguments: [1e-40, 1e60]) func units(_ unit: Double) throws {
    let one = ConjugateKernelsTests.cases[0]
    func scaled(_ network: SampleNetwork) -> SampleNetwork {
      var result = network
      result.matrices["w3"] = network.matrices["w3"]?.map { $0.map { $0 * unit } }
      return result
    }
    let (a, b) = (scaled(one.a), scaled(one.b))
    let expected = try KernelDistance(
      dense(a, one.points), dense(b, one.points), withSpectra: true, threads: Threads(2))
    let found = try distance(kernel(a, one.points, isStored: true), kernel(b, one.points, isStored: true))
    expectSame(found, expected, "\(unit)")
  }

  @Test func withoutVectors() throws {
    let sample = ConjugateKernelsTests.cases[0]
    let (a, b) = (
      try kernel(sample.a, sample.points, isStored: true), try kernel(sample.b, sample.points, isStored: true)
    )
    let (all, fast) = (try distance(a, b), try distance(a, b, withVectors: false))
    #expect(fast.subspace == nil && all.subspace != nil)
    #expect(abs(fast.norms.a - all.norms.a) <= 1e-12 * all.norms.a)
    #expect(fast.alignment == all.alignment && fast.scale == all.scale)
    let (one, other) = (try #require(fast.relativeSpectralNorm), try #require(all.relativeSpectralNorm))
    #expect(abs(one - other) <= 1e-12)
  }

  // MARK: Largest eigenvalues

  /// Those of a matrix with gaps, with equal ones, of low rank, and of none.
  @Test(arguments: SymmetricSamples.all.indices) func largestEigenvalues(_ index: Int) throws {
    let (name, matrix) = SymmetricSamples.all[index]
    let n = matrix.count
    guard n > 0 else { return }
    let all = try Eigenvalues(of: matrix).values
    let wanted = min(n, 11)
    let found = try LeadingEigenvalues(count: n, wanted: wanted, tolerance: 1e-12) { x, y in
      for row in 0..<n { y[row] = (0..<n).reduce(0) { $0 + matrix.elements[row * n + $1] * x[$1] } }
    }
    let size = all.reduce(0) { max($0, abs($1)) }
    #expect(zip(found.values, all).allSatisfy { abs($0 - $1) <= 1e-10 * size }, "\(name): \(found.values)")
    for (i, vector) in found.vectors.enumerated() {
      #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) <= 1e-12, "\(name)")
      let image = (0..<n).map { row in (0..<n).reduce(0) { $0 + matrix.elements[row * n + $1] * vector[$1] } }
      #expect(zip(image, vector).allSatisfy { abs($0 - found.values[i] * $1) <= 1e-7 * size }, "\(name), \(i)")
    }
  }
}
