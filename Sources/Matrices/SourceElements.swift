// SPDX-License-Identifier: Apache-2.0

internal import CLoops
package import Parallel
package import Tensors

/// The elements of a weight matrix in the order of their bytes, for questions about magnitudes that do not depend on
/// rows and columns.
///
/// Magnitudes of all types are compared as the bits of |w| in double, which are ordered as the magnitudes are.
package struct SourceElements: @unchecked Sendable {
  package let bytes: UnsafeRawBufferPointer
  /// float16, bfloat16, float32 or float64.
  package let type: ElementType

  package init(bytes: UnsafeRawBufferPointer, type: ElementType) {
    self.bytes = bytes
    self.type = type
  }

  package var count: Int { bytes.count / type.byteCount }

  /// The bits of all finite magnitudes.
  package static let finite = 0...Double.greatestFiniteMagnitude.bitPattern

  /// Elements of a block: few enough that threads share the work, many enough that what is counted in each is little
  /// beside them.
  private var blockSize: Int { max(1 << 18, (count + 31) / 32) }
  private var blocks: Int { (count + blockSize - 1) / blockSize }
  /// Elements looked at together: they fit the first-level cache.
  private static let chunk = 2048

  /// What lies in and above a range of magnitudes.
  package struct RangeContents: Sendable {
    /// Magnitudes above the range.
    package var above = 0
    /// Magnitudes in the range.
    package var count = 0
    /// Those in the range, in order; `nil` when they are more than was asked for.
    package var magnitudes: [UInt64]? = []
    /// The largest key of all elements.
    package var largestKey: UInt64 = 0

    package init() {}
  }

  /// Counts the magnitudes above and in a range, and collects the latter unless there are more than about `limit`.
  package func contents(_ range: ClosedRange<UInt64>, limit: Int, threads: Threads) -> RangeContents {
    let low = type.key(atLeast: Double(bitPattern: range.lowerBound))
    // The least key above the range is never 0.
    let high = type.key(atLeast: Double(bitPattern: range.upperBound).nextUp) - 1
    let maxPerBlock = limit / max(1, blocks)
    var contentsByBlock = threads.results(blocks) { block in
      contents(ofBlock: block, low: low, high: high, limit: maxPerBlock)
    }
    var total = RangeContents()
    let collected = contentsByBlock.allSatisfy { $0.magnitudes != nil }
    for contents in contentsByBlock {
      total.above += contents.above
      total.count += contents.count
      total.largestKey = max(total.largestKey, contents.largestKey)
    }
    total.magnitudes = collected ? [] : nil
    total.magnitudes?.reserveCapacity(total.count)
    for index in contentsByBlock.indices where collected {
      total.magnitudes? += contentsByBlock[index].magnitudes ?? []
      // They need not be held twice.
      contentsByBlock[index].magnitudes = nil
    }
    return total
  }

  private func contents(ofBlock block: Int, low: UInt64, high: UInt64, limit: Int) -> RangeContents {
    var contents = RangeContents()
    var tail = nc_key_tail()
    let size = type.byteCount
    withUnsafeTemporaryAllocation(byteCount: Self.chunk * size, alignment: 64) { room in
      guard let room = room.baseAddress else { return }
      eachChunk(ofBlock: block) { chunk, count in
        let taken = nc_key_collect(chunk, count, size, low, high, room, &tail)
        contents.count += taken
        guard taken > 0, contents.magnitudes != nil else { return }
        // Room of one chunk more, so that a block is not given up for its first few.
        if contents.count > limit + Self.chunk {
          contents.magnitudes = nil
        } else {
          append(keys: room, taken, to: &contents)
        }
      }
    }
    contents.above = Int(tail.count)
    contents.largestKey = tail.largest
    return contents
  }

  private func append(keys: UnsafeRawPointer, _ count: Int, to contents: inout RangeContents) {
    for i in 0..<count {
      let bits =
        switch type {
        case .float32: Double(keys.load(fromByteOffset: 4 * i, as: Float.self)).bitPattern
        case .float64: keys.load(fromByteOffset: 8 * i, as: UInt64.self)
        default: type.magnitude(ofKey: UInt64(keys.load(fromByteOffset: 2 * i, as: UInt16.self))).bitPattern
        }
      contents.magnitudes?.append(bits)
    }
  }

  /// The largest key.
  package func largestKey(threads: Threads) -> UInt64 {
    contents(Double.infinity.bitPattern...Double.infinity.bitPattern, limit: 0, threads: threads).largestKey
  }

  /// Of each block, the index of its first element and how many elements have the given key.
  private func counts(equalTo key: UInt64, threads: Threads) -> [(first: Int, count: Int)] {
    threads.results(blocks) { ($0 * blockSize, contents(ofBlock: $0, low: key, high: key, limit: 0).count) }
  }

  /// The index of the element that is the `rank`-th (from 1) of those with the given magnitude; `nil` when they are
  /// fewer.
  package func index(ofRank rank: Int, equalTo magnitude: Double, threads: Threads) -> Int? {
    let key = type.key(atLeast: magnitude)
    guard type.magnitude(ofKey: key) == magnitude else { return nil }
    var left = rank
    for (first, count) in counts(equalTo: key, threads: threads) {
      if left > count {
        left -= count
        continue
      }
      for i in first..<min(first + blockSize, self.count) where self.key(i) == key {
        left -= 1
        if left == 0 { return i }
      }
    }
    return nil
  }

  package func key(_ index: Int) -> UInt64 {
    switch type.byteCount {
    case 2: UInt64(bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self) & 0x7FFF)
    case 4: UInt64(bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self) & 0x7FFF_FFFF)
    default: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self) & (.max >> 1)
    }
  }

  /// The bits of about `size` magnitudes, one at a place of its own in each of as many runs of the elements: their
  /// places depend on nothing but the number of elements.
  package func sample(_ size: Int) -> [UInt64] {
    let run = max(1, count / size)
    return (0..<count / run).map { i in
      // Places that repeat would fall into the same columns.
      let mixed = UInt64(truncatingIfNeeded: i + 1) &* 0x9E37_79B9_7F4A_7C15
      return type.magnitude(ofKey: key(i * run + Int((mixed >> 32) % UInt64(run)))).bitPattern
    }
  }

  /// Calls `body` with the elements of a block, a chunk at a time.
  private func eachChunk(ofBlock block: Int, _ body: (UnsafeRawPointer, Int) -> Void) {
    guard let base = bytes.baseAddress else { return }
    let end = min(count, (block + 1) * blockSize)
    for first in stride(from: block * blockSize, to: end, by: Self.chunk) {
      body(base + first * type.byteCount, min(Self.chunk, end - first))
    }
  }

  /// Calls `body` for each block with its magnitudes in double, a chunk at a time, and the values of type `stored`
  /// nearest to them if it is not nil; returns the results in order.
  package func reduceBlocks<R: Sendable>(
    _ initial: R, stored: ElementType? = nil, threads: Threads,
    _ body: @Sendable (inout R, UnsafeBufferPointer<Double>, UnsafeBufferPointer<Double>) -> Void
  ) -> [R] {
    threads.results(blocks) { block in
      var result = initial
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * Self.chunk) { room in
        guard let doubles = room.baseAddress else { return }
        let nearest = doubles + Self.chunk
        eachChunk(ofBlock: block) { chunk, count in
          widen(chunk, count, to: doubles)
          if let stored { Self.round(doubles, count, from: type, to: stored, nearest) }
          body(
            &result, UnsafeBufferPointer(start: doubles, count: count),
            UnsafeBufferPointer(start: stored == nil ? doubles : nearest, count: count))
        }
      }
      return result
    }
  }

  private static func round(
    _ magnitudes: UnsafePointer<Double>, _ count: Int, from type: ElementType, to stored: ElementType,
    _ out: UnsafeMutablePointer<Double>
  ) {
    if type == .float64 {
      for i in 0..<count { out[i] = stored.nearest(magnitudes[i]) }
      return
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { floats in
      withUnsafeTemporaryAllocation(of: UInt16.self, capacity: count) { halves in
        guard let floats = floats.baseAddress, let halves = halves.baseAddress else { return }
        for i in 0..<count { floats[i] = Float(magnitudes[i]) }
        nc_narrow(floats, count, stored == .bfloat16, halves)
        nc_widen(halves, count, stored == .bfloat16, floats)
        for i in 0..<count { out[i] = Double(floats[i]) }
      }
    }
  }

  private func widen(_ elements: UnsafeRawPointer, _ count: Int, to out: UnsafeMutablePointer<Double>) {
    switch type {
    case .float64:
      for i in 0..<count { out[i] = elements.loadUnaligned(fromByteOffset: 8 * i, as: Double.self).magnitude }
    case .float32:
      for i in 0..<count { out[i] = Double(elements.loadUnaligned(fromByteOffset: 4 * i, as: Float.self).magnitude) }
    case .float16:
      for i in 0..<count {
        out[i] = Double(elements.loadUnaligned(fromByteOffset: 2 * i, as: Float16.self).magnitude)
      }
    default:
      for i in 0..<count {
        let bits = elements.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self) & 0x7FFF
        out[i] = Double(Float(bfloat16: bits))
      }
    }
  }
}

/// A range of the bits of magnitudes divided into equal bins, a power of two of bits wide.
package struct Bins: Sendable {
  package let range: ClosedRange<UInt64>
  private let shift: UInt64

  /// At most 2 to the `bits` bins.
  package init(_ range: ClosedRange<UInt64>, bits: Int) {
    self.range = range
    let width = UInt64.bitWidth - (range.upperBound - range.lowerBound).leadingZeroBitCount
    shift = UInt64(max(0, width - bits))
  }

  package var count: Int { index(of: range.upperBound) + 1 }

  package func index(of magnitude: UInt64) -> Int { Int(truncatingIfNeeded: (magnitude &- range.lowerBound) >> shift) }

  package subscript(index: Int) -> ClosedRange<UInt64> {
    let low = range.lowerBound + UInt64(index) << shift
    return low...min(range.upperBound, low + (1 << shift - 1))
  }
}

extension SourceElements {
  /// How many magnitudes lie in each bin.
  package func counts(in bins: Bins, threads: Threads) -> [Int] {
    let zeros = [Int](repeating: 0, count: bins.count)
    let range = bins.range
    return reduceBlocks(zeros, threads: threads) { counts, magnitudes, _ in
      for magnitude in magnitudes where range.contains(magnitude.bitPattern) {
        counts[bins.index(of: magnitude.bitPattern)] += 1
      }
    }.reduce(into: zeros) { total, counts in
      for i in counts.indices { total[i] += counts[i] }
    }
  }
}
