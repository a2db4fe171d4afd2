// SPDX-License-Identifier: Apache-2.0

import Compression
import Matrices
import Parallel
import Random
import Tensors

/// Times what prunes: the search for the k-th largest magnitude, and what is kept as a sparse matrix and back.
func measurePruning(into bench: inout Measurements) throws {
  let side = 4096
  let bytes = 4 * side * side
  guard ["k-th largest", "prune to sparse", "restore sparse"].contains(where: bench.wants) else { return }
  var random = SplitMix64(seed: 1)
  let weights = random.floats(.gaussian, side * side)
  var room = [UInt8](repeating: 0, count: bytes)
  try weights.withUnsafeBytes { source in
    for keep in ["0.5", "0.1", "0.01"] {
      guard let fraction = Fraction(keep) else { continue }
      func threshold(_ threads: Int) throws -> MagnitudeThreshold {
        try magnitudeThreshold(source, type: .float32, rule: .keep(fraction), threads: Threads(threads))
      }
      for threads in [1, 2] {
        try bench.add("k-th largest", "\(side)×\(side) float32, keep \(keep)", threads: threads, bytes: bytes) {
          _ = try threshold(threads)
        }
      }
      let threshold = try threshold(0)
      for (transposed, threads) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
        let data = "\(side)×\(side) float32\(transposed ? ", inputs×outputs" : ""), keep \(keep)"
        func pruned() throws -> MaskedMatrix {
          try prune(
            StoredMatrix(source, type: .float32, rows: side, columns: side, transposed: transposed),
            threshold: threshold,
            threads: Threads(threads)
          ).matrix
        }
        try bench.add("prune to sparse", data, threads: threads, bytes: bytes) { _ = try pruned() }
        let matrix = SparseMatrix(try pruned())
        bench.add("restore sparse", data, threads: threads, bytes: bytes) {
          room.withUnsafeMutableBytes { out in
            decode(matrix, type: .float32, transposed: transposed, into: out, threads: Threads(threads))
          }
        }
      }
    }
  }
}
