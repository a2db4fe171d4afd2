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

  /// Mean and variance of every output over samples; the variance is divided by their number.
  ///
  /// Both are summed over blocks of samples in their order, about the outputs of the first sample.
  public func outputMoments(
    samples: Int, threads: Threads, fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> (means: [Double], variances: [Double]) {
    let width = outputCount
    let centre = outputs(in: 0..<1, fill: fill)
    let parts = threads.results((samples + Self.samplesAtOnce - 1) / Self.samplesAtOnce) { block in
      let range = block * Self.samplesAtOnce..<min(samples, (block + 1) * Self.samplesAtOnce)
      let values = outputs(in: range, fill: fill)
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
}
