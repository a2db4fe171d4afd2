// SPDX-License-Identifier: Apache-2.0

import Random
import Tensors
import Testing

@Suite("Axes of matrices")
struct MatrixAxesTests {
  @Test(
    arguments: [
      ([0], 2), ([0], -1), ([0, 0], 1), ([0, 2], 1), ([1], 0), ([-1, 0], 1), ([], 1), ([0, 1, 1], 2),
    ] as [([Int], Int)])
  func onlyPermutationsAreOrders(order: [Int], outputs: Int) {
    #expect(MatrixAxes(order: order, outputs: outputs) == nil)
  }

  /// Those that are left out in a file.
  @Test func theDefaultIsAllButTheLast() {
    #expect(MatrixAxes.standard(rank: 0) == MatrixAxes(order: [], outputs: 0))
    #expect(MatrixAxes.standard(rank: 1) == MatrixAxes(order: [0], outputs: 0))
    #expect(MatrixAxes.standard(rank: 2) == MatrixAxes(order: [0, 1], outputs: 1))
    #expect(MatrixAxes.standard(rank: 4) == MatrixAxes(order: [0, 1, 2, 3], outputs: 3))
  }

  @Test func kerasHasItsOutputsLast() throws {
    #expect(MatrixAxes.outputsLast() == MatrixAxes(order: [1, 0], outputs: 1))
    #expect(MatrixAxes.outputsLast(1, rank: 4) == MatrixAxes(order: [3, 0, 1, 2], outputs: 1))
    #expect(MatrixAxes.outputsLast(2, rank: 3) == MatrixAxes(order: [1, 2, 0], outputs: 2))
    let shape = try #require(Shape([3, 5, 7, 11]))
    #expect(MatrixAxes.outputsLast(1, rank: 4).dimensions(of: shape) == (11, 105))
    #expect(MatrixAxes.outputsLast(2, rank: 4).dimensions(of: shape) == (77, 15))
    #expect(MatrixAxes.standard(rank: 4).dimensions(of: shape) == (105, 11))
    let all = try #require(MatrixAxes(order: [2, 0, 1, 3], outputs: 4))
    #expect(all.dimensions(of: shape) == (1155, 1))
    #expect(try #require(MatrixAxes(order: [2, 0, 1, 3], outputs: 0)).dimensions(of: shape) == (1, 1155))
    #expect(MatrixAxes.standard(rank: 0).dimensions(of: try #require(Shape([]))) == (1, 1))
  }

  /// `direct` and `transposed` say that the matrix is the tensor, or the transposed tensor, element by element.
  @Test(arguments: 0...5) func layoutsAreWhatTheySay(rank: Int) throws {
    let shape = try #require(Shape(Array([2, 3, 4, 5, 6].prefix(rank))))
    let tensor = (0..<shape.count).map { UInt16($0) }
    var seen: [Int] = [0, 0, 0]
    for order in Self.permutations(of: Array(0..<rank)) {
      for outputs in 0...rank {
        let axes = try #require(MatrixAxes(order: order, outputs: outputs))
        let matrix = Self.matrix(of: tensor, axes, shape)
        let (rows, columns) = axes.dimensions(of: shape)
        // A tensor that has the rows of the matrix as its columns, taken for a matrix.
        let turned = (0..<shape.count).map { tensor[$0 % columns * rows + $0 / columns] }
        switch axes.layout {
        case .direct:
          seen[0] += 1
          #expect(matrix == tensor)
        case .transposed:
          seen[1] += 1
          #expect(matrix == turned)
        case .permuted:
          seen[2] += 1
          #expect(matrix != tensor && matrix != turned)
        }
      }
    }
    // Every number of outputs in the tensor's order, and each but all and none with the outputs last.
    #expect(seen[0] == rank + 1 && seen[1] == max(0, rank - 1))
  }

  /// Putting a matrix back gives the tensor that it was taken from, in every order, whatever is in the way.
  @Test(arguments: 0..<60 as Range<UInt64>) func aMatrixIsPutBack(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let rank = Int.random(in: 0...5, using: &random)
    let shape = try #require(Shape((0..<rank).map { _ in Int.random(in: seed % 7 == 0 ? 0...4 : 1...5, using: &random) }))
    let width = [1, 2, 4, 8].randomElement(using: &random)!
    let axes = try #require(
      MatrixAxes(
        order: (0..<rank).shuffled(using: &random), outputs: Int.random(in: 0...rank, using: &random)))
    let tensor = (0..<shape.count * width).map { _ in UInt8.random(in: 0...255, using: &random) }
    let elements = (0..<shape.count).map { Array(tensor[$0 * width..<($0 + 1) * width]) }
    let matrix = Self.matrix(of: elements, axes, shape).flatMap { $0 }
    #expect(axes.tensor(fromMatrix: matrix, shape: shape, width: width) == tensor)
  }

  /// The elements of the matrix, row by row, as the document says it: axis i of the permuted tensor is axis `order[i]`.
  private static func matrix<Element>(of tensor: [Element], _ axes: MatrixAxes, _ shape: Shape) -> [Element] {
    let dimensions = shape.dimensions
    let permuted = axes.order.map { dimensions[$0] }
    return (0..<shape.count).map { number in
      var (rest, position) = (number, [Int](repeating: 0, count: dimensions.count))
      for (axis, dimension) in zip(axes.order, permuted).reversed() {
        position[axis] = rest % dimension
        rest /= dimension
      }
      return tensor[zip(position, dimensions).reduce(0) { $0 * $1.1 + $1.0 }]
    }
  }

  private static func permutations(of items: [Int]) -> [[Int]] {
    items.isEmpty
      ? [[]] : items.flatMap { first in permutations(of: items.filter { $0 != first }).map { [first] + $0 } }
  }
}
