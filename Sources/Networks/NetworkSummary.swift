// SPDX-License-Identifier: Apache-2.0

public import Tensors

extension Network {
  /// One line: a chain as `64 → dense fc1 → relu → …`, another graph as its operations with their inputs.
  public var summary: String {
    let isChain = nodes.indices.allSatisfy { nodes[$0].inputs == ($0 == 0 ? [] : [$0 - 1]) }
    if isChain { return nodes.map(\.operation.summary).joined(separator: " → ") }
    return nodes.enumerated().map { index, node in
      let inputs = node.inputs.isEmpty ? "" : " of \(node.inputs.map { "#\($0)" }.joined(separator: ", "))"
      return "#\(index) \(node.operation.summary)\(inputs)"
    }.joined(separator: "; ")
  }
}

extension Network {
  /// The same for a note, in which long chains are cut short.
  package var arrows: String {
    let isChain = nodes.indices.allSatisfy { nodes[$0].inputs == ($0 == 0 ? [] : [$0 - 1]) }
    guard nodes.count > 16 else { return summary }
    guard isChain else { return "a graph of \(nodes.count) operations" }
    let parts = nodes.map(\.operation.summary)
    return (parts.prefix(6) + ["…"] + parts.suffix(3)).joined(separator: " → ") + " (\(nodes.count) operations)"
  }

  /// What was assumed when the file was written; `nil` where somebody said how the layers are connected.
  package var assumption: String? {
    isAssumed ? "no architecture in the source file: assuming \(arrows)" : nil
  }

  /// Where a caller's word replaces what a file says.
  package static let replaced = "the command line replaces the architecture in the file"
}

extension Network.Operation {
  fileprivate var summary: String {
    switch self {
    case .input(let shape): shape.map { $0.map { $0 == -1 ? "?" : "\($0)" }.joined(separator: "×") } ?? "input"
    case .dense(let kernel, _): "\(kernel.layer)"
    case .activation(let activation): activation.name
    case .batchNormalization(let name, _, _, _, _), .layerNormalization(let name?, _, _),
      .layerNormalization(_, let name?, _):
      "\(WeightName(path: name).layer)"
    case .opaque(let className, _): "(\(className))"
    default: name
    }
  }
}

extension TensorName {
  /// The name of a layer from that of its weight matrix.
  fileprivate var layer: TensorName {
    let layer = WeightName(path: self).layer
    return layer.isEmpty ? self : layer
  }
}
