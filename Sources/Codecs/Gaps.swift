// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Parallel
internal import Tensors

/// Where the stored weights of a matrix are, block by block: parts `counts` and `gaps`.
///
/// For each stored weight of a block, in row-major order and without padding, the number of weights that are not stored
/// since the one before it: a byte 255 for every 255 of them, then a byte for the rest, 0 … 254. Those after the last
/// one take no byte. `counts`, a raw tensor of uint32, has the bytes of each block.
struct Gaps: Sendable {
  let blocks: RowBlocks
  let counts: RawCodec

  private static let skip: UInt8 = 255

  init(_ blocks: RowBlocks, isMapped: Bool) throws(CodecError) {
    self.blocks = blocks
    counts = try RawCodec(.uint32, count: blocks.count, planes: !isMapped)
  }

  /// The gaps of a block.
  ///
  /// - Parameters:
  ///   - bits: one for each weight in a run, 1 for stored, the first lowest.
  ///   - stored: how many are 1.
  static func encode(_ bits: UnsafeRawBufferPointer, weights: Int, stored: Int) -> [UInt8] {
    // The loop writes up to eight bytes more than it returns.
    let capacity = stored + weights / Int(skip) + 8
    return [UInt8](unsafeUninitializedCapacity: capacity) { gaps, count in
      guard let bits = bits.baseAddress, let base = gaps.baseAddress else { return }
      count = nc_gaps_encode(bits, weights, base)
    }
  }

  /// Decodes the bytes of each block.
  ///
  /// - Throws: `CodecError`, corrupt, when they are more than the block's weights; or what `read` throws.
  func decodeCounts(threads: Threads, block read: @Sendable (Int) throws -> [UInt8]) throws -> [Int] {
    let counts = try counts.decode(as: UInt32.self, part: "counts", threads: threads, block: read)
    // A byte stands for one weight at least.
    if let wrong = counts.indices.first(where: { Int(counts[$0]) > blocks[$0].weights }) {
      throw CodecError(verdict: .corrupt, part: "counts", what: "count \(wrong) is \(counts[wrong]), more than weights")
    }
    return counts.map { Int($0) }
  }

  /// Writes the bits of block `index`, `weights` in a run, from its stored gaps; returns how many are 1.
  ///
  /// - Parameter count: the bytes that the gaps decode to.
  /// - Throws: `CodecError`, corrupt, when a gap leads out of the block or the last byte is no position.
  func decode(_ stored: [UInt8], count: Int, block index: Int, into bits: UnsafeMutableRawBufferPointer) throws -> Int {
    let gaps = try restore(stored, count: count)
    if gaps.last == Self.skip { throw CodecError.corrupt("zeros are skipped after the last position") }
    guard let bits = bits.baseAddress else { return 0 }
    var positions = 0
    guard nc_gaps_decode(gaps, gaps.count, blocks[index].weights, bits, &positions) else {
      throw CodecError.corrupt("position \(positions) is beyond the block")
    }
    return positions
  }
}

/// The bytes of `count` bits.
func bitBytes(_ count: Int) -> Int { count / 8 + (count % 8 == 0 ? 0 : 1) }
