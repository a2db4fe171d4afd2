// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Σ ln v of many positive, normal numbers, by multiplying them: a logarithm is taken once in thousands.
struct LogarithmSum {
  /// Exponents with their offset, and products of significands, in eight lanes.
  private var exponents = SIMD8<UInt64>.zero
  private var products = SIMD8<Double>(repeating: 1)
  /// Factors in a lane: as many significands, each below 2, do not overflow.
  private var factors = 0
  private var count = 0
  private var sum = 0.0

  mutating func add(_ v: SIMD8<Double>) {
    let bits = unsafeBitCast(v, to: SIMD8<UInt64>.self)
    exponents &+= bits &>> 52
    products *= unsafeBitCast(bits & 0x000F_FFFF_FFFF_FFFF | 0x3FF0_0000_0000_0000, to: SIMD8<Double>.self)
    count += 8
    factors += 1
    if factors == 1000 { flush() }
  }

  /// Adds ln(|x| + ε) for every element, ε = 2⁻⁵².
  mutating func add(magnitudesOf x: UnsafeBufferPointer<Double>) {
    let epsilon = SIMD8<Double>(repeating: .ulpOfOne)
    let magnitude = SIMD8<UInt64>(repeating: ~(1 << 63))
    var i = 0
    if let base = x.baseAddress {
      while i + 8 <= x.count {
        let bits = UnsafeRawPointer(base + i).loadUnaligned(as: SIMD8<UInt64>.self)
        add(unsafeBitCast(bits & magnitude, to: SIMD8<Double>.self) + epsilon)
        i += 8
      }
    }
    for rest in x[i...] { sum += log(rest.magnitude + .ulpOfOne) }
  }

  private mutating func flush() {
    for lane in 0..<8 { sum += log(products[lane]) }
    products = SIMD8(repeating: 1)
    factors = 0
  }

  /// The sum so far.
  var total: Double {
    var copy = self
    copy.flush()
    return copy.sum + (Double(exponents.wrappedSum()) - 1023 * Double(count)) * log(2)
  }
}
