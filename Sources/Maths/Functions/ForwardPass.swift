// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Parallel
internal import Tensors

extension NetworkFunction {
  /// What a network answers: `width` numbers for each sample, of several outputs one after the other.
  public struct Outputs: Sendable {
    public var width: Int
    /// The outputs.
    public var values: [Double]
    /// The same without a softmax that comes last.
    public var logits: [Double]
  }

  /// Samples that a thread computes together.
  public static let samplesAtOnce = 256

  /// Returns the outputs for samples.
  ///
  /// - Parameters:
  ///   - samples: how many there are.
  ///   - threads: results do not depend on it.
  ///   - fill: writes the inputs of some samples, `inputCount` numbers each; several threads may ask for some each.
  public func outputs(
    samples: Int, threads: Threads, fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> Outputs {
    let logitNodes = self.logitNodes
    let blocks = threads.results((samples + Self.samplesAtOnce - 1) / Self.samplesAtOnce) { block in
      let range = block * Self.samplesAtOnce..<min(samples, (block + 1) * Self.samplesAtOnce)
      let values = self.values(of: range, fill: fill)
      return (sideBySide(network.outputs, values, range.count), sideBySide(logitNodes, values, range.count))
    }
    let values = blocks.flatMap(\.0)
    return Outputs(
      width: outputCount, values: values, logits: logitNodes == network.outputs ? values : blocks.flatMap(\.1))
  }

  /// The values of some nodes side by side.
  func sideBySide(_ nodes: [Int], _ values: [[Double]], _ samples: Int) -> [Double] {
    if nodes.count == 1 { return values[nodes[0]] }
    return (0..<samples).flatMap { sample in
      nodes.flatMap { values[$0][sample * shapes[$0].count..<(sample + 1) * shapes[$0].count] }
    }
  }

  /// The value of every node for some samples, or of those up to one.
  func values(
    of range: Range<Int>, upTo last: Int? = nil, fill: (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) -> [[Double]] {
    let inputs = [Double](unsafeUninitializedCapacity: range.count * inputCount) { buffer, count in
      count = range.count * inputCount
      fill(range, UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
    }
    var values: [[Double]] = []
    var offset = 0
    for index in network.nodes.indices.prefix((last ?? .max - 1) + 1) {
      var value: [Double]
      if case .input = operations[index] {
        value = columns(offset..<offset + shapes[index].count, of: inputs, width: inputCount, samples: range.count)
        offset += shapes[index].count
      } else {
        value = self.value(of: index, samples: range.count, values)
      }
      if let precision { value = value.map { precision.nearest($0) } }
      values.append(value)
    }
    return values
  }

  private func columns(_ range: Range<Int>, of x: [Double], width: Int, samples: Int) -> [Double] {
    if range == 0..<width { return x }
    return (0..<samples).flatMap { x[$0 * width + range.lowerBound..<$0 * width + range.upperBound] }
  }

  private func value(of index: Int, samples: Int, _ values: [[Double]]) -> [Double] {
    let node = network.nodes[index]
    let input = node.inputs.first.map { values[$0] } ?? []
    let width = shapes[index].width
    switch operations[index] {
    case .input: return []
    case .copy: return input
    case .dense(let matrix, let bias):
      return dense(
        matrix, bias.map { vectors[$0] }, input, levels: fewLevels(of: node.inputs[0]),
        rows: samples * shapes[index].positions)
    case .activation(.softmax): return softmax(input, width: width)
    case .activation(.linear): return input
    case .activation(.relu): return input.map { max($0, 0) }
    case .activation(.piecewiseConstant(let levels, let thresholds)):
      return thresholds.withUnsafeBufferPointer { thresholds in
        input.map { x in
          var number = 0
          for threshold in thresholds where threshold < x { number += 1 }
          return x.isNaN ? x : levels[number]
        }
      }
    case .activation(let function): return input.map { function.value(at: $0) ?? .nan }
    case .batchNormalization(let mean, let variance, let gamma, let beta, let epsilon):
      let (means, factors) = (vectors[mean], self.factors(gamma, variance, epsilon))
      let offsets = vector(beta, width, else: 0)
      return mapRows(input, width: width) { x, i in (x - means[i]) * factors[i] + offsets[i] }
    case .layerNormalization(let gamma, let beta, let epsilon):
      let (factors, offsets) = (vector(gamma, width, else: 1), vector(beta, width, else: 0))
      return mapRows(normalised(input, width: width, epsilon: epsilon).values, width: width) { x, i in
        factors[i] * x + offsets[i]
      }
    case .normalization(let mean, let variance, let epsilon):
      let (means, deviations) = (repeated(vectors[mean], width), repeated(deviations(variance, epsilon), width))
      return mapRows(input, width: width) { x, i in rounded(x - means[i]) / deviations[i] }
    case .rescaling(let scale, let offset):
      let (factors, offsets) = (repeated(scale, width), repeated(offset, width))
      return mapRows(input, width: width) { x, i in rounded(x * factors[i]) + offsets[i] }
    case .rotation(let seed): return rotated(input, seed: seed, width: width)
    case .prelu(let slope):
      let slopes = repeated(vectors[slope], width)
      return mapRows(input, width: slopes.count) { x, i in x >= 0 ? x : slopes[i] * x }
    case .combine(let combination): return combined(combination, node.inputs.map { values[$0] })
    case .concatenate:
      var value: [Double] = []
      value.reserveCapacity(samples * shapes[index].count)
      for row in 0..<samples * shapes[index].positions {
        for input in node.inputs {
          let own = shapes[input].width
          value += values[input][row * own..<(row + 1) * own]
        }
      }
      return value
    }
  }

  /// Sums and products are rounded one by one; their order is that of the inputs.
  private func combined(_ combination: Network.Combination, _ inputs: [[Double]]) -> [Double] {
    func reduce(_ change: (Double, Double) -> Double) -> [Double] {
      inputs.dropFirst().reduce(inputs[0]) { result, other in zip(result, other).map { rounded(change($0, $1)) } }
    }
    return switch combination {
    case .add: reduce(+)
    case .subtract: reduce(-)
    case .multiply: reduce(*)
    case .average: reduce(+).map { $0 / Double(inputs.count) }
    case .maximum: reduce { $0.isNaN || $0 >= $1 ? $0 : $1 }
    case .minimum: reduce { $0.isNaN || $0 <= $1 ? $0 : $1 }
    }
  }

  private func rounded(_ value: Double) -> Double { precision?.nearest(value) ?? value }

  /// max(√σ², ε)
  func deviations(_ variance: Int, _ epsilon: Double) -> [Double] {
    vectors[variance].map { max($0.squareRoot(), epsilon) }
  }

  /// One number as `width` of them.
  func repeated(_ numbers: [Double], _ width: Int) -> [Double] {
    numbers.count == 1 ? [Double](repeating: numbers[0], count: width) : numbers
  }

  private func vector(_ number: Int?, _ width: Int, else value: Double) -> [Double] {
    number.map { vectors[$0] } ?? [Double](repeating: value, count: width)
  }

  /// γ/√(σ² + ε)
  func factors(_ gamma: Int?, _ variance: Int, _ epsilon: Double) -> [Double] {
    zip(vector(gamma, vectors[variance].count, else: 1), vectors[variance]).map { $0 / ($1 + epsilon).squareRoot() }
  }

  /// - Parameter levels: of the input, if it has few.
  private func dense(_ number: Int, _ bias: [Double]?, _ x: [Double], levels: [Double]?, rows: Int) -> [Double] {
    let matrix = matrices[number]
    return [Double](unsafeUninitializedCapacity: rows * matrix.rows) { buffer, count in
      count = rows * matrix.rows
      guard let y = buffer.baseAddress, count > 0 else { return }
      x.withUnsafeBufferPointer { x in
        if let x = x.baseAddress, matrix.columns > 0 {
          if let planes = planes[number], let levels {
            multiply(matrix, planes, x, levels, rows: rows, to: y)
          } else {
            matrix.apply(to: x, count: rows, y, algebra)
          }
        } else {
          y.initialize(repeating: 0, count: count)
        }
      }
      if let precision { for i in 0..<count { y[i] = precision.nearest(y[i]) } }
      guard let bias else { return }
      bias.withUnsafeBufferPointer { bias in
        for row in 0..<rows {
          let own = y + row * bias.count
          for i in 0..<bias.count { own[i] += bias[i] }
        }
      }
    }
  }

  /// Samples that have another number than the levels, which is none, are computed as those of any other layer.
  private func multiply(
    _ matrix: WeightMatrix, _ planes: TernaryPlanes, _ x: UnsafePointer<Double>, _ levels: [Double], rows: Int,
    to y: UnsafeMutablePointer<Double>
  ) {
    let areLevels = planes.multiply(x, count: rows, levels: levels, to: y)
    for (row, isRight) in areLevels.enumerated() where !isRight {
      matrix.apply(to: x + row * matrix.columns, count: 1, y + row * matrix.rows, algebra)
    }
  }

  /// eˣⁱ/Σeˣʲ of each row. In 16 bits as TensorFlow computes it: exponentials are rounded; in float16 so is their sum,
  /// by whose rounded inverse they are multiplied; in bfloat16 they are divided by the rounded sum of what they were.
  private func softmax(_ x: [Double], width: Int) -> [Double] {
    var result = x
    func round(_ value: Double) -> Double { precision?.nearest(value) ?? value }
    for first in stride(from: 0, to: x.count, by: max(1, width)) {
      let largest = x[first..<first + width].max() ?? 0
      let exact = x[first..<first + width].map { exp(round($0 - largest)) }
      let powers = exact.map(round)
      switch precision {
      case .float16:
        let inverse = round(1 / round(powers.reduce(0, +)))
        for i in 0..<width { result[first + i] = powers[i] * inverse }
      case .bfloat16:
        let sum = round(exact.reduce(0, +))
        for i in 0..<width { result[first + i] = powers[i] / sum }
      default:
        let sum = exact.reduce(0, +)
        for i in 0..<width { result[first + i] = exact[i] / sum }
      }
    }
    return result
  }

  /// (x − μ)/√(σ² + ε) of each row, with its own mean and variance; and 1/√(σ² + ε).
  func normalised(_ x: [Double], width: Int, epsilon: Double) -> (values: [Double], factors: [Double]) {
    var (values, factors) = (x, [Double]())
    for first in stride(from: 0, to: x.count, by: max(1, width)) {
      let mean = x[first..<first + width].reduce(0, +) / Double(width)
      let variance = x[first..<first + width].reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
      let factor = 1 / (variance + epsilon).squareRoot()
      factors.append(factor)
      for i in first..<first + width { values[i] = (x[i] - mean) * factor }
    }
    return (values, factors)
  }
}

/// Returns rows of `width` numbers with every number changed by a function of it and its column.
func mapRows(_ x: [Double], width: Int, _ change: (Double, Int) -> Double) -> [Double] {
  [Double](unsafeUninitializedCapacity: x.count) { out, count in
    count = x.count
    x.withUnsafeBufferPointer { x in
      for first in stride(from: 0, to: x.count, by: max(1, width)) {
        for column in 0..<width { out[first + column] = change(x[first + column], column) }
      }
    }
  }
}
