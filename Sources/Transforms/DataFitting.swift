// SPDX-License-Identifier: Apache-2.0

package import Maths
package import Networks
package import Parallel
package import Tensors

extension DataFile {
  /// The shape to assume of an input that does not say all of its own: that of the samples, unless nothing is known of
  /// it and a dense layer takes them flat.
  package func shape(for network: Network) -> [Int]? {
    if case .input(_?) = network.nodes.first?.operation { return shape }
    let takesFlat = network.nodes.contains { node in
      if case .dense = node.operation, node.inputs == [0] { true } else { false }
    }
    return takesFlat ? [inputCount] : shape
  }
}

extension NetworkFunction {
  /// The outputs for all samples.
  package func outputs(for data: DataFile, threads: Threads) -> Outputs {
    outputs(samples: data.samples, threads: threads) { data.fill($0, $1) }
  }

  /// Mean and variance of every output over all samples.
  package func outputMoments(for data: DataFile, threads: Threads) -> (means: [Double], variances: [Double]) {
    outputMoments(samples: data.samples, threads: threads) { data.fill($0, $1) }
  }

  /// Refuses data that do not fit the inputs.
  package func check(_ data: DataFile) throws(NetworkError) {
    guard inputCounts.count == 1 else {
      throw NetworkError(.unsupported, "the network has \(inputCounts.count) inputs; data files have one x")
    }
    guard data.inputCount == inputCount else {
      throw NetworkError(
        .unusable,
        "\(data.options.x): \(data.inputCount) numbers a sample, expected \(inputCount) as the network takes",
        file: data.name)
    }
  }

  /// What the outputs mean.
  package var meaning: Evaluation.Outputs {
    switch outputFunction {
    case .softmax, nil: .logits
    case .sigmoid where outputCount == 1: .probability
    default: .values
    }
  }

  /// Classes that the outputs can tell apart; 1 for a number, and for numbers at several positions.
  package var classCount: Int {
    network.outputs.count > 1 || outputPositions > 1 ? 1 : meaning == .probability ? 2 : outputCount
  }
}
