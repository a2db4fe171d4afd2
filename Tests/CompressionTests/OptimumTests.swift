// SPDX-License-Identifier: Apache-2.0

import Parallel
import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

/// Two computations of one objective in double differ by a few roundings per weight.
let objectiveTolerance = 1e-12

@Suite struct OptimumTests {
  /// Searches all 3ⁿ vectors t: with the best scale for it, ‖w‖² − ‖w − s t‖² = max(0, w·t)² / ‖t‖².
  private func exhaustive(_ w: [Double]) -> Double {
    var best = 0.0
    func extend(_ i: Int, _ product: Double, _ count: Int) {
      if i == w.count {
        if count > 0, product > 0 { best = max(best, product * product / Double(count)) }
        return
      }
      extend(i + 1, product, count)
      extend(i + 1, product + w[i], count + 1)
      extend(i + 1, product - w[i], count + 1)
    }
    extend(0, 0, 0)
    return best
  }

  @Test(arguments: Distribution.all) func equalsExhaustiveSearch(_ distribution: Distribution) throws {
    var random = SplitMix64(seed: 1)
    for n in 1...7 {
      for _ in 0..<(n < 6 ? 45 : 12) {
        let w = random.floats(distribution, n)
        let found = try ternarized(w)
        let wide = w.map(Double.init)
        let best = exhaustive(wide)
        #expect(abs(objective(wide, trits: found.matrix.trits(row: 0)) - best) <= objectiveTolerance * best, "\(w)")
      }
    }
  }

  @Test(arguments: [Distribution.gaussian, .student(1), .ties]) func equalsExhaustiveSearchOfNine(
    _ distribution: Distribution
  ) throws {
    var random = SplitMix64(seed: 2)
    for n in 8...9 {
      let w = random.floats(distribution, n)
      let best = exhaustive(w.map(Double.init))
      let found = try ternarized(w)
      #expect(
        abs(objective(w.map(Double.init), trits: found.matrix.trits(row: 0)) - best) <= objectiveTolerance * best)
    }
  }

  @Test(arguments: Distribution.all) func equalsFullSort(_ distribution: Distribution) throws {
    var random = SplitMix64(seed: 3)
    for n in [10, 24, 25, 26, 33, 64, 100, 511, 512, 513, 1000, 4099] {
      for _ in 0..<(n < 1000 ? 12 : 3) {
        let w = random.floats(distribution, n)
        let wide = w.map(Double.init)
        let best = bestObjective(wide)
        let found = try ternarized(w)
        #expect(abs(objective(wide, trits: found.matrix.trits(row: 0)) - best) <= objectiveTolerance * best, "n = \(n)")
        let double = try ternarized(wide, type: .float64)
        #expect(abs(objective(wide, trits: double.matrix.trits(row: 0)) - best) <= objectiveTolerance * best)
      }
    }
  }

  /// Clusters at magnitudes m_i with sizes such that f is the same at the end of each: all of them compete.
  @Test func choosesAmongManyNearOptima() throws {
    var random = SplitMix64(seed: 4)
    for trial in 0..<40 {
      var w: [Float] = []
      var magnitude: Float = 1000
      var size = 1
      while w.count < 3000 {
        let jitter = Float(trial) * 1e-4
        for _ in 0..<size { w.append(magnitude * (1 + jitter * Float(random.uniform())) * Float(random.sign())) }
        magnitude /= 3
        // f = S²/k stays the same from cluster to cluster when the sizes rise by about this.
        size = max(size + 1, Int(Double(size) * 5.5 * (1 + 0.02 * random.uniform())))
      }
      w.shuffle(using: &random)
      let wide = w.map(Double.init)
      let best = bestObjective(wide)
      let found = try ternarized(w)
      #expect(abs(objective(wide, trits: found.matrix.trits(row: 0)) - best) <= objectiveTolerance * best)
    }
  }

  @Test func tiesTakeTheSmallerSupport() throws {
    // 3² / 1 = (3 + 1 + 1 + 1)² / 4.
    let found = try ternarized([1, 3, -1, 1] as [Float])
    #expect(found.matrix.trits(row: 0) == [0, 1, 0, 0])
    #expect(found.matrix.scales == [3])
  }

  /// The standard deviation of the relative squared error over samples of n is below 2/√n for these distributions
  /// (E w⁴ ≤ 6 (E w²)²); five of them.
  @Test(arguments: [(Distribution.gaussian, 0.19017), (.laplace, 1 - 2 / 2.718281828459045), (.uniform, 1.0 / 9)])
  func reachesTheClosedForm(_ distribution: Distribution, _ expected: Double) throws {
    let n = 1 << 18
    var random = SplitMix64(seed: 5)
    let weights = random.floats(distribution, n)
    let back = restored(try ternarized(weights).matrix, type: .float32)
    let error = weights.withUnsafeBytes { before in
      back.withUnsafeBytes { SquaredError(before, $0, type: .float32, threads: Threads(1)).error }
    }
    let tolerance = 5 * 2 / Double(n).squareRoot()
    #expect(abs(error * error - expected) < tolerance)
  }

  @Test func floatAndDoubleAgree() throws {
    var random = SplitMix64(seed: 6)
    for distribution in Distribution.all {
      let w = random.floats(distribution, 700)
      for group in [ScaleGroup.tensor, .row, .inputs(33)] {
        for rule in [TernaryRule.optimal, .sparsity(Fraction(".7")!)] {
          let narrow = try ternarized(w, rows: 7, group: group, rule: rule)
          let wide = try ternarized(w.map(Double.init), type: .float64, rows: 7, group: group, rule: rule)
          #expect(narrow.matrix.codes == wide.matrix.codes, "\(distribution) \(group) \(rule)")
          #expect(narrow.matrix.scales == wide.matrix.scales.map { Double(Float($0)) })
        }
      }
    }
  }
}
