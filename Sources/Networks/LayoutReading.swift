public import HDF5
public import Tensors

/// The ways networks are laid out in HDF5 that are told apart. The raw value is what `nc-info` prints.
public enum LayoutKind: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// A whole model saved as `.h5` by Keras 1, 2 or 3: group `model_weights`.
  case kerasModel = "keras-model"
  /// The weights alone, saved as `.h5` by Keras 1 or 2: root attribute `layer_names`.
  case kerasWeights = "keras-weights"
  /// `.weights.h5`, also inside `.keras`: datasets `…/vars/0`, `…/vars/1`, ….
  case keras3Weights = "keras3-weights"
  /// A PyTorch state dictionary: datasets `….weight`, `…/weight`.
  case pyTorch = "pytorch"
  /// Datasets named `kernel`, as this toolkit writes them.
  case plain
  /// HDF5 in which no layout was recognised: no dense weight matrix.
  case unknown

  public var description: String { rawValue }
}

/// What a dataset is to the network.
public enum TensorRole: String, Sendable, Hashable, CaseIterable {
  /// The weight matrix of a dense layer: rank 2, floating-point. An object in its place that cannot be read also has
  /// this role, without type and shape.
  case kernel
  case bias
  case embedding
  case convolution
  /// A matrix of a layer with a state of its own (LSTM, GRU, …): rank 2 or more, floating-point.
  case recurrent
  /// A projection of an attention layer, known by its class or name: rank 2 or more, floating-point.
  case attention
  /// Scale, offset, mean or variance of a normalisation.
  case normalisation
  /// State of training, which running the network does not need.
  case optimizer
  /// Anything else, also matrices of integers and whatever lies outside the layout.
  case other
}

/// Which way round a weight matrix is stored.
public enum MatrixOrientation: String, Sendable, Hashable, CaseIterable {
  /// A row for every input, as Keras has it.
  case inputsByOutputs = "in-out"
  /// A row for every output unit, as PyTorch has it.
  case outputsByInputs = "out-in"
}

/// A dataset, or an object that may be one, as its layout understands it.
public struct LayoutTensor: Sendable, Equatable {
  /// Its index among the objects of the table of contents.
  public var object: Int
  /// Its first path in the file.
  public var path: TensorName
  /// The name users see and globs match: short, and no other dataset's.
  public var name: TensorName
  public var role: TensorRole
  /// Of a kernel; `nil` for every other role.
  public var orientation: MatrixOrientation?
  /// `nil` when the elements are neither integers nor floats of a known kind, or not known at all: no tensor, carried
  /// in the container.
  public var elementType: ElementType?
  public var byteOrder: ByteOrder
  /// `nil` for a null dataspace, or when the number of elements overflows.
  public var shape: Shape?
  /// Bytes of all elements, were they stored plainly.
  public var byteCount: UInt64
}

/// Why the order or the activations asked for do not fit the file.
public enum LayoutError: Error, Sendable, Equatable, CustomStringConvertible {
  case unknownActivation(String)
  /// `given` activations for `layers` dense layers.
  case activationCount(given: Int, layers: Int)
  case unknownLayer(TensorName, known: [TensorName])
  case repeatedLayer(TensorName)
  /// Two layers, one after the other in the order asked for, whose shapes do not fit.
  case doesNotChain(from: TensorName, outputs: Int, to: TensorName, inputs: Int)
  /// A layer whose bias is not one number for each of its outputs.
  case biasCount(layer: TensorName, outputs: Int, biases: Int)

  public var description: String {
    switch self {
    case .unknownActivation(let name): "unknown activation '\(name)'"
    case .activationCount(let given, let layers):
      "\(given) activations for \(layers) dense layers: give one for each, one for each but the last, or one"
    case .unknownLayer(let name, let known):
      known.isEmpty
        ? "no layer '\(name)': the file has no dense layer"
        : "no dense layer '\(name)': there are \(abbreviated(known))"
    case .repeatedLayer(let name): "layer '\(name)' is given twice"
    case .doesNotChain(let from, let outputs, let to, let inputs):
      "\(from) has \(outputs) outputs, \(to) takes \(inputs)"
    case .biasCount(let layer, let outputs, let biases): "\(layer) has \(outputs) outputs, but \(biases) biases"
    }
  }

  /// Whether the command line is wrong in itself; otherwise it is the shapes in the file that do not fit it.
  public var isUsage: Bool {
    switch self {
    case .unknownActivation, .activationCount, .unknownLayer, .repeatedLayer: true
    case .doesNotChain, .biasCount: false
    }
  }
}

/// What a table of contents means: the layout, the role of every dataset, and the network.
public struct LayoutReading: Sendable, Equatable {
  public var kind: LayoutKind
  /// Every dataset of the file, and every object that cannot be read, in the order of the table of contents.
  public var tensors: [LayoutTensor]
  /// `nil` when nothing in the file tells how the layers are connected and no chain of dense layers can be assumed.
  public var network: Network?
  /// How the layers were assumed to be connected, where nothing in the file says it, nor the caller did.
  public var assumption: String?
  /// What was done as the caller said, and what in the file does not fit: one sentence each, to be said on standard error.
  public var notes: [String]

  /// The text attributes `read` needs, for `Session.tableOfContents(texts:)`.
  public static let wantedTexts = [
    "layer_names*", "weight_names*", "model_config", "keras_version", "name", "dtype", "activation",
    "format", "network*", "role",
  ]

  /// The bytes of optimizer state and of all tensors, stored plainly.
  public var byteCounts: (optimizer: UInt64, all: UInt64) {
    tensors.reduce(into: (0, 0)) { counts, tensor in
      counts.all = counts.all.addingOrMaximum(tensor.byteCount)
      if tensor.role == .optimizer { counts.optimizer = counts.optimizer.addingOrMaximum(tensor.byteCount) }
    }
  }

  /// Recognises the layout of a file.
  ///
  /// Damage and contradictions never fail: what cannot be understood is carried, with a note. The rules are in
  /// `spec/network-hdf5.md`.
  ///
  /// - Parameters:
  ///   - configuration: the text of `config.json` of a `.keras` archive; otherwise the root attribute `model_config`.
  ///   - activations: names for the dense layers, in their order: one for each; or for each but the last, which is
  ///     linear; or one for all but the last. A parameter may follow a colon: `leaky_relu:0.1`.
  ///   - order: the dense layers by name, first to last; others are left out of the network. With either of these two
  ///     the network is a chain of dense layers whatever the file says.
  /// - Throws: `LayoutError` when `activations` or `order` do not fit the file.
  public static func read(
    _ table: TableOfContents, configuration: [UInt8]? = nil, activations: [String]? = nil, order: [TensorName]? = nil
  ) throws(LayoutError) -> LayoutReading {
    var file = LayoutVariables(table, configuration: configuration)
    var network: Network?
    var assumption: String?
    if activations == nil, order == nil, case .network(let stated) = file.statedNetwork() {
      network = stated
      assumption = stated?.assumption
    } else if activations == nil, order == nil, let configuration = file.configuration, configuration.describesLayers {
      do throws(KerasNetwork.Contradiction) {
        network = try KerasNetwork.build(configuration, variables: file.variables)
      } catch {
        network = nil
        file.notes.append("the architecture in the file cannot be used: \(error.what)")
      }
    } else {
      let chain = try LayoutChain(file).network(activations: activations, order: order)
      network = chain.network
      if activations == nil, order == nil, network != nil {
        network?.isAssumed = true
        assumption = chain.note
      } else if let note = chain.note {
        file.notes.append(note)
      }
      if activations != nil || order != nil, file.saysHowLayersAreConnected { file.notes.append(Network.replaced) }
    }
    return LayoutReading(
      kind: file.kind, tensors: file.variables.map(\.tensor), network: network, assumption: assumption,
      notes: file.notes)
  }
}

/// `a, b, c`, or the first few and the last when there are many.
func abbreviated(_ names: [TensorName]) -> String {
  names.count <= 6
    ? "\(names.joined(separator: ", "))"
    : "\(names.prefix(3).joined(separator: ", ")), …, \(names[names.count - 1]) (\(names.count))"
}

/// Of numbers that are not negative: the largest integer where the result would be more.
extension FixedWidthInteger {
  func addingOrMaximum(_ other: Self) -> Self {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }

  func multipliedOrMaximum(by other: Self) -> Self {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }
}
