// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Networks
internal import Tensors

/// How many values there are along the last axis, before and after units were removed.
struct WidthChange: Equatable {
  var before: Int
  var after: Int
}

/// Rewrites a Keras configuration for layers with fewer units, members and numbers otherwise as they are spelled.
struct ReducedConfiguration {
  private let configuration: KerasConfiguration
  /// Of what each layer takes and gives, where that changes.
  private var inputs: [Int: WidthChange] = [:]
  private var outputs: [Int: WidthChange] = [:]
  /// The layer, in the order of the configuration, that comes next.
  private var next = 0

  /// - Parameters:
  ///   - applications: where the layers are applied, in the network that the configuration describes.
  ///   - widths: of the values of that network's nodes, where they change.
  init(
    _ configuration: KerasConfiguration, applications: [KerasNetwork.Application], widths: [Int: WidthChange]
  ) {
    self.configuration = configuration
    for application in applications {
      let layers = [application.layer] + (configuration.dense(application.layer).map { [$0] } ?? [])
      for layer in layers {
        // A layer that is applied several times says how wide its input was when it was built, the first time.
        if inputs[layer] == nil { inputs[layer] = application.inputs.compactMap { widths[$0] }.first }
        if outputs[layer] == nil { outputs[layer] = application.outputs.compactMap { widths[$0] }.first }
      }
    }
  }

  /// - Parameter json: what the configuration was made from.
  func rewriting(_ json: JSONValue) -> JSONValue {
    var copy = self
    return copy.rewrite(layer: json, of: nil)
  }

  /// Takes the layers in the same order as `KerasConfiguration`.
  private mutating func rewrite(layer json: JSONValue, of model: Int?) -> JSONValue {
    let layer = next
    next += 1
    guard case .object(var members) = json else { return json }
    for index in members.indices {
      let value = members[index].value
      switch members[index].key {
      case "config": members[index].value = rewrite(settings: value, of: layer)
      case "build_config": members[index].value = inputs[layer].map(value.replacingLastDimensions) ?? value
      case "inbound_nodes":
        if let model { members[index].value = rewrite(tensors: value, in: model) }
      default: break
      }
    }
    return .object(members)
  }

  private mutating func rewrite(settings: JSONValue, of layer: Int) -> JSONValue {
    if case .array(let parts) = settings { return .array(parts.map { rewrite(layer: $0, of: layer) }) }
    guard case .object(var members) = settings else { return settings }
    let isModel = configuration.layers[layer].isModel
    for index in members.indices {
      let value = members[index].value
      switch members[index].key {
      case "layers" where isModel:
        if let parts = value.array { members[index].value = .array(parts.map { rewrite(layer: $0, of: layer) }) }
      case "layer" where configuration.layers[layer].wrapped != nil:
        members[index].value = rewrite(layer: value, of: nil)
      case "units", "output_dim":
        if configuration.dense(layer) == layer, let change = outputs[layer] {
          members[index].value = value.replacing(change)
        }
      case "batch_input_shape", "batch_shape", "input_shape", "build_input_shape":
        members[index].value = inputs[layer].map(value.replacingLastDimensions) ?? value
      case "input_dim": members[index].value = inputs[layer].map(value.replacing) ?? value
      default: break
      }
    }
    return .object(members)
  }

  /// The values that calls of a layer take, as Keras 3 writes them, with their shapes.
  private func rewrite(tensors json: JSONValue, in model: Int) -> JSONValue {
    switch json {
    case .array(let items): return .array(items.map { rewrite(tensors: $0, in: model) })
    case .object(var members):
      if json["class_name"]?.string == "__keras_tensor__" {
        guard let name = json["config"]?["keras_history"]?.array?.first?.string,
          let layer = configuration.layers[model].partsByName[TensorName(name)], let change = outputs[layer],
          let index = members.firstIndex(where: { $0.key == "config" }),
          case .object(var settings) = members[index].value
        else { return json }
        for setting in settings.indices where settings[setting].key == "shape" {
          settings[setting].value = settings[setting].value.replacingLastDimensions(change)
        }
        members[index].value = .object(settings)
      } else {
        for index in members.indices { members[index].value = rewrite(tensors: members[index].value, in: model) }
      }
      return .object(members)
    case .null, .bool, .number, .string: return json
    }
  }
}

extension JSONValue {
  /// The new width for the old one.
  fileprivate func replacing(_ change: WidthChange) -> JSONValue {
    integer == change.before ? .integer(change.after) : self
  }

  /// The same with every array that ends in the old width, at any depth, ending in the new one.
  fileprivate func replacingLastDimensions(_ change: WidthChange) -> JSONValue {
    switch self {
    case .array(var items):
      if let last = items.last, last.integer != nil {
        items[items.count - 1] = last.replacing(change)
        return .array(items)
      }
      return .array(items.map { $0.replacingLastDimensions(change) })
    case .object(let members): return .object(members.map { Member($0.key, $0.value.replacingLastDimensions(change)) })
    case .null, .bool, .number, .string: return self
    }
  }
}
