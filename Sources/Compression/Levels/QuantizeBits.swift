// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Matrices
public import Parallel
public import Tensors

/// Rounds a weight matrix to a symmetric grid of 2ᴮ − 1 levels with the best scale for each group of weights.
///
///     w ≈ s k,   |k| ≤ L = 2ᴮ⁻¹ − 1,   k = round(w / s) clamped to ±L,   s = argmin ‖w − s k‖²
///
/// The scale is the best of all, not a heuristic one: `ScaleSearch` says how it is found, and how exactly. It is then
/// rounded to float32 (float64 for float64 weights), to the neighbour with less error, and k is chosen for the rounded
/// one; where s k would be infinite in the type of the weights, for the largest |k| for which it is not.
///
/// Example: w = (7, 3, −1), B = 2, so L = 1: s = 7, k = (1, 0, 0) with the error 10; s = 5, k = (1, 1, 0) with 9 is
/// better, and s = 11/3, k = (1, 1, −1) with 18⅔ is not.
///
/// - Parameters:
///   - source: the weights; the result is output units × inputs, whichever way they are stored.
///   - bits: B, 2…8.
///   - group: which weights share a scale.
///   - threads: the result does not depend on it.
/// - Throws: `NonFiniteWeight` for an infinity or NaN.
///
/// Laws: zeros stay zeros, and a group of zeros has the scale 0; multiplying W by a power of two multiplies the scales
/// and keeps k (nothing being subnormal); changing the sign of a weight changes that of its k; with B = 2 it is the best
/// ternary matrix.
public func quantize(
  _ source: StoredMatrix, bits: Int, group: ScaleGroup, threads: Threads
) throws(NonFiniteWeight) -> GridQuantization {
  precondition((2...8).contains(bits), "2 to 8 bits")
  let weights = source.weights
  let grid = SymmetricGrid(type: weights.type, most: 1 << (bits - 1) - 1)
  var codes = [UInt8](repeating: 0, count: weights.rows * weights.columns)
  var scales = [Double](repeating: 0, count: group.count(rows: weights.rows, columns: weights.columns))
  var whole: Double?
  if group == .tensor, !scales.isEmpty {
    whole = grid.scale(ofTensor: weights, threads: threads)
    guard let whole else { throw NonFiniteWeight(index: weights.firstNonFinite() ?? 0) }
    scales[0] = whole
  }
  let scale = whole
  let blocks = codes.withUnsafeMutableBufferPointer { codes in
    scales.withUnsafeMutableBufferPointer { scales -> [Int?] in
      guard let c = codes.integers, let s = scales.baseAddress else { return [] }
      nonisolated(unsafe) let (codes, scales) = (c, s)
      let groups = group.perRow(columns: weights.columns)
      // How many integers of each block are not 0.
      return threads.results(weights.blocks) { block -> Int? in
        let range = weights.rows(ofBlock: block)
        return weights.withGridWeights(range) { x -> Int? in
          var nonzeroCount = 0
          for row in range {
            for g in 0..<groups {
              let run = group.inputs(g, columns: weights.columns)
              let first = (row - range.lowerBound) * weights.columns
              let w = x[first + run.lowerBound..<first + run.upperBound]
              guard let best = scale ?? grid.scale(of: w, threads: .one) else { return nil }
              if scale == nil { scales[row * groups + g] = best }
              nonzeroCount += grid.write(w, scale: best, to: codes + row * weights.columns + run.lowerBound)
            }
          }
          return nonzeroCount
        }
      }
    }
  }
  var nonzeroCount = 0
  for block in blocks {
    guard let block else { throw NonFiniteWeight(index: weights.firstNonFinite() ?? 0) }
    nonzeroCount += block
  }
  return GridQuantization(
    matrix: .grid(weights, codes: codes, scales: scales, group: group), nonzeroCount: nonzeroCount)
}

/// The levels −most…most of a type.
private struct SymmetricGrid: Sendable {
  let type: ElementType
  let most: Int

  /// The best scale, rounded; 0 for zeros, `nil` when a weight is not finite.
  func scale(of weights: GridWeights, threads: Threads) -> Double? {
    let largest = weights.largest
    guard largest.isFinite else { return nil }
    guard largest > 0 else { return 0 }
    return withUnit(weights, largest: largest) { weights, unit in
      ScaleSearch(weights: weights, largest: largest / unit, most: Double(most), threads: threads)
        .best(unit: unit, type: type.scaleType)
    }
  }

  /// Calls `body` with doubles divided by a power of two near the largest, so that no square overflows.
  private func withUnit<R>(_ weights: GridWeights, largest: Double, _ body: (GridWeights, Double) -> R) -> R {
    let unit = largest.binade
    if !weights.isWide || largest > 0x1p-200 && largest < 0x1p200 { return body(weights, 1) }
    let divided = UnsafeMutablePointer<Double>.allocate(capacity: weights.count)
    defer { divided.deallocate() }
    for i in 0..<weights.count { (divided + i).initialize(to: weights.doubles[i] / unit) }
    return body(GridWeights(divided, weights.count), unit)
  }

  /// The best scale for a whole matrix.
  func scale(ofTensor weights: WeightRows, threads: Threads) -> Double? {
    let count = weights.rows * weights.columns
    if !weights.transposed, weights.type == .float32 || weights.type == .float64 {
      return weights.withElements(0..<weights.rows) { elements in
        scale(
          of: weights.type == .float64
            ? GridWeights(UnsafePointer(elements.assumingMemoryBound(to: Double.self)), count)
            : GridWeights(elements.assumingMemoryBound(to: Float.self), count), threads: threads)
      }
    }
    let room = UnsafeMutableRawPointer.allocate(
      byteCount: max(1, count * (weights.type == .float64 ? 8 : 4)), alignment: 64)
    defer { room.deallocate() }
    nonisolated(unsafe) let out = room
    threads.forEach(weights.blocks) { block in
      let rows = weights.rows(ofBlock: block)
      weights.withGridWeights(rows) {
        let size = $0.isWide ? 8 : 4
        (out + rows.lowerBound * weights.columns * size).copyMemory(from: $0.base, byteCount: $0.count * size)
      }
    }
    return scale(
      of: weights.type == .float64
        ? GridWeights(UnsafePointer(room.assumingMemoryBound(to: Double.self)), count)
        : GridWeights(UnsafePointer(room.assumingMemoryBound(to: Float.self)), count), threads: threads)
  }

  /// Writes the codes of weights with one scale over zeros; returns how many are not 0.
  func write(_ weights: GridWeights, scale: Double, to codes: UnsafeMutablePointer<Int8>) -> Int {
    if scale == 0 { return 0 }
    let limit = Double(type.finiteSteps(scale, most: most))
    if scale > 0x1p-900 && scale < 0x1p900 {
      return nc_scale_codes(weights.base, weights.isWide, weights.count, scale, limit, codes)
    }
    // Subnormal doubles have no reciprocal.
    return withUnit(weights, largest: scale) {
      nc_scale_codes($0.base, $0.isWide, $0.count, scale / $1, limit, codes)
    }
  }
}
