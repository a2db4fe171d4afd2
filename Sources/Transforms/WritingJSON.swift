// SPDX-License-Identifier: Apache-2.0

public import JSON
public import Networks
internal import Tensors

extension WritingReport {
  public func serializedJSON(input: String, output: String?) -> [UInt8] {
    json(input: input, output: output).serialized()
  }

  /// One object; its keys are documented in the manual page.
  ///
  /// - Parameter output: where it was written; `nil` after a dry run.
  public func json(input: String, output: String?) -> JSONValue {
    let reasons = Dictionary(left.map { (TensorName($0.name), $0.reason) }, uniquingKeysWith: { first, _ in first })
    return JSONValue.object([
      .init("input", .string(input)),
      .init("input_bytes", .integer(inputBytes)),
      .init("notes", .array(warnings.map(JSONValue.string))),
      .init("output", output.map(JSONValue.string) ?? .null),
      .init("output_bytes", .integer(outputBytes)),
      .init("relative_l2", JSONValue.real(orNull: relativeL2)),
      .init("tensors", .array(tensors.map { $0.json(reason: reasons[$0.tensor.name]) })),
    ]).canonical()
  }
}

extension TensorReport {
  func json(reason: String?) -> JSONValue {
    let kept = kept.map { JSONValue.object([.init("count", .integer($0.count)), .init("of", .integer($0.of))]) }
    let entry = outcome == .carried ? nil : tensor.history.last
    return .object(
      tensor.described + [
        .init("bytes", .integer(storedBytes)),
        .init("kept", kept ?? .null),
        .init("outcome", .string(outcome.rawValue)),
        .init("reason", reason.map(JSONValue.string) ?? .null),
        .init("relative_l2", JSONValue.real(orNull: entry?.error)),
      ])
  }
}

extension NetworkFile {
  /// What was restored from this file, as one object; its keys are documented in the manual page.
  ///
  /// - Parameter output: where it was written; `nil` after a dry run.
  public func json(of result: ReductionReport, input: String, output: String?) -> JSONValue {
    let layers = result.layers.map { layer in
      JSONValue.object([
        .init("name", .string(layer.name)), .init("removed", .integer(layer.removed)),
        .init("units", .integer(layer.units)),
      ])
    }
    let tensors = tensors.map { tensor in
      JSONValue.object(
        tensor.described + [
          .init("history", .array(tensor.history.map(\.reportJSON))),
          .init("outcome", .string(tensor.history.isEmpty ? "carried" : "changed")),
        ])
    }
    return JSONValue.object([
      .init("input", .string(input)),
      .init("input_bytes", .integer(size)),
      .init("notes", .array(result.notes.map(JSONValue.string))),
      .init("output", output.map(JSONValue.string) ?? .null),
      .init("output_bytes", .integer(result.byteCount)),
      .init("reduced", .array(layers)),
      .init("tensors", .array(tensors)),
    ]).canonical()
  }
}

extension TensorRecord {
  fileprivate var described: [JSONValue.Member] {
    [
      .init("encoding", .string(encoding.name)), .init("name", .string(name.text)),
      .init("role", .string(role.rawValue)), .init("shape", .array(shape.dimensions.map(JSONValue.integer))),
      .init("type", .string(type.rawValue)),
    ]
  }
}
