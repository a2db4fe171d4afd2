// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Networks

/// Samples that a network is applied to.
public struct DataOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("HDF5 file with samples x and optionally labels or targets y.", valueName: "file"),
    completion: .file())
  public var data: String?
  @Option(help: ArgumentHelp("Dataset of the samples (default: x).", valueName: "name")) public var x: String?
  @Option(help: ArgumentHelp("Dataset of the labels or targets (default: y).", valueName: "name"))
  public var y: String?
  @Option(
    help: ArgumentHelp("Factor for x (default: 1/255 for uint8, else 1).", valueName: "s"),
    transform: FiniteNumber.parsed)
  public var inputScale: FiniteNumber?

  public init() {}

  /// Makes sure that the options fit together.
  public func check() throws {
    if data == nil, x != nil || y != nil || inputScale != nil {
      throw ValidationError("--x, --y and --input-scale say how --data FILE is read")
    }
  }

  /// Reads the samples.
  public func read(_ common: CommonOptions, tool: any Tool.Type) throws -> DataFile {
    guard let data, data != "-" else { throw Failure(.usage, "--data: expected the path of a file") }
    let input = try Input(data)
    let samples = try naming(input.name) {
      try DataFile(
        try NetworkFile(input.file, size: input.size, options: common.reading(tool: tool)),
        name: data, DataFile.Options(x: x ?? "x", y: y ?? "y", scale: inputScale?.value))
    }
    try input.checkUnchanged()
    return samples
  }
}
