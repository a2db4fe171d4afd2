// SPDX-License-Identifier: Apache-2.0

package import Tensors

/// The key of an element is its bits without the sign. Keys are ordered as magnitudes are, and those of infinities and
/// NaN are above all others.
extension ElementType {
  /// The key of infinity.
  package var infinityKey: UInt64 {
    switch self {
    case .float16: 0x7C00
    case .bfloat16: 0x7F80
    case .float32: 0x7F80_0000
    default: 0x7FF0_0000_0000_0000
    }
  }

  /// The least key whose magnitude is at least `x` ≥ 0, which may be infinite.
  package func key(atLeast x: Double) -> UInt64 {
    switch self {
    case .float16:
      let half = Float16(x)
      return UInt64(Double(half) < x ? half.nextUp.bitPattern : half.bitPattern)
    case .bfloat16: return (Self.float32.key(atLeast: x) + 0xFFFF) >> 16
    case .float32:
      let float = Float(x)
      return UInt64(Double(float) < x ? float.nextUp.bitPattern : float.bitPattern)
    default: return x.bitPattern
    }
  }

  /// The magnitude of a key.
  package func magnitude(ofKey key: UInt64) -> Double {
    switch self {
    case .float16: Double(Float16(bitPattern: UInt16(key)))
    case .bfloat16: Double(Float(bfloat16: UInt16(key)))
    case .float32: Double(Float(bitPattern: UInt32(key)))
    default: Double(bitPattern: key)
    }
  }

  /// `type`, where it is narrower than this floating-point type and so can stand for it.
  package func narrowed(to type: ElementType) -> ElementType { type.byteCount < byteCount ? type : self }
}
