// SPDX-License-Identifier: Apache-2.0

public import Formatting
internal import Networks
internal import Tensors

extension WritingReport: OutputReport {
  /// `net.h5: 1.08 MB → 67.2 kB, 16.1×, relative L2 0.436`
  public func summary(input: String) -> String {
    let ratio = significant(Double(inputBytes) / Double(max(1, outputBytes)), 3)
    let changes = tensors.count { $0.outcome == .changed }
    let drops = tensors.count { $0.outcome == .dropped }
    let loss = relativeL2.map { ", relative L2 \(significant($0, 3))" } ?? ", nothing was changed"
    let count =
      (changes > 0 ? ", \(counted(changes, "tensor")) changed" : "")
      + (drops > 0 ? ", \(drops) dropped" : "")
    return "\(input): \(text(bytes: inputBytes)) → \(text(bytes: outputBytes)), \(ratio)×\(count)\(loss)"
  }

  /// What became of each tensor.
  public var table: String {
    var table = TextTable([
      ("tensor", .left), ("shape", .right), ("kept", .right), ("encoding", .left), ("bytes", .right),
      ("relative L2", .right),
    ])
    let (dropped, shown) = tensors.split(by: { $0.outcome == .dropped })
    for report in shown.naturallySorted(by: \.tensor.name) {
      let error = report.outcome != .carried ? report.tensor.history.last?.error.map { significant($0, 3) } : nil
      table.add([
        report.tensor.name.text, report.tensor.shape.description, report.kept.map { "\($0.count) of \($0.of)" } ?? "",
        report.tensor.encoding.name, String(report.storedBytes), error ?? "",
      ])
    }
    if !dropped.isEmpty {
      table.add(["(\(dropped.count) dropped)", "", "", "", String(dropped.reduce(0) { $0 + $1.storedBytes }), ""])
    }
    return table.text
  }

  public var remarks: [String] { warnings + leftovers + dropped + advice }

  /// What was left out, the first few by name.
  var dropped: [String] {
    let state = tensors.filter { $0.outcome == .dropped }
    if state.isEmpty { return [] }
    let names = state.prefix(3).map(\.tensor.name.text) + (state.count > 3 ? ["… (\(state.count))"] : [])
    let bytes = text(bytes: state.reduce(0) { $0 + $1.tensor.size })
    return ["dropped training state: \(names.joined(separator: ", ")), \(bytes)"]
  }

  /// The largest tensors that were left, and why, where they are much: `lstm/kernel 189 kB: recurrent, not a dense layer`.
  var leftovers: [String] {
    var reasons: [String] = []
    for tensor in left where !reasons.contains(tensor.reason) && reasons.count < 8 { reasons.append(tensor.reason) }
    return reasons.map { reason in
      let alike = left.filter { $0.reason == reason }
      let names = alike.prefix(3).map { $0.name } + (alike.count > 3 ? ["… (\(alike.count))"] : [])
      let bytes = text(bytes: alike.reduce(0) { $0 + $1.bytes })
      return "left as \(alike.count == 1 ? "it is" : "they are"): \(names.joined(separator: ", ")) \(bytes): \(reason)"
    }
  }

  /// What could be smaller, if anything.
  var advice: [String] {
    let optimizer = tensors.filter { $0.tensor.role == .optimizer && $0.outcome == .carried }.reduce(0) {
      $0 + $1.storedBytes
    }
    let percent = 100 * optimizer / max(1, outputBytes)
    var advice: [String] = []
    if percent > 10 {
      advice.append("optimizer state is \(percent) % of the output; add --drop optimizer to leave it out")
    }
    let structure = 100 * containerBytes / max(1, outputBytes)
    if structure > 15 {
      advice.append(
        "the container (the source file without its tensors) is \(structure) % of the output; "
          + "--container none leaves it out")
    }
    return advice
  }
}
