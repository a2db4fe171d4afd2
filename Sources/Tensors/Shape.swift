// SPDX-License-Identifier: Apache-2.0

/// The dimensions of a tensor, slowest-varying first (row-major). Rank 0 is a scalar: one element.
public struct Shape: Sendable, Hashable, CustomStringConvertible {
  /// The dimensions; each ≥ 0.
  public let dimensions: [Int]
  /// The number of elements, Π dimensions.
  public let count: Int

  /// Makes a shape, or `nil` when a dimension is negative or the product of those that are not zero exceeds 2⁶².
  public init?(_ dimensions: [Int]) {
    var product = 1
    for dimension in dimensions where dimension != 0 {
      let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
      guard dimension > 0, !overflow, next <= 1 << 62 else { return nil }
      product = next
    }
    self.dimensions = dimensions
    count = dimensions.contains(0) ? 0 : product
  }

  /// Bytes of all elements that are `elementSize` bytes each; `nil` when the product of those dimensions that are not
  /// zero exceeds 2⁶² bytes.
  public func byteCount(elementSize: Int) -> Int? {
    let product = dimensions.reduce(1) { $0 * ($1 == 0 ? 1 : $1) }
    return product <= (1 << 62) / elementSize ? count * elementSize : nil
  }

  public var rank: Int { dimensions.count }

  /// `784×300`, or `scalar`.
  public var description: String {
    dimensions.isEmpty ? "scalar" : dimensions.map(String.init).joined(separator: "×")
  }
}

extension Shape {
  /// The indices of element `index`, `[3, 17]`.
  public func position(of index: Int) -> [Int] {
    var rest = index
    var position: [Int] = []
    for dimension in dimensions.reversed() {
      position.append(rest % dimension)
      rest /= dimension
    }
    return position.reversed()
  }
}
