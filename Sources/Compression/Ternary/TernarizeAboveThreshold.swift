// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Matrices
public import Parallel
internal import Tensors

/// Keeps the weights of a matrix that a threshold keeps as ± the scale of their output unit: the mean of their
/// magnitudes, which is the best for them, rounded to the type of the weights. Weights that are zero stay zero and do
/// not enter the mean.
///
/// - Parameters:
///   - source: the weights; the result is output units × inputs, whichever way they are stored.
///   - threads: the result does not depend on it.
/// - Throws: `NonFiniteWeight` for an infinity or NaN.
public func ternarize(
  _ source: StoredMatrix, threshold: MagnitudeThreshold,
  threads: Threads
) throws(NonFiniteWeight) -> Ternarization {
  let weights = source.weights
  let type = weights.type
  let rowThresholds = RowThresholds(threshold, weights, threads: threads)
  let elements = source.elements
  let largestKey = elements.largestKey(threads: threads)
  guard largestKey < type.infinityKey else { throw elements.nonFinite() }
  let unit = type == .float64 && largestKey > 0 ? Double(bitPattern: largestKey).binade : 1
  let result = assemble(weights, group: .row, threads: threads, scale: nil) { block, output in
    let range = weights.rows(ofBlock: block)
    return type == .float64
      ? weights.withDoubles(range) { ternarize($0, range, rowThresholds, unit: unit, to: output) }
      : weights.withFloats(range) { ternarize($0, range, rowThresholds, to: output) }
  }
  guard let result else { throw elements.nonFinite() }
  return result
}

extension RowThresholds {
  /// The columns of a row with the magnitude that what is kept of them exceeds.
  fileprivate func runs(_ row: Int) -> [(columns: Range<Int>, above: Double)] {
    let tied = tiedColumns(row)
    return [(0..<tied, above(least)), (tied..<weights.columns, above(leastAbove))]
  }

  /// The largest magnitude below a key, or zero.
  private func above(_ key: UInt64) -> Double { weights.type.magnitude(ofKey: max(1, key) - 1) }
}

private func ternarize(
  _ floats: UnsafePointer<Float>, _ range: Range<Int>, _ threshold: RowThresholds, to output: TernaryOutput
) -> Int {
  let weights = threshold.weights
  let collection = UndecidedMagnitudes()
  var nonzeroCount = 0
  for row in range {
    let x = floats + (row - range.lowerBound) * weights.columns
    let runs = threshold.runs(row)
    var kept = nc_tail()
    for (columns, above) in runs {
      let run = ContiguousMagnitudes(weights: x + columns.lowerBound, count: columns.count)
      let tail = run.collect(low: Float(above), high: Float(above), into: collection)
      kept = nc_tail(sum: kept.sum + tail.sum, count: kept.count + tail.count)
    }
    output.scales[row] = kept.count > 0 ? weights.type.nearest(kept.sum / Double(kept.count)) : 0
    let codes = output.codes + row * TernaryMatrix.rowBytes(columns: weights.columns)
    for (columns, above) in runs {
      nonzeroCount += nc_ternary_pack(x + columns.lowerBound, columns.count, Float(above), codes, columns.lowerBound)
    }
  }
  return nonzeroCount
}

/// In units of `unit`, so that nothing overflows.
private func ternarize(
  _ doubles: UnsafePointer<Double>, _ range: Range<Int>, _ threshold: RowThresholds, unit: Double,
  to output: TernaryOutput
) -> Int {
  let weights = threshold.weights
  var nonzeroCount = 0
  for row in range {
    let x = doubles + (row - range.lowerBound) * weights.columns
    let runs = threshold.runs(row)
    var sum = 0.0
    var count = 0
    for (columns, above) in runs {
      for c in columns where x[c].magnitude > above {
        sum += x[c].magnitude / unit
        count += 1
      }
    }
    let mean = count > 0 ? sum / Double(count) : 0
    output.scales[row] = mean * unit
    let codes = output.codes + row * TernaryMatrix.rowBytes(columns: weights.columns)
    for (columns, above) in runs {
      for c in columns where x[c].magnitude > above { codes[c / 4] |= (x[c] < 0 ? 3 : 1) << UInt8(c % 4 * 2) }
    }
    nonzeroCount += count
  }
  return nonzeroCount
}
