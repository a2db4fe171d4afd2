// SPDX-License-Identifier: Apache-2.0

internal import Networks
internal import Tensors

/// A network that is one chain of dense layers: what comes before the first, the layers, and what follows the last.
struct LayerChain {
  /// A dense layer, and what acts on its values before the next one.
  struct Layer {
    /// Number of the weight matrix in the file.
    var kernel: Int
    var bias: TensorName?
    var kernelName: TensorName
    var following: [Network.Node]
  }

  /// Input, and what acts on it.
  var front: [Network.Node]
  /// All but the last.
  var hidden: [Layer]
  var last: Layer

  /// - Throws: `.unsupported` for other networks.
  init(_ file: NetworkFile) throws(NetworkError) {
    func refused(_ reason: String) -> NetworkError {
      NetworkError(.unsupported, "\(reason): --method ntk takes a chain of two or more dense layers")
    }
    guard let network = file.network else {
      throw NetworkError(
        .unsupported, file.networkProblem ?? "no network: how the layers are connected is not known",
        remedy: .architecture)
    }
    guard network.outputs == [network.nodes.count - 1],
      network.nodes.indices.allSatisfy({ network.nodes[$0].inputs == ($0 == 0 ? [] : [$0 - 1]) })
    else { throw refused("the network is no chain") }
    var numbers: [TensorName: Int] = [:]
    for (index, tensor) in file.tensors.enumerated() { numbers[tensor.name] = index }
    front = []
    var layers: [Layer] = []
    for node in network.nodes {
      switch node.operation {
      case .dense(let kernel, let bias):
        guard let number = numbers[kernel], file.tensors[number].shape.rank == 2, file.tensors[number].axes.isMatrix,
          file.tensors[number].type.isFloat
        else { throw refused("\(kernel): cannot be read as a matrix of floating-point weights") }
        guard !layers.contains(where: { $0.kernel == number }) else { throw refused("\(kernel) is used twice") }
        layers.append(Layer(kernel: number, bias: bias, kernelName: kernel, following: []))
      case .opaque(let name, _): throw refused("\(name) cannot be run")
      case .activation(.softmax) where layers.isEmpty: throw refused("softmax before the first layer")
      default:
        if layers.isEmpty { front.append(node) } else { layers[layers.count - 1].following.append(node) }
      }
    }
    guard layers.count >= 2, let last = layers.popLast() else {
      throw refused("the network has \(layers.count == 1 ? "one dense layer" : "no dense layer")")
    }
    for layer in layers where layer.following.contains(where: { $0.operation == .activation(.softmax) }) {
      throw refused("softmax between layers")
    }
    let isClassifier = last.following.allSatisfy { node in
      switch node.operation {
      case .activation(.softmax), .activation(.linear), .activation(.sigmoid), .dropout, .flatten, .reshape: true
      default: false
      }
    }
    guard isClassifier else { throw refused("what follows the last layer is neither softmax, sigmoid nor nothing") }
    (hidden, self.last) = (layers, last)
  }

  /// The activation of each hidden layer, which its values go through and nothing else.
  ///
  /// - Throws: `.unsupported` where there is more than that.
  func activations() throws(NetworkError) -> [Activation] {
    var activations: [Activation] = []
    for layer in hidden {
      var own: [Activation] = []
      for node in layer.following {
        switch node.operation {
        case .activation(let activation): own.append(activation)
        case .dropout: break
        default:
          throw NetworkError(
            .unsupported,
            "\(layer.kernelName): \(node.operation.name) follows it: only an activation can be matched, or with "
              + "--weights project --match none anything kept")
        }
      }
      let functions = own.filter { $0 != .linear }
      guard functions.count <= 1 else {
        throw NetworkError(.unsupported, "\(layer.kernelName): \(functions.count) activations follow it")
      }
      activations.append(functions.first ?? .linear)
    }
    return activations
  }
}
