// SPDX-License-Identifier: Apache-2.0

/// Elements above which they are first scattered: so many fit the second-level cache.
private let scatteredCount = 1 << 18
private let bucketCount = 256

/// Room that the shuffling of `count` elements takes, in elements.
func shuffleRoom(for count: Int) -> Int { count > scatteredCount ? count + count / 4 + 1 : 0 }

/// Puts elements of 32 bits in random order, every order equally likely.
///
/// Up to 2¹⁸ elements by exchanges, each with one at or before it. More are first scattered to 256 buckets, each
/// independently, and then exchanged within them: exchanges all over the memory would be several times slower.
///
/// - Parameter room: `shuffleRoom(for:)` elements. What it holds is lost.
func shuffle(
  _ elements: UnsafeMutableBufferPointer<UInt32>, room: UnsafeMutableBufferPointer<UInt32>,
  using generator: inout some RandomNumberGenerator
) {
  guard elements.count > scatteredCount else { return exchange(elements, using: &generator) }
  precondition(room.count >= shuffleRoom(for: elements.count), "room for the elements, and a byte for each")
  let buckets = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(room)[(4 * elements.count)...])
  var word: UInt64 = 0
  for i in elements.indices {
    if i % 8 == 0 { word = generator.next() }
    buckets[i] = UInt8(truncatingIfNeeded: word)
    word >>= 8
  }
  var ends = [Int](repeating: 0, count: bucketCount)
  for bucket in buckets[..<elements.count] { ends[Int(bucket)] += 1 }
  var start = 0
  for bucket in ends.indices { (ends[bucket], start) = (start, start + ends[bucket]) }
  ends.withUnsafeMutableBufferPointer { ends in
    for i in elements.indices {
      let bucket = Int(buckets[i])
      room[ends[bucket]] = elements[i]
      ends[bucket] += 1
    }
  }
  var first = 0
  for end in ends {
    exchange(UnsafeMutableBufferPointer(rebasing: room[first..<end]), using: &generator)
    first = end
  }
  _ = elements.update(fromContentsOf: room[..<elements.count])
}

private func exchange(
  _ elements: UnsafeMutableBufferPointer<UInt32>, using generator: inout some RandomNumberGenerator
) {
  // Two numbers of 32 bits from each of 64.
  var word: UInt64 = 0
  var hasHalf = false
  for last in stride(from: elements.count - 1, to: 0, by: -1) {
    let bound = UInt32(last + 1)
    var product: UInt64
    repeat {
      word = hasHalf ? word >> 32 : generator.next()
      hasHalf.toggle()
      product = UInt64(UInt32(truncatingIfNeeded: word)) &* UInt64(bound)
      // Products whose low half is too small would favour some numbers.
    } while UInt32(truncatingIfNeeded: product) < bound && UInt32(truncatingIfNeeded: product) < (0 &- bound) % bound
    elements.swapAt(last, Int(product >> 32))
  }
}
