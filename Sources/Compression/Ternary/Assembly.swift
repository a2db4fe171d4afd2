// SPDX-License-Identifier: Apache-2.0

internal import Matrices
internal import Parallel
internal import Tensors

/// Codes and scales being written by several threads, each to rows of its own.
struct TernaryOutput: @unchecked Sendable {
  let codes: UnsafeMutablePointer<UInt8>
  let scales: UnsafeMutablePointer<Double>
}

/// Runs `body` over all blocks and puts the result together; it returns how many trits are not zero. `nil` when a block
/// returns `nil`. `scale` is that of the whole matrix, if it has one scale.
func assemble(
  _ weights: WeightRows, group: ScaleGroup, threads: Threads, scale: Double?,
  _ body: @Sendable (Int, TernaryOutput) -> Int?
) -> Ternarization? {
  var codes = [UInt8](repeating: 0, count: weights.rows * TernaryMatrix.rowBytes(columns: weights.columns))
  var scales = [Double](repeating: scale ?? 0, count: group.count(rows: weights.rows, columns: weights.columns))
  let counts = codes.withUnsafeMutableBufferPointer { codes in
    scales.withUnsafeMutableBufferPointer { scales -> [Int?] in
      guard let c = codes.baseAddress, let s = scales.baseAddress else { return [] }
      let output = TernaryOutput(codes: c, scales: s)
      return threads.results(weights.blocks) { body($0, output) }
    }
  }
  var total = 0
  for count in counts {
    guard let count else { return nil }
    total += count
  }
  guard
    let matrix = TernaryMatrix(
      rows: weights.rows, columns: weights.columns, group: group, codes: codes, scales: scales)
  else { return nil }
  return Ternarization(matrix: matrix, nonzeroCount: total)
}
