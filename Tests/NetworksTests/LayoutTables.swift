// SPDX-License-Identifier: Apache-2.0

import HDF5
import Tensors

/// Builds tables of contents: groups come into being with what is put into them.
struct TableBuilder {
  private(set) var table = TableOfContents(fileSize: 0, userBlock: 0, objects: [], links: [])

  static let float32 = Datatype.float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: false)
  static let int8 = Datatype.integer(size: 1, signed: true, bigEndian: false)

  init() {
    group("")
  }

  mutating func group(_ path: TensorName, _ attributes: [String: [String]] = [:]) {
    add(path, .group, attributes)
  }

  mutating func dataset(
    _ path: TensorName, _ dimensions: [UInt64]?, _ type: Datatype = float32, _ attributes: [String: [String]] = [:]
  ) {
    add(path, .dataset(Dataset(type: type, dimensions: dimensions, layout: .contiguous(nil), filters: [])), attributes)
  }

  /// A dense layer in a directory: `kernel` inputs × outputs and, unless told otherwise, `bias`.
  mutating func dense(
    _ directory: TensorName, _ inputs: UInt64, _ outputs: UInt64, kernel: String = "kernel", bias: String? = "bias"
  ) {
    dataset("\(directory)/\(kernel)", [inputs, outputs])
    if let bias { dataset("\(directory)/\(bias)", [outputs]) }
  }

  mutating func add(_ path: TensorName, _ kind: Object.Kind, _ attributes: [String: [String]] = [:]) {
    // Keras writes an empty list as an attribute of numbers.
    let added = attributes.sorted { $0.key < $1.key }
      .map { Attribute(name: TensorName($0.key), texts: $0.value.isEmpty ? nil : $0.value) }
    if let known = table.objects.firstIndex(where: { $0.paths.contains(path) }) {
      table.objects[known].attributes.removeAll { attributes.keys.contains($0.name.text) }
      table.objects[known].attributes += added
      return
    }
    if !path.isEmpty { group(path.splitAtLast("/").before) }
    table.objects.append(
      Object(address: UInt64(table.objects.count), paths: [path], kind: kind, attributes: added))
  }

  /// Another hard link to an object.
  mutating func link(_ path: TensorName, to target: TensorName) {
    guard let known = table.objects.firstIndex(where: { $0.paths.contains(target) }) else { return }
    table.objects[known].paths.append(path)
  }

  /// A whole model as Keras 3 saves it: each layer's weights under the model's name.
  static func kerasModel(
    _ model: String?, _ layers: [(name: String, inputs: UInt64, outputs: UInt64)], configuration: String?,
    version: String = "3.15.1", suffix: String = ""
  ) -> TableBuilder {
    var builder = TableBuilder()
    builder.group("", ["keras_version": [version]])
    if let configuration { builder.group("", ["model_config": [configuration]]) }
    builder.group("model_weights", ["layer_names": layers.map(\.name)])
    for layer in layers {
      let place = (model.map { [$0] } ?? []) + [layer.name]
      let names = ["kernel", "bias"].map { (place + [$0 + suffix]).joined(separator: "/") }
      builder.group("model_weights/\(layer.name)", ["weight_names": names])
      builder.dense(
        "model_weights/\(layer.name)/\(place.joined(separator: "/"))", layer.inputs, layer.outputs,
        kernel: "kernel" + suffix, bias: "bias" + suffix)
    }
    return builder
  }
}
