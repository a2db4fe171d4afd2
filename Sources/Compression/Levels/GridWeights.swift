// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Glibc
internal import Matrices
internal import Parallel
internal import Tensors

/// Weights as the loops of grids take them: floats, or doubles of a float64 tensor.
struct GridWeights: @unchecked Sendable {
  let base: UnsafeRawPointer
  let isWide: Bool
  let count: Int

  init(_ floats: UnsafePointer<Float>, _ count: Int) {
    (base, isWide, self.count) = (UnsafeRawPointer(floats), false, count)
  }

  init(_ doubles: UnsafePointer<Double>, _ count: Int) {
    (base, isWide, self.count) = (UnsafeRawPointer(doubles), true, count)
  }

  private init(base: UnsafeRawPointer, isWide: Bool, count: Int) {
    (self.base, self.isWide, self.count) = (base, isWide, count)
  }

  var floats: UnsafePointer<Float> { base.assumingMemoryBound(to: Float.self) }
  var doubles: UnsafePointer<Double> { base.assumingMemoryBound(to: Double.self) }

  subscript(index: Int) -> Double { isWide ? doubles[index] : Double(floats[index]) }

  subscript(range: Range<Int>) -> GridWeights {
    GridWeights(base: base + range.lowerBound * (isWide ? 8 : 4), isWide: isWide, count: range.count)
  }

  /// The largest magnitude; infinite or NaN when a weight is.
  var largest: Double {
    if !isWide {
      var sum = 0.0
      return Double(Float(bitPattern: nc_magnitude_largest(floats, count, &sum)))
    }
    return Double(bitPattern: (0..<count).reduce(0) { max($0, doubles[$1].magnitude.bitPattern) })
  }
}

extension WeightRows {
  /// Calls `body` with the weights of some rows, row after row.
  func withGridWeights<R>(_ range: Range<Int>, _ body: (GridWeights) -> R) -> R {
    let count = range.count * columns
    return type == .float64
      ? withDoubles(range) { body(GridWeights($0, count)) } : withFloats(range) { body(GridWeights($0, count)) }
  }
}
