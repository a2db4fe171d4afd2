// SPDX-License-Identifier: Apache-2.0

import Parallel
import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

extension LevelsMatrix {
  /// The levels of a table.
  var table: [Double] {
    guard case .table(let bytes) = levels else { return [] }
    return type.numbers(bytes)
  }
}

@Suite("Levels") struct LevelTests {
  private func quantized(
    _ w: [Double], _ levels: Int, _ type: ElementType = .float64, rows: Int = 1, transposed: Bool = false,
    threads: Int = 1
  ) throws -> TableQuantization {
    try type.bytes(rounding: w).withUnsafeBytes {
      try quantize(
        StoredMatrix($0, type: type, rows: rows, columns: w.count / max(1, rows), transposed: transposed),
        levels: levels, threads: Threads(threads))
    }
  }

  /// The least squared error of all divisions of the sorted weights into at most `levels` runs, each about its mean, or
  /// about 0 where it holds a zero.
  private func exhaustive(_ w: [Double], _ levels: Int) -> Double {
    let sorted = w.sorted()
    func cost(_ run: ArraySlice<Double>) -> Double {
      let mean = run.contains(0) ? 0 : run.reduce(0, +) / Double(run.count)
      return run.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    }
    func least(from start: Int, _ runs: Int) -> Double {
      if start == sorted.count { return 0 }
      if runs == 0 { return .infinity }
      return (start + 1...sorted.count).reduce(Double.infinity) {
        // Zeros stay together.
        if $1 < sorted.count, sorted[$1] == 0, sorted[$1 - 1] == 0 { return $0 }
        return min($0, cost(sorted[start..<$1]) + least(from: $1, runs - 1))
      }
    }
    return least(from: 0, levels)
  }

  private func squaredError(_ found: TableQuantization, _ w: [Double]) -> Double {
    let levels = found.matrix.table
    return zip(w, found.matrix.codes).reduce(0) {
      let difference = $1.0 - levels[Int($1.1)]
      return $0 + difference * difference
    }
  }

  /// 2,000 cases and more.
  @Test(arguments: Distribution.all) func equalsExhaustiveSearch(_ distribution: Distribution) throws {
    var random = SplitMix64(seed: 1)
    for n in 1...12 {
      for levels in [2, 3, 4, 5, 7] {
        for _ in 0..<(n < 10 ? 5 : 2) {
          let w = (0..<n).map { _ in random.sample(distribution) }
          let found = try quantized(w, levels)
          let best = exhaustive(w, levels)
          let norm = w.reduce(0) { $0 + $1 * $1 }
          #expect(squaredError(found, w) <= best * (1 + 1e-11) + 1e-14 * norm, "\(levels) levels of \(w)")
          #expect(found.excess == 0 && found.matrix.table.count <= levels)
          for i in w.indices where w[i] == 0 { #expect(found.matrix.table[Int(found.matrix.codes[i])] == 0) }
        }
      }
    }
  }

  /// The recursion over all places, for the search that leaves out most of them.
  private func recursion(_ sorted: [Double], _ levels: Int) -> Double {
    var sums = [(0.0, 0.0)]
    for x in sorted { sums.append((sums.last!.0 + x, sums.last!.1 + x * x)) }
    var costs = sums.map { _ in Double.infinity }
    costs[0] = 0
    for _ in 0..<levels {
      var next = costs
      for j in 1...sorted.count {
        for i in 0..<j {
          let (sum, squares) = (sums[j].0 - sums[i].0, sums[j].1 - sums[i].1)
          next[j] = min(next[j], costs[i] + squares - sum * sum / Double(j - i))
        }
      }
      costs = next
    }
    return costs[sorted.count]
  }

  @Test(arguments: [Distribution.gaussian, .uniform, .student(2), .tails]) func equalsTheRecursion(
    _ distribution: Distribution
  ) throws {
    var random = SplitMix64(seed: 2)
    let w = (0..<500).map { _ in random.sample(distribution) }
    for levels in [2, 6] {
      let found = try quantized(w, levels)
      let best = recursion(w.sorted(), levels)
      #expect(abs(squaredError(found, w) - best) <= 1e-11 * best)
    }
  }

  /// Few buckets, which leave most places out round by round, against the recursion over all places.
  @Test(arguments: Distribution.all) func bucketsLoseNothing(_ distribution: Distribution) {
    var random = SplitMix64(seed: 5)
    for (n, buckets) in [(600, 40), (1000, 100), (1000, 400)] {
      let w = (0..<n).map { _ in random.sample(distribution) }.sorted()
      let zeros = (w.firstIndex { $0 >= 0 } ?? n)..<(w.firstIndex { $0 > 0 } ?? n)
      for levels in [2, 5, 12] {
        w.withUnsafeBufferPointer { values in
          let all = LevelSearch(values: values, zeros: zeros, levels: levels).solve()
          let few = LevelSearch(
            values: values, zeros: zeros, levels: levels, buckets: buckets, candidates: 4 * buckets
          ).solve()
          #expect(all.excess == 0 && all.rounds == 1)
          #expect(few.lowerBound <= all.error * (1 + 1e-12) && few.error >= all.error * (1 - 1e-12))
          if few.excess == 0 { #expect(few.error <= all.error * (1 + 1e-11)) }
          if buckets == 400, levels <= 5 { #expect(few.excess == 0, "\(n) \(levels) \(few)") }
        }
      }
    }
  }

  @Test func fewDistinctValuesStay() throws {
    let w = [3, 1, 3, -0.0, 0, 2, 1, 1] as [Double]
    for type in [ElementType.float16, .bfloat16, .float32, .float64] {
      let found = try quantized(w, 4, type, rows: 2)
      #expect(found.matrix.table == [0, 1, 2, 3] && found.matrix.codes == [3, 1, 3, 0, 0, 2, 1, 1])
      #expect(found.matrix.table[0].sign == .plus && found.excess == 0)
    }
    #expect(try quantized([7, 7], 2).matrix.table == [7])
    #expect(try quantized([0, -0.0], 2).matrix.table == [0])
    #expect(try quantized([], 2).matrix.table == [])
  }

  /// The example of the documentation.
  @Test func threeWeights() throws {
    let found = try quantized([1, 2, 6], 2)
    #expect(found.matrix.table == [1.5, 6] && found.matrix.codes == [0, 0, 1])
  }

  @Test func zerosOfPrunedMatricesStay() throws {
    var random = SplitMix64(seed: 3)
    let w = (0..<20000).map { _ in random.next() % 3 == 0 ? random.gaussian() + 0.3 : 0 }
    for levels in [2, 3, 16] {
      let found = try quantized(w, levels, .float32, rows: 100)
      let zero = try #require(found.matrix.table.firstIndex(of: 0))
      #expect(found.matrix.table[zero].sign == .plus)
      for (w, code) in zip(w, found.matrix.codes) where w == 0 { #expect(Int(code) == zero) }
    }
    // A single zero among many is no mass.
    let dense = [0] + (0..<5000).map { _ in 1 + random.uniform() }
    #expect(try quantized(dense, 2).matrix.table.contains(0) == false)
  }

  @Test(arguments: [ElementType.float16, .bfloat16, .float32, .float64]) func everyType(_ type: ElementType) throws {
    var random = SplitMix64(seed: 4)
    // Several blocks are cut alike for all types.
    let (rows, columns) = type == .float32 ? (35, 8200) : (9, 2100)
    let w = (0..<rows * columns).map { _ in type.nearest(random.sample(.laplace) * 0.03) }
    let turned = (0..<columns).flatMap { c in (0..<rows).map { w[$0 * columns + c] } }
    var last = 1.0
    for levels in type == .float32 ? [2, 5] : [3] {
      let found = try quantized(w, levels, type, rows: rows)
      let values = found.matrix.codes.map { found.matrix.table[Int($0)] }
      let error = relativeError(w, values)
      #expect(found.matrix.table.allSatisfy { type.nearest($0) == $0 })
      // Exact, and better than fewer.
      #expect(found.excess == 0 && error < last)
      last = error
      // No weight has a nearer level.
      for (w, value) in zip(w, values).prefix(3000) {
        #expect(found.matrix.table.allSatisfy { abs(w - $0) >= abs(w - value) })
      }
      let other = try quantized(turned, levels, type, rows: columns, transposed: true, threads: 3)
      #expect(other.matrix == found.matrix)
    }
  }

  /// Beside a level for zeros, which stay zeros however few they are, there are K.
  @Test func zerosKept() throws {
    func quantized(_ w: [Double], _ levels: Int) throws -> LevelsMatrix {
      try w.withUnsafeBytes {
        try quantize(
          StoredMatrix($0, type: .float64, rows: 1, columns: w.count, transposed: false), levels: levels,
          keepsZeros: true, threads: .one
        ).matrix
      }
    }
    let w = [0] + (1...2000).map { Double($0) }
    let found = try quantized(w, 2)
    #expect(found.table.count == 3 && found.table[0] == 0 && found.codes[0] == 0)
    #expect(try quantized([1, 3], 1).table == [2])
    #expect(try quantized([0, 2, 3, 0], 1).codes == [0, 1, 1, 0])
    #expect(try quantized((0...255).map { Double($0) }, 255).table == (0...255).map { Double($0) })
  }

  @Test func extremes() throws {
    let large = try quantized([1e308, 1.5e308, -1e308], 2).matrix
    #expect(relativeError([1e308, 1.5e308, -1e308], large.codes.map { large.table[Int($0)] }) < 0.4)
    #expect(try quantized([0x1p-1074, 0x1p-1073, 0x1p-1072], 2).matrix.table.count == 2)
    for type in [ElementType.float16, .bfloat16, .float32, .float64] {
      for bad in [Double.infinity, -.infinity, .nan] {
        #expect(throws: NonFiniteWeight(index: 1)) { _ = try quantized([1, bad, 2], 2, type) }
      }
    }
  }
}
