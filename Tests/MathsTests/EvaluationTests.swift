// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Random
import Testing

@Suite struct EvaluationTests {
  private static let tolerance = 1e-14

  @Test func knownCrossEntropy() throws {
    // softmax(0, ln 3) = (¼, ¾)
    let found = Evaluation([0, log(3), 0, log(3), 5, 5], width: 2, .logits, labels: [1, 0, 0])
    #expect(found.correct == 2 && found.lossKind == .crossEntropy)
    let expected = -(log(0.75) + log(0.25) + log(0.5)) / 3
    #expect(abs(try #require(found.loss) - expected) <= Self.tolerance)
  }

  /// Logits that differ by a constant mean the same; large ones do not overflow.
  @Test(arguments: [0, 1e3, -1e3, 1e9, -1e9]) func largeLogits(_ offset: Double) throws {
    let found = Evaluation([offset, offset], width: 2, .logits, labels: [0])
    #expect(abs(try #require(found.loss) - log(2)) <= Self.tolerance + .ulpOfOne * abs(offset))
    #expect(found.correct == 1)
    let sure = Evaluation([1000, 0, 0], width: 3, .logits, labels: [1])
    #expect(sure.loss == 1000 && sure.correct == 0)
    #expect(Evaluation([1000, 0, 0], width: 3, .logits, labels: [0]).loss == 0)
  }

  @Test func knownBinaryCrossEntropy() throws {
    let found = Evaluation([0.5, 0.75, 0.25, 1], width: 1, .probability, labels: [0, 1, 1, 1])
    #expect(found.correct == 3 && found.lossKind == .binaryCrossEntropy)
    let expected = -(log(0.5) + log(0.75) + log(0.25)) / 4
    #expect(abs(try #require(found.loss) - expected) <= Self.tolerance)
    #expect(Evaluation([1], width: 1, .probability, labels: [0]).loss == .infinity)
    #expect(Evaluation([1], width: 1, .probability, labels: [1]).loss?.sign == .plus)
  }

  @Test func valuesThatAreNoLogits() {
    let found = Evaluation([1, 2, 3, 1], width: 2, .values, labels: [1, 1])
    #expect(found.correct == 1 && found.loss == nil && found.lossKind == nil)
  }

  @Test func knownSquaredError() {
    let found = Evaluation([1, 2, 3, 4], targets: [1, 4, 3, 1])
    #expect(found.loss == (4 + 9) / 4 && found.lossKind == .meanSquaredError && found.correct == nil)
  }

  @Test func noSamples() {
    for found in [
      Evaluation([], width: 3, .logits, labels: []), Evaluation([], width: 1, .probability, labels: []),
      Evaluation([], targets: []),
    ] {
      #expect(found.loss == 0 && found.correct ?? 0 == 0)
    }
  }

  @Test func firstOfTheLargest() {
    #expect(largest(of: [1, 3, 3, 2]) == 1 && largest(of: [7]) == 0 && largest(of: []) == -1)
    #expect(largest(of: [9, 9, 1, 2, 0][2...]) == 1)
    #expect(largest(of: [-.infinity, -5]) == 1 && largest(of: [-.infinity]) == 0)
  }

  /// What is not a number is neither larger nor smaller than others.
  @Test func noneIsLargest() {
    for row in [[.nan], [.nan, 1], [1, .nan], [1, .nan, 2], [.infinity, .nan], [-.nan, .nan]] as [[Double]] {
      #expect(largest(of: row[...]) == -1)
    }
    // Beside the row.
    #expect(largest(of: [.nan, 1, 2, .nan][1..<3]) == 1)
  }

  /// Outputs that are not numbers are not right, whatever the label.
  @Test func outputsThatAreNoNumbers() throws {
    for label in [0, 1] {
      #expect(Evaluation([.nan], width: 1, .probability, labels: [label]).correct == 0)
      for row in [[.nan, .nan], [.nan, 0], [0, .nan]] as [[Double]] {
        #expect(Evaluation(row, width: 2, .logits, labels: [label]).correct == 0)
        #expect(Evaluation(row, width: 2, .values, labels: [label]).correct == 0)
      }
    }
    let found = Evaluation([0.2, .nan, 0.7], width: 1, .probability, labels: [0, 0, 1])
    #expect(found.correct == 2)
    #expect(try #require(found.loss).isNaN)
  }

  // MARK: Divergence

  private func softmax(_ x: [Double]) -> [Double] {
    let powers = x.map { exp($0) }
    return powers.map { $0 / powers.reduce(0, +) }
  }

  @Test func divergenceIsItsFormula() {
    var random = SplitMix64(seed: 101)
    for width in [1, 2, 3, 10] {
      let (a, b) = (random.matrix(20, width), random.matrix(20, width))
      let expected = (0..<20).reduce(0.0) { sum, sample in
        let range = sample * width..<(sample + 1) * width
        let (p, q) = (softmax(Array(a[range])), softmax(Array(b[range])))
        return sum + zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) } / 20
      }
      #expect(abs(meanDivergence(a, b, width: width) - expected) <= Self.tolerance * Double(width))
      #expect(meanDivergence(a, a, width: width) == 0)
    }
  }

  @Test func divergenceIsNotNegative() {
    var random = SplitMix64(seed: 102)
    for _ in 0..<200 {
      let a = random.matrix(1, 5)
      let b = a.map { $0 + 1e-9 * random.gaussian() }
      #expect(0...1e-14 ~= meanDivergence(a, b, width: 5))
    }
  }

  @Test func divergenceOfExtremes() {
    #expect(meanDivergence([2000, 0], [0, 0], width: 2) == log(2))
    #expect(meanDivergence([0, 0], [2000, 0], width: 2) == 1000 - log(2))
    #expect(meanDivergence([], [], width: 3) == 0)
    // What is not known is not 0.
    #expect(meanDivergence([.nan, 0], [0, 0], width: 2).isNaN)
    #expect(meanDivergence([0, 0], [0, .nan], width: 2).isNaN)
  }
}

@Suite struct GaussianTests {
  private func numbers(_ count: Int, seed: UInt64) -> [Double] {
    var random = SplitMix64(seed: seed)
    return [Double](unsafeUninitializedCapacity: count) { buffer, initialized in
      random.fillGaussian(UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
      initialized = count
    }
  }

  /// By another program, from the definition. A unit of roundoff for each of logarithm, root, cosine and products.
  @Test(
    arguments: [
      (1, [-0.028249746095854695, -1.065617648414326, -0.2279195228676347, 0.0830941684715009]),
      (2024, [0.7971867263066112, 0.5582684630231939, 1.1585873232620845, 1.0368875925321013]),
    ] as [(UInt64, [Double])]) func knownNumbers(_ seed: UInt64, _ expected: [Double])
  {
    for (found, expected) in zip(numbers(4, seed: seed), expected) {
      #expect(abs(found - expected) <= 8 * .ulpOfOne * max(1, abs(expected)))
    }
  }

  @Test func fewerAreTheFirst() {
    let all = numbers(10, seed: 7)
    for count in 0...10 { #expect(numbers(count, seed: 7) == Array(all.prefix(count))) }
    #expect(numbers(10, seed: 7) == all && numbers(10, seed: 8) != all)
  }

  /// An odd number leaves the generator where one more would.
  @Test func generatorAfterwards() {
    var (odd, even) = (SplitMix64(seed: 9), SplitMix64(seed: 9))
    var room = [Double](repeating: 0, count: 6)
    room.withUnsafeMutableBufferPointer { odd.fillGaussian(UnsafeMutableBufferPointer(rebasing: $0[..<5])) }
    room.withUnsafeMutableBufferPointer { even.fillGaussian($0) }
    #expect(odd.next() == even.next())
  }

  /// Moments 0, 1, 0, 3 within four standard errors, √(μ₂ₖ − μₖ²)/√n; and neighbours that do not go together.
  @Test func moments() {
    let n = 40_000
    let x = numbers(n, seed: 11)
    for (power, moment, deviation) in [(1, 0.0, 1.0), (2, 1, 2), (3, 0, 15), (4, 3, 96)] {
      let mean = x.reduce(0) { sum, x in sum + (0..<power).reduce(1) { product, _ in product * x } } / Double(n)
      #expect(abs(mean - moment) <= 4 * sqrt(deviation / Double(n)), "moment \(power): \(mean)")
    }
    for lag in 1...3 {
      let mean = (0..<n - lag).reduce(0) { $0 + x[$1] * x[$1 + lag] } / Double(n)
      #expect(abs(mean) <= 4 / sqrt(Double(n)))
    }
    #expect(x.allSatisfy { abs($0) < 8.6 })
  }

  /// The generator's ends: U is never 0, so that no number is infinite.
  @Test func endsOfTheGenerator() {
    struct Constant: RandomNumberGenerator {
      let bits: UInt64
      mutating func next() -> UInt64 { bits }
    }
    for bits in [0, .max] as [UInt64] {
      var constant = Constant(bits: bits)
      var pair = [Double](repeating: .nan, count: 2)
      pair.withUnsafeMutableBufferPointer { constant.fillGaussian($0) }
      #expect(pair.allSatisfy { abs($0) <= (106 * log(2)).squareRoot() })
    }
  }
}
