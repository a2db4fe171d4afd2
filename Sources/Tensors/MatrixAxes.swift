// SPDX-License-Identifier: Apache-2.0

/// How a tensor is seen as a matrix of outputs × inputs (`spec/ncz-v1.md` §4.2): its axes are put into an order, and
/// the first of them count outputs.
public struct MatrixAxes: Sendable, Hashable {
  /// A permutation of 0 … rank − 1.
  public let order: [Int]
  /// How many of `order` count outputs; the others count inputs.
  public let outputs: Int

  /// Makes axes, or `nil` where `order` is no permutation, or `outputs` is not in 0 … rank.
  public init?(order: [Int], outputs: Int) {
    guard (0...order.count).contains(outputs), order.sorted() == Array(0..<order.count) else { return nil }
    self.order = order
    self.outputs = outputs
  }

  private init(_ order: [Int], _ outputs: Int) {
    self.order = order
    self.outputs = outputs
  }

  /// All axes but the last one count outputs: `[outputs, inputs]`, as PyTorch has it.
  public static func standard(rank: Int) -> MatrixAxes { MatrixAxes(Array(0..<rank), max(0, rank - 1)) }

  /// The last `outputs` axes count outputs: `[inputs, outputs]`, as Keras has it.
  public static func outputsLast(_ outputs: Int = 1, rank: Int = 2) -> MatrixAxes {
    MatrixAxes((0..<rank).map { ($0 + rank - outputs) % rank }, outputs)
  }

  /// No axis counts outputs: of a tensor that is no matrix, all of it is one row.
  public static func oneRow(rank: Int) -> MatrixAxes { MatrixAxes(Array(0..<rank), 0) }

  public var rank: Int { order.count }

  /// Whether there are outputs and inputs, and the elements follow each other as those of the matrix or of the transposed
  /// one.
  public var isMatrix: Bool { outputs > 0 && outputs < rank && layout != .permuted }

  /// How the elements of a tensor follow each other, row by row, beside those of its matrix.
  public enum Layout: Sendable {
    /// The same.
    case direct
    /// Those of the transposed matrix.
    case transposed
    /// Neither.
    case permuted
  }

  public var layout: Layout {
    if order == Array(0..<rank) { return .direct }
    return self == .outputsLast(outputs, rank: rank) ? .transposed : .permuted
  }

  /// Rows and columns of the matrix of a tensor of this rank.
  public func dimensions(of shape: Shape) -> (rows: Int, columns: Int) {
    let permuted = order.map { shape.dimensions[$0] }
    return (permuted.prefix(outputs).reduce(1, *), permuted.dropFirst(outputs).reduce(1, *))
  }

  /// The elements of a tensor from those of its matrix, row by row.
  ///
  /// - Precondition: `matrix` has `shape.count` elements of `width` bytes.
  public func tensor(fromMatrix matrix: [UInt8], shape: Shape, width: Int) -> [UInt8] {
    // Where the next element along an axis of the tensor lies in the matrix.
    var strides = [Int](repeating: 0, count: rank)
    var stride = width
    for axis in order.reversed() {
      strides[axis] = stride
      stride *= shape.dimensions[axis]
    }
    return [UInt8](unsafeUninitializedCapacity: matrix.count) { tensor, count in
      var index = [Int](repeating: 0, count: rank)
      var source = 0
      for target in Swift.stride(from: 0, to: matrix.count, by: width) {
        for byte in 0..<width { tensor.initializeElement(at: target + byte, to: matrix[source + byte]) }
        for axis in (0..<rank).reversed() {
          index[axis] += 1
          source += strides[axis]
          if index[axis] < shape.dimensions[axis] { break }
          source -= index[axis] * strides[axis]
          index[axis] = 0
        }
      }
      count = matrix.count
    }
  }
}
