// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Tensors

extension NetworkFunction {
  /// The derivatives of logits with respect to the values of nodes, for samples whose values are known.
  ///
  /// - Parameters:
  ///   - values: of every node, for these samples.
  ///   - outputs: which logits, by index.
  /// - Returns: for each node with weights, that all paths to the logits lead through or past, samples × outputs ×
  ///   count numbers; `nil` where no path leads.
  func gradients(_ values: [[Double]], samples: Int, outputs: Range<Int>, elements: [[Double]]) -> [Int: [Double]] {
    let isWanted = nodesBehindWeights
    var gradients: [Int: [Double]] = [:]
    var result: [Int: [Double]] = [:]
    var first = 0
    for node in logitNodes {
      let count = shapes[node].count
      var ones = gradients[node] ?? [Double](repeating: 0, count: samples * outputs.count * count)
      for output in outputs where (first..<first + count).contains(output) {
        for sample in 0..<samples {
          ones[(sample * outputs.count + output - outputs.lowerBound) * count + output - first] += 1
        }
      }
      gradients[node] = ones
      first += count
    }
    for index in network.nodes.indices.reversed() {
      guard let gradient = gradients.removeValue(forKey: index), isWanted[index] else { continue }
      let node = network.nodes[index]
      let shape = GradientShape(samples: samples, outputs: outputs.count, sampleShape: shapes[index])
      switch operations[index] {
      case .input: break
      case .dense(let matrix, _):
        result[index] = gradient
        if isWanted[node.inputs[0]] {
          add(back(gradient, shape, through: matrices[matrix], elements[matrix]), to: node.inputs[0], &gradients)
        }
      case .batchNormalization(_, let variance, let gamma, let beta, let epsilon):
        if gamma != nil || beta != nil { result[index] = gradient }
        let factors = self.factors(gamma, variance, epsilon)
        add(mapRows(gradient, width: factors.count) { $0 * factors[$1] }, to: node.inputs[0], &gradients)
      case .layerNormalization(let gamma, let beta, let epsilon):
        if gamma != nil || beta != nil { result[index] = gradient }
        let scaled = gamma.map { gamma in
          let factors = vectors[gamma]
          return mapRows(gradient, width: factors.count) { $0 * factors[$1] }
        }
        let input = values[node.inputs[0]]
        add(back(scaled ?? gradient, shape, throughNormalised: input, epsilon), to: node.inputs[0], &gradients)
      case .activation(.softmax):
        add(back(gradient, shape, throughSoftmax: values[index]), to: node.inputs[0], &gradients)
      case .activation(let function):
        let slopes = values[node.inputs[0]].map { function.derivative(at: $0) ?? .nan }
        add(shape.multiplied(gradient, bySample: slopes), to: node.inputs[0], &gradients)
      case .copy: add(gradient, to: node.inputs[0], &gradients)
      case .normalization(_, let variance, let epsilon):
        let deviations = repeated(self.deviations(variance, epsilon), shapes[index].width)
        add(mapRows(gradient, width: deviations.count) { $0 / deviations[$1] }, to: node.inputs[0], &gradients)
      case .rescaling(let scale, _):
        let factors = repeated(scale, shapes[index].width)
        add(mapRows(gradient, width: factors.count) { $0 * factors[$1] }, to: node.inputs[0], &gradients)
      case .rotation(let seed):
        guard let matrix = cosines[shapes[index].width] else { break }
        let signs = Rotation.signs(seed: seed, width: matrix.columns)
        let turned = back(gradient, shape, through: matrix, matrix.elements)
        add(mapRows(turned, width: signs.count) { $0 * signs[$1] }, to: node.inputs[0], &gradients)
      case .prelu(let slope):
        let slopes = repeated(vectors[slope], shapes[index].width)
        let factors = mapRows(values[node.inputs[0]], width: slopes.count) { x, i in x > 0 ? 1 : slopes[i] }
        add(shape.multiplied(gradient, bySample: factors), to: node.inputs[0], &gradients)
      case .combine(let combination):
        for (place, factors) in factors(of: combination, node.inputs.map { values[$0] }).enumerated() {
          add(factors.map { shape.multiplied(gradient, bySample: $0) } ?? gradient, to: node.inputs[place], &gradients)
        }
      case .concatenate:
        var offset = 0
        for input in node.inputs {
          let width = shapes[input].width
          add(shape.columns(offset..<offset + width, of: gradient), to: input, &gradients)
          offset += width
        }
      }
    }
    return result
  }

  /// The derivatives of a combination by each of its inputs; `nil` where they are ones. Where several inputs are the
  /// largest (smallest), the first of them counts.
  private func factors(of combination: Network.Combination, _ inputs: [[Double]]) -> [[Double]?] {
    let count = inputs[0].count
    func chosen(_ precedes: (Double, Double) -> Bool) -> [[Double]?] {
      var factors = [[Double]](repeating: [Double](repeating: 0, count: count), count: inputs.count)
      for i in 0..<count {
        var best = 0
        for place in inputs.indices.dropFirst() where precedes(inputs[place][i], inputs[best][i]) { best = place }
        factors[best][i] = 1
      }
      return factors
    }
    switch combination {
    case .add: return inputs.map { _ in nil }
    case .subtract: return [nil, [Double](repeating: -1, count: count)]
    case .average: return inputs.map { _ in [Double](repeating: 1 / Double(inputs.count), count: count) }
    case .multiply:
      return inputs.indices.map { place in
        (0..<count).map { i in inputs.indices.reduce(1) { $1 == place ? $0 : $0 * inputs[$1][i] } }
      }
    case .maximum: return chosen(>)
    case .minimum: return chosen(<)
    }
  }

  private func add(_ gradient: [Double], to node: Int, _ gradients: inout [Int: [Double]]) {
    if var sum = gradients.removeValue(forKey: node) {
      for i in sum.indices { sum[i] += gradient[i] }
      gradients[node] = sum
    } else {
      gradients[node] = gradient
    }
  }

  /// B·W for every row.
  private func back(
    _ gradient: [Double], _ shape: GradientShape, through matrix: WeightMatrix, _ elements: [Double]
  ) -> [Double] {
    let rows = shape.rows
    return [Double](unsafeUninitializedCapacity: rows * matrix.columns) { buffer, count in
      count = rows * matrix.columns
      guard let out = buffer.baseAddress, count > 0 else { return }
      gradient.withUnsafeBufferPointer { gradient in
        elements.withUnsafeBufferPointer { elements in
          guard let gradient = gradient.baseAddress, let weights = elements.baseAddress else {
            return out.initialize(repeating: 0, count: count)
          }
          algebra.product(
            .init(gradient, stride: matrix.rows), rows, .init(weights, stride: matrix.columns), matrix.rows,
            matrix.columns, to: out, stride: matrix.columns)
        }
      }
    }
  }

  /// p ∘ (b − p·b) for every row.
  private func back(_ gradient: [Double], _ shape: GradientShape, throughSoftmax value: [Double]) -> [Double] {
    var result = gradient
    let width = shape.sampleShape.width
    for row in 0..<shape.rows {
      let own = shape.sampleRow(row) * width
      var mean = 0.0
      for i in 0..<width { mean += value[own + i] * gradient[row * width + i] }
      for i in 0..<width { result[row * width + i] = value[own + i] * (gradient[row * width + i] - mean) }
    }
    return result
  }

  /// (b − mean b − x̂·mean(b∘x̂))/√(σ² + ε) for every row.
  private func back(
    _ gradient: [Double], _ shape: GradientShape, throughNormalised input: [Double], _ epsilon: Double
  ) -> [Double] {
    let width = shape.sampleShape.width
    let (normal, factors) = normalised(input, width: width, epsilon: epsilon)
    var result = gradient
    for row in 0..<shape.rows {
      let own = shape.sampleRow(row)
      var (mean, slope) = (0.0, 0.0)
      for i in 0..<width {
        mean += gradient[row * width + i]
        slope += gradient[row * width + i] * normal[own * width + i]
      }
      for i in 0..<width {
        let part = gradient[row * width + i] - (mean + normal[own * width + i] * slope) / Double(width)
        result[row * width + i] = part * factors[own]
      }
    }
    return result
  }
}

/// Samples × outputs × positions × width.
struct GradientShape {
  let samples: Int
  let outputs: Int
  let sampleShape: NetworkFunction.SampleShape

  var rows: Int { samples * outputs * sampleShape.positions }

  /// Of a row of a gradient, the row of the value.
  func sampleRow(_ row: Int) -> Int {
    row / (outputs * sampleShape.positions) * sampleShape.positions + row % sampleShape.positions
  }

  /// Every output's numbers times those of the sample.
  func multiplied(_ gradient: [Double], bySample factors: [Double]) -> [Double] {
    let count = sampleShape.count
    return [Double](unsafeUninitializedCapacity: gradient.count) { out, initialized in
      gradient.withUnsafeBufferPointer { gradient in
        factors.withUnsafeBufferPointer { factors in
          for sample in 0..<samples {
            for output in 0..<outputs {
              let first = (sample * outputs + output) * count
              for i in 0..<count { out[first + i] = gradient[first + i] * factors[sample * count + i] }
            }
          }
        }
      }
      initialized = gradient.count
    }
  }

  func columns(_ range: Range<Int>, of gradient: [Double]) -> [Double] {
    (0..<rows).flatMap {
      gradient[$0 * sampleShape.width + range.lowerBound..<$0 * sampleShape.width + range.upperBound]
    }
  }
}
