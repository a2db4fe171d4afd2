// SPDX-License-Identifier: Apache-2.0

internal import Networks
internal import Tensors

/// A tensor that a compressor left as it is, though it is of the kind that files are large by.
public struct LeftTensor: Sendable, Equatable {
  public var name: String
  /// Of its values.
  public var bytes: Int
  /// Why, and what to type where that helps: `recurrent, not a dense layer`.
  public var reason: String
}

extension NetworkFile {
  /// The matrices and other floating-point tensors of rank 2 and more that were left, the largest first: none where they
  /// are no more than a tenth of all values but training state, or where the caller chose.
  func left(by reports: [TensorReport], _ selection: Selection) -> [LeftTensor] {
    let reports = reports.filter { $0.tensor.role != .optimizer }
    let left = reports.compactMap { report -> LeftTensor? in
      let tensor = report.tensor
      guard report.outcome == .carried, selection.includes(tensor.name), let reason = tensor.reasonLeft else {
        return nil
      }
      return LeftTensor(name: tensor.name.text, bytes: tensor.size, reason: reason)
    }
    let all = reports.reduce(0) { $0.addingOrMaximum($1.tensor.size) }
    guard left.reduce(0, { $0.addingOrMaximum($1.bytes) }) > all / 10 else { return [] }
    return left.sorted { $0.bytes != $1.bytes ? $0.bytes > $1.bytes : TensorName($0.name) < TensorName($1.name) }
  }
}

extension TensorRecord {
  /// Why compressors leave it where nobody asks for it; `nil` where they take it, and for what is small by its nature.
  fileprivate var reasonLeft: String? {
    guard shape.rank >= 2, history.isEmpty else { return nil }
    guard type.isFloat else { return role == .other || role == .kernel ? "\(type.rawValue), not floating-point" : nil }
    let kind: String? =
      switch role {
      case .convolution: "a convolution"
      case .recurrent: "recurrent"
      case .attention: "attention"
      case .embedding: "an embedding"
      case .kernel, .bias, .normalization, .optimizer, .other: nil
      }
    if let kind {
      return isIncludable
        ? "\(kind), not a dense layer; --include \(role.rawValue) changes it" : "\(kind), \(reason ?? "no matrix")"
    }
    guard role == .other else { return nil }
    return reason
      ?? (shape.rank == 2
        ? "not known to be the weights of a dense layer; --only NAME changes a matrix"
        : "not known to be of a dense layer")
  }
}
