/// The extents of a tensor, slowest-varying first (row-major). Rank 0 is a scalar: one element.
public struct Shape: Sendable, Hashable, CustomStringConvertible {
  /// The extents; each ≥ 0.
  public let extents: [Int]
  /// The number of elements, Π extents.
  public let count: Int

  /// Makes a shape, or nothing when an extent is negative or the number of elements overflows `Int`.
  public init?(_ extents: [Int]) {
    var count = 1
    var overflowed = false
    for extent in extents {
      guard extent >= 0 else { return nil }
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      overflowed = overflowed || overflow
      count = product
    }
    // An extent of zero makes the product zero whatever overflowed before it.
    if extents.contains(0) {
      count = 0
    } else if overflowed {
      return nil
    }
    self.extents = extents
    self.count = count
  }

  public var rank: Int { extents.count }

  /// `784×300`, or `scalar`.
  public var description: String {
    extents.isEmpty ? "scalar" : extents.map(String.init).joined(separator: "×")
  }
}
