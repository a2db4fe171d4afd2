// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Networks
internal import Plots
internal import Tensors

extension Listing {
  /// Where the bytes of the file are, as SVG: for each tensor, for the remains of the source file, and for the structure;
  /// of a `.ncz` file also what they took before.
  public func picture(title: String) -> String {
    let isCompressed = container != nil || digest != nil
    let dense = rows.reduce(0) { $0.addingOrMaximum($1.tensor.size) }
    var others: [SizeChart.Row] = []
    if let container {
      // What the source file held beside the values of its tensors.
      others.append(
        .init(
          "container: what else the source file held", before: container.size >= dense ? container.size - dense : nil,
          after: container.bytes))
    }
    others.append(.init("metadata: headers, directory, padding", before: nil, after: otherBytes))
    return SizeChart(
      title: "\(fileName(title)): where the bytes are",
      names: (
        isCompressed ? "before: \(Formatting.text(bytes: container?.size ?? dense))" : nil,
        "\(isCompressed ? "after" : "this file"): \(Formatting.text(bytes: size))"
      ),
      parts: rows.map { .init($0.tensor.name.text, before: $0.tensor.size, after: $0.bytes) }, others: others
    ).svg
  }
}
