// SPDX-License-Identifier: Apache-2.0

import Maths
import Measures
import Networks
import Parallel
import Tensors
import Transforms

/// Points on which kernels are compared, with their inner products.
struct KernelPoints {
  /// count × width, row-major.
  let points: [Double]
  let width: Int
  let gram: SymmetricMatrix
  /// What the theorems take, where the points are of a mixture.
  let mixture: GaussianMixture?

  var count: Int { gram.count }

  /// τ₀, the root of the mean square norm.
  var deviation: Double { (gram.trace / Double(count)).squareRoot() }

  private init(_ points: [Double], width: Int, _ mixture: GaussianMixture?, threads: Threads) throws {
    (self.points, self.width, self.mixture) = (points, width, mixture)
    gram = try SymmetricMatrix(gramOf: points, width: width, threads: threads)
  }

  /// n = 2p points of the mixture of figure 2 of Gu et al. (2022), p numbers each. Classes 0 and 1 have the mean 8e₀ or 8e₈ and
  /// the covariance I or (1 + 8/√p)I; all is divided by √p.
  init(mixtureOf p: Int, seed: Int, threads: Threads) throws {
    let random = RandomPoints(.mixture, count: 2 * p, width: p, seed: UInt64(seed))
    let labels = random.classes ?? []
    var points = [Double](repeating: 0, count: 2 * p * p)
    points.withUnsafeMutableBufferPointer { random.fill(0..<2 * p, $0) }
    let root = Double(p).squareRoot()
    let distances: [Double] = labels.enumerated().map { row, label in
      (0..<p).reduce(0.0) { sum, column in
        let rest = points[row * p + column] - (column == 8 * label % p ? 8 : 0)
        return sum + rest * rest / Double(p)
      }
    }
    let traces = [1, 1 + 8 / root]
    let products: [Double] = (0..<4).map { traces[$0 / 2] * traces[$0 % 2] / Double(p) }
    let mixture = GaussianMixture(
      labels: labels, squaredDistances: distances, traces: traces,
      covarianceProducts: SymmetricMatrix(products, count: 2))
    try self.init(points.map { $0 / root }, width: p, mixture, threads: threads)
  }

  /// The first samples of a file, less the mean of all and divided by the root of the mean square norm of all.
  init(_ data: DataFile, count: Int, threads: Threads) throws {
    let width = data.inputCount
    @Sendable func rows(_ range: Range<Int>) -> [Double] {
      [Double](unsafeUninitializedCapacity: range.count * width) { buffer, initialized in
        initialized = range.count * width
        data.fill(range, UnsafeMutableBufferPointer(rebasing: buffer[..<initialized]))
      }
    }
    let (means, variances) = momentsOfRows(samples: data.samples, width: width, threads: threads, rows: rows)
    let square = variances.reduce(0, +)
    guard square > 0, square.isFinite else {
      throw NetworkError(.unusable, "all samples are the same, expected different ones", file: data.name)
    }
    guard data.samples >= 2 else {
      throw NetworkError(.unusable, "1 sample, expected 2 or more: kernels compare points", file: data.name)
    }
    let root = square.squareRoot()
    let points = rows(0..<min(count, data.samples)).enumerated().map { ($1 - means[$0 % width]) / root }
    try self.init(points, width: width, nil, threads: threads)
  }

  /// The same with a mean square norm of 1.
  func scaled(threads: Threads) throws -> KernelPoints {
    let deviation = deviation
    return try KernelPoints(points.map { $0 / deviation }, width: width, nil, threads: threads)
  }

  /// The conjugate kernel of infinite width.
  func conjugate(_ activations: [Activation], deviation: Double, threads: Threads) throws -> SymmetricMatrix {
    let network = try WideNetwork(activations, deviation: deviation)
    return try WideKernels(.exact, of: network, gram: gram, withTangent: false, threads: threads).conjugate
  }

  /// The conjugate kernel of one random network: the inner products of its features, divided by their number.
  ///
  /// The points' mean square norm is to be 1.
  func conjugate(
    of features: RandomFeatures, widths: [Int], seed: UInt64, threads: Threads
  ) throws -> SymmetricMatrix {
    var draft = NetworkDraft(threads: threads)
    draft.append(.input(shape: [width]))
    try features.append(to: &draft, inputs: width, widths: widths, seed: seed, isSeeded: false)
    let function = try draft.function(inputShape: [width])
    let (points, width) = (points, width)
    let outputs = function.outputs(samples: count, threads: threads) { range, out in
      for (i, k) in (range.lowerBound * width..<range.upperBound * width).enumerated() { out[i] = points[k] }
    }
    var kernel = try SymmetricMatrix(gramOf: outputs.values, width: outputs.width, threads: threads)
    for i in kernel.elements.indices { kernel.elements[i] /= Double(outputs.width) }
    return kernel
  }
}
