public import ArgumentParser
import JSON
public import Maths
public import Networks
import ToolSupport

@main
struct Verify: Tool {
  static let configuration = CommandConfiguration(
    commandName: "nc-verify",
    abstract: "Measure what a compressed network lost: weights, outputs, kernel spectra.",
    discussion: """
      The exit status answers: 0 within tolerance, 1 not, 64 and more: cannot be told.
      What the steps of B claim of A is checked in any case; where there is neither a
      claim nor a --max option, the status is 0.

        nc-verify net.h5 net.ncz
        nc-prune --keep 0.1 net.h5 | nc-verify net.h5 -
        nc-verify --data test.h5 --max-output 0.05 --max-ntk 0.1 net.h5 net.ncz
        nc-verify --data test.h5 --report report.html net.h5 net.ncz
      """,
    version: Version.text("nc-verify"))

  @Argument(help: "The original: HDF5, .keras or .ncz; - is standard input.") var a: String
  @Argument(help: "What was made of it; - or nothing is standard input.") var b: String?

  @Option(help: ArgumentHelp("Most relative L2 error of a tensor.", valueName: "e")) var maxWeight: Double?
  @Option(help: ArgumentHelp("Most E‖f_A − f_B‖²/E‖f_A‖².", valueName: "e")) var maxOutput: Double?
  @Option(help: ArgumentHelp("Most ‖A − B‖₂/‖A‖₂ of the conjugate kernels.", valueName: "e")) var maxCk: Double?
  @Option(help: ArgumentHelp("Most ‖A − B‖₂/‖A‖₂ of the tangent kernels.", valueName: "e")) var maxNtk: Double?
  @Option(help: ArgumentHelp("Most by which the accuracy may fall (needs labels).", valueName: "e"))
  var maxAccuracyLoss: Double?

  @Option(
    help: ArgumentHelp(
      "Which of weights, outputs, spectrum (default: all). Without weights, tensors need not correspond.",
      valueName: "list"))
  var measure: String?
  @Option(help: "Points on which kernels are compared: the first of the data, or random ones.") var points = 512
  @Option(help: "Random points: gaussian or mixture (two classes).") var law = InputLaw.gaussian
  @Option(help: "Random inputs for outputs that have no formula.") var samples = 10_000
  @Option(help: "Seed of random points and inputs.") var seed: UInt64 = 1
  @Option(help: ArgumentHelp("Tangent kernel of one output, by index, or their sum.", valueName: "sum|index"))
  var ntkOutput = TangentOutput.sum
  @Flag(help: "Largest eigenvalues and singular values only: nothing that costs the cube of a size.") var fast = false

  @Option(help: ArgumentHelp("Write a page for people.", valueName: "file")) var report: String?
  @Flag(name: .shortAndLong, help: "Replace an existing --report file.") var force = false
  @Flag(help: "Print one JSON object.") var json = false

  @OptionGroup var data: DataOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    for tolerance in [maxWeight, maxOutput, maxCk, maxNtk, maxAccuracyLoss].compactMap({ $0 }) {
      guard tolerance >= 0 else { throw ValidationError("a tolerance is a number ≥ 0, found \(tolerance)") }
    }
    if a == "-", b ?? "-" == "-" { throw ValidationError("only one of the two can be standard input") }
    guard (2...1 << 15).contains(points) else { throw ValidationError("--points: expected 2…32768, found \(points)") }
    guard (2...100_000_000).contains(samples) else {
      throw ValidationError("--samples: expected 2…100000000, found \(samples)")
    }
    if json, report == "-" { throw ValidationError("--json and --report - both write to standard output") }
    guard try !measures.isEmpty else { throw ValidationError("--measure: expected weights, outputs or spectrum") }
  }

  func run() throws {
    let first = try Input(a)
    let second = try Input(b)
    let page = try report.map { try Output($0, force: force) }
    let samples = data.data == nil ? nil : try data.read(common, tool: Self.self)
    let result = try verify(
      (first.name, try open(first)), (second.name, try open(second)), try options(samples))
    if let page {
      try page.write(result.page(a: first.name, b: second.name))
      try page.finish()
    }
    if json {
      try ToolSupport.report(
        String(decoding: result.json(a: first.name, b: second.name).serialized(), as: UTF8.self) + "\n")
    } else if !common.quiet, !(page?.isStandardOutput ?? false) {
      try ToolSupport.report(result.text(a: first.name, b: second.name, isVerbose: common.verbose))
    }
    if result.verdict == .unclaimed { common.tell([result.sentence], about: second.name, tool: Self.self) }
    if result.verdict == .differs { throw ExitCode(1) }
  }

  private func open(_ input: borrowing Input) throws -> NetworkFile {
    let options = common.reading(size: input.size, architecture.assumption, tool: Self.self)
    let network = try naming(input.name) { try NetworkFile(input.file, size: input.size, options: options) }
    common.tell(network.notes, about: input.name, tool: Self.self)
    return network
  }

  private func options(_ samples: DataFile?) throws -> VerifyingOptions {
    VerifyingOptions(
      tolerances: .init(
        weight: maxWeight, output: maxOutput, conjugate: maxCk, tangent: maxNtk, accuracyLoss: maxAccuracyLoss),
      measures: try measures, data: samples, points: points, law: law, samples: self.samples, seed: seed,
      tangentOutput: ntkOutput, isFast: fast)
  }

  private var measures: Set<VerifyingOptions.Measure> {
    get throws {
      guard let measure else { return Set(VerifyingOptions.Measure.allCases) }
      return Set(
        try measure.split(separator: ",").map { word in
          guard let one = VerifyingOptions.Measure(rawValue: String(word)) else {
            throw ValidationError("--measure: expected weights, outputs or spectrum, found \(word)")
          }
          return one
        })
    }
  }
}

extension InputLaw: ExpressibleByArgument {}

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
