// SPDX-License-Identifier: Apache-2.0

package import Maths
package import Networks
package import Random
package import Tensors

/// What the values of a layer of a wide network go through: an activation, and what is added to it so that its mean over
/// Gaussian inputs is zero.
package struct CentredActivation: Sendable, Equatable {
  package var activation: Activation
  package var offset: Double

  package init(_ activation: Activation, offset: Double = 0) {
    self.activation = activation
    self.offset = offset
  }
}

extension KernelOptions.Matching {
  /// The activations of the layers of a wide network whose inputs have a mean square norm of 1, as they are to be
  /// computed; and how they were matched.
  package func centred(
    _ activations: [Activation]
  ) throws(NetworkError) -> (layers: [CentredActivation], matching: NetworkMatching?) {
    do throws(MatchingError) {
      switch self {
      case .none:
        let wide = try WideNetwork(activations, deviation: 1)
        return (wide.layers.map { CentredActivation($0.activation, offset: -$0.moments.mean) }, nil)
      case .rule(let rule):
        let matching = try NetworkMatching(activations, deviation: 1, rule: rule)
        return (matching.layers.map { CentredActivation($0.activation) }, matching)
      }
    } catch {
      throw NetworkError(.unsupported, "\(error)")
    }
  }
}

/// Ternary matrices drawn one after the other: each has a seed of its own, the next number of SplitMix64.
package struct TernarySampler {
  private var seeds: SplitMix64
  private let threshold: Int

  /// The seed of a rotation.
  package mutating func nextRotation() -> UInt64 { seeds.next() }

  /// - Parameter sparsity: fraction of the weights that are zero, to 2⁻¹⁵.
  /// - Throws: `.usage` where no weight is left.
  package init(seed: UInt64, sparsity: Double) throws(NetworkError) {
    seeds = SplitMix64(seed: seed)
    threshold = Int(((1 - sparsity) * 0x1p15).rounded())
    guard threshold > 0 else { throw NetworkError(.usage, "--sparsity \(sparsity) leaves no weight that is not zero") }
  }

  /// A matrix whose weights have the mean 0 and the variance 1/`fanIn`.
  package mutating func next(rows: Int, columns: Int, fanIn: Int) throws(NetworkError) -> SeededMatrix {
    guard let trits = TernarySeed(seed: seeds.next(), threshold: threshold) else {
      throw NetworkError(.internal, "a threshold of \(threshold)")
    }
    let scale = ElementType.float32.nearest(1 / (trits.density * Double(fanIn)).squareRoot())
    guard
      let matrix = SeededMatrix(
        rows: rows, columns: columns, group: .tensor, trits: trits,
        scales: rows == 0 || columns == 0 ? [] : [scale])
    else { throw NetworkError(.overLimit, "\(rows) × \(columns) weights") }
    return matrix
  }
}

extension NetworkDraft {
  /// Puts an activation with its offset after the last operation.
  package mutating func append(_ layer: CentredActivation) {
    if layer.activation != .linear { append(.activation(layer.activation)) }
    if layer.offset != 0 { append(.rescaling(scale: [1], offset: [layer.offset])) }
  }

  /// Puts the step after the last operation that takes the mean from the inputs and gives them a mean square norm of 1:
  /// (x − μ)/√(mean ‖x − μ‖²).
  ///
  /// - Throws: `.unusable` where all samples are the same.
  package mutating func appendCentring(
    _ means: [Double], _ variances: [Double], name: String
  ) throws(NetworkError) {
    let square = variances.reduce(0, +)
    guard square > 0, square.isFinite else {
      throw NetworkError(.unusable, "all samples are the same, expected different ones")
    }
    append(
      .normalization(
        mean: addVector(TensorName("\(name)/mean"), means, .normalization),
        variance: addVector(TensorName("\(name)/variance"), [square], .normalization), epsilon: 0),
      name: TensorName(name))
  }
}

extension NetworkMatching.Layer {
  /// The matched function, mirrored where its mean slope has another sign than that of the original: what weights were
  /// trained for stays. The kernels do not change.
  private var isOpposite: Bool { matched.moments.d1 * moments.d1 < 0 }

  fileprivate var activation: Activation {
    guard isOpposite, case .piecewiseConstant(let levels, let thresholds) = matched.activation else {
      return matched.activation
    }
    return .piecewiseConstant(levels: levels.reversed(), thresholds: thresholds.reversed().map { -$0 })
  }
}
