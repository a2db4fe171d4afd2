// SPDX-License-Identifier: Apache-2.0

internal import JSON
public import Tensors

/// Builds the graph a Keras configuration describes, with the tensors found in the file.
package struct KerasNetwork {
  /// The configuration and the datasets do not fit each other, or the graph does not hold together.
  package struct Contradiction: Error {
    package let what: String
  }

  /// A layer of the configuration where it is applied, or an input of a nested model: the nodes of what it takes and
  /// gives.
  package struct Application {
    package let layer: Int
    package let inputs: [Int]
    package let outputs: [Int]
  }

  static func build(
    _ configuration: KerasConfiguration, variables: [LayoutVariable]
  ) throws(Contradiction) -> Network {
    try buildWithApplications(configuration, variables: variables).network
  }

  package static func buildWithApplications(
    _ configuration: KerasConfiguration, variables: [LayoutVariable]
  ) throws(Contradiction) -> (network: Network, applications: [Application]) {
    var builder = KerasNetwork(configuration: configuration, variables: variables)
    var network = try builder.network()
    network.isKeras = true
    return (network, builder.applied)
  }

  private mutating func network() throws(Contradiction) -> Network {
    let outputs = try apply(model: 0, to: nil)
    var distinct: [Int] = []
    for output in outputs where !distinct.contains(output) { distinct.append(output) }
    // A single input needs no name to be found by.
    if inputNames.count > 1 { for (node, name) in inputNames where !name.isEmpty { nodes[node].name = name } }
    let network = Network(nodes: nodes, outputs: distinct, precision: configuration.precision)
    do throws(GraphError) {
      try network.validate()
    } catch {
      throw Contradiction(what: "\(error)")
    }
    return network
  }

  /// The graph of a configuration alone: tensors have the names that Keras gives them, and the shapes that it says.
  static func imagine(
    _ configuration: KerasConfiguration
  ) throws(Contradiction) -> (network: Network, shapes: [TensorName: [Int?]]) {
    var builder = KerasNetwork(configuration: configuration, variables: [])
    builder.isImagined = true
    return (try builder.network(), builder.imaginedShapes)
  }

  /// A nested model stands in the network once for every call: a small text could ask for any number of nodes.
  private static let maxApplications = 1 << 16

  private let configuration: KerasConfiguration
  /// The variables of each layer of the configuration, parts of layers that are not described included.
  private var owned: [[LayoutVariable]]
  private var nodes: [Network.Node] = []
  /// The shape of one sample of each node's value, as far as it is known; `nil` when not even the rank is.
  private var shapes: [[Int?]?] = []
  /// What the layers of the inputs are called, by node.
  private var inputNames: [Int: TensorName] = [:]
  /// Whether there is no file, and tensors are those that the configuration asks for.
  private var isImagined = false
  private var imaginedShapes: [TensorName: [Int?]] = [:]
  private var applications = 0
  private var applied: [Application] = []
  /// How calls of models are counted, where that is not from 0.
  private var countings: [Int: CallCounting] = [:]

  private init(configuration: KerasConfiguration, variables: [LayoutVariable]) {
    self.configuration = configuration
    owned = Array(repeating: [], count: configuration.layers.count)
    for variable in variables {
      switch variable.description {
      case .layer(let layer), .inside(let layer): owned[layer].append(variable)
      case .none: break
      }
    }
  }

  private mutating func append(
    _ operation: Network.Operation, _ inputs: [Int], shape: [Int?]?
  ) -> Int {
    nodes.append(Network.Node(operation, inputs: inputs))
    shapes.append(shape)
    return nodes.count - 1
  }

  private mutating func appendInput(shape: [Int?]?, name: TensorName) -> Int {
    let node = append(.input(shape: shape?.map { $0 ?? -1 }), [], shape: shape)
    inputNames[node] = name
    return node
  }
}

// MARK: - Models

extension KerasNetwork {
  /// Applies a model to the values of nodes, or to new inputs, and returns the nodes of its outputs.
  private mutating func apply(model: Int, to arguments: [Int]?) throws(Contradiction) -> [Int] {
    let described = configuration.layers[model]
    let isSequence =
      described.settings["output_layers"] == nil
      && described.parts.allSatisfy { configuration.layers[$0].calls.isEmpty }
    return isSequence ? [try applySequential(model, to: arguments)] : try applyFunctional(model, to: arguments)
  }

  private mutating func applySequential(_ model: Int, to arguments: [Int]?) throws(Contradiction) -> Int {
    let parts = configuration.layers[model].parts
    guard let first = parts.first else { throw contradiction(model, "has no layers") }
    var current: Int
    if let arguments {
      guard arguments.count == 1 else { throw contradiction(model, "is applied to \(arguments.count) values") }
      current = arguments[0]
    } else {
      let settings = configuration.layers[model].settings
      current = appendInput(
        shape: inputShape(first) ?? settings["build_input_shape"].flatMap(Self.shapeOfSample) ?? widthOfKernel(first),
        name: configuration.layers[first].name)
    }
    for part in parts where configuration.layers[part].className == "InputLayer" {
      applied.append(Application(layer: part, inputs: [current], outputs: [current]))
    }
    for part in parts where configuration.layers[part].className != "InputLayer" {
      let values = try apply(layer: part, to: Call(inputs: [current], isPlain: true))
      guard values.count == 1 else { throw contradiction(part, "has \(values.count) outputs in a sequence") }
      current = values[0]
    }
    return current
  }

  /// A call of a layer: the callth item of its `inbound_nodes`.
  private struct CallID: Hashable {
    let layer: Int
    let call: Int
  }

  private mutating func applyFunctional(_ model: Int, to arguments: [Int]?) throws(Contradiction) -> [Int] {
    let described = configuration.layers[model]
    guard !described.hasRepeatedNames else { throw contradiction(model, "has two layers of one name") }
    let inputs = References(described.settings["input_layers"] ?? .null).all
    let outputs = References(described.settings["output_layers"] ?? .null).all
    guard !outputs.isEmpty else { throw contradiction(model, "has no outputs") }
    countCalls(of: described, outputs: outputs)

    /// The nodes of the outputs of each call; empty while its own inputs are being looked for.
    var values: [CallID: [Int]] = [:]
    if let arguments, arguments.count != inputs.count {
      throw contradiction(model, "has \(inputs.count) inputs and is applied to \(arguments.count) values")
    }
    for (index, input) in inputs.enumerated() {
      let id = try callID(input, in: model, isOutput: true)
      guard values[id] == nil else { throw contradiction(model, "has an input twice") }
      let node =
        arguments?[index] ?? appendInput(shape: inputShape(id.layer), name: configuration.layers[id.layer].name)
      applied.append(Application(layer: id.layer, inputs: [node], outputs: [node]))
      values[id] = [node]
    }

    // Depth first without recursion: a chain of layers may be long.
    for output in outputs {
      var pending = [try callID(output, in: model, isOutput: true)]
      while let id = pending.last {
        if let done = values[id], !done.isEmpty {
          pending.removeLast()
          continue
        }
        let calls = configuration.layers[id.layer].calls
        guard calls.indices.contains(id.call) else { throw contradiction(id.layer, "is never applied") }
        let references = References(calls[id.call])
        var arguments: [Int] = []
        var waitsFor: [CallID] = []
        for reference in references.all {
          let source = try callID(reference, in: model, isOutput: false)
          switch values[source] {
          case nil: waitsFor.append(source)
          case let nodes? where nodes.isEmpty: throw contradiction(id.layer, "depends on its own value")
          case let nodes?:
            // An opaque layer is one node, however many values it has.
            let isOnlyOne = nodes.count == 1 && !configuration.layers[source.layer].isModel
            guard nodes.indices.contains(isOnlyOne ? 0 : reference.output) else {
              throw contradiction(source.layer, "has no output \(reference.output)")
            }
            arguments.append(nodes[isOnlyOne ? 0 : reference.output])
          }
        }
        if waitsFor.isEmpty {
          values[id] = try apply(layer: id.layer, to: Call(inputs: arguments, isPlain: references.isPlain))
          pending.removeLast()
        } else {
          values[id] = []
          pending += waitsFor.reversed()
        }
      }
    }
    var nodes: [Int] = []
    for output in outputs {
      guard let found = values[try callID(output, in: model, isOutput: true)], found.indices.contains(output.output)
      else {
        throw contradiction(model, "has no output \(output.layer) \(output.output)")
      }
      nodes.append(found[output.output])
    }
    return nodes
  }

  /// Finds how the calls of the models in a model are counted.
  ///
  /// Every call is used, by another one or as an output: mostly only one counting agrees with that.
  private mutating func countCalls(of model: KerasConfiguration.Layer, outputs: [References.Reference]) {
    var uses: [Int: (outputs: Set<Int>, inputs: Set<Int>)] = [:]
    var isKeras3 = false
    func isModel(_ layer: Int) -> Bool { configuration.layers[layer].isModel }
    for reference in outputs {
      guard let layer = model.partsByName[reference.layer], isModel(layer) else { continue }
      uses[layer, default: ([], [])].outputs.insert(reference.call)
    }
    for part in model.parts {
      for reference in configuration.layers[part].calls.flatMap({ References($0).all }) {
        isKeras3 = isKeras3 || reference.isTensor
        guard let layer = model.partsByName[reference.layer], isModel(layer) else { continue }
        uses[layer, default: ([], [])].inputs.insert(reference.call)
      }
    }
    for (layer, uses) in uses {
      let calls = Set(configuration.layers[layer].calls.indices)
      let usual = CallCounting.usual(isKeras3: isKeras3, isGraph: configuration.layers[layer].className != "Sequential")
      countings[layer] =
        usual.first { counting in
          Set(uses.outputs.map { $0 - counting.outputs } + uses.inputs.map { $0 - counting.inputs }) == calls
        } ?? usual[0]
    }
  }

  private func callID(
    _ reference: References.Reference, in model: Int, isOutput: Bool
  ) throws(Contradiction) -> CallID {
    guard let layer = configuration.layers[model].partsByName[reference.layer] else {
      throw contradiction(model, "mentions the layer '\(reference.layer)', which it does not have")
    }
    let counting = countings[layer] ?? CallCounting(outputs: 0, inputs: 0)
    return CallID(layer: layer, call: reference.call - (isOutput ? counting.outputs : counting.inputs))
  }

  private func contradiction(_ layer: Int, _ what: String) -> Contradiction {
    let layer = configuration.layers[layer]
    return Contradiction(what: "\(layer.className) '\(layer.name)' \(what)")
  }

  /// The shape of one sample that a layer says it is built for.
  private func inputShape(_ layer: Int) -> [Int?]? {
    let settings = configuration.layers[layer].settings
    if let shape = settings["batch_input_shape"] ?? settings["batch_shape"] { return Self.shapeOfSample(shape) }
    if let size = settings["input_dim"]?.integer, size >= 0 { return [size] }
    return nil
  }

  private func widthOfKernel(_ layer: Int) -> [Int?]? {
    guard let dense = configuration.dense(layer), dense == layer,
      let kernel = owned[layer].first(where: { $0.tensor.role == .kernel })
    else { return nil }
    return kernel.tensor.shape.map { [$0.dimensions[0]] }
  }

  /// A shape without its first dimension, the number of samples; a negative dimension is taken for one not known.
  private static func shapeOfSample(_ json: JSONValue) -> [Int?]? {
    guard let dimensions = json.array, !dimensions.isEmpty else { return nil }
    return dimensions.dropFirst().map { dimension in dimension.integer.flatMap { $0 >= 0 ? $0 : nil } }
  }
}

/// The numbers of the first call of a model: where the outputs of the model around it are named, and the inputs of calls.
///
/// Keras takes the making of a graph for a call, the one of number 0.
private struct CallCounting {
  let outputs: Int
  let inputs: Int

  /// All that there are, the usual ones of a version of Keras first. In Keras 2 a sequence may be a graph as well.
  static func usual(isKeras3: Bool, isGraph: Bool) -> [CallCounting] {
    let (graph, outputs, sequence) = (
      CallCounting(outputs: 1, inputs: 1), CallCounting(outputs: 1, inputs: 0), CallCounting(outputs: 0, inputs: 0)
    )
    if !isKeras3 { return [graph, sequence, outputs] }
    return isGraph ? [outputs, graph, sequence] : [sequence, outputs, graph]
  }
}

/// The values a call takes, as both generations of Keras write them: `[name, call, output, …]`, or an object of class
/// `__keras_tensor__` whose `keras_history` is `[name, call, output]`; at any depth in lists and objects.
private struct References {
  struct Reference {
    let layer: TensorName
    let call: Int
    let output: Int
    /// Whether it stood in an object.
    var isTensor = false
  }

  private(set) var all: [Reference] = []
  /// Whether these are all the arguments: no constants, and no values passed by keyword.
  private(set) var isPlain = true

  init(_ json: JSONValue) {
    collect(json)
  }

  private mutating func collect(_ json: JSONValue) {
    switch json {
    case .array(let items):
      if let reference = Self.reference(items) {
        all.append(reference)
        if items.count > 3 { collectKeywords(items[3]) }
      } else {
        for item in items { collect(item) }
      }
    case .object(let members):
      if json["class_name"]?.string == "__keras_tensor__" {
        guard let history = json["config"]?["keras_history"]?.array, var reference = Self.reference(history) else {
          isPlain = false
          return
        }
        reference.isTensor = true
        all.append(reference)
      } else if let arguments = json["args"] {
        collect(arguments)
        collectKeywords(json["kwargs"] ?? .null)
      } else {
        for member in members { collect(member.value) }
      }
    case .null: break
    case .bool, .number, .string: isPlain = false
    }
  }

  private mutating func collectKeywords(_ json: JSONValue) {
    var keywords = References(.null)
    keywords.collect(json)
    if !keywords.all.isEmpty { isPlain = false }
    all += keywords.all
  }

  private static func reference(_ items: [JSONValue]) -> Reference? {
    guard items.count >= 3, let layer = items[0].string, let call = items[1].integer, call >= 0,
      let output = items[2].integer, output >= 0
    else { return nil }
    return Reference(layer: TensorName(layer), call: call, output: output)
  }
}

// MARK: - Layers

extension KerasNetwork {
  /// What a layer is applied to.
  private struct Call {
    var inputs: [Int]
    /// Whether there is nothing else it is applied to.
    var isPlain: Bool
  }

  private mutating func apply(layer index: Int, to call: Call) throws(Contradiction) -> [Int] {
    applications += 1
    guard applications <= Self.maxApplications else {
      throw Contradiction(what: "more than \(Self.maxApplications) applications of layers")
    }
    let outputs = try outputs(ofLayer: index, appliedTo: call)
    applied.append(Application(layer: index, inputs: call.inputs, outputs: outputs))
    return outputs
  }

  private mutating func outputs(ofLayer index: Int, appliedTo call: Call) throws(Contradiction) -> [Int] {
    let layer = configuration.layers[index]
    if layer.isModel { return try apply(model: index, to: call.inputs) }
    let node: Int? =
      if let input = call.inputs.first, call.isPlain {
        call.inputs.count == 1 ? try applyUnary(index, to: input) : try applyMerge(layer, to: call.inputs)
      } else {
        nil
      }
    return [node ?? appendOpaque(index, call.inputs)]
  }

  private mutating func applyUnary(_ index: Int, to input: Int) throws(Contradiction) -> Int? {
    let layer = configuration.layers[index]
    let settings = layer.settings
    switch layer.className {
    case let name where KerasConfiguration.denseClasses.contains(name):
      return try applyDense(index, owner: index, to: input)
    case "TimeDistributed":
      guard let wrapped = layer.wrapped, configuration.dense(wrapped) == wrapped else { return nil }
      return try applyDense(wrapped, owner: owned[wrapped].isEmpty ? index : wrapped, to: input)
    case "Activation": return append(activation(settings["activation"]), to: input)
    case "ReLU", "LeakyReLU", "ELU", "Softmax", "ThresholdedReLU":
      return Self.activation(className: layer.className, settings).map { append($0, to: input) }
    case "Dropout", "AlphaDropout", "GaussianDropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D":
      let rate = (settings["rate"] ?? settings["p"])?.double ?? 0
      return append(.dropout(rate: (0...1).contains(rate) ? rate : 0), [input], shape: shapes[input])
    case "GaussianNoise", "ActivityRegularization", "Identity":
      return append(.dropout(rate: 0), [input], shape: shapes[input])
    case "PReLU": return try applyPReLU(index, to: input)
    case "Rescaling": return rescaling(settings["scale"], settings["offset"]).map { append($0, to: input) }
    case "Normalization": return try applyStandardisation(index, to: input)
    case "Reshape": return applyReshape(settings["target_shape"], to: input)
    case "Flatten":
      let isRowMajor = settings["data_format"]?.string != "channels_first" || shapes[input]?.count == 1
      return isRowMajor ? append(.flatten, [input], shape: shapes[input].flatMap(Self.flattened)) : nil
    case "BatchNormalization", "LayerNormalization": return try applyNormalization(index, to: input)
    default: return try applyMerge(layer, to: [input])
    }
  }

  private mutating func applyMerge(_ layer: KerasConfiguration.Layer, to inputs: [Int]) throws(Contradiction) -> Int? {
    if let combination = Network.Combination(rawValue: KerasConfiguration.snakeCase(layer.className).text) {
      // Values of different shapes are broadcast, which no operation here does.
      let shape = shapes[inputs[0]]
      let isOneShape = inputs.allSatisfy { shapes[$0] == nil || shape == nil || shapes[$0] == shape }
      let isWhole = combination != .subtract || inputs.count == 2
      return isOneShape && isWhole ? append(.combine(combination), inputs, shape: shape) : nil
    }
    switch layer.className {
    case "Concatenate":
      guard isLastAxis(layer.settings["axis"]?.integer ?? -1, of: inputs[0]) else { return nil }
      var shape = shapes[inputs[0]]
      if let last = shape?.indices.last {
        var width: Int? = 0
        for input in inputs {
          guard let term = shapes[input]?.last ?? nil, let sum = width else {
            width = nil
            break
          }
          let (total, overflow) = sum.addingReportingOverflow(term)
          width = overflow ? nil : total
        }
        shape?[last] = width
      }
      return append(.concatenate, inputs, shape: shape)
    default: return nil
    }
  }

  /// - Parameter owner: the layer the variables belong to: a wrapper, where its own name stands for both.
  private mutating func applyDense(_ index: Int, owner: Int, to input: Int) throws(Contradiction) -> Int? {
    let settings = configuration.layers[index].settings
    if isImagined { return imagineDense(index, settings, input) }
    let variables = owned[owner]
    guard let kernel = variables.first(where: { $0.tensor.role == .kernel }) else {
      if let first = variables.first(where: { ["kernel", "W"].contains($0.weight) }) {
        // A quantised matrix is no contradiction; one of another rank is.
        guard first.isFloat else {
          return appendOpaque(owner, [input], as: first.tensor.elementType.map { "quantised Dense (\($0.rawValue))" })
        }
        throw contradiction(index, "has a kernel of rank \(first.rank ?? 0), expected 2")
      }
      throw contradiction(index, "has no kernel in the file")
    }
    guard let dimensions = kernel.tensor.shape?.dimensions, dimensions.count == 2 else { return nil }
    let (width, units) = (dimensions[0], dimensions[1])
    // What is multiplied with is not what is stored.
    if configuration.quantisesWhenApplied(index) { return nil }
    if let declared = (settings["units"] ?? settings["output_dim"])?.integer, declared != units {
      throw contradiction(index, "has \(declared) units, but its kernel has \(units)")
    }
    if let given = shapes[input]?.last ?? nil, given != width {
      throw contradiction(index, "is given \(given) values, but its kernel takes \(width)")
    }
    var bias: LayoutVariable?
    if (settings["use_bias"] ?? settings["bias"])?.bool ?? true {
      bias = variables.first { $0.tensor.role == .bias || ($0.ordinal == 1 && $0.isFloat && $0.rank == 1) }
      guard let count = bias?.tensor.shape?.count else { throw contradiction(index, "has no bias in the file") }
      guard count == units else { throw contradiction(index, "has \(units) units, but its bias has \(count)") }
    }
    var shape = shapes[input] ?? nil
    if let last = shape?.indices.last { shape?[last] = units }
    let dense = append(.dense(kernel: kernel.tensor.name, bias: bias?.tensor.name), [input], shape: shape)
    let function = activation(settings["activation"])
    return function == .activation(.linear) ? dense : append(function, to: dense)
  }

  private mutating func imagineDense(_ index: Int, _ settings: JSONValue, _ input: Int) -> Int? {
    guard let units = (settings["units"] ?? settings["output_dim"])?.integer,
      !configuration.quantisesWhenApplied(index)
    else { return nil }
    let isBiased = (settings["use_bias"] ?? settings["bias"])?.bool ?? true
    let kernel = imagine("kernel", index, shape: [shapes[input]?.last ?? nil, units])
    let bias = isBiased ? imagine("bias", index, shape: [units]) : nil
    var shape = shapes[input]
    if let last = shape?.indices.last { shape?[last] = units }
    let dense = append(.dense(kernel: kernel, bias: bias), [input], shape: shape)
    let function = activation(settings["activation"])
    return function == .activation(.linear) ? dense : append(function, to: dense)
  }

  private mutating func imagine(_ weight: TensorName, _ index: Int, shape: [Int?]) -> TensorName {
    let name: TensorName = "\(configuration.layers[index].name)/\(weight)"
    imaginedShapes[name] = shape
    return name
  }

  private mutating func applyNormalization(_ index: Int, to input: Int) throws(Contradiction) -> Int? {
    let settings = configuration.layers[index].settings
    let epsilon = (settings["epsilon"]?.double ?? 1e-3)
    let axes = settings["axis"]?.array ?? [settings["axis"] ?? JSONValue.integer(-1)]
    guard axes.count == 1, let axis = axes[0].integer, isLastAxis(axis, of: input),
      settings["rms_scaling"]?.bool != true, epsilon.isFinite, epsilon >= 0
    else { return nil }
    let width = shapes[input]?.last ?? nil
    func tensor(_ weight: TensorName, unless setting: String? = nil) throws(Contradiction) -> TensorName? {
      if let setting, settings[setting]?.bool == false { return nil }
      if isImagined { return imagine(weight, index, shape: [width]) }
      guard let variable = owned[index].first(where: { $0.weight == weight }) else {
        throw contradiction(index, "has no \(weight) in the file")
      }
      if let width, let count = variable.tensor.shape?.count, count != width {
        throw contradiction(index, "is given \(width) values, but its \(weight) has \(count)")
      }
      return variable.tensor.name
    }
    let gamma = try tensor("gamma", unless: "scale")
    let beta = try tensor("beta", unless: "center")
    if configuration.layers[index].className == "LayerNormalization" {
      return append(.layerNormalization(gamma: gamma, beta: beta, epsilon: epsilon), [input], shape: shapes[input])
    }
    guard let mean = try tensor("moving_mean"), let variance = try tensor("moving_variance") else { return nil }
    return append(
      .batchNormalization(mean: mean, variance: variance, gamma: gamma, beta: beta, epsilon: epsilon), [input],
      shape: shapes[input])
  }

  /// Slopes are one for all values, or one for each value of the last axis, or one for each value of a sample.
  private mutating func applyPReLU(_ index: Int, to input: Int) throws(Contradiction) -> Int? {
    if isImagined { return append(.prelu(slope: imagine("alpha", index, shape: [nil])), to: input) }
    guard let slope = owned[index].first(where: { $0.weight == "alpha" && $0.isFloat }),
      let dimensions = slope.tensor.shape?.dimensions, let last = dimensions.last
    else { throw contradiction(index, "has no alpha in the file") }
    let sample = shapes[input]
    let isShared = dimensions.dropLast().allSatisfy { $0 == 1 } && (last == 1 || sample?.last == last)
    guard isShared || sample == dimensions.map(Optional.some) else { return nil }
    return append(.prelu(slope: slope.tensor.name), to: input)
  }

  /// With mean and variance as the layer saw them in data (tensors), or as the configuration gives them (constants).
  private mutating func applyStandardisation(_ index: Int, to input: Int) throws(Contradiction) -> Int? {
    let settings = configuration.layers[index].settings
    let axes = settings["axis"]?.array ?? [settings["axis"] ?? JSONValue.integer(-1)]
    let isOverLastAxis = axes.count == 1 && axes[0].integer.map { isLastAxis($0, of: input) } ?? false
    // What Keras divides by at least: its backend's epsilon, which no file says.
    let epsilon = 1e-7
    let isInverse = settings["invert"]?.bool ?? false
    if let mean = Self.numbers(settings["mean"]), let variance = Self.numbers(settings["variance"]) {
      guard mean.count == variance.count, mean.count == 1 || isOverLastAxis else { return nil }
      let deviations = variance.map { max($0.squareRoot(), epsilon) }
      let scale = isInverse ? deviations : deviations.map { 1 / $0 }
      let offset = isInverse ? mean : zip(mean, scale).map { -$0 * $1 }
      let operation = Network.Operation.rescaling(
        scale: scale, offset: offset)
      return operation.isInDomain ? append(operation, to: input) : nil
    }
    // Keras 3 writes `None` as an empty list.
    guard !isInverse, isOverLastAxis || axes == [.null] || axes.isEmpty else { return nil }
    if isImagined {
      let (mean, variance) = (imagine("mean", index, shape: [nil]), imagine("variance", index, shape: [nil]))
      return append(.normalization(mean: mean, variance: variance, epsilon: epsilon), to: input)
    }
    func tensor(_ weight: TensorName) throws(Contradiction) -> LayoutVariable {
      guard let found = owned[index].first(where: { $0.weight == weight && $0.isFloat }) else {
        throw contradiction(index, "has no \(weight) in the file")
      }
      return found
    }
    let (mean, variance) = (try tensor("mean"), try tensor("variance"))
    guard let count = mean.tensor.shape?.count, variance.tensor.shape?.count == count,
      count == 1 || shapes[input].map({ $0.last == count }) ?? true
    else { return nil }
    return append(
      .normalization(mean: mean.tensor.name, variance: variance.tensor.name, epsilon: epsilon), to: input)
  }

  private mutating func applyReshape(_ target: JSONValue?, to input: Int) -> Int? {
    guard let dimensions = target?.array?.map(\.integer), !dimensions.contains(nil) else { return nil }
    let shape = dimensions.compactMap { $0 }
    let operation = Network.Operation.reshape(shape: shape)
    guard operation.isInDomain, !shape.isEmpty else { return nil }
    var result = shape.map { $0 == -1 ? nil : $0 }
    let known = shapes[input].flatMap { dimensions in
      dimensions.contains(nil) ? nil : Shape(dimensions.compactMap { $0 })?.count
    }
    if let open = result.firstIndex(of: nil), let count = known, let others = Shape(result.compactMap { $0 })?.count,
      others > 0
    {
      result[open] = count / others
    }
    return append(operation, [input], shape: result)
  }

  private func rescaling(_ scale: JSONValue?, _ offset: JSONValue?) -> Network.Operation? {
    guard let scale = Self.numbers(scale), let offset = Self.numbers(offset ?? .integer(0)) else { return nil }
    let operation = Network.Operation.rescaling(
      scale: scale, offset: offset)
    return operation.isInDomain ? operation : nil
  }

  /// A number, or numbers along the last axis: lists of lists of one item are such as well.
  private static func numbers(_ json: JSONValue?) -> [Double]? {
    var json = json
    while let items = json?.array, items.count == 1, items[0].array != nil { json = items[0] }
    if let number = json?.double { return [number] }
    guard let items = json?.array, !items.isEmpty else { return nil }
    let numbers = items.compactMap(\.double)
    return numbers.count == items.count ? numbers : nil
  }

  /// A layer that cannot be run, with all tensors it owns.
  private mutating func appendOpaque(_ index: Int, _ inputs: [Int], as name: String? = nil) -> Int {
    var tensors: [TensorName: TensorName] = [:]
    var remaining = [index]
    while let next = remaining.popLast() {
      for variable in owned[next] {
        // Parts of a layer may have weights of one name: then the tensor's own name tells them apart.
        tensors[tensors[variable.weight] == nil ? variable.weight : variable.tensor.name] = variable.tensor.name
      }
      if let wrapped = configuration.layers[next].wrapped { remaining.append(wrapped) }
    }
    return append(
      .opaque(className: name ?? configuration.layers[index].className, tensors: tensors), inputs, shape: nil)
  }

  private mutating func append(_ function: Network.Operation, to input: Int) -> Int {
    append(function, [input], shape: shapes[input])
  }

  /// Whether an axis, counted with the samples' own first, is the last.
  private func isLastAxis(_ axis: Int, of node: Int) -> Bool {
    axis == -1 || shapes[node].map { axis == $0.count } ?? false
  }

  private static func flattened(_ shape: [Int?]) -> [Int?]? {
    var count: Int? = 1
    for dimension in shape {
      guard let dimension, let partial = count else { return [nil] }
      let (product, overflow) = partial.multipliedReportingOverflow(by: dimension)
      count = overflow ? nil : product
    }
    return [count]
  }
}

// MARK: - Activations

extension KerasNetwork {
  /// The activation a setting stands for: a name, an object with class and configuration, or `nil`.
  private func activation(_ setting: JSONValue?) -> Network.Operation {
    switch setting {
    case nil, .null: return .activation(.linear)
    case .string(let name): return named(name)
    case let object?:
      let className = object["class_name"]?.string ?? "activation"
      let module = object["module"]?.string
      // A function of somebody's own may bear any name.
      if className == "function", let name = object["config"]?.string, module?.hasPrefix("keras") ?? true {
        return named(name)
      }
      return Self.activation(className: className, object["config"] ?? .null)
        ?? .opaque(className: object["config"]?.string ?? className, tensors: [:])
    }
  }

  private func named(_ name: String) -> Network.Operation {
    Activation(keras: name, hardSigmoidDivisor: configuration.isKeras3 ? 6 : 5).map { .activation($0) }
      ?? .opaque(className: name, tensors: [:])
  }

  /// The activation a layer of this class is, if it is one that is known.
  private static func activation(className: String, _ settings: JSONValue) -> Network.Operation? {
    func parameter(_ names: String..., default value: Double) -> Double {
      for name in names {
        // TensorFlow writes numbers of its own type as objects.
        if let number = settings[name]?.double ?? settings[name]?["config"]?["value"]?.double {
          return number
        }
      }
      return value
    }
    switch className {
    case "ReLU":
      let slope = parameter("negative_slope", default: 0)
      let threshold = parameter("threshold", default: 0)
      let isBounded = settings["max_value"].map { $0 != .null } ?? false
      let maximum = parameter("max_value", default: .nan)
      let operation = Network.Operation.activation(
        isBounded || threshold != 0
          ? .boundedReLU(maximum: isBounded ? maximum : nil, threshold: threshold, slope: slope)
          : slope == 0 ? .relu : .leakyReLU(slope: slope))
      return operation.isInDomain ? operation : nil
    case "ThresholdedReLU":
      let operation = Network.Operation.activation(
        .boundedReLU(maximum: nil, threshold: parameter("theta", default: 1), slope: 0))
      return operation.isInDomain ? operation : nil
    case "LeakyReLU": return .activation(.leakyReLU(slope: parameter("negative_slope", "alpha", default: 0.3)))
    case "ELU": return .activation(.elu(alpha: parameter("alpha", default: 1)))
    case "Softmax":
      let axis = settings["axis"]
      return axis == nil || axis?.integer == -1 ? .activation(.softmax) : nil
    default: return nil
    }
  }
}

extension Activation {
  /// A piecewise constant function spelled as its levels with the thresholds between them, `-1/-0.5/0/0.5/1`.
  init?(steps spelling: String) {
    let numbers = spelling.split(separator: "/", omittingEmptySubsequences: false).map {
      Double($0) ?? .nan
    }
    let levels = stride(from: 0, to: numbers.count, by: 2).map { numbers[$0] }
    let thresholds = stride(from: 1, to: numbers.count, by: 2).map { numbers[$0] }
    self = .piecewiseConstant(levels: levels, thresholds: thresholds)
    guard Network.Operation.activation(self).isInDomain else { return nil }
  }

  /// The names of activations in Keras.
  public static let kerasNames =
    (withoutParameters.keys + ["elu", "gelu", "hard_sigmoid", "leaky_relu", "relu6", "swish"]).sorted()

  /// The activation of that name in Keras, with Keras's parameters.
  init?(keras name: String, hardSigmoidDivisor: Double) {
    switch name {
    case "leaky_relu": self = .leakyReLU(slope: 0.2)
    case "elu": self = .elu(alpha: 1)
    case "gelu": self = .gelu(approximate: false)
    case "swish": self = .silu
    case "relu6": self = .boundedReLU(maximum: 6, threshold: 0, slope: 0)
    case "hard_sigmoid": self = .hardSigmoid(divisor: hardSigmoidDivisor)
    default:
      guard let function = Self.withoutParameters[name] else { return nil }
      self = function
    }
  }
}
