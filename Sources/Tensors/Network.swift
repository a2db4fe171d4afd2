// SPDX-License-Identifier: Apache-2.0

/// A network as a graph: nodes in topological order, tensors by name.
///
/// A chain of dense layers is the simple case. The values of the tensors, their shapes and which way round a weight
/// matrix is stored are not here: they belong to the tensors that the names refer to.
public struct Network: Sendable, Equatable {
  /// Every node stands after those it takes its inputs from.
  public var nodes: [Node]
  /// The nodes, by index, whose values are the network's outputs.
  public var outputs: [Int]
  /// The 16-bit type that its framework computes in, rounding after every operation; `nil`: what it computes in is as
  /// precise as float32.
  public var precision: ElementType?
  /// Whether nobody said how the layers are connected, and a chain was assumed.
  public var isAssumed: Bool
  /// Whether a Keras configuration said how the layers are connected.
  public var isKeras: Bool

  public init(
    nodes: [Node], outputs: [Int], precision: ElementType? = nil, isAssumed: Bool = false, isKeras: Bool = false
  ) {
    self.nodes = nodes
    self.outputs = outputs
    self.precision = precision
    self.isAssumed = isAssumed
    self.isKeras = isKeras
  }

  /// One operation and the nodes, by index, that it is applied to.
  public struct Node: Sendable, Equatable {
    public var operation: Operation
    public var inputs: [Int]
    /// What its framework calls the layer.
    public var name: TensorName?

    public init(_ operation: Operation, inputs: [Int], name: TensorName? = nil) {
      self.operation = operation
      self.inputs = inputs
      self.name = name
    }
  }

  /// What a node computes. Shapes are those of one sample; "last axis" is the one whose index varies fastest.
  public enum Operation: Sendable, Equatable {
    /// A value given from outside; a dimension of −1 is not known, nor is anything where `shape` is `nil`.
    case input(shape: [Int]?)
    /// Wx + b along the last axis, W and b being the tensors named.
    case dense(kernel: TensorName, bias: TensorName?)
    case activation(Activation)
    /// γ(x − μ)/√(σ² + ε) + β along the last axis, with the stored mean μ and variance σ².
    case batchNormalization(
      mean: TensorName, variance: TensorName, gamma: TensorName?, beta: TensorName?, epsilon: Double)
    /// γ(x − μ)/√(σ² + ε) + β with μ and σ² taken over the last axis of each sample.
    case layerNormalization(gamma: TensorName?, beta: TensorName?, epsilon: Double)
    /// (x − μ)/max(√σ², ε) along the last axis, with the stored mean μ and variance σ².
    case normalization(mean: TensorName, variance: TensorName, epsilon: Double)
    /// x·scale + offset; each is one number, or one for each value of the last axis.
    case rescaling(scale: [Double], offset: [Double])
    /// CDx along the last axis: an orthogonal matrix that follows from the seed, signs D and the cosine transform C.
    case rotation(seed: UInt64)
    /// x for x ≥ 0, else αx; α is a tensor of one number, of one for each value of the last axis, or of one for each
    /// value of a sample.
    case prelu(slope: TensorName)
    /// One value for each of those of the inputs, whose shapes are equal.
    case combine(Combination)
    /// All inputs one after the other along the last axis.
    case concatenate
    /// All axes as one, row-major.
    case flatten
    /// The numbers of a sample in another shape, row-major; one dimension may be −1, which stands for what is left.
    case reshape(shape: [Int])
    /// Noise of training: the identity when the network is applied. `rate` is kept for the record.
    case dropout(rate: Double)
    /// An operation this version cannot run, with the tensors it owns by what its framework calls them.
    case opaque(className: String, tensors: [TensorName: TensorName])
  }

  /// What becomes of values that stand at the same place of several inputs.
  public enum Combination: String, Sendable, CaseIterable {
    case add
    /// The first less the second.
    case subtract
    case multiply
    /// Their sum divided by their number.
    case average
    case maximum, minimum
  }
}

/// A function applied to every element (softmax: along the last axis).
public enum Activation: Sendable, Hashable {
  case linear
  /// max(x, 0)
  case relu
  /// x for x ≥ 0, else slope·x
  case leakyReLU(slope: Double)
  /// min(x, maximum) for x > threshold, else slope·(x − threshold); 0 ≤ threshold ≤ maximum
  case boundedReLU(maximum: Double?, threshold: Double, slope: Double)
  /// x for x ≥ 0, else alpha·(eˣ − 1)
  case elu(alpha: Double)
  /// λx for x ≥ 0, else λα(eˣ − 1); λ = 1.0507009873554805, α = 1.6732632423543772
  case selu
  /// xΦ(x), or ½x(1 + tanh(√(2/π)(x + 0.044715x³))) when approximate
  case gelu(approximate: Bool)
  /// x/(1 + e⁻ˣ), also called swish
  case silu
  /// ln(1 + eˣ)
  case softplus
  /// x/(1 + |x|)
  case softsign
  /// eˣ
  case exponential
  /// 1/(1 + e⁻ˣ)
  case sigmoid
  /// x/divisor + ½ cut off at 0 and 1; the divisor is 5 in Keras 1 and 2, 6 in Keras 3 and PyTorch
  case hardSigmoid(divisor: Double)
  case tanh
  case erf
  case sin
  case cos
  case abs
  /// −1, 0 or 1
  case sign
  /// 1 for x > 0, else 0
  case step
  /// eˣⁱ/Σeˣʲ along the last axis
  case softmax
  /// The level whose index is the number of thresholds below x; thresholds ascend, and levels are one more
  case piecewiseConstant(levels: [Double], thresholds: [Double])

  /// Maximum levels of a piecewise constant function.
  public static let maxLevels = 256
}

/// Why a graph is no network.
public enum GraphError: Error, Sendable, Equatable {
  case empty
  /// `input` is not the index of a node before `node`.
  case inputNotBefore(node: Int, input: Int)
  case inputCount(node: Int, count: Int)
  /// An output that is no node, or is given twice; or no output at all (`nil`).
  case output(Int?)
  /// A tensor name that is empty.
  case unnamedTensor(node: Int)
  /// A parameter that is not finite or outside its domain.
  case parameter(node: Int, name: String, domain: String)
}

extension GraphError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .empty: "no nodes"
    case .inputNotBefore(let node, let input): "node \(node) takes node \(input), which is not before it"
    case .inputCount(let node, let count): "node \(node) has \(count) inputs, not as many as its operation takes"
    case .output(nil): "no outputs"
    case .output(let output?): "output \(output) is no node, or is named twice"
    case .unnamedTensor(let node): "node \(node) names a tensor by no name"
    case .parameter(let node, let name, let domain): "node \(node): \(name) is not \(domain)"
    }
  }
}

extension Network {
  /// Whether the layers are connected in the same way: the same operations on the same tensors. What one of the two
  /// does not know of an input's shape is like anything.
  public func isConnected(as other: Network) -> Bool {
    outputs == other.outputs && nodes.count == other.nodes.count
      && zip(nodes, other.nodes).allSatisfy { own, others in
        switch (own.operation, others.operation) {
        case (.input(let shape?), .input(let other?)):
          shape.count == other.count && zip(shape, other).allSatisfy { $0 == $1 || $0 == -1 || $1 == -1 }
        case (.input, .input): true
        default: own.operation == others.operation && own.inputs == others.inputs
        }
      }
  }

  /// The names of all tensors the graph refers to, in the order of the nodes; a shared tensor occurs again.
  public var tensorNames: [TensorName] { nodes.flatMap { $0.operation.tensors.map(\.name) } }

  /// The same graph with other names for its tensors.
  public func renamingTensors(_ name: (TensorName) -> TensorName) -> Network {
    var network = self
    for index in nodes.indices {
      let operation = nodes[index].operation
      network.nodes[index].operation =
        switch operation {
        case .dense(let kernel, let bias): .dense(kernel: name(kernel), bias: bias.map(name))
        case .batchNormalization(let mean, let variance, let gamma, let beta, let epsilon):
          .batchNormalization(
            mean: name(mean), variance: name(variance), gamma: gamma.map(name), beta: beta.map(name),
            epsilon: epsilon)
        case .layerNormalization(let gamma, let beta, let epsilon):
          .layerNormalization(gamma: gamma.map(name), beta: beta.map(name), epsilon: epsilon)
        case .normalization(let mean, let variance, let epsilon):
          .normalization(mean: name(mean), variance: name(variance), epsilon: epsilon)
        case .prelu(let slope): .prelu(slope: name(slope))
        case .opaque(let className, let tensors): .opaque(className: className, tensors: tensors.mapValues(name))
        case .input, .activation, .rescaling, .rotation, .combine, .concatenate, .flatten, .reshape, .dropout: operation
        }
    }
    return network
  }

  /// Whether every node can be run.
  public var isRunnable: Bool {
    nodes.allSatisfy { if case .opaque = $0.operation { false } else { true } }
  }

  /// Checks that inputs come before their nodes and are as many as the operation takes, that outputs exist, that
  /// tensors are named and that parameters are finite and in their domains (ε ≥ 0, 0 ≤ rate ≤ 1,
  /// divisor > 0, dimensions ≥ 0, ascending thresholds).
  public func validate() throws(GraphError) {
    guard !nodes.isEmpty else { throw .empty }
    for (index, node) in nodes.enumerated() {
      for input in node.inputs where !(0..<index).contains(input) {
        throw .inputNotBefore(node: index, input: input)
      }
      guard node.operation.takes(inputCount: node.inputs.count) else {
        throw .inputCount(node: index, count: node.inputs.count)
      }
      if node.operation.tensors.contains(where: { $0.name.isEmpty }) { throw .unnamedTensor(node: index) }
      if let (name, domain) = node.operation.parameterOutOfDomain {
        throw .parameter(node: index, name: name, domain: domain)
      }
    }
    guard !outputs.isEmpty else { throw .output(nil) }
    var seen: Set<Int> = []
    for output in outputs where !nodes.indices.contains(output) || !seen.insert(output).inserted {
      throw .output(output)
    }
  }
}

extension Network.Operation {
  /// The word for the operation in a file.
  public var name: String {
    switch self {
    case .input: "input"
    case .dense: "dense"
    case .activation: "activation"
    case .batchNormalization: "batch_normalization"
    case .layerNormalization: "layer_normalization"
    case .normalization: "normalization"
    case .rescaling: "rescaling"
    case .rotation: "rotation"
    case .prelu: "prelu"
    case .combine(let combination): combination.rawValue
    case .concatenate: "concatenate"
    case .flatten: "flatten"
    case .reshape: "reshape"
    case .dropout: "dropout"
    case .opaque: "opaque"
    }
  }

  /// The tensors by role, roles in the order of their names.
  public var tensors: [(role: TensorName, name: TensorName)] {
    func present(_ pairs: [(TensorName, TensorName?)]) -> [(role: TensorName, name: TensorName)] {
      pairs.compactMap { role, name in name.map { (role, $0) } }
    }
    return switch self {
    case .dense(let kernel, let bias): present([("bias", bias), ("kernel", kernel)])
    case .batchNormalization(let mean, let variance, let gamma, let beta, _):
      present([("beta", beta), ("gamma", gamma), ("mean", mean), ("variance", variance)])
    case .layerNormalization(let gamma, let beta, _): present([("beta", beta), ("gamma", gamma)])
    case .normalization(let mean, let variance, _): present([("mean", mean), ("variance", variance)])
    case .prelu(let slope): present([("slope", slope)])
    case .opaque(_, let tensors): tensors.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    case .input, .activation, .rescaling, .rotation, .combine, .concatenate, .flatten, .reshape, .dropout: []
    }
  }

  /// Whether all its parameters are in their domains.
  public var isInDomain: Bool { parameterOutOfDomain == nil }

  fileprivate func takes(inputCount: Int) -> Bool {
    switch self {
    case .input: inputCount == 0
    case .combine(.subtract): inputCount == 2
    case .combine, .concatenate: inputCount >= 1
    case .opaque: true
    case .dense, .activation, .batchNormalization, .layerNormalization, .normalization, .rescaling, .rotation, .prelu,
      .flatten, .reshape, .dropout:
      inputCount == 1
    }
  }

  /// The name of a parameter outside its domain, and what it should be.
  fileprivate var parameterOutOfDomain: (name: String, domain: String)? {
    switch self {
    case .input(let shape): (shape ?? []).contains { $0 < -1 } ? ("shape", "of extents ≥ 0, or −1") : nil
    case .batchNormalization(_, _, _, _, let epsilon), .layerNormalization(_, _, let epsilon),
      .normalization(_, _, let epsilon):
      epsilon.isFinite && epsilon >= 0 ? nil : ("epsilon", "a finite number ≥ 0")
    case .rescaling(let scale, let offset):
      if let (name, _) = [("scale", scale), ("offset", offset)].first(where: {
        $1.isEmpty || !$1.allSatisfy(\.isFinite)
      }) {
        (name, "one or more finite numbers")
      } else {
        nil
      }
    case .reshape(let shape):
      shape.contains { $0 < -1 } || shape.count { $0 == -1 } > 1 ? ("shape", "of extents ≥ 0, at most one −1") : nil
    case .dropout(let rate): (0...1).contains(rate) ? nil : ("rate", "between 0 and 1")
    case .activation(.leakyReLU(let slope)): slope.isFinite ? nil : ("slope", "finite")
    case .activation(.hardSigmoid(let divisor)):
      divisor.isFinite && divisor > 0 ? nil : ("divisor", "a finite number > 0")
    case .activation(.elu(let alpha)): alpha.isFinite ? nil : ("alpha", "finite")
    case .activation(.boundedReLU(let maximum, let threshold, let slope)):
      if !(threshold.isFinite && threshold >= 0) {
        ("threshold", "a finite number ≥ 0")
      } else if let maximum, !(maximum.isFinite && maximum >= threshold) {
        ("maximum", "a finite number not below the threshold")
      } else {
        slope.isFinite ? nil : ("slope", "finite")
      }
    case .activation(.piecewiseConstant(let levels, let thresholds)):
      if !(1...Activation.maxLevels ~= levels.count && levels.allSatisfy(\.isFinite)) {
        ("levels", "1 to \(Activation.maxLevels) finite numbers")
      } else if thresholds.count + 1 != levels.count || !thresholds.allSatisfy(\.isFinite)
        || !zip(thresholds, thresholds.dropFirst()).allSatisfy({ $0 < $1 })
      {
        ("thresholds", "one ascending number fewer than levels")
      } else {
        nil
      }
    case .dense, .activation, .rotation, .prelu, .combine, .concatenate, .flatten, .opaque: nil
    }
  }
}
