// SPDX-License-Identifier: Apache-2.0

import Maths
import Parallel
import Random
import Tensors
import Testing

/// The examples that documentation comments give.
@Suite struct DocumentationExamplesTests {
  private let threads = Threads(1)

  /// `NetworkKernels`: ∂f/∂(w, b) = (x, 1) for f(x) = w·x + b.
  @Test func kernelsOfOneLayer() throws {
    let network = Network(
      nodes: [.init(.input(shape: [2]), inputs: []), .init(.dense(kernel: "w", bias: "b"), inputs: [0])], outputs: [1])
    let function = try NetworkFunction(
      network, matrix: { _ in .dense([5, -7], rows: 1, columns: 2) }, vector: { _ in [3] })
    let kernels = NetworkKernels(of: function, points: 2, threads: threads, fill: filler([[1, 0], [1, 1]]))
    #expect(kernels.conjugate.elements == [1, 1, 1, 2])
    #expect(kernels.tangent?.elements == [2, 2, 2, 3])
  }

  /// `KernelDistance` of diag(2, 1) and diag(3, 1).
  @Test func distanceOfTwoMatrices() throws {
    let found = try KernelDistance(
      SymmetricMatrix([2, 0, 0, 1], count: 2), SymmetricMatrix([3, 0, 0, 1], count: 2), withSpectra: true,
      threads: threads)
    let expected: [(Double?, Double)] = [
      (found.relativeSpectralNorm, 0.5), (found.shift, 0.5), (found.residualAfterShift, 0.25), (found.scale, 1.4),
      (found.residualAfterScale, 1.0 / 7), (found.eigenvalueDistance, 1.0 / 3), (found.alignment, 1),
      (found.subspace?.gap, 2), (found.subspace?.sine, 0),
    ]
    for (index, (value, number)) in expected.enumerated() {
      #expect(try abs(#require(value) - number) <= 1e-12, "\(index)")
    }
    #expect(found.subspace?.dimension == 1)
  }

  /// `TailIndex`: sums of m equal samples are m¹ of them.
  @Test func tailIndexOfEqualSamples() throws {
    var random = SplitMix64(seed: 1)
    let found = try #require(TailIndex(of: [3, 3, 3, 3, 3, 3, 3, 3], using: &random))
    #expect(abs(found.value - 1) <= 1e-12)
    #expect(found.sampleCount == 8 && found.droppedCount == 0)
  }

  /// `populationLoss`: relu(u) against relu(−u), whose difference is u = 3x₁ + 4x₂.
  @Test func lossOfTwoUnits() throws {
    func network(_ w: [Double]) -> TwoLayerNetwork {
      TwoLayerNetwork(inputs: 2, incoming: w, biases: [0], outgoing: [1], offsets: [0], activation: .relu)
    }
    let found = try #require(populationLoss(network([3, 4]), network([-3, -4]), threads: threads))
    #expect(abs(found.squaredNorm - 12.5) <= 1e-13 && abs(found.squaredError - 25) <= 1e-13)
  }
}
