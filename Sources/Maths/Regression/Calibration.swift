// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Parallel

/// The factor s > 0 for which the mean of −ln softmax(s·zᵢ)_{yᵢ} over samples is smallest: scores that a regression found
/// become logits (Platt 1999; Guo et al. 2017, where 1/s is a temperature). 1 where no factor is: where larger scores do not
/// go with the label, or always do.
///
/// The mean is convex in s; its derivative's root is found by halving in ln s.
///
/// - Parameters:
///   - scores: samples × width, width ≥ 2.
///   - labels: one a sample, below width.
public func calibrationFactor(_ scores: [Double], width: Int, labels: [Int], threads: Threads) -> Double {
  precondition(scores.count == labels.count * width, "scores of all samples")
  func slope(_ s: Double) -> Double {
    threads.results((labels.count + 4095) / 4096) { block in
      var total = 0.0
      for sample in block * 4096..<min(labels.count, (block + 1) * 4096) {
        let row = scores[sample * width..<(sample + 1) * width]
        let largest = row.reduce(-Double.infinity) { max($0, $1) }
        var (sum, weighted) = (0.0, 0.0)
        for z in row {
          let power = exp(s * (z - largest))
          sum += power
          weighted += power * z
        }
        total += weighted / sum - row[row.startIndex + labels[sample]]
      }
      return total
    }.reduce(0, +)
  }
  var (low, high) = (-20.0, 20.0)
  guard slope(exp(low)) < 0, slope(exp(high)) > 0 else { return 1 }
  for _ in 0..<50 {
    let middle = (low + high) / 2
    if slope(exp(middle)) < 0 { low = middle } else { high = middle }
  }
  return exp((low + high) / 2)
}
