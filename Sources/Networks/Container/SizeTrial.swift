// SPDX-License-Identifier: Apache-2.0

internal import NCZ
internal import Random
internal import Tensors

/// What several trials to fit a size have in common: everything but the matrices that are pruned.
///
/// In a trial nothing is kept of what is written, nothing is checked, and digests and errors, whose texts always take
/// as much room, are not computed. One thread writes.
package final class SizeTrial: @unchecked Sendable {
  /// Tensors that are carried, by index, with their payloads.
  var carried: [Int: (record: TensorRecord, payloads: [Payload])] = [:]
  /// The container, by the number of its bytes.
  var containers: [Int: Payload] = [:]

  package init() {}
}

extension Digest {
  /// Stands for any other where only sizes count: as incompressible as they are, since the directory is compressed.
  package static func placeholder(_ number: Int) -> Digest {
    var random = SplitMix64(seed: UInt64(truncatingIfNeeded: number))
    return Digest(bytes: (0..<byteCount).map { _ in UInt8.random(in: 0...255, using: &random) })
  }
}
