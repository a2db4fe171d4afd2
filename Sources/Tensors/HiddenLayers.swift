// SPDX-License-Identifier: Apache-2.0

/// A dense layer whose outputs are seen by other dense layers alone, through operations that act on each of them by
/// itself: its units can be taken out one by one.
public struct HiddenLayer: Sendable, Equatable {
  public var kernel: TensorName
  public var bias: TensorName?
  /// The nodes of the graph, by index, whose values are the layer's outputs, changed or not: the layer's own first.
  public var nodes: [Int]
  public var consumers: [Consumer]

  /// A dense layer that takes the outputs.
  public struct Consumer: Sendable, Equatable {
    public var kernel: TensorName
    public var bias: TensorName?
    /// What becomes of an output on its way, first to last: activations but softmax, normalizations of each value by
    /// itself, rescaling by one number, and operations that leave it as it is.
    public var path: [Network.Operation]
  }
}

/// A dense layer that is not the last of its network and whose units cannot be taken out all the same.
public struct EntangledLayer: Sendable, Equatable {
  public var kernel: TensorName
  /// Why, as the end of a sentence about it: `its outputs reach a softmax`.
  public var reason: String
}

extension Network {
  /// Nodes of a graph that may carry the outputs of one layer, and consumers it may have; real networks have a few.
  private static let maxNodes = 1024

  /// The hidden layers, in the order of the graph, and those that are none for another reason than that no dense layer
  /// comes after them.
  ///
  /// A layer is hidden when on every way from it stand activations other than softmax, normalizations of each value by
  /// itself, rescaling by one number, dropout and flatten, and then a dense layer; and its tensors and those of these
  /// layers are used in one place each. (Flatten leaves the outputs of a dense layer as they are where the consumer has
  /// as many inputs as they are; that is for the caller to check, like all shapes.)
  public func hiddenLayers() -> (hidden: [HiddenLayer], entangled: [EntangledLayer]) {
    var users = [[Int]](repeating: [], count: nodes.count)
    var uses: [TensorName: Int] = [:]
    for (index, node) in nodes.enumerated() {
      for input in node.inputs { users[input].append(index) }
      for name in node.operation.tensors.map(\.name) { uses[name, default: 0] += 1 }
    }
    let outputs = Set(outputs)
    var hidden: [HiddenLayer] = []
    var entangled: [EntangledLayer] = []
    for (index, node) in nodes.enumerated() {
      guard case .dense(let kernel, let bias) = node.operation else { continue }
      var layer = HiddenLayer(kernel: kernel, bias: bias, nodes: [], consumers: [])
      switch follow(index, users: users, outputs: outputs, into: &layer) {
      case .outputs: continue
      case .entangled(let reason): entangled.append(EntangledLayer(kernel: kernel, reason: reason))
      case .hidden:
        let names =
          layer.nodes.flatMap { nodes[$0].operation.tensors.map(\.name) }
          + layer.consumers.flatMap { consumer in [consumer.kernel, consumer.bias].compactMap { $0 } }
        if let shared = names.first(where: { uses[$0, default: 0] > 1 }) {
          entangled.append(EntangledLayer(kernel: kernel, reason: "\(shared) is used in several places"))
        } else {
          hidden.append(layer)
        }
      }
    }
    return (hidden, entangled)
  }

  private enum Way {
    case hidden
    /// No dense layer comes after it.
    case outputs
    case entangled(String)
  }

  /// Follows the outputs of a dense layer to the dense layers and outputs of the network that they reach.
  private func follow(_ dense: Int, users: [[Int]], outputs: Set<Int>, into layer: inout HiddenLayer) -> Way {
    var reason: String?
    var isOutput = false
    // Nodes with what stands before them, as long as that acts on every output by itself.
    var pending: [(node: Int, path: [Operation]?)] = [(dense, [])]
    var seen: Set<Int> = [dense]
    var reachesDense = false
    while let (node, path) = pending.popLast() {
      if path != nil { layer.nodes.append(node) }
      if outputs.contains(node) { isOutput = true }
      for user in users[node] {
        let operation = nodes[user].operation
        if case .dense(let kernel, let bias) = operation {
          reachesDense = true
          if let path { layer.consumers.append(HiddenLayer.Consumer(kernel: kernel, bias: bias, path: path)) }
          continue
        }
        guard seen.insert(user).inserted else { continue }
        if let obstacle = operation.obstacle, path != nil {
          reason = reason ?? obstacle
          pending.append((user, nil))
        } else {
          pending.append((user, path.map { $0 + [operation] }))
        }
      }
      guard seen.count + layer.consumers.count <= Self.maxNodes else {
        return .entangled(reason ?? "its outputs are used in more than \(Self.maxNodes) places")
      }
    }
    if !reachesDense { return isOutput ? .outputs : .entangled("its outputs are not used") }
    if let reason { return .entangled(reason) }
    return isOutput ? .entangled("its outputs are also the network's") : .hidden
  }
}

extension Network.Operation {
  /// Why outputs of a layer cannot be followed through this operation one by one; `nil` where they can.
  fileprivate var obstacle: String? {
    switch self {
    case .activation(.softmax): "its outputs reach a softmax"
    case .layerNormalization: "its outputs reach a layer normalization"
    case .combine(let combination): combination.obstacle
    case .concatenate: "its outputs are concatenated with others"
    case .rescaling(let scale, let offset) where scale.count > 1 || offset.count > 1:
      "its outputs are rescaled each by a number of its own"
    case .rotation: "its outputs are rotated"
    case .reshape: "its outputs are put in another shape"
    case .opaque(let className, _): "its outputs reach a layer of class \(className)"
    case .input, .dense, .activation, .batchNormalization, .normalization, .rescaling, .prelu, .flatten, .dropout: nil
    }
  }
}

extension Network.Combination {
  fileprivate var obstacle: String {
    switch self {
    case .add: "its outputs are added to others"
    case .subtract: "others are subtracted from its outputs, or they from others"
    case .multiply: "its outputs are multiplied with others"
    case .average: "its outputs are averaged with others"
    case .maximum, .minimum: "its outputs are compared with others"
    }
  }
}
