// SPDX-License-Identifier: Apache-2.0

public import Tensors

/// The numbers by which the kernels of an infinitely wide network depend on their data.
///
/// The network is Σ₀ = X, Σ_l = (σ_l(W_lΣ_{l−1}) − m0)/√d_l, weights independent of mean 0 and variance 1, no biases; its
/// output is one linear function of Σ_L. Of points whose square norms are near τ₀², with χᵢ = ‖xᵢ‖² − τ₀²,
///
/// ```
/// conjugate  Kᵢⱼ ≈ α₁xᵢ·xⱼ + α₂χᵢχⱼ + α₃(xᵢ·xⱼ)²     Kᵢᵢ ≈ τ_L² + α₄χᵢ
/// tangent    Nᵢⱼ ≈ β₁xᵢ·xⱼ + β₂χᵢχⱼ + β₃(xᵢ·xⱼ)²     Nᵢᵢ ≈ κ_L²
/// ```
///
/// From α₁ = α₄ = β₁ = 1, α₂ = α₃ = β₂ = β₃ = 0 and κ² = τ₀², each layer makes, with its d1, d2, dd and v1 at τ_{l−1} and old
/// values on the right,
///
/// ```
/// α₁′ = d1²α₁              β₁′ = α₁′ + d1²β₁
/// α₂′ = d1²α₂ + ¼d2²α₄²    β₂′ = α₂′ + d1²β₂
/// α₃′ = d1²α₃ + ½d2²α₁²    β₃′ = α₃′ + d1²β₃ + d2²α₁β₁
/// α₄′ = ½dd·α₄             κ²′ = τ² + v1κ²
/// ```
///
/// (In the preprint the recursion of the β is another, which is not the limit.) For activations with jumps v1 and so κ² are
/// infinite: the diagonal has no limit, and of a network of finite width the tangent kernel is the term of its last
/// layer.
///
/// Example: three layers of relu at τ₀² = 1.2 have α = (.01562, .00875, .00941, .0396), τ² = .04752, β = (.0625, .01572, .05457)
/// and κ² = .36948.
///
/// Gu et al. (2022), theorems 1 and 2; `spec/maths.md`, Kernels of wide networks.
public struct WideNetwork: Sendable {
  public struct Layer: Sendable {
    public let activation: Activation
    /// τ_{l−1}, the deviation of what the activation takes.
    public let inputDeviation: Double
    /// Those of the activation there.
    public let moments: GaussianMoments
    /// Behind this layer.
    public let coefficients: Coefficients

    /// τ_l, the deviation of what the next layer takes.
    public var deviation: Double { moments.variance.squareRoot() }
  }

  /// What kernels depend on.
  public struct Coefficients: Sendable, Equatable {
    /// τ_l², the mean diagonal of the conjugate kernel.
    public var variance: Double
    /// α₁ … α₄
    public var alpha: SIMD4<Double>
    /// β₁, β₂, β₃
    public var beta: SIMD3<Double>
    /// κ_l², the mean diagonal of the tangent kernel; infinite behind an activation with jumps.
    public var kappaSquared: Double

    /// Before the first layer.
    fileprivate init(deviation: Double) {
      (variance, kappaSquared) = (deviation * deviation, deviation * deviation)
      (alpha, beta) = (SIMD4(1, 0, 0, 1), SIMD3(1, 0, 0))
    }

    /// Behind another layer.
    fileprivate func behind(_ moments: GaussianMoments) -> Self {
      let (first, second) = (moments.d1 * moments.d1, moments.d2 * moments.d2)
      var next = self
      next.variance = moments.variance
      next.alpha = SIMD4(
        first * alpha[0], first * alpha[1] + second * alpha[3] * alpha[3] / 4,
        first * alpha[2] + second * alpha[0] * alpha[0] / 2, moments.centredCurvature * alpha[3] / 2)
      next.beta = SIMD3(
        next.alpha[0] + first * beta[0], next.alpha[1] + first * beta[1],
        next.alpha[2] + first * beta[2] + second * alpha[0] * beta[0])
      next.kappaSquared = moments.variance + moments.squaredDerivative * kappaSquared
      return next
    }
  }

  /// τ₀
  public let deviation: Double
  /// Hidden layers, the first first.
  public let layers: [Layer]
  /// Those of the whole network.
  public let coefficients: Coefficients

  /// - Parameters:
  ///   - activations: of the hidden layers, the first first.
  ///   - deviation: τ₀, the root of the mean square norm of the inputs.
  /// - Throws: where a layer's moments are not defined or not finite.
  public init(_ activations: [Activation], deviation: Double) throws(MatchingError) {
    guard deviation > 0, deviation.isFinite else { throw .deviation(deviation) }
    self.deviation = deviation
    var layers: [Layer] = []
    var coefficients = Coefficients(deviation: deviation)
    var tau = deviation
    for (index, activation) in activations.enumerated() {
      let moments: GaussianMoments
      do throws(MatchingError) {
        moments = try GaussianMoments(matching: activation, deviation: tau)
      } catch {
        throw .layer(index + 1, error)
      }
      coefficients = coefficients.behind(moments)
      layers.append(
        Layer(activation: activation, inputDeviation: tau, moments: moments, coefficients: coefficients))
      tau = moments.variance.squareRoot()
    }
    self.layers = layers
    self.coefficients = coefficients
  }
}
