// SPDX-License-Identifier: Apache-2.0

internal import JSON
package import Tensors

/// The layers a Keras configuration describes (`model_config`, `config.json`): those of the model, and those inside
/// nested models and wrappers.
package struct KerasConfiguration {
  package struct Layer {
    let className: String
    let name: TensorName
    /// The layer's own settings.
    let settings: JSONValue
    /// Where a layer of a functional model is applied: one value a call.
    let calls: [JSONValue]
    /// Where the class comes from; Keras 3 alone says so for its own.
    let module: String?
    /// Whether it is made of layers that are described.
    package var isModel = false
    /// The layers of a model, in its order.
    var parts: [Int] = []
    /// The layer a wrapper (`TimeDistributed`, …) is around.
    package var wrapped: Int?
    /// The parts by name; a name that occurs twice leads to the first.
    package var partsByName: [TensorName: Int] = [:]
    /// Likewise, with the parts of parts where they bear a name of their own.
    var allByName: [TensorName: Int] = [:]
    /// The parts by the name of their group in `.weights.h5`: class in snake case, numbered from the second on.
    var partsByGroup: [TensorName: Int] = [:]
    var hasRepeatedNames = false

    /// The name of the policy that says in which types it computes and keeps its variables.
    var policy: String? {
      let type = settings["dtype"]
      return type?.string ?? type?["config"]?["name"]?.string
    }
  }

  struct Malformed: Error {
    let what: String
  }

  /// The model itself is the first.
  package private(set) var layers: [Layer] = []
  /// Whether Keras 3 wrote it: some functions changed.
  let isKeras3: Bool

  /// - Parameter version: what the file says in `keras_version`.
  init(text: [UInt8], version: String?) throws(Malformed) {
    let json: JSONValue
    do throws(JSONError) {
      json = try JSONValue.parse(text, nonFinite: true)
    } catch {
      throw Malformed(what: error.description)
    }
    if let version {
      isKeras3 = version.utf8.first.map { $0 >= UInt8(ascii: "3") } ?? false
    } else {
      isKeras3 = json["config"]?["layers"]?.array?.contains { $0["config"]?["batch_shape"] != nil } ?? false
    }
    try add(json)
  }

  /// Whether any layer is described besides the model: a subclassed model describes none.
  package var describesLayers: Bool { !layers[0].parts.isEmpty }

  /// Whether some layer keeps its variables as bfloat16, which the whole-model layout stores without a word about it.
  var usesBFloat16: Bool {
    layers.contains { $0.policy == "bfloat16" }
  }

  /// The 16-bit type in which every dense layer computes, whatever type its variables have.
  var precision: ElementType? {
    let types = Set(
      layers.filter { $0.className == "Dense" }.map { layer in
        switch layer.policy {
        case "float16", "mixed_float16": ElementType.float16
        case "bfloat16", "mixed_bfloat16": ElementType.bfloat16
        default: ElementType.float32
        }
      })
    return types.count == 1 && types != [.float32] ? types.first : nil
  }

  /// The classes of dense layers: one matrix, inputs × outputs, and one bias.
  static let denseClasses: Set<String> = ["Dense", "TimeDistributedDense", "QDense"]

  /// The classes of layers that are known to have weights and no layers inside.
  static let leafClasses = denseClasses.union([
    "BatchNormalization", "LayerNormalization", "Normalization", "PReLU", "Embedding",
  ])

  /// Whether a layer quantises its stored weights each time it is applied, as those of QKeras do.
  func quantisesWhenApplied(_ layer: Int) -> Bool {
    ["kernel_quantizer", "bias_quantizer"].contains { layers[layer].settings[$0].map { $0 != .null } ?? false }
  }

  /// What is to be said of layers that quantise what is stored.
  var quantisers: String? {
    let quantised = layers.indices.filter {
      Self.denseClasses.contains(layers[$0].className) && quantisesWhenApplied($0)
    }
    guard let first = quantised.first else { return nil }
    return
      "\(layers[first].className) \(abbreviated(quantised.map { layers[$0].name })): quantised when it is applied; here the stored weights are used as they are"
  }

  /// The layer itself, or that inside wrappers.
  func unwrapped(_ layer: Int) -> Int {
    var layer = layer
    while let wrapped = layers[layer].wrapped { layer = wrapped }
    return layer
  }

  /// The dense layer that `layer` is or is a wrapper of.
  package func dense(_ layer: Int) -> Int? {
    let layer = unwrapped(layer)
    return Self.denseClasses.contains(layers[layer].className) ? layer : nil
  }

  @discardableResult
  private mutating func add(_ json: JSONValue) throws(Malformed) -> Int {
    guard let className = json["class_name"]?.string, let settings = json["config"] else {
      throw Malformed(what: "a layer without class_name and config")
    }
    let index = layers.count
    layers.append(
      Layer(
        className: className, name: TensorName(json["name"]?.string ?? settings["name"]?.string ?? ""),
        settings: settings,
        calls: json["inbound_nodes"]?.array ?? [], module: json["module"]?.string))
    // Keras 1 has the list of layers where later versions have an object that holds it.
    if let parts = settings["layers"]?.array ?? settings.array {
      layers[index].isModel = true
      var countOfClass: [TensorName: Int] = [:]
      for part in parts {
        let partIndex = try add(part)
        layers[index].parts.append(partIndex)
        register(partIndex, in: index)
        let group = Self.snakeCase(layers[partIndex].className)
        let count = countOfClass[group, default: 0]
        countOfClass[group] = count + 1
        layers[index].partsByGroup[count == 0 ? group : "\(group)_\(count)"] = partIndex
      }
    } else if let inner = settings["layer"], inner["class_name"] != nil {
      let wrapped = try add(inner)
      layers[index].wrapped = wrapped
      register(wrapped, in: index)
    }
    var all = layers[index].partsByName
    for part in layers[index].parts + (layers[index].wrapped.map { [$0] } ?? []) {
      all.merge(layers[part].allByName) { direct, _ in direct }
    }
    layers[index].allByName = all
    return index
  }

  private mutating func register(_ part: Int, in layer: Int) {
    let name = layers[part].name
    if layers[layer].partsByName[name] == nil {
      layers[layer].partsByName[name] = part
    } else {
      layers[layer].hasRepeatedNames = true
    }
  }

  /// `BatchNormalization` as `batch_normalization`, `Conv2D` as `conv2d`, the way Keras names groups.
  static func snakeCase(_ className: String) -> TensorName {
    let letters = Array(className.utf8)
    func isUpper(_ i: Int) -> Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(letters[i]) }
    func isLower(_ i: Int) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letters[i]) }
    var snake: [UInt8] = []
    for i in letters.indices {
      if i > 0, isUpper(i), isLower(i - 1) || (i + 1 < letters.count && isLower(i + 1)) {
        snake.append(UInt8(ascii: "_"))
      }
      snake.append(isUpper(i) ? letters[i] | 0x20 : letters[i])
    }
    return TensorName(String(decoding: snake, as: UTF8.self))
  }
}
