// SPDX-License-Identifier: Apache-2.0

public import Matrices
public import Tensors

/// A matrix whose weights are a scale times an integer, output unit by output unit.
///
/// A weight is s · k, computed in double and rounded to the type of the tensor.
public struct GridMatrix: Sendable, Equatable {
  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  /// Which weights share a scale.
  public let group: ScaleGroup
  /// k of each weight, row by row; −128 stands for the next of `exceptions`.
  public internal(set) var codes: [Int8]
  /// The k of more than 127 in magnitude, in the order of the weights; |k| ≤ 2²⁴.
  public internal(set) var exceptions: [Int32]
  /// One scale a group, ≥ 0, rows first: values of float32, or of float64 where the tensor's type is float64.
  public internal(set) var scales: [Double]

  /// What stands for a k of more than 127 in magnitude.
  public static let exception: Int8 = -128
  /// The largest |k|: products with a scale of float32 are exact in double.
  public static let most = 1 << 24
}

/// A matrix as scales times integers, and what was lost.
public struct GridQuantization: Sendable {
  public let matrix: GridMatrix
  /// Between W and the restored values, of the tensor's type.
  public let error: SquaredError
  /// Weights whose k is not 0.
  public let nonzeroCount: Int
  /// ‖W − Ŵ‖ / ‖W‖; 0 for a matrix of zeros.
  public var relativeL2: Double { error.error }
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
