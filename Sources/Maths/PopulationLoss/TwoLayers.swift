// SPDX-License-Identifier: Apache-2.0

internal import Tensors

extension NetworkFunction {
  /// The network, without a softmax that comes last, as one with one hidden layer whose population loss has a formula;
  /// `nil` for any other.
  public var twoLayers: TwoLayerNetwork? { twoLayers(maxCorners: .max) }

  /// As `twoLayers`; `nil` also for more corners than these, of which no weight is looked at.
  public func twoLayers(maxCorners: Int) -> TwoLayerNetwork? {
    guard network.outputs.count == 1, inputCounts.count == 1, precision == nil else { return nil }
    func before(_ index: Int) -> Int { origin(of: network.nodes[index].inputs[0]) }
    let last = origin(of: logitNodes[0])
    guard case .dense(let outer, let offsets) = operations[last], shapes[last].positions == 1,
      case let hidden = before(last)
    else { return nil }
    // No activation between two layers is the linear one.
    var (function, first) = (Activation.linear, hidden)
    if case .activation(let own) = operations[hidden] { (function, first) = (own, before(hidden)) }
    guard TwoLayerNetwork.hasClosedForm(function), case .dense(let inner, let biases) = operations[first],
      shapes[first].positions == 1, case .input = operations[before(first)],
      TwoLayerNetwork.cornerCount(units: matrices[inner].rows, function) <= maxCorners
    else { return nil }
    let (incoming, outgoing) = (matrices[inner].elements, matrices[outer].elements)
    let own = biases.map { vectors[$0] } ?? [Double](repeating: 0, count: matrices[inner].rows)
    let others = offsets.map { vectors[$0] } ?? [Double](repeating: 0, count: matrices[outer].rows)
    // Squares of products of two larger weights might overflow.
    guard [incoming, outgoing, own, others].allSatisfy({ $0.allSatisfy { $0.magnitude < 1e70 } }) else { return nil }
    return TwoLayerNetwork(
      inputs: matrices[inner].columns, incoming: incoming, biases: own, outgoing: outgoing, offsets: others,
      activation: function)
  }
}

extension TwoLayerNetwork {
  /// The corners and jumps of all hidden units: the population loss of two networks takes time as the square of their
  /// sum.
  public var cornerCount: Int { Self.cornerCount(units: units, activation) }

  fileprivate static func cornerCount(units: Int, _ activation: Activation) -> Int {
    if case .piecewiseConstant(_, let thresholds) = activation { units * thresholds.count } else { units }
  }
}
