// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Matrices
internal import Parallel
internal import Tensors

/// The magnitudes of a whole matrix, block by block on several threads; blocks are added in order.
struct MatrixMagnitudes: Magnitudes {
  let matrix: WeightRows
  let threads: Threads

  var count: Int { matrix.rows * matrix.columns }

  /// The bits of the largest magnitude, and the sum of all.
  func largest() -> (bits: UInt32, sum: Double) {
    blocks { x, count in
      var sum = 0.0
      return (bits: nc_magnitude_largest(x, count, &sum), sum: sum)
    }.reduce((bits: 0, sum: 0)) { (max($0.bits, $1.bits), $0.sum + $1.sum) }
  }

  func tails(above thresholds: UnsafePointer<Float>, into tails: UnsafeMutablePointer<nc_tail>) {
    let four = (0..<4).map { thresholds[$0] }
    let parts = blocks { x, count in
      [nc_tail](unsafeUninitializedCapacity: 4) { part, initialized in
        nc_magnitude_above(x, count, four, part.baseAddress!)
        initialized = 4
      }
    }
    for j in 0..<4 { tails[j] = parts.reduce(nc_tail()) { $0 + $1[j] } }
  }

  func collect(low: Float, high: Float, into collection: UndecidedMagnitudes) -> nc_tail {
    let parts = blocks { x, count in
      var tail = nc_tail()
      let between = [Float](unsafeUninitializedCapacity: count + UndecidedMagnitudes.slop) { out, initialized in
        initialized = nc_magnitude_collect(x, count, low, high, out.baseAddress!, &tail)
      }
      // Copied, because the room taken is that of the whole block.
      return (between: [Float](between[...]), tail: tail)
    }
    collection.reserve(parts.reduce(0) { $0 + $1.between.count })
    for part in parts { part.between.withUnsafeBufferPointer(collection.append) }
    return parts.reduce(nc_tail()) { $0 + $1.tail }
  }

  /// How many magnitudes of each block equal a threshold > 0.
  func counts(equalTo threshold: Float) -> [Int] {
    blocks { x, count in (0..<count).count { x[$0].magnitude == threshold } }
  }

  private func blocks<R: Sendable>(_ body: @Sendable (UnsafePointer<Float>, Int) -> R) -> [R] {
    threads.results(matrix.blocks) { block in
      let rows = matrix.rows(ofBlock: block)
      return matrix.withFloats(rows) { body($0, rows.count * matrix.columns) }
    }
  }
}

private func + (a: nc_tail, b: nc_tail) -> nc_tail { nc_tail(sum: a.sum + b.sum, count: a.count + b.count) }
