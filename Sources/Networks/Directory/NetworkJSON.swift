// SPDX-License-Identifier: Apache-2.0

public import JSON
public import Tensors

// {"nodes": [{"inputs": [0], "op": "dense", "parameters": {}, "tensors": {"bias": "fc1/bias", "kernel": "fc1/kernel"}},
//  …], "outputs": [5]}. A node always has its four keys, so that a network has one spelling.

extension Network {
  /// The network as it stands in a directory; parameters are rounded to nine significant digits.
  ///
  /// - Precondition: `validate()` finds nothing.
  public var json: JSONValue {
    JSONValue.object(
      (isAssumed ? [JSONValue.Member("assumed", .bool(true))] : []) + [
        JSONValue.Member("nodes", .array(nodes.map(\.json))),
        JSONValue.Member("outputs", .array(outputs.map { JSONValue.integer($0) })),
      ] + (precision.map { [JSONValue.Member("precision", .string($0.rawValue))] } ?? []))
  }

  /// Reads what `json` writes.
  ///
  /// Law: `Network(json: n.json) == n` when the parameters of `n` have at most nine significant digits.
  /// Throws corrupt for a missing key, a value of the wrong type or a graph that does not hold together, unsupported
  /// for an operation, an activation or a key that this version does not know.
  public init(json: JSONValue) throws(NetworkError) {
    var object = try ObjectReader(json, "network")
    var nodes: [Node] = []
    for (index, value) in try object.array("nodes").enumerated() {
      nodes.append(try Node(json: value, index: index))
    }
    self.init(nodes: nodes, outputs: try object.integers("outputs"))
    if let precision = try object.optionalString("precision") {
      guard let type = ElementType(rawValue: precision), [.float16, .bfloat16].contains(type) else {
        throw NetworkError(.unsupported, "network: unknown precision \(precision)")
      }
      self.precision = type
    }
    isAssumed = try object.optionalTrue("assumed")
    try object.finish()
    do throws(GraphError) {
      try validate()
    } catch {
      throw NetworkError(.corrupt, "network: \(error)")
    }
  }
}

extension Network.Node {
  fileprivate var json: JSONValue {
    JSONValue.object([
      JSONValue.Member("inputs", .array(inputs.map { JSONValue.integer($0) })),
      JSONValue.Member("op", .string(operation.name)),
      JSONValue.Member("parameters", .object(operation.parameters)),
      JSONValue.Member(
        "tensors", .object(operation.tensors.map { JSONValue.Member($0.role.text, .string($0.name.text)) })),
    ])
  }

  fileprivate init(json: JSONValue, index: Int) throws(NetworkError) {
    var object = try ObjectReader(json, "node \(index)")
    let operation = try object.string("op")
    var parameters = try ObjectReader(object.optional("parameters"), "parameters of node \(index)")
    var tensors = try ObjectReader(object.optional("tensors"), "tensors of node \(index)")
    self.init(
      try Network.Operation(name: operation, parameters: &parameters, tensors: &tensors),
      inputs: try object.integers("inputs"))
    try object.finish()
    try parameters.finish()
    try tensors.finish()
  }
}

extension Network.Operation {
  fileprivate var parameters: [JSONValue.Member] {
    switch self {
    case .input(let shape):
      shape.map { [JSONValue.Member("shape", .array($0.map { JSONValue.integer($0) }))] } ?? []
    case .activation(let activation): activation.parameters
    case .batchNormalization(_, _, _, _, let epsilon), .layerNormalization(_, _, let epsilon),
      .normalization(_, _, let epsilon):
      [JSONValue.Member("epsilon", JSONValue.real(epsilon))]
    case .rescaling(let scale, let offset):
      [
        JSONValue.Member("offset", .array(offset.map(JSONValue.real))),
        JSONValue.Member("scale", .array(scale.map(JSONValue.real))),
      ]
    case .reshape(let shape): [JSONValue.Member("shape", .array(shape.map { JSONValue.integer($0) }))]
    case .dropout(let rate): [JSONValue.Member("rate", JSONValue.real(rate))]
    case .opaque(let className, _): [JSONValue.Member("class", .string(className))]
    case .dense, .prelu, .combine, .concatenate, .flatten: []
    }
  }

  fileprivate init(
    name: String, parameters: inout ObjectReader, tensors: inout ObjectReader
  ) throws(NetworkError) {
    switch name {
    case "input":
      self = .input(shape: try parameters.optionalIntegers("shape"))
    case "dense":
      self = .dense(kernel: try tensors.name("kernel"), bias: try tensors.optionalName("bias"))
    case "activation":
      self = .activation(try Activation(&parameters))
    case "batch_normalization":
      self = .batchNormalization(
        mean: try tensors.name("mean"), variance: try tensors.name("variance"),
        gamma: try tensors.optionalName("gamma"), beta: try tensors.optionalName("beta"),
        epsilon: try parameters.real("epsilon"))
    case "layer_normalization":
      self = .layerNormalization(
        gamma: try tensors.optionalName("gamma"), beta: try tensors.optionalName("beta"),
        epsilon: try parameters.real("epsilon"))
    case "normalization":
      self = .normalization(
        mean: try tensors.name("mean"), variance: try tensors.name("variance"),
        epsilon: try parameters.real("epsilon"))
    case "rescaling":
      self = .rescaling(scale: try parameters.reals("scale"), offset: try parameters.reals("offset"))
    case "prelu": self = .prelu(slope: try tensors.name("slope"))
    case "reshape": self = .reshape(shape: try parameters.integers("shape"))
    case "concatenate": self = .concatenate
    case "flatten": self = .flatten
    case "dropout": self = .dropout(rate: try parameters.real("rate"))
    case "opaque":
      var named: [TensorName: TensorName] = [:]
      for key in tensors.keys { named[key] = try tensors.name(key) }
      self = .opaque(className: try parameters.string("class"), tensors: named)
    default:
      guard let combination = Network.Combination(rawValue: name) else {
        throw NetworkError(.unsupported, "network: unknown operation \(name)")
      }
      self = .combine(combination)
    }
  }
}

extension Activation {
  /// The word for the activation in a file and on the command line.
  public var name: String {
    switch self {
    case .linear: "linear"
    case .relu: "relu"
    case .leakyReLU: "leaky_relu"
    case .boundedReLU: "bounded_relu"
    case .elu: "elu"
    case .selu: "selu"
    case .gelu: "gelu"
    case .silu: "silu"
    case .softplus: "softplus"
    case .softsign: "softsign"
    case .exponential: "exponential"
    case .sigmoid: "sigmoid"
    case .hardSigmoid: "hard_sigmoid"
    case .tanh: "tanh"
    case .erf: "erf"
    case .sin: "sin"
    case .cos: "cos"
    case .abs: "abs"
    case .sign: "sign"
    case .step: "step"
    case .softmax: "softmax"
    case .piecewiseConstant: "piecewise_constant"
    }
  }

  /// The activations without parameters, by name.
  static let withoutParameters: [String: Activation] = Dictionary(
    uniqueKeysWithValues: [
      .linear, .relu, .selu, .silu, .softplus, .softsign, .exponential, .sigmoid, .tanh, .erf, .sin, .cos, .abs, .sign,
      .step, .softmax,
    ].map { (activation: Activation) in (activation.name, activation) })

  fileprivate var parameters: [JSONValue.Member] {
    let kind = JSONValue.Member("kind", .string(name))
    return switch self {
    case .leakyReLU(let slope): [kind, JSONValue.Member("slope", JSONValue.real(slope))]
    case .boundedReLU(let maximum, let threshold, let slope):
      [kind] + (maximum.map { [JSONValue.Member("maximum", JSONValue.real($0))] } ?? [])
        + [JSONValue.Member("slope", JSONValue.real(slope)), JSONValue.Member("threshold", JSONValue.real(threshold))]
    case .hardSigmoid(let divisor): [JSONValue.Member("divisor", JSONValue.real(divisor)), kind]
    case .elu(let alpha): [JSONValue.Member("alpha", JSONValue.real(alpha)), kind]
    case .gelu(let approximate): [JSONValue.Member("approximate", .bool(approximate)), kind]
    case .piecewiseConstant(let levels, let thresholds):
      [
        kind, JSONValue.Member("levels", .array(levels.map(JSONValue.real))),
        JSONValue.Member("thresholds", .array(thresholds.map(JSONValue.real))),
      ]
    default: [kind]
    }
  }

  fileprivate init(_ parameters: inout ObjectReader) throws(NetworkError) {
    let kind = try parameters.string("kind")
    switch kind {
    case "leaky_relu": self = .leakyReLU(slope: try parameters.real("slope"))
    case "bounded_relu":
      self = .boundedReLU(
        maximum: try parameters.optionalReal("maximum"), threshold: try parameters.real("threshold"),
        slope: try parameters.real("slope"))
    case "elu": self = .elu(alpha: try parameters.real("alpha"))
    case "gelu": self = .gelu(approximate: try parameters.bool("approximate"))
    case "hard_sigmoid": self = .hardSigmoid(divisor: try parameters.real("divisor"))
    case "piecewise_constant":
      self = .piecewiseConstant(
        levels: try parameters.reals("levels"), thresholds: try parameters.reals("thresholds"))
    default:
      guard let function = Self.withoutParameters[kind] else {
        throw NetworkError(.unsupported, "network: unknown activation \(kind)")
      }
      self = function
    }
  }
}

extension Double {
  /// As precise as a directory keeps a parameter: nine significant digits.
  var roundedAsStored: Double { isFinite ? JSONValue.real(self).double ?? self : self }
}
