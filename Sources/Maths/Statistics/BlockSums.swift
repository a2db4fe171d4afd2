// SPDX-License-Identifier: Apache-2.0

internal import Parallel

/// Where the sums of each scale come from: those of an earlier scale that divides it, or the samples.
private struct Plan {
  /// For each scale, the earlier one whose sums it adds up; `nil` for the samples.
  let parents: [Int?]
  /// How many sums a scale has, and where they begin among those of all scales.
  let counts: [Int]
  let starts: [Int]
  let total: Int

  init(count: Int, scales: [Int]) {
    parents = scales.indices.map { i in scales[..<i].lastIndex { scales[i] % $0 == 0 } }
    counts = scales.map { count / $0 }
    var total = 0
    starts = counts.map { count in
      defer { total += count }
      return total
    }
    self.total = total
  }
}

/// The sums of m consecutive numbers, for each scale m.
final class ScalarSums {
  private let scales: [Int]
  private let plan: Plan
  /// The sums of all scales. Kept, because to ask the system for new memory takes as long as to use it.
  private let sums: UnsafeMutablePointer<Double>

  init(count: Int, scales: [Int]) {
    self.scales = scales
    plan = Plan(count: count, scales: scales)
    sums = .allocate(capacity: plan.total)
  }

  deinit { sums.deallocate() }

  /// Returns Σ ln(|Y| + ε) over the sums Y of each scale.
  func logarithms(of samples: UnsafeBufferPointer<Float>) -> [Double] {
    scales.indices.map { i in
      let out = sums + plan.starts[i]
      if let parent = plan.parents[i] {
        let from = sums + plan.starts[parent]
        let parts = scales[i] / scales[parent]
        for group in 0..<plan.counts[i] {
          var sum = 0.0
          for part in 0..<parts { sum += from[group * parts + part] }
          out[group] = sum
        }
      } else {
        for group in 0..<plan.counts[i] {
          var sum = 0.0
          for part in 0..<scales[i] { sum += Double(samples[group * scales[i] + part]) }
          out[group] = sum
        }
      }
      var logarithms = LogarithmSum()
      logarithms.add(magnitudesOf: UnsafeBufferPointer(start: out, count: plan.counts[i]))
      return logarithms.total
    }
  }
}

/// The sums of m consecutive vectors, for each scale m.
struct VectorSums {
  private let count: Int
  private let columns: Int
  private let scales: [Int]
  private let plan: Plan

  /// Columns that are added up together; the sums of a few thousand vectors then fit the cache.
  private static let wide = 64

  init(count: Int, columns: Int, scales: [Int]) {
    self.count = count
    self.columns = columns
    // The vectors themselves are a scale: all have them as parents, if no other.
    self.scales = [1] + scales
    plan = Plan(count: count, scales: [1] + scales)
  }

  /// Returns Σ ln(‖Y‖ + ε) over the sums Y of each scale, that of the vectors themselves first.
  func logarithms(of matrix: [Float], order: [UInt32], threads: Threads) -> [Double] {
    let blocks = (columns + Self.wide - 1) / Self.wide
    var squares = [Double](repeating: 0, count: plan.total)
    matrix.withUnsafeBufferPointer { matrix in
      order.withUnsafeBufferPointer { order in
        nonisolated(unsafe) let (matrix, order) = (matrix, order)
        // As many blocks at a time as there may be memory for; added in their order, whatever the number of threads.
        let some = 16
        for first in stride(from: 0, to: blocks, by: some) {
          let part = min(some, blocks - first)
          let parts = UnsafeMutablePointer<Double>.allocate(capacity: part * plan.total)
          defer { parts.deallocate() }
          nonisolated(unsafe) let out = parts
          threads.forEach(part) { block in
            addSquares(of: matrix, order: order, block: first + block, to: out + block * plan.total)
          }
          for block in 0..<part {
            for i in 0..<plan.total { squares[i] += parts[block * plan.total + i] }
          }
        }
      }
    }
    return scales.indices.map { i in
      var logarithms = LogarithmSum()
      let norms = squares[plan.starts[i]..<plan.starts[i] + plan.counts[i]].map { $0.squareRoot() }
      norms.withUnsafeBufferPointer { logarithms.add(magnitudesOf: $0) }
      return logarithms.total
    }
  }

  /// Writes the squared norms of what the sums of all scales have in one block of columns.
  private func addSquares(
    of matrix: UnsafeBufferPointer<Float>, order: UnsafeBufferPointer<UInt32>, block: Int,
    to squares: UnsafeMutablePointer<Double>
  ) {
    let wide = Self.wide
    let first = block * wide
    let width = min(wide, columns - first)
    let sums = UnsafeMutablePointer<Double>.allocate(capacity: plan.total * wide)
    defer { sums.deallocate() }
    for i in scales.indices {
      for group in 0..<plan.counts[i] {
        let out = sums + (plan.starts[i] + group) * wide
        if let parent = plan.parents[i] {
          let parts = scales[i] / scales[parent]
          let from = sums + (plan.starts[parent] + group * parts) * wide
          out.update(from: from, count: wide)
          for part in 1..<parts {
            for column in 0..<wide { out[column] += from[part * wide + column] }
          }
        } else {
          let row = Int(order[group]) * columns + first
          for column in 0..<width { out[column] = Double(matrix[row + column]) }
          for column in width..<wide { out[column] = 0 }
        }
        var square = SIMD8<Double>.zero
        for column in stride(from: 0, to: wide, by: 8) {
          let x = UnsafeRawPointer(out + column).loadUnaligned(as: SIMD8<Double>.self)
          square += x * x
        }
        squares[plan.starts[i] + group] = square.sum()
      }
    }
  }
}
