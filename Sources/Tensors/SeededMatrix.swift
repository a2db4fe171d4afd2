// SPDX-License-Identifier: Apache-2.0

/// The trits of a matrix that are not stored, but drawn again whenever they are needed.
///
/// Weight j, counted row by row over the whole matrix, takes the 16 bits number j mod 4, the lowest first, of output
/// ⌊j/4⌋ of `SplitMix64` with this seed. With u these bits, its trit is 0 where ⌊u/2⌋ ≥ threshold, else −1 where u is
/// odd and +1 where it is even. So a share threshold/2¹⁵ of the trits is not 0, each sign as often as the other; a scale
/// of 1/√(threshold/2¹⁵) gives weights of variance 1.
public struct TernarySeed: Sendable, Hashable {
  /// Of the generator. Seeds that differ by a small multiple of the generator's constant give the same trits, shifted: draw
  /// the seeds of several matrices from a generator.
  public let seed: UInt64
  /// 0…2¹⁵.
  public let threshold: Int

  /// The thresholds that there are.
  public static let thresholds = 0...1 << 15

  /// Trits of a seed; `nil` for a threshold that is not in 0…2¹⁵.
  public init?(seed: UInt64, threshold: Int) {
    guard Self.thresholds.contains(threshold) else { return nil }
    self.seed = seed
    self.threshold = threshold
  }

  /// The share of trits that are not 0, of all that there may be.
  public var density: Double { Double(threshold) * 0x1p-15 }
}

/// A ternary matrix whose trits a seed gives: of its weights, the scales alone are stored.
public struct SeededMatrix: Sendable, Equatable {
  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  /// Which weights share a scale.
  public let group: ScaleGroup
  /// Where the trits come from.
  public let trits: TernarySeed
  /// As those of `TernaryMatrix`: one a group, ≥ 0, values of the source's element type.
  public let scales: [Double]

  /// Makes a matrix; `nil` when the number of weights overflows, or that of scales is wrong.
  public init?(rows: Int, columns: Int, group: ScaleGroup, trits: TernarySeed, scales: [Double]) {
    guard rows >= 0, columns >= 0, !rows.multipliedReportingOverflow(by: columns).overflow,
      scales.count == group.count(rows: rows, columns: columns)
    else { return nil }
    self.rows = rows
    self.columns = columns
    self.group = group
    self.trits = trits
    self.scales = scales
  }
}
