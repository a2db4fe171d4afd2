// SPDX-License-Identifier: Apache-2.0

internal import Compression
public import JSON
internal import Maths
internal import Matrices
public import Networks
internal import Parallel
internal import Random
public import Tensors

/// How well the dense weight matrices of a network can be pruned, told before anything is.
public struct Statistics: Sendable {
  /// The fractions that are kept, of weights, singular values or units.
  public var keeps: [Fraction]
  public var layers: [Layer]
  /// What a user should be told.
  public var notes: [String]

  public enum Strategy: String, Sendable, CaseIterable {
    case magnitude
    case singularValue = "singular value"
    case node
  }

  /// One matrix, or all together.
  public struct Layer: Sendable {
    public var name: String
    public var shape: String
    public var weights: Int
    /// Of its type.
    var bytesPerWeight = 4
    /// Weights that are zero.
    public var zeros: Int
    /// n Σ (w − w̄)⁴ / (Σ (w − w̄)²)²: 3 for a Gaussian; `nil` where all weights are equal.
    public var kurtosis: Double?
    /// Tail indices under a stable model: of the rows (of a network's last layer, which has few, the columns), of the
    /// entries, of the norms of the rows.
    public var tailIndices: (rows: Double?, entries: Double?, norms: Double?)
    /// ‖W − Ŵ‖₂ ÷ ‖W‖₂ at each of `keeps`; a strategy that was not tried is missing.
    public var errors: [Strategy: [Double]]
    /// σₖ(w)₁ ÷ ‖w‖₁ of magnitude pruning at each of `keeps`.
    public var l1Errors: [Double]
    /// ‖W‖².
    var squaredNorm: Double
    /// Whether its rows are the outputs of the network, of which none can be dropped.
    var isLast = false
  }

  /// All matrices, each pruned to the same fraction: errors of all together, medians of kurtosis and tail indices.
  public var all: Layer {
    func median(_ values: [Double?]) -> Double? {
      let sorted = values.compactMap { $0 }.sorted()
      if sorted.isEmpty { return nil }
      return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
    let norm = layers.reduce(0) { $0 + $1.squaredNorm }
    func together(_ layers: [Layer], _ strategy: Strategy) -> [Double]? {
      let lists = layers.compactMap { $0.errors[strategy] }
      guard !lists.isEmpty, lists.count == layers.count else { return nil }
      let norm = layers.reduce(0) { $0 + $1.squaredNorm }
      return keeps.indices.map { index in
        let lost = zip(layers, lists).reduce(0) { $0 + $1.0.squaredNorm * $1.1[index] * $1.1[index] }
        return norm > 0 ? (lost / norm).squareRoot() : 0
      }
    }
    var errors: [Strategy: [Double]] = [:]
    for strategy in Strategy.allCases {
      // The units of the last layer are the outputs.
      errors[strategy] = together(strategy == .node ? layers.filter { !$0.isLast } : layers, strategy)
    }
    return Layer(
      name: "all", shape: "", weights: layers.reduce(0) { $0 + $1.weights },
      zeros: layers.reduce(0) { $0 + $1.zeros }, kurtosis: median(layers.map(\.kurtosis)),
      tailIndices: (
        median(layers.map(\.tailIndices.rows)), median(layers.map(\.tailIndices.entries)),
        median(layers.map(\.tailIndices.norms))
      ),
      errors: errors, l1Errors: [], squaredNorm: norm)
  }

  /// The same at some of `keeps`.
  public func at(_ some: [Fraction]) -> Statistics {
    let places = some.compactMap { keeps.firstIndex(of: $0) }
    var result = self
    result.keeps = places.map { keeps[$0] }
    for index in layers.indices {
      result.layers[index].errors = layers[index].errors.mapValues { errors in places.map { errors[$0] } }
      result.layers[index].l1Errors = places.map { layers[index].l1Errors[$0] }
    }
    return result
  }

  /// √(1 − κ − 2zφ(z)), P(|ξ| > z) = κ: the error of magnitude pruning of very many Gaussian weights at each of
  /// `keeps`.
  public var gaussianErrors: [Double] { keeps.map { gaussianRelativeError(keep: $0.value) } }
}

extension NetworkFile {
  /// Measures every dense weight matrix, one in memory at a time.
  ///
  /// - Parameters:
  ///   - keeps: the fractions at which errors are told.
  ///   - selection: which matrices.
  public func statistics(keeps: [Fraction], selection: Selection = Selection()) throws(NetworkError) -> Statistics {
    let choice = try choose(by: selection)
    var statistics = Statistics(keeps: keeps, layers: [], notes: choice.notes)
    for index in choice.tensors.sorted() {
      didReach(index)
      let tensor = tensors[index]
      let (rows, columns) = tensor.matrixDimensions
      let weights = try withValues(of: index) { values in
        floats(
          tensor.matrix(values))
      }
      guard weights.allSatisfy(\.isFinite) else {
        statistics.notes.append("\(tensor.name): NaN or infinity: left out")
        continue
      }
      func counts(of n: Int) -> [Int] { keeps.map { $0.ceiling(of: n) } }
      var errors: [Statistics.Strategy: [Double]] = [:]
      var l1Errors: [Double] = []
      do {
        // As large as the weights, and gone before their singular values, which take more.
        let magnitudes = Compressibility(weights)
        errors[.magnitude] = magnitudes.relativeErrors(keeping: counts(of: weights.count))
        l1Errors = magnitudes.relativeErrors(keeping: counts(of: weights.count), norm: .l1)
      }
      let isLast = tensor.name == network?.lastKernel
      if !isLast {
        errors[.node] = Compressibility(rowNorms(of: weights, rows: rows, columns: columns))
          .relativeErrors(keeping: counts(of: rows))
      }
      options.tell("singular values of \(tensor.name)")
      let singularValues: [Double]? = try about(tensor.name) {
        try self.singularValues(of: weights, rows: rows, columns: columns)
      }
      if let singularValues {
        errors[.singularValue] = Compressibility(singularValues)
          .relativeErrors(keeping: counts(of: min(rows, columns)))
      } else {
        statistics.notes.append("\(tensor.name): singular values would take more memory than --memory allows: left out")
      }
      options.tell("tails of \(tensor.name)")
      // The same orders of the samples for every layer, so that the estimate does not depend on the others.
      var random = SplitMix64(seed: 1)
      let tails =
        isLast
        ? LayerTailIndices(
          of: transpose(weights, rows: rows, columns: columns), rows: columns, columns: rows, using: &random,
          threads: options.threads)
        : LayerTailIndices(of: weights, rows: rows, columns: columns, using: &random, threads: options.threads)
      statistics.layers.append(
        Statistics.Layer(
          name: tensor.name.text, shape: tensor.shape.description, weights: weights.count,
          bytesPerWeight: tensor.type.byteCount, zeros: weights.count { $0 == 0 },
          kurtosis: kurtosis(of: weights),
          tailIndices: (tails.rows?.value, tails.entries?.value, tails.norms?.value), errors: errors,
          l1Errors: l1Errors,
          squaredNorm: weights.reduce(0) { $0 + Double($1) * Double($1) }, isLast: isLast))
    }
    didReach(tensors.count)
    return statistics
  }

  /// The singular values of a matrix; `nil` where they would take too much memory.
  private func singularValues(of weights: [Float], rows: Int, columns: Int) throws -> [Double]? {
    let needed = try SingularValueDecomposition.byteCount(rows: rows, columns: columns, vectors: false)
    guard needed.addingOrMaximum(4 * weights.count) <= options.memory else { return nil }
    return try SingularValueDecomposition.values(rows: rows, columns: columns) { out in
      for (index, weight) in weights.enumerated() { out[index] = Double(weight) }
    }
  }
}

extension Network {
  /// The weight matrix of the last dense layer.
  fileprivate var lastKernel: TensorName? {
    for node in nodes.reversed() {
      if case .dense(let kernel, _) = node.operation { return kernel }
    }
    return nil
  }
}

private func transpose(_ matrix: [Float], rows: Int, columns: Int) -> [Float] {
  (0..<columns).flatMap { column in (0..<rows).map { matrix[$0 * columns + column] } }
}

extension Statistics {
  /// One object; its keys are documented in the manual page.
  public var json: JSONValue {
    JSONValue.object([
      .init("all", all.json),
      .init("gaussian_errors", .array(gaussianErrors.map(JSONValue.real))),
      .init("keeps", .array(keeps.map { .real($0.value) })),
      .init("layers", .array(layers.map(\.json))),
      .init("notes", .array(notes.map(JSONValue.string))),
    ]).canonical()
  }
}

extension Statistics.Layer {
  fileprivate var json: JSONValue {
    func real(_ value: Double?) -> JSONValue { value.map { .real($0) } ?? .null }
    func list(_ strategy: Statistics.Strategy) -> JSONValue {
      errors[strategy].map { .array($0.map(JSONValue.real)) } ?? .null
    }
    var members: [JSONValue.Member] = [
      .init("kurtosis", real(kurtosis)),
      .init("magnitude_errors", list(.magnitude)),
      .init("name", .string(name)),
      .init("node_errors", list(.node)),
      .init("singular_value_errors", list(.singularValue)),
      .init(
        "tail_index",
        .object([
          .init("entries", real(tailIndices.entries)), .init("norms", real(tailIndices.norms)),
          .init("rows", real(tailIndices.rows)),
        ])),
      .init("weights", .integer(weights)),
      .init("zeros", .integer(zeros)),
    ]
    if !l1Errors.isEmpty { members.append(.init("magnitude_l1_errors", .array(l1Errors.map(JSONValue.real)))) }
    return .object(members)
  }
}
