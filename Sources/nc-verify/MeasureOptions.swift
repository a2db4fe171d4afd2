public import ArgumentParser
public import Maths
import Measures
import Networks
import ToolSupport

/// What is measured, and on what.
struct MeasureOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Which of weights, outputs, spectrum (default: all). Without weights, tensors need not correspond.",
      valueName: "list"),
    completion: .list(VerifyingOptions.Measure.allCases.map(\.rawValue)))
  var measure: String?
  @Option(help: "Points on which kernels are compared: the first of the data, or random ones.") var points = 512
  @Option(help: "Random points: gaussian or mixture (two classes).") var law = InputDistribution.gaussian
  @Option(help: "Random inputs for outputs that have no formula.") var samples = 10_000
  @Option(help: "Seed of random points and inputs.") var seed: UInt64 = 1
  @Option(
    help: ArgumentHelp("Tangent kernel of one output, by index, or their sum.", valueName: "sum|index"),
    completion: .list(["sum"]))
  var ntkOutput = TangentOutput.sum
  @Flag(help: "One pass over the weights, no singular values; of kernels the largest eigenvalue alone.") var fast =
    false

  func check() throws {
    guard (2...1 << 15).contains(points) else { throw ValidationError("--points: expected 2…32768, found \(points)") }
    guard (2...100_000_000).contains(samples) else {
      throw ValidationError("--samples: expected 2…100000000, found \(samples)")
    }
    guard try !measures.isEmpty else { throw ValidationError("--measure: expected weights, outputs or spectrum") }
  }

  func options(
    _ data: DataFile?, _ tolerances: ToleranceOptions, isOnPage: Bool
  ) throws -> VerifyingOptions {
    VerifyingOptions(
      tolerances: tolerances.tolerances, measures: try measures, data: data, points: points, distribution: law,
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

extension InputDistribution: ExpressibleByArgument {}

extension TangentOutput: ExpressibleByArgument {
  public init?(argument: String) {
    if argument == "sum" {
      self = .sum
    } else if let index = Int(argument), index >= 0 {
      self = .one(index)
    } else {
      return nil
    }
  }
}
