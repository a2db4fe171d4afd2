public import JSON
internal import Maths

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
      .init("input_scale", real(data?.scale)),
      .init("notes", .array(notes.map(JSON.string))),
      .init("parts", .array(parts.map(\.json))),
      .init("seed", .integer(Int(clamping: seed))),
      .init("sentence", .string(sentence)),
      .init("tensors", .array(tensors.map(\.json))),
      .init("verdict", .string(verdict.rawValue)),
    ])
  }
}

/// Null for what is not there, or not finite.
func real(_ value: Double?) -> JSON { value.flatMap { $0.isFinite ? JSON.shortest($0) : nil } ?? .null }
private func integer(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }

extension Verification.Check {
  fileprivate var json: JSON {
    .object([
      .init("holds", holds.map(JSON.bool) ?? .null),
      .init("limit", real(limit)),
      .init("measure", .string(measure.rawValue)),
      .init("measured", real(measured)),
      .init("object", object.map(JSON.string) ?? .null),
    ])
  }
}

extension Verification.Claim {
  fileprivate var json: JSON {
    .object([
      .init("claimed", real(claimed)),
      .init("measured", real(measured)),
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
      .init("distance", real(distance)),
      .init("encoding_a", .string(encodings.a)),
      .init("encoding_b", .string(encodings.b)),
      .init("equal", .bool(isEqual)),
      .init("name", .string(name)),
      .init("relative_l2", real(relativeL2)),
      .init("shape", .array(shape.map(JSON.integer))),
      .init(
        "singular_values",
        singularValues.map { values in
          .object([.init("a", .array(values.a.map { real($0) })), .init("b", .array(values.b.map { real($0) }))])
        } ?? .null),
      .init("spectral_error", real(spectralError)),
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
      .init("accuracy_a", real(accuracies?.a)),
      .init("accuracy_b", real(accuracies?.b)),
      .init("agreement", real(agreement)),
      .init("divergence", real(divergence)),
      .init("effective_samples", real(effectiveSamples)),
      .init("method", .string(method.rawValue)),
      .init("relative_error", real(relativeError)),
      .init("samples", integer(samples)),
      .init("squared_error", real(squaredError)),
      .init("squared_norm", real(squaredNorm)),
      .init("standard_error", real(standardError)),
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
      .init("law", .string(law)),
      .init("ntk", tangent?.json ?? .null),
      .init("ntk_output", output),
      .init("points", .integer(points)),
    ])
  }
}

extension KernelDistance {
  fileprivate var json: JSON {
    .object([
      .init("alignment", real(alignment)),
      .init("eigenvalue_distance", real(eigenvalueDistance)),
      .init("norm_a", real(norms.a)),
      .init("norm_b", real(norms.b)),
      .init("relative_spectral_norm", real(relativeSpectralNorm)),
      .init("residual_after_scale", real(residualAfterScale)),
      .init("residual_after_shift", real(residualAfterShift)),
      .init("scale", real(scale)),
      .init("shift", real(shift)),
      .init(
        "subspace",
        subspace.map {
          .object([
            .init("dimension", .integer($0.dimension)), .init("gap", real($0.gap)), .init("sine", real($0.sine)),
          ])
        } ?? .null),
    ])
  }
}
