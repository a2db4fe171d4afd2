internal import Parallel
internal import Tensors

/// What a block adds to the totals.
struct Loss: Sendable {
  var norm = 0.0
  var error = 0.0
  /// Trits that are not zero.
  var nonzero = 0
}

/// Codes and scales being written by several threads, each to rows of its own.
struct TernaryOutput: @unchecked Sendable {
  let codes: UnsafeMutablePointer<UInt8>
  let scales: UnsafeMutablePointer<Double>
}

extension ScaleGroup {
  /// The inputs of group `g` of a row.
  func inputs(_ g: Int, columns: Int) -> Range<Int> {
    guard case .inputs(let count) = self else { return 0..<columns }
    let first = g * count
    return first..<(columns - first < count ? columns : first + count)
  }
}

/// Runs `body` over all blocks, adds up in block order, and puts the result together. Nothing when a block returns
/// nothing. `scale` is that of the whole matrix, if it has one scale; losses are in units of `unit`².
func assemble(
  _ weights: WeightRows, group: ScaleGroup, threads: Threads, scale: Double?, unit: Double,
  _ body: @Sendable (Int, TernaryOutput) -> Loss?
) -> Ternarization? {
  var codes = [UInt8](repeating: 0, count: weights.rows * TernaryMatrix.rowBytes(columns: weights.columns))
  var scales = [Double](repeating: scale ?? 0, count: group.count(rows: weights.rows, columns: weights.columns))
  let losses = codes.withUnsafeMutableBufferPointer { codes in
    scales.withUnsafeMutableBufferPointer { scales -> [Loss?] in
      guard let c = codes.baseAddress, let s = scales.baseAddress else { return [] }
      let output = TernaryOutput(codes: c, scales: s)
      return threads.results(weights.blocks) { body($0, output) }
    }
  }
  var total = Loss()
  for loss in losses {
    guard let loss else { return nil }
    total.norm += loss.norm
    total.error += loss.error
    total.nonzero += loss.nonzero
  }
  guard
    let matrix = TernaryMatrix(
      rows: weights.rows, columns: weights.columns, group: group, codes: codes, scales: scales)
  else { return nil }
  return Ternarization(
    matrix: matrix, squaredNorm: total.norm * unit * unit, squaredError: total.error * unit * unit,
    relativeL2: total.norm > 0 ? (total.error / total.norm).squareRoot() : 0,
    nonzeroCount: total.nonzero)
}
