// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Maths
import Measures
import Networks
import ToolSupport

/// What is measured, and on what.
struct MeasureOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What is measured: weights, outputs, spectrum (default: all). Without weights, tensors need not correspond.",
      valueName: "list"),
    completion: .list(VerifyingOptions.Measure.allCases.map(\.rawValue)))
  var measure: String?
  @Option(
    help: ArgumentHelp("Points for kernels: the first of the data, or all, or random ones.", valueName: "n|all"),
    completion: .list(["all"]))
  var points = PointCount.some(512)
  @Option(
    help: ArgumentHelp("Random points: gaussian, or a mixture of two classes.", valueName: "distribution"))
  var law = InputDistribution.gaussian
  @Option(
    help: ArgumentHelp("Number of random inputs where the output error has no formula.", valueName: "n"))
  var samples = 10_000
  @Option(help: ArgumentHelp("Seed of random points and inputs.", valueName: "n")) var seed: UInt64 = 1
  @Option(
    help: ArgumentHelp(
      "Tangent kernel of one output, by its index from 0, or the sum over all.", valueName: "sum|index"),
    completion: .list(["sum"]))
  var ntkOutput = TangentOutput.sum
  @Flag(help: "One pass over the weights, no singular values; only the largest eigenvalue of kernels.") var fast =
    false

  func check() throws {
    if case .some(let count) = points, !(2...100_000_000).contains(count) {
      throw ValidationError("--points: expected 2…100000000 or all, found \(count)")
    }
    guard (2...100_000_000).contains(samples) else {
      throw ValidationError("--samples: expected 2…100000000, found \(samples)")
    }
    guard try !measures.isEmpty else { throw ValidationError("--measure: expected weights, outputs or spectrum") }
  }

  func options(
    _ data: DataFile?, _ tolerances: ToleranceOptions, isOnPage: Bool
  ) throws -> VerifyingOptions {
    let count =
      switch points {
      case .all: data?.samples ?? 0
      case .some(let count): count
      }
    return VerifyingOptions(
      tolerances: tolerances.tolerances, measures: try measures, data: data, points: count, distribution: law,
      samples: samples, seed: seed, tangentOutput: ntkOutput, isFast: fast, wantsHistograms: isOnPage,
      isWithoutVerdict: tolerances.noVerdict, version: Version.number)
  }

  var measures: Set<VerifyingOptions.Measure> {
    get throws {
      guard let measure else { return Set(VerifyingOptions.Measure.allCases) }
      return Set(
        try measure.split(separator: ",").map { word in
          guard let one = VerifyingOptions.Measure(rawValue: String(word)) else {
            throw ValidationError("--measure: expected a list such as weights,outputs,spectrum, found '\(word)'")
          }
          return one
        })
    }
  }
}
