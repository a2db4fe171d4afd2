// SPDX-License-Identifier: Apache-2.0

internal import Glibc

extension RandomNumberGenerator {
  /// Fills a buffer with independent standard Gaussian numbers, by the method of Box and Muller.
  ///
  /// For two numbers each, the generator is asked twice: U = (next ≫ 11 + 1)·2⁻⁵³, V = (next ≫ 11)·2⁻⁵³; they are
  /// √(−2 ln U)·cos 2πV, √(−2 ln U)·sin 2πV. Of an odd number, the last sine is not used.
  public mutating func fillGaussian(_ numbers: UnsafeMutableBufferPointer<Double>) {
    for i in stride(from: 0, to: numbers.count, by: 2) {
      let u = Double((next() >> 11) + 1) * 0x1p-53
      let v = Double(next() >> 11) * 0x1p-53
      let radius = (-2 * log(u)).squareRoot()
      numbers[i] = radius * cos(2 * .pi * v)
      if i + 1 < numbers.count { numbers[i + 1] = radius * sin(2 * .pi * v) }
    }
  }
}
