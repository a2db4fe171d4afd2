// SPDX-License-Identifier: Apache-2.0

/// A matrix as the product of two narrow ones: W = A·B.
///
/// Weight (r, c) is float32(Σₖ A[r, k]·B[k, c]), the sum taken in float64 in ascending order of k, then rounded to the
/// tensor's type. Products of two floats are exact in float64, so the value does not depend on the machine.
public struct LowRankMatrix: Sendable, Equatable {
  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  /// Columns of A, rows of B.
  public let rank: Int
  /// A, rows × rank, row-major, singular values folded in.
  public var left: [Float]
  /// B, rank × columns, row-major.
  public var right: [Float]
  /// The singular values that were kept, largest first.
  public var singularValues: [Double]

  /// Makes a matrix from its parts; `nil` when their sizes do not agree.
  public init?(rows: Int, columns: Int, left: [Float], right: [Float], singularValues: [Double]) {
    let rank = singularValues.count
    guard rows >= 0, columns >= 0, rank <= min(rows, columns), left.count == rows * rank,
      right.count == rank * columns
    else { return nil }
    self.rows = rows
    self.columns = columns
    self.rank = rank
    self.left = left
    self.right = right
    self.singularValues = singularValues
  }
}
