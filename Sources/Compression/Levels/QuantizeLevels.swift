// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Matrices
public import Parallel
public import Tensors

/// A matrix of few distinct values, and what was lost.
public struct TableQuantization: Sendable {
  /// The levels are ascending, none twice and no −0.
  public let matrix: LevelsMatrix
  /// How much more ‖W − Ŵ‖² may be than the least of all, relative to it and before rounding: 0 where the levels are
  /// known to be the best.
  public let excess: Double
}

/// Replaces the weights of a matrix by the K values that minimise the squared error.
///
///     min Σ min_k (w − c_k)² over c_1 < … < c_K
///
/// The levels are the best of all, by dynamic programming over the sorted weights: `LevelSearch` says how, and when it
/// is exact. They are means of the weights nearest to them, rounded to the type of the weights; then each weight
/// takes the nearest level, of two the lower. Levels that become equal are one.
///
/// Where at least one weight in 1024 is zero (a pruned matrix), one of the K levels is +0, and zeros stay zeros; the
/// other levels are the best beside it. (A weight may become zero that was not.) With `keepsZeros` the same holds of any
/// zero, and its level is one more than K.
///
/// Example: K = 2 and w = (1, 2, 6): levels 1.5 and 6, with the error .5.
///
/// - Parameters:
///   - source: the weights; the result is output units × inputs, whichever way they are stored.
///   - levels: K, 2…256; with `keepsZeros` 1…255.
///   - threads: the result does not depend on it.
/// - Throws: `NonFiniteWeight` for an infinity or NaN.
///
/// Laws: a matrix of at most K distinct values stays as it is (but for −0); the error does not rise with K; multiplying
/// W by a power of two multiplies the levels and keeps the codes (nothing being subnormal).
public func quantize(
  _ source: StoredMatrix, levels: Int, keepsZeros: Bool = false, threads: Threads
) throws(NonFiniteWeight) -> TableQuantization {
  precondition((keepsZeros ? 1...255 : 2...256).contains(levels), "2 to 256 levels, or 1 to 255 beside zero")
  let weights = source.weights
  let elements = source.elements
  let largestKey = elements.largestKey(threads: threads)
  guard largestKey < weights.type.infinityKey else { throw elements.nonFinite() }
  let found: FoundLevels
  if weights.type == .float64 {
    // Squares of numbers near 1 neither overflow nor vanish.
    let largest = weights.type.magnitude(ofKey: largestKey)
    let unit = largest == 0 || largest > 0x1p-200 && largest < 0x1p200 ? 1 : largest.binade
    found = weights.sortedDoubles().withUnsafeBufferPointer {
      FoundLevels(sorted: $0, count: levels, type: .float64, unit: unit, keepsZeros: keepsZeros)
    }
  } else {
    let sorted = weights.sortedFloats(threads: threads)
    found = sorted.withUnsafeBufferPointer {
      FoundLevels(sorted: $0, count: levels, type: weights.type, unit: 1, keepsZeros: keepsZeros)
    }
  }
  var codes = [UInt8](repeating: 0, count: weights.rows * weights.columns)
  codes.withUnsafeMutableBufferPointer { codes in
    guard let base = codes.baseAddress else { return }
    nonisolated(unsafe) let codes = base
    threads.forEach(weights.blocks) { block in
      let rows = weights.rows(ofBlock: block)
      weights.withGridWeights(rows) { found.write($0, to: codes + rows.lowerBound * weights.columns) }
    }
  }
  let table = found.levels.flatMap { level in
    withUnsafeBytes(of: weights.type.bits(level).littleEndian) { Array($0.prefix(weights.type.byteCount)) }
  }
  guard
    let matrix = LevelsMatrix(
      rows: weights.rows, columns: weights.columns, type: weights.type, codes: codes, levels: .table(table))
  else { preconditionFailure("codes without levels") }
  return TableQuantization(matrix: matrix, excess: found.excess)
}

/// The levels of a matrix, of its type.
private struct FoundLevels: Sendable {
  let levels: [Double]
  let excess: Double
  /// For floats: the largest that is not beyond the middle of two levels.
  let thresholds: [Float]

  /// One weight in so many is zero where zeros have a level of their own.
  static let fewestZeros = 1024

  init<Value: BinaryFloatingPoint & Sendable>(
    sorted: UnsafeBufferPointer<Value>, count levels: Int, type: ElementType, unit: Double, keepsZeros: Bool
  ) {
    let all = sorted.partitioningIndex { $0 >= 0 }..<sorted.partitioningIndex { $0 > 0 }
    let zeros = keepsZeros || all.count * Self.fewestZeros >= sorted.count ? all : 0..<0
    let count = keepsZeros && !all.isEmpty ? levels + 1 : levels
    var levels: [Double] = []
    var excess = 0.0
    if let distinct = Self.distinct(sorted, limit: count) {
      levels = distinct
    } else {
      if unit == 1 {
        (levels, excess) = Self.best(sorted, zeros: zeros, count: count)
      } else {
        let divided = sorted.map { Double($0) / unit }
        (levels, excess) = divided.withUnsafeBufferPointer { Self.best($0, zeros: zeros, count: count) }
      }
      levels = levels.map { type.nearest($0 * unit) }
    }
    // −0 becomes +0.
    self.levels = Set(levels.map { $0 + 0 }).sorted()
    self.excess = excess
    thresholds =
      type == .float64
      ? []
      : zip(self.levels, self.levels.dropFirst()).map { low, high in
        let middle = (low + high) / 2
        let float = Float(middle)
        return Double(float) > middle ? float.nextDown : float
      }
  }

  /// The best levels, not rounded, and how far they may be from it.
  private static func best<Value: BinaryFloatingPoint & Sendable>(
    _ sorted: UnsafeBufferPointer<Value>, zeros: Range<Int>, count: Int
  ) -> (levels: [Double], excess: Double) {
    let search = LevelSearch(values: sorted, zeros: zeros, levels: count)
    let solution = search.solve()
    var levels: [Double] = []
    var start = 0
    for border in solution.borders where border > start {
      let isZero = !zeros.isEmpty && start <= zeros.lowerBound && border > zeros.lowerBound
      levels.append(isZero ? 0 : search.mean(start..<border))
      start = border
    }
    return (levels, solution.excess)
  }

  /// The distinct values, if they are at most `limit`.
  private static func distinct<Value: BinaryFloatingPoint>(
    _ sorted: UnsafeBufferPointer<Value>, limit: Int
  ) -> [Double]? {
    var distinct: [Double] = []
    for value in sorted where distinct.last != Double(value) {
      if distinct.count == limit { return nil }
      distinct.append(Double(value))
    }
    return distinct
  }

  /// Writes the codes of weights.
  func write(_ weights: GridWeights, to codes: UnsafeMutablePointer<UInt8>) {
    if levels.isEmpty { return }
    if weights.isWide {
      for i in 0..<weights.count {
        let w = weights.doubles[i]
        let above = levels.partitioningIndex { $0 >= w }
        // Of the levels beside it the nearer one.
        let isLower = above == levels.count || above > 0 && w - levels[above - 1] <= levels[above] - w
        codes[i] = UInt8(isLower ? above - 1 : above)
      }
    } else {
      nc_level_codes(weights.floats, weights.count, thresholds, thresholds.count, codes)
    }
  }
}

extension LevelSearch {
  /// The mean of some of the numbers.
  func mean(_ range: Range<Int>) -> Double {
    var (sum, rest) = (0.0, 0.0)
    for i in range {
      let x = Double(values[i]) - center
      let total = sum + x
      rest += sum.magnitude >= x.magnitude ? (sum - total) + x : (x - total) + sum
      sum = total
    }
    return center + (sum + rest) / Double(range.count)
  }
}

extension WeightRows {
  /// All weights in ascending order.
  fileprivate func sortedFloats(threads: Threads) -> [Float] {
    let count = rows * columns
    return [Float](unsafeUninitializedCapacity: count) { out, initialized in
      defer { initialized = count }
      guard let base = out.baseAddress, count > 0 else { return }
      // Negative ones from the left, the others from the right.
      var (negative, other) = (0, count)
      for block in 0..<blocks {
        let range = rows(ofBlock: block)
        withFloats(range) { x in
          for i in 0..<range.count * columns {
            if x[i] < 0 {
              base[negative] = -x[i]
              negative += 1
            } else {
              other -= 1
              base[other] = x[i]
            }
          }
        }
      }
      withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { room in
        guard let room = room.baseAddress else { return }
        nc_magnitude_sort(base, negative, room)
        nc_magnitude_sort(base + negative, count - negative, room)
      }
      for i in 0..<negative { base[i] = -base[i] }
      var others = UnsafeMutableBufferPointer(rebasing: out[negative..<count])
      others.reverse()
    }
  }

  fileprivate func sortedDoubles() -> [Double] {
    withDoubles(0..<rows) { Array(UnsafeBufferPointer(start: $0, count: rows * columns)).sorted() }
  }
}
