// SPDX-License-Identifier: Apache-2.0

/// A part of a network that can be run though the whole cannot.
public struct DenseChain: Sendable {
  /// The first layer's name, and the last one's.
  public var name: TensorName
  /// The chain alone, of one input whose shape the first layer says.
  public var network: Network
}

extension Network {
  /// The weight matrices of dense layers, in the order of the graph.
  public var denseKernels: [TensorName] {
    nodes.compactMap { if case .dense(let kernel, _) = $0.operation { kernel } else { nil } }
  }

  /// The maximal chains of dense layers: each begins with one, and goes on while the value of its last node is taken by one
  /// node alone, through dense layers and what acts on their values in place.
  public var denseChains: [DenseChain] {
    var users = [[Int]](repeating: [], count: nodes.count)
    for (index, node) in nodes.enumerated() {
      for input in node.inputs { users[input].append(index) }
    }
    func continues(_ operation: Operation) -> Bool {
      switch operation {
      case .dense, .activation, .batchNormalization, .layerNormalization, .normalization, .rescaling, .rotation, .prelu,
        .dropout:
        true
      case .input, .combine, .concatenate, .flatten, .reshape, .opaque: false
      }
    }
    var isTaken = [Bool](repeating: false, count: nodes.count)
    var chains: [DenseChain] = []
    for (first, node) in nodes.enumerated() {
      guard case .dense(let kernel, _) = node.operation, !isTaken[first] else { continue }
      var own = [Node(.input(shape: nil), inputs: [])]
      var last = kernel
      var current = first
      while true {
        isTaken[current] = true
        own.append(Node(nodes[current].operation, inputs: [own.count - 1]))
        if case .dense(let kernel, _) = nodes[current].operation { last = kernel }
        guard users[current].count == 1, let next = users[current].first, continues(nodes[next].operation),
          nodes[next].inputs.count == 1, !outputs.contains(current)
        else { break }
        current = next
      }
      chains.append(
        DenseChain(
          name: last == kernel ? kernel : "\(kernel) … \(last)",
          network: Network(nodes: own, outputs: [own.count - 1])))
    }
    return chains
  }
}
