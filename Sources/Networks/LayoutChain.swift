internal import Tensors

/// The dense layers of a file as a chain, for files that do not say how their layers are connected.
struct LayoutChain {
  private struct Layer {
    let name: TensorName
    let kernel: LayoutTensor
    let inputs: Int
    let outputs: Int
    var bias: LayoutTensor?
    /// What the group says about itself.
    var activation: String?
  }

  private let file: LayoutVariables
  /// In the order that is assumed.
  private var layers: [Layer] = []
  /// Layers of other kinds: where they belong is not known.
  private var others: [TensorName] = []
  /// A weight matrix that cannot be read, or a layer of a numbered series that is missing, as in one shard of several.
  private var gap: TensorName?

  init(_ file: LayoutVariables) {
    self.file = file
    let isKeras = [.kerasModel, .kerasWeights, .keras3Weights].contains(file.kind)
    var layerOfGroup: [TensorName: Int] = [:]
    var groups: [TensorName] = []
    for variable in file.variables where variable.tensor.role == .kernel {
      guard let extents = variable.tensor.shape?.extents, let orientation = variable.tensor.orientation else {
        gap = variable.tensor.name
        continue
      }
      let (inputs, outputs) =
        orientation == .inputsByOutputs ? (extents[0], extents[1]) : (extents[1], extents[0])
      layerOfGroup[variable.group] = layers.count
      groups.append(variable.group)
      layers.append(
        Layer(
          name: variable.layerName, kernel: variable.tensor, inputs: inputs, outputs: outputs,
          activation: file.tree.text("activation", of: file.tree.object(at: variable.group))))
    }
    for variable in file.variables where !variable.layer.isEmpty {
      let layer = layerOfGroup[variable.group]
      // Floats of a layer without weight matrix; where a layout has no layers, only what is known to belong to one.
      let isOfAnotherKind =
        layer == nil
        && (isKeras
          ? variable.isFloat
          : [.bias, .embedding, .convolution, .normalisation].contains(variable.tensor.role)
            || variable.weight.hasPrefix("weight_") || variable.weight.hasPrefix("recurrent_"))
      if let layer, variable.tensor.role == .bias {
        layers[layer].bias = variable.tensor
      } else if isOfAnotherKind, others.last != variable.layerName {
        others.append(variable.layerName)
      }
    }
    sort(groups)
  }

  /// Keras lists its layers in their order, and numbers the groups of `.weights.h5` in it; elsewhere the numbers in
  /// the names are all there is.
  private mutating func sort(_ groups: [TensorName]) {
    var listed: [TensorName: Int] = [:]
    if file.kind == .kerasWeights || file.kind == .kerasModel {
      let container = file.tree.object(at: file.kind == .kerasModel ? "model_weights" : "")
      for (place, name) in (file.tree.list("layer_names", of: container) ?? []).enumerated()
      where listed[TensorName(name)] == nil {
        listed[TensorName(name)] = place
      }
    }
    let places = layers.map { layer in
      listed[layer.name] ?? listed[layer.name.components.first ?? ""] ?? listed.count
    }
    let order = layers.indices.sorted { a, b in
      places[a] != places[b] ? places[a] < places[b] : TensorName.naturallyPrecedes(groups[a], groups[b])
    }
    layers = order.map { layers[$0] }
    guard file.kind == .keras3Weights else { return }
    let present = Set(groups)
    for group in groups {
      // …/layers/dense/vars comes first, then …/layers/dense_1/vars, …/layers/dense_2/vars, ….
      let (parent, own) = group.splitAtLast("/").before.splitAtLast("/")
      guard parent.components.last == "layers" else { continue }
      let (before, digits) = own.splitAtLast("_")
      let isNumbered = !before.isEmpty && Int(digits.text) != nil
      let stem: TensorName = "\(parent)/\(isNumbered ? before : own)"
      let number = isNumbered ? Int(digits.text) ?? 0 : 0
      func layer(_ number: Int) -> TensorName { number == 0 ? stem : "\(stem)_\(number)" }
      if number > 0, !present.contains(layer(number - 1) + "/vars") { gap = layer(number - 1) }
      let (next, overflow) = number.addingReportingOverflow(1)
      if !overflow, !present.contains(layer(next) + "/vars"), file.tree.object(at: layer(next)) != nil {
        gap = layer(next)
      }
    }
  }

  /// The chain, and what was assumed to make it.
  func network(
    activations: [String]?, order: [TensorName]?
  ) throws(LayoutError) -> (network: Network?, note: String?) {
    let chain = try order.map { (names) throws(LayoutError) in try select(names) } ?? layers
    if chain.isEmpty {
      if let activations { throw .activationCount(given: activations.count, layers: 0) }
      return (nil, nil)
    }
    let functions = try activations.map { (names) throws(LayoutError) in
      try [Activation](names, layers: chain.count, isPyTorch: file.kind == .pyTorch)
    }
    let isAskedFor = order != nil || activations != nil
    let says = "no architecture in the file"
    if order == nil {
      if let gap { return (nil, "\(says), and \(gap) is missing or cannot be read: no network") }
      if !others.isEmpty {
        return (nil, "\(says), and layers that are not dense (\(abbreviated(others))): no network")
      }
    }
    do throws(LayoutError) {
      try check(chain)
    } catch {
      if isAskedFor { throw error }
      return (nil, "\(says), and the layers are no chain (\(error)): no network")
    }

    var nodes = [Network.Node(.input(shape: [chain[0].inputs]), inputs: [])]
    var used: [TensorName] = []
    for (index, layer) in chain.enumerated() {
      nodes.append(
        Network.Node(
          .dense(kernel: layer.kernel.name, bias: layer.bias?.name), inputs: [nodes.count - 1]))
      let fallback: Activation = index == chain.count - 1 ? .linear : .relu
      let function =
        functions?[index] ?? layer.activation.flatMap {
          Activation(spelling: $0, isPyTorch: file.kind == .pyTorch)
        } ?? fallback
      used.append("\(layer.name) (\(function.name))")
      if function != .linear { nodes.append(Network.Node(.activation(function), inputs: [nodes.count - 1])) }
    }
    let isAllGiven = order != nil && activations != nil
    return (
      Network(nodes: nodes, outputs: [nodes.count - 1]),
      isAllGiven ? nil : note(says, chain, used, isAskedFor: isAskedFor)
    )
  }

  private func note(_ says: String, _ chain: [Layer], _ used: [TensorName], isAskedFor: Bool) -> String {
    let isDefault = !isAskedFor && chain.allSatisfy { $0.activation == nil }
    guard isDefault else { return "\(isAskedFor ? "" : says + ": ")assuming \(abbreviated(used))" }
    let functions = chain.count == 1 ? ", linear" : " with relu between and linear last"
    return "\(says): assuming \(abbreviated(chain.map(\.name)))\(functions)"
  }

  private func select(_ names: [TensorName]) throws(LayoutError) -> [Layer] {
    var chosen: [Layer] = []
    for name in names {
      // A name of its own, or the name of its kernel.
      guard let layer = layers.first(where: { $0.name == name || $0.kernel.name == name }) else {
        throw .unknownLayer(name, known: layers.map(\.name))
      }
      guard !chosen.contains(where: { $0.kernel.name == layer.kernel.name }) else { throw .repeatedLayer(name) }
      chosen.append(layer)
    }
    return chosen
  }

  private func check(_ chain: [Layer]) throws(LayoutError) {
    for layer in chain {
      if let count = layer.bias?.shape?.count, count != layer.outputs {
        throw .biasCount(layer: layer.name, outputs: layer.outputs, biases: count)
      }
    }
    for (layer, next) in zip(chain, chain.dropFirst()) where layer.outputs != next.inputs {
      throw .doesNotChain(from: layer.name, outputs: layer.outputs, to: next.name, inputs: next.inputs)
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
      case "leaky_relu": self = .leakyReLU(slope: parameter.roundedAsStored)
      case "elu": self = .elu(alpha: parameter.roundedAsStored)
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

extension Network {
  /// The chain of this network's dense layers that the caller asks for: in the order that is given, or that of the graph,
  /// and with the activations that are given, or relu between and linear last.
  ///
  /// - Throws: `LayoutError`; a layer is called by its kernel's name, or by what stands before the last `/` or `.` in it.
  func chain(_ assumption: Assumption) throws(LayoutError) -> Network {
    var layers: [(kernel: TensorName, bias: TensorName?)] = []
    for node in nodes {
      if case .dense(let kernel, let bias) = node.operation { layers.append((kernel, bias)) }
    }
    func name(_ kernel: TensorName) -> TensorName {
      let (layer, _) = kernel.splitAtLast(kernel.utf8.contains(UInt8(ascii: "/")) ? "/" : ".")
      return layer.isEmpty ? kernel : layer
    }
    if let order = assumption.order {
      var chosen: [(kernel: TensorName, bias: TensorName?)] = []
      for wanted in order {
        guard let layer = layers.first(where: { $0.kernel == wanted || name($0.kernel) == wanted }) else {
          throw .unknownLayer(wanted, known: layers.map { name($0.kernel) })
        }
        chosen.append(layer)
      }
      layers = chosen
    }
    let functions = try [Activation](assumption.activations ?? ["relu"], layers: layers.count, isPyTorch: false)
    var input = Operation.input(shape: nil)
    if assumption.order == nil, let first = self.nodes.first?.operation, case .input = first { input = first }
    var nodes = [Node(input, inputs: [])]
    for (layer, function) in zip(layers, functions) {
      nodes.append(Node(.dense(kernel: layer.kernel, bias: layer.bias), inputs: [nodes.count - 1]))
      if function != .linear { nodes.append(Node(.activation(function), inputs: [nodes.count - 1])) }
    }
    return Network(nodes: nodes, outputs: [nodes.count - 1], precision: precision)
  }
}
