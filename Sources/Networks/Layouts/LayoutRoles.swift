// SPDX-License-Identifier: Apache-2.0

internal import HDF5
internal import Tensors

/// What is found out about a dataset: what it is to the network and, where compressors leave it, why.
struct LayoutFinding {
  var role: TensorRole
  /// Of a matrix, where it is known how it is one.
  var axes: MatrixAxes?
  /// Why it is no weight matrix of a dense layer, where its role does not say it.
  var reason: String?
  /// Whether it is a weight matrix but for this: its orientation is not known.
  var isAmbiguous = false

  init(_ role: TensorRole, _ axes: MatrixAxes? = nil, reason: String? = nil, isAmbiguous: Bool = false) {
    (self.role, self.axes, self.reason, self.isAmbiguous) = (role, axes, reason, isAmbiguous)
  }

  static func other(_ reason: String? = nil) -> LayoutFinding { LayoutFinding(.other, reason: reason) }

  /// A matrix of a dense layer; with `nil`, one whose orientation the shapes of the file must tell.
  static func kernel(_ orientation: MatrixOrientation?) -> LayoutFinding {
    LayoutFinding(.kernel, orientation?.axes, isAmbiguous: orientation == nil)
  }
}

extension LayoutVariables {
  /// What a dataset is, by what its layer, its name and its shape say.
  func finding(for variable: LayoutVariable) -> LayoutFinding {
    if let stated = stated(of: variable) { return stated }
    if variable.tensor.role == .optimizer { return LayoutFinding(.optimizer) }
    guard !variable.layer.isEmpty else { return .other() }
    let own =
      switch (kind, variable.description) {
      case (_, .layer(let layer)): described(variable, layer)
      case (_, .inside(let layer)): part(of: layer, variable)
      case (.kerasModel, _), (.kerasWeights, _): listed(variable)
      case (.keras3Weights, _): numbered(variable)
      case (.keras0, _): keras0(variable)
      case (.caffe, _): caffe(variable)
      case (.pyTorch, _), (.plain, _), (.arrays, _), (.unknown, _): named(variable)
      }
    return own ?? common(variable)
  }

  /// What a plain file says about a dataset itself, if that can be.
  private func stated(of variable: LayoutVariable) -> LayoutFinding? {
    guard kind == .plain, let role = tree.text("role", of: variable.tensor.object).flatMap(TensorRole.init) else {
      return nil
    }
    guard role == .kernel else { return LayoutFinding(role) }
    guard variable.isFloat, variable.rank == 2, !variable.layer.isEmpty else { return nil }
    return .kernel(variable.weight.hasPrefix("weight") ? .outputsByInputs : .inputsByOutputs)
  }

  // MARK: With a configuration

  /// A variable of a layer that the configuration describes.
  private func described(_ variable: LayoutVariable, _ layer: Int) -> LayoutFinding? {
    guard let configuration else { return nil }
    let className = configuration.layers[layer].className
    if configuration.dense(layer) != nil {
      let isNamed = LayoutGroup.kernels.contains(variable.weight)
      let isFirst = variable.ordinal == 0 && !group(of: variable).hasKernel
      return mayBeMatrix(variable) && (isNamed || isFirst) ? .kernel(.inputsByOutputs) : nil
    }
    let inner = configuration.unwrapped(layer)
    return einsum(variable, inner) ?? ofClass(className, variable)
      ?? ofClass(configuration.layers[inner].className, variable) ?? byVectors(variable)
      ?? .other("of class \(className), not a dense layer")
  }

  /// A variable of a part of a layer, of which the configuration says no more.
  private func part(of layer: Int, _ variable: LayoutVariable) -> LayoutFinding? {
    guard let className = configuration?.layers[layer].className else { return nil }
    return ofClass(className, variable) ?? byVectors(variable)
      ?? .other("inside a layer of class \(className), which says no more about it")
  }

  private func ofClass(_ className: String, _ variable: LayoutVariable) -> LayoutFinding? {
    guard variable.isFloat, let rank = variable.rank, rank >= 2 else { return nil }
    let name = className.lowercased()
    if variable.weight == "embeddings" || name == "embedding" { return LayoutFinding(.embedding) }
    if ["lstm", "gru", "rnn", "bidirectional"].contains(where: name.contains) {
      return LayoutFinding(isBias(variable) ? .bias : .recurrent)
    }
    if name.contains("attention") { return LayoutFinding(isBias(variable) ? .bias : .attention) }
    return rank >= 3 && name.contains("conv") ? LayoutFinding(.convolution) : nil
  }

  // MARK: Keras

  /// Keras 1 and 2: a layer says what its weights are called.
  private func listed(_ variable: LayoutVariable) -> LayoutFinding? {
    if mayBeMatrix(variable), LayoutGroup.kernels.contains(variable.weight), !group(of: variable).isRecurrent {
      return .kernel(.inputsByOutputs)
    }
    return byWords(variable) ?? ofPath(variable)
  }

  /// What the groups around it are called by: classes, where layers have the names that Keras gives them.
  private func ofPath(_ variable: LayoutVariable) -> LayoutFinding? {
    variable.tensor.path.components.dropLast().lazy.compactMap { ofClass($0.withoutNumber.text, variable) }.first
  }

  /// `.weights.h5`: groups are called by the class of their layer.
  private func numbered(_ variable: LayoutVariable) -> LayoutFinding? {
    let className = variable.groupClass?.text ?? ""
    if mayBeMatrix(variable), variable.weight == "kernel", className.hasPrefix("dense") {
      return .kernel(.inputsByOutputs)
    }
    if let finding = byWords(variable) ?? ofPath(variable) ?? byVectors(variable) { return finding }
    guard variable.isFloat, let rank = variable.rank, rank >= 2 else { return nil }
    if rank >= 3, className.contains("conv") { return LayoutFinding(.convolution) }
    return .other("of class \(className), not a dense layer")
  }

  /// `layer_N/param_M` of Keras 0: a dense layer has two parameters, a matrix and a bias for each of its columns.
  private func keras0(_ variable: LayoutVariable) -> LayoutFinding? {
    let shapes = group(of: variable).shapes
    guard let rank = variable.rank, variable.isFloat else { return .other() }
    let isDense =
      shapes.count == 2 && shapes["param_0"]??.rank == 2 && shapes["param_1"]??.rank == 1
      && shapes["param_0"]??.dimensions.last == shapes["param_1"]??.count
    if isDense { return variable.weight == "param_0" ? .kernel(.inputsByOutputs) : LayoutFinding(.bias) }
    if rank == 2 {
      return shapes.count == 1
        ? LayoutFinding(.embedding) : .other("one of \(shapes.count) parameters: not a dense layer")
    }
    return rank == 4 ? LayoutFinding(.convolution) : .other()
  }

  // MARK: Others

  /// `data/LAYER/0` and `/1` of Caffe: the matrix of an inner product is outputs × inputs.
  private func caffe(_ variable: LayoutVariable) -> LayoutFinding? {
    let shapes = group(of: variable).shapes
    guard let rank = variable.rank, variable.isFloat else { return .other() }
    if rank == 4 { return LayoutFinding(.convolution) }
    guard shapes["0"]??.rank == 2 else { return .other() }
    let outputs = shapes["0"]??.dimensions[0]
    guard let biases = shapes["1"]??.count, biases != outputs else {
      return variable.weight == "0" ? .kernel(.outputsByInputs) : LayoutFinding(.bias)
    }
    return .other("its bias fits its columns, as those of an Embed or a transposed InnerProduct layer do")
  }

  /// Files without lists: what `DenseNaming` and `LayerWords` say.
  private func named(_ variable: LayoutVariable) -> LayoutFinding? {
    let group = group(of: variable)
    if let finding = byWords(variable) { return finding }
    if variable.isFloat, let rank = variable.rank, rank >= 3, variable.weight == "kernel",
      AttentionPart(variable.innermost) != nil
    {
      return LayoutFinding(.attention)
    }
    guard mayBeMatrix(variable), !group.isRecurrent else { return nil }
    guard let naming = DenseNaming.known.first(where: { $0.kernel == variable.weight }) else { return nil }
    if variable.isOwnSpelling || naming.orientation == nil {
      // `fc1_W` is one only beside `fc1_b`.
      return group.biases != nil || !variable.needsBias ? .kernel(nil) : nil
    }
    // A bias that fits the other way round alone contradicts the custom: then the shapes tell.
    guard let orientation = naming.orientation, let dimensions = variable.tensor.shape?.dimensions,
      let biases = group.biases,
      biases != dimensions[orientation.outputs], biases == dimensions[orientation.inputs]
    else { return .kernel(naming.orientation) }
    return .kernel(nil)
  }

  private func byWords(_ variable: LayoutVariable) -> LayoutFinding? {
    guard variable.isFloat, let rank = variable.rank, rank >= 2 else { return nil }
    if group(of: variable).isRecurrent, variable.weight.hasSuffix("kernel") { return LayoutFinding(.recurrent) }
    return LayerWords.role(
      layer: variable.layerName, weight: variable.weight, shape: variable.tensor.shape,
      isBare: group(of: variable).biases == nil && variable.weight != "kernel"
    ).map { LayoutFinding($0) }
  }

  // MARK: All

  /// Vectors of normalizations and biases.
  private func byVectors(_ variable: LayoutVariable) -> LayoutFinding? {
    let weight = variable.weight
    if Self.normalizations.contains(weight) { return LayoutFinding(.normalization) }
    let group = group(of: variable)
    let isUnnamed = kind == .pyTorch && (weight == "weight" || weight == "bias") && group.hasVectorWeight
    let isScaled = group.isScaled && Self.scales.contains(weight)
    if isUnnamed || isScaled { return LayoutFinding(.normalization) }
    guard variable.isFloat, variable.rank != nil else { return .other() }
    return DenseNaming.biases.contains(weight) ? LayoutFinding(.bias) : nil
  }

  private func common(_ variable: LayoutVariable) -> LayoutFinding {
    if let finding = byVectors(variable) { return finding }
    return (variable.rank ?? 0) >= 3 && isConvolution(variable) ? LayoutFinding(.convolution) : .other()
  }

  private static let normalizations: Set<TensorName> = [
    "gamma", "beta", "moving_mean", "moving_variance", "running_mean", "running_var", "running_std", "avg_mean",
    "avg_var", "num_batches_tracked",
  ]

  /// What Flax and Haiku call the factors and offsets of normalizations.
  private static let scales: Set<TensorName> = ["scale", "offset", "bias"]

  /// Whether the layer convolves: by its class where that is known, otherwise by what its weight is called.
  private func isConvolution(_ variable: LayoutVariable) -> Bool {
    let isNamed = DenseNaming.kernels.contains(variable.weight) || variable.weight.hasSuffix("_kernel")
    return variable.groupClass?.utf8.contains("conv".utf8) ?? isNamed
  }

  /// A matrix of floats; what cannot be read may be one, and then is, so that it is refused and not passed over.
  private func mayBeMatrix(_ variable: LayoutVariable) -> Bool {
    if case .unreadable = tree.table.objects[variable.tensor.object].kind { return true }
    return variable.isFloat && variable.rank == 2
  }
}

extension MatrixOrientation {
  /// Which of a matrix's two dimensions is the number of its outputs, and which that of its inputs.
  var outputs: Int { self == .inputsByOutputs ? 1 : 0 }
  var inputs: Int { 1 - outputs }
  var reversed: MatrixOrientation { self == .inputsByOutputs ? .outputsByInputs : .inputsByOutputs }
}
