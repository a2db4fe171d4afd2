// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Matrices
internal import Parallel
internal import Tensors

/// `ternarize` for float64, in double throughout. `nil` when a weight is not finite.
func ternarizeWide(
  _ weights: WeightRows, group: ScaleGroup, rule: TernaryRule, threads: Threads
) -> Ternarization? {
  let largest =
    threads.results(weights.blocks) { block in
      let rows = weights.rows(ofBlock: block)
      return weights.withDoubles(rows) { x in
        // Compared as bits, which orders infinities and NaN above all numbers.
        (0..<rows.count * weights.columns).reduce(0) { max($0, x[$1].magnitude.bitPattern) }
      }
    }.max().map { Double(bitPattern: $0) } ?? 0
  guard largest.isFinite else { return nil }

  var whole: (support: Support, ties: [Int])?
  if group == .tensor {
    let all = threads.results(weights.blocks) { block in
      let rows = weights.rows(ofBlock: block)
      return weights.withDoubles(rows) { x in (0..<rows.count * weights.columns).map { x[$0].magnitude } }
    }
    let found = all.flatMap { $0 }.withUnsafeBufferPointer { support(ofDoubles: $0, rule: rule) }
    var left = found.ties
    let ties = all.map { block in
      let kept = left > 0 ? min(left, block.count { $0 == found.above }) : 0
      left -= kept
      return kept
    }
    whole = (found, ties)
  }
  let tensor = whole
  return assemble(weights, group: group, threads: threads, scale: tensor?.support.mean) { block, output in
    let range = weights.rows(ofBlock: block)
    let groups = group.perRow(columns: weights.columns)
    var nonzeroCount = 0
    var ties = tensor?.ties[block] ?? 0
    weights.withDoubles(range) { x in
      for row in range {
        for g in 0..<groups {
          let run = group.inputs(g, columns: weights.columns)
          let w = UnsafeBufferPointer(
            start: x + (row - range.lowerBound) * weights.columns + run.lowerBound, count: run.count)
          var found: Support
          if let tensor {
            found = tensor.support
            found.ties = ties
          } else {
            found = support(ofDoubles: w, rule: rule)
            output.scales[row * groups + g] = found.mean
          }
          let codes = output.codes + row * TernaryMatrix.rowBytes(columns: weights.columns)
          let kept = write(w, support: found, codes: codes, first: run.lowerBound)
          ties -= kept.ties
          nonzeroCount += kept.count
        }
      }
    }
    return nonzeroCount
  }
}

/// Writes the trits of a run of weights; returns how many are not zero, and how many ties are among them.
private func write(
  _ w: UnsafeBufferPointer<Double>, support: Support, codes: UnsafeMutablePointer<UInt8>, first: Int
) -> (count: Int, ties: Int) {
  var (count, ties) = (0, 0)
  for i in 0..<w.count {
    let magnitude = w[i].magnitude
    let tied = magnitude == support.above && ties < support.ties
    guard tied || magnitude > support.above else { continue }
    codes[(first + i) / 4] |= (w[i] < 0 ? 3 : 1) << UInt8((first + i) % 4 * 2)
    count += 1
    if tied { ties += 1 }
  }
  return (count, ties)
}
