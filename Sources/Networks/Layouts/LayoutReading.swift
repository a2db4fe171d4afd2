// SPDX-License-Identifier: Apache-2.0

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
  /// `layer_N/param_M` of Keras before 1.0.
  case keras0 = "keras0"
  /// A PyTorch state dictionary: datasets `….weight`, `…/weight`.
  case pyTorch = "pytorch"
  /// `.caffemodel.h5`: datasets `data/LAYER/0`, `data/LAYER/1`.
  case caffe
  /// Datasets called `W` and `b`, `w` and `b`, `weights` and `biases`, also numbered, as Chainer, Haiku, Lasagne and
  /// people's own code have them.
  case arrays
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
  /// Also of several axes, as those of recurrent and attention layers may have.
  case bias
  case embedding
  case convolution
  /// A matrix of a layer with a state of its own (LSTM, GRU, …): rank 2 or more, floating-point.
  case recurrent
  /// A projection of an attention layer, known by its class or name, or the weights of an `EinsumDense`, of which Keras
  /// makes these: rank 2 or more, floating-point.
  case attention
  /// Scale, offset, mean or variance of a normalization.
  case normalization
  /// State of training, which running the network does not need.
  case optimizer
  /// Anything else, also matrices of integers and whatever lies outside the layout.
  case other

  /// The roles whose tensors are matrices of other layers than dense ones: compressors take them on request.
  public static let includable: [TensorRole] = [.convolution, .recurrent, .embedding, .attention]
}

/// Which way round a weight matrix is stored.
public enum MatrixOrientation: String, Sendable, Hashable, CaseIterable {
  /// A row for every input, as Keras has it.
  case inputsByOutputs = "inputs-outputs"
  /// A row for every output unit, as PyTorch has it.
  case outputsByInputs = "outputs-inputs"
}

extension MatrixOrientation {
  var axes: MatrixAxes { self == .inputsByOutputs ? .outputsLast() : .standard(rank: 2) }
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
  /// How it is seen as a matrix of outputs × inputs; `nil` where it is none, or it is not known how.
  public var axes: MatrixAxes?
  /// Why it is no weight matrix of a dense layer, where its role does not say it.
  public var reason: String?
  /// Whether it would be one, did anything say which way round it is stored.
  public var isAmbiguous = false
  /// `nil` when the elements are neither integers nor floats of a known kind, or not known at all: no tensor, carried
  /// in the container.
  public var elementType: ElementType?
  public var byteOrder: ByteOrder
  /// `nil` for a null dataspace, or when the number of elements overflows.
  public var shape: Shape?
  /// Bytes of all elements, were they stored uncompressed.
  public var byteCount: UInt64

  /// Of a kernel; `nil` for every other role.
  public var orientation: MatrixOrientation? {
    role == .kernel ? MatrixOrientation.allCases.first { $0.axes == axes } : nil
  }
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
  /// Normalizations that belong to the chain, as wide as they are, and are not in the order asked for.
  case leftOut([TensorName])
  /// A normalization whose ε no file says, nor is its program known.
  case unknownEpsilon(TensorName)
  /// A matrix that the order names, of which its orientation is not known.
  case unoriented(TensorName)
  /// Functions in the order, and others beside it.
  case functionsTwice
  /// The layers of the other file do not fit these, and why.
  case unlike(String)

  public var description: String {
    switch self {
    case .unknownActivation(let name): "unknown activation '\(name)'"
    case .activationCount(let given, let layers):
      "\(given) activations for \(layers) dense layers: give one for each, one for each but the last, or one"
    case .unknownLayer(let name, let known):
      known.isEmpty
        ? "no layer '\(name)': the file has no dense layer"
        : "no layer '\(name)': there are \(abbreviated(known))"
    case .repeatedLayer(let name): "layer '\(name)' is given twice"
    case .doesNotChain(let from, let outputs, let to, let inputs):
      "\(from) has \(outputs) outputs, \(to) takes \(inputs)"
    case .biasCount(let layer, let outputs, let biases): "\(layer) has \(outputs) outputs, but \(biases) biases"
    case .leftOut(let names):
      "--order leaves out the normalizations \(abbreviated(names)): name each where it stands, as d0,bn0,relu,d1"
    case .unknownEpsilon(let name):
      "the file does not say the ε of \(name): write \(name):EPSILON (Keras has .001, PyTorch and Flax 1e-5)"
    case .unoriented(let name):
      "the orientation of \(name) is not known: say --orientation inputs-outputs or outputs-inputs"
    case .functionsTwice: "--order names functions: --activation would name them again"
    case .unlike(let why): "--like: \(why)"
    }
  }

  /// Whether the command line is wrong in itself; otherwise it is the shapes in the file that do not fit it.
  public var isUsage: Bool {
    switch self {
    case .unknownActivation, .activationCount, .unknownLayer, .repeatedLayer, .leftOut, .unknownEpsilon, .unoriented,
      .functionsTwice:
      true
    case .doesNotChain, .biasCount, .unlike: false
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
  /// What was done as the caller said, and what in the file does not fit: one sentence each, to be said on standard
  /// error.
  public var notes: [String]

  /// The text attributes `read` needs, for `Session.tableOfContents(texts:)`.
  public static let wantedTexts = [
    "layer_names*", "weight_names*", "nb_layers", "model_config", "keras_version", "name", "dtype", "activation",
    "format", "network*", "role", PlainFormat.axes,
  ]

  /// The bytes of optimizer state and of all tensors, stored uncompressed.
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
  ///   - assumption: what the caller says of the network, which then is that, whatever the file says.
  /// - Throws: `LayoutError` when `assumption` does not fit the file.
  public static func read(
    _ table: TableOfContents, configuration: [UInt8]? = nil, _ assumption: Assumption = Assumption()
  ) throws(LayoutError) -> LayoutReading {
    if let like = assumption.like { return try read(table, configuration: configuration, like: like, assumption) }
    var file = LayoutVariables(
      table, configuration: configuration, orientation: assumption.orientation, named: Set(assumption.order ?? []))
    var network: Network?
    var note: String?
    if assumption.statesLayers {
      var chain = LayoutChain(found: FoundLayers(file))
      if let says = file.customClass { chain.says = says }
      let stated = try chain.stated(activations: assumption.activations, order: assumption.order)
      network = stated.network
      file.notes += stated.notes
      if file.saysHowLayersAreConnected { file.notes.append(Network.replaced) }
    } else if case .network(let stated) = file.statedNetwork() {
      network = stated
      note = stated?.assumption
    } else if let configuration = file.configuration, configuration.describesLayers {
      do throws(KerasNetwork.Contradiction) {
        network = try KerasNetwork.build(configuration, variables: file.variables)
        if let note = configuration.quantisers { file.notes.append(note) }
      } catch {
        file.notes.append("the architecture in the file cannot be used: \(error.what)")
      }
    } else {
      var chain = LayoutChain(found: FoundLayers(file))
      if let says = file.customClass { chain.says = says }
      (network, note) = chain.assumed()
      if network == nil, let reason = note {
        file.notes.append(reason)
        note = nil
      }
    }
    return file.reading(network, assumption: note)
  }

  /// With the architecture of another file: a configuration of Keras as if it stood in this file, where that fits; else
  /// its graph, layer by layer.
  private static func read(
    _ table: TableOfContents, configuration: [UInt8]?, like: StatedArchitecture, _ assumption: Assumption
  ) throws(LayoutError) -> LayoutReading {
    let file = LayoutVariables(table, configuration: configuration, orientation: assumption.orientation)
    let replaced = file.saysHowLayersAreConnected ? [Network.replaced] : []
    let isKeras = file.isKeras
    if isKeras, let text = like.configuration {
      var other = LayoutVariables(table, configuration: text, version: like.version)
      if let described = other.configuration, described.describesLayers,
        let network = try? KerasNetwork.build(described, variables: other.variables)
      {
        other.notes += ["as in \(like.name): \(network.arrows)"] + replaced
        return other.reading(network)
      }
    }
    let (network, notes) = try FoundLayers(file).network(like: like)
    var reading = file.reading(network)
    reading.notes += notes + replaced
    return reading
  }
}

extension LayoutReading {
  /// What is stored where: names are paths, there are no roles and no network.
  init(withoutLayers table: TableOfContents, configuration: [UInt8]?) {
    self = LayoutVariables(withoutLayers: table, configuration: configuration).reading(nil)
  }
}

extension LayoutVariables {
  fileprivate func reading(_ network: Network?, assumption: String? = nil) -> LayoutReading {
    LayoutReading(
      kind: kind, tensors: variables.map(\.tensor), network: network, assumption: assumption, notes: notes)
  }

  /// Of a model whose configuration names a class and no layers.
  fileprivate var customClass: String? {
    guard let configuration, !configuration.describesLayers else { return nil }
    return "custom class '\(configuration.layers[0].className)': how its layers connect is in Python code"
  }
}

/// `a, b, c`, or the first few and the last when there are many.
package func abbreviated(_ names: [TensorName]) -> String {
  names.count <= 6
    ? "\(names.joined(separator: ", "))"
    : "\(names.prefix(3).joined(separator: ", ")), …, \(names[names.count - 1]) (\(names.count))"
}

/// Of numbers that are not negative: the largest integer where the result would be more.
extension FixedWidthInteger {
  package func addingOrMaximum(_ other: Self) -> Self {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }

  package func multipliedOrMaximum(by other: Self) -> Self {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }
}
