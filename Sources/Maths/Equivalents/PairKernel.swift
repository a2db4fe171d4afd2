// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Parallel
internal import Tensors

/// E(σ(u) − m0)(σ(v) − m0) and E σ′(u)σ′(v) for Gaussian (u, v) of each pair of samples.
///
/// The first is the product of the samples' own means less m0, and the covariance of σ(u) and σ(v), so that nothing cancels
/// where the means are large.
struct PairKernel: Sendable {
  /// √Kᵢᵢ
  private let deviations: [Double]
  /// E σ(u) − m0
  private let means: [Double]
  private let variances: [Double]
  private let d1: [Double]
  private let d2: [Double]
  private let v1: [Double]
  private let form: Form
  /// Of a series, relative to the mean diagonal.
  let remainder: Double

  private enum Form: Sendable {
    case secondOrder
    case linearInPieces(LinearPieces)
    case erf, sin, cos, exponential
    case series(HermiteSeries)
  }

  /// - Parameters:
  ///   - centre: m0.
  ///   - withSlopes: whether `slopes` is wanted.
  init(
    _ activation: Activation, _ kernel: SymmetricMatrix, centre: Double, _ method: WideKernels.Method, withSlopes: Bool,
    threads: Threads
  ) throws(LinearAlgebraError) {
    let n = kernel.count
    let deviations = (0..<n).map { max(0, kernel.elements[$0 * n + $0]).squareRoot() }
    let moments = threads.results(n) { GaussianMoments(of: activation, deviation: deviations[$0]) }
    let (value, slope) = (activation.value(at: 0) ?? .nan, activation.derivative(at: 0) ?? .nan)
    var (means, variances, d1, d2, v1) = ([Double](), [Double](), [Double](), [Double](), [Double]())
    for (deviation, moments) in zip(deviations, moments) {
      // What has no variance is a constant.
      guard moments != nil || deviation == 0 else { throw .notFinite }
      means.append((moments?.mean ?? value) - centre)
      variances.append(moments?.variance ?? 0)
      d1.append(moments?.d1 ?? slope)
      d2.append(moments?.d2 ?? 0)
      v1.append(moments?.squaredDerivative ?? slope * slope)
    }
    (self.deviations, self.means, self.variances, self.d1, self.d2, self.v1) =
      (deviations, means, variances, d1, d2, v1)
    var remainder = 0.0
    switch (method, activation) {
    case (.secondOrder, _): form = .secondOrder
    case (_, .erf): form = .erf
    case (_, .sin): form = .sin
    case (_, .cos): form = .cos
    case (_, .exponential): form = .exponential
    default:
      if let pieces = LinearPieces(activation, deviations: deviations) {
        form = .linearInPieces(pieces)
      } else {
        // The largest correlation decides how fast the series converges.
        let largest = threads.results(n) { i in
          (0..<i).reduce(0) { best, j in
            let size = deviations[i] * deviations[j]
            return size > 0 ? max(best, (kernel.elements[i * n + j] / size).magnitude) : best
          }
        }
        let series = try HermiteSeries(
          activation, deviations: deviations, variances: variances, squaredSlopes: withSlopes ? v1 : nil,
          correlation: min(1, largest.max() ?? 0), threads: threads)
        remainder = series.remainder
        form = .series(series)
      }
    }
    self.remainder = remainder
  }

  /// E(σ(u) − m0)², u of sample i.
  func square(_ i: Int) -> Double { variances[i] + means[i] * means[i] }

  /// E σ′(u)², u of sample i.
  func squaredSlope(_ i: Int) -> Double { v1[i] }

  /// E(σ(u) − m0)(σ(v) − m0), u and v of samples i and j and of covariance c.
  func product(_ i: Int, _ j: Int, _ c: Double) -> Double { means[i] * means[j] + covariance(i, j, c) }

  private func correlation(_ i: Int, _ j: Int, _ c: Double) -> Double {
    let size = deviations[i] * deviations[j]
    return size > 0 ? min(1, max(-1, c / size)) : 0
  }

  private func covariance(_ i: Int, _ j: Int, _ c: Double) -> Double {
    let (s, t) = (deviations[i], deviations[j])
    switch form {
    case .secondOrder: return d1[i] * d1[j] * c + d2[i] * d2[j] * c * c / 2
    case .linearInPieces(let pieces):
      return d1[i] * d1[j] * c + pieces.product(i, j, correlation(i, j, c))
    case .erf:
      let size = ((1 + 2 * s * s) * (1 + 2 * t * t)).squareRoot()
      return 2 / .pi * asin(min(1, max(-1, 2 * c / size)))
    case .sin: return exp(-(s * s + t * t) / 2) * sinh(c)
    // cosh c − 1
    case .cos: return exp(-(s * s + t * t) / 2) * 2 * sinh(c / 2) * sinh(c / 2)
    case .exponential: return exp((s * s + t * t) / 2) * expm1(c)
    case .series(let series): return series.covariance(i, j, correlation(i, j, c))
    }
  }

  /// E σ′(u)σ′(v), u and v of samples i and j and of covariance c.
  func slopes(_ i: Int, _ j: Int, _ c: Double) -> Double {
    let (s, t) = (deviations[i], deviations[j])
    switch form {
    case .secondOrder: return d1[i] * d1[j] + d2[i] * d2[j] * c
    case .linearInPieces(let pieces):
      return d1[i] * d1[j] + d2[i] * d2[j] * c + pieces.slopes(i, j, correlation(i, j, c))
    case .erf:
      let (a, b) = (1 + 2 * s * s, 1 + 2 * t * t)
      return 4 / (.pi * max(0, a * b - 4 * c * c).squareRoot())
    case .sin: return exp(-(s * s + t * t) / 2) * cosh(c)
    case .cos: return exp(-(s * s + t * t) / 2) * sinh(c)
    case .exponential: return exp((s * s + t * t) / 2 + c)
    case .series(let series): return d1[i] * d1[j] + series.slopes(i, j, correlation(i, j, c))
    }
  }
}

/// A function that is linear in pieces, as a linear one and Σ (bend·max(0, x − t) + jump·1{x > t}), and for each sample the
/// thresholds in units of its deviation.
private struct LinearPieces: Sendable {
  private struct Corner: Sendable {
    let threshold: Double
    let bend: Double
    let jump: Double
  }

  private let corners: [Corner]
  private let deviations: [Double]
  /// Of each sample, those of its corners: ξ + h > 0 is behind the corner.
  private let points: [NormalPoint]

  init?(_ activation: Activation, deviations: [Double]) {
    switch activation {
    case .linear: corners = []
    case .relu: corners = [Corner(threshold: 0, bend: 1, jump: 0)]
    case .leakyReLU(let slope): corners = [Corner(threshold: 0, bend: 1 - slope, jump: 0)]
    case .abs: corners = [Corner(threshold: 0, bend: 2, jump: 0)]
    case .step: corners = [Corner(threshold: 0, bend: 0, jump: 1)]
    case .sign: corners = [Corner(threshold: 0, bend: 0, jump: 2)]
    case .hardSigmoid(let divisor):
      corners = [
        Corner(threshold: -divisor / 2, bend: 1 / divisor, jump: 0),
        Corner(threshold: divisor / 2, bend: -1 / divisor, jump: 0),
      ]
    case .boundedReLU(let maximum, let threshold, let slope):
      let upper = maximum ?? .infinity
      let jump = min(threshold, upper)
      corners =
        threshold < upper
        ? [Corner(threshold: threshold, bend: 1 - slope, jump: jump)]
          + (maximum.map { [Corner(threshold: $0, bend: -1, jump: 0)] } ?? [])
        : [Corner(threshold: threshold, bend: -slope, jump: jump)]
    case .piecewiseConstant(let levels, let thresholds):
      corners = thresholds.indices.map {
        Corner(threshold: thresholds[$0], bend: 0, jump: levels[$0 + 1] - levels[$0])
      }
    case .elu, .selu, .gelu, .silu, .softplus, .softsign, .exponential, .sigmoid, .tanh, .erf, .sin, .cos, .softmax:
      return nil
    }
    self.deviations = deviations
    let all = corners
    // No product of two that are further out is above the smallest double; nor may squares overflow.
    points = deviations.flatMap { deviation in
      all.map { corner in
        NormalPoint(corner.threshold == 0 ? 0 : min(40, max(-40, -corner.threshold / deviation)))
      }
    }
  }

  /// Σ over pairs of corners of f(i's corner, its point, j's, its point, correlation), for r < 0 with −v: its hinges are
  /// hinges but for a linear function, and its jumps fall.
  private func sum(
    _ i: Int, _ j: Int, _ r: Double,
    _ f: (Corner, NormalPoint, Corner, NormalPoint, _ sign: Double, Correlation) -> Double
  ) -> Double {
    let correlation = Correlation(r.magnitude)
    var sum = 0.0
    for a in corners.indices {
      for b in corners.indices {
        let other = points[j * corners.count + b]
        sum += f(
          corners[a], points[i * corners.count + a], corners[b], r < 0 ? -other : other, r < 0 ? -1 : 1, correlation)
      }
    }
    return sum
  }

  /// E σ(u)σ(v) less the product of means and the linear term.
  func product(_ i: Int, _ j: Int, _ r: Double) -> Double {
    let (s, t) = (deviations[i], deviations[j])
    return sum(i, j, r) { a, h, b, k, sign, r in
      var value = 0.0
      if a.bend != 0 && b.bend != 0 { value += a.bend * s * b.bend * t * hingeProduct(h, k, r) }
      if a.bend != 0 && b.jump != 0 { value += sign * a.bend * s * b.jump * mixedProduct(hinge: h, jump: k, r) }
      if a.jump != 0 && b.bend != 0 { value += a.jump * b.bend * t * mixedProduct(hinge: k, jump: h, r) }
      if a.jump != 0 && b.jump != 0 { value += sign * a.jump * b.jump * jumpProduct(h, k, r) }
      return value
    }
  }

  /// E σ′(u)σ′(v) less the product of means and the linear term; only for functions without jumps.
  func slopes(_ i: Int, _ j: Int, _ r: Double) -> Double {
    sum(i, j, r) { a, h, b, k, sign, r in sign * a.bend * b.bend * jumpProduct(h, k, r) }
  }
}

/// σ(s_iξ) = Σ_k c_k(i)·h_k(ξ), h_k = He_k/√k!: then the covariance of σ(u) and σ(v) is Σ_{k≥1} c_k(i)c_k(j)r^k, and
/// E σ′(u)σ′(v) = Σ_{k≥0} c′_k(i)c′_k(j)r^k with c′_k = √(k + 1)c_{k+1}/s.
///
/// By the inequality of Cauchy and Schwarz, what is left out from k = M + 1 on is at most |r|^{M+1} times the root of the
/// product of both Σ_{k>M} c_k², which is the variance less the squares taken. So M is doubled until that is below 10⁻¹³
/// of the mean variance, or 1024.
private struct HermiteSeries: Sendable {
  /// Samples × order, from k = 1.
  private let coefficients: [Double]
  private let order: Int
  private let deviations: [Double]
  let remainder: Double

  init(
    _ activation: Activation, deviations: [Double], variances: [Double], squaredSlopes: [Double]?, correlation: Double,
    threads: Threads
  ) throws(LinearAlgebraError) {
    let algebra = try LinearAlgebra()
    var order = 32
    while true {
      let coefficients = Self.coefficients(activation, deviations, order, algebra, threads)
      var (tail, slopeTail) = (0.0, 0.0)
      for i in deviations.indices {
        let own = coefficients[i * order..<(i + 1) * order]
        tail = max(tail, variances[i] - own.reduce(0) { $0 + $1 * $1 })
        guard let squaredSlopes, deviations[i] > 0 else { continue }
        let sum = own.enumerated().reduce(0) { $0 + Double($1.offset + 1) * $1.element * $1.element }
        slopeTail = max(slopeTail, squaredSlopes[i] - sum / (deviations[i] * deviations[i]))
      }
      let power = pow(correlation, Double(order))
      let mean = variances.reduce(0, +) / Double(max(1, variances.count))
      let slopeMean = (squaredSlopes ?? []).reduce(0, +) / Double(max(1, squaredSlopes?.count ?? 0))
      let bound = max(
        mean > 0 ? tail * power * correlation / mean : 0, slopeMean > 0 ? slopeTail * power / slopeMean : 0)
      if bound <= 1e-13 || order == 1024 {
        (self.coefficients, self.order, self.deviations, remainder) = (coefficients, order, deviations, bound)
        return
      }
      order *= 2
    }
  }

  private static func coefficients(
    _ activation: Activation, _ deviations: [Double], _ order: Int, _ algebra: LinearAlgebra, _ threads: Threads
  ) -> [Double] {
    let largest = deviations.max() ?? 1
    // h_k has a wavelength of 2π/√k.
    let rule = GaussianRule(width: largest > 0 ? 1 / largest : 1, step: 8 / Double(order).squareRoot())
    let nodes = rule.all
    let count = nodes.count
    let polynomials = [Double](unsafeUninitializedCapacity: order * count) { polynomials, initialized in
      for (q, (z, weight)) in nodes.enumerated() {
        var (last, value) = (0.0, 1.0)
        for k in 0..<order {
          (last, value) = (value, (z * value - Double(k).squareRoot() * last) / Double(k + 1).squareRoot())
          polynomials[k * count + q] = value * weight
        }
      }
      initialized = order * count
    }
    let rows = 64
    let blocks = threads.results((deviations.count + rows - 1) / rows) { block in
      let samples = block * rows..<min(deviations.count, (block + 1) * rows)
      var values: [Double] = []
      values.reserveCapacity(samples.count * count)
      for i in samples {
        // From a function that is 0 at 0: the constant would cost digits.
        let origin = activation.value(at: 0) ?? .nan
        for (z, _) in nodes { values.append((activation.value(at: deviations[i] * z) ?? .nan) - origin) }
      }
      var result = [Double](repeating: 0, count: samples.count * order)
      algebra.products(
        .init(values, stride: count), samples.count, .init(polynomials, stride: count), order, count, to: &result,
        stride: order)
      return result
    }
    return Array(blocks.joined())
  }

  /// Σ_{k≥1} c_k(i)c_k(j)r^k
  func covariance(_ i: Int, _ j: Int, _ r: Double) -> Double {
    coefficients.withUnsafeBufferPointer { c in
      var sum = 0.0
      for k in (0..<order).reversed() { sum = (sum + c[i * order + k] * c[j * order + k]) * r }
      return sum
    }
  }

  /// Σ_{k≥1} c′_k(i)c′_k(j)r^k
  func slopes(_ i: Int, _ j: Int, _ r: Double) -> Double {
    let size = deviations[i] * deviations[j]
    guard size > 0 else { return 0 }
    return coefficients.withUnsafeBufferPointer { c in
      var sum = 0.0
      for k in (1..<order).reversed() {
        sum = (sum + Double(k + 1) * c[i * order + k] * c[j * order + k]) * r
      }
      return sum / size
    }
  }
}
