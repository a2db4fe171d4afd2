// SPDX-License-Identifier: Apache-2.0

public import Matrices
public import Tensors

/// A matrix as scales times integers, and how many of them are not 0.
public struct GridQuantization: Sendable {
  /// A weight is s · k, computed in double and rounded to the type of the tensor.
  public let matrix: LevelsMatrix
  /// Weights whose k is not 0.
  public let nonzeroCount: Int
}

/// The code that stands for a k of more than 127 in magnitude, as an integer.
let exceptionCode = Int8(bitPattern: LevelsMatrix.exceptionCode)

extension LevelsMatrix {
  /// The grid of a matrix.
  static func grid(
    _ weights: WeightRows, codes: [UInt8], scales: [Double], group: ScaleGroup, exceptions: [Int32] = []
  ) -> LevelsMatrix {
    guard
      let matrix = LevelsMatrix(
        rows: weights.rows, columns: weights.columns, type: weights.type, codes: codes,
        levels: .grid(scales: scales, group: group, exceptions: exceptions))
    else { preconditionFailure("a grid whose parts do not agree") }
    return matrix
  }
}

extension UnsafeMutableBufferPointer<UInt8> {
  /// The codes of a grid as what they are.
  var integers: UnsafeMutablePointer<Int8>? {
    baseAddress.map { UnsafeMutableRawPointer($0).assumingMemoryBound(to: Int8.self) }
  }
}

extension ElementType {
  /// The type of the scales of a matrix of this type.
  var scaleType: ElementType { self == .float64 ? .float64 : .float32 }

  /// The largest integer up to `most` whose product with a scale is finite in this type.
  func finiteSteps(_ scale: Double, most: Int) -> Int {
    if nearest(scale * Double(most)).isFinite { return most }
    // Finite at `low`, infinite at `high`.
    var (low, high) = (0, most)
    while high - low > 1 {
      let middle = (low + high) / 2
      if nearest(scale * Double(middle)).isFinite { low = middle } else { high = middle }
    }
    return low
  }
}
