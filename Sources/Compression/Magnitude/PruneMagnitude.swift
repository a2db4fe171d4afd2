// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Matrices
public import Parallel
internal import Tensors

/// The largest weights of a matrix, and what was lost.
public struct MagnitudePruning: Sendable {
  /// Takes its values from the source, which must outlive it.
  public let matrix: MaskedMatrix
  /// Between W and the restored values: kept weights may be rounded.
  public let error: SquaredError
  /// Stored weights that are not zero.
  public let nonzeroCount: Int
  /// ‖W − Ŵ‖ / ‖W‖; 0 for a matrix of zeros.
  public var relativeL2: Double { error.error }
}

/// Keeps the largest weights of a matrix and drops the others.
///
/// As `magnitudeThreshold` and `prune`, one after the other. With `.error`, the relative error that is returned is
/// never above the bound unless all weights are kept: where the sums of both, added in different orders, fall on
/// different sides of it, more weights are kept.
///
/// Laws: pruning twice with the same `.keep` is pruning once; multiplying W by a power of two multiplies the values and
/// keeps the mask (nothing being subnormal, values exact).
public func pruneMagnitude(
  _ source: StoredMatrix, rule: PruningRule,
  values: KeptValues = .exact, threads: Threads
) throws(NonFiniteWeight) -> MagnitudePruning {
  func pruned(_ threshold: MagnitudeThreshold) throws(NonFiniteWeight) -> MagnitudePruning {
    try prune(
      source, threshold: threshold, values: values,
      threads: threads)
  }
  let threshold = try magnitudeThreshold(
    source.weights.bytes, type: source.weights.type, rule: rule, values: values, threads: threads)
  var result = try pruned(threshold)
  if case .error(let bound) = rule, result.relativeL2 > bound {
    let elements = source.elements
    var kept = elements.count(threshold, threads: threads)
    var more = 1
    while result.relativeL2 > bound, kept < elements.count {
      kept = min(elements.count, kept + more)
      more *= 2
      result = try pruned(try thresholdKeeping(kept, of: elements, threads: threads))
    }
  }
  return result
}

/// Keeps the weights of a matrix that a threshold keeps.
///
/// A weight whose bits are all zero is not stored even where it is kept; −0 is.
///
/// - Parameters:
///   - source: the weights; the result is output units × inputs, whichever way they are stored.
///   - threads: the result does not depend on it.
/// - Throws: `NonFiniteWeight` for an infinity or NaN, or a kept weight that is too large for the type of the values.
public func prune(
  _ source: StoredMatrix, threshold: MagnitudeThreshold,
  values: KeptValues = .exact, threads: Threads
) throws(NonFiniteWeight) -> MagnitudePruning {
  let weights = source.weights
  let type = weights.type
  let stored = values.stored(type)
  var unit = 1.0
  if type == .float64 {
    let largest = Double(
      bitPattern: source.elements.largestKey(threads: threads))
    guard largest.isFinite else { throw NonFiniteWeight(index: weights.firstNonFinite() ?? 0) }
    if largest > 0 { unit = largest.binade }
  }
  let rowThresholds = RowThresholds(threshold, weights, threads: threads)
  let measure = Measure(type: type, stored: stored, unit: unit, threshold: rowThresholds)
  let (matrix, blocks) = MaskedMatrix.taking(rowThresholds, of: weights, type: stored, threads: threads) {
    measure.store($0, in: &$1)
  }
  let norm = blocks.reduce(0) { $0 + $1.norm }
  let difference = blocks.reduce(0) { $0 + $1.difference }
  guard norm.isFinite else { throw NonFiniteWeight(index: weights.firstNonFinite() ?? 0) }
  guard blocks.allSatisfy(\.isFinite) else {
    let elements = source.elements
    let index = (0..<elements.count).first {
      let key = elements.key($0)
      return rowThresholds.keeps($0, key: key) && !stored.nearest(type.magnitude(ofKey: key)).isFinite
    }
    throw NonFiniteWeight(index: index ?? 0, rounded: stored)
  }
  return MagnitudePruning(
    matrix: matrix, error: SquaredError(norm: norm, difference: difference, unit: unit),
    nonzeroCount: blocks.reduce(0) { $0 + $1.nonzeroCount })
}

/// Rounds what is kept, and measures what is lost.
private struct Measure: Sendable {
  let type: ElementType
  let stored: ElementType
  let unit: Double
  let threshold: RowThresholds

  /// Returns how many weights are stored.
  func store(_ rows: KeptRows, in block: inout SparseBlock) -> Int {
    addSquares(rows.elements, rows.tied, least: threshold.least, to: &block)
    addSquares(
      rows.elements + rows.tied * type.byteCount, rows.count - rows.tied, least: threshold.leastAbove, to: &block)
    let count = rows.keptCount
    if stored == type {
      block.nonzeroCount += count - (threshold.least == 0 ? zeros(rows.kept, count) : 0)
      return count
    }
    return withUnsafeTemporaryAllocation(of: UInt16.self, capacity: count) { halves in
      guard let base = halves.baseAddress, count > 0 else { return 0 }
      block.difference += round(rows.kept, count, to: base)
      let left = dropZeros(UnsafeMutableBufferPointer(rebasing: halves[..<count]), of: rows, in: &block)
      block.nonzeroCount += left
      rows.kept.copyMemory(from: base, byteCount: 2 * left)
      return left
    }
  }

  /// Adds up the squares of elements, and of those with a key below `least`.
  private func addSquares(_ elements: UnsafeRawPointer, _ count: Int, least: UInt64, to block: inout SparseBlock) {
    var (norm, dropped) = (0.0, 0.0)
    let least = type.magnitude(ofKey: least)
    switch type {
    case .float64:
      nc_wide_squares(elements.assumingMemoryBound(to: Double.self), count, unit, least, &norm, &dropped)
    case .float32:
      nc_squares(elements.assumingMemoryBound(to: Float.self), count, Float(least), &norm, &dropped)
    default:
      withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { floats in
        guard let floats = floats.baseAddress else { return }
        nc_widen(elements.assumingMemoryBound(to: UInt16.self), count, type == .bfloat16, floats)
        nc_squares(floats, count, Float(least), &norm, &dropped)
      }
    }
    block.norm += norm
    block.difference += dropped
  }

  /// How many of some elements are −0 (or +0).
  private func zeros(_ elements: UnsafeRawPointer, _ count: Int) -> Int {
    let elements = SourceElements(
      bytes: UnsafeRawBufferPointer(start: elements, count: count * type.byteCount), type: type)
    return (0..<count).count { elements.key($0) == 0 }
  }

  /// Rounds elements to 16 bits and returns the squared error.
  private func round(_ elements: UnsafeRawPointer, _ count: Int, to out: UnsafeMutablePointer<UInt16>) -> Double {
    type.narrow(elements, count, to: stored, out)
    if type == .float32 {
      return withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { back in
        guard let back = back.baseAddress else { return 0 }
        nc_widen(out, count, stored == .bfloat16, back)
        return nc_squared_distance(elements.assumingMemoryBound(to: Float.self), back, count)
      }
    }
    let doubles = elements.assumingMemoryBound(to: Double.self)
    var error = 0.0
    let rounded = UnsafeRawBufferPointer(start: out, count: 2 * count)
    for i in 0..<count {
      let difference = (doubles[i] - stored.number(i, of: rounded)) / unit
      error += difference * difference
    }
    return error
  }

  /// Drops those of the rounded values that are zero, and takes their bits out of the mask; returns how many are left.
  private func dropZeros(
    _ halves: UnsafeMutableBufferPointer<UInt16>, of rows: KeptRows, in block: inout SparseBlock
  ) -> Int {
    let infinity = UInt16(stored.infinityKey)
    var zeros = 0
    for half in halves {
      zeros += half & 0x7FFF == 0 ? 1 : 0
      if half & 0x7FFF >= infinity { block.isFinite = false }
    }
    if zeros == 0 { return halves.count }
    rows.drop { halves[$0] & 0x7FFF == 0 }
    var count = 0
    for half in halves where half & 0x7FFF != 0 {
      halves[count] = half
      count += 1
    }
    return count
  }
}
