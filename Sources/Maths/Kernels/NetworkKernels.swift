// SPDX-License-Identifier: Apache-2.0

public import Parallel
internal import Tensors

/// Which output's tangent kernel is meant.
public enum TangentOutput: Sendable, Equatable {
  /// The sum of the kernels of all outputs.
  case sum
  /// That of one logit, by index.
  case one(Int)
}

/// The kernel matrices of a finite network on n points.
///
/// Conjugate kernel: K = HᵀH, H (width × n) the values that its last dense layer takes.
///
/// Neural tangent kernel of output c: K_c = JᵀJ, J the derivatives of logit c by all weights and biases of dense layers
/// and all γ and β of normalizations, but not by slopes of PReLU (a network with tensors used twice differentiates by
/// them once). It is computed layer by layer, Σ_l (H_{l−1}ᵀH_{l−1} + 11ᵀ) ∘ (B_lᵀB_l), B_l the derivatives by the
/// layer's outputs; J is never formed.
///
/// Cost: n² Σ_W p²(columns + outputs · rows) multiplications and additions, p the number of positions at which matrix W
/// is applied, all of its uses together: terms are those of all pairs of them. The derivatives take
/// 2n · outputs Σ_W p · rows · columns more, and there are a few n × n matrices in memory.
///
/// Example: f(x) = w·x + b has one dense layer, which takes x, and its derivatives by (w, b) are (x, 1). So on the
/// points (1, 0) and (1, 1), whatever w and b are,
///
/// ```
/// conjugate   1 1      tangent   2 2
///             1 2                2 3
/// ```
///
/// Law: the tangent kernel is what finite differences give.
public struct NetworkKernels: Sendable {
  /// n × n.
  public let conjugate: SymmetricMatrix
  /// n × n; `nil` where `NetworkFunction.tangentObstacle` says why.
  public let tangent: SymmetricMatrix?

  /// Whether all elements are.
  public var areFinite: Bool { conjugate.isFinite && tangent?.isFinite ?? true }

  /// Points of a tile, which is computed as one.
  private static let tile = 256

  /// - Parameters:
  ///   - points: n.
  ///   - output: of the tangent kernel.
  ///   - threads: results do not depend on it.
  ///   - memory: maximum bytes, 256 MiB where it is not said, of derivatives by the values of all nodes: of as many
  ///     outputs at once as have room, 8 · points · `valueCount` bytes each, but of one at least. Those of others come
  ///     after them, and results differ by rounding alone. It bounds nothing else: the values of all nodes (as many
  ///     bytes as the derivatives of one output), copies of both where they are put together, dense copies of the
  ///     matrices and the points × points kernels come on top.
  ///   - fill: writes the inputs of some points, `inputCount` numbers each.
  public init(
    of function: NetworkFunction, points: Int, output: TangentOutput = .sum, threads: Threads, memory: Int = 1 << 28,
    fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) {
    let block = NetworkFunction.samplesAtOnce
    let blocks = (0..<(points + block - 1) / block).map { $0 * block..<min(points, ($0 + 1) * block) }
    let values = threads.results(blocks.count) { function.values(of: blocks[$0], fill: fill) }
    let features = function.featureNode
    conjugate = Self.gram(
      of: PointVectors(
        joined(values.map { $0[features] }), stride: function.shapes[features].count,
        width: function.shapes[features].count), points: points, algebra: function.algebra, threads: threads)
    guard function.tangentObstacle(points: points, output: output) == nil else {
      tangent = nil
      return
    }
    let logits = function.logitNodes.reduce(0) { $0 + function.shapes[$1].count }
    let all =
      switch output {
      case .sum: 0..<logits
      case .one(let index): index..<index + 1
      }
    let perOutput = 8 * points * function.shapes.indices.reduce(0) { $0 + function.shapes[$1].count }
    let most = max(1, memory / max(1, perOutput))
    let elements = function.matrices.map(\.elements)
    var sum = SymmetricMatrix([Double](repeating: 0, count: points * points), count: points)
    for first in stride(from: all.lowerBound, to: all.upperBound, by: most) {
      let outputs = first..<min(first + most, all.upperBound)
      let gradients = threads.results(blocks.count) { number in
        function.gradients(values[number], samples: blocks[number].count, outputs: outputs, elements: elements)
      }
      let terms = function.tangentTerms(values, gradients, outputs: outputs.count)
      sum.addTiles(of: Self.tile, threads: threads) { rows, columns, out in
        for term in terms { term.add(rows, columns, to: out, function.algebra) }
      }
    }
    sum.mirror()
    tangent = sum
  }

  private static func gram(
    of pointVectors: PointVectors, points: Int, algebra: LinearAlgebra, threads: Threads
  ) -> SymmetricMatrix {
    var matrix = SymmetricMatrix([Double](repeating: 0, count: points * points), count: points)
    matrix.addTiles(of: tile, threads: threads) { rows, columns, out in
      pointVectors.products(with: pointVectors, rows, columns, to: out.first, stride: out.stride, algebra)
    }
    matrix.mirror()
    return matrix
  }
}

/// The numbers of all blocks of points, in room that is taken once.
private func joined(_ blocks: [[Double]]) -> [Double] {
  var result: [Double] = []
  result.reserveCapacity(blocks.reduce(0) { $0 + $1.count })
  for block in blocks { result += block }
  return result
}

/// Vectors, one for each point, inside larger arrays.
private struct PointVectors: Sendable {
  /// The numbers of all points, or of each output.
  private let numbers: [Double]
  private let offsets: [Int]
  private let stride: Int
  private let width: Int

  init(_ numbers: [Double], offsets: [Int] = [0], stride: Int, width: Int) {
    (self.numbers, self.offsets, self.stride, self.width) = (numbers, offsets, stride, width)
  }

  /// Adds the inner products of some points with others' vectors; with several offsets, the sum over all of them.
  func products(
    with other: PointVectors, _ rows: Range<Int>, _ columns: Range<Int>, to out: UnsafeMutablePointer<Double>,
    stride: Int,
    _ algebra: LinearAlgebra
  ) {
    numbers.withUnsafeBufferPointer { own in
      other.numbers.withUnsafeBufferPointer { others in
        guard let a = own.baseAddress, let b = others.baseAddress else { return }
        for (offset, otherOffset) in zip(offsets, other.offsets) {
          algebra.products(
            .init(a + offset, stride: self.stride).from(rows.lowerBound), rows.count,
            .init(b + otherOffset, stride: other.stride).from(columns.lowerBound), columns.count, width, to: out,
            stride: stride, adding: true)
        }
      }
    }
  }
}

/// What the tensors of one kind add to the tangent kernel.
private enum TangentTerm: Sendable {
  /// Σ over pairs of uses of (XᵀX′ + bias) ∘ (BᵀB′)
  case matrix(uses: [(input: PointVectors, gradient: PointVectors)], isBiased: Bool)
  /// JᵀJ
  case vector(PointVectors)

  func add(_ rows: Range<Int>, _ columns: Range<Int>, to out: Tile, _ algebra: LinearAlgebra) {
    switch self {
    case .vector(let pointVectors):
      pointVectors.products(with: pointVectors, rows, columns, to: out.first, stride: out.stride, algebra)
    case .matrix(let uses, let isBiased):
      let count = rows.count * columns.count
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * count) { room in
        guard let inputs = room.baseAddress else { return }
        let gradients = inputs + count
        for a in uses {
          for b in uses {
            inputs.initialize(repeating: isBiased ? 1 : 0, count: count)
            gradients.initialize(repeating: 0, count: count)
            a.input.products(with: b.input, rows, columns, to: inputs, stride: columns.count, algebra)
            a.gradient.products(with: b.gradient, rows, columns, to: gradients, stride: columns.count, algebra)
            for row in 0..<rows.count {
              let target = out.first + row * out.stride
              for column in 0..<columns.count {
                target[column] += inputs[row * columns.count + column] * gradients[row * columns.count + column]
              }
            }
          }
        }
      }
    }
  }
}

/// A rectangle of a matrix that is being added to.
private struct Tile {
  let first: UnsafeMutablePointer<Double>
  let stride: Int
}

extension SymmetricMatrix {
  /// Has `add` add to each tile on and below the diagonal.
  fileprivate mutating func addTiles(
    of size: Int, threads: Threads, _ add: @Sendable (Range<Int>, Range<Int>, Tile) -> Void
  ) {
    let count = self.count
    let sides = (0..<(count + size - 1) / size).map { $0 * size..<min(count, ($0 + 1) * size) }
    let tiles = sides.indices.flatMap { row in (0...row).map { (sides[row], sides[$0]) } }
    elements.withUnsafeMutableBufferPointer { elements in
      guard let first = elements.baseAddress else { return }
      nonisolated(unsafe) let base = first
      threads.forEach(tiles.count) { number in
        let (rows, columns) = tiles[number]
        add(rows, columns, Tile(first: base + rows.lowerBound * count + columns.lowerBound, stride: count))
      }
    }
  }
}

extension NetworkFunction {
  /// The terms of the tangent kernel, from the values and derivatives of blocks of points.
  fileprivate func tangentTerms(
    _ values: [[[Double]]], _ gradients: [[Int: [Double]]], outputs: Int
  ) -> [TangentTerm] {
    func input(of node: Int) -> [Double] { joined(values.map { $0[network.nodes[node].inputs[0]] }) }
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
    for index in network.nodes.indices where gradients.first?[index] != nil {
      let used: [Int?]
      switch operations[index] {
      case .dense(let matrix, let bias):
        matrixUses[matrix, default: []].append(index)
        used = [bias]
      case .batchNormalization(_, _, let gamma, let beta, _), .layerNormalization(let gamma, let beta, _):
        used = [gamma, beta]
      case .input, .activation, .normalization, .rescaling, .prelu, .combine, .concatenate, .copy: continue
      }
      for case let vector? in used { vectorUses[vector, default: 0] += shapes[index].positions }
    }
    for matrix in matrixUses.keys.sorted() {
      let nodes = matrixUses[matrix] ?? []
      var uses: [(input: PointVectors, gradient: PointVectors)] = []
      var isBiased = false
      for node in nodes {
        guard case .dense(_, let bias) = operations[node] else { continue }
        let (positions, width) = (shapes[node].positions, shapes[node].width)
        let inputs = shapes[network.nodes[node].inputs[0]].width
        let gradient = joined(gradients.compactMap { $0[node] })
        let value = input(of: node)
        let isSimple = nodes.count == 1 && positions == 1
        if let bias, isSimple, vectorUses[bias] == 1 {
          isBiased = true
        } else {
          add(bias, gradient, positions: positions, width: width)
        }
        for position in 0..<positions {
          uses.append(
            (
              PointVectors(value, offsets: [position * inputs], stride: positions * inputs, width: inputs),
              // All outputs at once where they lie side by side.
              isSimple
                ? PointVectors(gradient, stride: outputs * width, width: outputs * width)
                : PointVectors(
                  gradient, offsets: (0..<outputs).map { ($0 * positions + position) * width },
                  stride: outputs * positions * width, width: width)
            ))
        }
      }
      terms.append(.matrix(uses: uses, isBiased: isBiased))
    }
    for index in network.nodes.indices where gradients.first?[index] != nil {
      let (gamma, beta): (Int?, Int?)
      let normal: [Double]
      let (positions, width) = (shapes[index].positions, shapes[index].width)
      switch operations[index] {
      case .batchNormalization(let mean, let variance, let factor, let offset, let epsilon):
        (gamma, beta) = (factor, offset)
        let (means, factors) = (vectors[mean], self.factors(nil, variance, epsilon))
        normal = mapRows(input(of: index), width: width) { x, i in (x - means[i]) * factors[i] }
      case .layerNormalization(let factor, let offset, let epsilon):
        (gamma, beta) = (factor, offset)
        normal = normalised(input(of: index), width: width, epsilon: epsilon).values
      default: continue
      }
      let gradient = joined(gradients.compactMap { $0[index] })
      add(beta, gradient, positions: positions, width: width)
      let shape = GradientShape(
        samples: normal.count / max(1, positions * width), outputs: outputs, sampleShape: shapes[index])
      add(gamma, shape.multiplied(gradient, bySample: normal), positions: positions, width: width)
    }
    for vector in vectorGradients.keys.sorted() {
      let width = vectors[vector].count
      terms.append(
        .vector(PointVectors(vectorGradients[vector] ?? [], stride: outputs * width, width: outputs * width)))
    }
    return terms
  }
}
