// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Glibc
public import Matrices
public import Parallel
internal import Tensors

/// A step for a whole network, found by `uniformStep`.
public struct UniformStep: Sendable, Equatable {
  /// Δ.
  public let step: Double
  /// The relative L2 error of all weights together, each matrix with its own least-squares scale; to 2⁻²².
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
/// until error(j) is within the bound and error(j + 1) is not: mostly j₀ and j₀ + 1 in one pass; else at growing
/// distances from j₀, and then between those. Errors are those before values are rounded to their type; where
/// this could decide, one more pass measures it. An error need not rise with Δ (of weights that are on a grid it does
/// not): of several such j this is one near the largest by the estimate.
///
/// - The bound is compared less 2⁻⁴⁰ of itself, so that sums in another order are within it as well.
/// - Steps of more than twice the largest weight leave only zeros; they have the error 1. For a bound of 1 or more it
///   is the least of these.
/// - There are at most 2²⁴ steps in a weight, and 2⁻¹⁰²² ≤ Δ ≤ 2¹⁰²². When no such Δ is within the bound, as is mostly
///   so with 0, the least one is returned, and `isWithin` is false.
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
      let found = source.inOrder.norm(threads: threads)
      guard found.largest.isFinite else {
        nonFinite[matrix] = elements.nonFinite()
        return
      }
      largest = max(largest, found.largest)
      norm.add(found.norm)
      samples.append(WeightSample(elements, of: total))
    }
  }
  guard largest > 0 else {
    return UniformStep(step: 1, error: 0, isWithin: true, passes: 1, nonFinite: nonFinite)
  }
  let allowed = bound - bound * 0x1p-40
  let steps = StepRange(largest: largest)
  func found(_ j: Int, _ error: Double, passes: Int) -> UniformStep {
    UniformStep(
      step: StepRange.step(j), error: error, isWithin: error <= allowed || bound >= 1, passes: passes,
      nonFinite: nonFinite)
  }
  if bound >= 1 || steps.least == steps.most { return found(steps.most, 1, passes: 1) }

  var passes = 1
  /// The errors of some steps, of all weights.
  func errors(_ exponents: [Int]) throws(Failure) -> [Double] {
    passes += 1
    let steps = exponents.map(StepRange.step)
    var totals = [StepError](repeating: StepError(), count: steps.count)
    for matrix in weights.indices where nonFinite[matrix] == nil {
      try visit(matrix) { source in
        for (i, error) in source.inOrder.errors(steps, threads: threads).enumerated() { totals[i].add(error) }
      }
    }
    var errors = totals.map { $0.distance / norm.before }
    // Where the values' rounding decides, it is measured.
    let doubtful = steps.indices.filter {
      (errors[$0] - allowed).magnitude <= totals[$0].uncertainty / norm.before
    }
    if doubtful.isEmpty { return errors }
    passes += 1
    var exact = [SquaredError](repeating: SquaredError(), count: steps.count)
    for matrix in weights.indices where nonFinite[matrix] == nil {
      try visit(matrix) { source in
        for i in doubtful { exact[i].add(source.error(step: steps[i], threads: threads)) }
      }
    }
    for i in doubtful { errors[i] = exact[i].error }
    return errors
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

/// The error of one step.
private struct StepError {
  /// Of the values before they are rounded to their type, as a norm.
  private(set) var distance = 0.0
  /// By how much their rounding can change it.
  private(set) var uncertainty = 0.0

  init() {}

  init(distance: Double, uncertainty: Double) {
    (self.distance, self.uncertainty) = (distance, uncertainty)
  }

  mutating func add(_ other: StepError) {
    distance = hypot(distance, other.distance)
    uncertainty = hypot(uncertainty, other.uncertainty)
  }
}

extension WeightRows {
  /// The norm, and the largest magnitude, infinite or NaN when a weight is.
  fileprivate func norm(threads: Threads) -> (norm: SquaredError, largest: Double) {
    let blocks = threads.results(blocks) { block in
      withGridWeights(rows(ofBlock: block)) { x -> (norm: SquaredError, largest: Double) in
        if x.isWide {
          let bytes = UnsafeRawBufferPointer(start: x.base, count: 8 * x.count)
          return (SquaredError(bytes, bytes, type: .float64, threads: .one), x.largest)
        }
        var (norm, dropped) = (0.0, 0.0)
        nc_squares(x.floats, x.count, 0, &norm, &dropped)
        return (SquaredError(norm: norm, difference: 0, unit: 1), x.largest)
      }
    }
    return blocks.reduce(into: (norm: SquaredError(), largest: 0.0)) {
      $0.norm.add($1.norm)
      // NaN stays.
      if !($1.largest <= $0.largest) { $0.largest = $0.largest.isNaN ? $0.largest : $1.largest }
    }
  }

  /// The errors of steps. In units of the step they are, with q = w / Δ, k and s = Δ (1 + a),
  ///
  ///     Σ (q − (1 + a) k)² = Σ (q − k)² − 2 a Σ k (q − k) + a² Σ k².
  ///
  /// The rounding of a value to its type moves it by 2⁻ᵖ of itself at most, of a number less than the least normal one
  /// by 2⁻ᵖ of that.
  fileprivate func errors(_ steps: [Double], threads: Threads) -> [StepError] {
    let blocks = threads.results(blocks) { block in
      withGridWeights(rows(ofBlock: block)) { x in
        // Parts that the cache holds, for one step after the other.
        var sums = [nc_grid_sums](repeating: nc_grid_sums(), count: steps.count)
        for start in stride(from: 0, to: x.count, by: 1 << 12) {
          let some = x[start..<min(x.count, start + 1 << 12)]
          for (i, step) in steps.enumerated() {
            sums[i].add(nc_grid_round(some.base, some.isWide, some.count, 1 / step, nil))
          }
        }
        return sums
      }
    }
    let (relative, absolute) = type.roundings
    return steps.indices.map { i in
      let sums = blocks.reduce(into: nc_grid_sums()) { $0.add($1[i]) }
      guard sums.squares > 0 else { return StepError(distance: sums.rest.squareRoot() * steps[i], uncertainty: 0) }
      let scale = type.scaleType.nearest(steps[i] + steps[i] * (sums.slope / sums.squares))
      let a = (scale - steps[i]) / steps[i]
      let square = sums.rest - 2 * a * sums.slope + a * a * sums.squares
      let values = scale * sums.squares.squareRoot()
      return StepError(
        distance: max(0, square).squareRoot() * steps[i],
        uncertainty: values * relative + absolute * Double(sums.nonzero).squareRoot()
          + values * (scale < 0x1p-126 || values > type.greatestFinite ? 1 : 0))
    }
  }
}

extension nc_grid_sums {
  fileprivate mutating func add(_ other: nc_grid_sums) {
    rest += other.rest
    slope += other.slope
    squares += other.squares
    nonzero += other.nonzero
  }
}

extension ElementType {
  /// More than the rounding to this type moves a number: relative to it, and where it is subnormal.
  fileprivate var roundings: (relative: Double, absolute: Double) {
    switch self {
    case .float16: (0x1p-11, 0x1p-25)
    case .bfloat16: (0x1p-8, 0x1p-134)
    case .float32: (0x1p-23, 0x1p-150)
    default: (0x1p-50, 0x1p-1074)
    }
  }

  fileprivate var greatestFinite: Double { magnitude(ofKey: infinityKey - 1) }
}

extension StoredMatrix {
  /// The weights in the order of the source, which is cheaper to go through.
  fileprivate var inOrder: WeightRows {
    WeightRows(
      weights.bytes, type: weights.type, rows: weights.transposed ? inputs : outputs,
      columns: weights.transposed ? outputs : inputs, transposed: false)
  }

  /// What is lost with a step that no weight has more than 2²⁴ of.
  func error(step: Double, threads: Threads) -> SquaredError {
    // Weights were found finite before.
    guard let found = try? quantize(self, step: step, threads: threads) else {
      preconditionFailure("finite weights of at most 2²⁴ steps")
    }
    let slabs = LevelsSlabs(found.matrix, transposed: weights.transposed)
    var error = SquaredError()
    for slab in 0..<slabs.count {
      let range = slabs.bytes(of: slab)
      withUnsafeTemporaryAllocation(byteCount: range.count, alignment: 64) { restored in
        slabs.decode(slab, into: restored)
        error.add(
          SquaredError(
            UnsafeRawBufferPointer(rebasing: weights.bytes[range]), UnsafeRawBufferPointer(restored),
            type: weights.type, threads: threads))
      }
    }
    return error
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
    least = first(from: max(-1022, octave - 25) * 32) { $0 <= Double(LevelsMatrix.exceptionLimit) }
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
