// SPDX-License-Identifier: Apache-2.0

internal import Tensors

/// A rectangle of a matrix that is being added to.
struct Tile {
  let first: UnsafeMutablePointer<Double>
  let stride: Int
  let rows: Int
  let columns: Int

  init(_ first: UnsafeMutablePointer<Double>, stride: Int, rows: Int, columns: Int) {
    (self.first, self.stride, self.rows, self.columns) = (first, stride, rows, columns)
  }
}

/// Vectors inside a larger array: for each point of a block one, or one for each output.
struct PointVectors: Sendable {
  private let numbers: [Double]
  /// Of the first point's vectors.
  private let offsets: [Int]
  private let stride: Int
  let width: Int

  init(_ numbers: [Double], offsets: [Int] = [0], stride: Int, width: Int) {
    (self.numbers, self.offsets, self.stride, self.width) = (numbers, offsets, stride, width)
  }

  /// Adds the inner products of these points' vectors with those of others; with several a point, the sum over all of
  /// them.
  func products(with other: PointVectors, _ out: Tile, _ algebra: LinearAlgebra) {
    // All at once where they lie side by side.
    let isOne = areSideBySide && other.areSideBySide
    let width = isOne ? self.width * offsets.count : self.width
    numbers.withUnsafeBufferPointer { own in
      other.numbers.withUnsafeBufferPointer { others in
        guard let a = own.baseAddress, let b = others.baseAddress else { return }
        for number in isOne ? 0..<min(1, offsets.count) : offsets.indices {
          algebra.products(
            .init(a + offsets[number], stride: stride), out.rows,
            .init(b + other.offsets[number], stride: other.stride), out.columns, width, to: out.first,
            stride: out.stride, adding: true)
        }
      }
    }
  }

  private var areSideBySide: Bool {
    zip(offsets, offsets.dropFirst()).allSatisfy { $1 - $0 == width }
  }

  /// Calls `body` with the vectors of one output, `stride` from point to point.
  func withRows(_ output: Int, _ body: (LinearAlgebra.Rows) -> Void) {
    numbers.withUnsafeBufferPointer { numbers in
      if let first = numbers.baseAddress { body(.init(first + offsets[output], stride: stride)) }
    }
  }
}

/// What the tensors of one kind add to the tangent kernel, by a block of points.
enum TangentTerm: Sendable {
  /// Σ over pairs of uses of (XᵀX′ + bias) ∘ (BᵀB′)
  case matrix(uses: [(input: PointVectors, gradient: PointVectors)], isBiased: Bool)
  /// JᵀJ
  case vector(PointVectors)

  /// Adds the products with the same term of another block.
  fileprivate func addProducts(with other: TangentTerm, to out: Tile, _ algebra: LinearAlgebra) {
    switch (self, other) {
    case (.vector(let own), .vector(let others)): own.products(with: others, out, algebra)
    case (.matrix(let uses, let isBiased), .matrix(let others, _)):
      let count = out.rows * out.columns
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * count) { room in
        guard let first = room.baseAddress else { return }
        let inputs = Tile(first, stride: out.columns, rows: out.rows, columns: out.columns)
        let gradients = Tile(first + count, stride: out.columns, rows: out.rows, columns: out.columns)
        for a in uses {
          for b in others {
            inputs.first.initialize(repeating: isBiased ? 1 : 0, count: count)
            gradients.first.initialize(repeating: 0, count: count)
            a.input.products(with: b.input, inputs, algebra)
            a.gradient.products(with: b.gradient, gradients, algebra)
            for row in 0..<out.rows {
              let target = out.first + row * out.stride
              let (x, y) = (inputs.first + row * out.columns, gradients.first + row * out.columns)
              for column in 0..<out.columns { target[column] += x[column] * y[column] }
            }
          }
        }
      }
    case (.vector, .matrix), (.matrix, .vector): preconditionFailure("terms of one network")
    }
  }
}

/// What a tangent kernel is made of, by a block of points: the entries of two points are sums of products of theirs.
struct TangentBlock: Sendable {
  /// In the same order in each block.
  let terms: [TangentTerm]

  /// Adds the entries of these points and those of another block.
  func addProducts(with other: TangentBlock, to out: Tile, _ algebra: LinearAlgebra) {
    for (own, others) in zip(terms, other.terms) { own.addProducts(with: others, to: out, algebra) }
  }

  /// - Parameters:
  ///   - values: of every node, for the points of the block.
  ///   - samples: how many these are.
  ///   - outputs: which logits, by index.
  ///   - elements: those of `function.matrices`.
  init(
    of function: NetworkFunction, _ values: [[Double]], samples: Int, outputs: Range<Int>, elements: [[Double]]
  ) {
    let gradients = function.gradients(values, samples: samples, outputs: outputs, elements: elements)
    let (network, shapes) = (function.network, function.shapes)
    func input(of node: Int) -> [Double] { values[network.nodes[node].inputs[0]] }
    var terms: [TangentTerm] = []
    /// Of each vector, derivatives by it: points × outputs × width.
    var vectorGradients: [Int: [Double]] = [:]
    func add(_ vector: Int?, _ gradient: [Double], positions: Int, width: Int) {
      guard let vector else { return }
      let rows = gradient.count / max(1, positions * width)
      var sum = vectorGradients[vector] ?? [Double](repeating: 0, count: rows * width)
      for row in 0..<rows {
        for position in 0..<positions {
          for i in 0..<width { sum[row * width + i] += gradient[(row * positions + position) * width + i] }
        }
      }
      vectorGradients[vector] = sum
    }
    var vectorUses: [Int: Int] = [:]
    var matrixUses: [Int: [Int]] = [:]
    for index in network.nodes.indices where gradients[index] != nil {
      let used: [Int?]
      switch function.operations[index] {
      case .dense(let matrix, let bias):
        matrixUses[matrix, default: []].append(index)
        used = [bias]
      case .batchNormalization(_, _, let gamma, let beta, _), .layerNormalization(let gamma, let beta, _):
        used = [gamma, beta]
      case .input, .activation, .normalization, .rescaling, .rotation, .prelu, .combine, .concatenate, .copy: continue
      }
      for case let vector? in used { vectorUses[vector, default: 0] += shapes[index].positions }
    }
    for matrix in matrixUses.keys.sorted() {
      let nodes = matrixUses[matrix] ?? []
      var uses: [(input: PointVectors, gradient: PointVectors)] = []
      var isBiased = false
      for node in nodes {
        guard case .dense(_, let bias) = function.operations[node] else { continue }
        let (positions, width) = (shapes[node].positions, shapes[node].width)
        let inputs = shapes[network.nodes[node].inputs[0]].width
        let gradient = gradients[node] ?? []
        let value = input(of: node)
        if let bias, nodes.count == 1, positions == 1, vectorUses[bias] == 1 {
          isBiased = true
        } else {
          add(bias, gradient, positions: positions, width: width)
        }
        for position in 0..<positions {
          uses.append(
            (
              PointVectors(value, offsets: [position * inputs], stride: positions * inputs, width: inputs),
              PointVectors(
                gradient, offsets: (0..<outputs.count).map { ($0 * positions + position) * width },
                stride: outputs.count * positions * width, width: width)
            ))
        }
      }
      terms.append(.matrix(uses: uses, isBiased: isBiased))
    }
    for index in network.nodes.indices where gradients[index] != nil {
      let (gamma, beta): (Int?, Int?)
      let normal: [Double]
      let (positions, width) = (shapes[index].positions, shapes[index].width)
      switch function.operations[index] {
      case .batchNormalization(let mean, let variance, let factor, let offset, let epsilon):
        (gamma, beta) = (factor, offset)
        let (means, factors) = (function.vectors[mean], function.factors(nil, variance, epsilon))
        normal = mapRows(input(of: index), width: width) { x, i in (x - means[i]) * factors[i] }
      case .layerNormalization(let factor, let offset, let epsilon):
        (gamma, beta) = (factor, offset)
        normal = function.normalised(input(of: index), width: width, epsilon: epsilon).values
      default: continue
      }
      let gradient = gradients[index] ?? []
      add(beta, gradient, positions: positions, width: width)
      let shape = GradientShape(samples: samples, outputs: outputs.count, sampleShape: shapes[index])
      add(gamma, shape.multiplied(gradient, bySample: normal), positions: positions, width: width)
    }
    for vector in vectorGradients.keys.sorted() {
      let width = function.vectors[vector].count
      terms.append(
        .vector(
          PointVectors(
            vectorGradients[vector] ?? [], offsets: (0..<outputs.count).map { $0 * width },
            stride: outputs.count * width, width: width)))
    }
    self.terms = terms
  }

}
