// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Parallel

/// An estimate of the tail index α of samples under the model that they are strictly α-stable.
///
/// Sums of m such samples are distributed as m^{1/α} of them. With Y the N/m sums of m samples X each, a *scale* m
/// gives 1/α̂ₘ = (mean ln(|Y| + ε) − mean ln(|X| + ε)) / ln m, ε = 2⁻⁵², |·| the Euclidean norm if the samples are
/// vectors. The samples are put in random order, α̂ is the median over all scales, at most 2; that five times, and the
/// median. (A scale for which 1/α̂ₘ ≤ 0 counts as α̂ₘ = ∞.)
///
/// Examples of stable distributions: a sum of four Gaussian samples is distributed as 4^{1/2} = 2 of them (α = 2), a
/// sum of four Cauchy samples as 4 of them (α = 1). The smaller α is, the more a sum owes to its largest term. Eight
/// equal samples give α̂ = 1: a sum of m is m¹ of them, which is why samples have to be centred.
///
/// ```
/// TailIndex(of: [3, 3, 3, 3, 3, 3, 3, 3], using: &generator)?.value  // 1, but for rounding
/// ```
///
/// **It is no test for heavy tails.** Laplace and Student's t with three degrees of freedom have a finite variance, for
/// which the model has α = 2, and give about 1.70 at N = 10⁴; a mean that is not zero lowers the estimate, so samples
/// must be centred; many samples that are exactly zero (a pruned layer) make it meaningless.
///
/// Mohammadi, Mohammadpour and Ogata (2015), with the scales of Barsbey et al. (2021).
public struct TailIndex: Sendable, Hashable {
  /// α̂, above 0 and at most 2.
  public let value: Double
  /// The m, ascending.
  public let scales: [Int]
  /// N.
  public let sampleCount: Int
  /// Samples at the end that were left out so that N is even: for odd N, 2 has no divisor of N below it but 1.
  public let droppedCount: Int

  /// Estimates the index of numbers; `nil` for fewer than four, or if one is not finite.
  ///
  /// - Parameter samples: centred.
  /// - Parameter generator: for the orders; the estimate depends on it.
  public init?(of samples: [Float], using generator: inout some RandomNumberGenerator) {
    let count = samples.count / 2 * 2
    guard count >= 4, samples.allSatisfy(\.isFinite) else { return nil }
    let scales = Self.scales(count)
    var own = LogarithmSum()
    samples.withUnsafeBufferPointer { addSamples($0[..<count], to: &own) }
    let sums = ScalarSums(count: count, scales: scales)
    var order = samples
    var room = [UInt32](repeating: 0, count: shuffleRoom(for: count))
    let estimates = (0..<Self.repetitions).map { _ in
      order.withUnsafeMutableBytes { bytes in
        let order = UnsafeMutableBufferPointer(rebasing: bytes.bindMemory(to: UInt32.self)[..<count])
        room.withUnsafeMutableBufferPointer { shuffle(order, room: $0, using: &generator) }
      }
      let logarithms = order.withUnsafeBufferPointer {
        sums.logarithms(of: UnsafeBufferPointer(rebasing: $0[..<count]))
      }
      return Self.estimate(scales, logarithms: logarithms, own: own.total, count: count)
    }
    self.init(estimates, scales: scales, count: count, dropped: samples.count - count)
  }

  /// Estimates the index of vectors, the rows of a matrix; `nil` for fewer than four, or if an element is not finite.
  ///
  /// - Parameters:
  ///   - matrix: rows · columns elements, row-major; columns centred.
  ///   - generator: for the orders; the estimate depends on it.
  ///   - threads: the estimate does not depend on it.
  public init?(
    ofRows matrix: [Float], rows: Int, columns: Int, using generator: inout some RandomNumberGenerator, threads: Threads
  ) {
    precondition(matrix.count == rows * columns, "as many elements as the shape says")
    let count = rows / 2 * 2
    guard count >= 4, matrix.allSatisfy(\.isFinite) else { return nil }
    let scales = Self.scales(count)
    let sums = VectorSums(count: count, columns: columns, scales: scales)
    var order = (0..<UInt32(count)).map { $0 }
    var room = [UInt32](repeating: 0, count: shuffleRoom(for: count))
    let estimates = (0..<Self.repetitions).map { _ in
      order.withUnsafeMutableBufferPointer { order in
        room.withUnsafeMutableBufferPointer { shuffle(order, room: $0, using: &generator) }
      }
      let logarithms = sums.logarithms(of: matrix, order: order, threads: threads)
      return Self.estimate(scales, logarithms: Array(logarithms.dropFirst()), own: logarithms[0], count: count)
    }
    self.init(estimates, scales: scales, count: count, dropped: rows - count)
  }

  private init(_ estimates: [Double], scales: [Int], count: Int, dropped: Int) {
    value = median(estimates)
    self.scales = scales
    sampleCount = count
    droppedCount = dropped
  }

  private static let repetitions = 5

  /// 2, 5, 10, 20, 50, 100, 500 and 1000 up to N/2, each lowered to the nearest divisor of N, and the largest divisor
  /// up to √N; ascending, none twice. N is even, at least 4.
  static func scales(_ count: Int) -> [Int] {
    func divisor(_ most: Int) -> Int {
      var m = most
      while count % m != 0 { m -= 1 }
      return m
    }
    let wanted = [2, 5, 10, 20, 50, 100, 500, 1000].filter { $0 <= count / 2 }
    let root = divisor(Int(Double(count).squareRoot()))
    return Set(wanted.map(divisor) + [root]).filter { $0 > 1 }.sorted()
  }

  /// The estimate from Σ ln(|Y| + ε) at each scale, and Σ ln(|X| + ε).
  private static func estimate(_ scales: [Int], logarithms: [Double], own: Double, count: Int) -> Double {
    let each = zip(scales, logarithms).map { m, sum in
      let inverse = (sum / Double(count / m) - own / Double(count)) / log(Double(m))
      return inverse > 0 ? 1 / inverse : .infinity
    }
    return min(median(each), 2)
  }
}

/// The three estimates for a layer: of its rows, its entries, and the norms of its rows.
///
/// The median of each column is subtracted from it for the rows, vectors as they then are, and for their norms, from
/// which their median is subtracted; from the entries that of all of them. (Columns of an odd number of entries, each
/// less its median, would have a zero each.)
public struct LayerTailIndices: Sendable, Hashable {
  /// Of the rows, vectors of as many numbers as there are columns; `nil` for fewer than four rows.
  public let rows: TailIndex?
  /// Of all weights; `nil` for fewer than four.
  public let entries: TailIndex?
  /// Of the Euclidean norms of the rows; `nil` for fewer than four rows.
  public let norms: TailIndex?

  /// Estimates the indices of a weight matrix; `nil` where there are too few samples, or a weight is not finite.
  ///
  /// - Parameters:
  ///   - matrix: output units × inputs, row-major.
  ///   - generator: the estimates depend on it.
  ///   - threads: the estimates do not depend on it.
  public init(
    of matrix: [Float], rows: Int, columns: Int, using generator: inout some RandomNumberGenerator, threads: Threads
  ) {
    precondition(matrix.count == rows * columns, "as many elements as the shape says")
    guard matrix.allSatisfy(\.isFinite) else {
      (self.rows, entries, norms) = (nil, nil, nil)
      return
    }
    var centred = matrix
    let medians = matrix.withUnsafeBufferPointer {
      columnMedians($0, rows: rows, columns: columns, threads: threads)
    }
    centred.withUnsafeMutableBufferPointer { centred in
      medians.withUnsafeBufferPointer { medians in
        for row in 0..<rows {
          for column in 0..<columns { centred[row * columns + column] -= medians[column] }
        }
      }
    }
    self.rows = TailIndex(ofRows: centred, rows: rows, columns: columns, using: &generator, threads: threads)
    norms = TailIndex(
      of: centre(rowNorms(of: centred, rows: rows, columns: columns).map { Float($0) }), using: &generator)
    entries = TailIndex(of: centre(matrix), using: &generator)
  }
}

/// Subtracts the median. Of an odd number of samples it is one of them, which would become 0 and, with ln ε, count more
/// than all others: that one is left out.
private func centre(_ x: [Float]) -> [Float] {
  let middle = x.withUnsafeBufferPointer { median($0) }
  var centred = x
  if x.count % 2 == 1, let own = x.firstIndex(of: middle) { centred.remove(at: own) }
  centred.withUnsafeMutableBufferPointer { x in
    for i in x.indices { x[i] -= middle }
  }
  return centred
}

/// The median, of the two in the middle the mean.
func median(_ x: [Double]) -> Double {
  let sorted = x.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

private func addSamples(_ samples: Slice<UnsafeBufferPointer<Float>>, to sum: inout LogarithmSum) {
  withUnsafeTemporaryAllocation(of: Double.self, capacity: 1024) { wide in
    for first in stride(from: samples.startIndex, to: samples.endIndex, by: wide.count) {
      let some = min(wide.count, samples.endIndex - first)
      for i in 0..<some { wide.initializeElement(at: i, to: Double(samples[first + i])) }
      sum.add(magnitudesOf: UnsafeBufferPointer(rebasing: wide[..<some]))
    }
  }
}
