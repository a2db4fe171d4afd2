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
    let values = function.blocks(of: points, threads: threads, fill: fill)
    conjugate = Self.conjugate(of: function, values, points: points, threads: threads)
    tangent =
      function.tangentObstacle(points: points, output: output) == nil
      ? Self.tangent(of: function, values, points: points, output: output, threads: threads, memory: memory) : nil
  }

  /// The conjugate kernel alone.
  ///
  /// - Parameters: as of `init`.
  public static func conjugate(
    of function: NetworkFunction, points: Int, threads: Threads,
    fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> SymmetricMatrix {
    conjugate(
      of: function, function.blocks(of: points, threads: threads, fill: fill), points: points, threads: threads)
  }

  /// The tangent kernel alone, of a function without `tangentObstacle`.
  ///
  /// - Parameters: as of `init`.
  public static func tangent(
    of function: NetworkFunction, points: Int, output: TangentOutput = .sum, threads: Threads, memory: Int = 1 << 28,
    fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> SymmetricMatrix {
    tangent(
      of: function, function.blocks(of: points, threads: threads, fill: fill), points: points, output: output,
      threads: threads, memory: memory)
  }

  private static func conjugate(
    of function: NetworkFunction, _ values: [[[Double]]], points: Int, threads: Threads
  ) -> SymmetricMatrix {
    let node = function.featureNode
    let width = function.shapes[node].count
    let features = values.map { PointVectors($0[node], stride: width, width: width) }
    return SymmetricMatrix(points: points, threads: threads) { rows, columns, out in
      features[rows].products(with: features[columns], out, function.algebra)
    }
  }

  private static func tangent(
    of function: NetworkFunction, _ values: [[[Double]]], points: Int, output: TangentOutput, threads: Threads,
    memory: Int
  ) -> SymmetricMatrix {
    let all = function.logits(of: output)
    let perOutput = 8 * points * function.valueCount
    let most = max(1, memory / max(1, perOutput))
    let elements = function.matrices.map(\.elements)
    var sum = SymmetricMatrix([Double](repeating: 0, count: points * points), count: points)
    for first in stride(from: all.lowerBound, to: all.upperBound, by: most) {
      let outputs = first..<min(first + most, all.upperBound)
      let blocks = threads.results(values.count) { number in
        TangentBlock(
          of: function, values[number], samples: NetworkFunction.block(number, of: points).count, outputs: outputs,
          elements: elements)
      }
      sum.addTiles(threads: threads) { rows, columns, out in
        blocks[rows].addProducts(with: blocks[columns], to: out, function.algebra)
      }
    }
    sum.mirror()
    return sum
  }
}

extension SymmetricMatrix {
  /// A matrix of points, of which `add` adds tiles to zeros.
  fileprivate init(points: Int, threads: Threads, _ add: @Sendable (Int, Int, Tile) -> Void) {
    self.init([Double](repeating: 0, count: points * points), count: points)
    addTiles(threads: threads, add)
    mirror()
  }

  /// Has `add` add to each tile on and below the diagonal: two blocks of points, by their numbers.
  fileprivate mutating func addTiles(threads: Threads, _ add: @Sendable (Int, Int, Tile) -> Void) {
    let count = self.count
    let tiles = (0..<NetworkFunction.blockCount(of: count)).flatMap { row in (0...row).map { (row, $0) } }
    elements.withUnsafeMutableBufferPointer { elements in
      guard let first = elements.baseAddress else { return }
      nonisolated(unsafe) let base = first
      threads.forEach(tiles.count) { number in
        let (row, column) = tiles[number]
        let (rows, columns) = (NetworkFunction.block(row, of: count), NetworkFunction.block(column, of: count))
        let place = base + rows.lowerBound * count + columns.lowerBound
        add(row, column, Tile(place, stride: count, rows: rows.count, columns: columns.count))
      }
    }
  }
}

extension NetworkFunction {
  static func blockCount(of points: Int) -> Int { (points + samplesAtOnce - 1) / samplesAtOnce }

  /// Which points are computed together.
  static func block(_ number: Int, of points: Int) -> Range<Int> {
    number * samplesAtOnce..<min(points, (number + 1) * samplesAtOnce)
  }

  /// The values of all nodes for each block of points.
  func blocks(
    of points: Int, threads: Threads, fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> [[[Double]]] {
    threads.results(Self.blockCount(of: points)) { number in
      values(of: Self.block(number, of: points), fill: fill)
    }
  }

  /// The logits that a tangent kernel is of.
  func logits(of output: TangentOutput) -> Range<Int> {
    switch output {
    case .sum: 0..<logitNodes.reduce(0) { $0 + shapes[$1].count }
    case .one(let index): index..<index + 1
    }
  }
}
