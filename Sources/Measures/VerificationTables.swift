// SPDX-License-Identifier: Apache-2.0

internal import Maths
internal import Networks

/// A number and what it is, for tables.
public struct Measurement: Sendable {
  public var name: String
  public var value: Double?
  /// The standard error of the value, where it is an estimate.
  public var standardError: Double?
  /// What a reader should know, in a few words.
  public var comment: String
  /// What the measure says, in a sentence.
  public var meaning: String
}

extension Verification.OutputComparison {
  public var measurements: [Measurement] {
    let how =
      switch method {
      case .closedForm: "exact, x ~ N(0, I)"
      case .monteCarlo: "mean of \(samples ?? 0) x ~ N(0, I)"
      case .data: "\(samples ?? 0) samples"
      }
    var list = [
      Measurement(
        name: "E‖f_A − f_B‖²/E‖f_A‖²", value: relativeError, standardError: standardError, comment: how,
        meaning:
          "Squared difference of the outputs over the squared outputs of A: 0 is equal; at 1 the difference is as "
          + "large as the outputs.")
    ]
    if let agreement {
      list.append(
        Measurement(
          name: "same class", value: agreement, comment: "",
          meaning: "Fraction of the samples for which both have the same largest output."))
    }
    if let accuracies {
      list.append(
        Measurement(
          name: "accuracy of A", value: accuracies.a, comment: "",
          meaning: "Fraction of the samples that A, the original, classifies as labelled."))
      list.append(
        Measurement(
          name: "accuracy of B", value: accuracies.b, comment: "",
          meaning: "The same of B, the compressed network."))
    }
    if let divergence {
      list.append(
        Measurement(
          name: "KL(A ‖ B)", value: divergence, comment: "nats a sample",
          meaning: "How far the class probabilities of B are from those of A: 0 is equal."))
    }
    return list
  }
}

extension Verification.SpectrumComparison {
  public var conjugateMeasurements: [Measurement] { conjugate.measurements }
  /// `nil` where a network jumps.
  public var tangentMeasurements: [Measurement]? { tangent?.measurements }
  /// Of which output the tangent kernel is, if not of all.
  public var output: String {
    switch tangentOutput {
    case .sum: ""
    case .one(let index): " of output \(index)"
    }
  }
}

extension KernelDistance {
  /// The measures, with what values of them mean.
  fileprivate var measurements: [Measurement] {
    var list = [
      Measurement(
        name: "‖A − B‖₂/‖A‖₂", value: relativeSpectralNorm,
        comment: relativeSpectralNorm.map {
          $0 <= 0.05 ? "equivalent" : $0 <= 0.2 ? "the same leading structure" : $0 <= 0.5 ? "" : "not equivalent"
        } ?? "A is zero",
        meaning: "Spectral norm of the difference of the kernel matrices over that of A: 0 is equal."),
      Measurement(
        name: "  after the shift", value: residualAfterShift, comment: "B ≈ A + cI, c = \(short(shift))",
        meaning: "The same, without the part that is a multiple c of the identity."),
      Measurement(
        name: "  after the scale", value: residualAfterScale,
        comment: "B ≈ sA" + (scale.map { ", s = \(short($0))" } ?? ""),
        meaning: "The same, without the part that is a change of scale by s."),
    ]
    if spectra != nil {
      list.append(
        Measurement(
          name: "eigenvalues", value: eigenvalueDistance, comment: "mean change over mean",
          meaning: "How far the eigenvalues moved, over the mean eigenvalue of A."))
    }
    if spectra != nil || subspace != nil {
      list.append(
        Measurement(
          name: "angle of spaces (sine)", value: subspace?.sine,
          comment: subspace.map {
            $0.sine == nil
              ? "\($0.dimension) largest: B has fewer that are not zero"
              : $0.gap.map { gap in
                "\(subspace?.dimension ?? 0) largest, gap \(short(gap))" + (gap < 1.5 ? ": too small to mean much" : "")
              } ?? "\($0.dimension) largest: A has rank \($0.dimension)"
          } ?? "",
          meaning: "Angle between the spaces of the leading eigenvectors: 0 is the same space, 1 a right angle."))
    }
    list.append(
      Measurement(
        name: "centred alignment", value: alignment,
        comment: alignment.map { $0 > 0.99 ? "equivalent takes > .99" : "below .99" } ?? "no structure",
        meaning: "Correlation of the centred kernel matrices: 1 is the same up to scale."))
    return list
  }

  private func short(_ value: Double) -> String {
    guard value.isFinite else { return "undefined" }
    let scaled = (value * 1e4).rounded() / 1e4
    if value == 0 || (scaled != 0 && scaled.magnitude <= 1e6) { return "\(Float(scaled))" }
    let short = Float(value)
    return short.isFinite && short != 0 ? "\(short)" : "\(value)"
  }
}
