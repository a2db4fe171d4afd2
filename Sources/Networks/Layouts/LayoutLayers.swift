// SPDX-License-Identifier: Apache-2.0

internal import Tensors

/// A layer that a network can be made of, as the names, roles and shapes of tensors say.
struct FoundLayer {
  /// What users call it.
  var name: TensorName
  /// What it computes, with its tensors.
  var operation: Network.Operation
  /// Values it takes.
  var inputs: Int
  /// Values it gives.
  var outputs: Int
  /// Numbers of its bias, where it has one.
  var biases: Int?
  /// What the file says of the function behind it.
  var activation: String?
  /// Whether its ε is one that its program does not store, and not known.
  var lacksEpsilon = false

  var isDense: Bool { if case .dense = operation { true } else { false } }
}

/// The layers of a file, in the order that its names suggest.
struct FoundLayers {
  var layers: [FoundLayer] = []
  /// Layers of other kinds: where they belong is not known.
  var others: [TensorName] = []
  /// Floats that nothing is known of.
  var unknown: [TensorName] = []
  /// A weight matrix that cannot be read, or a layer of a numbered series that is missing, as in one shard of several.
  var gap: TensorName?
  /// Matrices of which it is not known which way round they are stored.
  var ambiguous: [TensorName] = []
  /// Whether functions have the parameters that PyTorch gives them.
  var isPyTorch = false

  var dense: [FoundLayer] { layers.filter(\.isDense) }
  var normalizations: [FoundLayer] { layers.filter { !$0.isDense } }
}

/// A tensor in the terms in which layers are found.
private struct LayerPart {
  var name: TensorName
  /// The layer's own name.
  var layer: TensorName
  /// Shared by the parts of one layer.
  var group: TensorName
  var weight: TensorName
  var role: TensorRole
  var orientation: MatrixOrientation?
  var shape: Shape?
}

extension FoundLayers {
  /// - Parameter epsilon: of normalizations, as the program has it unless it is told another; `nil` where that is not
  ///   known.
  private init(_ parts: [LayerPart], epsilon: Double?, activation: (TensorName) -> String?) {
    var numbers: [TensorName: Int] = [:]
    for part in parts where part.role == .kernel {
      guard let dimensions = part.shape?.dimensions, dimensions.count == 2, let orientation = part.orientation else {
        gap = part.name
        continue
      }
      numbers[part.group] = layers.count
      layers.append(
        FoundLayer(
          name: part.layer, operation: .dense(kernel: part.name, bias: nil), inputs: dimensions[orientation.inputs],
          outputs: dimensions[orientation.outputs], activation: activation(part.group)))
    }
    var normalizations: [TensorName: [TensorName: LayerPart]] = [:]
    var order: [TensorName] = []
    for part in parts {
      if part.role == .bias, let number = numbers[part.group],
        case .dense(let kernel, _) = layers[number].operation
      {
        layers[number].operation = .dense(kernel: kernel, bias: part.name)
        layers[number].biases = part.shape?.count
      } else if part.role == .normalization {
        if normalizations[part.group] == nil { order.append(part.group) }
        normalizations[part.group, default: [:]][part.weight] = part
      }
    }
    for group in order {
      guard let parts = normalizations[group] else { continue }
      if let layer = Self.normalization(parts, epsilon: epsilon) { layers.append(layer) }
    }
  }

  /// What programs call the four vectors of a normalization.
  private static let vectors: (gamma: [TensorName], beta: [TensorName], mean: [TensorName], variance: [TensorName]) = (
    ["gamma", "weight", "scale"], ["beta", "bias", "offset"], ["moving_mean", "running_mean", "avg_mean"],
    ["moving_variance", "running_var", "avg_var"]
  )

  private static func normalization(_ parts: [TensorName: LayerPart], epsilon: Double?) -> FoundLayer? {
    func part(_ names: [TensorName]) -> LayerPart? { names.lazy.compactMap { parts[$0] }.first }
    let (gamma, beta) = (part(vectors.gamma), part(vectors.beta))
    let (mean, variance) = (part(vectors.mean), part(vectors.variance))
    let present = [gamma, beta, mean, variance].compactMap { $0 }
    guard let first = present.first, let width = first.shape?.count, present.allSatisfy({ $0.shape?.count == width })
    else { return nil }
    let operation: Network.Operation
    switch (mean, variance) {
    case (let mean?, let variance?):
      operation = .batchNormalization(
        mean: mean.name, variance: variance.name, gamma: gamma?.name, beta: beta?.name, epsilon: epsilon ?? 0)
    case (nil, nil):
      operation = .layerNormalization(gamma: gamma?.name, beta: beta?.name, epsilon: epsilon ?? 0)
    default: return nil
    }
    return FoundLayer(
      name: first.layer, operation: operation, inputs: width, outputs: width, lacksEpsilon: epsilon == nil)
  }

  // MARK: HDF5

  init(_ file: LayoutVariables) {
    let isKeras = file.isKeras
    let parts = file.variables.filter { !$0.layer.isEmpty }.map { variable in
      LayerPart(
        name: variable.tensor.name, layer: variable.layerName, group: variable.group, weight: variable.weight,
        role: variable.tensor.role, orientation: variable.tensor.orientation, shape: variable.tensor.shape)
    }
    self.init(parts, epsilon: isKeras ? 1e-3 : file.kind == .pyTorch ? 1e-5 : nil) { group in
      file.tree.text("activation", of: file.tree.object(at: group))
    }
    isPyTorch = file.kind == .pyTorch
    ambiguous = file.variables.filter(\.tensor.isAmbiguous).map(\.tensor.name)
    let matrices = Set(parts.filter { $0.role == .kernel }.map(\.group))
    for variable in file.variables where !variable.layer.isEmpty && !matrices.contains(variable.group) {
      // Floats of a layer without weight matrix; where a layout has no layers, only what is known to belong to one.
      let isOfAnotherKind =
        isKeras || file.kind == .caffe || file.kind == .keras0
        ? variable.isFloat
        : [.bias, .embedding, .convolution, .normalization, .recurrent, .attention].contains(variable.tensor.role)
          || variable.weight.hasPrefix("weight_") || variable.weight.hasPrefix("recurrent_")
          || (variable.tensor.role == .other && variable.tensor.reason != nil)
      if isOfAnotherKind, !variable.tensor.isAmbiguous, others.last != variable.layerName {
        others.append(variable.layerName)
      }
    }
    unknown = file.variables.filter { variable in
      variable.tensor.role == .other && variable.isFloat && (variable.rank ?? 0) >= 1 && !variable.tensor.isAmbiguous
    }.map(\.tensor.name)
    sort(parts, of: file)
  }

  /// Keras lists its layers in their order, and numbers the groups of `.weights.h5` in it; elsewhere the numbers in
  /// the names are all there is.
  private mutating func sort(_ parts: [LayerPart], of file: LayoutVariables) {
    var listed: [TensorName: Int] = [:]
    if file.kind == .kerasWeights || file.kind == .kerasModel {
      let container = file.tree.object(at: file.kind == .kerasModel ? "model_weights" : "")
      for (place, name) in (file.tree.list("layer_names", of: container) ?? []).enumerated()
      where listed[TensorName(name)] == nil {
        listed[TensorName(name)] = place
      }
    }
    var groupOf: [TensorName: TensorName] = [:]
    for part in parts { groupOf[part.name] = part.group }
    layers = layers.naturallySorted { layer in
      layer.operation.tensors.first.flatMap { groupOf[$0.name] } ?? layer.name
    } within: { layer in
      listed.isEmpty ? 0 : listed[layer.name] ?? listed[layer.name.components.first ?? ""] ?? listed.count
    }
    guard file.kind == .keras3Weights else { return }
    findGap(Set(parts.filter { $0.role == .kernel }.map(\.group)), in: file.tree)
  }

  /// …/layers/dense/vars comes first, then …/layers/dense_1/vars, …/layers/dense_2/vars, ….
  private mutating func findGap(_ groups: Set<TensorName>, in tree: ObjectTree) {
    for group in groups.sorted() {
      let (parent, own) = group.splitAtLast("/").before.splitAtLast("/")
      guard parent.components.last == "layers" else { continue }
      let (before, digits) = own.splitAtLast("_")
      let isNumbered = !before.isEmpty && Int(digits.text) != nil
      let stem: TensorName = "\(parent)/\(isNumbered ? before : own)"
      let number = isNumbered ? Int(digits.text) ?? 0 : 0
      func layer(_ number: Int) -> TensorName { number == 0 ? stem : "\(stem)_\(number)" }
      if number > 0, !groups.contains(layer(number - 1) + "/vars") { gap = layer(number - 1) }
      let (next, overflow) = number.addingReportingOverflow(1)
      if !overflow, !groups.contains(layer(next) + "/vars"), tree.object(at: layer(next)) != nil { gap = layer(next) }
    }
  }

  // MARK: .ncz

  /// The layers of a `.ncz`: in the order of its network, with what that says of them; else in natural order of the
  /// paths in its source.
  init(_ tensors: [TensorRecord], network: Network?) {
    let parts = tensors.map { tensor in
      let place = WeightName(path: tensor.name)
      return LayerPart(
        name: tensor.name, layer: place.layer.isEmpty ? tensor.name : place.layer, group: place.group,
        weight: place.weight, role: tensor.role,
        orientation: tensor.isTransposed ? .inputsByOutputs : .outputsByInputs, shape: tensor.shape)
    }
    self.init(parts, epsilon: nil) { _ in nil }
    var paths: [TensorName: TensorName] = [:]
    var counts: [TensorName: Int] = [:]
    for tensor in tensors {
      paths[tensor.name] = tensor.path ?? tensor.name
      counts[tensor.name] = tensor.shape.count
    }
    func path(_ layer: FoundLayer) -> TensorName {
      layer.operation.tensors.first.flatMap { paths[$0.name] } ?? layer.name
    }
    var places: [TensorName: Int] = [:]
    var stated: [TensorName: Network.Operation] = [:]
    for (place, node) in (network?.nodes ?? []).enumerated() {
      for (_, name) in node.operation.tensors where places[name] == nil {
        places[name] = place
        stated[name] = node.operation
      }
    }
    for index in layers.indices {
      guard let first = layers[index].operation.tensors.last?.name, let operation = stated[first] else { continue }
      switch operation {
      case .dense, .batchNormalization, .layerNormalization:
        layers[index].operation = operation
        layers[index].lacksEpsilon = false
        if case .dense(_, let bias) = operation {
          layers[index].biases = bias.flatMap { counts[$0] }
        }
      default: break
      }
    }
    layers = layers.naturallySorted(by: path) { layer in
      layer.operation.tensors.compactMap { places[$0.name] }.min() ?? .max
    }
    let own = Set(layers.flatMap { $0.operation.tensors.map(\.name) })
    for (tensor, part) in zip(tensors, parts) where !own.contains(tensor.name) {
      let isOfALayer: Bool =
        switch tensor.role {
        case .kernel, .optimizer: false
        case .other: tensor.shape.rank >= 2 && tensor.type.isFloat
        default: true
        }
      if isOfALayer, others.last != part.layer { others.append(part.layer) }
    }
  }
}
