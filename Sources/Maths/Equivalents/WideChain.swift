// SPDX-License-Identifier: Apache-2.0

public import Parallel
public import Tensors

/// A chain of dense layers as the theory of wide networks has it: f = w·Σ_L, Σ_l = (σ_l(W_lΣ_{l−1}) − m0)/√d_l, the
/// weights of each layer divided by their root mean square, no biases.
///
/// What one factor scales or shifts, before the first layer or behind an activation, is left out too: the theory has its own
/// scales. So is a last activation, and of one between layers its softmax is refused.
public struct WideChain: Sendable {
  public struct Layer: Sendable {
    /// What its tensor is called.
    public let name: TensorName
    /// d_l and d_{l−1}.
    public let rows: Int
    public let columns: Int
    /// The root mean square of the weights, times √d_{l−1}: 1 where the network is as the theory has it.
    public let gain: Double
    /// σ_l; of the last, linear.
    public let activation: Activation
    fileprivate let matrix: WeightMatrix
  }

  /// The hidden layers, and last that of the outputs.
  public let layers: [Layer]
  /// What of the network was left out, such as `biases`.
  public let omissions: [String]

  /// The activations of the hidden layers.
  public var activations: [Activation] { layers.dropLast().map(\.activation) }
  /// Numbers of a sample.
  public var inputCount: Int { layers[0].columns }

  /// - Throws: `WideChainError`.
  public init(_ function: NetworkFunction) throws(WideChainError) {
    var layers: [Layer] = []
    var omissions: [String] = []
    var pending: (name: TensorName, matrix: WeightMatrix)?
    var activation = Activation.linear
    func omit(_ what: String) { if !omissions.contains(what) { omissions.append(what) } }
    func finish(_ function: Activation) throws(WideChainError) {
      guard let (name, matrix) = pending else { return }
      let elements = matrix.elements
      let square = elements.reduce(0) { $0 + $1 * $1 } / Double(max(1, elements.count))
      guard square > 0, square.isFinite else { throw .zero(name) }
      let unit = square.squareRoot()
      layers.append(
        Layer(
          name: name, rows: matrix.rows, columns: matrix.columns,
          gain: unit * Double(matrix.columns).squareRoot(), activation: function,
          matrix: .dense(elements.map { $0 / unit }, rows: matrix.rows, columns: matrix.columns)))
    }
    guard function.network.outputs == [function.network.nodes.count - 1] else { throw .noChain }
    for (index, node) in function.network.nodes.enumerated() {
      guard index == 0 ? node.inputs.isEmpty : node.inputs == [index - 1] else { throw .noChain }
      switch function.operations[index] {
      case .input where index == 0: break
      case .dense(let matrix, let bias):
        guard function.shapes[index].positions == 1 else { throw .positions(function.shapes[index].positions) }
        guard case .dense(let name, _) = node.operation else { throw .noChain }
        if activation == .softmax { throw .softmax }
        try finish(activation)
        activation = .linear
        pending = (name, function.matrices[matrix])
        if bias != nil { omit("biases") }
      case .activation(.linear), .copy: break
      case .activation(let function):
        guard pending != nil else { throw .operation("an activation before the first layer") }
        guard activation == .linear else { throw .operation("two activations behind one layer") }
        activation = function
      case .rescaling(let scale, let offset) where scale.count == 1 && offset.count == 1 && scale[0] > 0:
        guard pending == nil || activation != .linear else { throw .operation("a rescaling before an activation") }
        omit("rescalings")
      case .input, .batchNormalization, .layerNormalization, .normalization, .rescaling, .rotation, .prelu, .combine,
        .concatenate:
        throw .operation(node.operation.name)
      }
    }
    if activation != .linear { omit("the last activation") }
    try finish(.linear)
    guard layers.count >= 2 else { throw .layers(layers.count) }
    self.layers = layers
    self.omissions = omissions
  }

  /// The kernels of this network of finite width, in the scales of the theory: the conjugate one of the last hidden layer,
  /// and the mean over outputs of the tangent one, `nil` where an activation jumps or it would take too long.
  ///
  /// - Parameters:
  ///   - network: that of `activations` at the points' τ₀.
  ///   - points: n × `inputCount`, row-major.
  /// - Throws: `NetworkFunctionError` or `LinearAlgebraError`.
  public func kernels(
    _ network: WideNetwork, of points: [Double], threads: Threads
  ) throws -> (conjugate: SymmetricMatrix, tangent: SymmetricMatrix?) {
    var nodes = [Network.Node(.input(shape: [inputCount]), inputs: [])]
    func add(_ operation: Network.Operation) { nodes.append(Network.Node(operation, inputs: [nodes.count - 1])) }
    func name(_ index: Int) -> TensorName { TensorName("\(index)") }
    for (index, layer) in layers.enumerated() {
      add(.dense(kernel: name(index), bias: nil))
      guard index < layers.count - 1 else { break }
      let scale = 1 / Double(layer.rows).squareRoot()
      add(.activation(layer.activation))
      add(.rescaling(scale: [scale], offset: [-network.layers[index].moments.mean * scale]))
    }
    let function = try NetworkFunction(Network(nodes: nodes, outputs: [nodes.count - 1])) { wanted in
      layers[layers.indices.first { name($0) == wanted } ?? 0].matrix
    } vector: { _ in
      []
    }
    let width = inputCount
    let kernels = NetworkKernels(of: function, points: points.count / width, threads: threads) { range, out in
      for (i, k) in (range.lowerBound * width..<range.upperBound * width).enumerated() { out[i] = points[k] }
    }
    var tangent = kernels.tangent
    let outputs = Double(layers[layers.count - 1].rows)
    if let elements = tangent?.elements { tangent?.elements = elements.map { $0 / outputs } }
    return (kernels.conjugate, tangent)
  }
}

/// Why the theory of wide networks does not fit a network.
public enum WideChainError: Error, Equatable, CustomStringConvertible {
  case noChain
  /// A layer is applied at several places of a sample.
  case positions(Int)
  case softmax
  case operation(String)
  /// A layer's weights are all zero, or not finite.
  case zero(TensorName)
  /// Fewer than two.
  case layers(Int)

  public var description: String {
    switch self {
    case .noChain: "not one chain of layers from one input to one output"
    case .positions(let count): "a dense layer is applied at \(count) places of a sample"
    case .softmax: "softmax inside: it is no function of one number"
    case .operation(let name): "\(name): expected dense layers and activations alone"
    case .zero(let name): "\(name.text): the weights are all zero, or not finite"
    case .layers(let count):
      "\(count) dense layer\(count == 1 ? "" : "s"), expected two or more: a kernel needs a hidden layer"
    }
  }
}
