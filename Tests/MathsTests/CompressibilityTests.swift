// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Random
import Testing

/// Computing in double errs by a few roundings for each of n summands.
private func roundings(_ n: Int) -> Double { Double(n + 4) * .ulpOfOne }

@Suite struct CompressibilityTests {
  @Test func knownVector() {
    let all = Compressibility([-3, 0, 4, 12] as [Float])
    #expect(all.count == 4)
    #expect(all.relativeErrors(keeping: [0, 1, 2, 3, 4]) == [1, 5.0 / 13, 3.0 / 13, 0, 0])
    #expect(all.relativeErrors(keeping: [3, 1, 0], norm: .l1) == [0, 7.0 / 19, 1])
    let wide = Compressibility([-3, 0, 4, 12] as [Double])
    #expect(wide.relativeErrors(keeping: [4, 0, 2, 2]) == [0, 1, 3.0 / 13, 3.0 / 13])
    #expect(wide.relativeErrors(keeping: [1], norm: .l1) == [7.0 / 19])
  }

  @Test func zerosAndNothing() {
    #expect(Compressibility([] as [Float]).relativeErrors(keeping: [0]) == [0])
    #expect(Compressibility([0, -0.0, 0] as [Float]).relativeErrors(keeping: [0, 1, 3]) == [0, 0, 0])
    #expect(Compressibility([0, 0] as [Double]).relativeErrors(keeping: [0, 2], norm: .l1) == [0, 0])
    #expect(Compressibility([1, 2] as [Double]).relativeErrors(keeping: []) == [])
  }

  @Test(arguments: [Norm.l1, .l2]) func laws(_ norm: Norm) {
    var random = SplitMix64(seed: 12)
    for n in [1, 5, 48, 49, 300] {
      let x = (0..<n).map { _ in Float(random.stable(1.5)) }
      let all = Compressibility(x).relativeErrors(keeping: Array(0...n), norm: norm)
      #expect(all[0] == 1 && all[n] == 0)
      #expect(zip(all, all.dropFirst()).allSatisfy { $0 >= $1 })
      // By definition.
      let sorted = x.map { Double($0.magnitude) }.sorted(by: >)
      let p = norm == .l1 ? 1.0 : 2
      let total = sorted.reduce(0) { $0 + pow($1, p) }
      for k in 0...n {
        let expected = pow(sorted[k...].reduce(0) { $0 + pow($1, p) } / total, 1 / p)
        #expect(abs(all[k] - expected) <= roundings(n))
      }
      // Powers of two are exact, and squares of doubles do not overflow.
      for unit in [0x1p900, 0x1p-900] {
        let wide = Compressibility(x.map { Double($0) * unit }).relativeErrors(keeping: Array(0...n), norm: norm)
        #expect(zip(wide, all).allSatisfy { abs($0 - $1) <= roundings(n) })
      }
    }
  }

  private static let keeps = [0.5, 0.3, 0.2, 0.1, 0.05, 0.01]

  /// Half of the last digit of the table, and what is lost by taking one magnitude for each of n slices of a
  /// distribution: mostly that of the last slice, below (ln n)/n of the whole.
  private func tolerance(_ n: Int) -> Double { 0.5e-4 + log(Double(n)) / Double(n) }

  /// Squared errors in science.md, section 4.
  @Test func tableOfLaplace() {
    let n = 100_000
    let found = Compressibility((0..<n).map { Float(-log((Double($0) + 0.5) / Double(n))) })
      .relativeErrors(keeping: Self.keeps.map { Int(($0 * Double(n)).rounded()) })
    for (error, table) in zip(found, [0.0333, 0.1214, 0.2191, 0.4046, 0.5759, 0.8379]) {
      #expect(abs(error * error - table) <= tolerance(n))
    }
  }

  @Test func tableOfGauss() {
    for (keep, table) in zip(Self.keeps, [0.0713, 0.2167, 0.3502, 0.5607, 0.7209, 0.9155]) {
      let error = gaussianRelativeError(keep: keep)
      #expect(abs(error * error - table) <= 0.5e-4)
    }
  }

  /// To 16 digits, by quadrature with 40.
  @Test(arguments: [
    (0.999999, 7.2360125458959277e-10, 7.8539816344272041e-13),
    (0.99, 0.00072361262132357882, 7.8540844461219907e-5),
    (0.75, 0.091361580250671465, 0.049498484027480846),
    (0.6180339, 0.17498726303948015, 0.11690306249071444),
    (0.5, 0.26706912540437804, 0.20345225789468431),
    (0.3, 0.46550286846292446, 0.4155576214707852),
    (0.1, 0.74880834378445298, 0.74147728771291967),
    (0.05, 0.84905802876858926, 0.85349993551391582),
    (0.01, 0.95682200036315978, 0.96375479928483039),
    (1e-6, 0.99998707087417885, 0.99999363097071459),
    (1e-15, 0.9999999999999668, 0.99999999999998979),
  ])
  func gaussianReference(_ keep: Double, _ l2: Double, _ l1: Double) {
    #expect(abs(gaussianRelativeError(keep: keep) / l2 - 1) <= 1e-12)
    #expect(abs(gaussianRelativeError(keep: keep, norm: .l1) / l1 - 1) <= 1e-12)
  }

  @Test func endsOfTheReference() {
    for norm in [Norm.l1, .l2] {
      #expect(gaussianRelativeError(keep: 0, norm: norm) == 1)
      #expect(gaussianRelativeError(keep: 1, norm: norm) == 0)
      var last = 1.0
      for step in 1..<2000 {
        let error = gaussianRelativeError(keep: Double(step) / 2000, norm: norm)
        #expect(error < last)
        last = error
      }
      #expect(gaussianRelativeError(keep: 1e-300, norm: norm) > 1 - 1e-15)
    }
  }

  /// The reference is the limit for Gaussian weights: at n = 10⁵ the squared error deviates by less than about 1/√n.
  @Test func gaussianWeights() {
    var random = SplitMix64(seed: 14)
    let n = 50_000
    let weights = Compressibility((0..<n).map { _ in Float(random.gaussian()) })
    for norm in [Norm.l1, .l2] {
      let found = weights.relativeErrors(keeping: Self.keeps.map { Int(($0 * Double(n)).rounded()) }, norm: norm)
      for (error, keep) in zip(found, Self.keeps) {
        #expect(abs(error - gaussianRelativeError(keep: keep, norm: norm)) <= 4 / sqrt(Double(n)))
      }
    }
  }
}

@Suite struct MomentTests {
  @Test func normsOfRows() {
    #expect(rowNorms(of: [3, 4, 0, -5, 0, 12], rows: 3, columns: 2) == [5, 5, 12])
    #expect(rowNorms(of: [], rows: 2, columns: 0) == [0, 0])
    var random = SplitMix64(seed: 15)
    let row = (0..<29).map { _ in Float(random.gaussian()) }
    let square = row.reduce(0.0) { $0 + Double($1) * Double($1) }
    #expect(abs(rowNorms(of: row, rows: 1, columns: 29)[0] - sqrt(square)) <= roundings(29) * sqrt(square))
  }

  @Test func kurtosisOfKnownDistributions() throws {
    #expect(kurtosis(of: [1, -1]) == 1)
    // Deviations −1, −1, −1, 3: Σ d⁴ = 84, Σ d² = 12.
    #expect(kurtosis(of: [4, 4, 4, 8]) == 4 * 84.0 / 144)
    #expect(kurtosis(of: []) == nil && kurtosis(of: [7]) == nil && kurtosis(of: [7, 7, 7]) == nil)
    // Equally spaced: (9/5)(n² − 7/3)/(n² − 1).
    let n = 1001.0
    let uniform = try #require(kurtosis(of: (0..<1001).map { Float($0) }))
    #expect(abs(uniform - 1.8 * (n * n - 7.0 / 3) / (n * n - 1)) <= roundings(1001) * 2)
  }

  /// Adding a constant, and multiplying by one, change nothing.
  @Test func kurtosisDoesNotDependOnPlaceAndScale() throws {
    var random = SplitMix64(seed: 16)
    let x = (0..<500).map { _ in (Float(random.laplace()) * 1024).rounded() / 1024 }
    let plain = try #require(kurtosis(of: x))
    let moved = try #require(kurtosis(of: x.map { ($0 + 64) * 0x1p-30 }))
    #expect(abs(plain - moved) <= 1e-9 && plain > 3)
  }
}
