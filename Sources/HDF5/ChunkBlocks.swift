// SPDX-License-Identifier: Apache-2.0

/// A dataset cut into boxes of whole chunks, each about 4 MiB: what travels between child and parent at a time.
///
/// Both sides compute the same blocks from the dimensions, so a block needs no description on the way.
struct Blocks {
  /// A box inside the dataset, clipped at its edges.
  struct Box {
    var origin: [UInt64]
    var dimensions: [UInt64]
  }

  let dimensions: [UInt64]
  let chunk: [UInt64]
  let elementSize: Int
  /// Of the whole dataset.
  let byteCount: Int
  let count: Int
  /// Dimensions of an unclipped block.
  private let block: [UInt64]
  /// Blocks along each axis.
  private let counts: [UInt64]

  /// - Throws: when the sizes contradict each other or cannot be counted.
  /// - Parameter target: bytes that a block should have, where chunks are smaller.
  init(dimensions: [UInt64], chunk: [UInt64], elementSize: Int, target: Int = 4 << 20) throws(HDF5Error) {
    guard dimensions.count == chunk.count, dimensions.count <= 32, chunk.allSatisfy({ $0 > 0 }), elementSize > 0,
      let byteCount = product(dimensions, UInt64(elementSize)), byteCount <= Int.max,
      let chunkByteCount = product(chunk, UInt64(elementSize)), chunkByteCount <= UInt32.max
    else { throw .corrupt("extents \(dimensions) in chunks of \(chunk) with elements of \(elementSize) bytes") }
    var block = chunk
    var size = chunkByteCount
    // Grow along the last axis first, and along the next only where the block is as wide as the dataset.
    for axis in dimensions.indices.reversed() {
      let most = max(1, UInt64(target) / size)
      let needed = (dimensions[axis] / chunk[axis]) + (dimensions[axis] % chunk[axis] == 0 ? 0 : 1)
      let factor = max(1, min(most, needed))
      block[axis] *= factor
      size *= factor
      if factor < needed { break }
    }
    self.dimensions = dimensions
    self.chunk = chunk
    self.elementSize = elementSize
    self.byteCount = Int(byteCount)
    self.block = block
    counts = zip(dimensions, block).map { $0 / $1 + ($0 % $1 == 0 ? 0 : 1) }
    // No more blocks than bytes, which can be counted.
    count = byteCount == 0 ? 0 : Int(counts.reduce(1, *))
  }

  subscript(index: Int) -> Box {
    var rest = UInt64(index)
    var box = Box(origin: dimensions, dimensions: dimensions)
    for axis in dimensions.indices.reversed() {
      let position = rest % counts[axis]
      rest /= counts[axis]
      box.origin[axis] = position * block[axis]
      box.dimensions[axis] = min(block[axis], dimensions[axis] - box.origin[axis])
    }
    return box
  }

  func byteCount(of box: Box) -> Int { Int(box.dimensions.reduce(1, *)) * elementSize }

  /// Bytes of all chunks that a block touches, the parts beyond the dimensions included.
  func byteCount(ofChunksIn box: Box) -> Int {
    let chunks = zip(box.dimensions, chunk).reduce(1) { $0 * Int($1.0 / $1.1 + ($1.0 % $1.1 == 0 ? 0 : 1)) }
    return chunks * chunkByteCount
  }

  var chunkByteCount: Int { Int(chunk.reduce(1, *)) * elementSize }

  /// Whether a chunk reaches beyond the dimensions.
  func isPartial(chunkAt origin: [UInt64]) -> Bool {
    dimensions.indices.contains { dimensions[$0] - origin[$0] < chunk[$0] }
  }

  /// Origins of the chunks in a block, in the order of their coordinates.
  func chunkOrigins(in box: Box) -> [[UInt64]] {
    var origins: [[UInt64]] = [[]]
    for axis in dimensions.indices {
      let positions = stride(from: box.origin[axis], to: box.origin[axis] + box.dimensions[axis], by: Int(chunk[axis]))
      origins = origins.flatMap { prefix in positions.map { prefix + [$0] } }
    }
    return origins
  }

  /// Copies a block's bytes to their places among row-major values.
  func scatter(_ bytes: [UInt8], of box: Box, into values: inout [UInt8]) {
    precondition(bytes.count == byteCount(of: box) && values.count == byteCount)
    values.withUnsafeMutableBytes { values in
      bytes.withUnsafeBytes { bytes in
        forEachRun(of: box) { inValues, inBlock, count in
          values[inValues..<inValues + count].copyBytes(from: bytes[inBlock..<inBlock + count])
        }
      }
    }
  }

  /// The opposite of `scatter`.
  func gather(_ box: Box, from values: [UInt8]) -> [UInt8] {
    precondition(values.count == byteCount)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount(of: box))
    forEachRun(of: box) { inValues, _, count in bytes.append(contentsOf: values[inValues..<inValues + count]) }
    return bytes
  }

  /// Every run of bytes that is contiguous both in the values and in the block.
  private func forEachRun(of box: Box, _ body: (_ inValues: Int, _ inBlock: Int, _ count: Int) -> Void) {
    guard byteCount(of: box) > 0 else { return }
    // Axes from `outer` on form one run: all but the first of them are covered completely.
    var outer = dimensions.count
    var run = elementSize
    while outer > 0 {
      outer -= 1
      run *= Int(box.dimensions[outer])
      if box.dimensions[outer] != dimensions[outer] { break }
    }
    var strides = [Int](repeating: elementSize, count: dimensions.count)
    for axis in dimensions.indices.dropLast().reversed() {
      strides[axis] = strides[axis + 1] * Int(dimensions[axis + 1])
    }
    var position = [Int](repeating: 0, count: outer)
    let start = zip(box.origin, strides).reduce(0) { $0 + Int($1.0) * $1.1 }
    var inBlock = 0
    while true {
      body(zip(position, strides).reduce(start) { $0 + $1.0 * $1.1 }, inBlock, run)
      inBlock += run
      var axis = outer - 1
      while axis >= 0 {
        position[axis] += 1
        if position[axis] < Int(box.dimensions[axis]) { break }
        position[axis] = 0
        axis -= 1
      }
      if axis < 0 { return }
    }
  }
}

/// The product of all factors; `nil` when it does not fit.
func product(_ factors: [UInt64], _ first: UInt64 = 1) -> UInt64? {
  // A dimension of zero makes the product zero whatever the others are.
  if factors.contains(0) { return 0 }
  var result = first
  for factor in factors {
    let (next, overflow) = result.multipliedReportingOverflow(by: factor)
    if overflow { return nil }
    result = next
  }
  return result
}
