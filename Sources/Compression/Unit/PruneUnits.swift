// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Maths
public import Matrices
public import Parallel
public import Tensors

extension PruningRule {
  /// Whether each unit of a hidden layer stays: those with the largest norms of incoming weights do, lower indices
  /// first among equals. An error is that of the incoming weights.
  ///
  /// - Parameter squaredNorms: of the units' incoming weights, all in the same unit.
  public func kept(_ squaredNorms: [Double]) -> [Bool] {
    let order = squaredNorms.indices.sorted { a, b in
      squaredNorms[a] != squaredNorms[b] ? squaredNorms[a] > squaredNorms[b] : a < b
    }
    var count = order.count
    switch self {
    case .keep(let fraction): count = fraction.ceiling(of: order.count)
    case .error(let most):
      // From the smallest up, so that what is dropped is summed without being swallowed.
      let total = order.reversed().reduce(0) { $0 + squaredNorms[$1] }
      var dropped = 0.0
      while count > 0 {
        dropped += squaredNorms[order[count - 1]]
        guard dropped == 0 || (dropped / total).squareRoot() <= most else { break }
        count -= 1
      }
    }
    var kept = [Bool](repeating: false, count: order.count)
    for unit in order[..<count] { kept[unit] = true }
    return kept
  }
}

extension StoredMatrix {
  /// - Throws: `NonFiniteWeight` for an infinity or NaN.
  public func checkFinite(threads: Threads) throws(NonFiniteWeight) { _ = try unit(threads: threads) }

  /// The squared L2 norms of the incoming weights of every output unit, in units of a power of two near the square of
  /// the largest weight, so that they neither overflow nor vanish; sums in double, in the order of the inputs.
  ///
  /// - Throws: `NonFiniteWeight` for an infinity or NaN.
  public func squaredNorms(threads: Threads) throws(NonFiniteWeight) -> [Double] {
    let unit = try unit(threads: threads)
    let blocks = threads.results(weights.blocks) { block in
      let rows = weights.rows(ofBlock: block)
      return withDoubles(rows) { x in
        (0..<rows.count).map { row in
          var sum = 0.0
          for weight in x[(row * inputs)..<((row + 1) * inputs)] {
            let scaled = weight / unit
            sum += scaled * scaled
          }
          return sum
        }
      }
    }
    return inputs == 0 ? [Double](repeating: 0, count: outputs) : blocks.flatMap { $0 }
  }

  /// Adds what constant inputs contribute to the sums of the output units: bᵣ + Σ cᵢ·W[r, i], in double, in the order
  /// of the inputs.
  ///
  /// - Parameters:
  ///   - constants: the inputs that are constant, in ascending order, with their values.
  ///   - bias: a number for each output unit.
  ///   - outputs: which of the units get the sum; the others become 0.
  /// - Returns: the sums, and whether any product was not zero.
  public func folding(
    _ constants: [(input: Int, value: Double)], into bias: [Double], of outputs: [Bool], threads: Threads
  ) -> (sums: [Double], isChanged: Bool) {
    let blocks = threads.results(inputs == 0 ? 0 : weights.blocks) { block in
      let rows = weights.rows(ofBlock: block)
      return withDoubles(rows) { x in
        var isChanged = false
        let sums = rows.map { row in
          guard outputs[row] else { return 0.0 }
          var sum = bias[row]
          for (input, value) in constants {
            let product = value * x[(row - rows.lowerBound) * inputs + input]
            if product != 0 { isChanged = true }
            sum += product
          }
          return sum
        }
        return (sums, isChanged)
      }
    }
    guard inputs > 0 else { return (zip(bias, outputs).map { $1 ? $0 : 0 }, false) }
    return (blocks.flatMap { $0.0 }, blocks.contains { $0.1 })
  }

  /// Which inputs have no weight but zeros to the output units that count.
  public func unusedInputs(by outputs: [Bool], threads: Threads) -> [Bool] {
    threads.results(inputs == 0 ? 0 : weights.blocks) { block in
      let rows = weights.rows(ofBlock: block)
      return withDoubles(rows) { x in
        var unused = [Bool](repeating: true, count: inputs)
        for row in rows where outputs[row] {
          for input in 0..<inputs where x[(row - rows.lowerBound) * inputs + input] != 0 { unused[input] = false }
        }
        return unused
      }
    }.reduce([Bool](repeating: true, count: inputs)) { zip($0, $1).map { $0 && $1 } }
  }

  /// Which output units have no incoming weight that is infinite or not a number.
  public func finiteOutputs(threads: Threads) -> [Bool] {
    let blocks = threads.results(inputs == 0 ? 0 : weights.blocks) { block in
      let rows = weights.rows(ofBlock: block)
      return withDoubles(rows) { x in
        (0..<rows.count).map { row in x[(row * inputs)..<((row + 1) * inputs)].allSatisfy(\.isFinite) }
      }
    }
    return inputs == 0 ? [Bool](repeating: true, count: outputs) : blocks.flatMap { $0 }
  }

  /// A power of two near the largest magnitude; 1 for zeros.
  private func unit(threads: Threads) throws(NonFiniteWeight) -> Double {
    let largest =
      threads.results(weights.blocks) { block in
        let rows = weights.rows(ofBlock: block)
        // Compared as bits, which orders infinities and NaN above all numbers.
        return withDoubles(rows) { x in x.reduce(0) { max($0, $1.magnitude.bitPattern) } }
      }.max().map { Double(bitPattern: $0) } ?? 0
    guard largest.isFinite else { throw NonFiniteWeight(index: weights.firstNonFinite() ?? 0) }
    return largest > 0 ? largest.binade : 1
  }
}

/// An operation on one of several values, with its parameters at hand.
public enum ElementwiseOperation: Sendable, Equatable {
  /// Any activation but softmax.
  case activation(Activation)
  /// γ(x − μ)/√(σ² + ε) + β, a number of each for every value.
  case normalization(mean: [Double], variance: [Double], gamma: [Double]?, beta: [Double]?, epsilon: Double)
  /// (x − μ)/max(√σ², ε), a number of each for every value.
  case standardisation(mean: [Double], variance: [Double], epsilon: Double)
  /// x for x ≥ 0, else αx, a slope for every value.
  case prelu([Double])
  case rescaling(scale: Double, offset: Double)

  /// The result for value number `index`; `nil` when the operation needs the other values as well.
  public func value(at x: Double, index: Int) -> Double? {
    switch self {
    case .activation(let function): function.value(at: x)
    case .normalization(let mean, let variance, let gamma, let beta, let epsilon):
      (gamma?[index] ?? 1) * (x - mean[index]) / (variance[index] + epsilon).squareRoot() + (beta?[index] ?? 0)
    case .standardisation(let mean, let variance, let epsilon):
      (x - mean[index]) / max(variance[index].squareRoot(), epsilon)
    case .prelu(let slopes): x >= 0 ? x : slopes[index] * x
    case .rescaling(let scale, let offset): x * scale + offset
    }
  }
}
