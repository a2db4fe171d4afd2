// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Networks
internal import Tensors
internal import Transforms

extension Listing {
  /// The table that `nc-info` prints.
  public func text(name: String, isVerbose: Bool) -> String {
    var lines = ["\(printable(name)): \(kind)\(version.map { " \($0)" } ?? ""), \(size) bytes"]
    if let layout { lines[0] += ", \(layout)" }
    if let container {
      lines[0] +=
        ", made from \(container.kind) of \(container.size) bytes; container \(Formatting.text(bytes: container.bytes))"
    }
    var table = TextTable([
      ("tensor", .left), ("shape", .right), ("type", .left), ("role", .left), ("encoding", .left),
      ("bytes", .right), ("bits/weight", .right), ("relative L2", .right),
    ])
    let (dropped, shown) = isVerbose ? ([], rows) : rows.split(by: { $0.tensor.isDropped })
    for row in shown.naturallySorted(by: \.tensor.name) {
      let tensor = row.tensor
      let errors = tensor.history.map { $0.error.map { significant($0, 3) } ?? "–" }.joined(separator: ", ")
      table.add([
        tensor.name.text, tensor.shape.description,
        tensor.type.rawValue + (tensor.byteOrder == .big ? " big-endian" : ""),
        tensor.role.rawValue, row.storage, String(row.bytes), row.bitsPerWeight.map { significant($0, 3) } ?? "",
        errors,
      ])
    }
    if !dropped.isEmpty {
      table.add([
        "(\(dropped.count) dropped)", "", "", "optimizer", "", String(dropped.reduce(0) { $0 + $1.bytes }), "", "",
      ])
    }
    if !rows.isEmpty { lines.append(table.text.droppingLastNewline) }
    let weights = rows.reduce(0) { $0 + $1.tensor.shape.count }
    let perWeight = weights > 0 ? ", \(significant(8 * Double(size) / Double(weights), 3)) bits a weight in all" : ""
    lines.append(
      "\(counted(rows.count, "tensor")), \(counted(weights, "weight"))\(perWeight); metadata \(Formatting.text(bytes: otherBytes))"
    )
    if let network { lines.append("network: \(printable(network.summary))") }
    lines += links.map { "not followed: \(printable($0))" }
    lines += notes.map { "note: \(printable($0))" }
    if isVerbose {
      if let digest { lines.append("digest \(digest)") }
      for row in rows.naturallySorted(by: \.tensor.name) {
        for entry in row.tensor.history {
          let step = entry.step
          lines.append(
            printable(
              "\(row.tensor.name): \(step.tool) \(step.version) \(step.options)"
                + (entry.error.map { ", relative L2 \(significant($0, 6))" } ?? "")
                + (entry.from.map { ", from \($0)" } ?? "")))
        }
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The steps that changed each tensor, for what is restored from a `.ncz`.
  public var historyTable: String {
    var table = TextTable([("tensor", .left), ("shape", .right), ("encoding", .left), ("changed by", .left)])
    for row in rows.naturallySorted(by: \.tensor.name) {
      let steps = row.tensor.history.map { entry in
        "\(entry.step.tool) \(entry.step.options)" + (entry.error.map { ", relative L2 \(significant($0, 3))" } ?? "")
      }
      table.add([
        row.tensor.name.text, row.tensor.shape.description, row.storage, steps.joined(separator: "; "),
      ])
    }
    return table.text
  }
}
