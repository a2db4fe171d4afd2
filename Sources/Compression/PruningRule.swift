// SPDX-License-Identifier: Apache-2.0

public import Tensors

/// How much of a matrix is kept: of its n weights, singular values or units.
public enum PruningRule: Sendable, Hashable {
  /// The ⌈fraction · n⌉ largest.
  case keep(Fraction)
  /// The fewest that leave ‖W − Ŵ‖ ≤ E‖W‖, E ≥ 0 (all of them when no number does).
  case error(Double)
}
