// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Parallel
import Random
import Tensors

/// A network with the values of its tensors, and its own plain evaluation: one sample at a time, one loop for each formula.
struct SampleNetwork {
  var nodes: [Network.Node] = []
  var outputs: [Int] = []
  /// Output units × inputs, row by row.
  var matrices: [TensorName: [[Double]]] = [:]
  var vectors: [TensorName: [Double]] = [:]
  /// Matrices that are handed over in another form than the dense one.
  var packed: [TensorName: WeightMatrix] = [:]
  var random: SplitMix64

  init(seed: UInt64) { random = SplitMix64(seed: seed) }

  // MARK: Making

  @discardableResult
  mutating func add(_ operation: Network.Operation, _ inputs: Int...) -> Int {
    nodes.append(Network.Node(operation, inputs: inputs))
    return nodes.count - 1
  }

  mutating func input(_ shape: Int...) -> Int { add(.input(shape: shape)) }

  mutating func activation(_ function: Activation, _ input: Int) -> Int { add(.activation(function), input) }

  /// A vector of that name, made if it is not there yet.
  mutating func vector(_ name: TensorName?, _ count: Int, _ number: (inout SplitMix64) -> Double = { $0.gaussian() }) {
    guard let name, vectors[name] == nil else { return }
    vectors[name] = (0..<count).map { _ in number(&random) }
  }

  mutating func dense(_ input: Int, _ columns: Int, _ rows: Int, _ kernel: TensorName, bias: TensorName? = nil) -> Int {
    if matrices[kernel] == nil {
      let size = 1 / Double(max(1, columns)).squareRoot()
      matrices[kernel] = (0..<rows).map { _ in (0..<columns).map { _ in size * random.gaussian() } }
    }
    vector(bias, rows) { 0.3 * $0.gaussian() }
    return add(.dense(kernel: kernel, bias: bias), input)
  }

  mutating func batchNormalization(
    _ input: Int, _ width: Int, _ name: TensorName, gamma: TensorName? = nil, beta: TensorName? = nil,
    epsilon: Double = 1e-3
  ) -> Int {
    vector(name + "/mean", width) { 0.2 * $0.gaussian() }
    vector(name + "/variance", width) { 0.5 + $0.uniform() }
    vector(gamma, width)
    vector(beta, width)
    return add(
      .batchNormalization(
        mean: name + "/mean", variance: name + "/variance", gamma: gamma, beta: beta, epsilon: epsilon), input)
  }

  mutating func layerNormalization(
    _ input: Int, _ width: Int, gamma: TensorName? = nil, beta: TensorName? = nil, epsilon: Double = 1e-2
  ) -> Int {
    vector(gamma, width)
    vector(beta, width)
    return add(.layerNormalization(gamma: gamma, beta: beta, epsilon: epsilon), input)
  }

  /// Dense layers of these widths with an activation between them.
  static func chain(
    _ widths: [Int], _ activation: Activation, biased: Bool = true, softmax: Bool = false, seed: UInt64
  ) -> SampleNetwork {
    var network = SampleNetwork(seed: seed)
    var last = network.input(widths[0])
    for layer in 1..<widths.count {
      last = network.dense(last, widths[layer - 1], widths[layer], "w\(layer)", bias: biased ? "b\(layer)" : nil)
      if layer + 1 < widths.count { last = network.activation(activation, last) }
    }
    network.outputs = [softmax ? network.activation(.softmax, last) : last]
    return network
  }

  // MARK: Using

  func function(precision: ElementType? = nil, inputShape: [Int]? = nil) throws -> NetworkFunction {
    try NetworkFunction(Network(nodes: nodes, outputs: outputs), precision: precision, inputShape: inputShape) { name in
      let rows = matrices[name] ?? []
      return packed[name] ?? .dense(rows.flatMap { $0 }, rows: rows.count, columns: rows.first?.count ?? 0)
    } vector: { name in
      vectors[name] ?? []
    }
  }

  /// Outputs and logits of the samples, as `NetworkFunction` gives them.
  func expected(_ samples: [[Double]], rounding: (Double) -> Double = { $0 }, softmax: SoftmaxRounding = .none)
    -> (values: [Double], logits: [Double])
  {
    var (values, logits): ([Double], [Double]) = ([], [])
    for sample in samples {
      let all = evaluate(sample, rounding: rounding, softmax: softmax)
      values += outputs.flatMap { all[$0].flatMap { $0 } }
      logits += logitNodes.flatMap { all[$0].flatMap { $0 } }
    }
    return (values, logits)
  }

  var logitNodes: [Int] {
    outputs.map { output in
      var last = output
      while isIdentity(last) { last = nodes[last].inputs[0] }
      return if case .activation(.softmax) = nodes[last].operation { nodes[last].inputs[0] } else { output }
    }
  }

  private func isIdentity(_ node: Int) -> Bool {
    switch nodes[node].operation {
    case .flatten, .reshape, .dropout, .activation(.linear): true
    default: false
    }
  }

  enum SoftmaxRounding { case none, float16, bfloat16 }

  /// The value of each node for one sample: positions × width.
  func evaluate(
    _ sample: [Double], rounding: (Double) -> Double = { $0 }, softmax: SoftmaxRounding = .none
  ) -> [[[Double]]] {
    var rest = sample[...]
    var values: [[[Double]]] = []
    for node in nodes {
      let input = node.inputs.first.map { values[$0] } ?? []
      let value: [[Double]] =
        switch node.operation {
        case .input(let shape):
          (0..<(shape ?? []).dropLast().reduce(1, *)).map { _ in
            let row = Array(rest.prefix(shape?.last ?? rest.count))
            rest = rest.dropFirst(row.count)
            return row
          }
        case .dense(let kernel, let bias):
          input.map { x in
            (matrices[kernel] ?? []).indices.map { unit in
              var sum = 0.0
              for (w, x) in zip(matrices[kernel]![unit], x) { sum += rounding(w) * x }
              return rounding(sum) + (bias.map { rounding(vectors[$0]![unit]) } ?? 0)
            }
          }
        case .activation(.softmax): input.map { softmaxed($0, rounding, softmax) }
        case .activation(let function): input.map { $0.map { function.value(at: $0) ?? .nan } }
        case .batchNormalization(let mean, let variance, let gamma, let beta, let epsilon):
          input.map { x in
            x.indices.map { i in
              func number(_ name: TensorName) -> Double { rounding(vectors[name]![i]) }
              let normal = (x[i] - number(mean)) / sqrt(number(variance) + epsilon)
              return (gamma.map(number) ?? 1) * normal + (beta.map(number) ?? 0)
            }
          }
        case .layerNormalization(let gamma, let beta, let epsilon):
          input.map { x in
            let mean = x.reduce(0, +) / Double(x.count)
            let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
            return x.indices.map { i in
              func number(_ name: TensorName) -> Double { rounding(vectors[name]![i]) }
              return (gamma.map(number) ?? 1) * (x[i] - mean) / sqrt(variance + epsilon) + (beta.map(number) ?? 0)
            }
          }
        case .normalization(let mean, let variance, let epsilon):
          input.map { x in
            x.indices.map { i in
              rounding(x[i] - rounding(vectors[mean]![i])) / max(sqrt(rounding(vectors[variance]![i])), epsilon)
            }
          }
        case .rescaling(let scale, let offset):
          input.map { x in
            x.indices.map { i in
              rounding(x[i] * rounding(scale[i % scale.count])) + rounding(offset[i % offset.count])
            }
          }
        case .rotation(let seed):
          input.map { x in
            var generator = SplitMix64(seed: seed)
            let turned = x.map { generator.next() & 1 == 0 ? $0 : -$0 }
            return x.indices.map { k in
              let sum = turned.indices.reduce(0.0) { sum, i in
                sum + turned[i] * cos(Double.pi * Double((2 * i + 1) * k) / Double(2 * x.count))
              }
              return sum * sqrt((k == 0 ? 1 : 2) / Double(x.count))
            }
          }
        case .prelu(let slope):
          input.map { x in
            x.indices.map { i in x[i] >= 0 ? x[i] : rounding(vectors[slope]![i % vectors[slope]!.count]) * x[i] }
          }
        case .combine(let combination):
          input.indices.map { row in
            input[row].indices.map { i in
              let all = node.inputs.map { values[$0][row][i] }
              let (first, rest) = (all[0], all.dropFirst())
              return switch combination {
              case .add: rest.reduce(first) { rounding($0 + $1) }
              case .subtract: first - all[1]
              case .multiply: rest.reduce(first) { rounding($0 * $1) }
              case .average: rest.reduce(first) { rounding($0 + $1) } / Double(all.count)
              case .maximum: all.max()!
              case .minimum: all.min()!
              }
            }
          }
        case .concatenate: input.indices.map { row in node.inputs.flatMap { values[$0][row] } }
        case .flatten: [input.flatMap { $0 }]
        case .reshape(let shape):
          stride(from: 0, to: input.joined().count, by: shape.last!).map {
            Array(Array(input.joined())[$0..<$0 + shape.last!])
          }
        case .dropout: input
        case .opaque: []
        }
      values.append(value.map { $0.map(rounding) })
    }
    return values
  }

  private func softmaxed(_ x: [Double], _ rounding: (Double) -> Double, _ way: SoftmaxRounding) -> [Double] {
    let largest = x.max() ?? 0
    let exact = x.map { exp(rounding($0 - largest)) }
    switch way {
    case .none: return exact.map { $0 / exact.reduce(0, +) }
    case .float16:
      let powers = exact.map(rounding)
      let inverse = rounding(1 / rounding(powers.reduce(0, +)))
      return powers.map { $0 * inverse }
    case .bfloat16:
      let sum = rounding(exact.reduce(0, +))
      return exact.map { rounding($0) / sum }
    }
  }

  // MARK: Derivatives

  /// What a network is differentiated by, each tensor once.
  private var parameters: [(isMatrix: Bool, name: TensorName, row: Int, column: Int)] {
    var names: [(isMatrix: Bool, name: TensorName)] = []
    for node in nodes {
      switch node.operation {
      case .dense(let kernel, let bias): names += [(true, kernel)] + [bias].compactMap { $0.map { (false, $0) } }
      case .batchNormalization(_, _, let gamma, let beta, _), .layerNormalization(let gamma, let beta, _):
        names += [gamma, beta].compactMap { $0.map { (false, $0) } }
      default: break
      }
    }
    var seen: Set<TensorName> = []
    return names.filter { seen.insert($0.name).inserted }.flatMap { isMatrix, name in
      isMatrix
        ? matrices[name]!.indices.flatMap { row in matrices[name]![row].indices.map { (true, name, row, $0) } }
        : vectors[name]!.indices.map { (false, name, 0, $0) }
    }
  }

  private func logits(_ samples: [[Double]]) -> [[Double]] {
    samples.map { sample in
      let values = evaluate(sample)
      return logitNodes.flatMap { values[$0].flatMap { $0 } }
    }
  }

  /// The derivatives of each logit of each sample by each parameter, by central differences of the fourth order.
  ///
  /// Their error is h⁴f⁽⁵⁾/30 + 1.5ε|f|/h, about 1e-12 with h = 2⁻¹¹ where no corner is crossed.
  func derivatives(_ samples: [[Double]]) -> [[[Double]]] {
    let h = 0x1p-11
    return parameters.map { parameter in
      func moved(_ steps: Double) -> [[Double]] {
        var other = self
        if parameter.isMatrix {
          other.matrices[parameter.name]![parameter.row][parameter.column] += steps * h
        } else {
          other.vectors[parameter.name]![parameter.column] += steps * h
        }
        return other.logits(samples)
      }
      let (a, b, c, d) = (moved(1), moved(-1), moved(2), moved(-2))
      return samples.indices.map { i in
        a[i].indices.map { (8 * (a[i][$0] - b[i][$0]) - (c[i][$0] - d[i][$0])) / (12 * h) }
      }
    }
  }
}

/// Σ_c J_cᵀJ_c of one logit or all, from the derivatives by each parameter.
func tangentKernel(_ derivatives: [[[Double]]], points: Int, output: Int? = nil) -> [Double] {
  var kernel = [Double](repeating: 0, count: points * points)
  for slopes in derivatives {
    for i in 0..<points {
      for j in 0..<points {
        for k in output.map({ $0..<$0 + 1 }) ?? slopes[i].indices {
          kernel[i * points + j] += slopes[i][k] * slopes[j][k]
        }
      }
    }
  }
  return kernel
}

/// Writes samples where a network asks for them.
func filler(_ samples: [[Double]]) -> @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void {
  { range, out in
    var next = 0
    for sample in range {
      for x in samples[sample] {
        out[next] = x
        next += 1
      }
    }
  }
}

extension NetworkFunction {
  func outputs(_ samples: [[Double]], threads: Int = 2) -> Outputs {
    outputs(samples: samples.count, threads: Threads(threads), fill: filler(samples))
  }
}

extension SplitMix64 {
  /// Points with Gaussian coordinates.
  mutating func points(_ count: Int, _ width: Int) -> [[Double]] {
    (0..<count).map { _ in (0..<width).map { _ in gaussian() } }
  }
}

/// The largest |x − y| over the largest |y|.
func relativeDifference(_ x: [Double], _ y: [Double]) -> Double {
  guard x.count == y.count, !(x + y).contains(where: \.isNaN) else { return .infinity }
  let largest = y.reduce(0) { max($0, abs($1)) }
  let most = zip(x, y).reduce(0) { max($0, abs($1.0 - $1.1)) }
  return most == 0 ? 0 : most / largest
}
