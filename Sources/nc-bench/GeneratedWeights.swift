// SPDX-License-Identifier: Apache-2.0

import Glibc
import Random

/// A distribution that weights follow.
enum Distribution: String {
  case gaussian = "Gaussian"
  case laplace = "Laplace"
  /// Student's t with three degrees of freedom: heavy tails.
  case student = "t, ν = 3"
}

extension SplitMix64 {
  /// Fills `out` with independent samples.
  mutating func fill(_ out: UnsafeMutableBufferPointer<Float>, _ distribution: Distribution) {
    switch distribution {
    case .gaussian:
      for i in stride(from: 0, to: out.count, by: 2) {
        let (a, b) = gaussians()
        out[i] = Float(a)
        if i + 1 < out.count { out[i + 1] = Float(b) }
      }
    case .laplace:
      for i in out.indices { out[i] = Float(log(uniform() / uniform())) }
    case .student:
      for i in out.indices {
        let ((a, b), (c, d)) = (gaussians(), gaussians())
        out[i] = Float(a / sqrt((b * b + c * c + d * d) / 3))
      }
    }
  }

  mutating func floats(_ distribution: Distribution, _ count: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { out, initialized in
      fill(UnsafeMutableBufferPointer(rebasing: out[..<count]), distribution)
      initialized = count
    }
  }

  /// Uniform in (0, 1).
  private mutating func uniform() -> Double { (Double(next() >> 11) + 0.5) * 0x1p-53 }

  /// Two independent standard normal samples (Box and Muller 1958).
  private mutating func gaussians() -> (Double, Double) {
    let radius = sqrt(-2 * log(uniform()))
    let angle = 2 * Double.pi * uniform()
    return (radius * cos(angle), radius * sin(angle))
  }
}
