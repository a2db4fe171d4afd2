// SPDX-License-Identifier: Apache-2.0

package import JSON
package import Tensors

/// A network as a model of Keras: layers with their settings, their weights and the values that they are applied to.
///
/// The configuration is spelled as both Keras 2 and Keras 3 read it. Names of layers come from their weights; of layers
/// without weights they are those that Keras would give.
package struct KerasModel {
  /// Why Keras has no such network.
  package struct Misfit: Error {
    package let reason: String
  }

  /// What a layer keeps under a name of Keras.
  package struct Weight {
    package let name: String
    /// `nil`: a number that nothing depends on, and Keras asks for.
    package let tensor: TensorName?
  }

  package struct Layer {
    let className: String
    package fileprivate(set) var name = ""
    fileprivate(set) var settings: [JSONValue.Member]
    package let weights: [Weight]
    /// The values that each call takes.
    fileprivate var calls: [[Value]] = []
  }

  /// What a call of a layer gives.
  fileprivate struct Value: Hashable {
    let layer: Int
    let call: Int
  }

  /// In the order in which Keras has them once the model is loaded: it tells weights apart by that order alone.
  package private(set) var layers: [Layer] = []
  /// The model's own description, `model_config`.
  package private(set) var configuration = JSONValue.null
  /// The tensors that some layer has.
  package var tensorNames: Set<TensorName> { Set(layers.flatMap { $0.weights.compactMap(\.tensor) }) }

  /// - Parameter tensors: those of the network, perhaps of smaller shapes than in the file.
  package init(_ network: Network, _ tensors: [TensorRecord]) throws(Misfit) {
    guard network.isKeras else { throw Misfit(reason: "no Keras configuration said how its layers are connected") }
    var builder = Builder(network, tensors)
    try builder.build()
    let isSequence =
      network.outputs == [network.nodes.count - 1] && builder.layers.count > 1
      && builder.layers.allSatisfy { $0.calls.count == 1 }
      && network.nodes.indices.allSatisfy { network.nodes[$0].inputs == ($0 == 0 ? [] : [$0 - 1]) }
    let order = isSequence ? Array(builder.layers.indices) : try builder.orderOfKeras()
    configuration = isSequence ? builder.sequence() : builder.graph()
    layers = order.map { builder.layers[$0] }
    // A sequence does not count its input as a layer.
    if isSequence { layers.removeFirst() }
  }
}

// MARK: - Layers

/// Makes the layers, node by node.
private struct Builder {
  typealias Misfit = KerasModel.Misfit
  typealias Value = KerasModel.Value
  typealias Layer = KerasModel.Layer

  let network: Network
  let records: [TensorName: TensorRecord]
  var layers: [Layer] = []
  /// Of each node so far.
  var values: [Value] = []
  /// Of one sample of each node's value; `nil` for a dimension that is not known.
  private var shapes: [[Int?]] = []
  private var policies: [String] = []
  /// The layers and their operations by their tensors.
  private var owners: [TensorName: (layer: Int, operation: Network.Operation)] = [:]
  /// The function that a dense layer applies itself, by its kernel.
  private var functions: [TensorName: Activation] = [:]
  private var fused: Set<Int> = []

  init(_ network: Network, _ tensors: [TensorRecord]) {
    self.network = network
    records = Dictionary(tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  mutating func build() throws(Misfit) {
    fuse()
    // The input of a network of doubles is one.
    let first = network.tensorNames.first.flatMap { records[$0]?.type }
    let usual = try first.map(policy) ?? "float32"
    for (index, node) in network.nodes.enumerated() {
      guard !fused.contains(index) else {
        values.append(values[node.inputs[0]])
        shapes.append(shapes[node.inputs[0]])
        policies.append(policies[node.inputs[0]])
        continue
      }
      let (layer, shape) = try layer(of: node)
      let own = try weightType(of: node.operation).map(policy)
      policies.append(own ?? node.inputs.first.map { policies[$0] } ?? usual)
      shapes.append(shape)
      try add(layer, node)
    }
    nameLayers()
  }

  /// Adds a layer, or a call to that which has the same tensors.
  private mutating func add(_ layer: Layer, _ node: Network.Node) throws(Misfit) {
    let operation = node.operation
    var number = layers.count
    if let shared = operation.tensors.first(where: { owners[$0.name] != nil }), let owner = owners[shared.name] {
      guard owner.operation == operation else { throw Misfit(reason: "two layers that differ have \(shared.name)") }
      number = owner.layer
    } else {
      var layer = layer
      let isInput = if case .input = operation { true } else { false }
      let policy = policies[policies.count - 1]
      // What an input is given is rounded by the layers.
      layer.settings.insert(
        .init("dtype", .string(!isInput || policy == "float64" ? policy : "float32")), at: 0)
      layers.append(layer)
      for (_, name) in operation.tensors { owners[name] = (number, operation) }
    }
    values.append(Value(layer: number, call: layers[number].calls.count))
    layers[number].calls.append(node.inputs.map { values[$0] })
  }

  /// Finds the activations that belong to the dense layers before them, as in most networks: where nothing else has the
  /// values between, at every call of the layer.
  private mutating func fuse() {
    let outputs = Set(network.outputs)
    var users = [[Int]](repeating: [], count: network.nodes.count)
    var calls: [TensorName: [Int]] = [:]
    for (index, node) in network.nodes.enumerated() {
      for input in node.inputs { users[input].append(index) }
      if case .dense(let kernel, _) = node.operation { calls[kernel, default: []].append(index) }
    }
    for (kernel, nodes) in calls {
      let following = nodes.map { node -> Activation? in
        guard users[node].count == 1, !outputs.contains(node),
          case .activation(let function) = network.nodes[users[node][0]].operation, function.kerasName != nil
        else { return nil }
        return function
      }
      guard let function = following[0], following.allSatisfy({ $0 == function }) else { continue }
      functions[kernel] = function
      fused.formUnion(nodes.map { users[$0][0] })
    }
  }

  // MARK: Types

  /// That of the matrix, or of the first tensor.
  private func weightType(of operation: Network.Operation) throws(Misfit) -> ElementType? {
    let types = operation.tensors.compactMap { role, name in records[name].map { (role, name, $0.type) } }
    guard let (_, main, type) = types.first(where: { $0.0 == "kernel" }) ?? types.first else { return nil }
    for (_, name, other) in types where other != type && !(type.byteCount > other.byteCount) {
      throw Misfit(reason: "\(name) is \(other.rawValue), and \(main) of the same layer \(type.rawValue)")
    }
    return type
  }

  /// The policy of Keras for weights of a type. Weights of 16 bits alone do not say that a layer computes with so many.
  private func policy(_ type: ElementType) throws(Misfit) -> String {
    guard let precision = network.precision else { return type == .float64 ? "float64" : "float32" }
    if type == precision { return precision.rawValue }
    guard type != .float64 else {
      throw Misfit(reason: "weights of float64 in a network that computes in \(precision.rawValue)")
    }
    return "mixed_" + precision.rawValue
  }

  // MARK: Names

  private mutating func nameLayers() {
    // A group beside those of the layers, in files of Keras.
    var taken: Set<TensorName> = ["top_level_model_weights"]
    var names: [Int: TensorName] = [:]
    for (index, node) in network.nodes.enumerated() where names[values[index].layer] == nil && !fused.contains(index) {
      names[values[index].layer] =
        (node.operation.tensors.first.map { WeightName.split($0.name).layer } ?? node.name).map(Self.spelled)
    }
    var numbers: [TensorName: Int] = [:]
    for hasName in [true, false] {
      for layer in layers.indices where (names[layer]?.isEmpty == false) == hasName {
        let wanted = hasName ? names[layer] ?? "" : KerasConfiguration.snakeCase(layers[layer].className)
        var name = wanted
        while !taken.insert(name).inserted {
          numbers[wanted, default: 0] += 1
          name = "\(wanted)_\(numbers[wanted, default: 1])"
        }
        layers[layer].name = name.text
        layers[layer].settings.insert(.init("name", .string(name.text)), at: 0)
      }
    }
  }

  /// A name that Keras takes, and that is one link of HDF5.
  private static func spelled(_ name: TensorName) -> TensorName {
    let scalars = name.text.unicodeScalars.map { $0 == "/" || $0 == "\\" ? "_" : $0 }
    return name == "." ? "_" : TensorName(String(String.UnicodeScalarView(scalars)))
  }

  // MARK: Operations

  /// Axes of a tensor, in files and in most of what Keras runs on.
  private static let maxRank = 32

  /// The layer that a node is a call of, and the shape of its value.
  private func layer(of node: Network.Node) throws(Misfit) -> (Layer, shape: [Int?]) {
    let shape = node.inputs.first.map { shapes[$0] } ?? []
    switch node.operation {
    case .input(let shape):
      guard let shape else { throw Misfit(reason: "the shape of its input is not known") }
      try require(shape.count <= Self.maxRank, "an input of \(shape.count) axes")
      let dimensions = shape.map { $0 == -1 ? nil : $0 }
      return (
        Self.layer("InputLayer", [.init("batch_input_shape", Self.json([nil] + dimensions))]), dimensions
      )
    case .dense(let kernel, let bias):
      let matrix = try record(kernel)
      guard matrix.shape.rank == 2, matrix.isTransposed else {
        throw Misfit(reason: "\(kernel) is no matrix of inputs × outputs")
      }
      let (inputs, units) = (matrix.shape.dimensions[0], matrix.shape.dimensions[1])
      try require(shape.last == inputs, "\(kernel) takes \(inputs) values")
      if let bias { try requireVector(bias, units) }
      return (
        Self.layer(
          "Dense",
          [
            .init("units", .integer(units)), .init("activation", .string(functions[kernel]?.kerasName ?? "linear")),
            .init("use_bias", .bool(bias != nil)),
          ], [("kernel", kernel), ("bias", bias)]), shape.dropLast() + [units]
      )
    case .activation(let function): return (try layer(of: function), shape)
    case .batchNormalization(let mean, let variance, let gamma, let beta, let epsilon):
      for vector in [mean, variance, gamma, beta] {
        if let vector { try requireVector(vector, shape.last ?? nil) }
      }
      return (
        Self.layer(
          "BatchNormalization", Self.normalization(epsilon, gamma, beta),
          [("gamma", gamma), ("beta", beta), ("moving_mean", mean), ("moving_variance", variance)]), shape
      )
    case .layerNormalization(let gamma, let beta, let epsilon):
      for vector in [gamma, beta] { if let vector { try requireVector(vector, shape.last ?? nil) } }
      try require(shape.last != .some(nil), "a layer normalization of values whose number is not known")
      return (
        Self.layer("LayerNormalization", Self.normalization(epsilon, gamma, beta), [("gamma", gamma), ("beta", beta)]),
        shape
      )
    case .normalization(let mean, let variance, let epsilon):
      try require(epsilon == 1e-7, "Normalization has another ε in Keras")
      // One mean for all values is in Keras as well, but Keras 3 does not load it from HDF5.
      for vector in [mean, variance] { try requireVector(vector, shape.last ?? nil) }
      let count: TensorName = "\(WeightName.split(mean).layer)/count"
      let hasCount = records[count].map { $0.shape.rank == 0 && !$0.type.isFloat } ?? false
      return (
        Layer(
          className: "Normalization", settings: [.init("axis", .integer(-1))],
          weights: [
            .init(name: "mean", tensor: mean), .init(name: "variance", tensor: variance),
            .init(name: "count", tensor: hasCount ? count : nil),
          ]), shape
      )
    case .rescaling(let scale, let offset):
      for numbers in [scale, offset] where numbers.count > 1 {
        try require(shape.last == numbers.count, "a rescaling of \(numbers.count) values")
      }
      return (Self.layer("Rescaling", [.init("scale", Self.json(scale)), .init("offset", Self.json(offset))]), shape)
    case .rotation: throw Misfit(reason: "Keras has no rotation")
    case .prelu(let slope):
      let dimensions = try record(slope).shape.dimensions
      try require(dimensions.count == shape.count, "\(slope) has other axes than the values")
      let shared = dimensions.indices.filter { dimensions[$0] == 1 && shape[$0] != 1 }
      try require(
        dimensions.indices.allSatisfy { shared.contains($0) || shape[$0] == dimensions[$0] },
        "\(slope) has another shape than the values")
      return (
        Self.layer(
          "PReLU", [.init("shared_axes", shared.isEmpty ? .null : .array(shared.map { .integer($0 + 1) }))],
          [("alpha", slope)]), shape
      )
    case .combine(let combination): return (try layer(of: combination, node), shape)
    case .concatenate:
      if node.inputs.count == 1 { return (try layer(of: .linear), shape) }
      let others = node.inputs.map { shapes[$0] }
      try require(!shape.isEmpty && others.allSatisfy { $0.count == shape.count }, "a concatenation of other axes")
      try require(others.allSatisfy { Self.agree($0.dropLast(), shape.dropLast()) }, "a concatenation of other shapes")
      let widths = others.compactMap { $0.last ?? nil }
      let width = widths.count == others.count ? widths.reduce(0) { $0.addingOrMaximum($1) } : nil
      return (Self.layer("Concatenate", [.init("axis", .integer(-1))]), shape.dropLast() + [width])
    case .flatten:
      return (
        Self.layer("Flatten", [.init("data_format", .string("channels_last"))]),
        [shape.contains(nil) ? nil : shape.reduce(1) { $0.multipliedOrMaximum(by: $1 ?? 1) }]
      )
    case .reshape(let target):
      try require(target.count <= Self.maxRank, "a reshaping to \(target.count) axes")
      return (
        Self.layer("Reshape", [.init("target_shape", .array(target.map { .integer($0) }))]), try reshaped(shape, target)
      )
    case .dropout(let rate): return (Self.layer("Dropout", [.init("rate", .shortest(rate))]), shape)
    case .opaque(let className, _): throw Misfit(reason: "what its layer of class \(className) does is not known")
    }
  }

  private func layer(of function: Activation) throws(Misfit) -> Layer {
    if let name = function.kerasName { return Self.layer("Activation", [.init("activation", .string(name))]) }
    func relu(_ maximum: Double?, _ threshold: Double, _ slope: Double) throws(Misfit) -> Layer {
      try require(slope >= 0, "Keras has no relu with a negative slope")
      return Self.layer(
        "ReLU",
        [
          .init("max_value", maximum.map(JSONValue.shortest) ?? .null), .init("negative_slope", .shortest(slope)),
          .init("threshold", .shortest(threshold)),
        ])
    }
    switch function {
    case .leakyReLU(let slope): return try relu(nil, 0, slope)
    case .boundedReLU(let maximum, let threshold, let slope): return try relu(maximum, threshold, slope)
    case .elu(let alpha): return Self.layer("ELU", [.init("alpha", .shortest(alpha))])
    case .hardSigmoid(let divisor): throw Misfit(reason: "Keras has no hard_sigmoid of x/\(divisor) + ½")
    case .gelu: throw Misfit(reason: "no layer of Keras has the approximate gelu")
    default: throw Misfit(reason: "Keras has no activation \(function.name)")
    }
  }

  private func layer(of combination: Network.Combination, _ node: Network.Node) throws(Misfit) -> Layer {
    // Keras combines two values or more.
    if node.inputs.count == 1 { return try layer(of: .linear) }
    for input in node.inputs {
      try require(Self.agree(shapes[input], shapes[node.inputs[0]]), "\(combination.rawValue) of other shapes")
    }
    let name = combination.rawValue
    return Self.layer(name.prefix(1).uppercased() + name.dropFirst(), [])
  }

  private func reshaped(_ shape: [Int?], _ target: [Int]) throws(Misfit) -> [Int?] {
    let known = target.filter { $0 != -1 }.reduce(1) { $0.multipliedOrMaximum(by: $1) }
    let isOpen = target.contains(-1)
    guard !shape.contains(nil) else { return target.map { $0 == -1 ? nil : $0 } }
    let count = shape.reduce(1) { $0.multipliedOrMaximum(by: $1 ?? 1) }
    try require(isOpen ? known > 0 && count % known == 0 : count == known, "a reshaping of \(count) values")
    return target.map { $0 == -1 ? count / known : $0 }
  }

  // MARK: Help

  private static func layer(
    _ className: String, _ settings: [JSONValue.Member], _ weights: [(String, TensorName?)] = []
  ) -> Layer {
    Layer(
      className: className, settings: settings,
      weights: weights.compactMap { name, tensor in tensor.map { .init(name: name, tensor: $0) } })
  }

  private static func normalization(
    _ epsilon: Double, _ gamma: TensorName?, _ beta: TensorName?
  ) -> [JSONValue.Member] {
    [
      .init("axis", .integer(-1)), .init("epsilon", .shortest(epsilon)), .init("center", .bool(beta != nil)),
      .init("scale", .bool(gamma != nil)),
    ]
  }

  private func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws(Misfit) {
    if !condition { throw Misfit(reason: reason()) }
  }

  private func record(_ name: TensorName) throws(Misfit) -> TensorRecord {
    guard let record = records[name] else { throw Misfit(reason: "there is no \(name)") }
    try require(record.type.isFloat, "\(name) is \(record.type.rawValue)")
    return record
  }

  private func requireVector(_ name: TensorName, _ count: Int?) throws(Misfit) {
    let dimensions = try record(name).shape.dimensions
    try require(count.map { dimensions == [$0] } ?? false, "\(name) is no vector of one number for each value")
  }

  private static func agree(_ a: some Collection<Int?>, _ b: some Collection<Int?>) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0 == $1 || $0 == nil || $1 == nil }
  }

  private static func json(_ dimensions: [Int?]) -> JSONValue {
    .array(dimensions.map { $0.map { JSONValue.integer($0) } ?? .null })
  }

  private static func json(_ numbers: [Double]) -> JSONValue {
    numbers.count == 1 ? .shortest(numbers[0]) : .array(numbers.map { JSONValue.shortest($0) })
  }
}

extension Activation {
  /// The name under which a layer of Keras takes it as its own; `nil` where it needs parameters, or Keras has none.
  fileprivate var kerasName: String? {
    switch self {
    case .linear, .relu, .selu, .softplus, .softsign, .exponential, .sigmoid, .tanh, .softmax: name
    case .elu(alpha: 1), .gelu(approximate: false), .hardSigmoid(divisor: 6): name
    // Keras 2 knows it by this name only.
    case .silu: "swish"
    default: nil
    }
  }
}

// MARK: - The model

extension Builder {
  /// The layers in the order of Keras: deepest first, and of those as deep as each other the one first that a walk from
  /// the outputs comes upon first.
  func orderOfKeras() throws(Misfit) -> [Int] {
    var seen: [Int: Int] = [:]
    var isDone: Set<Value> = []
    var done: [Value] = []
    for output in network.outputs.map({ values[$0] }) where !isDone.contains(output) {
      var path = [(value: output, next: 0)]
      while let (value, next) = path.last {
        if seen[value.layer] == nil { seen[value.layer] = seen.count }
        let inputs = layers[value.layer].calls[value.call]
        if next < inputs.count {
          path[path.count - 1].next += 1
          if !isDone.contains(inputs[next]) { path.append((inputs[next], 0)) }
        } else {
          isDone.insert(value)
          done.append(value)
          path.removeLast()
        }
      }
    }
    // A layer is as deep as the calls of it that were seen; that includes what Keras does where there are several.
    var depths = [Int](repeating: 0, count: layers.count)
    var depthOfCall: [Value: Int] = [:]
    for value in done.reversed() {
      let depth = max(depthOfCall[value] ?? 0, depths[value.layer])
      depths[value.layer] = depth
      for input in layers[value.layer].calls[value.call] {
        depthOfCall[input] = max(depthOfCall[input] ?? 0, depth + 1)
      }
    }
    for (index, layer) in layers.enumerated() {
      let isUsed = layer.calls.indices.allSatisfy { isDone.contains(Value(layer: index, call: $0)) }
      try require(isUsed || layer.className == "InputLayer", "\(layer.name) leads to no output")
    }
    return layers.indices.sorted { a, b in
      depths[a] != depths[b] ? depths[a] > depths[b] : (seen[a] ?? -1, a) < (seen[b] ?? -1, b)
    }
  }

  func sequence() -> JSONValue {
    .object([
      .init("class_name", .string("Sequential")),
      .init(
        "config",
        .object([
          .init("name", .string("sequential")), .init("layers", .array(layers.map { .object(Self.members($0)) })),
        ])),
    ])
  }

  /// With the values that layers take as Keras 2 writes them, which says no shapes.
  func graph() -> JSONValue {
    func reference(_ value: Value) -> [JSONValue] {
      [.string(layers[value.layer].name), .integer(value.call), .integer(0)]
    }
    let described = layers.map { layer in
      let calls = layer.calls.filter { !$0.isEmpty }.map { inputs in
        JSONValue.array(inputs.map { .array(reference($0) + [.object([])]) })
      }
      return JSONValue.object(
        Self.members(layer) + [.init("name", .string(layer.name)), .init("inbound_nodes", .array(calls))])
    }
    let inputs = layers.indices.filter { layers[$0].className == "InputLayer" }.map { Value(layer: $0, call: 0) }
    return .object([
      .init("class_name", .string("Functional")),
      .init(
        "config",
        .object([
          .init("name", .string("functional")), .init("layers", .array(described)),
          .init("input_layers", .array(inputs.map { .array(reference($0)) })),
          .init("output_layers", .array(network.outputs.map { .array(reference(values[$0])) })),
        ])),
    ])
  }

  private static func members(_ layer: Layer) -> [JSONValue.Member] {
    [.init("class_name", .string(layer.className)), .init("config", .object(layer.settings))]
  }
}
