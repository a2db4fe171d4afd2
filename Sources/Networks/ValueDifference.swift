// SPDX-License-Identifier: Apache-2.0

internal import Glibc
package import Matrices
package import Parallel
package import Tensors

/// How the values of a tensor differ from those it had before, seen piece by piece.
package struct ValueDifference: Sendable {
  package private(set) var isEqual = true
  /// Of floating-point numbers.
  package private(set) var squaredError = SquaredError()
  private var isFloat = true

  package init() {}

  /// Adds a piece: elements of one type, as many on both sides.
  package mutating func add(
    _ before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer, type: ElementType, threads: Threads
  ) {
    guard let x = before.baseAddress, let y = after.baseAddress else { return }
    isEqual = isEqual && memcmp(x, y, before.count) == 0
    isFloat = type.isFloat
    if isFloat { squaredError.add(SquaredError(before, after, type: type, threads: threads)) }
  }

  /// What a history records (`spec/ncz-v1.md` §3.3); of integers 0 where they are equal, else 1.
  package var error: Double { isEqual ? 0 : isFloat ? squaredError.error : 1 }

  /// ‖before − after‖ ÷ ‖before‖; `nil` of integers that differ, and where it is not defined.
  package var relativeL2: Double? { isEqual ? 0 : isFloat ? squaredError.relativeL2 : nil }
}
