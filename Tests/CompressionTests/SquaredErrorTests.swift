// SPDX-License-Identifier: Apache-2.0

import Matrices
import Parallel
import Random
import Tensors
import Testing

/// The error that compressors record and that is checked.
@Suite("Squared errors") struct SquaredErrorTests {
  private func squaredError<Element: BitwiseCopyable>(
    _ before: [Element], _ after: [Element], _ type: ElementType, threads: Int = 1, split: Int? = nil
  ) -> SquaredError {
    var total = SquaredError()
    let split = split ?? before.count
    for range in [0..<split, split..<before.count] {
      before[range].withUnsafeBytes { before in
        after[range].withUnsafeBytes { total.add(SquaredError(before, $0, type: type, threads: Threads(threads))) }
      }
    }
    return total
  }

  /// 3, 4, 0 → 3, 0, 1: ‖before‖ = 5, the distance is √17, in every unit that a double has.
  @Test(arguments: [1, 0x1p500, 0x1p-500, 0x1p1019, 0x1p-1070, 0x1p-537, 1e300, 1e-310] as [Double])
  func everyUnit(unit: Double) {
    let before = [3, 4, 0].map { $0 * unit }
    let after = [3, 0, 1].map { $0 * unit }
    let found = squaredError(before, after, .float64)
    // Numbers near the smallest have fewer digits.
    let tolerance = unit < 0x1p-1000 ? 1e-4 : 1e-15
    #expect(abs(found.error - 17.0.squareRoot() / 5) <= tolerance)
    #expect(found.relativeL2 == found.error)
    if unit >= 0x1p-1000 {
      #expect(abs(found.before / unit - 5) <= 1e-14 && abs(found.distance / unit - 17.0.squareRoot()) <= 1e-14)
    }
    // In pieces whose largest numbers are far apart.
    #expect(abs(squaredError(before, after, .float64, split: 2).error - found.error) <= 1e-15)
  }

  @Test func whatIsFarApart() {
    // A value that is nothing beside the others, and a change that is nothing beside the values.
    #expect(abs(squaredError([1, 1e-300], [1, 3e-300], .float64).error / 2e-300 - 1) <= 1e-15)
    #expect(squaredError([1e-320], [1e300], .float64).error == .greatestFiniteMagnitude)
    let greatest = Double.greatestFiniteMagnitude
    #expect(
      abs(squaredError([greatest, greatest], [-greatest, greatest], .float64).error - 2.0.squareRoot()) <= 1e-15)
    #expect(squaredError([Float.greatestFiniteMagnitude], [-.greatestFiniteMagnitude], .float32).error == 2)
    #expect(squaredError([Float.leastNonzeroMagnitude], [0], .float32).error == 1)
  }

  /// Where there is nothing to relate it to, the error is absolute.
  @Test func zeros() {
    #expect(squaredError([0.0, 0], [3, 4], .float64).error == 5)
    #expect(squaredError([0.0, 0], [3, 4], .float64).relativeL2 == nil)
    #expect(squaredError([Float(0), 0], [3, 4], .float32).error == 5)
    #expect(squaredError([0.0, -0.0], [-0.0, 0], .float64).error == 0)
    #expect(squaredError([0.0, 0], [0, 0], .float64).relativeL2 == 0)
    #expect(
      squaredError([0.0, 0], [Double.greatestFiniteMagnitude, .greatestFiniteMagnitude], .float64).error.isFinite)
    #expect(SquaredError().error == 0 && SquaredError().relativeL2 == 0)
  }

  @Test func whatIsNotFinite() {
    for bad in [Float.nan, .infinity, -.infinity] {
      #expect(squaredError([1, bad], [1, 0], .float32).error == 1)
      #expect(squaredError([1, 0], [1, bad], .float32).error == .infinity)
      #expect(
        squaredError([1, bad], [1, bad], .float32).relativeL2 == nil
          && squaredError([1, 0], [1, bad], .float32).relativeL2 == nil)
      let (before, after) = ([1, Double(bad)], [1, 0.0])
      #expect(
        squaredError(before, after, .float64).error == 1 && squaredError(after, before, .float64).error == .infinity)
    }
  }

  /// Every type against sums in double, on any number of threads.
  @Test func everyType() {
    var random = SplitMix64(seed: 5)
    let x = random.floats(.gaussian, 70_001)
    let y = x.map { $0.magnitude < 0.5 ? 0 : $0 * 1.01 }
    func expected(_ x: [Double], _ y: [Double]) -> Double {
      let norm = x.reduce(0) { $0 + $1 * $1 }
      return (zip(x, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / norm).squareRoot()
    }
    func check<Element: BitwiseCopyable>(_ type: ElementType, _ narrow: (Float) -> Element, _ wide: (Element) -> Double)
    {
      let (a, b) = (x.map(narrow), y.map(narrow))
      let found = squaredError(a, b, type)
      #expect(abs(found.error - expected(a.map(wide), b.map(wide))) <= 1e-13, "\(type)")
      for threads in [2, 7] { #expect(squaredError(a, b, type, threads: threads).error == found.error, "\(type)") }
    }
    check(.float64, { Double($0) * 1e200 / 1e200 }, { $0 })
    check(.float32, { $0 }, { Double($0) })
    check(.float16, { Float16($0) }, { Double($0) })
    check(.bfloat16, { UInt16($0.bitPattern >> 16) }, { Double(Float(bitPattern: UInt32($0) << 16)) })
  }
}
