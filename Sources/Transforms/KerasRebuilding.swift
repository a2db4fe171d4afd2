// SPDX-License-Identifier: Apache-2.0

internal import HDF5
internal import JSON
public import Networks
public import SystemPackage
internal import Tensors

extension NetworkFile {
  /// Why no Keras file can be built of the network; `nil` where one can.
  public var reasonAgainstKeras: String? {
    do throws(NetworkError) {
      _ = try kerasModel(of: tensors)
      return nil
    } catch {
      return error.message
    }
  }

  /// Writes the network as a new HDF5 file that Keras loads as a model.
  ///
  /// What no layer has, as training state, is left out.
  ///
  /// - Parameter file: seekable, empty, open for reading and writing.
  public func writeKeras(to file: FileDescriptor) throws(NetworkError) -> ReductionReport {
    try writeKeras(Reduction(), to: file)
  }

  /// Writes such a file of smaller layers: without the hidden units that nothing after them uses.
  public func writeKerasReduced(to file: FileDescriptor) throws(NetworkError) -> ReductionReport {
    guard let network else { throw NetworkError(.unsupported, "cannot be reduced: \(Self.noNetwork)") }
    return try writeKeras(try reduction(of: network), to: file)
  }

  static let noNetwork = "how its layers are connected is not known"

  /// Layers are made by so many: a message to the child takes longer than making one.
  private static let layersAtOnce = 256

  private func kerasModel(of tensors: [TensorRecord]) throws(NetworkError) -> KerasModel {
    guard let network else { throw NetworkError(.unsupported, Self.noNetwork) }
    do throws(KerasModel.Misfit) {
      return try KerasModel(network, tensors)
    } catch {
      throw NetworkError(.unsupported, error.reason)
    }
  }

  private func writeKeras(_ reduction: Reduction, to file: FileDescriptor) throws(NetworkError) -> ReductionReport {
    var records = tensors
    for (index, kept) in reduction.keptUnits {
      records[index].shape = Shape(kept.dimensions(of: tensors[index])) ?? records[index].shape
    }
    let model = try kerasModel(of: records)
    let indices = Dictionary(records.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    let limits = Limits(building: tensors.count, options: options)
    try about {
      var new = try written { () throws(HDF5Error) in try NewFile(file, limits: limits) }
      _ = try written { () throws(HDF5Error) in try new.add(KerasFormat.frame(of: model)) }
      for start in stride(from: 0, to: model.layers.count, by: Self.layersAtOnce) {
        var additions: [NewFile.Addition] = []
        var datasets: [(addition: Int, tensor: Int?)] = []
        for layer in model.layers[start..<min(start + Self.layersAtOnce, model.layers.count)] {
          additions += KerasFormat.groups(of: layer)
          for weight in layer.weights {
            let index = weight.tensor.flatMap { indices[$0] }
            datasets.append((additions.count, index))
            additions.append(KerasFormat.dataset(weight.name, of: layer, index.map { records[$0] }))
          }
        }
        let storage = try written { () throws(HDF5Error) in try new.add(additions) }
        for (addition, index) in datasets {
          guard let place = storage[addition] else { continue }
          let offset = Int(clamping: place.offset)
          if let index {
            try writeValues(of: index, reduction.keptUnits[index], to: file, at: offset)
          } else {
            try writeBytes([UInt8](repeating: 0, count: Int(clamping: place.length)), to: file, at: offset)
          }
        }
      }
      didReach(tensors.count)
      try close(new)
    }
    let used = model.tensorNames
    let left = tensors.filter { !used.contains($0.name) }
    let names =
      (left.contains { $0.role == .optimizer } ? ["training state"] : [])
      + left.filter { $0.role != .optimizer }.map(\.name)
    let notes = reduction.notes + (names.isEmpty ? [] : ["no layer has it, so left out: \(abbreviated(names))"])
    let byteCount = try about { Int(try file.seek(offset: 0, from: .end)) }
    return ReductionReport(layers: reduction.layers, byteCount: byteCount, notes: notes)
  }
}

/// Where Keras has what in an HDF5 file of a whole model.
private enum KerasFormat {
  /// Of which Keras the configuration is; those before it read it as well, and take `hard_sigmoid` for another function.
  private static let versions = [NewFile.Text("keras_version", "3.0.0"), NewFile.Text("backend", "tensorflow")]

  private static func path(_ names: String...) -> [LinkName] { names.flatMap { LinkName.path(TensorName($0)) } }

  /// What stands around the layers.
  static func frame(of model: KerasModel) -> [NewFile.Addition] {
    let configuration = String(decoding: model.configuration.serialized(), as: UTF8.self)
    return [
      .group([], texts: versions + [NewFile.Text("model_config", configuration)]),
      .group(path("model_weights"), texts: versions + list("layer_names", model.layers.map(\.name))),
      .group(path("model_weights", "top_level_model_weights"), texts: list("weight_names", [])),
    ]
  }

  /// The groups of a layer.
  static func groups(of layer: KerasModel.Layer) -> [NewFile.Addition] {
    let names = list("weight_names", layer.weights.map { "\(layer.name)/\($0.name)" })
    let group = NewFile.Addition.group(path("model_weights", layer.name), texts: names)
    return layer.weights.isEmpty ? [group] : [group, .group(path("model_weights", layer.name, layer.name))]
  }

  /// - Parameter tensor: `nil` for a number that Keras asks for.
  static func dataset(_ name: String, of layer: KerasModel.Layer, _ tensor: TensorRecord?) -> NewFile.Addition {
    .dataset(
      path("model_weights", layer.name, layer.name, name), type: Datatype(tensor?.type ?? .int32),
      dimensions: (tensor?.shape.dimensions ?? []).map(UInt64.init))
  }

  /// Names as `name`, or where they are too many for one attribute, as `name0`, `name1`, …
  private static func list(_ name: String, _ texts: [String]) -> [NewFile.Text] {
    let longest = texts.reduce(1) { max($0, $1.utf8.count) }
    let count = max(1, NewFile.Text.maxBytes / longest)
    if texts.count <= count { return [NewFile.Text(name, list: texts)] }
    return stride(from: 0, to: texts.count, by: count).enumerated().map { number, start in
      NewFile.Text("\(name)\(number)", list: Array(texts[start..<min(start + count, texts.count)]))
    }
  }
}
