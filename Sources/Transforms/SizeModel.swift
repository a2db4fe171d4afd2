// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// How the size of an output grows with the fraction κ that is kept: s(κ) = s(0) + n·(H₂(κ) + κ·v)/8 bytes for
/// magnitudes, whose positions take the entropy H₂ of each of the n weights, and s(0) + n·κ·v/8 else. Trials give v.
struct SizeModel {
  let least: Int
  let weights: Double
  let hasPositions: Bool
  /// Bits that a kept weight takes.
  var bits: Double

  func size(_ keep: Double) -> Double { Double(least) + weights * (positions(keep) + keep * bits) / 8 }

  /// Learns from the size of an output.
  mutating func learn(_ size: Int, at keep: Double) {
    guard keep > 0, weights > 0 else { return }
    bits = max(0, (8 * Double(size - least) / weights - positions(keep)) / keep)
  }

  /// The number of ten thousandths to keep whose size comes next to `size`.
  func tenThousandths(for size: Int) -> Int {
    var (low, high) = (0, 10_000)
    while high - low > 1 {
      let middle = (low + high) / 2
      if self.size(Double(middle) / 1e4) <= Double(size) { low = middle } else { high = middle }
    }
    return self.size(1) <= Double(size) ? high : low
  }

  private func positions(_ keep: Double) -> Double {
    guard hasPositions, keep > 0, keep < 1 else { return 0 }
    return -keep * log2(keep) - (1 - keep) * log2(1 - keep)
  }
}
