// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Matrices
public import Parallel
internal import Tensors

/// Rounds a weight matrix to the integer multiples of a step, and gives it the scale that suits these integers best.
///
///     k = round(w / Δ),   s = Σ w k / Σ k²,   w ≈ s k
///
/// w / Δ is the product of w with the reciprocal of Δ, each rounded to double; it is rounded to the nearest integer, of
/// two the even one. For given k, s is the least-squares scale: ‖w − s k‖² is a parabola in s, least there. It is
/// computed as Δ (1 + Σ k (w/Δ − k) / Σ k²), in double: within a few 2⁻⁵³ of it, and so is its rounding to float32
/// (float64 for float64 weights) but for a tie. A scale that rounds to 0 makes all k 0; where s k would be
/// infinite in the type of the weights, k becomes the next integer towards 0 for which it is not.
///
/// Example: w = (2.9, −1.2, .4, 0), Δ = 1: k = (3, −1, 0, 0), s = (8.7 + 1.2) / 10 = .99, Ŵ = (2.97, −.99, 0, 0).
///
/// - Parameters:
///   - source: the weights; the result is output units × inputs, whichever way they are stored.
///   - step: Δ, at least 2⁻¹⁰²² and at most 2¹⁰²².
///   - threads: the result does not depend on it.
/// - Returns: `nil` when a weight is more than 2²⁴ steps.
/// - Throws: `NonFiniteWeight` for an infinity or NaN.
///
/// Laws: zeros stay zeros; weights s k with |s − Δ| < Δ / (2 |k| + 1) for all of them keep k, and s but for rounding.
public func quantize(
  _ source: StoredMatrix, step: Double, threads: Threads
) throws(NonFiniteWeight) -> GridQuantization? {
  precondition(step >= 0x1p-1022 && step <= 0x1p1022, "a step and its reciprocal are finite")
  let weights = source.weights
  let type = weights.type
  let inverse = 1 / step
  var codes = [Int8](repeating: 0, count: weights.rows * weights.columns)
  let blocks = codes.withUnsafeMutableBufferPointer { codes -> [RoundedBlock] in
    guard let base = codes.baseAddress else { return [] }
    nonisolated(unsafe) let out = base
    return threads.results(weights.blocks) { block in
      let rows = weights.rows(ofBlock: block)
      return weights.withGridWeights(rows) {
        RoundedBlock($0, inverse: inverse, codes: out + rows.lowerBound * weights.columns)
      }
    }
  }
  let largest = blocks.reduce(0) { max($0, $1.sums.largest) }
  guard Double(bitPattern: largest).isFinite else { throw NonFiniteWeight(index: weights.firstNonFinite() ?? 0) }
  let most = (Double(bitPattern: largest) * inverse).rounded(.toNearestOrEven)
  guard most <= Double(GridMatrix.most) else { return nil }

  let slope = blocks.reduce(0) { $0 + $1.sums.slope }
  let squares = blocks.reduce(0) { $0 + $1.sums.squares }
  let scale = squares > 0 ? type.scaleType.nearest(step + step * (slope / squares)) : 0
  var matrix = GridMatrix(
    rows: weights.rows, columns: weights.columns, group: .tensor, codes: codes,
    exceptions: blocks.flatMap(\.exceptions), scales: [scale])
  codes = []
  matrix.limit(to: scale == 0 ? 0 : type.finiteSteps(scale, most: Int(most)), most: Int(most))
  return GridQuantization(
    matrix: matrix, error: matrix.error(against: weights, threads: threads),
    nonzeroCount: scale == 0 ? 0 : blocks.reduce(0) { $0 + Int($1.sums.nonzero) })
}

/// The sums of a block of rows, and its large integers.
private struct RoundedBlock: Sendable {
  let sums: nc_grid_sums
  var exceptions: [Int32] = []

  init(_ weights: GridWeights, inverse: Double, codes: UnsafeMutablePointer<Int8>) {
    sums = nc_grid_round(weights.base, weights.isWide, weights.count, inverse, codes)
    guard sums.exceptions > 0 else { return }
    exceptions.reserveCapacity(Int(sums.exceptions))
    for i in 0..<weights.count where codes[i] == GridMatrix.exception {
      let k = (weights[i] * inverse).rounded(.toNearestOrEven)
      // What does not fit is refused when all blocks are there.
      exceptions.append(Int32(exactly: k) ?? .max)
    }
  }
}

extension GridMatrix {
  /// Brings integers of up to `most` in magnitude down to `limit`.
  fileprivate mutating func limit(to limit: Int, most: Int) {
    guard limit < most else { return }
    var left: [Int32] = []
    var number = 0
    for i in codes.indices where codes[i] == Self.exception || codes[i].magnitude > limit {
      var k = Int32(codes[i])
      if codes[i] == Self.exception {
        k = exceptions[number]
        number += 1
      }
      k = k.signum() * min(Int32(limit), k < 0 ? -k : k)
      if k.magnitude > 127 { left.append(k) } else { codes[i] = Int8(k) }
    }
    exceptions = left
  }

  /// The squared error of a matrix with one scale, summed block by block.
  fileprivate func error(against weights: WeightRows, threads: Threads) -> SquaredError {
    let starts = exceptionStarts(weights)
    let values = GridValues(type: weights.type)
    let errors = codes.withUnsafeBufferPointer { codes -> [SquaredError] in
      guard let base = codes.baseAddress else { return [] }
      nonisolated(unsafe) let codes = base
      return threads.results(weights.blocks) { block in
        let rows = weights.rows(ofBlock: block)
        var number = starts[block]
        return weights.withGridWeights(rows) {
          values.error(of: $0, codes: codes + rows.lowerBound * columns, scale: scales[0]) {
            number += 1
            return exceptions[number - 1]
          }
        }
      }
    }
    return errors.reduce(into: SquaredError()) { $0.add($1) }
  }

  /// The number of the first exception of each block.
  private func exceptionStarts(_ weights: WeightRows) -> [Int] {
    guard !exceptions.isEmpty else { return [Int](repeating: 0, count: weights.blocks) }
    var start = 0
    return (0..<weights.blocks).map { block in
      let rows = weights.rows(ofBlock: block)
      let first = start
      start += codes[rows.lowerBound * columns..<rows.upperBound * columns].count { $0 == Self.exception }
      return first
    }
  }
}

extension Threads {
  /// For work inside a block.
  static let one = Threads(1)
}
