// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Parallel
internal import Tensors

/// The kernel matrices of an infinitely wide network on n points.
///
/// With K₀ = N₀ = XᵀX and, for each layer, (u, v) Gaussian with variances Kᵢᵢ, Kⱼⱼ and covariance Kᵢⱼ of the layer before,
///
/// ```
/// conjugate  K′ᵢⱼ = E(σ(u) − m0)(σ(v) − m0)      m0 = E σ(τξ), τ the layer's deviation
/// tangent    N′ᵢⱼ = K′ᵢⱼ + Nᵢⱼ·E σ′(u)σ′(v)
/// ```
///
/// Expectations of pairs have closed forms for functions that are linear in pieces, for erf, sin, cos and the exponential
/// function; for others they are series of Hermite polynomials, as long as `remainder` says.
///
/// Cost: n² pairs a layer, each with as many terms as a closed form has products of corners, or a series terms; three n × n
/// matrices in memory.
///
/// Example: of two orthogonal points of norm 1 and one layer of relu, Kᵢᵢ = ½ − 1/(2π) and Kᵢⱼ = 0; Nᵢᵢ = Kᵢᵢ + ½ and
/// Nᵢⱼ = 0.
///
/// Laws: both are positive semidefinite; linear layers give K = XᵀX and N = (L + 1)XᵀX; a rotation of the points changes
/// nothing.
///
/// `spec/maths.md`, Kernels of wide networks.
public struct WideKernels: Sendable {
  /// n × n.
  public let conjugate: SymmetricMatrix
  /// n × n; `nil` where it was not wanted, and for activations with jumps, whose diagonal has no limit.
  public let tangent: SymmetricMatrix?
  /// A bound for what series left out, of an element and relative to the mean diagonal of its layer, for elements that
  /// are not on the diagonal; 0 where all forms are closed.
  public let remainder: Double

  /// How expectations of pairs are found.
  public enum Method: Sendable, Hashable {
    /// As accurately as in a double, but for two things: jumps make elements fall as √(1 − r) from correlation r = 1, so
    /// that rounding of r counts there; and corners that are less than 10⁻⁶ of a deviation apart cancel.
    case exact
    /// To the second order in the correlation, with coefficients of each sample and exact diagonals:
    /// K′ᵢⱼ ≈ (mᵢ − m0)(mⱼ − m0) + d1ᵢd1ⱼKᵢⱼ + ½d2ᵢd2ⱼKᵢⱼ² and E σ′σ′ ≈ d1ᵢd1ⱼ + d2ᵢd2ⱼKᵢⱼ, moments at √Kᵢᵢ and √Kⱼⱼ.
    case secondOrder
  }

  /// - Parameters:
  ///   - network: its deviation τ₀ is √(tr XᵀX/n) where the theory is to hold.
  ///   - gram: XᵀX.
  ///   - term: what is added to the conjugate kernel of the first layer, such as `fourthMomentTerm`.
  ///   - threads: results do not depend on it.
  /// - Throws: `LinearAlgebraError`; `notFinite` also where moments of a sample are beyond the range of a double.
  public init(
    _ method: Method, of network: WideNetwork, gram: SymmetricMatrix, firstLayerTerm term: SymmetricMatrix? = nil,
    withTangent: Bool, threads: Threads
  ) throws(LinearAlgebraError) {
    guard gram.isFinite else { throw .notFinite }
    let hasTangent = withTangent && !network.layers.contains { $0.activation.hasJumps }
    var conjugate = gram
    var tangent = hasTangent ? gram : nil
    var remainder = 0.0
    for (index, layer) in network.layers.enumerated() {
      let pairs = try PairKernel(
        layer.activation, conjugate, centre: layer.moments.mean, method, withSlopes: hasTangent, threads: threads)
      remainder = max(remainder, pairs.remainder)
      let last = conjugate
      conjugate = SymmetricMatrix(count: last.count, threads: threads) { i, j in
        i == j ? pairs.square(i) : pairs.product(i, j, last.elements[i * last.count + j])
      }
      if index == 0, let term {
        conjugate = conjugate.combined(1, 1, term)
      }
      if let old = tangent {
        let new = conjugate
        tangent = SymmetricMatrix(count: last.count, threads: threads) { i, j in
          let k = i * last.count + j
          let slopes = i == j ? pairs.squaredSlope(i) : pairs.slopes(i, j, last.elements[k])
          return new.elements[k] + old.elements[k] * slopes
        }
      }
    }
    guard conjugate.isFinite, tangent?.isFinite ?? true else { throw .notFinite }
    (self.conjugate, self.tangent, self.remainder) = (conjugate, tangent, remainder)
  }

  /// The closed form of `WideNetwork`, with the coefficients of the whole network.
  ///
  /// - Parameter gram: XᵀX.
  public init(summaryOf network: WideNetwork, gram: SymmetricMatrix, withTangent: Bool, threads: Threads) {
    let count = gram.count
    let c = network.coefficients
    let square = network.deviation * network.deviation
    let rest = (0..<count).map { gram.elements[$0 * count + $0] - square }
    func matrix(_ weights: SIMD3<Double>, _ diagonal: @Sendable (Double) -> Double) -> SymmetricMatrix {
      withoutActuallyEscaping(diagonal) { diagonal in
        SymmetricMatrix(count: count, threads: threads) { i, j in
          let x = gram.elements[i * count + j]
          if i == j { return diagonal(rest[i]) }
          return weights[0] * x + weights[1] * rest[i] * rest[j] + weights[2] * x * x
        }
      }
    }
    conjugate = matrix(SIMD3(c.alpha[0], c.alpha[1], c.alpha[2])) { c.variance + c.alpha[3] * $0 }
    tangent = withTangent && c.kappaSquared.isFinite ? matrix(c.beta) { _ in c.kappaSquared } : nil
    remainder = 0
  }

  /// The form of theorems 1 and 2 for a Gaussian mixture,
  ///
  /// α₁XᵀX + VAVᵀ + (τ_L² − α₁τ₀² − α₃τ₀⁴)I: for i of class a and j of class b, in which tᵢ = ψᵢ + t_a,
  ///
  /// α₁xᵢ·xⱼ + α₂tᵢtⱼ + α₃S_ab, and the last term on the diagonal; β and κ² for the tangent kernel.
  public init(
    mixture: GaussianMixture, of network: WideNetwork, gram: SymmetricMatrix, withTangent: Bool, threads: Threads
  ) {
    precondition(gram.count == mixture.labels.count, "a label for each point")
    let c = network.coefficients
    let square = network.deviation * network.deviation
    func matrix(_ weights: SIMD3<Double>, _ size: Double) -> SymmetricMatrix {
      let diagonal = size - square * weights[0] - square * square * weights[2]
      return SymmetricMatrix(count: gram.count, threads: threads) { i, j in
        weights[0] * gram.elements[i * gram.count + j] + weights[1] * mixture.deviations[i] * mixture.deviations[j]
          + weights[2] * mixture.covarianceProduct(i, j) + (i == j ? diagonal : 0)
      }
    }
    conjugate = matrix(SIMD3(c.alpha[0], c.alpha[1], c.alpha[2]), c.variance)
    tangent = withTangent && c.kappaSquared.isFinite ? matrix(c.beta, c.kappaSquared) : nil
    remainder = 0
  }
}

/// What theorems 1 and 2 take of a Gaussian mixture: points xᵢ = m_a + noise of covariance C_a, a the class of i.
public struct GaussianMixture: Sendable {
  /// 0…K − 1, of each point.
  public let labels: [Int]
  /// ‖xᵢ − m_a‖² − Σ_b (n_b/n) tr C_b, of each point: ψᵢ + t_a.
  public let deviations: [Double]
  /// S_ab = tr(C_a C_b), K × K.
  public let covarianceProducts: SymmetricMatrix

  func covarianceProduct(_ i: Int, _ j: Int) -> Double {
    covarianceProducts.elements[labels[i] * covarianceProducts.count + labels[j]]
  }

  /// From what is known of the distribution.
  ///
  /// - Parameters:
  ///   - squaredDistances: ‖xᵢ − m_a‖² of each point.
  ///   - traces: tr C_a of each class.
  ///   - covarianceProducts: tr(C_a C_b).
  public init(labels: [Int], squaredDistances: [Double], traces: [Double], covarianceProducts: SymmetricMatrix) {
    precondition(labels.allSatisfy { 0..<traces.count ~= $0 } && covarianceProducts.count == traces.count)
    precondition(squaredDistances.count == labels.count, "a distance for each point")
    let mean = labels.isEmpty ? 0 : labels.reduce(0) { $0 + traces[$1] } / Double(labels.count)
    self.labels = labels
    self.covarianceProducts = covarianceProducts
    deviations = squaredDistances.map { $0 - mean }
  }

  /// From the points alone: means and covariances are those of the classes' points. A class of one point has covariance 0.
  ///
  /// Estimates of tr C_a² leave out pairs of a point with itself, which would add (tr C_a)²/n_a.
  ///
  /// - Parameter gram: XᵀX.
  public init(labels: [Int], gram: SymmetricMatrix, threads: Threads) {
    precondition(gram.count == labels.count && labels.allSatisfy { $0 >= 0 }, "a label for each point")
    let (n, classes) = (labels.count, (labels.max() ?? -1) + 1)
    let members = (0..<classes).map { label in labels.indices.filter { labels[$0] == label } }
    // xᵢ·m_b, and m_a·m_b.
    let means: [[Double]] = threads.results(n) { i in
      members.map { $0.isEmpty ? 0 : $0.reduce(0) { $0 + gram.elements[i * n + $1] } / Double($0.count) }
    }
    let products: [[Double]] = members.map { own in
      (0..<classes).map { other in
        own.isEmpty ? 0 : own.reduce(0) { $0 + means[$1][other] } / Double(own.count)
      }
    }
    /// (xᵢ − m_a)·(xⱼ − m_b)
    @Sendable func centred(_ i: Int, _ j: Int) -> Double {
      let (a, b) = (labels[i], labels[j])
      return gram.elements[i * n + j] - means[i][b] - means[j][a] + products[a][b]
    }
    let distances = (0..<n).map { max(0, centred($0, $0)) }
    let traces = members.map { own in own.count < 2 ? 0 : own.reduce(0) { $0 + distances[$1] } / Double(own.count - 1) }
    let sums = threads.results(n) { i in
      members.map { other in
        other.reduce(0.0) { sum, j in
          let product = centred(i, j)
          return i == j ? sum : sum + product * product
        }
      }
    }
    var squares = SymmetricMatrix([Double](repeating: 0, count: classes * classes), count: classes)
    for a in 0..<classes {
      for b in 0..<classes {
        let pairs = a == b ? members[a].count * (members[a].count - 1) : members[a].count * members[b].count
        let sum = members[a].reduce(0) { $0 + sums[$1][b] }
        squares.elements[a * classes + b] = pairs == 0 ? 0 : sum / Double(pairs)
      }
    }
    self.init(labels: labels, squaredDistances: distances, traces: traces, covarianceProducts: squares)
  }
}

/// What weights with another fourth moment k₄ than a Gaussian's add to the conjugate kernel of the first layer, i ≠ j:
///
/// ΔKᵢⱼ = ¼d2²(k₄ − 3) Σ_k xᵢₖ²xⱼₖ²
///
/// It does not vanish for many inputs. For ternary weights of sparsity ε, k₄ = 1/(1 − ε): there is none at ε = 2/3.
///
/// - Parameters:
///   - points: n × p, row-major.
///   - moments: of the first layer's activation at τ₀.
/// - Throws: `LinearAlgebraError`.
public func fourthMomentTerm(
  points: [Double], width: Int, moments: GaussianMoments, fourthMoment: Double, threads: Threads
) throws(LinearAlgebraError) -> SymmetricMatrix {
  var matrix = try SymmetricMatrix(gramOf: points.map { $0 * $0 }, width: width, threads: threads)
  let factor = moments.d2 * moments.d2 * (fourthMoment - 3) / 4
  for i in matrix.elements.indices { matrix.elements[i] *= factor }
  for i in 0..<matrix.count { matrix.elements[i * matrix.count + i] = 0 }
  return matrix
}

extension SymmetricMatrix {
  /// XᵀX, the inner products of points.
  ///
  /// - Parameters:
  ///   - points: n × width, row-major.
  ///   - threads: the result does not depend on it.
  /// - Throws: `LinearAlgebraError`.
  public init(gramOf points: [Double], width: Int, threads: Threads) throws(LinearAlgebraError) {
    precondition(width > 0 && points.count.isMultiple(of: width), "whole rows")
    let algebra = try LinearAlgebra()
    let (count, rows) = (points.count / width, 128)
    self.init([Double](repeating: 0, count: count * count), count: count)
    elements.withUnsafeMutableBufferPointer { elements in
      points.withUnsafeBufferPointer { points in
        guard let first = elements.baseAddress, let start = points.baseAddress else { return }
        nonisolated(unsafe) let (out, x) = (first, start)
        threads.forEach((count + rows - 1) / rows) { block in
          let low = block * rows
          let own = LinearAlgebra.Rows(x, stride: width)
          let size = min(rows, count - low)
          algebra.products(own.from(low), size, own, low + size, width, to: out + low * count, stride: count)
        }
      }
    }
    mirror()
  }

  /// Elements of the lower half, by a function of row and column.
  init(count: Int, threads: Threads, _ element: @Sendable (Int, Int) -> Double) {
    self.init([Double](repeating: 0, count: count * count), count: count)
    let rows = 8
    elements.withUnsafeMutableBufferPointer { elements in
      guard let first = elements.baseAddress else { return }
      nonisolated(unsafe) let out = first
      withoutActuallyEscaping(element) { element in
        threads.forEach((count + rows - 1) / rows) { block in
          for i in block * rows..<min(count, (block + 1) * rows) {
            for j in 0...i { out[i * count + j] = element(i, j) }
          }
        }
      }
    }
    mirror()
  }
}
