// SPDX-License-Identifier: Apache-2.0

internal import CLoops

/// SHA-256 (FIPS 180-4), for content digests: of values only what they are folded to.
struct SHA256 {
  private var state: [UInt32] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
  ]
  /// Less than a block.
  private var pending: [UInt8] = []
  private var byteCount: UInt64 = 0

  private static let block = 64

  /// Appends bytes to the message.
  mutating func update(_ bytes: some Sequence<UInt8>) {
    let before = pending.count
    pending.append(contentsOf: bytes)
    byteCount += UInt64(pending.count - before)
    let blocks = pending.count / Self.block
    guard blocks > 0 else { return }
    nc_sha256_blocks(&state, pending, blocks)
    pending.removeFirst(blocks * Self.block)
  }

  /// The digest of all that was appended: 32 bytes.
  consuming func finalize() -> [UInt8] {
    let bits = byteCount &* 8
    let zeros = (2 * Self.block - 9 - pending.count) % Self.block
    update(
      [0x80] + [UInt8](repeating: 0, count: zeros)
        + (0..<8).map { UInt8(truncatingIfNeeded: bits &>> (56 - 8 * UInt64($0))) })
    return state.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word &>> (24 - 8 * UInt32($0))) } }
  }
}
