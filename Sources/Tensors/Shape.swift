/// The extents of a tensor, slowest-varying first (row-major). Rank 0 is a scalar: one element.
public struct Shape: Sendable, Hashable, CustomStringConvertible {
  /// The extents; each ≥ 0.
  public let extents: [Int]
  /// The number of elements, Π extents.
  public let count: Int

  /// Makes a shape, or nothing when an extent is negative or the product of those that are not zero exceeds 2⁶².
  public init?(_ extents: [Int]) {
    var product = 1
    for extent in extents where extent != 0 {
      let (next, overflow) = product.multipliedReportingOverflow(by: extent)
      guard extent > 0, !overflow, next <= 1 << 62 else { return nil }
      product = next
    }
    self.extents = extents
    count = extents.contains(0) ? 0 : product
  }

  /// Bytes of all elements that are `elementSize` bytes each; nothing when the product of those extents that are not
  /// zero exceeds 2⁶² bytes.
  public func byteCount(elementSize: Int) -> Int? {
    let product = extents.reduce(1) { $0 * ($1 == 0 ? 1 : $1) }
    return product <= (1 << 62) / elementSize ? count * elementSize : nil
  }

  public var rank: Int { extents.count }

  /// `784×300`, or `scalar`.
  public var description: String {
    extents.isEmpty ? "scalar" : extents.map(String.init).joined(separator: "×")
  }
}

extension Shape {
  /// The indices of element `index`, `[3, 17]`.
  public func position(of index: Int) -> [Int] {
    var rest = index
    var position: [Int] = []
    for extent in extents.reversed() {
      position.append(rest % extent)
      rest /= extent
    }
    return position.reversed()
  }
}
