// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Glibc

/// The exponent p of a norm ‖x‖ₚ = (Σ |x|ᵖ)^{1/p}.
public enum Norm: Sendable, Hashable {
  case l1, l2
}

/// The magnitudes of a vector in order: how much of it is lost when only its largest elements are kept.
///
/// The relative error of keeping the k largest is σₖ(x)ₚ / ‖x‖ₚ, σₖ(x)ₚ = ‖x − x⁽ᵏ⁾‖ₚ, x⁽ᵏ⁾ the k largest elements and
/// zeros; 0 for a vector of zeros. A sequence of vectors is ℓₚ-compressible if that tends to 0 for k = ⌈κn⌉ and every
/// κ.
///
/// With p = 2 it is the relative L2 error of pruning: of entries by magnitude; of singular values, for x the
/// singular values; of units, for x the norms of the rows.
///
/// Example: of (−3, 0, 4, 12) with the norm 13, keeping 12 alone loses ‖(3, 0, 4)‖ = 5.
///
/// ```
/// Compressibility([-3, 0, 4, 12] as [Float]).relativeErrors(keeping: [0, 1, 2, 3])  // 1, 5/13, 3/13, 0
/// ```
///
/// Laws: 1 for k = 0, unless all are zero; 0 for k = n; does not increase with k; the same for a·x.
public struct Compressibility: Sendable {
  /// Largest first.
  private let magnitudes: [Double]
  /// Instead of `magnitudes`.
  private let floats: [Float]

  /// Puts the magnitudes of finite elements in order.
  public init(_ elements: [Float]) {
    magnitudes = []
    floats = [Float](unsafeUninitializedCapacity: elements.count) { out, count in
      count = elements.count
      for i in 0..<count { out.initializeElement(at: i, to: elements[i].magnitude) }
      let room = UnsafeMutablePointer<Float>.allocate(capacity: max(1, count))
      defer { room.deallocate() }
      if let base = out.baseAddress { nc_magnitude_sort(base, count, room) }
    }
  }

  /// Puts the magnitudes of finite elements in order.
  public init(_ elements: [Double]) {
    magnitudes = elements.map(\.magnitude).sorted(by: >)
    floats = []
  }

  /// n.
  public var count: Int { magnitudes.count + floats.count }

  /// Returns the relative error of keeping the k largest, 0…1, for each k.
  ///
  /// - Parameter counts: the k, each 0…`count`, in any order.
  public func relativeErrors(keeping counts: [Int], norm: Norm = .l2) -> [Double] {
    precondition(counts.allSatisfy { 0...count ~= $0 }, "from none to all")
    let powers: [Double]
    if floats.isEmpty {
      // In units of about the largest: squares neither overflow nor vanish.
      let unit = magnitudes.first.map { $0 > 0 ? $0.binade : 1 } ?? 1
      powers = tails(magnitudes, counts: counts) { norm == .l1 ? $0 / unit : ($0 / unit) * ($0 / unit) }
    } else {
      powers = tails(floats, counts: counts) { norm == .l1 ? Double($0) : Double($0) * Double($0) }
    }
    let total = powers[counts.count]
    return powers.dropLast().map { tail in
      if total == 0 { return 0 }
      return norm == .l1 ? tail / total : (tail / total).squareRoot()
    }
  }
}

/// The sums of all powers but the k first, for each k and for k = 0; added from the last.
private func tails<Magnitude>(_ x: [Magnitude], counts: [Int], power: (Magnitude) -> Double) -> [Double] {
  var sums = [Double](repeating: 0, count: counts.count + 1)
  let order = (counts + [0]).enumerated().sorted { $0.element > $1.element }
  var sum = 0.0
  var end = x.count
  x.withUnsafeBufferPointer { x in
    for (place, count) in order {
      for i in (count..<end).reversed() { sum += power(x[i]) }
      end = count
      sums[place] = sum
    }
  }
  return sums
}

/// Returns the Euclidean norm of each row of a row-major matrix.
public func rowNorms(of matrix: [Float], rows: Int, columns: Int) -> [Double] {
  precondition(matrix.count == rows * columns, "as many elements as the shape says")
  return matrix.withUnsafeBufferPointer { matrix in
    (0..<rows).map { row in
      moments(of: UnsafeBufferPointer(rebasing: matrix[row * columns..<(row + 1) * columns]), about: 0).second
        .squareRoot()
    }
  }
}

/// Returns the kurtosis n Σ (x − x̄)⁴ / (Σ (x − x̄)²)²: 3 for a Gaussian, 1.8 for a uniform, 6 for a Laplace
/// distribution; at least 1. `nil` if all elements are equal.
public func kurtosis(of elements: [Float]) -> Double? {
  elements.withUnsafeBufferPointer { x in
    guard let first = x.first, !x.allSatisfy({ $0 == first }) else { return nil }
    let mean = Double(first) + moments(of: x, about: Double(first)).first / Double(x.count)
    let (_, second, fourth) = moments(of: x, about: mean)
    return Double(x.count) * fourth / (second * second)
  }
}

/// Σ d, Σ d², Σ d⁴, d = x − centre; in eight lanes.
private func moments(
  of x: UnsafeBufferPointer<Float>, about centre: Double
) -> (first: Double, second: Double, fourth: Double) {
  var (first, second, fourth) = (SIMD8<Double>.zero, SIMD8<Double>.zero, SIMD8<Double>.zero)
  func add(_ d: SIMD8<Double>) {
    let square = d * d
    first += d
    second += square
    fourth += square * square
  }
  let whole = x.count / 8 * 8
  if let base = x.baseAddress {
    for i in stride(from: 0, to: whole, by: 8) {
      add(SIMD8<Double>(UnsafeRawPointer(base + i).loadUnaligned(as: SIMD8<Float>.self)) - centre)
    }
  }
  var rest = SIMD8<Double>.zero
  for i in whole..<x.count { rest[i - whole] = Double(x[i]) - centre }
  add(rest)
  return (first.sum(), second.sum(), fourth.sum())
}
