internal import CLoops
internal import Parallel
internal import Tensors

/// `ternarize` for float64, in double throughout. Nothing when a weight is not finite.
///
/// Norms are taken of the weights divided by a power of two near the largest, so that their ratio is right even where
/// squares overflow.
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
  let unit = largest > 0 ? largest.binade : 1

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
  return assemble(weights, group: group, threads: threads, scale: tensor?.support.mean, unit: unit) { block, output in
    let range = weights.rows(ofBlock: block)
    let groups = group.perRow(columns: weights.columns)
    var loss = Loss()
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
          ties -= write(w, support: found, unit: unit, codes: codes, first: run.lowerBound, loss: &loss)
        }
      }
    }
    return loss
  }
}

/// Writes the trits of a run of weights and adds up what is lost; returns how many ties it kept.
private func write(
  _ w: UnsafeBufferPointer<Double>, support: Support, unit: Double, codes: UnsafeMutablePointer<UInt8>, first: Int,
  loss: inout Loss
) -> Int {
  var ties = 0
  for i in 0..<w.count {
    let magnitude = w[i].magnitude
    let tied = magnitude == support.above && ties < support.ties
    if tied { ties += 1 }
    let kept = tied || magnitude > support.above
    if kept {
      codes[(first + i) / 4] |= (w[i] < 0 ? 3 : 1) << UInt8((first + i) % 4 * 2)
      loss.nonzero += 1
    }
    let norm = magnitude / unit
    let error = kept ? norm - support.mean / unit : norm
    loss.norm += norm * norm
    loss.error += error * error
  }
  return ties
}
