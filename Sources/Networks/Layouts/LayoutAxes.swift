// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Tensors

// How the tensors of convolutions, recurrent and attention layers and embeddings are seen as matrices of outputs × inputs
// (`spec/network-hdf5.md` §4.2).

/// Why a tensor is no matrix that compressors can take.
private struct NoMatrix: Error {
  let reason: String

  static let depthwise = NoMatrix(reason: "depthwise: a filter for each channel, no matrix")
  static let transposed = NoMatrix(reason: "transposed: its outputs are neither its first nor its last axis")
  static let permuted = NoMatrix(reason: "its outputs are neither its first nor its last axes")
  static let unknown = NoMatrix(reason: "which of its axes count outputs is not known")
}

extension LayoutVariables {
  /// A finding, of a matrix of another layer than a dense one with its axes, or why it has none.
  func withAxes(_ finding: LayoutFinding, _ variable: LayoutVariable) -> LayoutFinding {
    guard TensorRole.includable.contains(finding.role), finding.axes == nil, finding.reason == nil,
      let dimensions = variable.tensor.shape?.dimensions
    else { return finding }
    var finding = finding
    do throws(NoMatrix) {
      finding.axes = try axes(of: variable, finding.role, dimensions)
    } catch {
      finding.reason = error.reason
    }
    return finding
  }

  private func axes(
    of variable: LayoutVariable, _ role: TensorRole, _ dimensions: [Int]
  ) throws(NoMatrix) -> MatrixAxes {
    if let stated = statedAxes(of: variable) {
      guard let axes = stated, axes.rank == dimensions.count else { throw .unknown }
      return axes
    }
    switch role {
    case .convolution: return try convolution(variable, dimensions)
    case .recurrent: return try recurrent(variable, dimensions)
    case .attention: return try attention(variable, rank: dimensions.count)
    case .embedding where dimensions.count == 2: return .standard(rank: 2)
    default: throw .unknown
    }
  }

  // MARK: Plain files

  /// The axes that a plain file states; `.some(nil)` where what it states are none.
  private func statedAxes(of variable: LayoutVariable) -> MatrixAxes?? {
    guard kind == .plain else { return nil }
    return tree.text(TensorName(PlainFormat.axes), of: variable.tensor.object).map { MatrixAxes(plainText: $0) }
  }

  // MARK: Kinds

  private func convolution(_ variable: LayoutVariable, _ dimensions: [Int]) throws(NoMatrix) -> MatrixAxes {
    let rank = dimensions.count
    if isCalled("depthwise", variable) || (isCalled("separable", variable) && variable.weight == "0") {
      throw .depthwise
    }
    if isCalled("transpose", variable) || isCalled("deconv", variable) { throw .transposed }
    let biases = biases(of: variable)
    let isOutputsLast: Bool
    if let known = hasOutputsLast(variable) {
      isOutputsLast = known
    } else {
      guard let biases, dimensions[0] != dimensions[rank - 1], let outputs = dimensions.firstIndex(of: biases),
        outputs == 0 || outputs == rank - 1
      else { throw .unknown }
      isOutputsLast = outputs > 0
    }
    let outputs = dimensions[isOutputsLast ? rank - 1 : 0]
    // Depthwise or transposed, and its name does not say it.
    if let biases, biases != outputs { throw .unknown }
    if isOutputsLast {
      if outputs == 1, biases == nil, className(of: variable) == nil { throw .depthwise }
      return .outputsLast(rank: rank)
    }
    // PyTorch's depthwise convolutions look so; a first layer that takes one channel looks no different.
    if dimensions[1] == 1, outputs > 1 { throw .depthwise }
    return .outputsFirst(rank: rank)
  }

  /// Whether the last axis of a convolution counts its outputs, as in Keras and TensorFlow, or the first one; `nil` where
  /// names do not tell.
  private func hasOutputsLast(_ variable: LayoutVariable) -> Bool? {
    switch kind {
    case .keras3Weights: return true
    case .kerasModel, .kerasWeights:
      if variable.weight != "W" { return true }
      // Keras 1, which keeps weights in the order of the axes that its layers work with.
      return setting("dim_ordering", of: variable).map { $0 == "tf" }
    case .caffe: return false
    case .pyTorch, .plain, .arrays, .unknown, .keras0:
      if variable.weight.hasSuffix("kernel") { return true }
      return variable.weight == "weight" ? false : nil
    }
  }

  private func recurrent(_ variable: LayoutVariable, _ dimensions: [Int]) throws(NoMatrix) -> MatrixAxes {
    if let number = Int(variable.weight.text), number > 1 { throw .unknown }
    if isKeras || variable.weight.hasSuffix("kernel") { return .outputsLast(rank: dimensions.count) }
    guard dimensions.count == 2 else { throw .unknown }
    if variable.weight.hasPrefix("weight_") || variable.weight == "weight" { return .standard(rank: 2) }
    guard dimensions[0] != dimensions[1], let biases = biases(of: variable),
      let outputs = dimensions.firstIndex(of: biases)
    else { throw .unknown }
    return outputs == 0 ? .standard(rank: 2) : .outputsLast()
  }

  private func attention(_ variable: LayoutVariable, rank: Int) throws(NoMatrix) -> MatrixAxes {
    if WeightName.attention.contains(variable.weight), rank == 2 { return .standard(rank: 2) }
    guard ["kernel", "0"].contains(variable.weight), let part = AttentionPart(variable.innermost) else {
      throw .unknown
    }
    switch part {
    // [inputs, heads, outputs of a head]
    case .projection: return .outputsLast(rank - 1, rank: rank)
    // [heads, inputs of a head, outputs]
    case .output: return .outputsLast(max(1, rank - 2), rank: rank)
    }
  }

  /// Of an `EinsumDense`, by its equation; `nil` where that cannot be read.
  ///
  /// - Parameter layer: in the configuration.
  func einsum(_ variable: LayoutVariable, _ layer: Int) -> LayoutFinding? {
    guard configuration?.layers[layer].className == "EinsumDense", ["kernel", "0"].contains(variable.weight),
      variable.isFloat, let rank = variable.rank, rank >= 2,
      let equation = configuration?.layers[layer].settings["equation"]?.string,
      let axes = MatrixAxes(kernelOf: equation), axes.rank == rank
    else { return nil }
    return axes.isMatrix
      ? LayoutFinding(.attention, axes) : LayoutFinding(.attention, reason: NoMatrix.permuted.reason)
  }

  // MARK: What is known of a variable

  var isKeras: Bool { [.kerasModel, .kerasWeights, .keras3Weights].contains(kind) }

  /// Whether it is the bias of a recurrent or an attention layer, though it has several axes: one number for each output,
  /// or two for each, as GRU has them.
  func isBias(_ variable: LayoutVariable) -> Bool {
    if variable.weight == "bias" { return true }
    guard kind == .keras3Weights, let number = Int(variable.weight.text), number > 0,
      let own = variable.tensor.shape?.dimensions, let kernel = group(of: variable).shapes["0"]??.dimensions
    else { return false }
    return number == 1
      ? kernel.count > own.count && kernel.suffix(own.count).elementsEqual(own)
      : number == 2 && own.count == 2 && own[0] == 2 && own[1] == kernel.last
  }

  /// How many numbers the bias has that its layer has beside it.
  private func biases(of variable: LayoutVariable) -> Int? {
    let group = group(of: variable)
    let numbered: TensorName? = kind == .keras0 ? "param_1" : kind == .caffe ? "1" : nil
    guard let numbered, let shape = group.shapes[numbered] else { return group.biases }
    return shape?.rank == 1 ? shape?.count : nil
  }

  private func className(of variable: LayoutVariable) -> String? {
    guard let layer = described(variable) else { return nil }
    return configuration?.layers[layer].className
  }

  private func setting(_ key: String, of variable: LayoutVariable) -> String? {
    guard let layer = described(variable) else { return nil }
    return configuration?.layers[layer].settings[key]?.string
  }

  /// The layer in the configuration that it is of, inside wrappers.
  private func described(_ variable: LayoutVariable) -> Int? {
    switch variable.description {
    case .none: nil
    case .layer(let layer), .inside(let layer): configuration?.unwrapped(layer)
    }
  }

  /// Whether the class of its layer, the layer or the weight are called so.
  private func isCalled(_ word: String, _ variable: LayoutVariable) -> Bool {
    let names = [variable.innermost.text, variable.groupClass?.text, variable.weight.text, className(of: variable)]
    return names.contains { $0?.lowercased().contains(word) ?? false }
  }
}

extension LayoutVariable {
  /// The last part of the name of its layer.
  var innermost: TensorName { layer.last.map { WeightName.split($0).weight } ?? "" }
}

/// The parts of an attention layer, by what Keras and Flax call them.
enum AttentionPart {
  /// Of query, key or value.
  case projection
  case output

  /// `query`, `attention_output`, and in `.weights.h5` `query_dense`, `_query_dense`, `output_dense`.
  init?(_ name: TensorName) {
    var name = name.text
    if name.hasPrefix("_") { name.removeFirst() }
    if name.hasSuffix("_dense") { name.removeLast("_dense".count) }
    switch name {
    case "query", "key", "value": self = .projection
    case "output", "attention_output", "out": self = .output
    default: return nil
    }
  }
}

extension MatrixAxes {
  /// The first axis counts outputs: a convolution as PyTorch has it.
  static func outputsFirst(rank: Int) -> MatrixAxes {
    MatrixAxes(order: Array(0..<rank), outputs: 1) ?? .oneRow(rank: rank)
  }

  /// Of the second operand of an equation of `einsum`, `abc,cde->abde`: an axis that the result does not have is summed
  /// over, and so counts inputs.
  init?(kernelOf equation: String) {
    let letters = equation.filter { $0 != " " && $0 != "." }
    guard let arrow = letters.firstRange(of: "->"), let comma = letters[..<arrow.lowerBound].firstIndex(of: ",") else {
      return nil
    }
    let kernel = Array(letters[letters.index(after: comma)..<arrow.lowerBound])
    let result = Set(letters[arrow.upperBound...])
    let axes = kernel.indices
    guard kernel.allSatisfy(\.isLetter) else { return nil }
    let outputs = axes.filter { result.contains(kernel[$0]) }
    self.init(order: outputs + axes.filter { !result.contains(kernel[$0]) }, outputs: outputs.count)
  }

  /// As a plain file states them: the axes that count outputs, then those that count inputs, `[[3],[0,1,2]]`.
  var plainText: String {
    let axes = [order.prefix(outputs), order.dropFirst(outputs)]
    return String(
      decoding: JSONValue.array(axes.map { .array($0.map(JSONValue.integer)) }).canonical().serialized(),
      as: UTF8.self)
  }

  init?(plainText text: String) {
    guard let parts = (try? JSONValue.parse(Array(text.utf8)))?.array, parts.count == 2,
      let outputs = parts[0].array?.compactMap(\.integer), let inputs = parts[1].array?.compactMap(\.integer)
    else { return nil }
    self.init(order: outputs + inputs, outputs: outputs.count)
  }
}
