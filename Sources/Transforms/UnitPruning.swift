// SPDX-License-Identifier: Apache-2.0

internal import Compression
internal import Matrices
internal import Networks
internal import Parallel
internal import SystemPackage
internal import Tensors

/// Which units of a network's hidden layers are removed, and what becomes of its tensors.
///
/// A removed unit has no incoming weights, so its value is one number, that of its bias behind the operations up to the
/// next dense layer. What this number contributes there is added to the biases, and then the unit needs neither a
/// bias nor outgoing weights. Law: the network computes what it would with the incoming weights alone set to zero.
struct UnitPruning {
  /// A layer of which units were chosen.
  struct Layer: Equatable {
    var kernel: TensorName
    /// Whether each unit stays.
    var kept: [Bool]
  }

  /// Why a layer was left as it is.
  struct Note: Equatable {
    var kernel: TensorName
    var reason: String
    /// Whether a weight is infinite or not a number.
    var isNonFinite = false
    var text: String { "\(kernel): \(reason): carried unchanged" }
  }

  /// In the order of the graph.
  var layers: [Layer] = []
  var notes: [Note] = []

  /// What a tensor loses: a matrix some output units and some inputs, a bias its numbers before.
  fileprivate enum Edit {
    case matrix(outputs: [Bool], inputs: [Bool])
    case bias([Double])
  }
  fileprivate var edits: [Int: Edit] = [:]

  /// The tensors, by index, that `NetworkFile.pruned(_:by:)` changes.
  var changedTensors: Set<Int> { Set(edits.keys) }
}

extension NetworkFile {
  /// Keeps the units of hidden layers with the largest incoming weights, and folds those that are removed into the
  /// biases that follow.
  ///
  /// Biases change with their layers, unless `--except` names them. A layer that has to stay as it is, is carried with
  /// a warning, unless `--only` names it.
  func pruneUnits(
    to file: FileDescriptor, _ rule: PruningRule, _ options: CompressingOptions
  ) throws(NetworkError) -> WritingReport {
    let selection = options.selection
    var choice = try choose(by: selection)
    let asked = choice.tensors
    let pruning = try planUnitPruning(rule) {
      asked.contains($0)
    } sparing: {
      selection.excepts(tensors[$0].name)
    }
    let planned = Set(pruning.layers.map(\.kernel))
    let others = asked.filter { selection.insists(on: tensors[$0].name) && !planned.contains(tensors[$0].name) }
    if let first = others.min(), others.count == asked.count {
      let name = tensors[first].name
      let reason = pruning.notes.first { $0.kernel == name }?.reason ?? "not the weights of a hidden layer"
      throw NetworkError(.usage, "--only: no nodes can be removed: \(name): \(reason)")
    }
    let noted = Set(pruning.notes.map(\.kernel))
    for index in others.sorted() where !noted.contains(tensors[index].name) {
      choice.notes.append("\(tensors[index].name): not the weights of a hidden layer: carried unchanged")
    }
    choice.tensors = pruning.changedTensors
    let layers = Dictionary(pruning.layers.map { ($0.kernel, $0) }, uniquingKeysWith: { first, _ in first })
    var report = try compress(
      to: file, options, .node(rule), choice
    ) { index, values in
      guard let new = pruned(index, values, by: pruning) else { return .unchanged("nothing to remove") }
      return .changed(
        new, kept: layers[tensors[index].name].map { Kept(count: $0.kept.count { $0 }, of: $0.kept.count) })
    }
    report.warnings = pruning.notes.map(\.text) + report.warnings
    return report
  }

  /// Chooses the units to remove, reading the matrices of a layer and its consumers at a time.
  ///
  /// Norms are of the weights as they are in this file, whatever is removed in other layers.
  ///
  /// - Parameters:
  ///   - includes: whether the incoming weights of this matrix, by index, may be removed.
  ///   - spares: whether this tensor, by index, must stay as it is.
  func planUnitPruning(
    _ rule: PruningRule, includes: (Int) -> Bool, sparing spares: (Int) -> Bool = { _ in false }
  ) throws(NetworkError) -> UnitPruning {
    guard let network else {
      throw NetworkError(
        .unsupported,
        "no network: how the layers are connected is not known", remedy: .architecture)
    }
    var byName: [TensorName: Int] = [:]
    for (index, tensor) in tensors.enumerated() { byName[tensor.name] = index }
    let (hidden, entangled) = network.hiddenLayers()
    var pruning = UnitPruning()
    pruning.notes = entangled.filter { layer in byName[layer.kernel].map(includes) ?? false }
      .map { UnitPruning.Note(kernel: $0.kernel, reason: $0.reason) }
    // Last to first: what a layer contributes to a removed unit of the next is not needed.
    for layer in hidden.reversed() {
      guard let index = byName[layer.kernel], includes(index) else { continue }
      do {
        try prune(layer, rule, byName, sparing: spares, &pruning)
      } catch let note as UnitPruning.Note {
        pruning.notes.append(note)
      } catch {
        throw NetworkError(error)
      }
    }
    let order = Dictionary(
      network.nodes.enumerated().compactMap { position, node in
        if case .dense(let kernel, _) = node.operation { (kernel, position) } else { nil }
      }, uniquingKeysWith: min)
    pruning.layers.reverse()
    pruning.notes.sort { order[$0.kernel] ?? 0 < order[$1.kernel] ?? 0 }
    return pruning
  }

  /// The new values of a tensor of these values; `nil` for one that stays as it is.
  func pruned(_ index: Int, _ values: UnsafeRawBufferPointer, by pruning: UnitPruning) -> NewValues? {
    switch pruning.edits[index] {
    case nil: nil
    case .bias(let numbers): .weights(.dense(tensors[index].type.bytes(rounding: numbers)))
    case .matrix(let outputs, let inputs):
      .masked(
        tensors[index].matrix(values).removing(outputs: outputs, inputs: inputs, threads: options.threads))
    }
  }

  /// Calls `body` with a weight matrix in place.
  func withMatrix<Result>(_ index: Int, _ body: (StoredMatrix) throws -> Result) throws(NetworkError) -> Result {
    try withValues(of: index) { try body(tensors[index].matrix($0)) }
  }

  // MARK: One layer

  /// - Throws: a `UnitPruning.Note` where the layer has to stay as it is.
  private func prune(
    _ layer: HiddenLayer, _ rule: PruningRule, _ byName: [TensorName: Int], sparing spares: (Int) -> Bool,
    _ pruning: inout UnitPruning
  ) throws {
    func note(_ reason: String) -> UnitPruning.Note { UnitPruning.Note(kernel: layer.kernel, reason: reason) }
    let hidden: HiddenLayerTensors
    do {
      hidden = try HiddenLayerTensors(layer, in: tensors, byName)
    } catch {
      throw note(error.reason)
    }
    let threads = options.threads
    let units = hidden.units
    let norms = try finite(layer, hidden.kernel) { try $0.squaredNorms(threads: threads) }
    let kept = rule.kept(norms)
    let removed = kept.indices.filter { !kept[$0] }
    pruning.layers.append(UnitPruning.Layer(kernel: layer.kernel, kept: kept))
    if removed.isEmpty { return }

    // Edits of this layer alone, until all of them are known to be possible.
    var edits: [Int: UnitPruning.Edit] = [:]
    do {
      let biases = try hidden.bias.map { try numbers($0, layer) }
      var bias = biases ?? [Double](repeating: 0, count: units)
      for consumer in hidden.consumers {
        let path = try consumer.path.map { try operation($0, layer) }
        var constants: [(input: Int, value: Double)] = []
        for unit in removed {
          // With neither weights nor bias the unit must have a value as well: it is multiplied by zero.
          guard let value = path.value(at: bias[unit], index: unit), value.isFinite,
            path.value(at: 0, index: unit)?.isFinite ?? false
          else { throw note("what a removed node contributes is infinite or not a number") }
          constants.append((unit, value))
        }
        let (consumerUnits, consumerInputs) = try withMatrix(consumer.kernel) { ($0.outputs, $0.inputs) }
        let known = pruning.edits[consumer.kernel]
        var remaining = [Bool](repeating: true, count: consumerUnits)
        if case .matrix(let outputs, _) = known { remaining = outputs.map { !$0 } }
        let before = try consumer.bias.map { try numbers($0, layer) } ?? [Double](repeating: 0, count: consumerUnits)
        let folded = try finite(layer, consumer.kernel) { matrix in
          // A NaN anywhere would be multiplied by zeros.
          try matrix.checkFinite(threads: threads)
          return matrix.folding(constants, into: before, of: remaining, threads: threads)
        }
        if let index = consumer.bias {
          let type = tensors[index].type
          let rounded = type.numbers(type.bytes(rounding: folded.sums))
          guard rounded.allSatisfy(\.isFinite) else {
            throw note("what removed nodes contribute to \(tensors[index].name) is larger than its type holds")
          }
          if rounded != before { edits[index] = .bias(rounded) }
        } else if folded.isChanged {
          throw note("removed nodes contribute to \(tensors[consumer.kernel].name), which has no bias")
        }
        var inputs = [Bool](repeating: false, count: consumerInputs)
        for unit in removed { inputs[unit] = true }
        edits[consumer.kernel] = .matrix(outputs: remaining.map { !$0 }, inputs: inputs)
      }
      for unit in removed { bias[unit] = 0 }
      if let index = hidden.bias, bias != biases { edits[index] = .bias(bias) }
      // Its inputs are those of the layer before, which comes later.
      let inputs = try withMatrix(hidden.kernel) { $0.inputs }
      edits[hidden.kernel] = .matrix(outputs: kept.map { !$0 }, inputs: [Bool](repeating: false, count: inputs))
      for index in edits.keys.sorted() {
        if spares(index) { throw note("\(tensors[index].name) would change, which is to stay as it is") }
        guard tensors[index].isReplaceable else {
          throw note("\(tensors[index].name) would change, and its storage is compact")
        }
      }
    } catch {
      pruning.layers.removeLast()
      throw error
    }
    pruning.edits.merge(edits) { _, new in new }
  }

  /// - Throws: a `UnitPruning.Note` for a weight that is infinite or not a number.
  private func finite<Result>(
    _ layer: HiddenLayer, _ index: Int, _ body: (StoredMatrix) throws -> Result
  ) throws -> Result {
    // As a value, because errors that leave a reading of the file become `NetworkError`.
    switch try withMatrix(index, { matrix in Swift.Result { try body(matrix) } }) {
    case .success(let result): return result
    case .failure(let error as NonFiniteWeight): throw nonFinite(layer, index, error.index)
    case .failure(let error): throw error
    }
  }

  private func nonFinite(_ layer: HiddenLayer, _ index: Int, _ element: Int) -> UnitPruning.Note {
    let tensor = tensors[index]
    let place = tensor.name == layer.kernel ? "" : " of \(tensor.name)"
    return UnitPruning.Note(
      kernel: layer.kernel, reason: "NaN or infinity at \(tensor.shape.position(of: element))\(place)",
      isNonFinite: true)
  }

  /// The numbers of a vector, all of them finite.
  private func numbers(_ index: Int, _ layer: HiddenLayer) throws -> [Double] {
    let numbers = tensors[index].type.numbers(try values(of: index))
    if let element = numbers.firstIndex(where: { !$0.isFinite }) { throw nonFinite(layer, index, element) }
    return numbers
  }

  private func operation(
    _ step: HiddenLayerTensors.Function, _ layer: HiddenLayer
  ) throws -> ElementwiseOperation {
    switch step {
    case .activation(let function): .activation(function)
    case .normalization(let mean, let variance, let gamma, let beta, let epsilon):
      .normalization(
        mean: try numbers(mean, layer), variance: try numbers(variance, layer),
        gamma: try gamma.map { try numbers($0, layer) }, beta: try beta.map { try numbers($0, layer) },
        epsilon: epsilon)
    case .standardisation(let mean, let variance, let epsilon):
      .standardisation(mean: try numbers(mean, layer), variance: try numbers(variance, layer), epsilon: epsilon)
    case .prelu(let slope): .prelu(try numbers(slope, layer))
    case .rescaling(let scale, let offset): .rescaling(scale: scale, offset: offset)
    }
  }
}

extension UnitPruning.Note: Error {}

extension [ElementwiseOperation] {
  /// The number behind all operations, first to last.
  fileprivate func value(at x: Double, index: Int) -> Double? {
    reduce(x) { value, operation in value.flatMap { operation.value(at: $0, index: index) } }
  }
}

/// The tensors, by index, of a hidden layer and of what follows it, their shapes checked against each other.
struct HiddenLayerTensors {
  struct Misfit: Error {
    var reason: String
  }

  /// What stands between two dense layers.
  enum Function {
    case activation(Activation)
    case normalization(mean: Int, variance: Int, gamma: Int?, beta: Int?, epsilon: Double)
    case standardisation(mean: Int, variance: Int, epsilon: Double)
    case prelu(slope: Int)
    case rescaling(scale: Double, offset: Double)

    /// The vectors that have a number for every unit.
    var vectors: [Int] {
      switch self {
      case .activation, .rescaling: []
      case .standardisation(let mean, let variance, _): [mean, variance]
      case .prelu(let slope): [slope]
      case .normalization(let mean, let variance, let gamma, let beta, _):
        [mean, variance] + [gamma, beta].compactMap { $0 }
      }
    }
  }

  struct Consumer {
    var kernel: Int
    var bias: Int?
    var path: [Function]
  }

  let units: Int
  let kernel: Int
  let bias: Int?
  let consumers: [Consumer]

  init(_ layer: HiddenLayer, in tensors: [TensorRecord], _ byName: [TensorName: Int]) throws(Misfit) {
    func matrix(_ name: TensorName) throws(Misfit) -> (index: Int, outputs: Int, inputs: Int) {
      guard let index = byName[name], tensors[index].isDenseMatrix else {
        throw Misfit(reason: "\(name) is no dense weight matrix")
      }
      let dimensions = tensors[index].shape.dimensions
      return tensors[index].isTransposed ? (index, dimensions[1], dimensions[0]) : (index, dimensions[0], dimensions[1])
    }
    func vector(_ name: TensorName, _ count: Int) throws(Misfit) -> Int {
      guard let index = byName[name], tensors[index].type.isFloat, tensors[index].isVector(of: count)
      else { throw Misfit(reason: "\(name) is not one number for each of \(count) nodes") }
      return index
    }
    func optional(_ name: TensorName?, _ count: Int) throws(Misfit) -> Int? {
      if let name { try vector(name, count) } else { nil }
    }

    let own = try matrix(layer.kernel)
    units = own.outputs
    kernel = own.index
    bias = try optional(layer.bias, units)
    var consumers: [Consumer] = []
    for consumer in layer.consumers {
      let next = try matrix(consumer.kernel)
      guard next.inputs == units else {
        throw Misfit(reason: "it has \(units) nodes, and \(consumer.kernel) takes \(next.inputs) values")
      }
      var path: [Function] = []
      for operation in consumer.path {
        switch operation {
        case .activation(let function): path.append(.activation(function))
        case .batchNormalization(let mean, let variance, let gamma, let beta, let epsilon):
          path.append(
            .normalization(
              mean: try vector(mean, units), variance: try vector(variance, units), gamma: try optional(gamma, units),
              beta: try optional(beta, units), epsilon: epsilon))
        case .normalization(let mean, let variance, let epsilon):
          path.append(
            .standardisation(mean: try vector(mean, units), variance: try vector(variance, units), epsilon: epsilon))
        case .prelu(let slope): path.append(.prelu(slope: try vector(slope, units)))
        case .rescaling(let scale, let offset): path.append(.rescaling(scale: scale[0], offset: offset[0]))
        default: break
        }
      }
      consumers.append(Consumer(kernel: next.index, bias: try optional(consumer.bias, next.outputs), path: path))
    }
    self.consumers = consumers
  }
}

extension TensorRecord {
  /// Whether it has `count` elements along one axis; others have dimension 1.
  fileprivate func isVector(of count: Int) -> Bool {
    shape.count == count && shape.rank > 0 && shape.dimensions.contains(count)
  }
}
