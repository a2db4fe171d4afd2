// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Matrices
public import Parallel
internal import Tensors

/// A step for a whole network, found by `uniformStep`.
public struct UniformStep: Sendable, Equatable {
  /// Δ.
  public let step: Double
  /// The relative L2 error of all weights together, each matrix with its own least-squares scale, after rounding.
  public let error: Double
  /// Whether the error is within the bound. If not, this is the least step that there is.
  public let isWithin: Bool
  /// How many times all matrices were visited.
  public let passes: Int
  /// Of the matrices that have no part in it, the first weight that is not finite.
  public let nonFinite: [Int: NonFiniteWeight]
}

/// Finds one step for several matrices together, which need not be in memory together: the largest Δ = 2^(j/32), j an
/// integer, whose error is within a bound.
///
///     error² = Σ ‖W − Ŵ‖² / Σ ‖W‖²,   Ŵ as `quantize(_:step:threads:)` makes it
///
/// A first pass takes the norms, and a sample of about 2¹⁷ weights; j₀ is the largest j whose error, estimated from the
/// sample in the same way, is within the bound. Then errors are computed of all weights, for up to four j in one pass,
/// until error(j) is within the bound and error(j + 1) is not: mostly j₀ and j₀ + 1 in one pass; else doubling the
/// distance from j₀, and then halving it. An error need not rise with Δ (of weights that are on a grid it does not): of several such j this is
/// one near the largest by the estimate.
///
/// - The bound is compared less 2⁻⁴⁰ of itself, so that sums in another order are within it as well.
/// - Steps of more than twice the largest weight leave only zeros; they have the error 1. For a bound of 1 or more it
///   is the least of these.
/// - There are at most 2²⁴ steps in a weight, and 2⁻¹⁰²² ≤ Δ ≤ 2¹⁰²². When no such Δ is within the bound, as is mostly so with 0, the
///   least one is returned, and `isWithin` is false.
/// - Without weights, or when all are zero, the step is 1 and the error 0.
///
/// - Parameters:
///   - weights: how many weights each matrix has.
///   - bound: the largest error, ≥ 0.
///   - visit: calls its second argument once, with the matrix of the given index. All are visited several times, in
///     order each time, and are always the same. One with an infinity or NaN has no part in it.
///   - threads: the result does not depend on it.
public func uniformStep<Failure>(
  weights: [Int], bound: Double, threads: Threads,
  visit: (Int, (StoredMatrix) -> Void) throws(Failure) -> Void
) throws(Failure) -> UniformStep {
  precondition(bound >= 0, "an error is not negative")
  var samples: [WeightSample] = []
  var norm = SquaredError()
  var largest = 0.0
  var nonFinite: [Int: NonFiniteWeight] = [:]
  let total = weights.reduce(0, +)
  for matrix in weights.indices {
    try visit(matrix) { source in
      precondition(source.outputs * source.inputs == weights[matrix], "as many weights as was said")
      let elements = source.elements
      let key = elements.largestKey(threads: threads)
      guard key < elements.type.infinityKey else {
        nonFinite[matrix] = elements.nonFinite()
        return
      }
      largest = max(largest, elements.type.magnitude(ofKey: key))
      norm.add(SquaredError(elements.bytes, elements.bytes, type: elements.type, threads: threads))
      samples.append(WeightSample(elements, of: total))
    }
  }
  guard largest > 0 else {
    return UniformStep(step: 1, error: 0, isWithin: true, passes: 1, nonFinite: nonFinite)
  }
  let allowed = bound - bound * 0x1p-40
  let steps = StepRange(largest: largest)
  func found(_ j: Int, _ error: Double, passes: Int) -> UniformStep {
    UniformStep(step: StepRange.step(j), error: error, isWithin: error <= allowed, passes: passes, nonFinite: nonFinite)
  }
  if bound >= 1 { return found(steps.most, 1, passes: 1) }

  var passes = 1
  /// The errors of some steps, of all weights.
  func errors(_ exponents: [Int]) throws(Failure) -> [Double] {
    passes += 1
    var totals = [SquaredError](repeating: SquaredError(), count: exponents.count)
    for matrix in weights.indices where nonFinite[matrix] == nil {
      try visit(matrix) { source in
        for (i, j) in exponents.enumerated() {
          let error = source.error(step: StepRange.step(j), threads: threads)
          totals[i].add(error)
        }
      }
    }
    return totals.map(\.error)
  }

  // Within the bound at `low`, not at `high`.
  var (low, high): (Int, Int) = (steps.least - 1, steps.most)
  var lowError = 0.0
  let estimated = steps.estimate(samples, before: norm.before, within: allowed)
  var next = [estimated, estimated + 1]
  var distance = 1
  while high - low > 1 {
    next = next.filter { $0 > low && $0 < high }
    // The estimate was the end of the range.
    if next.isEmpty { next = [low + 1] }
    for (j, error) in zip(next, try errors(next)) {
      if error <= allowed {
        if j > low, j < high { (low, lowError) = (j, error) }
      } else {
        high = min(high, j)
        if j == steps.least { return found(j, error, passes: passes) }
      }
    }
    if low >= steps.least, high < steps.most {
      next = (1...4).map { low + (high - low) * $0 / 5 }
    } else {
      // Away from what was tried, twice as far each time.
      next = (0..<4).map { low >= steps.least ? low + distance << $0 : high - distance << $0 }
      next = next.map { min(max($0, steps.least), steps.most - 1) }
      distance <<= 4
    }
    next = Set(next).sorted()
  }
  return found(low, lowError, passes: passes)
}

extension StoredMatrix {
  /// What is lost with a step that no weight has more than 2²⁴ of.
  fileprivate func error(step: Double, threads: Threads) -> SquaredError {
    // Weights were found finite before.
    guard let found = try? quantize(self, step: step, threads: threads) else {
      preconditionFailure("finite weights of at most 2²⁴ steps")
    }
    return found.error
  }
}

/// The steps 2^(j/32) that are in question.
struct StepRange {
  /// The least j with at most 2²⁴ steps in the largest weight.
  let least: Int
  /// The least j of which nothing is left.
  let most: Int

  init(largest: Double) {
    func first(from start: Int, _ isEnough: (Double) -> Bool) -> Int {
      var j = start
      while !isEnough((largest * (1 / Self.step(j))).rounded(.toNearestOrEven)) { j += 1 }
      return j
    }
    let octave = Int(largest.exponent)
    least = first(from: max(-1022, octave - 25) * 32) { $0 <= Double(GridMatrix.most) }
    most = first(from: max(least, min(1021, octave) * 32)) { $0 == 0 }
  }

  /// 2^(j/32): products of correctly rounded roots, the same on every computer.
  static func step(_ j: Int) -> Double {
    let octave = j >> 5
    var mantissa = 1.0
    var root = 2.0
    for bit in (0..<5).reversed() {
      root = root.squareRoot()
      if j >> bit & 1 == 1 { mantissa *= root }
    }
    return Double(sign: .plus, exponent: octave, significand: mantissa)
  }

  /// The largest j whose error is within a bound, by samples; `least` if there is none. A part of the samples says
  /// where to look.
  fileprivate func estimate(_ samples: [WeightSample], before: Double, within bound: Double) -> Int {
    func isWithin(_ samples: [WeightSample], _ j: Int) -> Bool {
      samples.reduce(0) { $0 + $1.square(step: Self.step(j), before: before) }.squareRoot() <= bound
    }
    let parts = samples.map { $0.part(64) }
    var j = min(most - 1, ((least..<most).last { isWithin(parts, $0) } ?? least) + 4)
    if isWithin(samples, j) {
      while j + 1 < most, isWithin(samples, j + 1) { j += 1 }
      return j
    }
    return (least..<j).last { isWithin(samples, $0) } ?? least
  }
}

/// Some of the weights of a matrix, at places that depend on nothing but their number.
private struct WeightSample {
  let elements: [UInt8]
  let type: ElementType
  /// How many weights each of the sample stands for.
  let share: Double

  /// Weights in the samples of all matrices together, about; each has at least `least`.
  private static let size = 1 << 17
  private static let least = 1 << 9

  init(_ source: SourceElements, of total: Int) {
    self.init(source, count: max(Self.least, Int(Double(source.count) / Double(total) * Double(Self.size))))
  }

  private init(_ source: SourceElements, count wanted: Int) {
    let size = source.type.byteCount
    let run = max(1, source.count / wanted)
    let count = source.count / run
    type = source.type
    share = count > 0 ? Double(source.count) / Double(count) : 0
    elements = [UInt8](unsafeUninitializedCapacity: count * size) { out, initialized in
      if let out = out.baseAddress, let base = source.bytes.baseAddress {
        for i in 0..<count {
          // Places that repeat would fall into the same columns.
          let mixed = UInt64(truncatingIfNeeded: i + 1) &* 0x9E37_79B9_7F4A_7C15
          let place = i * run + Int((mixed >> 32) % UInt64(run))
          UnsafeMutableRawPointer(out + i * size).copyMemory(from: base + place * size, byteCount: size)
        }
      }
      initialized = count * size
    }
  }

  private init(_ other: WeightSample, count: Int) {
    let part = other.elements.withUnsafeBytes {
      WeightSample(SourceElements(bytes: $0, type: other.type), count: count)
    }
    (elements, type, share) = (part.elements, part.type, part.share * other.share)
  }

  /// One in `fraction` of the sample, but not too few.
  func part(_ fraction: Int) -> WeightSample {
    WeightSample(self, count: max(64, elements.count / type.byteCount / fraction))
  }

  /// The squared error of the whole matrix, estimated, relative to the square of `before`.
  func square(step: Double, before: Double) -> Double {
    elements.withUnsafeBytes { bytes in
      let source = StoredMatrix(
        bytes, type: type, rows: 1, columns: elements.count / type.byteCount, transposed: false)
      let relative = source.error(step: step, threads: .one).distance / before
      return relative * relative * share
    }
  }
}
