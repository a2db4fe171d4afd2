// SPDX-License-Identifier: Apache-2.0

extension ElementType {
  /// The value of this floating-point type nearest to `x`, of two the even one.
  public func nearest(_ x: Double) -> Double {
    switch self {
    case .float16: Double(Float16(x))
    case .bfloat16: Double(Float(bfloat16: bfloat16Bits(x)))
    case .float32: Double(Float(x))
    default: x
    }
  }

  /// The bits of `x`, which is a value of this floating-point type.
  public func bits(_ x: Double) -> UInt64 {
    switch self {
    case .float16: UInt64(Float16(x).bitPattern)
    case .bfloat16: UInt64(bfloat16Bits(x))
    case .float32: UInt64(Float(x).bitPattern)
    default: x.bitPattern
    }
  }
}

/// The upper half of a float32, rounded from double once: by way of a float32 rounded to odd, which leaves every later
/// rounding what it would have been.
private func bfloat16Bits(_ x: Double) -> UInt16 {
  var float = Float(x)
  if Double(float) != x, float.bitPattern & 1 == 0 {
    float = Double(float).magnitude > x.magnitude ? Float(bitPattern: float.bitPattern - 1) : float
    float = Float(bitPattern: float.bitPattern | 1)
  }
  let bits = float.bitPattern
  return UInt16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
}
