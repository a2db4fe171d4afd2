// SPDX-License-Identifier: Apache-2.0

import Maths
import Networks
import Parallel
import Random
import Tensors
import ToolSupport
import Transforms

/// How the hidden layers of a network of random features are made: one curve of figure 3 of Gu et al. (2022).
enum RandomFeatures {
  /// N(0, 1) weights, relu.
  case original
  /// Ternary weights, and activations as the rule says.
  case ternary(sparsity: Double, KernelOptions.Matching)
  /// N(0, 1) weights of which a random share is zero, relu.
  case randomZeros(Double)
  /// N(0, 1) weights of which the smallest are zero, relu.
  case smallestZeros(Double)
  /// N(0, 1) weights, 1 for |t| > 1 in the first two layers, relu in others.
  case naiveActivation

  /// Puts the layers after those of a draft whose values have a mean square norm of 1.
  func append(
    to draft: inout NetworkDraft, inputs: Int, widths: [Int], seed: UInt64, isSeeded: Bool
  ) throws {
    let relus = [Activation](repeating: .relu, count: widths.count)
    let layers: [CentredActivation]
    switch self {
    case .original, .randomZeros, .smallestZeros: layers = try KernelOptions.Matching.none.centred(relus).layers
    case .ternary(_, let matching): layers = try matching.centred(relus).layers
    case .naiveActivation: layers = try Self.naive(widths.count)
    }
    var columns = inputs
    var sampler = try TernarySampler(seed: seed, sparsity: ternarySparsity ?? 0)
    var seeds = SplitMix64(seed: seed)
    for (number, rows) in widths.enumerated() {
      let fanIn = number == 0 ? 1 : columns
      let matrix: NetworkDraft.Matrix
      switch self {
      case .ternary:
        let seeded = try sampler.next(rows: rows, columns: columns, fanIn: fanIn)
        matrix = isSeeded ? .seeded(seeded) : draft.packed(seeded)
      case .randomZeros, .smallestZeros:
        matrix = .sparse(gaussian(rows, columns, fanIn, seed: seeds.next()), rows: rows, columns: columns)
      case .original, .naiveActivation:
        matrix = .dense(gaussian(rows, columns, fanIn, seed: seeds.next()), rows: rows, columns: columns)
      }
      draft.appendDense("hidden\(number + 1)/kernel", matrix, isTransposed: false, bias: nil)
      draft.append(layers[number])
      columns = rows
    }
  }

  private var ternarySparsity: Double? { if case .ternary(let sparsity, _) = self { sparsity } else { nil } }

  /// 1 for |t| > 1, less its mean; from the third layer on relu.
  private static func naive(_ count: Int) throws -> [CentredActivation] {
    var deviation = 1.0
    return try (0..<count).map { number in
      let activation =
        number < 2 ? Activation.piecewiseConstant(levels: [1, 0, 1], thresholds: [-1, 1]) : .relu
      guard let moments = GaussianMoments(of: activation, deviation: deviation) else {
        throw Failure(.internalError, "no moments at \(deviation)")
      }
      deviation = moments.variance.squareRoot()
      return CentredActivation(activation, offset: -moments.mean)
    }
  }

  /// N(0, 1/fanIn) weights, with zeros where there are to be any; what is left is scaled to the same variance.
  private func gaussian(_ rows: Int, _ columns: Int, _ fanIn: Int, seed: UInt64) -> [Double] {
    var generator = SplitMix64(seed: seed)
    var weights = [Double](repeating: 0, count: rows * columns)
    weights.withUnsafeMutableBufferPointer { generator.fillGaussian($0) }
    switch self {
    case .randomZeros(let share):
      for i in weights.indices where Double(generator.next() >> 11) * 0x1p-53 < share { weights[i] = 0 }
    case .smallestZeros(let share):
      let sorted = weights.map(\.magnitude).sorted()
      let threshold = sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]
      for i in weights.indices where weights[i].magnitude < threshold { weights[i] = 0 }
    case .original, .ternary, .naiveActivation: break
    }
    let square = weights.reduce(0) { $0 + $1 * $1 } / Double(max(1, weights.count))
    let isScaled = if case .original = self { false } else { square > 0 }
    let scale = (isScaled ? 1 / square.squareRoot() : 1) / Double(fanIn).squareRoot()
    return weights.map { $0 * scale }
  }
}
