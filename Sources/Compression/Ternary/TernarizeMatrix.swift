// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Matrices
public import Parallel
public import Tensors

/// Which weights of a scale group become zero.
public enum TernaryRule: Sendable, Hashable {
  /// Those that are zero in the vector s·t nearest to the weights.
  case optimal
  /// The given fraction of each group of n, ⌊fraction · n⌋ weights: those with the smallest magnitudes, higher indices
  /// first among equals. Weights that are zero stay zero in any case.
  case sparsity(Fraction)
}

/// A matrix as scales times −1, 0 and +1. What was lost, `SquaredError` says of the restored values.
public struct Ternarization: Sendable {
  public let matrix: TernaryMatrix
  /// Trits that are not zero.
  public let nonzeroCount: Int
}

/// Replaces a weight matrix by scales times −1, 0 and +1, two bits a weight.
///
/// For each scale group w, finds s ≥ 0 and t ∈ {−1, 0, 1}ⁿ that minimise ‖w − s t‖²: with |w| sorted in descending
/// order and S_k its prefix sums, k* = argmax S_k²/k (the smallest, if several), s = S_k*/k*, and t keeps the signs of
/// the k* largest. With `.sparsity`, k is given and s = S_k/k. A group of zeros has s = 0. Scales are rounded to the
/// type of the weights (to nearest, ties to even) after t is chosen.
///
/// Example: w = (4, −3, 1, 0) has the prefix sums 4, 7, 8, 8, and S_k²/k is 16, 24.5, 21⅓, 16: two weights are kept. So
/// s = 7/2, t = (1, −1, 0, 0), and w is restored as (3.5, −3.5, 0, 0), with ‖w − s t‖² = 26 − 24.5 = 1.5.
///
/// - Parameters:
///   - source: the weights; the result is output units × inputs, whichever way they are stored.
///   - threads: the result does not depend on it.
/// - Throws: `NonFiniteWeight` for an infinity or NaN.
///
/// Laws: multiplying W by a power of two multiplies the scales and keeps the trits (nothing being subnormal); changing
/// the sign of a weight changes that of its trit; ‖W − Ŵ‖² is the least of all for unrounded scales.
public func ternarize(
  _ source: StoredMatrix, group: ScaleGroup,
  rule: TernaryRule = .optimal, threads: Threads
) throws(NonFiniteWeight) -> Ternarization {
  let weights = source.weights
  let result =
    weights.type == .float64
    ? ternarizeWide(weights, group: group, rule: rule, threads: threads)
    : ternarizeFloats(weights, group: group, rule: rule, threads: threads)
  guard let result else { throw NonFiniteWeight(index: weights.firstNonFinite() ?? 0) }
  return result
}

/// Largest magnitude for which sums in float cannot overflow.
private let maxInFloat: Float = 0x1p120

/// `nil` when a weight is not finite.
private func ternarizeFloats(
  _ weights: WeightRows, group: ScaleGroup, rule: TernaryRule, threads: Threads
) -> Ternarization? {
  var tensorSupport: (support: Support, ties: [Int])?
  if group == .tensor {
    tensorSupport = supportOfTensor(weights, rule: rule, threads: threads)
    if tensorSupport == nil { return nil }
  }
  let whole = tensorSupport
  let scale = whole.map { weights.type.nearest($0.support.mean) }
  return assemble(weights, group: group, threads: threads, scale: scale) { block, output in
    let collection = UndecidedMagnitudes()
    let range = weights.rows(ofBlock: block)
    var nonzeroCount = 0
    let finite = weights.withFloats(range) { floats in
      var ties = whole?.ties[block] ?? 0
      for row in range {
        let x = floats + (row - range.lowerBound) * weights.columns
        let codes = output.codes + row * TernaryMatrix.rowBytes(columns: weights.columns)
        let groups = group.perRow(columns: weights.columns)
        for g in 0..<groups {
          let run = group.inputs(g, columns: weights.columns)
          let w = ContiguousMagnitudes(weights: x + run.lowerBound, count: run.count)
          var support: Support
          if let whole {
            support = whole.support
            support.ties = ties
          } else if let found = supportOfRun(w, rule: rule, using: collection) {
            support = found
          } else {
            return false
          }
          if whole == nil { output.scales[row * groups + g] = weights.type.nearest(support.mean) }
          let kept = write(w, support: support, codes: codes, first: run.lowerBound)
          ties -= kept.ties
          nonzeroCount += kept.count
        }
      }
      return true
    }
    return finite ? nonzeroCount : nil
  }
}

/// Writes the trits of a run of weights; returns how many are not zero, and how many ties are among them.
private func write(
  _ w: ContiguousMagnitudes, support: Support, codes: UnsafeMutablePointer<UInt8>, first: Int
) -> (count: Int, ties: Int) {
  let above = Float(support.above)
  let count = nc_ternary_pack(w.weights, w.count, above, codes, first)
  var ties = 0
  if support.ties > 0 {
    for i in 0..<w.count where w.weights[i].magnitude == above && ties < support.ties {
      ties += 1
      let trit: UInt8 = w.weights[i] < 0 ? 3 : 1
      codes[(first + i) / 4] |= trit << UInt8((first + i) % 4 * 2)
    }
  }
  return (count + ties, ties)
}

/// `nil` when a weight is not finite.
private func supportOfRun(_ w: ContiguousMagnitudes, rule: TernaryRule, using collection: UndecidedMagnitudes)
  -> Support?
{
  if rule == .optimal, w.count <= nc_nearest_limit {
    var found = nc_support()
    if nc_ternary_nearest(w.weights, w.count, &found) { return Support(found) }
  }
  var sum = 0.0
  let largest = Float(bitPattern: nc_magnitude_largest(w.weights, w.count, &sum))
  guard largest.isFinite else { return nil }
  return largest < maxInFloat
    ? support(of: w, rule: rule, largest: largest, sum: sum, using: collection)
    : withUnsafeTemporaryAllocation(of: Double.self, capacity: w.count) { magnitudes in
      for i in 0..<w.count { magnitudes.initializeElement(at: i, to: Double(w.weights[i].magnitude)) }
      var magnitudes = magnitudes
      return support(ofSorting: &magnitudes, rule: rule)
    }
}

private func support(
  of group: some Magnitudes, rule: TernaryRule, largest: Float, sum: Double, using collection: UndecidedMagnitudes
) -> Support {
  switch rule {
  case .optimal:
    optimalSupport(of: group, largest: largest, sum: sum, using: collection)
  case .sparsity(let sparsity):
    largestSupport(
      of: group, kept: group.count - sparsity.floor(of: group.count), largest: largest, using: collection)
  }
}

/// The support of a whole matrix, and how many ties each block keeps. `nil` when a weight is not finite.
private func supportOfTensor(
  _ weights: WeightRows, rule: TernaryRule, threads: Threads
) -> (support: Support, ties: [Int])? {
  let magnitudes = MatrixMagnitudes(matrix: weights, threads: threads)
  let (bits, sum) = magnitudes.largest()
  let largest = Float(bitPattern: bits)
  guard largest.isFinite else { return nil }
  var found: Support
  if largest < maxInFloat {
    found = support(of: magnitudes, rule: rule, largest: largest, sum: sum, using: UndecidedMagnitudes())
  } else {
    var all: [Double] = []
    all.reserveCapacity(magnitudes.count)
    for block in 0..<weights.blocks {
      let count = weights.rows(ofBlock: block).count * weights.columns
      weights.withFloats(weights.rows(ofBlock: block)) { x in
        for i in 0..<count { all.append(Double(x[i].magnitude)) }
      }
    }
    found = all.withUnsafeMutableBufferPointer { support(ofSorting: &$0, rule: rule) }
  }
  var ties = [Int](repeating: 0, count: weights.blocks)
  if found.ties > 0 {
    var left = found.ties
    let equal = Float(found.above)
    for (block, count) in magnitudes.counts(equalTo: equal).enumerated() {
      ties[block] = min(left, count)
      left -= ties[block]
    }
  }
  found.ties = 0
  return (found, ties)
}
