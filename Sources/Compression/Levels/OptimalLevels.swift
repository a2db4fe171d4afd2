// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Finds the K numbers that minimise Σ min_k (x − c_k)² over n sorted numbers x: k-means in one dimension, not a local
/// optimum but the best of all; with one of the numbers fixed at 0 where `zeros` is not empty.
///
/// **Exact.** In the best solution each c_k has a run of the sorted numbers, those nearest to it: borders
/// 0 ≤ b_1 ≤ … ≤ b_{K−1} ≤ n divide them, and a run costs its squares about its mean (about 0, where it holds the zeros).
/// With D_k(j) the least cost of the first j numbers in k runs,
///
///     D_k(j) = min_{i ≤ j} D_{k−1}(i) + cost(i, j).
///
/// The cost satisfies cost(i, j) + cost(i', j') ≤ cost(i, j') + cost(i', j) for i ≤ i' ≤ j ≤ j' (a fixed 0 included: taking
/// x > 0 into its run costs x², into one whose mean is between 0 and x less), so the best i never falls with j, and a
/// layer takes O(n log n).
///
/// **Fewer candidates.** Not all n + 1 places for a border are tried, but those on a grid of *buckets*, and then again those
/// in the buckets that may hold a border of the best solution, on a finer grid, until nothing is left to divide. With F the
/// cost of a solution that is known, let h bound half the distance of the two c beside a border y of the best solution:
/// numbers x within that distance cost (h − |x − y|)², so Σ max(0, h − |x − y|)² ≤ F. Moving the border down to the
/// start of its bucket, the c staying what they are, gives numbers x < y of the bucket to the upper c, at
/// (x − y − h)² − (x − y + h)² = 4 h (y − x) more for each. So with e the end of the bucket, the best solution moved to the
/// grid, border by border (which keeps their order, as the grid is one for all; costs of several borders in one bucket
/// add up), costs at most
///
///     D_K(n) + Σ_borders δ(bucket),   δ = 4 h Σ_{x in the bucket} (e − x).
///
/// The recursion on the grid with cost − δ(bucket of i) for border i therefore has a result ≤ D_K(n), a lower bound; and
/// no border k of the best solution is in a bucket for which the least such sum through (k, start of the bucket), which is
/// the sum of a recursion from the left and one from the right, exceeds F. δ falls with the square of a bucket's width, so
/// few buckets are left. (h changes by no more than y does; it is computed at some y only.)
///
/// **When it is exact.** The search ends with the best solution, in the arithmetic of sums in double-double and costs in
/// double (2⁻⁵⁰ Σ x², x less the mean of all), when all buckets that are left hold one number or equal ones, or when the
/// bound meets the solution to 2⁻⁴⁰. When a round leaves more than three quarters of the places of the one before, it
/// ends with the best solution on the grid, and `lowerBound` says how far it can be from the best.
struct LevelSearch<Value: BinaryFloatingPoint & Sendable> {
  /// Ascending.
  let values: UnsafeBufferPointer<Value>
  /// Where the zeros are that have a level of their own; empty if there are none.
  let zeros: Range<Int>
  /// K.
  let levels: Int
  /// Subtracted from all numbers, so that sums are of small ones; 0 where there are `zeros`.
  let center: Double

  /// Buckets of the first round; as many distinct numbers are taken one by one.
  let buckets: Int
  /// Candidates for all borders together in later rounds.
  let candidates: Int

  struct Solution {
    /// Where runs end; the last is n. Runs may be empty.
    var borders: [Int]
    /// The squared error of the exact means.
    var error: Double
    /// No solution has less.
    var lowerBound: Double
    /// Rounds that were needed.
    var rounds: Int

    /// How much more than the least the error may be, relative to it.
    var excess: Double {
      if error - lowerBound <= error * 0x1p-40 { return 0 }
      return lowerBound > 0 ? error / lowerBound - 1 : .infinity
    }
  }

  init(
    values: UnsafeBufferPointer<Value>, zeros: Range<Int>, levels: Int, buckets: Int = 1 << 16,
    candidates: Int = 1 << 20
  ) {
    self.values = values
    self.buckets = buckets
    self.candidates = candidates
    self.zeros = zeros
    self.levels = levels
    center = zeros.isEmpty && !values.isEmpty ? values.reduce(0) { $0 + Double($1) } / Double(values.count) : 0
  }

  func solve() -> Solution {
    let n = values.count
    // A few buckets, for a first solution.
    var best = Layers(Grid(self, starts: coarseStarts(min(buckets, 1 << 10))), search: self).path()
    var positions = distinctStarts(limit: buckets) ?? coarseStarts(buckets)
    var places: [[Range<Int>]]?
    var lowerBound = 0.0
    var left = n * (levels - 1)
    var rounds = 0
    while true {
      rounds += 1
      var grid = Grid(self, starts: positions)
      grid.setRewards(self, bound: best.error)
      let layers = Layers(grid, search: self, ranges: places)
      let path = layers.path()
      if path.error < best.error { best = path }
      lowerBound = max(lowerBound, min(layers.lowerBound, best.error))
      if best.error - lowerBound <= best.error * 0x1p-40 { break }
      // A sum of many roundings is not compared to the last bit.
      let survivors = layers.survivors(bound: best.error * (1 + 0x1p-40))
      let count = survivors.reduce(0) { $0 + $1.reduce(0) { $0 + grid.places(inBucket: $1) } }
      if count > left - left / 4 { break }
      left = count
      (positions, places) = divide(grid, survivors, places: count)
    }
    return Solution(borders: best.borders, error: best.error, lowerBound: lowerBound, rounds: rounds)
  }

  /// A finer grid for the buckets that are left for each border, and for each border the ranges of places on it.
  private func divide(_ grid: Grid, _ survivors: [[Int]], places: Int) -> ([Int], [[Range<Int>]]) {
    let isAny = survivors.reduce(into: [Bool](repeating: false, count: grid.borders.count)) { isAny, buckets in
      for bucket in buckets { isAny[bucket] = true }
    }
    var positions: [Int] = []
    // The end of a bucket that is left is the start of one that is not.
    for bucket in isAny.indices
    where isAny[bucket] || bucket == 0 || bucket == isAny.count - 1 || isAny[bucket - 1] {
      let start = grid.borders[bucket].position
      let count = isAny[bucket] ? grid.places(inBucket: bucket) : 1
      let share = Double(candidates) / Double(max(1, places)) * Double(count)
      let parts = min(count, max(4, Int(share)))
      for part in 0..<parts { positions.append(start + count * part / parts) }
    }
    // Where the zeros end is a border that always stays one.
    if !zeros.isEmpty { positions = Set(positions + [zeros.lowerBound, zeros.upperBound]).sorted() }
    func index(_ position: Int) -> Int { positions.partitioningIndex { $0 >= position } }
    let ranges = survivors.map { buckets in
      var ranges: [Range<Int>] = []
      for bucket in buckets {
        let start = grid.borders[bucket].position
        let range = index(start)..<index(start + grid.count(ofBucket: bucket))
        if let last = ranges.last, last.upperBound == range.lowerBound {
          ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
        } else {
          ranges.append(range)
        }
      }
      return ranges
    }
    return (positions, ranges)
  }

  /// The start of every run of equal numbers, and n; `nil` when they are more than `limit`.
  private func distinctStarts(limit: Int) -> [Int]? {
    var starts: [Int] = []
    for i in values.indices where i == 0 || values[i] != values[i - 1] {
      if starts.count == limit { return nil }
      starts.append(i)
    }
    return starts + [values.count]
  }

  /// The starts of about `count` buckets, and n, that make Σ (numbers in it · width) small: as many of them in each
  /// stretch as the root of that product says.
  private func coarseStarts(_ count: Int) -> [Int] {
    let n = values.count
    let stretches = max(1, min(n, count / 4))
    func start(_ i: Int) -> Int { i * n / stretches }
    let weights = (0..<stretches).map { i -> Double in
      let (first, last) = (start(i), min(n - 1, start(i + 1)))
      return ((Double(values[last]) - Double(values[first])) * Double(last - first)).squareRoot()
    }
    let total = weights.reduce(0, +)
    var starts: [Int] = []
    for i in 0..<stretches {
      let size = start(i + 1) - start(i)
      let parts = total > 0 ? max(1, min(size, Int(weights[i] / total * Double(count)))) : 1
      for part in 0..<parts { starts.append(start(i) + size * part / parts) }
    }
    guard !zeros.isEmpty else { return starts + [n] }
    starts.removeAll { zeros.contains($0) }
    return Set(starts + [0, zeros.lowerBound, zeros.upperBound, n]).sorted()
  }
}

extension LevelSearch {
  /// A place for a border, and the sums of all numbers before it, in double-double.
  struct Border {
    var position = 0
    var sum = 0.0
    var sumRest = 0.0
    var squares = 0.0
    var squaresRest = 0.0
    /// δ of the bucket that begins here.
    var reward = 0.0
  }

  /// Places for borders: the first is 0, the last n. A bucket lies between two of them.
  struct Grid {
    var borders: [Border]

    init(_ search: LevelSearch, starts: [Int]) {
      borders = []
      borders.reserveCapacity(starts.count)
      var border = Border()
      var position = 0
      for start in starts {
        while position < start {
          let x = Double(search.values[position]) - search.center
          Self.add(x, &border.sum, &border.sumRest)
          Self.add(x * x, &border.squares, &border.squaresRest)
          position += 1
        }
        border.position = position
        borders.append(border)
      }
    }

    /// Knuth's exact sum of two numbers.
    private static func add(_ x: Double, _ sum: inout Double, _ rest: inout Double) {
      let total = sum + x
      let part = total - sum
      rest += (sum - (total - part)) + (x - part)
      sum = total
    }

    /// The numbers in a bucket; n has a bucket of its own.
    func count(ofBucket bucket: Int) -> Int {
      bucket + 1 < borders.count ? borders[bucket + 1].position - borders[bucket].position : 1
    }

    /// The places for a border in a bucket: one, where its numbers are equal.
    func places(inBucket bucket: Int) -> Int { borders[bucket].reward > 0 ? count(ofBucket: bucket) : 1 }

    /// Sets δ of all buckets, with the cost of a known solution.
    mutating func setRewards(_ search: LevelSearch, bound: Double) {
      let buckets = borders.count - 1
      guard buckets > 0 else { return }
      let values = search.values
      func value(_ i: Int) -> Double { Double(values[i]) - search.center }
      let step = max(1, buckets / 1024)
      let samples = Array(stride(from: 0, to: buckets, by: step))
      let places = samples.map { value(borders[$0].position) }
      let halves = places.map { half(at: $0, search, bound: bound) }
      for bucket in 0..<buckets {
        let (first, last) = (borders[bucket].position, borders[bucket + 1].position - 1)
        let (low, high) = (value(first), value(last))
        guard low < high else { continue }
        func reach(_ i: Int) -> Double { halves[i] + max((low - places[i]).magnitude, (high - places[i]).magnitude) }
        let i = bucket / step
        let half = min(reach(i), i + 1 < samples.count ? reach(i + 1) : .infinity)
        let sum = difference(borders[bucket], borders[bucket + 1]).sum
        borders[bucket].reward = max(0, 4 * half * (high * Double(last + 1 - first) - sum)) * (1 + 0x1p-20)
      }
    }

    /// An h with Σ max(0, h − |x − y|)² ≥ bound.
    private func half(at y: Double, _ search: LevelSearch, bound: Double) -> Double {
      let center = search.center
      let values = search.values
      func index(_ x: Double) -> Int {
        borders.partitioningIndex { $0.position == values.count || Double(values[$0.position]) - center >= x }
      }
      /// Of whole buckets alone, which is less.
      func cost(_ h: Double) -> Double {
        let middle = index(y)
        let (first, last) = (index(y - h), max(middle, index(y + h) - 1))
        var total = 0.0
        for (from, to, c) in [(first, middle, y - h), (middle, last, y + h)] where from < to {
          let sums = difference(borders[from], borders[to])
          total += max(0, sums.squares - 2 * c * sums.sum + sums.count * c * c) * (1 - 0x1p-20)
        }
        return total
      }
      var high = max(Double(values[values.count - 1]) - Double(values[0]), .leastNormalMagnitude)
      while cost(high) < bound, high < 0x1p1000 { high *= 2 }
      var low = 0.0
      for _ in 0..<40 {
        let middle = low + (high - low) / 2
        if cost(middle) < bound { low = middle } else { high = middle }
        if high - low <= high * 0x1p-7 { break }
      }
      return high
    }
  }

  @inline(__always)
  static func difference(_ from: Border, _ to: Border) -> (count: Double, sum: Double, squares: Double) {
    (
      Double(to.position - from.position), (to.sum - from.sum) + (to.sumRest - from.sumRest),
      (to.squares - from.squares) + (to.squaresRest - from.squaresRest)
    )
  }

  /// The cost of a run of numbers.
  @inline(__always)
  static func cost(_ from: Border, _ to: Border, zero: Int) -> Double {
    if from.position == to.position { return 0 }
    let run = difference(from, to)
    if from.position <= zero, to.position > zero { return run.squares }
    return max(0, run.squares - run.sum * run.sum / run.count)
  }
}

private func difference<V>(_ from: LevelSearch<V>.Border, _ to: LevelSearch<V>.Border) -> (
  count: Double, sum: Double, squares: Double
) {
  LevelSearch<V>.difference(from, to)
}

extension LevelSearch {
  /// The recursions from the left and from the right on a grid.
  struct Layers {
    let grid: Grid
    let levels: Int
    /// Where the zeros begin; beyond all if there are none.
    let zero: Int
    /// For each k = 0…K the places of border k, as indices of the grid.
    let places: [[Int32]]
    /// The least cost − δ … of what is before border k at its places, its own δ not taken; and of what is after it.
    private(set) var left: [[Double]] = []
    private(set) var right: [[Double]] = []

    init(_ grid: Grid, search: LevelSearch, ranges: [[Range<Int>]]? = nil) {
      self.grid = grid
      levels = search.levels
      zero = search.zeros.isEmpty ? .max : search.zeros.lowerBound
      let all = ranges == nil ? (0..<Int32(grid.borders.count)).map { $0 } : []
      let inner = (1..<max(1, search.levels)).map { k in
        ranges.map { $0[k - 1].flatMap { $0.map(Int32.init) } } ?? all
      }
      places = [[0]] + inner + [[Int32(grid.borders.count - 1)]]
      left = [[0]]
      for k in 1...levels {
        left.append(layer(places[k], from: places[k - 1], taken(left[k - 1], places[k - 1], k - 1), isForward: true))
      }
      right = [[0]]
      for k in (0..<levels).reversed() {
        right.append(
          layer(places[k], from: places[k + 1], taken(right[levels - 1 - k], places[k + 1], k + 1), isForward: false))
      }
      right.reverse()
    }

    /// Costs less δ of the places of border k.
    private func taken(_ costs: [Double], _ places: [Int32], _ k: Int) -> [Double] {
      guard k > 0, k < levels else { return costs }
      return zip(costs, places).map { $0 - grid.borders[Int($1)].reward }
    }

    var lowerBound: Double { left[levels][0] }

    /// For each inner border the buckets through which a solution of at most `bound` may lead.
    func survivors(bound: Double) -> [[Int]] {
      (1..<max(1, levels)).map { k in
        places[k].indices.compactMap { i in
          let place = Int(places[k][i])
          return left[k][i] + right[k][i] - grid.borders[place].reward <= bound ? place : nil
        }
      }
    }

    /// The best solution with δ taken, and what it costs without.
    func path() -> Solution {
      var borders: [Int] = []
      var at = 0
      var error = 0.0
      for k in 1...levels {
        var best = (cost: Double.infinity, place: grid.borders.count - 1)
        for (i, place) in places[k].enumerated() where Int(place) >= at {
          let reward = k < levels ? grid.borders[Int(place)].reward : 0
          let cost = cost(at, Int(place)) - reward + right[k][i]
          if cost < best.cost { best = (cost, Int(place)) }
        }
        error += cost(at, best.place)
        at = best.place
        borders.append(grid.borders[at].position)
      }
      return Solution(borders: borders, error: error, lowerBound: 0, rounds: 0)
    }

    private func cost(_ i: Int, _ j: Int) -> Double {
      LevelSearch.cost(grid.borders[i], grid.borders[j], zero: zero)
    }

    /// One step of a recursion: for each row the least of column + cost, over the columns that are not after it (before
    /// it, from the right). The best column does not fall from row to row, so the rows are halved.
    private func layer(_ rows: [Int32], from columns: [Int32], _ costs: [Double], isForward: Bool) -> [Double] {
      var result = [Double](repeating: .infinity, count: rows.count)
      // Columns that nothing leads to are the first, or the last.
      guard let firstColumn = costs.firstIndex(where: \.isFinite), let lastColumn = costs.lastIndex(where: \.isFinite)
      else { return result }
      let firstRow = isForward ? rows.partitioningIndex { $0 >= columns[firstColumn] } : 0
      let endRow = isForward ? rows.count : rows.partitioningIndex { $0 > columns[lastColumn] }
      grid.borders.withUnsafeBufferPointer { borders in
        rows.withUnsafeBufferPointer { rows in
          columns.withUnsafeBufferPointer { columns in
            costs.withUnsafeBufferPointer { costs in
              result.withUnsafeMutableBufferPointer { result in
                func solve(_ from: Int, _ to: Int, _ low: Int, _ high: Int) {
                  guard from < to else { return }
                  let middle = (from + to) / 2
                  let row = rows[middle]
                  let border = borders[Int(row)]
                  var (least, last) = (low, high)
                  if isForward {
                    // Columns up to the row.
                    while last > low, columns[last] > row {
                      let guess = low + (last - low) / 2
                      if columns[guess] > row { last = guess } else { break }
                    }
                    while last > low, columns[last] > row { last -= 1 }
                  } else {
                    while least < high, columns[least] < row {
                      let guess = least + (high - least + 1) / 2
                      if columns[guess] < row { least = guess } else { break }
                    }
                    while least < high, columns[least] < row { least += 1 }
                  }
                  var best = (cost: Double.infinity, column: isForward ? low : least)
                  if isForward {
                    for column in least...max(least, last) {
                      let cost = costs[column] + LevelSearch.cost(borders[Int(columns[column])], border, zero: zero)
                      if cost < best.cost { best = (cost, column) }
                    }
                  } else {
                    for column in least...max(least, last) {
                      let cost = costs[column] + LevelSearch.cost(border, borders[Int(columns[column])], zero: zero)
                      if cost < best.cost { best = (cost, column) }
                    }
                  }
                  result[middle] = best.cost
                  solve(from, middle, low, best.column)
                  solve(middle + 1, to, best.column, high)
                }
                solve(firstRow, endRow, firstColumn, lastColumn)
              }
            }
          }
        }
      }
      return result
    }
  }
}

extension RandomAccessCollection where Index == Int {
  /// The first index from which on a condition holds, which does not hold before.
  func partitioningIndex(where holds: (Element) -> Bool) -> Int {
    var (low, high) = (startIndex, endIndex)
    while low < high {
      let middle = low + (high - low) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
