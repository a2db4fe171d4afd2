// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Formatting
import Measures
import Networks
import Plots
import ToolSupport

/// Test accuracy against bytes on disk, for every method.
struct Tradeoff: Tool {
  static let configuration = CommandConfiguration(
    commandName: "tradeoff",
    abstract: "Compress a network with every method; print and draw accuracy against bytes on disk.",
    discussion: """
      Nothing is trained again. Bytes are those of the whole .ncz file.

        nc-experiments tradeoff net.h5 --data test.h5 -o tradeoff.svg
      """)

  /// What one curve shows: one method with several options. `F` stands for one of the values.
  private static let methods: [(name: String, recipe: String, values: [String])] = [
    ("magnitude", "nc-prune --keep F", ["0.7", "0.5", "0.3", "0.2", "0.15", "0.1", "0.05"]),
    ("magnitude, float16", "nc-prune --keep F --values float16", ["1", "0.7", "0.5", "0.3", "0.2", "0.15", "0.1"]),
    (
      "magnitude, then ternary", "nc-prune --keep F | nc-ternarize --scale-per row",
      ["0.7", "0.5", "0.3", "0.2", "0.1"]
    ),
    ("one step", "nc-quantize --max-error F", ["0.02", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3", "0.4"]),
    ("grid, a scale for each row", "nc-quantize --bits F --scale-per row", ["8", "6", "5", "4", "3"]),
    ("best levels", "nc-quantize --levels F", ["64", "32", "16", "8", "4"]),
    ("ternary", "nc-ternarize --scale-per F", ["16", "32", "64", "row", "tensor"]),
    ("node", "nc-prune --by node --keep F", ["0.9", "0.8", "0.7", "0.6", "0.5", "0.4", "0.3"]),
    ("singular value", "nc-prune --by singular-value --keep F", ["0.75", "0.5", "0.4", "0.3", "0.25", "0.1"]),
  ]

  @Argument(help: "The network: HDF5, .keras or .ncz.", completion: .file()) var network: String
  @Option(name: .customShort("o"), help: ArgumentHelp("The picture.", valueName: "file.svg"), completion: .file())
  var picture: String?
  @Flag(name: .shortAndLong, help: "Replace an existing picture.") var force = false
  @OptionGroup var data: DataOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var common: CommonOptions

  func check() throws {
    if let picture { try Output.Kind.svg.check(name: picture, of: "-o") }
    guard data.data != nil else { throw ValidationError("--data FILE says what accuracy is measured on") }
    try data.check()
    try architecture.check()
    try common.check()
  }

  func run() throws {
    let input = try Input(network)
    let output = try picture.map { try Output($0, .svg, permissions: .ofNewFiles, force: force) }
    let samples = try data.read(common, tool: Self.self)
    let original = try common.open(input, architecture, tool: Self.self)
    let reading = common.reading(try architecture.assumption { common.reading(tool: Self.self) }, tool: Self.self)
    func accuracy(_ network: NetworkFile) throws -> Double {
      guard let accuracy = try network.run(on: samples).accuracy else {
        throw Failure(.unusableData, file: samples.name, "no labels that fit the outputs, so no accuracy")
      }
      return accuracy
    }
    var table = TextTable([("method", .left), ("bytes", .right), ("ratio", .right), ("accuracy", .right)])
    func row(_ name: String, _ bytes: Int, _ accuracy: Double) {
      let ratio = significant(Double(input.size) / Double(bytes), 3)
      table.add([name, String(bytes), ratio, significant(accuracy, 4)])
    }
    let whole = try naming(input.name) { try accuracy(original) }
    row("original", input.size, whole)
    var curves: [TradeoffChart.Curve] = []
    for method in Self.methods {
      var curve = TradeoffChart.Curve(method.name, [])
      for value in method.values {
        let recipe = try Recipe(method.recipe.replacing("F", with: value))
        try naming(input.name) {
          let (network, bytes) = try recipe.applied(to: original, reading: reading)
          let found = try accuracy(network)
          row(recipe.text, bytes, found)
          curve.points.append(.init(bytes: bytes, accuracy: found, label: recipe.text))
        }
      }
      curves.append(curve)
    }
    try input.checkUnchanged()
    let name = fileName(input.name)
    let chart = TradeoffChart(
      title: "\(name): test accuracy and size on disk",
      original: .init(bytes: input.size, accuracy: whole, label: name), curves: curves)
    try output?.write(chart.document)
    try output?.finish()
    if output?.isStandardOutput ?? false { diagnose(text: table.text) } else { try report(table.text) }
  }
}
