// SPDX-License-Identifier: Apache-2.0

public import JSON
internal import Maths
internal import Networks

extension Verification {
  /// One object; its keys are documented in `spec/verifying.md`.
  ///
  /// - Parameters:
  ///   - a, b: what the networks are called.
  public func json(a: String, b: String) -> JSONValue {
    .object([
      .init("a", .string(a)),
      .init("b", .string(b)),
      .init("checks", .array(checks.map(\.json))),
      .init("claims", .array(claims.map(\.json))),
      .init("data", data.map(\.names).map(JSONValue.names) ?? .null),
      .init("differences", .array(differences.map(JSONValue.string))),
      .init("failures", .array(failures.map(JSONValue.string))),
      .init("input_scale", JSONValue.real(orNull: data?.scale)),
      .init("notes", .array(notes.map(JSONValue.string))),
      .init("parts", .array(parts.map(\.json))),
      .init("seed", .integer(Int(clamping: seed))),
      .init("sentence", .string(sentence)),
      .init("tensors", .array(tensors.map(\.json))),
      .init("verdict", .string(verdict.rawValue)),
    ])
  }
}
extension JSONValue {
  /// A name, or an array of several.
  fileprivate static func names(_ names: [String]) -> JSONValue {
    names.count == 1 ? .string(names[0]) : .array(names.map(JSONValue.string))
  }
}

private func integer(_ value: Int?) -> JSONValue { value.map { .integer($0) } ?? .null }

extension Verification.Check {
  fileprivate var json: JSONValue {
    .object([
      .init("holds", holds.map(JSONValue.bool) ?? .null),
      .init("limit", JSONValue.real(orNull: limit)),
      .init("measure", .string(measure.rawValue)),
      .init("measured", JSONValue.real(orNull: measured)),
      .init("object", object.map(JSONValue.string) ?? .null),
    ])
  }
}

extension Verification.Claim {
  fileprivate var json: JSONValue {
    .object([
      .init("claimed", JSONValue.real(orNull: claimed)),
      .init("measured", JSONValue.real(orNull: measured)),
      .init("options", .string(options)),
      .init("reason", reason.map(JSONValue.string) ?? .null),
      .init("status", .string(status.rawValue)),
      .init("tensor", .string(tensor)),
      .init("tool", .string(tool)),
    ])
  }
}

extension Verification.TensorComparison {
  fileprivate var json: JSONValue {
    .object([
      .init("distance", JSONValue.real(orNull: distance)),
      .init("encoding_a", .string(encodings.a)),
      .init("encoding_b", .string(encodings.b)),
      .init("equal", .bool(isEqual)),
      .init("name", .string(name)),
      .init("relative_l2", JSONValue.real(orNull: relativeL2)),
      .init("shape", .array(shape.map(JSONValue.integer))),
      .init(
        "singular_values",
        singularValues.map { values in
          .object([
            .init("a", .array(values.a.map { JSONValue.real(orNull: $0) })),
            .init("b", .array(values.b.map { JSONValue.real(orNull: $0) })),
          ])
        } ?? .null),
      .init("spectral_error", JSONValue.real(orNull: spectralError)),
      .init("spectral_error_is_bound", .bool(isSpectralErrorBound)),
    ])
  }
}

extension Verification.Part {
  fileprivate var json: JSONValue {
    .object([
      .init("name", .string(name)),
      .init("outputs", outputs?.json ?? .null),
      .init("spectrum", spectrum?.json ?? .null),
    ])
  }
}

extension Verification.OutputComparison {
  fileprivate var json: JSONValue {
    .object([
      .init("accuracy_a", JSONValue.real(orNull: accuracies?.a)),
      .init("accuracy_b", JSONValue.real(orNull: accuracies?.b)),
      .init("agreement", JSONValue.real(orNull: agreement)),
      .init("divergence", JSONValue.real(orNull: divergence)),
      .init("effective_samples", JSONValue.real(orNull: effectiveSamples)),
      .init("method", .string(method.rawValue)),
      .init("relative_error", JSONValue.real(orNull: relativeError)),
      .init("samples", integer(samples)),
      .init("squared_error", JSONValue.real(orNull: squaredError)),
      .init("squared_norm", JSONValue.real(orNull: squaredNorm)),
      .init("standard_error", JSONValue.real(orNull: standardError)),
    ])
  }
}

extension Verification.SpectrumComparison {
  fileprivate var json: JSONValue {
    let output: JSONValue =
      switch tangentOutput {
      case .sum: .string("sum")
      case .one(let index): .integer(index)
      }
    return .object([
      .init("ck", conjugate.json),
      .init("law", .string(distribution)),
      .init("ntk", tangent?.json ?? .null),
      .init("ntk_output", output),
      .init("points", .integer(points)),
    ])
  }
}

extension KernelDistance {
  fileprivate var json: JSONValue {
    .object([
      .init("alignment", JSONValue.real(orNull: alignment)),
      .init("eigenvalue_distance", JSONValue.real(orNull: eigenvalueDistance)),
      .init("norm_a", JSONValue.real(orNull: norms.a)),
      .init("norm_b", JSONValue.real(orNull: norms.b)),
      .init("relative_spectral_norm", JSONValue.real(orNull: relativeSpectralNorm)),
      .init("residual_after_scale", JSONValue.real(orNull: residualAfterScale)),
      .init("residual_after_shift", JSONValue.real(orNull: residualAfterShift)),
      .init("scale", JSONValue.real(orNull: scale)),
      .init("shift", JSONValue.real(orNull: shift)),
      .init(
        "subspace",
        subspace.map {
          .object([
            .init("dimension", .integer($0.dimension)), .init("gap", JSONValue.real(orNull: $0.gap)),
            .init("sine", JSONValue.real(orNull: $0.sine)),
          ])
        } ?? .null),
    ])
  }
}
