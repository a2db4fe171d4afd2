// SPDX-License-Identifier: Apache-2.0

public import Parallel
internal import Tensors

/// The conjugate kernels of two networks on the same n points, without a matrix of n × n: time grows with n, and memory
/// does not.
///
/// With H_A (n × d_A) and H_B (n × d_B) the values that the last dense layers take, the kernels are A = H_A H_Aᵀ and
/// B = H_B H_Bᵀ. The triangular factor R of Z = (1, H_A, H_B) = QR says all of them: with R_A and R_B the columns of H_A
/// and H_B in R,
///
/// ```
/// A = Q (R_A R_Aᵀ) Qᵀ    B = Q (R_B R_Bᵀ) Qᵀ    1 = ±√n q₁
/// ```
///
/// (The same follows from ZᵀZ; but A − B of two similar networks is small, and would be found to half of the digits: of
/// two unit vectors at an angle θ, ZᵀZ has cos θ.)
///
/// Cost: what the networks cost on n points, and 2n(1 + d_A + d_B)².
///
/// Laws: every measure is that of the dense matrices but for rounding; kernels of networks that take the same features
/// are the same to the bit; results do not depend on the number of threads.
public struct ConjugateKernels: Sendable {
  /// n
  public let points: Int
  /// Whether all elements of A, and of B, are.
  public let areFinite: (a: Bool, b: Bool)
  /// R, row-major, 1 + d_A + d_B rows and columns; zero where kernels are not finite.
  private let factor: [Double]
  private let widths: (a: Int, b: Int)
  /// Whether H_A = H_B.
  private let areEqual: Bool
  private let algebra: LinearAlgebra

  private var columns: Int { 1 + widths.a + widths.b }

  /// Whether this is the way for so many points: with fewer than 1 + d_A + d_B, the n × n matrices are the smaller ones.
  public static func isSmaller(_ f: NetworkFunction, _ g: NetworkFunction, points: Int) -> Bool {
    f.featureCount < points && g.featureCount < points - f.featureCount
  }

  /// Bytes that they, and `KernelDistance` of them, take: an estimate, where `isSmaller` holds.
  public static func byteCount(
    _ f: NetworkFunction, _ g: NetworkFunction, points: Int, threads: Threads
  ) -> Double {
    let columns = 1 + f.featureCount + g.featureCount
    let parts = Self.parts(points, columns)
    let values = 8 * Double(NetworkFunction.samplesAtOnce) * (Double(f.valueCount) + Double(g.valueCount))
    let working = Double(min(threads.count, parts)) * (values + TriangularFactor.byteCount(columns: columns))
    return working + 8 * Double(columns) * Double(columns) * Double(parts + 14)
  }

  /// Parts of the points, each of which is done by one thread.
  private static func parts(_ points: Int, _ columns: Int) -> Int {
    let blocks = NetworkFunction.blockCount(of: points)
    // Each leaves a factor that is put together with the others'.
    return min(blocks, max(4, min(16, points / (4 * columns))))
  }

  /// - Parameters:
  ///   - f, g: the networks, of which B's is g; with as many inputs each.
  ///   - points: n ≥ 1 + d_A + d_B.
  ///   - threads: results do not depend on it.
  ///   - fill: writes the inputs of some points, `inputCount` numbers each; several threads may ask for some each.
  public init(
    of f: NetworkFunction, _ g: NetworkFunction, points: Int, threads: Threads,
    fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) {
    precondition(Self.isSmaller(f, g, points: points), "more points than features")
    self.points = points
    let widths = (a: f.featureCount, b: g.featureCount)
    self.widths = widths
    algebra = f.algebra
    let columns = 1 + widths.a + widths.b
    let blocks = NetworkFunction.blockCount(of: points)
    let parts = Self.parts(points, columns)
    let results = threads.results(parts) { part in
      var result = Part(widths, f.algebra)
      for number in part * blocks / parts..<(part + 1) * blocks / parts where result.areFinite == (true, true) {
        let range = NetworkFunction.block(number, of: points)
        result.add(f.features(of: range, fill: fill), g.features(of: range, fill: fill), count: range.count)
      }
      return (factor: result.factor.finished(), areFinite: result.areFinite, areEqual: result.areEqual)
    }
    areFinite = (results.allSatisfy(\.areFinite.a), results.allSatisfy(\.areFinite.b))
    areEqual = results.allSatisfy(\.areEqual)
    guard areFinite == (true, true) else {
      factor = [Double](repeating: 0, count: columns * columns)
      return
    }
    var whole = TriangularFactor(columns: columns, algebra)
    for result in results { whole.add(columns, [(result.factor, columns)]) }
    factor = parts > 1 ? whole.finished() : results[0].factor
  }

  /// What is known of some points.
  private struct Part {
    var factor: TriangularFactor
    var areFinite = (a: true, b: true)
    var areEqual = true
    private let widths: (a: Int, b: Int)

    init(_ widths: (a: Int, b: Int), _ algebra: LinearAlgebra) {
      self.widths = widths
      factor = TriangularFactor(columns: 1 + widths.a + widths.b, algebra)
    }

    mutating func add(_ a: [Double], _ b: [Double], count: Int) {
      // Elements of a kernel are below the largest on its diagonal; sums of those must be numbers too.
      areFinite = (dot(a, a).isFinite && areFinite.a, dot(b, b).isFinite && areFinite.b)
      areEqual = areEqual && a == b
      guard areFinite == (true, true) else { return }
      factor.add(count, [([Double](repeating: 1, count: count), 1), (a, widths.a), (b, widths.b)])
    }
  }

  // MARK: In the basis Q

  /// The columns of A, or of B, in R.
  private func columns(ofFirst isFirst: Bool) -> Range<Int> {
    isFirst || areEqual ? 1..<1 + widths.a : 1 + widths.a..<columns
  }

  /// R_A R_Aᵀ, or the same of B.
  private func matrix(ofFirst isFirst: Bool) -> SymmetricMatrix {
    let own = columns(ofFirst: isFirst)
    var result = SymmetricMatrix([Double](repeating: 0, count: columns * columns), count: columns)
    factor.withUnsafeBufferPointer { factor in
      result.elements.withUnsafeMutableBufferPointer { elements in
        guard let first = factor.baseAddress, let out = elements.baseAddress else { return }
        let rows = LinearAlgebra.Rows(first + own.lowerBound, stride: columns)
        algebra.products(rows, columns, rows, columns, own.count, to: out, stride: columns)
      }
    }
    result.mirror()
    return result
  }

  var pair: KernelPair {
    KernelPair(matrix(ofFirst: true), matrix(ofFirst: false), points: points)
  }

  // MARK: Vectors of points

  /// The first eigenvectors of both kernels as numbers of the points, from those that `KernelDistance` has in the basis:
  /// u = Qq = H_A R_Aᵀq/λ. The networks are computed again.
  ///
  /// - Parameters:
  ///   - count: of vectors; fewer where their eigenvalues are zero but for rounding.
  ///   - f, g, threads, fill: as of `init`.
  public func vectors(
    _ spectra: KernelDistance.Spectra, count: Int, of f: NetworkFunction, _ g: NetworkFunction, threads: Threads,
    fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> (a: [[Double]], b: [[Double]]) {
    func weights(_ spectrum: Eigenvalues, _ isFirst: Bool) -> [[Double]] {
      let own = columns(ofFirst: isFirst)
      return spectrum.vectors.prefix(count).enumerated().prefix { number, _ in
        spectrum.values[number] > 1e-12 * spectrum.values[0]
      }.map { number, vector in
        own.map { column in
          (0..<columns).reduce(0) { $0 + factor[$1 * columns + column] * vector[$1] } / spectrum.values[number]
        }
      }
    }
    func vectors(_ weights: [[Double]], _ function: NetworkFunction) -> [[Double]] {
      let blocks = threads.results(NetworkFunction.blockCount(of: points)) { number in
        let range = NetworkFunction.block(number, of: points)
        let features = function.features(of: range, fill: fill)
        return weights.map { weights in
          (0..<range.count).map { row in
            dot(Array(features[row * weights.count..<(row + 1) * weights.count]), weights)
          }
        }
      }
      return weights.indices.map { number in
        let vector = blocks.flatMap { $0[number] }
        return vector.reduce(0, +) < 0 ? vector.map { -$0 } : vector
      }
    }
    return (vectors(weights(spectra.a, true), f), vectors(weights(spectra.b, false), g))
  }
}

extension NetworkFunction {
  /// The node whose values the last dense layer takes.
  var featureNode: Int {
    for (index, node) in network.nodes.enumerated().reversed() {
      if case .dense = operations[index] { return node.inputs[0] }
    }
    return logitNodes[0]
  }

  /// The numbers of one sample that the last dense layer takes.
  var featureCount: Int { shapes[featureNode].count }

  /// What the last dense layer takes for some samples.
  fileprivate func features(
    of range: Range<Int>, fill: (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> [Double] {
    let node = featureNode
    return values(of: range, upTo: node, fill: fill)[node]
  }
}
