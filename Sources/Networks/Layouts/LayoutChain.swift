// SPDX-License-Identifier: Apache-2.0

internal import Tensors

/// The layers of a file one after the other, for files that do not say how their layers are connected.
struct LayoutChain {
  let found: FoundLayers
  /// What the file says of its architecture, if not which: the beginning of a sentence.
  var says = "no architecture in the file"

  /// How layers may be stated.
  static let remedy = "say --order … --activation …, or --like FILE"

  /// The chain of all dense layers, and what was assumed to make it; or why there is none.
  func assumed() -> (network: Network?, note: String?) {
    if found.dense.isEmpty, found.ambiguous.isEmpty {
      return (nil, found.others.isEmpty ? nil : "\(says): the network is not known")
    }
    if let obstacle { return (nil, "\(says), and \(obstacle): the network is not known; \(Self.remedy)") }
    do throws(LayoutError) {
      let network = try chain(found.dense.map(Link.layer), functions: nil, isAssumed: true)
      return (network, "\(says): assuming \(network.arrows)")
    } catch {
      return (nil, "\(says), and the layers are no chain (\(error)): the network is not known; \(Self.remedy)")
    }
  }

  /// Why a chain of all dense layers would leave something out.
  private var obstacle: String? {
    if !found.ambiguous.isEmpty {
      return "the orientation of \(abbreviated(found.ambiguous)) is not known (--orientation)"
    }
    if let gap = found.gap { return "\(gap) is missing or cannot be read" }
    let known = Set(found.others)
    let others = found.others + found.normalizations.map(\.name).filter { !known.contains($0) }
    return others.isEmpty ? nil : "layers that are not dense (\(abbreviated(others)))"
  }

  /// The chain that a caller states, and notes about what it leaves out.
  ///
  /// - Throws: `LayoutError` where the words do not fit the file.
  func stated(activations: [String]?, order: [TensorName]?) throws(LayoutError) -> (network: Network?, notes: [String])
  {
    guard let order else {
      if found.dense.isEmpty, let activations { throw .activationCount(given: activations.count, layers: 0) }
      if let obstacle { return (nil, ["\(says), and \(obstacle): the network is not known; \(Self.remedy)"]) }
      let network = try chain(found.dense.map(Link.layer), functions: activations, isAssumed: false)
      return (network, ["as stated: \(network.arrows)"])
    }
    let links = try links(order)
    let network = try chain(links, functions: activations, isAssumed: false)
    return (network, ["as stated: \(network.arrows)"] + (try leftOut(by: links).map { [$0] } ?? []))
  }

  /// A part of a chain.
  private enum Link {
    case layer(FoundLayer)
    case function(Activation)

    var layer: FoundLayer? { if case .layer(let layer) = self { layer } else { nil } }
  }

  /// What the names of `--order` stand for: layers by their names or those of their matrices, a normalization with its ε
  /// behind a colon where that is not known, and functions.
  private func links(_ names: [TensorName]) throws(LayoutError) -> [Link] {
    var layers: [TensorName: FoundLayer] = [:]
    for layer in found.layers {
      for name in [layer.name] + layer.operation.tensors.filter({ $0.role == "kernel" }).map(\.name)
      where layers[name] == nil {
        layers[name] = layer
      }
    }
    if let open = names.first(where: { name in found.ambiguous.contains(name) }) { throw .unoriented(open) }
    var chosen: Set<TensorName> = []
    var links: [Link] = []
    for name in names {
      let (before, after) = name.splitAtLast(":")
      if var layer = layers[name] ?? layers[before], let first = layer.operation.tensors.first?.name {
        if layers[name] == nil {
          guard !layer.isDense, let epsilon = Double(after.text), epsilon.isFinite, epsilon >= 0 else {
            throw .unknownLayer(name, known: found.layers.map(\.name))
          }
          layer.operation = layer.operation.with(epsilon: epsilon)
          layer.lacksEpsilon = false
        }
        guard !layer.lacksEpsilon else { throw .unknownEpsilon(layer.name) }
        guard chosen.insert(first).inserted else { throw .repeatedLayer(name) }
        links.append(.layer(layer))
      } else if let function = Activation(spelling: name.text, isPyTorch: found.isPyTorch) {
        links.append(.function(function))
      } else {
        throw .unknownLayer(name, known: found.layers.map(\.name))
      }
    }
    return links
  }

  /// A sentence about the layers that are not in a chain.
  ///
  /// - Throws: `LayoutError.leftOut` for normalizations that have a number for each output of a layer of the chain: they
  ///   belong to it.
  private func leftOut(by links: [Link]) throws(LayoutError) -> String? {
    let chain = links.compactMap(\.layer)
    let names = Set(chain.map(\.name))
    let left = found.layers.filter { !names.contains($0.name) }
    let widths = Set(chain.filter(\.isDense).map(\.outputs))
    let belonging = left.filter { !$0.isDense && widths.contains($0.inputs) }
    guard belonging.isEmpty else { throw .leftOut(belonging.map(\.name)) }
    var rest: [TensorName] = []
    for name in left.map(\.name) + found.others + found.unknown
    where rest.count < 1024 && !names.contains(name) && !rest.contains(name) {
      rest.append(name)
    }
    return rest.isEmpty ? nil : "--order leaves out \(abbreviated(rest))"
  }

  /// A network of layers and functions. Without functions among them, those that are given stand behind the dense layers,
  /// and else the ones that the file names, or relu between and linear last.
  private func chain(_ links: [Link], functions names: [String]?, isAssumed: Bool) throws(LayoutError) -> Network {
    let dense = links.compactMap(\.layer).filter(\.isDense)
    guard let first = links.compactMap(\.layer).first else {
      throw .activationCount(given: names?.count ?? 0, layers: 0)
    }
    let isExplicit = links.contains { if case .function = $0 { true } else { false } }
    if isExplicit, names != nil { throw .functionsTwice }
    let functions = try names.map { (names) throws(LayoutError) in
      try [Activation](names, layers: dense.count, isPyTorch: found.isPyTorch)
    }
    try check(links.compactMap(\.layer))
    var nodes = [Network.Node(.input(shape: [first.inputs]), inputs: [])]
    var place = 0
    for link in links {
      switch link {
      case .function(let function):
        if function != .linear { nodes.append(Network.Node(.activation(function), inputs: [nodes.count - 1])) }
      case .layer(let layer):
        nodes.append(Network.Node(layer.operation, inputs: [nodes.count - 1]))
        guard layer.isDense else { continue }
        defer { place += 1 }
        guard !isExplicit else { continue }
        let fallback: Activation = place == dense.count - 1 ? .linear : .relu
        let own = layer.activation.flatMap { Activation(spelling: $0, isPyTorch: found.isPyTorch) }
        let function = functions?[place] ?? own ?? fallback
        if function != .linear { nodes.append(Network.Node(.activation(function), inputs: [nodes.count - 1])) }
      }
    }
    return Network(nodes: nodes, outputs: [nodes.count - 1], isAssumed: isAssumed)
  }

  private func check(_ chain: [FoundLayer]) throws(LayoutError) {
    for layer in chain {
      if let count = layer.biases, count != layer.outputs {
        throw .biasCount(layer: layer.name, outputs: layer.outputs, biases: count)
      }
    }
    for (layer, next) in zip(chain, chain.dropFirst()) where layer.outputs != next.inputs {
      throw .doesNotChain(from: layer.name, outputs: layer.outputs, to: next.name, inputs: next.inputs)
    }
  }
}

extension Network.Operation {
  /// The same normalization with another ε.
  fileprivate func with(epsilon: Double) -> Network.Operation {
    switch self {
    case .batchNormalization(let mean, let variance, let gamma, let beta, _):
      .batchNormalization(mean: mean, variance: variance, gamma: gamma, beta: beta, epsilon: epsilon)
    case .layerNormalization(let gamma, let beta, _): .layerNormalization(gamma: gamma, beta: beta, epsilon: epsilon)
    default: self
    }
  }
}

extension [Activation] {
  /// The functions of the layers of a chain: one name for each; or for each but the last, which is linear; or one for all
  /// but the last.
  init(_ names: [String], layers: Int, isPyTorch: Bool) throws(LayoutError) {
    self = []
    for name in names {
      guard let function = Activation(spelling: name, isPyTorch: isPyTorch) else { throw .unknownActivation(name) }
      append(function)
    }
    if count == layers { return }
    if count == layers - 1 {
      append(.linear)
      return
    }
    guard count == 1 else { throw .activationCount(given: count, layers: layers) }
    self = Array(repeating: self[0], count: layers - 1) + [.linear]
  }
}

extension Activation {
  /// `NAME`, `NAME:PARAMETER` or `steps:LEVEL/THRESHOLD/LEVEL…`; without the parameter, the framework's own.
  fileprivate init?(spelling: String, isPyTorch: Bool) {
    let (before, after) = TensorName(spelling).splitAtLast(":")
    guard before.isEmpty else {
      if before == "steps" {
        self.init(steps: after.text)
        return
      }
      guard let parameter = Double(after.text), parameter.isFinite else { return nil }
      switch before {
      case "leaky_relu": self = .leakyReLU(slope: parameter)
      case "bounded_relu" where parameter >= 0:
        self = .boundedReLU(maximum: parameter, threshold: 0, slope: 0)
      case "elu": self = .elu(alpha: parameter)
      default: return nil
      }
      return
    }
    if spelling == "leaky_relu", isPyTorch {
      self = .leakyReLU(slope: 0.01)
    } else {
      self.init(keras: spelling, hardSigmoidDivisor: 6)
    }
  }
}
