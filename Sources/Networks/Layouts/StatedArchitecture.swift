// SPDX-License-Identifier: Apache-2.0

internal import JSON
public import SystemPackage
internal import Tensors

/// How the layers of a file are connected, to be applied to the tensors of another.
public struct StatedArchitecture: Sendable {
  /// The file.
  public let name: String
  let network: Network
  /// The text of a Keras configuration, and the version of the Keras that wrote it, where that is where it comes from.
  var configuration: [UInt8]?
  var version: String?
  /// The shapes of its layers, as far as they are known.
  let shapes: [TensorName: [Int?]]
  /// The matrices that are inputs × outputs.
  let transposed: Set<TensorName>

  /// Reads a network (HDF5, `.keras`, `.ncz`), or a configuration of Keras as JSON.
  ///
  /// - Throws: unsupported for a file that does not say how its layers are connected.
  public init(
    _ file: FileDescriptor, size: Int, name: String, options: ReadingOptions
  ) throws(NetworkError) {
    self.name = name
    let front = try read(file, at: 0, count: min(size, 64))
    if front.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) == UInt8(ascii: "{") {
      guard size <= 64 << 20 else { throw NetworkError(.overLimit, "\(size) bytes of JSON, limit \(64 << 20)") }
      let text = try read(file, at: 0, count: size)
      (network, shapes, transposed) = try Self.imagined(text)
      configuration = text
      return
    }
    var options = options
    options.assumption = Assumption()
    let other = try NetworkFile(file, size: size, options: options)
    guard let network = other.network, !network.isAssumed else {
      throw NetworkError(.unsupported, "does not say how its layers are connected")
    }
    self.network = network
    var shapes: [TensorName: [Int?]] = [:]
    for tensor in other.tensors { shapes[tensor.name] = tensor.shape.dimensions }
    self.shapes = shapes
    transposed = Set(other.tensors.filter(\.isTransposed).map(\.name))
    if case .hdf5(let source) = other.source { (configuration, version) = (source.configuration, source.kerasVersion) }
  }

  /// The graph of a configuration alone, with tensors by the names that Keras gives them.
  private static func imagined(
    _ text: [UInt8]
  ) throws(NetworkError) -> (Network, [TensorName: [Int?]], Set<TensorName>) {
    do {
      let configuration = try KerasConfiguration(text: text, version: nil)
      guard configuration.describesLayers else {
        throw NetworkError(.unsupported, "\(configuration.layers[0].className): describes no layers")
      }
      let built = try KerasNetwork.imagine(configuration)
      return (built.network, built.shapes, Set(built.network.denseKernels))
    } catch let error as KerasConfiguration.Malformed {
      throw NetworkError(.corrupt, "no configuration of Keras: \(error.what)")
    } catch let error as KerasNetwork.Contradiction {
      throw NetworkError(.unsupported, "no network: \(error.what)")
    } catch {
      throw NetworkError(error)
    }
  }

  /// Values that a layer takes and gives, by its matrix.
  func widths(_ kernel: TensorName) -> (inputs: Int?, outputs: Int?) {
    guard let shape = shapes[kernel], shape.count == 2 else { return (nil, nil) }
    return transposed.contains(kernel) ? (shape[0], shape[1]) : (shape[1], shape[0])
  }
}

extension FoundLayers {
  /// The graph of another file with these layers in the place of its own: those of the same names, or else in their
  /// order.
  ///
  /// - Throws: `LayoutError.unlike` where they are not as many, or of other shapes.
  func network(like other: StatedArchitecture) throws(LayoutError) -> (network: Network, notes: [String]) {
    var theirs: [FoundLayer] = []
    var seen: Set<TensorName> = []
    for node in other.network.nodes {
      guard let first = node.operation.tensors.last?.name, node.operation.isMatched, seen.insert(first).inserted else {
        continue
      }
      let (inputs, outputs): (Int?, Int?) =
        if case .dense(let kernel, _) = node.operation { other.widths(kernel) } else {
          (other.shapes[first]?.last ?? nil, other.shapes[first]?.last ?? nil)
        }
      theirs.append(
        FoundLayer(
          name: WeightName(path: first).layer, operation: node.operation, inputs: inputs ?? -1, outputs: outputs ?? -1))
    }
    let pairs = try matched(theirs, other.name)
    var names: [TensorName: TensorName] = [:]
    for (own, their) in pairs {
      for (a, b) in [(own.inputs, their.inputs), (own.outputs, their.outputs)] where b != -1 && a != b {
        throw .unlike(
          "\(own.name) is \(own.inputs) → \(own.outputs), \(their.name) of \(other.name) \(their.inputs) → \(their.outputs)"
        )
      }
      if let biases = own.biases, biases != own.outputs {
        throw .biasCount(layer: own.name, outputs: own.outputs, biases: biases)
      }
      let roles: [TensorName: TensorName] = Dictionary(
        own.operation.tensors.map { ($0.role, $0.name) }, uniquingKeysWith: { first, _ in first })
      for (role, name) in their.operation.tensors {
        guard let tensor = roles[role] else {
          throw .unlike("\(own.name) has no \(role), as \(their.name) of \(other.name) has")
        }
        names[name] = tensor
      }
      let theirRoles = Set(their.operation.tensors.map { $0.role })
      if let more = own.operation.tensors.first(where: { !theirRoles.contains($0.role) }) {
        throw .unlike("\(own.name) has \(more.role), and \(their.name) of \(other.name) none")
      }
    }
    let used = Set(pairs.map(\.own.name))
    let left = (layers.map(\.name) + self.others).filter { !used.contains($0) }
    var network = other.network.renamingTensors { names[$0] ?? $0 }
    // What the other file's configuration says is not said here.
    network.isKeras = false
    return (
      network,
      ["as in \(other.name): \(network.arrows)"]
        + (left.isEmpty ? [] : ["--like leaves out \(abbreviated(left)): \(other.name) has no such layers"])
    )
  }

  private func matched(
    _ theirs: [FoundLayer], _ name: String
  ) throws(LayoutError) -> [(own: FoundLayer, their: FoundLayer)] {
    var byName: [TensorName: FoundLayer] = [:]
    for layer in layers where byName[layer.name] == nil { byName[layer.name] = layer }
    let named = theirs.compactMap { their in
      byName[their.name].flatMap { $0.isDense == their.isDense ? (own: $0, their: their) : nil }
    }
    if named.count == theirs.count { return named }
    var pairs: [(own: FoundLayer, their: FoundLayer)] = []
    for isDense in [true, false] {
      let (own, other) = (layers.filter { $0.isDense == isDense }, theirs.filter { $0.isDense == isDense })
      guard own.count == other.count else {
        let kind = isDense ? "dense layers" : "normalizations"
        throw .unlike(
          "\(own.count) \(kind) (\(abbreviated(own.map(\.name)))), and \(name) has \(other.count) (\(abbreviated(other.map(\.name))))"
        )
      }
      pairs += zip(own, other).map { (own: $0, their: $1) }
    }
    return pairs
  }
}

extension Network.Operation {
  /// Whether it is a layer that can be found by names: the tensors of others must have the same names in both files.
  fileprivate var isMatched: Bool {
    switch self {
    case .dense, .batchNormalization, .layerNormalization: true
    default: false
    }
  }
}

extension Assumption {
  /// What a caller states of a `.ncz`; `nil` for nothing.
  func network(of directory: Directory) throws(LayoutError) -> (network: Network?, notes: [String])? {
    guard statesLayers || like != nil else { return nil }
    let own = directory.network
    let found = FoundLayers(directory.tensors, network: own)
    var (network, notes): (Network?, [String])
    if let like {
      (network, notes) = try found.network(like: like)
    } else {
      (network, notes) = try LayoutChain(found: found).stated(activations: activations, order: order)
    }
    if let own, network?.precision == nil { network?.precision = own.precision }
    let names = Set(directory.tensors.map(\.name))
    if let missing = network?.tensorNames.first(where: { !names.contains($0) }) {
      throw .unlike("there is no \(missing)")
    }
    return (network, notes + (own?.isAssumed == false ? [Network.replaced] : []))
  }
}
