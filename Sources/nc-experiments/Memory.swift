// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Formatting
import JSON
import Maths
import Networks
import Parallel
import Plots
import SystemPackage
import Tensors
import ToolSupport
import Transforms

/// Test accuracy against bytes on disk of networks of random features: figures 3 and 4 of Gu et al. (2022).
struct Memory: Tool {
  static let configuration = CommandConfiguration(
    commandName: "memory",
    abstract: "Random features with ternary weights and few levels: accuracy against bytes on disk.",
    discussion: """
      Every network has random hidden layers and a last layer fitted by ridge regression.
      Each result is a line of JSON. Bytes are those of the .ncz file; of networks with
      float32 weights they are 4 for each weight.

        nc-experiments memory --train train.h5 --test test.h5 -o memory.svg
        nc-experiments memory --train train.h5 --test test.h5 --classes 6,8 --widths 2000,2000,1100
      """)

  @Option(help: ArgumentHelp("Samples to fit to.", valueName: "file"), completion: .file()) var train: String
  @Option(help: ArgumentHelp("Samples to test with.", valueName: "file"), completion: .file()) var test: String
  @Option(help: ArgumentHelp("Units of the hidden layers; may be repeated.", valueName: "n,…"))
  var widths: [String] = ["2000,2000,1100"]
  @Option(help: ArgumentHelp("Seeds.", valueName: "n,…")) var seeds = "1"
  @Option(help: ArgumentHelp("Classes to tell apart (default: all).", valueName: "n,…")) var classes: String?
  @Option(
    help: ArgumentHelp("Curves, by name (default: all).", valueName: "name,…"),
    completion: .list(Self.curves.map(\.name)))
  var only: String?
  @Flag(help: "Store ternary weights as their seeds.") var seeded = false
  @Option(name: .customShort("o"), help: ArgumentHelp("The picture.", valueName: "file.svg"), completion: .file())
  var picture: String?
  @Flag(name: .shortAndLong, help: "Replace an existing picture.") var force = false
  @OptionGroup var common: CommonOptions

  /// As the figure has them; relu with ternary weights, and σ_T beside the three levels.
  private static let curves: [(name: String, features: RandomFeatures)] = [
    ("original", .original),
    ("relu-0", .ternary(sparsity: 0, .none)),
    ("relu-.5", .ternary(sparsity: 0.5, .none)),
    ("relu-.9", .ternary(sparsity: 0.9, .none)),
    ("levels-0", .ternary(sparsity: 0, .rule(.levels(3)))),
    ("levels-.5", .ternary(sparsity: 0.5, .rule(.levels(3)))),
    ("levels-.9", .ternary(sparsity: 0.9, .rule(.levels(3)))),
    ("sigma-t-.9", .ternary(sparsity: 0.9, .rule(.sigmaT))),
    ("zeros-.8", .randomZeros(0.8)),
    ("magnitude-.9", .smallestZeros(0.9)),
    ("naive", .naiveActivation),
  ]

  func check() throws {
    if let picture { try Output.Kind.svg.check(name: picture, of: "-o") }
    try common.check()
    for name in chosen where !Self.curves.contains(where: { $0.name == name }) {
      throw ValidationError("--only: expected \(Self.curves.map(\.name).joined(separator: ", ")), found '\(name)'")
    }
    for list in widths + [seeds] + (classes.map { [$0] } ?? []) { _ = try numbers(list) }
  }

  private var chosen: [String] {
    only.map { $0.split(separator: ",").map(String.init) } ?? Self.curves.map(\.name)
  }

  func run() throws {
    let output = try picture.map { try Output($0, .svg, permissions: .ofNewFiles, force: force) }
    let reading = common.reading(tool: Self.self)
    let (fitted, tested) = (try samples(train, reading), try samples(test, reading))
    var curves = Self.curves.filter { chosen.contains($0.name) }.map { TradeoffChart.Curve($0.name, []) }
    for list in widths {
      let widths = try numbers(list)
      for (index, name) in curves.map(\.name).enumerated() {
        guard let features = Self.curves.first(where: { $0.name == name })?.features else { continue }
        for seed in try numbers(seeds) {
          let result = try measure(features, widths, UInt64(seed), fitted, tested, reading)
          try report(
            json: JSONValue.object([
              .init("accuracy", .real(result.accuracy)), .init("bytes", .integer(result.bytes)),
              .init("curve", .string(name)), .init("ridge", .real(result.penalty)), .init("seed", .integer(seed)),
              .init("widths", .array(widths.map(JSONValue.integer))),
            ]).serialized())
          curves[index].points.append(
            .init(bytes: result.bytes, accuracy: result.accuracy, label: "\(name) \(list), seed \(seed)"))
        }
      }
    }
    guard let output else { return }
    let chart = TradeoffChart(
      title: "Random features: test accuracy and size on disk", original: nil, curves: curves)
    try output.write(chart.document)
    try output.finish()
  }

  private func samples(_ path: String, _ reading: ReadingOptions) throws -> LabelledSamples {
    let input = try Input(path)
    return try naming(input.name) {
      let data = try DataFile(try NetworkFile(input.file, size: input.size, options: reading), name: path)
      let most = (data.answers ?? []).max().flatMap { Int(exactly: $0) } ?? 0
      let all = try LabelledSamples(data, classes: max(2, most + 1))
      return try classes.map { LabelledSamples(all, classes: try numbers($0)) } ?? all
    }
  }

  private func measure(
    _ features: RandomFeatures, _ widths: [Int], _ seed: UInt64, _ fitted: LabelledSamples, _ tested: LabelledSamples,
    _ reading: ReadingOptions
  ) throws -> (accuracy: Double, bytes: Int, penalty: Double) {
    let threads = reading.threads
    let inputs = fitted.shape.reduce(1, *)
    var draft = NetworkDraft(threads: threads)
    draft.append(.input(shape: [inputs]))
    let (means, variances) = fitted.inputMoments(threads: threads)
    try draft.appendCentring(means, variances, name: "centring")
    try features.append(to: &draft, inputs: inputs, widths: widths, seed: seed, isSeeded: seeded)
    let readout = try draft.fittedReadout(.ridge, .heldBack, to: fitted, inputShape: [inputs], reading)
    draft.appendDense(
      "last/kernel", .dense(readout.weights, rows: fitted.classes, columns: widths.last ?? inputs),
      isTransposed: false, bias: .init("last/bias", readout.offsets))
    let function = try draft.function(inputShape: [inputs])
    let outputs = function.outputs(samples: tested.count, threads: threads, fill: tested.fill)
    let correct =
      Evaluation(outputs.values, width: outputs.width, .values, labels: tested.labels).correct ?? 0
    return (Double(correct) / Double(tested.count), try bytes(of: draft, features, reading), readout.penalty)
  }

  /// Of the file; where all weights are stored as float32, of these.
  private func bytes(of draft: NetworkDraft, _ features: RandomFeatures, _ reading: ReadingOptions) throws -> Int {
    switch features {
    case .original, .naiveActivation: return draft.tensors.reduce(0) { $0 + 4 * $1.shape.count }
    case .ternary, .randomZeros, .smallestZeros: break
    }
    let file = try temporaryFile()
    defer { try? file.close() }
    return try NewNetwork(network: draft.network, tensors: draft.tensors, steps: [])
      .write(to: file, WritingOptions(hasContainer: false), options: reading).byteCount
  }
}
