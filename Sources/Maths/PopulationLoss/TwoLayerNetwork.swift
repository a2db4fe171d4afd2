// SPDX-License-Identifier: Apache-2.0

public import Tensors

/// A network with one hidden layer, f(x) = A·s(Wx + b) + c.
public struct TwoLayerNetwork: Sendable {
  /// Numbers in x.
  public let inputs: Int
  /// Of the hidden layer.
  public let units: Int
  /// Numbers in f(x).
  public let outputs: Int
  /// W, units × inputs, row-major
  public let incoming: [Double]
  /// b, one for each unit
  public let biases: [Double]
  /// A, outputs × units, row-major
  public let outgoing: [Double]
  /// c, one for each output
  public let offsets: [Double]
  /// s
  public let activation: Activation

  /// Takes the number of units from `biases` and that of outputs from `offsets`; all numbers are finite.
  public init(
    inputs: Int, incoming: [Double], biases: [Double], outgoing: [Double], offsets: [Double], activation: Activation
  ) {
    precondition(inputs >= 0 && incoming.count == biases.count * inputs, "nodes × inputs")
    precondition(outgoing.count == offsets.count * biases.count, "outputs × nodes")
    precondition(
      [incoming, biases, outgoing, offsets].allSatisfy { $0.allSatisfy(\.isFinite) }, "finite weights and biases")
    precondition(Network.Operation.activation(activation).isInDomain, "a function in its domain")
    self.inputs = inputs
    units = biases.count
    outputs = offsets.count
    self.incoming = incoming
    self.biases = biases
    self.outgoing = outgoing
    self.offsets = offsets
    self.activation = activation
  }

  /// Whether `populationLoss` has a formula for the function: linear, relu, leaky relu, abs, erf, step, sign and
  /// piecewise constant ones.
  public static func hasClosedForm(_ activation: Activation) -> Bool { RidgeForm(activation) != nil }
}
