// SPDX-License-Identifier: Apache-2.0

package import Matrices
package import Parallel
package import Tensors

/// What a step makes of the values of a tensor.
package enum NewValues: Sendable {
  case weights(Weights)
  /// Some of the values before, which must outlive this.
  case masked(MaskedMatrix)

  /// Restores the values, little-endian and row-major, piece by piece in order; few pieces are in memory at once.
  package func forEachPiece(
    type: ElementType, threads: Threads, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    switch self {
    case .weights(let weights): try weights.forEachPiece(type: type, threads: threads, body)
    case .masked(let matrix): try MaskedSlabs(matrix).forEach(threads, body)
    }
  }

  /// What a tensor with values `before` loses, and the digests of these and of the values that this restores to: in one
  /// pass, which costs little more than reading them.
  ///
  /// - Parameter didReach: told how many bytes were compared.
  package func difference(
    from before: UnsafeRawBufferPointer, type: ElementType, shape: Shape, threads: Threads,
    didReach: (Int) -> Void = { _ in }
  ) -> (difference: ValueDifference, from: Digest, digest: Digest) {
    var difference = ValueDifference()
    var (folded, foldedBefore) = (FoldedBytes(), FoldedBytes())
    var start = 0
    forEachPiece(type: type, threads: threads) { piece in
      let own = UnsafeRawBufferPointer(rebasing: before[start..<start + piece.count])
      difference.add(own, piece, type: type, threads: threads)
      foldedBefore.update(own, threads: threads)
      folded.update(piece, threads: threads)
      start += piece.count
      didReach(start)
    }
    return (
      difference, foldedBefore.digest(type: type, shape: shape), folded.digest(type: type, shape: shape)
    )
  }

  /// The digest of the values that this restores to.
  package func digest(type: ElementType, shape: Shape, threads: Threads) -> Digest {
    var folded = FoldedBytes()
    forEachPiece(type: type, threads: threads) { folded.update($0, threads: threads) }
    return folded.digest(type: type, shape: shape)
  }
}
