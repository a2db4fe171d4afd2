// SPDX-License-Identifier: Apache-2.0

public import Tensors

/// Activations of few levels for every layer of a wide network with the weights' variance 1 and no biases, so that its
/// kernels stay what they are but for a multiple of the identity.
///
/// Deviations follow τ_l² = E(σ_l(τ_{l−1}ξ) − m0)², those of the original with its activations, those of the new network with
/// its own: inside, they need not agree. Of the last layer too d1, d2 and dd are matched, and what its diagonal differs by is
/// the shift.
///
/// Example: three layers of relu at τ₀ = 1 have deviations 1, .58382, .34085 and .19899; with three levels each 1, .63081,
/// .40594 and .27533, so that the shift is .0362.
///
/// Gu et al. (2022), algorithm 1; `spec/maths.md`, Activations with few levels.
public struct NetworkMatching: Sendable {
  /// Which functions are taken.
  public enum Rule: Sendable, Hashable {
    /// The optimal ones of so many levels, 3…16.
    case levels(Int)
    /// σ_T, of two levels.
    case sigmaT
    /// σ_T inside and σ_Q in the last layer.
    case sigmaQ
  }

  public struct Layer: Sendable {
    public let original: Activation
    /// τ_{l−1}, at which the original is used.
    public let deviation: Double
    /// Those of the original there.
    public let moments: GaussianMoments
    public let matched: MatchedActivation
    /// τ̃_{l−1}, at which `matched` is used.
    public let matchedDeviation: Double
  }

  public let layers: [Layer]
  /// c = τ̃_L² − τ_L²: the kernels of the new network are those of the original plus cI.
  public let shift: Double

  /// - Parameters:
  ///   - activations: of the hidden layers, the first first.
  ///   - tau0: τ₀, the root of the mean square norm of the inputs.
  /// - Throws: where a layer cannot be matched.
  public init(_ activations: [Activation], deviation tau0: Double, rule: Rule) throws(MatchingError) {
    var (variance, matchedVariance) = (tau0 * tau0, tau0 * tau0)
    var layers: [Layer] = []
    for (index, activation) in activations.enumerated() {
      let (deviation, matchedDeviation) =
        index == 0 ? (tau0, tau0) : (variance.squareRoot(), matchedVariance.squareRoot())
      let moments: GaussianMoments
      let matched: MatchedActivation
      do throws(MatchingError) {
        moments = try GaussianMoments(matching: activation, deviation: deviation)
        matched =
          switch rule {
          case .levels(let count):
            try MatchedActivation(matching: moments, deviation: matchedDeviation, levels: count)
          case .sigmaQ where index == activations.count - 1:
            try MatchedActivation(sigmaQ: moments, deviation: matchedDeviation, nextVariance: moments.variance)
          case .sigmaT, .sigmaQ: try MatchedActivation(sigmaT: moments, deviation: matchedDeviation)
          }
      } catch {
        throw .layer(index + 1, error)
      }
      layers.append(
        Layer(
          original: activation, deviation: deviation, moments: moments, matched: matched,
          matchedDeviation: matchedDeviation))
      (variance, matchedVariance) = (moments.variance, matched.moments.variance)
    }
    self.layers = layers
    shift = matchedVariance - variance
  }
}

extension GaussianMoments {
  /// As `init(of:deviation:)`, with the reason.
  init(matching activation: Activation, deviation: Double) throws(MatchingError) {
    guard activation != .softmax, deviation > 0, deviation.isFinite else {
      throw activation == .softmax ? .noMoments(activation, deviation: deviation) : .deviation(deviation)
    }
    guard let moments = GaussianMoments(of: activation, deviation: deviation) else {
      throw .noMoments(activation, deviation: deviation)
    }
    self = moments
  }
}
