/// One block of trits as a bitmap of those that are not zero and the signs of these.
struct SignBitmap {
  /// One bit a weight, 1 where it is not zero; every row begins with a new byte.
  let positions: [UInt8]
  /// One bit for each 1 of `positions` in order, 1 for a negative weight.
  let signs: [UInt8]

  init(positions: [UInt8], signs: [UInt8]) {
    self.positions = positions
    self.signs = signs
  }

  /// Splits the packed trits of a block.
  init(codes: UnsafeRawBufferPointer, block: RowBlocks.Block) {
    let codeRow = block.rowBytes(perByte: 4)
    let positionRow = block.rowBytes(perByte: 8)
    var signs = BitWriter(capacity: Self.nonZeros(codes))
    positions = [UInt8](unsafeUninitializedCapacity: block.rows.count * positionRow) { positions, count in
      for row in 0..<block.rows.count {
        for i in 0..<positionRow {
          // Eight trits; the last byte of a row may hold only four.
          let at = row * codeRow + 2 * i
          let pair = UInt16(codes[at]) | (2 * i + 1 < codeRow ? UInt16(codes[at + 1]) << 8 : 0)
          let nonZero = evenBits(pair)
          positions[row * positionRow + i] = nonZero
          signs.append(evenBits(pair >> 1), at: nonZero)
        }
      }
      count = positions.count
    }
    self.signs = signs.finish()
  }

  /// Writes the packed trits: the inverse of `init(codes:block:)` when there are as many signs as ones.
  func write(codes: UnsafeMutableRawBufferPointer, block: RowBlocks.Block) {
    let codeRow = block.rowBytes(perByte: 4)
    let positionRow = block.rowBytes(perByte: 8)
    var signs = BitReader(signs)
    for row in 0..<block.rows.count {
      for i in 0..<positionRow {
        let nonZero = positions[row * positionRow + i]
        let negative = signs.next(at: nonZero)
        let pair = spread(nonZero) | spread(negative) << 1
        let at = row * codeRow + 2 * i
        codes[at] = UInt8(truncatingIfNeeded: pair)
        if 2 * i + 1 < codeRow { codes[at + 1] = UInt8(truncatingIfNeeded: pair >> 8) }
      }
    }
  }

  /// The trits of packed codes that are not zero.
  static func nonZeros(_ codes: UnsafeRawBufferPointer) -> Int {
    var count = 0
    let words = codes.count / 8
    for i in 0..<words {
      count += (codes.loadUnaligned(fromByteOffset: 8 * i, as: UInt64.self) & (.max / 3)).nonzeroBitCount
    }
    for i in 8 * words..<codes.count { count += (codes[i] & (.max / 3)).nonzeroBitCount }
    return count
  }

  static func ones(_ bytes: [UInt8]) -> Int { bytes.reduce(0) { $0 + $1.nonzeroBitCount } }
}

/// Bits 0, 2, 4, … 14 side by side.
@inline(__always)
private func evenBits(_ word: UInt16) -> UInt8 {
  var bits = word & 0x5555
  bits = (bits | bits >> 1) & 0x3333
  bits = (bits | bits >> 2) & 0x0F0F
  return UInt8(truncatingIfNeeded: bits | bits >> 4)
}

/// Bits moved to places 0, 2, 4, … 14: the inverse of `evenBits`.
@inline(__always)
private func spread(_ byte: UInt8) -> UInt16 {
  var bits = UInt16(byte)
  bits = (bits | bits << 4) & 0x0F0F
  bits = (bits | bits << 2) & 0x3333
  return (bits | bits << 1) & 0x5555
}

/// Bits in a row, the first lowest.
private struct BitWriter {
  private var bytes: [UInt8] = []
  private var pending: UInt64 = 0
  private var count = 0

  init(capacity: Int) { bytes.reserveCapacity(capacity / 8 + 1) }

  /// Appends the bits of `byte` at the ones of `mask`, lowest first.
  @inline(__always)
  mutating func append(_ byte: UInt8, at mask: UInt8) {
    var rest = mask
    while rest != 0 {
      pending |= UInt64(byte >> rest.trailingZeroBitCount & 1) &<< UInt64(count)
      count += 1
      rest &= rest &- 1
    }
    while count >= 8 {
      bytes.append(UInt8(truncatingIfNeeded: pending))
      pending >>= 8
      count -= 8
    }
  }

  mutating func finish() -> [UInt8] {
    if count > 0 { bytes.append(UInt8(truncatingIfNeeded: pending)) }
    return bytes
  }
}

private struct BitReader {
  private let bytes: [UInt8]
  private var at = 0
  private var pending: UInt64 = 0
  private var count = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The next bits, one for each 1 of `mask`, at its places.
  @inline(__always)
  mutating func next(at mask: UInt8) -> UInt8 {
    if count < 8, at < bytes.count {
      pending |= UInt64(bytes[at]) &<< UInt64(count)
      at += 1
      count += 8
    }
    var result: UInt8 = 0
    var rest = mask
    while rest != 0 {
      result |= UInt8(truncatingIfNeeded: pending & 1) &<< UInt8(truncatingIfNeeded: rest.trailingZeroBitCount)
      pending >>= 1
      count -= 1
      rest &= rest &- 1
    }
    return result
  }
}
