// SPDX-License-Identifier: Apache-2.0

import CLoops
import Random
import Testing

/// The loops of grids against their plain twins, on every level the processor has.
@Suite(.serialized) struct GridLoopsTests {
  private let lengths = [0, 1, 7, 8, 9, 15, 16, 17, 33, 200, 1027]

  private func onEveryLevel(_ body: (inout SplitMix64) -> Void) {
    for level in 0...nc_limit_level(.max) {
      nc_limit_level(level)
      var random = SplitMix64(seed: 11)
      body(&random)
    }
    nc_limit_level(.max)
  }

  private func floats(_ n: Int, _ random: inout SplitMix64) -> [Float] {
    (0..<n).map { _ in
      let bits = random.next()
      let plain = Float(Int32(truncatingIfNeeded: bits >> 32)) * 0x1p-31
      return bits % 5 == 0 ? 0 : bits % 7 == 0 ? plain * 300 : bits % 11 == 0 ? 0.5 : plain
    }
  }

  /// Sums in 8 lanes, which are added pairwise.
  private func added(_ terms: [Double]) -> Double {
    var lanes = [Double](repeating: 0, count: 8)
    for (i, term) in terms.enumerated() { lanes[i % 8] += term }
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
  }

  private func nearest(_ x: Double) -> Double { x.rounded(.toNearestOrEven) }

  @Test func roundsToSteps() {
    onEveryLevel { random in
      for n in lengths {
        let x = floats(n, &random)
        let wide = x.map(Double.init)
        for step in [1, 0.1, 0.003] {
          let inverse = 1 / step
          let q = wide.map { $0 * inverse }
          let k = q.map(nearest)
          var codes = [Int8](repeating: 1, count: n + 1)
          let sums = nc_grid_round(x, false, n, inverse, &codes)
          #expect(codes == k.map { $0.magnitude > 127 ? -128 : Int8($0) } + [1])
          #expect(sums.rest == added(zip(q, k).map { ($0 - $1) * ($0 - $1) }))
          #expect(sums.slope == added(zip(q, k).map { $1 * ($0 - $1) }))
          #expect(sums.squares == added(k.map { $0 * $0 }))
          #expect(sums.nonzero == k.count { $0 != 0 } && sums.exceptions == k.count { $0.magnitude > 127 })
          #expect(sums.largest == wide.reduce(0) { max($0, $1.magnitude.bitPattern) })
          let same = nc_grid_round(wide, true, n, inverse, nil)
          #expect(same.rest == sums.rest && same.slope == sums.slope && same.nonzero == sums.nonzero)
          var values = [Float](repeating: 7, count: n + 1)
          nc_grid_values(codes, n, 0.375, 4, false, &values)
          #expect(values == codes.prefix(n).map { Float(0.375 * Double($0)) } + [7])
        }
      }
    }
    onEveryLevel { random in
      for bad in [Float.infinity, -.infinity, .nan] {
        for n in [1, 8, 20] {
          var x = floats(n, &random)
          x[n - 1] = bad
          #expect(!Double(bitPattern: nc_grid_round(x, false, n, 1, nil).largest).isFinite)
        }
      }
    }
  }

  @Test func evaluatesScales() {
    onEveryLevel { random in
      for n in lengths {
        let x = floats(n, &random)
        let wide = x.map(Double.init)
        func steps(_ scale: Double, _ most: Double) -> [Double] {
          let inverse = 1 / scale
          return wide.map { nearest(min($0.magnitude * inverse, most)) }
        }
        for (low, high, most) in [(0.1, 0.2, 7.0), (0.009, 0.01, 127), (0.5, 3, 1)] {
          let k = steps(high, most)
          let e = zip(wide, k).map { $0.magnitude - $1 * high }
          let sums = nc_scale_evaluate(x, false, n, high, most)
          #expect(sums.error == added(e.map { $0 * $0 }) && sums.slope == added(zip(k, e).map { $0 * $1 }))
          #expect(sums.squares == added(k.map { $0 * $0 }) && sums.steps == added(k))
          #expect(nc_scale_evaluate(wide, true, n, high, most).error == sums.error)
          var codes = [Int8](repeating: 1, count: n + 1)
          let nonzero = nc_scale_codes(x, false, n, high, most, &codes)
          #expect(nonzero == k.count { $0 != 0 })
          #expect(codes == zip(x, k).map { Int8($0 < 0 ? -$1 : $1) } + [1])

          let more = steps(low, most)
          let count = Int(nc_scale_evaluate(x, false, n, low, most).steps - sums.steps)
          var points = [nc_breakpoint](repeating: nc_breakpoint(), count: count + 1)
          #expect(nc_scale_breakpoints(x, false, n, low, high, most, &points) == count)
          var expected: [Double] = []
          for i in 0..<n {
            for step in stride(from: k[i], to: more[i], by: 1) {
              expected.append(2 * wide[i].magnitude / (2 * step + 1))
            }
          }
          #expect(points.prefix(count).map(\.at) == expected && points[count].at == 0)
        }
      }
    }
  }

  @Test func countsThresholds() {
    onEveryLevel { random in
      for n in lengths {
        let x = floats(n, &random)
        for count in [0, 1, 2, 15, 32, 33, 255] {
          let thresholds = floats(count, &random).sorted()
          var codes = [UInt8](repeating: 9, count: n + 1)
          nc_level_codes(x, n, thresholds, count, &codes)
          #expect(codes == x.map { x in UInt8(thresholds.count { x > $0 }) } + [9])
        }
      }
    }
  }
}
