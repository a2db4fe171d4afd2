// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Networks

/// Samples that a network is applied to.
public struct DataOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("HDF5 file with samples x and optionally labels or targets y.", valueName: "file"),
    completion: .file())
  public var data: String?
  @OptionGroup public var datasets: DatasetOptions

  public init() {}

  /// Makes sure that the options fit together.
  public func check() throws { try datasets.check(hasData: data != nil) }

  /// Reads the samples.
  public func read(_ common: CommonOptions, tool: any Tool.Type) throws -> DataFile {
    try datasets.read(data ?? "-", common, tool: tool)
  }
}

/// Samples of one file or several, those of one after those of the other.
public struct SeveralDataOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "HDF5 file with samples x and optionally labels or targets y; may be repeated.", valueName: "file"),
    completion: .file())
  public var data: [String] = []
  @OptionGroup public var datasets: DatasetOptions

  public init() {}

  /// Makes sure that the options fit together.
  public func check() throws { try datasets.check(hasData: !data.isEmpty) }

  /// Reads the samples, if any were asked for.
  public func read(_ common: CommonOptions, tool: any Tool.Type) throws -> DataFile? {
    guard let first = data.first else { return nil }
    var all = try datasets.read(first, common, tool: tool)
    for name in data.dropFirst() {
      let next = try datasets.read(name, common, tool: tool)
      try naming("\(first) and \(name)") { try all.append(next, memory: common.reading(tool: tool).memory) }
    }
    return all
  }
}

/// How the datasets of a data file are read.
public struct DatasetOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Dataset of the samples (default: x).", valueName: "name")) public var x: String?
  @Option(help: ArgumentHelp("Dataset of the labels or targets (default: y).", valueName: "name"))
  public var y: String?
  @Option(
    help: ArgumentHelp("Factor for x (default: 1/255 for uint8, else 1).", valueName: "s"),
    transform: FiniteNumber.parsed)
  public var inputScale: FiniteNumber?

  public init() {}

  fileprivate func check(hasData: Bool) throws {
    if !hasData, x != nil || y != nil || inputScale != nil {
      throw ValidationError("--x, --y and --input-scale say how --data FILE is read")
    }
  }

  fileprivate func read(_ name: String, _ common: CommonOptions, tool: any Tool.Type) throws -> DataFile {
    guard name != "-" else { throw Failure(.usage, "--data: expected the path of a file") }
    let input = try Input(name)
    let samples = try naming(input.name) {
      try DataFile(
        try NetworkFile(input.file, size: input.size, options: common.reading(tool: tool)),
        name: name, DataFile.Options(x: x ?? "x", y: y ?? "y", scale: inputScale?.value))
    }
    try input.checkUnchanged()
    return samples
  }
}
