public import JSON
internal import Maths
internal import Networks

extension Verification {
  /// One object; its keys are documented in the README.
  ///
  /// - Parameters:
  ///   - a, b: what the networks are called.
  public func json(a: String, b: String) -> JSON {
    .object([
      .init("a", .string(a)),
      .init("b", .string(b)),
      .init("checks", .array(checks.map(\.json))),
      .init("claims", .array(claims.map(\.json))),
      .init("data", data.map { .string($0.name) } ?? .null),
      .init("differences", .array(differences.map(JSON.string))),
      .init("failures", .array(failures.map(JSON.string))),
      .init("input_scale", JSON.real(orNull: data?.scale)),
      .init("notes", .array(notes.map(JSON.string))),
      .init("parts", .array(parts.map(\.json))),
      .init("seed", .integer(Int(clamping: seed))),
      .init("sentence", .string(sentence)),
      .init("tensors", .array(tensors.map(\.json))),
      .init("verdict", .string(verdict.rawValue)),
    ])
  }
}
private func integer(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }

extension Verification.Check {
  fileprivate var json: JSON {
    .object([
      .init("holds", holds.map(JSON.bool) ?? .null),
      .init("limit", JSON.real(orNull: limit)),
      .init("measure", .string(measure.rawValue)),
      .init("measured", JSON.real(orNull: measured)),
      .init("object", object.map(JSON.string) ?? .null),
    ])
  }
}

extension Verification.Claim {
  fileprivate var json: JSON {
    .object([
      .init("claimed", JSON.real(orNull: claimed)),
      .init("measured", JSON.real(orNull: measured)),
      .init("options", .string(options)),
      .init("reason", reason.map(JSON.string) ?? .null),
      .init("status", .string(status.rawValue)),
      .init("tensor", .string(tensor)),
      .init("tool", .string(tool)),
    ])
  }
}

extension Verification.TensorComparison {
  fileprivate var json: JSON {
    .object([
      .init("distance", JSON.real(orNull: distance)),
      .init("encoding_a", .string(encodings.a)),
      .init("encoding_b", .string(encodings.b)),
      .init("equal", .bool(isEqual)),
      .init("name", .string(name)),
      .init("relative_l2", JSON.real(orNull: relativeL2)),
      .init("shape", .array(shape.map(JSON.integer))),
      .init(
        "singular_values",
        singularValues.map { values in
          .object([
            .init("a", .array(values.a.map { JSON.real(orNull: $0) })),
            .init("b", .array(values.b.map { JSON.real(orNull: $0) })),
          ])
        } ?? .null),
      .init("spectral_error", JSON.real(orNull: spectralError)),
      .init("spectral_error_is_bound", .bool(isSpectralErrorBound)),
    ])
  }
}

extension Verification.Part {
  fileprivate var json: JSON {
    .object([
      .init("name", .string(name)),
      .init("outputs", outputs?.json ?? .null),
      .init("spectrum", spectrum?.json ?? .null),
    ])
  }
}

extension Verification.OutputComparison {
  fileprivate var json: JSON {
    .object([
      .init("accuracy_a", JSON.real(orNull: accuracies?.a)),
      .init("accuracy_b", JSON.real(orNull: accuracies?.b)),
      .init("agreement", JSON.real(orNull: agreement)),
      .init("divergence", JSON.real(orNull: divergence)),
      .init("effective_samples", JSON.real(orNull: effectiveSamples)),
      .init("method", .string(method.rawValue)),
      .init("relative_error", JSON.real(orNull: relativeError)),
      .init("samples", integer(samples)),
      .init("squared_error", JSON.real(orNull: squaredError)),
      .init("squared_norm", JSON.real(orNull: squaredNorm)),
      .init("standard_error", JSON.real(orNull: standardError)),
    ])
  }
}

extension Verification.SpectrumComparison {
  fileprivate var json: JSON {
    let output: JSON =
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
  fileprivate var json: JSON {
    .object([
      .init("alignment", JSON.real(orNull: alignment)),
      .init("eigenvalue_distance", JSON.real(orNull: eigenvalueDistance)),
      .init("norm_a", JSON.real(orNull: norms.a)),
      .init("norm_b", JSON.real(orNull: norms.b)),
      .init("relative_spectral_norm", JSON.real(orNull: relativeSpectralNorm)),
      .init("residual_after_scale", JSON.real(orNull: residualAfterScale)),
      .init("residual_after_shift", JSON.real(orNull: residualAfterShift)),
      .init("scale", JSON.real(orNull: scale)),
      .init("shift", JSON.real(orNull: shift)),
      .init(
        "subspace",
        subspace.map {
          .object([
            .init("dimension", .integer($0.dimension)), .init("gap", JSON.real(orNull: $0.gap)),
            .init("sine", JSON.real(orNull: $0.sine)),
          ])
        } ?? .null),
    ])
  }
}
