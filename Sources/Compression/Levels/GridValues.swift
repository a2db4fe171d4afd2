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

/// Restores weights of a grid, to measure what was lost.
struct GridValues {
  let type: ElementType
  /// Weights that are restored together: what the first-level cache holds.
  private static let chunk = 1 << 11

  /// The squared error of a run of weights with one scale, in the order of the chunks. `next` is called for the k of
  /// each exception, in order.
  func error(
    of weights: GridWeights, codes: UnsafePointer<Int8>, scale: Double, next: () -> Int32
  ) -> SquaredError {
    var total = SquaredError()
    var table: [Float] = []
    if type == .float16 || type == .bfloat16, weights.count > 256 {
      table = (-128...127).map { Float(type.nearest(scale * Double($0))) }
    }
    var (norm, difference) = (0.0, 0.0)
    withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.chunk) { room in
      // Floats or doubles.
      guard let doubles = room.baseAddress else { return }
      let floats = UnsafeMutableRawPointer(doubles).assumingMemoryBound(to: Float.self)
      for start in stride(from: 0, to: weights.count, by: Self.chunk) {
        let x = weights[start..<min(weights.count, start + Self.chunk)]
        let c = codes + start
        func value(_ k: Int32) -> Double { k == 0 ? 0 : type.nearest(scale * Double(k)) }
        if type == .float64 {
          for i in 0..<x.count { doubles[i] = value(c[i] == GridMatrix.exception ? next() : Int32(c[i])) }
          total.add(
            SquaredError(
              UnsafeRawBufferPointer(start: x.base, count: 8 * x.count),
              UnsafeRawBufferPointer(start: doubles, count: 8 * x.count), type: .float64, threads: .one))
          continue
        }
        if type == .float32 {
          nc_grid_values(c, x.count, scale, 4, false, floats)
        } else if table.isEmpty {
          for i in 0..<x.count { floats[i] = Float(value(Int32(c[i]))) }
        } else {
          for i in 0..<x.count { floats[i] = table[Int(c[i]) + 128] }
        }
        if memchr(c, Int32(GridMatrix.exception), x.count) != nil {
          for i in 0..<x.count where c[i] == GridMatrix.exception { floats[i] = Float(value(next())) }
        }
        var sums = (norm: 0.0, difference: 0.0)
        nc_squared_errors(x.floats, floats, x.count, &sums.norm, &sums.difference)
        norm += sums.norm
        difference += sums.difference
      }
    }
    if type != .float64 { total.add(SquaredError(norm: norm, difference: difference, unit: 1)) }
    return total
  }
}
