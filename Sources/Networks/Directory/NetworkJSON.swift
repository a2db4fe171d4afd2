// SPDX-License-Identifier: Apache-2.0

public import JSON
public import Tensors

// {"nodes": [{"op": "input", "shape": [784]}, {"op": "dense", "tensors": {"bias": "fc1/bias", "kernel": "fc1/kernel"}},
//  {"kind": "relu", "op": "activation"}, …]}. What has its default is left out, so that a network has one spelling.

extension Network {
  /// The network as it stands in a directory.
  ///
  /// - Precondition: `validate()` finds nothing.
  public var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("nodes", .array(nodes.enumerated().map { $1.json(at: $0) }))
    ]
    members.append("assumed", isAssumed ? .bool(true) : nil)
    members.append("layout", isKeras ? .string("keras") : nil)
    members.append("outputs", outputs == [nodes.count - 1] ? nil : .array(outputs.map(JSONValue.integer)))
    members.append("precision", precision.map { .string($0.rawValue) })
    return .object(members)
  }

  /// Reads what `json` writes.
  ///
  /// `isTensor` answers whether the directory has a tensor of a name.
  /// Law: `Network(json: n.json) == n`.
  /// Throws corrupt for a missing key, a value of the wrong type, a graph that does not hold together or a tensor that
  /// is none, unsupported for an operation, an activation or a key that this version does not know. A file that is
  /// both is corrupt.
  public init(json: JSONValue, isTensor: (TensorName) -> Bool = { _ in true }) throws(NetworkError) {
    var object = try ObjectReader(json, "network")
    let array = try object.array("nodes")
    var nodes: [Node] = []
    var unknown: NetworkError?
    for (index, value) in array.enumerated() {
      nodes.append(try Node(json: value, index: index, isTensor: isTensor, unknown: &unknown))
    }
    self.init(nodes: nodes, outputs: try object.integers("outputs", default: [array.count - 1]))
    if let precision = try object.optionalString("precision") {
      self.precision = [.float16, .bfloat16].first { $0.rawValue == precision }
      if self.precision == nil {
        unknown = unknown ?? NetworkError(.unsupported, "network: unknown precision \(precision)")
      }
    }
    if let layout = try object.optionalString("layout") {
      isKeras = layout == "keras"
      if !isKeras { unknown = unknown ?? NetworkError(.unsupported, "network: unknown layout \(layout)") }
    }
    isAssumed = try object.optionalTrue("assumed")
    unknown = unknown ?? object.unknownKey.map { NetworkError(.unsupported, "network: unknown key \($0)") }
    do throws(GraphError) {
      try validate()
    } catch {
      throw NetworkError(.corrupt, "network: \(error)")
    }
    if let unknown { throw unknown }
  }
}

extension Network.Node {
  fileprivate func json(at index: Int) -> JSONValue {
    var members: [JSONValue.Member] = [.init("op", .string(operation.name))]
    let tensors = operation.tensors
    members.append("inputs", inputs == operation.defaultInputs(at: index) ? nil : .array(inputs.map(JSONValue.integer)))
    members.append("name", name.map { .string($0.text) })
    members.append(
      "tensors", tensors.isEmpty ? nil : .object(tensors.map { .init($0.role.text, .string($0.name.text)) }))
    return .object(members + operation.parameters)
  }

  /// What this version does not know goes into `unknown`, and the rest is read all the same: what is corrupt is so
  /// whatever the unknown means.
  fileprivate init(
    json: JSONValue, index: Int, isTensor: (TensorName) -> Bool, unknown: inout NetworkError?
  ) throws(NetworkError) {
    var object = try ObjectReader(json, "node \(index)")
    let name = try object.optionalName("name")
    var tensors = try ObjectReader(.object(try object.object("tensors", default: [])), "tensors of node \(index)")
    var named = tensors
    for key in tensors.keys {
      let tensor = try named.name(key)
      guard isTensor(tensor) else { throw NetworkError(.corrupt, "network: no tensor is named \(tensor)") }
    }
    let operation = try Network.Operation(
      name: try object.string("op"), parameters: &object, tensors: &tensors, unknown: &unknown)
    self.init(
      operation, inputs: try object.integers("inputs", default: operation.defaultInputs(at: index)), name: name)
    for (what, key) in [("node", object.unknownKey), ("tensors of node", tensors.keys.first)] {
      unknown = unknown ?? key.map { NetworkError(.unsupported, "\(what) \(index): unknown key \($0)") }
    }
  }
}

extension Network.Operation {
  /// The inputs of a node of this number that names none.
  fileprivate func defaultInputs(at index: Int) -> [Int] { if case .input = self { [] } else { [index - 1] } }
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
    case .rotation(let seed): [JSONValue.Member("seed", .string(seed.hexadecimal))]
    case .reshape(let shape): [JSONValue.Member("shape", .array(shape.map { JSONValue.integer($0) }))]
    case .dropout(let rate): [JSONValue.Member("rate", JSONValue.real(rate))]
    case .opaque(let className, _): [JSONValue.Member("class", .string(className))]
    case .dense, .prelu, .combine, .concatenate, .flatten: []
    }
  }

  fileprivate init(
    name: String, parameters: inout ObjectReader, tensors: inout ObjectReader, unknown: inout NetworkError?
  ) throws(NetworkError) {
    switch name {
    case "input":
      self = .input(shape: try parameters.optionalIntegers("shape"))
    case "dense":
      self = .dense(kernel: try tensors.name("kernel"), bias: try tensors.optionalName("bias"))
    case "activation":
      self = .activation(try Activation(&parameters, unknown: &unknown))
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
    case "rotation": self = .rotation(seed: try parameters.seed())
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
      if let combination = Network.Combination(rawValue: name) {
        self = .combine(combination)
      } else {
        unknown = unknown ?? NetworkError(.unsupported, "network: unknown operation \(name)")
        self = .opaque(className: name, tensors: [:])
      }
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

  fileprivate init(_ parameters: inout ObjectReader, unknown: inout NetworkError?) throws(NetworkError) {
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
      if Self.withoutParameters[kind] == nil {
        unknown = unknown ?? NetworkError(.unsupported, "network: unknown activation \(kind)")
      }
      self = Self.withoutParameters[kind] ?? .linear
    }
  }
}
