// SPDX-License-Identifier: Apache-2.0

public import Matrices
public import Parallel
public import Tensors

/// Which weights are kept when the smallest are dropped: all that are larger in magnitude, and the first `ties`
/// of those that equal it, in the row-major order of the source, whatever its orientation.
///
/// A threshold that keeps k weights is the k-th largest magnitude.
public struct MagnitudeThreshold: Sendable, Equatable {
  /// ≥ 0; infinite when nothing is kept.
  public let magnitude: Double
  /// How many of the weights that equal the threshold are kept; `nil` for all of them.
  public let ties: Int?

  /// Keeps no weight.
  public static let nothing = MagnitudeThreshold(magnitude: .infinity, ties: nil)
  /// Keeps every weight, zeros too.
  public static let everything = MagnitudeThreshold(magnitude: 0, ties: nil)
}

/// How the weights that are kept are stored.
public enum KeptValues: Sendable, Hashable {
  /// Bit for bit.
  case exact
  /// Rounded to the nearest value of the type, ties to even; weights of 16 bits stay as they are. A weight that would
  /// become zero is not stored.
  case float16, bfloat16
}

extension KeptValues {
  /// The type of the stored values of weights of `type`.
  public func stored(_ type: ElementType) -> ElementType {
    switch self {
    case .exact: type
    case .float16: type.narrowed(to: .float16)
    case .bfloat16: type.narrowed(to: .bfloat16)
    }
  }
}

/// Finds the threshold of one matrix.
///
/// - Parameters:
///   - bytes: little-endian elements; their order decides between equal magnitudes.
///   - type: float16, bfloat16, float32 or float64.
///   - values: what the rule takes the kept weights to be stored as.
///   - threads: the result does not depend on it.
/// - Throws: `NonFiniteWeight` for an infinity or NaN.
///
/// Laws: the number kept is exact, and the magnitude is what sorting all would give. A threshold that keeps fewer
/// weights keeps a subset of those that another keeps.
public func magnitudeThreshold(
  _ bytes: UnsafeRawBufferPointer, type: ElementType, rule: PruningRule, values: KeptValues = .exact,
  threads: Threads
) throws(NonFiniteWeight) -> MagnitudeThreshold {
  precondition(type.isFloat, "weights are floating-point numbers")
  precondition(bytes.count % type.byteCount == 0, "whole elements")
  let elements = SourceElements(bytes: bytes, type: type)
  switch rule {
  case .keep(let fraction):
    return try thresholdKeeping(fraction.ceiling(of: elements.count), of: elements, threads: threads)
  case .error(let bound):
    return try thresholdWithin(bound, of: elements, stored: values.stored(type), threads: threads)
  }
}

/// The threshold that keeps the `kept` largest.
func thresholdKeeping(
  _ kept: Int, of elements: SourceElements, threads: Threads
) throws(NonFiniteWeight) -> MagnitudeThreshold {
  if kept == 0 || kept == elements.count {
    if elements.largestKey(threads: threads) >= elements.type.infinityKey { throw elements.nonFinite() }
    return kept == 0 ? .nothing : .everything
  }
  let search = RankSearch(rank: kept, limit: max(1 << 17, elements.count / 32), bits: 14)
  return try search.thresholds(
    from: guess(kept, of: elements),
    contents: { range throws(NonFiniteWeight) in
      let found = elements.contents(range, limit: search.limit, threads: threads)
      if found.largestKey >= elements.type.infinityKey { throw elements.nonFinite() }
      return [found]
    },
    counts: { bins throws(NonFiniteWeight) in elements.counts(in: bins, threads: threads) })[0]
}

/// Where the k-th largest magnitude is very likely to be: what a sample says, with five standard deviations of its
/// ranks each way.
private func guess(_ kept: Int, of elements: SourceElements) -> ClosedRange<UInt64> {
  let all = SourceElements.finite
  if elements.count <= 1 << 17 { return all }
  let sample = elements.sample(1 << 15).filter(all.contains)
  let fraction = Double(kept) / Double(elements.count)
  let expected = fraction * Double(sample.count)
  let spread = 5 * (expected * (1 - fraction)).squareRoot() + 5
  let (first, last) = (Int(expected - spread), Int(expected + spread) + 1)
  let low = last <= sample.count ? largest(last, of: sample) : all.lowerBound
  return low...(first >= 1 ? largest(first, of: sample) : all.upperBound)
}

extension SourceElements {
  /// How many weights a threshold keeps.
  func count(_ threshold: MagnitudeThreshold, threads: Threads) -> Int {
    if threshold == .everything { return count }
    let bits = threshold.magnitude.bitPattern
    let found = contents(bits...bits, limit: 0, threads: threads)
    return found.above + min(found.count, threshold.ties ?? found.count)
  }

  /// Names the first weight that is not finite.
  func nonFinite() -> NonFiniteWeight {
    NonFiniteWeight(index: (0..<count).first { key($0) >= type.infinityKey } ?? 0)
  }
}
