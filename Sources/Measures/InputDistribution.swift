// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Networks
internal import Random

/// Distributions of random inputs whose coordinates have a variance of about 1.
public enum InputDistribution: String, Sendable, CaseIterable {
  /// N(0, I)
  case gaussian
  /// Two classes, first half and second half of the points: N(μₐ, (1 + 8a/√p)I), a = 0, 1, μₐ zero but for 8 at
  /// coordinate 8a mod p, p coordinates: Gu et al. (2022), figure 2, in units of 1/√p there.
  case mixture
}

/// Random inputs, the same for any number of threads: each 256 have a generator of their own, the first seeded with the
/// first number that SplitMix64 gives for the seed, and so on.
package struct RandomPoints: Sendable {
  let distribution: InputDistribution
  /// How many there are, and the numbers of each.
  let count: Int
  let width: Int
  private let seeds: [UInt64]

  private static let block = 256

  package init(_ distribution: InputDistribution, count: Int, width: Int, seed: UInt64) {
    self.distribution = distribution
    self.count = count
    self.width = width
    var generator = SplitMix64(seed: seed)
    seeds = (0..<(count + Self.block - 1) / Self.block).map { _ in generator.next() }
  }

  /// The class of each point, of a distribution that has any.
  package var classes: [Int]? { distribution == .mixture ? (0..<count).map { $0 < count / 2 ? 0 : 1 } : nil }

  /// Writes some points.
  package func fill(_ range: Range<Int>, _ out: UnsafeMutableBufferPointer<Double>) {
    var block = range.lowerBound / Self.block
    while block * Self.block < range.upperBound {
      let first = block * Self.block
      let own = first..<min(count, first + Self.block)
      let wanted = own.clamped(to: range)
      var generator = SplitMix64(seed: seeds[block])
      withUnsafeTemporaryAllocation(of: Double.self, capacity: own.count * width) { room in
        room.initialize(repeating: 0)
        generator.fillGaussian(room)
        let part = room[(wanted.lowerBound - first) * width..<(wanted.upperBound - first) * width]
        let target = (wanted.lowerBound - range.lowerBound) * width
        for (i, number) in part.enumerated() { out[target + i] = number }
      }
      block += 1
    }
    guard distribution == .mixture, width > 0 else { return }
    for (row, point) in range.enumerated() {
      let isSecond = point >= count / 2
      if isSecond {
        let spread = (1 + 8 / Double(width).squareRoot()).squareRoot()
        for i in 0..<width { out[row * width + i] *= spread }
      }
      out[row * width + (isSecond ? 8 % width : 0)] += 8
    }
  }
}
