public import Tensors

/// A dense layer whose outputs are seen by other dense layers alone, through operations that act on each of them by
/// itself: its nodes can be taken out one by one.
public struct HiddenLayer: Sendable, Equatable {
  public var kernel: String
  public var bias: String?
  /// The nodes of the graph, by index, whose values are the layer's outputs, changed or not: the layer's own first.
  public var nodes: [Int]
  public var consumers: [Consumer]

  /// A dense layer that takes the outputs.
  public struct Consumer: Sendable, Equatable {
    public var kernel: String
    public var bias: String?
    /// What becomes of an output on its way, first to last: activations but softmax, batch normalisations, and operations
    /// that leave it as it is.
    public var path: [Network.Operation]
  }
}

/// A dense layer that is not an output of its network and whose nodes cannot be taken out all the same.
public struct EntangledLayer: Sendable, Equatable {
  public var kernel: String
  /// Why, as the end of a sentence about it: `its outputs reach a softmax`.
  public var reason: String
}

extension Network {
  /// Nodes of a graph that may carry the outputs of one layer, and consumers it may have; real networks have a few.
  private static let mostNodes = 1024

  /// The hidden layers, in the order of the graph, and those that are none for another reason than that their outputs are
  /// the network's.
  ///
  /// A layer is hidden when on every way from it stand activations other than softmax, batch normalisations, dropout and
  /// flatten, and then a dense layer; and its tensors and those of these layers are used in one place each. (Flatten
  /// leaves the outputs of a dense layer as they are where the consumer has as many inputs as they are; that is for the
  /// caller to check, like all shapes.)
  public func hiddenLayers() -> (hidden: [HiddenLayer], entangled: [EntangledLayer]) {
    var users = [[Int]](repeating: [], count: nodes.count)
    // Names as bytes: as text, different ones may be equal.
    var uses: [[UInt8]: Int] = [:]
    for (index, node) in nodes.enumerated() {
      for input in node.inputs { users[input].append(index) }
      for name in node.operation.tensors.map(\.name) { uses[Array(name.utf8), default: 0] += 1 }
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
        if let shared = names.first(where: { uses[Array($0.utf8), default: 0] > 1 }) {
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
    /// The layer's outputs are the network's, and nothing else.
    case outputs
    case entangled(String)
  }

  /// Follows the outputs of a dense layer to whatever takes them.
  private func follow(_ dense: Int, users: [[Int]], outputs: Set<Int>, into layer: inout HiddenLayer) -> Way {
    var reason: String?
    // The network's outputs, or what is computed from the layer's for nothing but them.
    var isOutput = false
    var pending: [(node: Int, path: [Operation])] = [(dense, [])]
    while let (node, path) = pending.popLast() {
      layer.nodes.append(node)
      if outputs.contains(node) { isOutput = true }
      for user in users[node] {
        let operation = nodes[user].operation
        switch operation {
        case .dense(let kernel, let bias):
          layer.consumers.append(HiddenLayer.Consumer(kernel: kernel, bias: bias, path: path))
        case .activation(.softmax) where outputs.contains(user) && users[user].isEmpty: isOutput = true
        case .activation(.softmax): reason = reason ?? "its outputs reach a softmax"
        case .activation, .batchNormalization, .flatten, .dropout: pending.append((user, path + [operation]))
        case .layerNormalization: reason = reason ?? "its outputs reach a layer normalisation"
        case .add: reason = reason ?? "its outputs are added to others"
        case .concatenate: reason = reason ?? "its outputs are concatenated with others"
        case .opaque(let className, _): reason = reason ?? "its outputs reach a layer of class \(className)"
        case .input: break
        }
      }
      guard layer.nodes.count + pending.count + layer.consumers.count <= Self.mostNodes else {
        return .entangled("its outputs are used in more than \(Self.mostNodes) places")
      }
    }
    if isOutput, layer.consumers.isEmpty, reason == nil { return .outputs }
    if let reason { return .entangled(reason) }
    if isOutput { return .entangled("its outputs are also the network's") }
    return layer.consumers.isEmpty ? .entangled("its outputs are not used") : .hidden
  }
}
