// SPDX-License-Identifier: Apache-2.0

/// A decimal fraction between 0 and 1, held exactly: coefficient · 10⁻ᵖˡᵃᶜᵉˢ.
public struct Fraction: Sendable, Hashable, LosslessStringConvertible {
  /// Below 10¹⁸, without trailing zeros.
  private let coefficient: UInt64
  private let places: Int

  public static let zero = Fraction(coefficient: 0, places: 0)
  public static let one = Fraction(coefficient: 1, places: 0)

  private init(coefficient: UInt64, places: Int) {
    self.coefficient = coefficient
    self.places = places
  }

  /// Reads decimal text such as `.07`, `0.9`, `1` or `1e-3`; `nil` when it is spelled otherwise, has more than 18
  /// significant digits, or lies outside 0…1.
  public init?(_ description: String) {
    var coefficient: UInt64 = 0
    var exponent = 0
    // Zeros that count only when another digit follows.
    var pendingZeros = 0
    var sawDigit = false
    var sawPoint = false
    var text = description.utf8[...]
    while let byte = text.first, byte != UInt8(ascii: "e"), byte != UInt8(ascii: "E") {
      text.removeFirst()
      if byte == UInt8(ascii: ".") {
        guard !sawPoint else { return nil }
        sawPoint = true
        continue
      }
      guard case UInt8(ascii: "0")...UInt8(ascii: "9") = byte else { return nil }
      sawDigit = true
      if sawPoint { exponent -= 1 }
      let digit = UInt64(byte - UInt8(ascii: "0"))
      if digit == 0 {
        if coefficient > 0 { pendingZeros += 1 }
      } else {
        for _ in 0...min(pendingZeros, 18) {
          guard coefficient < 100_000_000_000_000_000 else { return nil }
          coefficient *= 10
        }
        coefficient += digit
        pendingZeros = 0
      }
    }
    guard sawDigit else { return nil }
    exponent += pendingZeros
    if !text.isEmpty {
      guard let written = Int(Substring(text.dropFirst())), abs(written) <= 1_000_000 else { return nil }
      exponent += written
    }
    if coefficient == 0 {
      self = .zero
    } else {
      // Without trailing zeros, a value up to 1 has an exponent up to 0.
      guard exponent <= 0, exponent <= -18 || UInt128(coefficient) <= Self.power(-exponent) else { return nil }
      self.init(coefficient: coefficient, places: -exponent)
    }
  }

  /// ⌊fraction · n⌋, exactly; n ≥ 0.
  public func floor(of n: Int) -> Int {
    // coefficient · n < 10¹⁸ · 10¹⁹.
    places > 37 ? 0 : Int(UInt128(coefficient) * UInt128(n) / Self.power(places))
  }

  /// ⌈fraction · n⌉, exactly; n ≥ 0.
  public func ceiling(of n: Int) -> Int {
    if coefficient == 0 || n == 0 { return 0 }
    return places > 37 ? 1 : Int((UInt128(coefficient) * UInt128(n) - 1) / Self.power(places)) + 1
  }

  /// The nearest floating-point number.
  public var value: Double { Double(description) ?? 0 }

  public var description: String {
    if places == 0 { return String(coefficient) }
    let digits = String(coefficient)
    if places > 18 { return "\(digits)e-\(places)" }
    return "0." + String(repeating: "0", count: places - digits.count) + digits
  }

  private static func power(_ exponent: Int) -> UInt128 {
    (0..<exponent).reduce(1) { product, _ in product * 10 }
  }
}
