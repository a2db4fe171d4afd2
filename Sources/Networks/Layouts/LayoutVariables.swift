// SPDX-License-Identifier: Apache-2.0

package import HDF5
internal import JSON
package import Tensors

/// A dataset on its way to becoming a tensor: which layer it belongs to and what it is called there.
package struct LayoutVariable {
  var tensor: LayoutTensor
  /// The names of the layers it is in, from the outside in; empty outside the layout and for optimizer state.
  var layer: [TensorName] = []
  /// What its layer calls it: `kernel`, `bias`, `gamma`, ….
  var weight: TensorName
  /// The directory in the file (PyTorch: the prefix) that the variables of one layer share.
  var group: TensorName
  /// Its place in the list `weight_names` of its layer.
  var ordinal: Int?
  /// Whether its name is spelled in a way of somebody's own: `W1`, `fc1_weights`.
  var isOwnSpelling = false
  /// Whether it is the matrix of a layer only beside a bias.
  var needsBias = false
  /// The class of its layer in snake case, where the names of groups tell.
  var groupClass: TensorName?
  var description = Description.none

  enum Description: Equatable {
    /// No configuration, or one that does not mention the layer.
    case none
    /// The layer with this index in the configuration.
    case layer(Int)
    /// A part of a layer that the configuration mentions, but does not describe any further.
    case inside(Int)
  }

  var layerName: TensorName { layer.joined(separator: "/") }
  var isFloat: Bool { tensor.elementType?.isFloat ?? false }
  var rank: Int? { tensor.shape?.rank }
}

/// The datasets of a file in the terms of its layout.
package struct LayoutVariables {
  package let tree: ObjectTree
  let kind: LayoutKind
  /// What the file says about its layers, if that can be read.
  package var configuration: KerasConfiguration?
  /// All datasets, in the order of the table of contents, with their names and roles.
  package var variables: [LayoutVariable] = []
  private(set) var groups: [TensorName: LayoutGroup] = [:]
  package var notes: [String] = []

  /// - Parameters:
  ///   - text: a configuration of Keras; `nil` for that of the file.
  ///   - version: of the Keras that wrote that text.
  ///   - orientation: that of the matrices of which nothing says it.
  ///   - named: matrices that the caller calls layers, whatever their names say.
  package init(
    _ table: TableOfContents, configuration text: [UInt8]?, version: String? = nil,
    orientation: MatrixOrientation? = nil, named: Set<TensorName> = []
  ) {
    self.init(settingsOf: table, configuration: text, version: version)
    switch kind {
    case .kerasModel: locateInKerasLayers(under: "model_weights")
    case .kerasWeights: locateInKerasLayers(under: "")
    case .keras3Weights: locateInVars()
    case .keras0: locateNumbered(under: "")
    case .caffe: locateNumbered(under: "data")
    case .pyTorch, .plain, .arrays, .unknown: locateByPath()
    }
    for variable in variables where !variable.layer.isEmpty {
      groups[variable.group, default: LayoutGroup()].add(variable)
    }
    for index in variables.indices {
      let finding = withAxes(finding(for: variables[index]), variables[index])
      variables[index].tensor.role = finding.role
      variables[index].tensor.axes = finding.axes
      variables[index].tensor.reason = finding.reason
      variables[index].tensor.isAmbiguous = finding.isAmbiguous
    }
    makeNamesUnique()
    take(named)
    orient(stated: orientation)
    leaveTables()
  }

  /// What is stored where: names are paths.
  init(withoutLayers table: TableOfContents, configuration text: [UInt8]?) {
    self.init(settingsOf: table, configuration: text, version: nil)
    variables = datasets().map(foreign)
  }

  /// What the file says of itself, without any variable.
  private init(settingsOf table: TableOfContents, configuration text: [UInt8]?, version: String?) {
    tree = ObjectTree(table)
    kind = Self.kind(of: tree)
    do throws(KerasConfiguration.Malformed) {
      let stored = tree.text("model_config", of: tree.root).map { Array($0.utf8) }
      if let text = text ?? stored {
        configuration = try KerasConfiguration(
          text: text, version: text == stored ? tree.text("keras_version", of: tree.root) : version)
      } else if tree.hasAttribute("model_config", of: tree.root) {
        notes.append("the model configuration is ignored: it is not a text")
      }
    } catch {
      notes.append("the model configuration is ignored: \(error.what)")
    }
  }

  /// Whether the file was written by this toolkit, and so says all there is to know.
  private static func isOurs(_ tree: ObjectTree) -> Bool { tree.text("format", of: tree.root) == PlainFormat.name }

  private static func kind(of tree: ObjectTree) -> LayoutKind {
    if isOurs(tree) { return .plain }
    if tree.object(at: "model_weights") != nil { return .kerasModel }
    if ["layer_names", "layer_names0"].contains(where: { tree.hasAttribute($0, of: tree.root) }) {
      return .kerasWeights
    }
    let isNumbered = tree.object(at: "layer_0") != nil && tree.hasAttribute("nb_layers", of: tree.root)
    if isNumbered || tree.object(at: "layer_0/param_0") != nil { return .keras0 }
    var found: Set<LayoutKind> = []
    for object in tree.table.objects {
      guard object.mayBeDataset, let path = object.paths.first else { continue }
      if varsIndex(path) != nil { return .keras3Weights }
      if isCaffe(path) { found.insert(.caffe) }
      let name = WeightName(path: path)
      switch name.weight {
      case "weight" where !name.isOwnSpelling: found.insert(.pyTorch)
      case "kernel" where !name.isOwnSpelling: found.insert(.plain)
      case let weight where DenseNaming.kernels.contains(weight): found.insert(.arrays)
      default: break
      }
    }
    return [.plain, .pyTorch, .caffe, .arrays].first(where: found.contains) ?? .unknown
  }

  /// `data/LAYER/0`, as Caffe writes the first parameters of a layer.
  private static func isCaffe(_ path: TensorName) -> Bool {
    guard path.hasSuffix("/0") else { return false }
    let components = path.components
    return components.count >= 3 && components[0] == "data" && components[components.count - 1] == "0"
  }
}

// MARK: - Names

/// What one variable of a layer must know of the others.
struct LayoutGroup {
  var hasKernel = false
  /// Whether the layer has a matrix for its own state, as LSTM and GRU do.
  var isRecurrent = false
  /// Whether `weight` is a vector, as in PyTorch's normalizations.
  var hasVectorWeight = false
  /// Whether there is a vector `scale`, and so a normalization of Flax or Haiku.
  var isScaled = false
  /// How many numbers its bias has.
  var biases: Int?
  /// The shapes of its variables, by what it calls them.
  var shapes: [TensorName: Shape?] = [:]

  /// `W` is Keras 1's.
  static let kernels: Set<TensorName> = ["kernel", "W"]

  mutating func add(_ variable: LayoutVariable) {
    if Self.kernels.contains(variable.weight) { hasKernel = true }
    if variable.weight == "recurrent_kernel" { isRecurrent = true }
    if variable.weight == "weight", variable.rank == 1 { hasVectorWeight = true }
    if variable.weight == "scale", variable.rank == 1 { isScaled = true }
    if DenseNaming.biases.contains(variable.weight), variable.rank == 1 { biases = variable.tensor.shape?.count }
    shapes[variable.weight] = variable.tensor.shape
  }
}

extension LayoutVariables {
  /// Every dataset, and every object that cannot be opened and so may be one: without a description.
  private func datasets() -> [(index: Int, path: TensorName, dataset: Dataset?)] {
    tree.table.objects.enumerated().compactMap { index, object in
      // A damaged file may have a dataset for its root; without a name it is no tensor.
      guard let path = object.paths.first, path.utf8.contains(where: { $0 != UInt8(ascii: "/") }) else { return nil }
      switch object.kind {
      case .dataset(let dataset): return (index, path, dataset)
      case .unreadable: return (index, path, nil)
      case .group, .other: return nil
      }
    }
  }

  private func variable(
    _ index: Int, _ path: TensorName, _ dataset: Dataset?, name: TensorName, weight: TensorName, group: TensorName
  ) -> LayoutVariable {
    let said = tree.text("dtype", of: index)
    let isSilentBFloat16 = said == nil && kind != .keras3Weights && (configuration?.usesBFloat16 ?? false)
    let element = dataset?.type.element(opaqueIsBFloat16: said == "bfloat16" || isSilentBFloat16)
    return LayoutVariable(
      tensor: LayoutTensor(
        object: index, path: path, name: name, role: .other, axes: nil,
        elementType: element?.type, byteOrder: element?.order ?? .little,
        shape: dataset?.shape, byteCount: dataset?.byteCount ?? 0),
      weight: weight, group: group)
  }

  /// A dataset that does not belong to the layout.
  private func foreign(_ index: Int, _ path: TensorName, _ dataset: Dataset?) -> LayoutVariable {
    variable(index, path, dataset, name: path, weight: path.splitAtLast("/").after, group: "")
  }

  /// `LAYER/…/WEIGHT` under `prefix`. The name is the layer's; then what the weight's own path has after the last
  /// mention of the layer; then the weight without `:0` and without the layer's name in front:
  /// `model_weights/fc1/model/fc1/kernel` and `fc1/fc1/kernel:0` become `fc1/kernel`, `model_weights/a/a/b/kernel`
  /// (a layer `b` in a model `a`) `a/b/kernel`, `dense_1/dense_1_W` `dense_1/W`.
  private mutating func locateInKerasLayers(under prefix: TensorName) {
    let listed = listedWeights(under: prefix)
    for (index, path, dataset) in datasets() {
      var components = path.components
      if kind == .kerasModel, components[0] == "optimizer_weights" {
        let name = (["optimizer"] + components.dropFirst()).joined(separator: "/").withoutOutputNumber
        var state = variable(index, path, dataset, name: name, weight: name.splitAtLast("/").after, group: "")
        state.tensor.role = .optimizer
        variables.append(state)
        continue
      }
      var layer: [TensorName]
      var rest: [TensorName]
      let place = listed[index]
      if let place {
        layer = place.layer.components
        rest = place.weight.components
      } else {
        if !prefix.isEmpty {
          guard components[0] == prefix else {
            variables.append(foreign(index, path, dataset))
            continue
          }
          components.removeFirst()
        }
        guard components.count >= 2 else {
          variables.append(foreign(index, path, dataset))
          continue
        }
        layer = [components[0]]
        rest = Array(components.dropFirst())
      }
      guard let innermost = layer.last, var weight = rest.popLast() else {
        variables.append(foreign(index, path, dataset))
        continue
      }
      weight = weight.withoutOutputNumber
      if weight.hasPrefix(innermost + "_") {
        // `scope/dense_1_W`: a scope of names says nothing of layers.
        rest = []
      } else if let mention = rest.lastIndex(where: { $0 == innermost || $0.isNumbered(innermost) }) {
        rest.removeSubrange(...mention)
      }
      if isLeaf(layer) { rest = [] }
      layer += rest
      let stem = layer[layer.count - 1] + "_"
      if weight.hasPrefix(stem) { weight = weight.dropFirst(stem.utf8.count) }
      if weight.isEmpty { weight = rest.last ?? innermost }
      var found = variable(
        index, path, dataset, name: (layer + [weight]).joined(separator: "/"), weight: weight,
        group: path.splitAtLast("/").before)
      found.layer = layer
      found.ordinal = place?.ordinal
      found.description = describe(layer)
      variables.append(found)
    }
  }

  /// The datasets that `layer_names` and `weight_names` lead to, by object.
  private mutating func listedWeights(
    under prefix: TensorName
  ) -> [Int: (layer: TensorName, weight: TensorName, ordinal: Int)] {
    let container = tree.object(at: prefix)
    var listed: [Int: (layer: TensorName, weight: TensorName, ordinal: Int)] = [:]
    var seen: Set<Int> = []
    var missing: [TensorName] = []
    for layer in tree.list("layer_names", of: container) ?? [] {
      guard let group = tree.object(at: layer.asPath, from: container), group != container else {
        missing.append(TensorName(layer))
        continue
      }
      guard seen.insert(group).inserted else { continue }
      for (ordinal, weight) in (tree.list("weight_names", of: group) ?? []).enumerated() {
        guard let index = tree.object(at: weight.asPath, from: group),
          tree.table.objects[index].mayBeDataset
        else {
          missing.append("\(layer)/\(weight)")
          continue
        }
        if listed[index] == nil { listed[index] = (layer.asPath, weight.asPath, ordinal) }
      }
    }
    if !missing.isEmpty {
      notes.append("the lists of layers and weights name objects that are missing: \(abbreviated(missing))")
    }
    return listed
  }

  /// `layers/CLASS_N/…/vars/I`. The name is made of the attributes `name` of the groups `vars` (the layers' own names;
  /// where there is none, the group's), and of the weight's name where the class says what number I is, else I.
  private mutating func locateInVars() {
    for (index, path, dataset) in datasets() {
      let components = path.components
      guard let number = Self.varsIndex(path) else {
        variables.append(foreign(index, path, dataset))
        continue
      }
      guard components[0] != "optimizer" else {
        var state = variable(index, path, dataset, name: path, weight: TensorName(String(number)), group: "")
        state.tensor.role = .optimizer
        variables.append(state)
        continue
      }
      var layer: [TensorName] = []
      var description = LayoutVariable.Description.none
      // The model the walk is in, as long as the configuration describes it.
      var model: Int? = configuration.flatMap { $0.describesLayers ? 0 : nil }
      var group: TensorName = ""
      var container: TensorName?
      for component in components.dropLast(2) {
        group = group.isEmpty ? component : "\(group)/\(component)"
        if container == nil, Self.containers.contains(component) {
          container = component
          continue
        }
        let name = tree.text("name", of: tree.object(at: group + "/vars"))?.asPath
        layer.append(name.flatMap { $0.isEmpty ? nil : $0 } ?? component)
        if let current = model, let configuration {
          let parent = configuration.layers[current]
          let part =
            container == nil
            ? (component == "layer" ? parent.wrapped : nil)
            : name.flatMap { parent.partsByName[$0] } ?? parent.partsByGroup[component]
          if let part {
            description = .layer(part)
            model = part
          } else {
            description = parent.isModel ? .none : .inside(current)
            model = nil
          }
        } else if case .layer(let outer) = description {
          description = .inside(outer)
        }
        container = nil
      }
      guard !layer.isEmpty else {
        variables.append(foreign(index, path, dataset))
        continue
      }
      let ownGroup = components[components.count - 3]
      var groupClass = ownGroup.withoutNumber
      if case .layer(let described) = description, let configuration {
        groupClass = KerasConfiguration.snakeCase(configuration.layers[described].className)
      } else if !groupClass.hasPrefix("dense"), layer[layer.count - 1].hasPrefix("dense") {
        // A subclassed model names the group after its own property and leaves the class to the automatic name.
        groupClass = "dense"
      }
      let names = weightNames(class: groupClass, in: group, description)
      let weight = names.indices.contains(number) ? names[number] : TensorName(String(number))
      var found = variable(
        index, path, dataset, name: (layer + [weight]).joined(separator: "/"), weight: weight,
        group: components.dropLast().joined(separator: "/"))
      found.layer = layer
      found.ordinal = number
      found.groupClass = groupClass
      found.description = description
      variables.append(found)
    }
  }

  /// Groups that hold layers and are none themselves.
  private static let containers: Set<TensorName> = ["layers", "_layer_checkpoint_dependencies"]

  /// The number of a dataset `…/vars/NUMBER`.
  private static func varsIndex(_ path: TensorName) -> Int? {
    let (directory, number) = path.splitAtLast("/")
    guard directory == "vars" || directory.hasSuffix("/vars"), let index = Int(number.text),
      TensorName(String(index)) == number
    else { return nil }
    return index
  }

  /// What the layer in `group` calls its variables, in the order they are stored in, if its class is known here.
  private func weightNames(
    class name: TensorName, in group: TensorName, _ description: LayoutVariable.Description
  ) -> [TensorName] {
    if name.hasPrefix("dense") || name.hasPrefix("conv") || name == "q_dense" { return ["kernel", "bias"] }
    let names: [TensorName]
    switch name {
    case "embedding": return ["embeddings"]
    case "batch_normalization": names = ["gamma", "beta", "moving_mean", "moving_variance"]
    case "layer_normalization": names = ["gamma", "beta"]
    case "normalization": return ["mean", "variance", "count"]
    case "p_re_lu", "prelu": return ["alpha"]
    default: return []
    }
    if case .layer(let layer) = description, let settings = configuration?.layers[layer].settings {
      return names.filter {
        !($0 == "gamma" && settings["scale"]?.bool == false) && !($0 == "beta" && settings["center"]?.bool == false)
      }
    }
    // Scale and offset may be missing; which, is known only when nothing is.
    return tree.object(at: "\(group)/vars/\(names.count - 1)") == nil ? [] : names
  }

  /// `LAYER/PARAMETER` of Keras 0 and Caffe, whose layers number their parameters. The name is the path.
  private mutating func locateNumbered(under prefix: TensorName) {
    for (index, path, dataset) in datasets() {
      let components = path.components
      let isInside = components.count >= (prefix.isEmpty ? 2 : 3) && (prefix.isEmpty || components[0] == prefix)
      guard isInside, let weight = components.last else {
        var other = foreign(index, path, dataset)
        // Caffe keeps gradients beside the weights.
        if components[0] == "diff" { other.tensor.role = .optimizer }
        variables.append(other)
        continue
      }
      let layer = Array(components.dropLast().dropFirst(prefix.isEmpty ? 0 : 1))
      var found = variable(
        index, path, dataset, name: path, weight: weight, group: components.dropLast().joined(separator: "/"))
      found.layer = layer
      variables.append(found)
    }
  }

  /// `LAYER/WEIGHT` or `LAYER.WEIGHT`, and the other spellings of `WeightName`. The name is the path, without the `:0`
  /// of TensorFlow.
  private mutating func locateByPath() {
    for (index, path, dataset) in datasets() {
      let place = WeightName(path: path, isPlain: Self.isOurs(tree))
      let layer = place.layer
      var found = variable(
        index, path, dataset, name: path.withoutOutputNumber, weight: place.weight, group: place.group)
      found.isOwnSpelling = place.isOwnSpelling
      found.needsBias = place.needsBias
      let parts = path.utf8.split { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ".") }.map {
        TensorName(Substring($0))
      }
      if tree.text("role", of: index) == nil,
        parts.first.map(Self.trainingStates.contains) ?? false || !Self.slots.isDisjoint(with: parts)
      {
        found.tensor.role = .optimizer
      } else if !layer.isEmpty {
        found.layer = [layer]
        found.description = describe(layer.components)
      } else if ["W", "w", "weights", "b", "biases"].contains(place.weight) {
        // The only layer of its file.
        found.layer = [path]
      }
      variables.append(found)
    }
  }

  /// What people call the part of a file that holds the optimizer.
  private static let trainingStates: Set<TensorName> = [
    "optimizer", "optimizer_state", "optimizer_state_dict", "optimizer_weights",
  ]

  /// What PyTorch's optimizers call their state.
  private static let slots: Set<TensorName> = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"]

  /// What the configuration says about a layer given by its names from the outside in.
  private func describe(_ names: [TensorName]) -> LayoutVariable.Description {
    guard let configuration, configuration.describesLayers else { return .none }
    var current = 0
    var rest = names[...]
    while !rest.isEmpty {
      let layer = configuration.layers[current]
      // A layer's own name may have slashes.
      let found = (1...rest.count).reversed().lazy.compactMap { count in
        layer.allByName[rest.prefix(count).joined(separator: "/")].map { ($0, count) }
      }.first
      guard let (part, count) = found else {
        return current == 0 || layer.isModel ? .none : .inside(current)
      }
      current = part
      rest = rest.dropFirst(count)
    }
    return current == 0 ? .none : .layer(current)
  }

  /// Whether a layer has no parts, so that what stands between its name and its weights are scopes of names.
  private func isLeaf(_ names: [TensorName]) -> Bool {
    guard case .layer(let layer) = describe(names), let configuration else { return false }
    return KerasConfiguration.leafClasses.contains(configuration.layers[layer].className)
  }

  /// Gives every dataset that would share its name with another one its path as its name instead.
  private mutating func makeNamesUnique() {
    var claims: [TensorName: [Int]] = [:]
    for index in variables.indices { claims[variables[index].tensor.name, default: []].append(index) }
    var contested = variables.indices.filter { claims[variables[$0].tensor.name, default: []].count > 1 }
    while let index = contested.popLast() {
      let path = variables[index].tensor.path
      guard variables[index].tensor.name != path else { continue }
      variables[index].tensor.name = path
      // Nobody else has this path, but somebody's short name may be spelled like it.
      contested += (claims[path] ?? []).filter { $0 != index }
      claims[path, default: []].append(index)
    }
  }
}

// MARK: - Which way round

extension LayoutVariables {
  func group(of variable: LayoutVariable) -> LayoutGroup { groups[variable.group] ?? LayoutGroup() }

  /// Takes matrices of unknown role for those of dense layers.
  private mutating func take(_ named: Set<TensorName>) {
    guard !named.isEmpty else { return }
    for index in variables.indices where variables[index].tensor.role == .other {
      let variable = variables[index]
      guard named.contains(variable.tensor.name), variable.isFloat, variable.rank == 2 else { continue }
      variables[index].tensor.role = .kernel
      variables[index].tensor.isAmbiguous = true
      variables[index].tensor.reason = nil
      variables[index].layer = [variable.tensor.name]
      variables[index].group = variable.tensor.path
    }
  }

  /// Says of each matrix of which names say nothing how it is stored: as its bias tells, or as the only way in which
  /// all such matrices of the file follow one another, or as the caller states; and leaves the others.
  private mutating func orient(stated: MatrixOrientation?) {
    var open = variables.indices.filter { variables[$0].tensor.isAmbiguous }
    guard !open.isEmpty else { return }
    func settle(_ index: Int, _ orientation: MatrixOrientation) {
      variables[index].tensor.axes = orientation.axes
      variables[index].tensor.isAmbiguous = false
    }
    let all = open
    for index in open {
      // What cannot be read is refused either way.
      if variables[index].tensor.shape == nil { settle(index, .inputsByOutputs) }
      guard let dimensions = variables[index].tensor.shape?.dimensions, let biases = group(of: variables[index]).biases,
        dimensions[0] != dimensions[1], let outputs = dimensions.firstIndex(of: biases)
      else { continue }
      settle(index, outputs == 1 ? .inputsByOutputs : .outputsByInputs)
    }
    open.removeAll { !variables[$0].tensor.isAmbiguous }
    // One program wrote them all: the ways in which it may have are those that no bias excludes and that make a chain.
    let possible = MatrixOrientation.allCases.filter { orientation in
      all.allSatisfy { variables[$0].tensor.orientation.map { $0 == orientation } ?? true }
        && isChain(all, orientation)
    }
    for index in open {
      if possible.count == 1, stated == nil || stated == possible[0] {
        settle(index, possible[0])
      } else if let stated {
        settle(index, stated)
      } else {
        variables[index].tensor.role = .other
        variables[index].tensor.reason = Self.isOpen
      }
    }
  }

  static let isOpen: String =
    "perhaps the weights of a dense layer, but the orientation is not known: say --orientation inputs-outputs or outputs-inputs"

  /// Whether matrices, in natural order of their names, are such that each takes as many values as the one before
  /// gives.
  private func isChain(_ matrices: [Int], _ orientation: MatrixOrientation) -> Bool {
    let dimensions = matrices.naturallySorted { variables[$0].tensor.name }
      .compactMap { variables[$0].tensor.shape?.dimensions }
    let biases = matrices.allSatisfy { index in
      guard let count = group(of: variables[index]).biases, let own = variables[index].tensor.shape?.dimensions else {
        return true
      }
      return own[orientation.outputs] == count
    }
    return biases
      && zip(dimensions, dimensions.dropFirst()).allSatisfy { $0[orientation.outputs] == $1[orientation.inputs] }
  }

  /// Leaves what names call the weights of a dense layer and shapes a table of vectors: many rows, no bias where others
  /// have one, and as a layer it would stand alone, while some layer takes vectors of its width.
  private mutating func leaveTables() {
    guard kind == .pyTorch || kind == .arrays else { return }
    let layers = variables.indices.compactMap { index -> (index: Int, inputs: Int, outputs: Int, isBare: Bool)? in
      let variable = variables[index]
      guard variable.tensor.role == .kernel, let orientation = variable.tensor.orientation,
        let dimensions = variable.tensor.shape?.dimensions
      else { return nil }
      return (index, dimensions[orientation.inputs], dimensions[orientation.outputs], group(of: variable).biases == nil)
    }
    guard layers.contains(where: { !$0.isBare }) else { return }
    let given = Set(layers.filter { !$0.isBare }.map(\.outputs))
    let taken = layers.reduce(into: [Int: Int]()) { $0[$1.inputs, default: 0] += 1 }
    for layer in layers where layer.isBare && layer.outputs >= 256 && layer.outputs / 8 >= layer.inputs {
      let isTaken = taken[layer.inputs, default: 0] > 1
      guard isTaken, !given.contains(layer.inputs), taken[layer.outputs] == nil else { continue }
      let name = variables[layer.index].tensor.name
      variables[layer.index].tensor.role = .other
      variables[layer.index].tensor.reason =
        "its shape is that of a table of \(layer.outputs) vectors, not of a dense layer; --only '\(name)' changes it"
      notes.append(
        "\(name): \(layer.outputs)×\(layer.inputs) without bias, and no layer gives \(layer.inputs) values or takes \(layer.outputs): treated as an embedding; --only '\(name)' changes it anyway"
      )
    }
  }
}

// MARK: - The network a plain file states

extension LayoutVariables {
  enum Statement {
    /// Nothing, or nothing that can be used.
    case none
    /// This network, or that there is none.
    case network(Network?)
  }

  /// Whether there is an architecture in the file, of use or not.
  var saysHowLayersAreConnected: Bool {
    tree.list("network", of: tree.root) != nil || configuration?.describesLayers ?? false
  }

  /// What stands in the root's attribute `network`, with a note where that does not fit the file.
  mutating func statedNetwork() -> Statement {
    guard kind == .plain else { return .none }
    guard let parts = tree.list("network", of: tree.root) else {
      return Self.isOurs(tree) ? .network(nil) : .none
    }
    do {
      let network = try Network(json: try JSONValue.parse(Array(parts.joined().utf8)))
      if let misfit = misfit(of: network) {
        notes.append("the network in the file is ignored: \(misfit)")
        return .none
      }
      return .network(network)
    } catch {
      notes.append("the network in the file is ignored: \(NetworkError(error).message)")
      return .none
    }
  }

  /// A tensor that a network needs and the file does not have, or not in the shape it must have.
  private func misfit(of network: Network) -> String? {
    var tensors: [TensorName: LayoutTensor] = [:]
    for variable in variables { tensors[variable.tensor.name] = variable.tensor }
    for name in network.tensorNames where tensors[name]?.shape == nil { return "there is no \(name)" }
    for case .dense(let kernel, let bias) in network.nodes.map(\.operation) {
      guard let tensor = tensors[kernel], let dimensions = tensor.shape?.dimensions,
        let orientation = tensor.orientation, dimensions.count == 2
      else { return "\(kernel) is no dense weight matrix" }
      let outputs = dimensions[orientation == .inputsByOutputs ? 1 : 0]
      guard let bias else { continue }
      guard tensors[bias]?.shape?.count == outputs else {
        return "\(bias) is not one number for each of the \(outputs) outputs of \(kernel)"
      }
    }
    return nil
  }
}

// MARK: - Spelling

extension TensorName {
  /// Without the `_1` by which Keras tells layers of a class apart.
  var withoutNumber: TensorName {
    let (name, number) = splitAtLast("_")
    return name.isEmpty || Int(number.text) == nil ? self : name
  }

  fileprivate func isNumbered(_ name: TensorName) -> Bool { self != name && withoutNumber == name }
}

extension String {
  /// A text of the file as it would stand in a path of the table of contents.
  fileprivate var asPath: TensorName {
    TensorName(
      utf8.contains(UInt8(ascii: "\\"))
        ? split(separator: "\\", omittingEmptySubsequences: false).joined(separator: "\\x5C") : self)
  }
}

extension Object {
  fileprivate var mayBeDataset: Bool {
    switch kind {
    case .dataset, .unreadable: true
    case .group, .other: false
    }
  }
}

extension Dataset {
  /// The dimensions, when their product fits `Int`.
  fileprivate var shape: Shape? {
    guard let dimensions else { return nil }
    let fitting = dimensions.compactMap { Int(exactly: $0) }
    return fitting.count == dimensions.count ? Shape(fitting) : nil
  }

  fileprivate var byteCount: UInt64 {
    guard let dimensions else { return 0 }
    if dimensions.contains(0) { return 0 }
    return dimensions.reduce(UInt64(max(0, type.byteCount))) { $0.multipliedOrMaximum(by: $1) }
  }
}

extension Datatype {
  fileprivate var byteCount: Int {
    switch self {
    case .integer(let size, _, _), .float(let size, _, _, _, _), .opaque(let size, _), .other(_, let size): size
    }
  }

  /// The element type and byte order, if it is one that tensors have.
  fileprivate func element(opaqueIsBFloat16: Bool) -> (type: ElementType, order: ByteOrder)? {
    switch self {
    case .integer(let size, let signed, let bigEndian):
      let type: ElementType? =
        switch (size, signed) {
        case (1, true): .int8
        case (2, true): .int16
        case (4, true): .int32
        case (8, true): .int64
        case (1, false): .uint8
        case (2, false): .uint16
        case (4, false): .uint32
        case (8, false): .uint64
        default: nil
        }
      return type.map { ($0, bigEndian && size > 1 ? .big : .little) }
    case .float(let size, let exponentBits, let mantissaBits, let bias, let bigEndian):
      let type: ElementType? =
        switch (size, exponentBits, mantissaBits, bias) {
        case (2, 5, 10, 15): .float16
        case (2, 8, 7, 127): .bfloat16
        case (4, 8, 23, 127): .float32
        case (8, 11, 52, 1023): .float64
        default: nil
        }
      return type.map { ($0, bigEndian ? .big : .little) }
    case .opaque(2, _): return opaqueIsBFloat16 ? (.bfloat16, .little) : nil
    case .opaque, .other: return nil
    }
  }
}
