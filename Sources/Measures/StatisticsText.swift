// SPDX-License-Identifier: Apache-2.0

internal import Compression
internal import Formatting
internal import Networks
internal import Tensors

extension Statistics {
  /// The tables that `nc-info --stats` prints.
  public func text(name: String) -> String {
    var lines = [
      "\(printable(name)): \(layers.count) dense matrices, \(all.weights) weights, \(all.zeros) of them zero"
    ]
    if layers.isEmpty { return lines[0] + "\n" }
    var properties = TextTable([
      ("tensor", .left), ("shape", .right), ("zeros", .right), ("kurtosis", .right), ("α̂ rows", .right),
      ("α̂ entries", .right), ("α̂ norms", .right),
    ])
    var errors = TextTable(
      [("relative L2 error at keep", .left), ("of", .left)] + keeps.map { ($0.description, .right) })
    for layer in layers + (layers.count > 1 ? [all] : []) {
      func text(_ value: Double?) -> String { value.map { significant($0, 3) } ?? "" }
      properties.add([
        layer.shape.isEmpty ? "median" : layer.name, layer.shape,
        significant(Double(layer.zeros) / Double(max(1, layer.weights)), 3), text(layer.kurtosis),
        text(layer.tailIndices.rows), text(layer.tailIndices.entries), text(layer.tailIndices.norms),
      ])
      for strategy in Strategy.allCases {
        guard let list = layer.errors[strategy] else { continue }
        errors.add([layer.name, strategy.rawValue] + list.map { significant($0, 3) })
      }
      if !layer.l1Errors.isEmpty {
        errors.add([layer.name, "magnitude, L1"] + layer.l1Errors.map { significant($0, 3) })
      }
    }
    errors.add(["Gaussian weights", "magnitude"] + gaussianErrors.map { significant($0, 3) })
    lines += [properties.text, errors.text]
    lines += notes.map { "note: \(printable($0))\n" }
    lines.append(
      """
      α̂ is the tail index that a stable law would have that fits best (2: Gaussian). It is no test for heavy tails: Laplace
      weights, whose variance is finite, give about 1.7. What pruning costs, the errors above say.

      """)
    return lines.joined(separator: "\n")
  }
}
