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
  var codes = [UInt8](repeating: 0, count: weights.rows * weights.columns)
  let blocks = codes.withUnsafeMutableBufferPointer { codes -> [RoundedBlock] in
    guard let base = codes.integers else { return [] }
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
  guard most <= Double(LevelsMatrix.exceptionLimit) else { return nil }

  let slope = blocks.reduce(0) { $0 + $1.sums.slope }
  let squares = blocks.reduce(0) { $0 + $1.sums.squares }
  let scale = squares > 0 ? type.scaleType.nearest(step + step * (slope / squares)) : 0
  var exceptions = blocks.flatMap(\.exceptions)
  let limit = scale == 0 ? 0 : type.finiteSteps(scale, most: Int(most))
  if limit < Int(most) { exceptions = limited(&codes, exceptions, to: limit) }
  return GridQuantization(
    matrix: .grid(weights, codes: codes, scales: codes.isEmpty ? [] : [scale], group: .tensor, exceptions: exceptions),
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
    for i in 0..<weights.count where codes[i] == exceptionCode {
      let k = (weights[i] * inverse).rounded(.toNearestOrEven)
      // What does not fit is refused when all blocks are there.
      exceptions.append(Int32(exactly: k) ?? .max)
    }
  }
}

/// Brings integers down to `limit` in magnitude; returns the exceptions that are left.
private func limited(_ codes: inout [UInt8], _ exceptions: [Int32], to limit: Int) -> [Int32] {
  var left: [Int32] = []
  var number = 0
  for i in codes.indices {
    var k = Int32(Int8(bitPattern: codes[i]))
    if codes[i] == LevelsMatrix.exceptionCode {
      k = exceptions[number]
      number += 1
    }
    k = k.signum() * min(Int32(limit), k < 0 ? -k : k)
    if let code = Int8(exactly: k), code != exceptionCode { codes[i] = UInt8(bitPattern: code) } else { left.append(k) }
  }
  return left
}

extension Threads {
  /// For work inside a block.
  static let one = Threads(1)
}
