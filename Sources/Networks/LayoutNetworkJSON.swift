public import JSON
public import Tensors

/// Why a JSON value is not a network.
public enum NetworkJSONError: Error, Sendable, Equatable {
  /// A missing key, a value of the wrong type, or a graph that does not hold together.
  case corrupt(String)
  /// An operation, an activation or a key that this version does not know.
  case unsupported(String)
}

// {"nodes": [{"inputs": [0], "op": "dense", "parameters": {}, "tensors": {"bias": "fc1/bias", "kernel": "fc1/kernel"}},
//  …], "outputs": [5]}. A node always has its four keys, so that a network has one spelling. Keys that begin with `x-`
// are ignored.

extension Network {
  /// The network as it stands in a directory; parameters are rounded to nine significant digits.
  ///
  /// - Precondition: `validate()` finds nothing.
  public var json: JSON {
    JSON.object([
      JSON.Member("nodes", .array(nodes.map(\.json))),
      JSON.Member("outputs", .array(outputs.map { JSON.integer($0) })),
    ])
  }

  /// Reads what `json` writes.
  ///
  /// Law: `Network(json: n.json) == n` when the parameters of `n` have at most nine significant digits.
  public init(json: JSON) throws(NetworkJSONError) {
    let network = try Fields(json, "the network")
    try network.allow(["nodes", "outputs"])
    var nodes: [Node] = []
    for (index, value) in try network.array("nodes").enumerated() {
      nodes.append(try Node(json: value, index: index))
    }
    self.init(nodes: nodes, outputs: try network.integers("outputs"))
    do throws(GraphError) {
      try validate()
    } catch {
      throw .corrupt("the network: \(error)")
    }
  }
}

extension Network.Node {
  fileprivate var json: JSON {
    JSON.object([
      JSON.Member("inputs", .array(inputs.map { JSON.integer($0) })),
      JSON.Member("op", .string(operation.name)),
      JSON.Member("parameters", .object(operation.parameters)),
      JSON.Member("tensors", .object(operation.tensors.map { JSON.Member($0.role, .string($0.name)) })),
    ])
  }

  fileprivate init(json: JSON, index: Int) throws(NetworkJSONError) {
    let node = try Fields(json, "node \(index)")
    try node.allow(["inputs", "op", "parameters", "tensors"])
    self.init(
      try Network.Operation(
        name: try node.string("op"),
        parameters: try Fields(try node.value("parameters"), "the parameters of node \(index)"),
        tensors: try Fields(try node.value("tensors"), "the tensors of node \(index)")),
      inputs: try node.integers("inputs"))
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
    case .add: "add"
    case .concatenate: "concatenate"
    case .flatten: "flatten"
    case .dropout: "dropout"
    case .opaque: "opaque"
    }
  }

  fileprivate var parameters: [JSON.Member] {
    switch self {
    case .input(let shape):
      shape.map { [JSON.Member("shape", .array($0.map { JSON.integer($0) }))] } ?? []
    case .activation(let activation): activation.parameters
    case .batchNormalization(_, _, _, _, let epsilon), .layerNormalization(_, _, let epsilon):
      [JSON.Member("epsilon", JSON.real(epsilon))]
    case .dropout(let rate): [JSON.Member("rate", JSON.real(rate))]
    case .opaque(let className, _): [JSON.Member("class", .string(className))]
    case .dense, .add, .concatenate, .flatten: []
    }
  }

  fileprivate init(name: String, parameters: Fields, tensors: Fields) throws(NetworkJSONError) {
    var parameterKeys: [String] = []
    var tensorKeys: [String] = []
    switch name {
    case "input":
      parameterKeys = ["shape"]
      self = .input(shape: parameters["shape"] == nil ? nil : try parameters.integers("shape"))
    case "dense":
      tensorKeys = ["bias", "kernel"]
      self = .dense(kernel: try tensors.string("kernel"), bias: try tensors.optionalString("bias"))
    case "activation":
      let activation = try Activation(parameters)
      parameterKeys = activation.parameters.map(\.key)
      self = .activation(activation)
    case "batch_normalization":
      parameterKeys = ["epsilon"]
      tensorKeys = ["beta", "gamma", "mean", "variance"]
      self = .batchNormalization(
        mean: try tensors.string("mean"), variance: try tensors.string("variance"),
        gamma: try tensors.optionalString("gamma"), beta: try tensors.optionalString("beta"),
        epsilon: try parameters.double("epsilon"))
    case "layer_normalization":
      parameterKeys = ["epsilon"]
      tensorKeys = ["beta", "gamma"]
      self = .layerNormalization(
        gamma: try tensors.optionalString("gamma"), beta: try tensors.optionalString("beta"),
        epsilon: try parameters.double("epsilon"))
    case "add": self = .add
    case "concatenate": self = .concatenate
    case "flatten": self = .flatten
    case "dropout":
      parameterKeys = ["rate"]
      self = .dropout(rate: try parameters.double("rate"))
    case "opaque":
      parameterKeys = ["class"]
      tensorKeys = tensors.keys
      var named: [String: String] = [:]
      for key in tensors.keys { named[key] = try tensors.string(key) }
      self = .opaque(className: try parameters.string("class"), tensors: named)
    default: throw .unsupported("operation '\(name)'")
    }
    try parameters.allow(parameterKeys)
    try tensors.allow(tensorKeys)
  }
}

extension Activation {
  /// The word for the activation in a file and on the command line.
  public var name: String {
    switch self {
    case .linear: "linear"
    case .relu: "relu"
    case .leakyReLU: "leaky_relu"
    case .elu: "elu"
    case .selu: "selu"
    case .gelu: "gelu"
    case .silu: "silu"
    case .softplus: "softplus"
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
    }
  }

  /// The activations without parameters, by name.
  static let plain: [String: Activation] = Dictionary(
    uniqueKeysWithValues: [
      .linear, .relu, .selu, .silu, .softplus, .sigmoid, .tanh, .erf, .sin, .cos, .abs, .sign, .step, .softmax,
    ].map { (activation: Activation) in (activation.name, activation) })

  fileprivate var parameters: [JSON.Member] {
    let kind = JSON.Member("kind", .string(name))
    return switch self {
    case .leakyReLU(let slope): [kind, JSON.Member("slope", JSON.real(slope))]
    case .hardSigmoid(let divisor): [JSON.Member("divisor", JSON.real(divisor)), kind]
    case .elu(let alpha): [JSON.Member("alpha", JSON.real(alpha)), kind]
    case .gelu(let approximate): [JSON.Member("approximate", .bool(approximate)), kind]
    default: [kind]
    }
  }

  fileprivate init(_ parameters: Fields) throws(NetworkJSONError) {
    let kind = try parameters.string("kind")
    switch kind {
    case "leaky_relu": self = .leakyReLU(slope: try parameters.double("slope"))
    case "elu": self = .elu(alpha: try parameters.double("alpha"))
    case "gelu": self = .gelu(approximate: try parameters.bool("approximate"))
    case "hard_sigmoid": self = .hardSigmoid(divisor: try parameters.double("divisor"))
    default:
      guard let plain = Self.plain[kind] else { throw .unsupported("activation '\(kind)'") }
      self = plain
    }
  }
}

extension Double {
  /// As precise as a directory keeps a parameter: nine significant digits.
  var roundedAsStored: Double { isFinite ? JSON.real(self).double ?? self : self }
}

/// The members of an object that must have certain types.
private struct Fields {
  let members: [JSON.Member]
  /// What the object is, for messages.
  let place: String

  init(_ json: JSON, _ place: String) throws(NetworkJSONError) {
    guard let members = json.members else { throw .corrupt("\(place): expected an object") }
    self.members = members
    self.place = place
  }

  var keys: [String] { members.map(\.key).filter { !$0.hasPrefix("x-") } }

  func allow(_ known: [String]) throws(NetworkJSONError) {
    for key in keys where !known.contains(key) { throw .unsupported("\(place): key '\(key)'") }
  }

  subscript(key: String) -> JSON? { JSON.object(members)[key] }

  func value(_ key: String) throws(NetworkJSONError) -> JSON {
    guard let value = self[key] else { throw .corrupt("\(place): no '\(key)'") }
    return value
  }

  func string(_ key: String) throws(NetworkJSONError) -> String {
    try typed(key, "a string", \.string)
  }

  func optionalString(_ key: String) throws(NetworkJSONError) -> String? {
    self[key] == nil ? nil : try string(key)
  }

  func double(_ key: String) throws(NetworkJSONError) -> Double {
    try typed(key, "a number", \.double)
  }

  func bool(_ key: String) throws(NetworkJSONError) -> Bool {
    try typed(key, "true or false", \.bool)
  }

  func array(_ key: String) throws(NetworkJSONError) -> [JSON] {
    try typed(key, "an array", \.array)
  }

  func integers(_ key: String) throws(NetworkJSONError) -> [Int] {
    try typed(key, "an array of integers") { value in
      let integers = value.array?.compactMap(\.integer)
      return integers?.count == value.array?.count ? integers : nil
    }
  }

  private func typed<T>(
    _ key: String, _ expected: String, _ read: (JSON) -> T?
  ) throws(NetworkJSONError) -> T {
    guard let value = read(try value(key)) else { throw .corrupt("\(place): '\(key)' is not \(expected)") }
    return value
  }
}
