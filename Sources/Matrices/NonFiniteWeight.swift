// SPDX-License-Identifier: Apache-2.0

public import Tensors

/// A weight is infinite or not a number, or would be when rounded.
public struct NonFiniteWeight: Error, Equatable, CustomStringConvertible {
  /// The first such weight, in the row-major order of the source.
  public let index: Int
  /// The type that a finite weight is too large for.
  public var rounded: ElementType?

  public init(index: Int, rounded: ElementType? = nil) {
    self.index = index
    self.rounded = rounded
  }

  public var description: String {
    if let rounded {
      "element \(index) is too large for \(rounded)"
    } else {
      "element \(index) is infinite or not a number"
    }
  }
}
