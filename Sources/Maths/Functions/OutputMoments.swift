// SPDX-License-Identifier: Apache-2.0

public import Parallel
internal import Tensors

extension NetworkFunction {
  /// The outputs for some samples, computed by the thread that asks: `outputCount` numbers each.
  public func outputs(
    in range: Range<Int>, fill: (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> [Double] {
    sideBySide(network.outputs, values(of: range, fill: fill), range.count)
  }

  /// Mean and variance of every output over samples, as `momentsOfRows`.
  public func outputMoments(
    samples: Int, threads: Threads, fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> (means: [Double], variances: [Double]) {
    momentsOfRows(samples: samples, width: outputCount, threads: threads) { outputs(in: $0, fill: fill) }
  }
}

/// Mean and variance of every column over one or more samples; the variance is divided by their number.
///
/// Both are summed over blocks of samples in their order, about the numbers of the first sample.
///
/// - Parameter rows: the numbers of some samples, `width` each; several threads may ask.
public func momentsOfRows(
  samples: Int, width: Int, threads: Threads, rows: @Sendable (Range<Int>) -> [Double]
) -> (means: [Double], variances: [Double]) {
  let centre = rows(0..<1)
  let block = NetworkFunction.samplesAtOnce
  let parts = threads.results((samples + block - 1) / block) { number in
    let range = number * block..<min(samples, (number + 1) * block)
    let values = rows(range)
    var (sums, squares) = ([Double](repeating: 0, count: width), [Double](repeating: 0, count: width))
    for row in 0..<range.count {
      for i in 0..<width {
        let difference = values[row * width + i] - centre[i]
        sums[i] += difference
        squares[i] += difference * difference
      }
    }
    return (sums, squares)
  }
  var (means, variances) = ([Double](repeating: 0, count: width), [Double](repeating: 0, count: width))
  for part in parts {
    for i in 0..<width {
      means[i] += part.0[i]
      variances[i] += part.1[i]
    }
  }
  for i in 0..<width {
    means[i] /= Double(samples)
    variances[i] = max(0, variances[i] / Double(samples) - means[i] * means[i])
    means[i] += centre[i]
  }
  return (means, variances)
}
