// SPDX-License-Identifier: Apache-2.0

/// The values of a tensor, in the form the last step left them.
public enum Weights: Sendable, Equatable {
  /// Little-endian elements, row-major.
  case dense([UInt8])
  /// −1, 0 or +1 times a scale. `transposed`: the tensor's shape is `[inputs, outputs]`.
  case ternary(TernaryMatrix, transposed: Bool)
  /// The same, with trits that a seed gives.
  case seeded(SeededMatrix, transposed: Bool)
  /// Zeros but for the weights that are stored. A tensor of another rank than 2 is a matrix of its last axis by all
  /// others, not transposed.
  case sparse(SparseMatrix, transposed: Bool)
  /// Codes, and the values they stand for.
  case levels(LevelsMatrix, transposed: Bool)
  /// A product of two narrow matrices.
  case lowRank(LowRankMatrix, transposed: Bool)
}
