/// The trits of one block that are not zero: where they are, and their signs.
struct SignedGaps {
  /// For each of them the zeros between it and the one before, in row-major order and without padding: a byte 255 for
  /// every 255 zeros, then a byte for the rest, 0 … 254. Zeros after the last one take no byte.
  let gaps: [UInt8]
  /// For each of them a bit, 1 for −1, the first lowest; padded with zeros to a byte.
  let signs: [UInt8]

  static let skip: UInt8 = 255

  /// Takes the packed trits of a block apart.
  init(codes: UnsafeRawBufferPointer, block: RowBlocks.Block) {
    let rowBytes = block.rowBytes
    let nonZeros = Self.nonZeros(codes)
    let capacity = nonZeros + block.rows.count * block.columns.count / Int(Self.skip)
    var signs = [UInt8](repeating: 0, count: (nonZeros + 7) / 8)
    gaps = [UInt8](unsafeUninitializedCapacity: capacity) { gaps, count in
      signs.withUnsafeMutableBufferPointer { signs in
        var done = 0
        var next = 0
        var pending: UInt8 = 0
        for row in 0..<block.rows.count {
          for start in stride(from: 0, to: rowBytes, by: 8) {
            let word = codes.word(at: row * rowBytes + start, count: min(8, rowBytes - start))
            let first = row * block.columns.count + 4 * start
            var rest = word & (.max / 3)
            while rest != 0 {
              let bit = rest.trailingZeroBitCount
              var gap = first + bit / 2 - next
              next += gap + 1
              while gap >= Int(Self.skip) {
                gaps[count] = Self.skip
                count += 1
                gap -= Int(Self.skip)
              }
              gaps[count] = UInt8(truncatingIfNeeded: gap)
              count += 1
              let negative = UInt8(truncatingIfNeeded: word &>> UInt64(bit + 1) & 1)
              pending |= negative &<< UInt8(truncatingIfNeeded: done % 8)
              done += 1
              if done % 8 == 0 {
                signs[done / 8 - 1] = pending
                pending = 0
              }
              rest &= rest &- 1
            }
          }
        }
        if done % 8 != 0 { signs[done / 8] = pending }
      }
    }
    self.signs = signs
  }

  /// Puts the packed trits together from stored gaps, and signs that are read once their number is known.
  ///
  /// - Throws: `CodecError`, corrupt, when a gap leads out of the block, the last byte is no position, or bits after
  ///   the last sign are set; or what `signs` throws.
  static func write(
    codes: UnsafeMutableRawBufferPointer, block: RowBlocks.Block, gaps: [UInt8],
    signs: (_ byteCount: Int) throws -> [UInt8]
  ) throws {
    if gaps.last == skip { throw CodecError.corrupt("zeros are skipped after the last position") }
    let nonZeros = gaps.reduce(0) { $0 + ($1 == skip ? 0 : 1) }
    let signs = try signs((nonZeros + 7) / 8)
    let (rows, columns) = (block.rows.count, block.columns.count)
    let rowBytes = block.rowBytes
    codes.initializeMemory(as: UInt8.self, repeating: 0)
    var row = 0
    var column = 0
    var done = 0
    for gap in gaps {
      column += Int(gap)
      while column >= columns {
        column -= columns
        row += 1
      }
      guard row < rows else { throw CodecError.corrupt("position \(done) is beyond the block") }
      if gap == skip { continue }
      let negative = signs[done / 8] &>> UInt8(truncatingIfNeeded: done % 8) & 1
      codes[row * rowBytes + column / 4] |= (1 | negative << 1) &<< UInt8(truncatingIfNeeded: column % 4 * 2)
      done += 1
      column += 1
    }
    if done % 8 != 0, signs[done / 8] >> (done % 8) != 0 {
      throw CodecError(verdict: .corrupt, part: "signs", what: "padding after \(done) signs is not zero")
    }
  }

  /// The trits of packed codes that are not zero.
  static func nonZeros(_ codes: UnsafeRawBufferPointer) -> Int {
    var count = 0
    for start in stride(from: 0, to: codes.count, by: 8) {
      count += (codes.word(at: start, count: min(8, codes.count - start)) & (.max / 3)).nonzeroBitCount
    }
    return count
  }
}

extension UnsafeRawBufferPointer {
  /// Up to eight bytes as a little-endian word, zeros above them.
  @inline(__always)
  func word(at offset: Int, count: Int) -> UInt64 {
    if count == 8 { return UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    return (0..<count).reduce(0) { $0 | UInt64(self[offset + $1]) &<< UInt64(8 * $1) }
  }
}
