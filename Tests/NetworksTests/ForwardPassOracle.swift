// SPDX-License-Identifier: Apache-2.0

import Compression
import Maths
import Random
import Tensors

@testable import Networks

/// A network applied in double, sample by sample: what other code is measured against.
struct ForwardPass {
  private let network: Network
  /// Values by name; matrices with the number of their columns, output units × inputs.
  private var tensors: [TensorName: [Double]] = [:]

  /// - Parameters:
  ///   - network: `nil` for that of the file.
  ///   - bytes: tensors, by index, that have other values.
  init(_ file: NetworkFile, _ network: Network? = nil, replacing bytes: [Int: [UInt8]] = [:]) throws {
    self.network = network ?? file.network!
    let needed = Set(self.network.tensorNames)
    for (index, tensor) in file.tensors.enumerated() where needed.contains(tensor.name) {
      var values = Self.numbers(try bytes[index] ?? file.values(of: index), tensor.type)
      if tensor.isTransposed {
        let (inputs, outputs) = (tensor.shape.dimensions[0], tensor.shape.dimensions[1])
        let stored = values
        for input in 0..<inputs {
          for output in 0..<outputs { values[output * inputs + input] = stored[input * outputs + output] }
        }
      }
      tensors[tensor.name] = values
    }
  }

  private static func numbers(_ bytes: [UInt8], _ type: ElementType) -> [Double] {
    guard type == .float32 else { return type.numbers(bytes) }
    return bytes.withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { Double(bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)) }
    }
  }

  /// Of the first input; a kernel that is applied to it says how many numbers it has.
  var inputWidth: Int {
    for case .dense(let kernel, let bias) in network.nodes.filter({ $0.inputs == [0] }).map(\.operation) {
      return tensors[kernel]!.count / tensors[bias!]!.count
    }
    return 0
  }

  /// The outputs, one after the other, for one sample.
  func outputs(_ input: [Double]) -> [Double] {
    var values: [[Double]] = []
    for node in network.nodes {
      let x = node.inputs.first.map { values[$0] } ?? input
      let value: [Double] =
        switch node.operation {
        case .input: input
        case .dense(let kernel, let bias): dense(tensors[kernel]!, bias.map { tensors[$0]! }, x)
        case .activation(.softmax): softmax(x)
        case .activation(let function): x.map { function.value(at: $0)! }
        case .batchNormalization(let mean, let variance, let gamma, let beta, let epsilon):
          x.indices.map { i in
            let normal = (x[i] - tensors[mean]![i]) / (tensors[variance]![i] + epsilon).squareRoot()
            return (gamma.map { tensors[$0]![i] } ?? 1) * normal + (beta.map { tensors[$0]![i] } ?? 0)
          }
        case .combine(.add): node.inputs.dropFirst().reduce(x) { sum, other in zip(sum, values[other]).map(+) }
        case .concatenate: node.inputs.flatMap { values[$0] }
        case .flatten, .dropout: x
        case .layerNormalization, .normalization, .rescaling, .rotation, .prelu, .combine, .reshape, .opaque:
          fatalError("not in any of the networks here")
        }
      values.append(value)
    }
    return network.outputs.flatMap { values[$0] }
  }

  private func dense(_ kernel: [Double], _ bias: [Double]?, _ x: [Double]) -> [Double] {
    kernel.withUnsafeBufferPointer { kernel in
      x.withUnsafeBufferPointer { x in
        (0..<(x.isEmpty ? 0 : kernel.count / x.count)).map { row in
          var sum = bias?[row] ?? 0
          for i in 0..<x.count { sum += kernel[row * x.count + i] * x[i] }
          return sum
        }
      }
    }
  }

  private func softmax(_ x: [Double]) -> [Double] {
    let powers = x.map { Activation.elu(alpha: 1).value(at: $0 - x.max()!)! + 1 }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }
}

extension ForwardPass {
  /// The largest difference of outputs, relative to the largest output, over random samples.
  func difference(from other: ForwardPass, samples: Int = 3) -> Double {
    var random = SplitMix64(seed: 11)
    var (difference, largest) = (0.0, 0.0)
    for _ in 0..<samples {
      let input = (0..<inputWidth).map { _ in Double(random.next() >> 11) * 0x1p-52 - 1 }
      for (a, b) in zip(outputs(input), other.outputs(input)) {
        difference = max(difference, (a - b).magnitude)
        largest = max(largest, a.magnitude)
      }
    }
    return difference / largest
  }
}
