// SPDX-License-Identifier: Apache-2.0

/// LZF, the compression that h5py stores by default under filter number 32000.
///
/// A control byte below 32 announces that many literal bytes plus one; any other starts a back reference of
/// 3 to 264 bytes, at most 8,192 bytes back.
enum LZF {
  static let filter: Int32 = 32000

  /// Bytes that `input` decodes to; `nil` when it is damaged.
  static func decodedCount(_ input: UnsafeRawBufferPointer) -> Int? {
    var count = 0
    let isSound = scan(
      input, literals: { count += $1 },
      reference: { distance, length in
        guard distance <= count else { return false }
        count += length
        return true
      })
    return isSound ? count : nil
  }

  /// Decodes into `output`, which has room for `decodedCount(input)` bytes.
  static func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
    var count = 0
    _ = scan(
      input,
      literals: { position, length in
        for i in 0..<length { output[count + i] = input[position + i] }
        count += length
      },
      reference: { distance, length in
        // Byte by byte: the source may overlap what is being written.
        for i in count..<count + length { output[i] = output[i - distance] }
        count += length
        return true
      })
  }

  /// Walks through the stream; `false` when it ends in the middle or `reference` refuses.
  @inline(__always)
  private static func scan(
    _ input: UnsafeRawBufferPointer, literals: (_ position: Int, _ length: Int) -> Void,
    reference: (_ distance: Int, _ length: Int) -> Bool
  ) -> Bool {
    var position = 0
    while position < input.count {
      let control = Int(input[position])
      position += 1
      if control < 32 {
        guard input.count - position > control else { return false }
        literals(position, control + 1)
        position += control + 1
      } else {
        var length = control >> 5
        if length == 7 {
          guard position < input.count else { return false }
          length += Int(input[position])
          position += 1
        }
        guard position < input.count else { return false }
        let distance = (control & 31) << 8 + Int(input[position]) + 1
        position += 1
        guard reference(distance, length + 2) else { return false }
      }
    }
    return true
  }
}
