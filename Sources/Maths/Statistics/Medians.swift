// SPDX-License-Identifier: Apache-2.0

internal import Parallel

/// Returns the median: the middle element, or the mean of the two middle ones; 0 for no elements. None is a NaN.
func median(_ x: UnsafeBufferPointer<Float>) -> Float {
  let middle = x.count / 2
  if x.isEmpty { return 0 }
  if x.count <= 64 {
    let sorted = x.sorted()
    return x.count % 2 == 1 ? sorted[middle] : mean(sorted[middle - 1], sorted[middle])
  }
  // By eleven bits of the order at a time: those of the middle element are found, then those below them.
  var prefix: UInt32 = 0
  var known: UInt32 = 0
  var below = 0
  for (shift, bits) in [(21, 11), (10, 11), (0, 10)] as [(UInt32, UInt32)] {
    let mask = UInt32(1) << bits - 1
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(mask) + 1) { counts in
      counts.initialize(repeating: 0)
      for element in x {
        let key = order(element)
        if key & known == prefix { counts[Int(key >> shift & mask)] &+= 1 }
      }
      var digit = 0
      while below + Int(counts[digit]) <= middle {
        below += Int(counts[digit])
        digit += 1
      }
      prefix |= UInt32(digit) << shift
      known |= mask << shift
    }
  }
  let upper = value(prefix)
  if x.count % 2 == 1 || below < middle { return upper }
  var next: UInt32 = 0
  for element in x {
    let key = order(element)
    if key < prefix { next = max(next, key) }
  }
  return mean(value(next), upper)
}

/// Returns the median of each column of a row-major matrix.
func columnMedians(_ matrix: UnsafeBufferPointer<Float>, rows: Int, columns: Int, threads: Threads) -> [Float] {
  // Columns that share a line of the cache.
  let wide = 16
  var medians = [Float](repeating: 0, count: columns)
  medians.withUnsafeMutableBufferPointer { medians in
    nonisolated(unsafe) let (medians, matrix) = (medians, matrix)
    threads.forEach((columns + wide - 1) / wide) { block in
      let some = block * wide..<min(columns, (block + 1) * wide)
      let gathered = UnsafeMutableBufferPointer<Float>.allocate(capacity: some.count * rows)
      defer { gathered.deallocate() }
      for row in 0..<rows {
        for column in some {
          gathered.initializeElement(
            at: (column - some.lowerBound) * rows + row, to: matrix[row * columns + column])
        }
      }
      for column in some {
        let first = (column - some.lowerBound) * rows
        medians[column] = median(UnsafeBufferPointer(rebasing: gathered[first..<first + rows]))
      }
    }
  }
  return medians
}

private func mean(_ a: Float, _ b: Float) -> Float { Float((Double(a) + Double(b)) / 2) }

/// Bits in the order of the values, −0 before +0.
private func order(_ x: Float) -> UInt32 {
  let bits = x.bitPattern
  return bits ^ (UInt32(bitPattern: Int32(bitPattern: bits) >> 31) | 1 << 31)
}

private func value(_ order: UInt32) -> Float {
  Float(bitPattern: order >> 31 == 1 ? order ^ 1 << 31 : ~order)
}
