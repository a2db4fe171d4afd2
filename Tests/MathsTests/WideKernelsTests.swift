// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Parallel
import Random
import Tensors
import Testing

private let threads = Threads(2)

/// The rule of Gauss and Legendre with ten nodes on unit intervals, for each of two independent Gaussians.
private enum PairQuadrature {
  private static let rule = [
    (0.148874338981631, 0.295524224714753), (0.433395394129247, 0.269266719309996),
    (0.679409568299024, 0.219086362515982), (0.865063366688985, 0.149451349150581),
    (0.973906528517172, 0.066671344308688),
  ]

  /// ∫ f φ, f smooth between the edges.
  static func integral(_ edges: [Double], to end: Int, _ f: (Double) -> SIMD2<Double>) -> SIMD2<Double> {
    let ends = ((-8...end).map { Double($0) } + edges.filter { abs($0) < 8 }).sorted()
    var sum = SIMD2<Double>.zero
    for (low, high) in zip(ends, ends.dropFirst()) where high > low {
      let half = (high - low) / 2
      for (node, weight) in rule {
        for x in [low + half * (1 - node), high - half * (1 - node)] {
          sum += half * weight * exp(-x * x / 2) / sqrt(2 * .pi) * f(x)
        }
      }
    }
    return sum
  }

  /// E s(u)s(v) and E s′(u)s′(v) for variances a², b² and correlation r: v = b(rx + √(1 − r²)y).
  static func moments(_ s: Activation, _ a: Double, _ b: Double, _ r: Double, corners: [Double]) -> SIMD2<Double> {
    let rest = sqrt(1 - r * r)
    let end = s == .exponential ? 13 : 8
    // What is integrated over y is smooth in x but for the corners of u, and bends fast near those of v where |r| is near 1.
    return integral(corners.map { $0 / a } + corners.map { $0 / (b * r) }, to: end) { x in
      let (value, slope) = (s.value(at: a * x) ?? .nan, s.derivative(at: a * x) ?? .nan)
      let inner = integral(corners.map { ($0 / b - r * x) / rest }, to: end) { y in
        let v = b * (r * x + rest * y)
        return SIMD2(s.value(at: v) ?? .nan, s.derivative(at: v) ?? .nan)
      }
      return SIMD2(value, slope) * inner
    }
  }
}

/// Two classes with means 8e₀ and 8e₈ and covariances I and (1 + 8/√p)I, all divided by √p.
struct SampleMixture {
  let gram: SymmetricMatrix
  let points: [Double]
  let mixture: GaussianMixture

  init(width p: Int, count n: Int, seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let scales = [1, 1 + 8 / Double(p).squareRoot()]
    var (points, distances): ([Double], [Double]) = ([], [])
    let labels = (0..<n).map { $0 < n / 2 ? 0 : 1 }
    for label in labels {
      let noise = random.matrix(1, p).map { $0 * (scales[label] / Double(p)).squareRoot() }
      distances.append(noise.reduce(0) { $0 + $1 * $1 })
      points += noise.indices.map { noise[$0] + ($0 == 8 * label ? 8 / Double(p).squareRoot() : 0) }
    }
    self.points = points
    gram = try SymmetricMatrix(gramOf: points, width: p, threads: threads)
    let products = (0..<4).map { scales[$0 / 2] * scales[$0 % 2] / Double(p) }
    mixture = GaussianMixture(
      labels: labels, squaredDistances: distances, traces: scales,
      covarianceProducts: SymmetricMatrix(products, count: 2))
  }
}

private func distance(_ a: SymmetricMatrix?, _ b: SymmetricMatrix?) throws -> Double {
  var difference = try #require(a)
  let size = try difference.spectralNorm(threads: threads)
  for (k, element) in try #require(b).elements.enumerated() { difference.elements[k] -= element }
  return try difference.spectralNorm(threads: threads) / size
}

@Suite struct WideKernelsTests {
  /// One layer and two points against quadrature in two dimensions.
  @Test(arguments: activationsOfOneNumber) func agreeWithQuadrature(_ activation: Activation) throws {
    let (a, b) = (0.9, 1.3)
    for r in [-0.4, 0.8] {
      let gram = SymmetricMatrix([a * a, r * a * b, r * a * b, b * b], count: 2)
      let network = try WideNetwork([activation], deviation: 1)
      let centre = network.layers[0].moments.mean
      let kernels = try WideKernels(.exact, of: network, gram: gram, withTangent: true, threads: threads)
      let expected = PairQuadrature.moments(activation, a, b, r, corners: corners(activation))
      let means = try [a, b].map { try #require(GaussianMoments(of: activation, deviation: $0)).mean }
      let conjugate = expected[0] - centre * (means[0] + means[1]) + centre * centre
      let size = kernels.conjugate.elements[0] + kernels.conjugate.elements[3]
      #expect(
        abs(kernels.conjugate.elements[1] - conjugate) <= 2e-11 * size,
        "\(activation) at \(r): \(kernels.conjugate.elements[1]), expected \(conjugate)")
      for (i, deviation) in [a, b].enumerated() {
        let m = try #require(GaussianMoments(of: activation, deviation: deviation))
        let square = m.variance + (m.mean - centre) * (m.mean - centre)
        #expect(abs(kernels.conjugate.elements[3 * i] - square) <= 1e-14 * square)
        if let tangent = kernels.tangent {
          let expected = square + m.squaredDerivative * deviation * deviation
          #expect(abs(tangent.elements[3 * i] - expected) <= 1e-14 * expected)
        }
      }
      if let tangent = kernels.tangent {
        let value = conjugate + r * a * b * expected[1]
        let size = tangent.elements[0] + tangent.elements[3]
        // The quadrature meets jumps of the derivative that both corners make.
        #expect(
          abs(tangent.elements[1] - value) <= 2e-11 * size,
          "\(activation) at \(r): \(tangent.elements[1]), expected \(value)")
      } else {
        #expect(network.coefficients.kappaSquared == .infinity)
      }
      #expect(kernels.remainder <= 1e-10)
    }
  }

  private func corners(_ activation: Activation) -> [Double] {
    switch activation {
    case .relu, .leakyReLU, .elu, .selu, .abs, .sign, .step, .softsign: [0]
    case .hardSigmoid(let divisor): [-divisor / 2, divisor / 2]
    case .boundedReLU(let maximum, let threshold, _): [threshold] + (maximum.map { [$0] } ?? [])
    case .piecewiseConstant(_, let thresholds): thresholds
    default: []
    }
  }

  /// p = 100 and n = 200, relu three times: relative spectral errors of the mixture form, of that of second order and of
  /// the summary. (`spec/maths.md` has the table for larger ones; over seeds they vary by 3 %.)
  @Test func mixtureOfTheTable() throws {
    let data = try SampleMixture(width: 100, count: 200, seed: 1)
    let relu = [Activation](repeating: .relu, count: 3)
    func isNear(_ found: Double, _ expected: Double) -> Bool { abs(found - expected) <= 0.08 * expected }
    let own = try WideNetwork(relu, deviation: (data.gram.trace / 200).squareRoot())
    let exact = try WideKernels(.exact, of: own, gram: data.gram, withTangent: true, threads: threads)
    let estimate = GaussianMixture(labels: data.mixture.labels, gram: data.gram, threads: threads)
    for mixture in [data.mixture, estimate] {
      let form = WideKernels(mixture: mixture, of: own, gram: data.gram, withTangent: true, threads: threads)
      #expect(try isNear(distance(exact.conjugate, form.conjugate), 0.250))
      #expect(try isNear(distance(exact.tangent, form.tangent), 0.343))
    }
    let second = try WideKernels(.secondOrder, of: own, gram: data.gram, withTangent: true, threads: threads)
    #expect(try distance(exact.conjugate, second.conjugate) <= 0.006)
    #expect(try distance(exact.tangent, second.tangent) <= 0.013)
    let summary = WideKernels(summaryOf: own, gram: data.gram, withTangent: true, threads: threads)
    #expect(try distance(exact.conjugate, summary.conjugate) <= 0.11)
    #expect(try distance(exact.tangent, summary.tangent) <= 0.15)
  }

  /// Matched activations give the same kernel but for the shift.
  @Test func matchedNetwork() throws {
    let data = try SampleMixture(width: 400, count: 40, seed: 3)
    let deviation = (data.gram.trace / 40).squareRoot()
    for (activation, limit) in [(Activation.tanh, 0.03), (.relu, 0.15)] {
      let original = [activation, activation]
      let matching = try NetworkMatching(original, deviation: deviation, rule: .levels(3))
      func conjugate(_ activations: [Activation]) throws -> SymmetricMatrix {
        let network = try WideNetwork(activations, deviation: deviation)
        return try WideKernels(.exact, of: network, gram: data.gram, withTangent: true, threads: threads).conjugate
      }
      let found = try KernelDistance(
        conjugate(original), conjugate(matching.layers.map { $0.matched.activation }), withSpectra: false,
        threads: threads)
      #expect(abs(found.shift - matching.shift) <= 0.1 * matching.shift)
      let rest = try #require(found.residualAfterShift)
      #expect(rest <= limit, "\(activation): \(rest)")
    }
  }

  @Test func linearNetworkHasMultiplesOfTheGramMatrix() throws {
    let data = try SampleMixture(width: 20, count: 12, seed: 4)
    let network = try WideNetwork([.linear, .linear], deviation: 0.3)
    for method in [WideKernels.Method.exact, .secondOrder] {
      let kernels = try WideKernels(method, of: network, gram: data.gram, withTangent: true, threads: threads)
      let tangent = try #require(kernels.tangent)
      for (k, x) in data.gram.elements.enumerated() {
        #expect(abs(kernels.conjugate.elements[k] - x) <= 1e-14 && abs(tangent.elements[k] - 3 * x) <= 4e-14)
      }
    }
  }

  /// ¼d2²(k₄ − 3)(X∘X)ᵀ(X∘X) off the diagonal, and as a term of the first layer.
  /// A rotation spreads means that are large at one place, and leaves inner products as they are.
  @Test func fourthMomentAfterRotation() throws {
    let (count, width) = (60, 100)
    var random = SplitMix64(seed: 71)
    var points: [Double] = []
    for i in 0..<count {
      for k in 0..<width { points.append((random.gaussian() + (k == i % 3 ? 8 : 0)) / Double(width).squareRoot()) }
    }
    var network = SampleNetwork(seed: 72)
    network.outputs = [network.add(.rotation(seed: 5), network.input(width))]
    let given = points
    let rotated = try network.function().outputs(samples: count, threads: Threads(1)) { range, out in
      for i in out.indices { out[i] = given[range.lowerBound * width + i] }
    }.values
    let moments = try WideNetwork([.relu], deviation: 1).layers[0].moments
    func size(_ points: [Double]) throws -> Double {
      try fourthMomentTerm(points: points, width: width, moments: moments, fourthMoment: 10, threads: Threads(1))
        .spectralNorm(threads: Threads(1))
    }
    #expect(try size(rotated) < 0.5 * size(points))
    let grams = try [points, rotated].map { try SymmetricMatrix(gramOf: $0, width: width, threads: Threads(1)) }
    #expect(zip(grams[0].elements, grams[1].elements).allSatisfy { abs($0 - $1) <= 1e-13 })
  }

  @Test func fourthMoment() throws {
    let network = try WideNetwork([.relu, .linear], deviation: 1)
    let term = try fourthMomentTerm(
      points: [1, 2, 0, 3, -1, 2], width: 3, moments: network.layers[0].moments, fourthMoment: 10, threads: threads)
    // d2² = 1/(2π); 1·9 + 4·1 + 0·4 = 13
    #expect(term.elements[0] == 0 && term.elements[3] == 0)
    #expect(abs(term.elements[1] - 7 * 13 / (8 * .pi)) <= 1e-14 * term.elements[1])
    let gram = try SymmetricMatrix(gramOf: [1, 2, 0, 3, -1, 2], width: 3, threads: threads)
    #expect(gram.elements == [5, 1, 1, 14])
    let without = try WideKernels(.exact, of: network, gram: gram, withTangent: false, threads: threads).conjugate
    let with = try WideKernels(
      .exact, of: network, gram: gram, firstLayerTerm: term, withTangent: false, threads: threads
    ).conjugate
    #expect(zip(with.elements, zip(without.elements, term.elements)).allSatisfy { abs($0 - $1.0 - $1.1) <= 1e-14 })
  }

  /// Equal points, opposite ones, the origin, no points, and a range that is left.
  @Test func corners() throws {
    let points: [Double] = [1, 0, 1, 0, -1, 0, 0, 0]
    let gram = try SymmetricMatrix(gramOf: points, width: 2, threads: threads)
    for activation in activationsOfOneNumber {
      let network = try WideNetwork([activation, activation], deviation: 0.8)
      for method in [WideKernels.Method.exact, .secondOrder] {
        let kernels = try WideKernels(method, of: network, gram: gram, withTangent: true, threads: threads)
        let k = kernels.conjugate.elements
        #expect(k.allSatisfy(\.isFinite) && kernels.tangent?.elements.allSatisfy(\.isFinite) ?? true)
        // Correlation 1: what is off the diagonal is what is on it. (Jumps make it fall as √(1 − r), so that rounding of r
        // counts.)
        if method == .exact {
          let tolerance = network.coefficients.kappaSquared == .infinity ? 1e-7 : max(1e-12, kernels.remainder * 2)
          #expect(abs(k[1] - k[0]) <= tolerance * k[0], "\(activation): \(k[1]), \(k[0])")
        }
      }
    }
    let network = try WideNetwork([.relu], deviation: 1)
    let none = SymmetricMatrix([], count: 0)
    #expect(
      try WideKernels(.exact, of: network, gram: none, withTangent: true, threads: threads).conjugate.count == 0)
    #expect(throws: LinearAlgebraError.notFinite) {
      try WideKernels(
        .exact, of: network, gram: SymmetricMatrix([.infinity], count: 1), withTangent: true, threads: threads)
    }
    #expect(throws: LinearAlgebraError.notFinite) {
      try WideKernels(
        .exact, of: WideNetwork([.exponential], deviation: 1), gram: SymmetricMatrix([1000], count: 1),
        withTangent: true, threads: threads)
    }
  }

  /// Orthogonal points at ±1 along axes: means 0, every distance and trace 1, covariance products by hand.
  @Test func mixtureOfPoints() throws {
    let gram = try SymmetricMatrix(
      gramOf: [1, 0, 0, -1, 0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 5], width: 3, threads: threads)
    let mixture = GaussianMixture(labels: [0, 0, 1, 1, 2], gram: gram, threads: threads)
    // tr C of two points at distance 2 is 1 + 1; of one point 0.
    #expect(mixture.deviations == [1, 1, 1, 1, 0].map { $0 - 8 / 5 })
    #expect(mixture.covarianceProducts.elements == [1, 0, 0, 0, 1, 0, 0, 0, 0])
  }
}
