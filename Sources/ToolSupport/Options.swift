// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Formatting
public import Networks
internal import Parallel
internal import Synchronization
public import SystemPackage
public import Tensors

/// Options that every tool has.
public struct CommonOptions: ParsableArguments {
  @Option(
    name: [.customShort("T", allowingJoined: true), .long],
    help: ArgumentHelp("Number of threads; 0 is one for each core. Results do not depend on it.", valueName: "number"))
  public var threads = 0

  @Option(
    help: ArgumentHelp("Maximum memory for one file, such as 500M or 16GiB (default: 4GiB).", valueName: "size"),
    transform: ByteSize.parsed)
  public var memory: ByteSize?

  @Option(
    help: ArgumentHelp(
      "Maximum bytes that a file may be unpacked to (default: 4 GiB, or 1000 times its size).", valueName: "size"),
    transform: ByteSize.parsed)
  public var maxOutputSize: ByteSize?

  @Option(
    help: ArgumentHelp(
      "Maximum processor seconds for reading the structure of one HDF5 file (default: 10, and 1 for each 50 MB).",
      valueName: "seconds"),
    transform: ProcessorTime.parsed)
  public var time: ProcessorTime?

  @Flag(name: .shortAndLong, help: "Print errors only.")
  public var quiet = false

  @Flag(name: .shortAndLong, help: "Print more details.")
  public var verbose = false

  public init() {}

  public func check() throws {
    guard (0...1024).contains(threads) else { throw ValidationError("--threads: expected 0…1024, found \(threads)") }
  }

  /// Says each line on stderr, about the named file, unless told to be quiet.
  public func tell(_ lines: [String], about name: String, tool: any Tool.Type) {
    if !quiet { for line in lines { diagnose("\(tool._commandName): \(name): \(line)") } }
  }

  /// Says what was written, and what could be better.
  ///
  /// After a dry run nothing else is on standard output: the table goes there, or the JSON that was asked for.
  public func tell(
    _ written: some OutputReport, about name: String, to output: Output, _ writing: OutputOptions, tool: any Tool.Type
  ) throws {
    tell(written.remarks, about: name, tool: tool)
    if !quiet { diagnose(written.summary(input: name)) }
    if writing.json {
      try report(json: written.serializedJSON(input: name, output: writing.dryRun ? nil : output.name))
    } else if writing.dryRun {
      try report(written.table)
    } else if verbose {
      diagnose(text: written.table)
    }
  }

  /// How to open an input.
  public func reading(_ assumption: Assumption = Assumption(), tool: any Tool.Type) -> ReadingOptions {
    if verbose { Self.tellSandboxOnce(tool) }
    return ReadingOptions(
      memory: memory?.bytes ?? 4 << 30, time: time?.seconds, threads: Threads(threads),
      output: maxOutputSize?.bytes, assumption: assumption,
      progress: quiet ? nil : Progress.line(tool._commandName))
  }

  private static func tellSandboxOnce(_ tool: any Tool.Type) {
    let isFirst = hasToldSandbox.withLock { hasTold in
      defer { hasTold = true }
      return !hasTold
    }
    if isFirst { diagnose("\(tool._commandName): the process that reads HDF5 is confined by: \(NetworkFile.sandbox)") }
  }
  private static let hasToldSandbox = Mutex(false)

  /// Opens a network, and says how it was understood where that is not plain.
  public func open(
    _ input: borrowing Input, _ architecture: ArchitectureOptions, tool: any Tool.Type
  ) throws -> NetworkFile {
    let assumption = try architecture.assumption { reading(tool: tool) }
    let options = reading(assumption, tool: tool)
    let network = try naming(input.name) { try NetworkFile(input.file, size: input.size, options: options) }
    tell(network.notes, about: input.name, tool: tool)
    if verbose, let graph = network.network { tell(["network: \(graph.summary)"], about: input.name, tool: tool) }
    return network
  }
}

extension CommonOptions {
  /// What every tool does that makes a `.ncz` file of a network: opens the input, writes the output, makes sure that the
  /// input is still what it was, and says what was written.
  ///
  /// - Parameters:
  ///   - input, output: paths; `nil` or `-` is standard input or output.
  ///   - write: writes the new file and says what it wrote.
  public func convert(
    _ input: String?, _ architecture: ArchitectureOptions, to output: String?, _ writing: OutputOptions,
    tool: any Tool.Type, _ write: (NetworkFile, FileDescriptor) throws -> some OutputReport
  ) throws {
    let input = try Input(input)
    let output = try Output(
      try writing.path(output), .ncz, permissions: input.permissions, force: writing.force, dryRun: writing.dryRun)
    let report = try naming(input.name, output.name) {
      try write(try open(input, architecture, tool: tool), output.file)
    }
    try input.checkUnchanged()
    try output.finish()
    try tell(report, about: input.name, to: output, writing, tool: tool)
  }
}

/// Where a tool that writes a file writes it.
public struct OutputOptions: ParsableArguments {
  @Option(
    name: .customShort("o", allowingJoined: true),
    help: ArgumentHelp("Write to this file; the same as OUTPUT.", valueName: "file"),
    completion: .file())
  public var option: String?

  @Flag(name: .shortAndLong, help: "Replace an existing output of the same kind; symbolic links are followed.")
  public var force = false

  @Flag(name: [.customShort("n"), .long], help: "Print what would be written; write nothing.")
  public var dryRun = false

  @Flag(help: "Print a JSON object about the result; needs an OUTPUT that is a file, or --dry-run.")
  public var json = false

  public init() {}

  public func check(_ positional: String?) throws {
    if json, !dryRun, try path(positional) ?? "-" == "-" {
      throw ValidationError("--json and the output would both go to standard output: name an OUTPUT")
    }
  }

  /// The one path that was given, by position or by `-o`.
  public func path(_ positional: String?) throws -> String? {
    if let option, let positional { throw ValidationError("two outputs: \(positional) and -o \(option)") }
    return positional ?? option
  }
}

/// How a tool that changes values writes them.
public struct CompressionOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("zstd level, 1…19 (default: entropy coding alone, which suits weights).", valueName: "level"))
  public var level: Int?
  @Option(
    help: ArgumentHelp(
      "Part to leave out: optimizer (training state), restored as zeros; without a container, absent.",
      valueName: "part"))
  public var drop: Droppable?
  @Option(
    help: ArgumentHelp(
      "source: what the source file has beside its tensors is kept, to restore it byte for byte. none: it is not.",
      valueName: "kind"))
  public var container = ContainerChoice.source
  @Option(help: ArgumentHelp("How biases are stored: exact, or rounded to float16.", valueName: "type"))
  public var biases = BiasType.exact
  @Flag(help: "Store values, codes and scales uncompressed and aligned, for use from a memory map.")
  public var mapped = false

  public enum Droppable: String, CaseIterable, ExpressibleByArgument, Sendable { case optimizer }
  public enum ContainerChoice: String, CaseIterable, ExpressibleByArgument, Sendable { case source, none }
  public enum BiasType: String, CaseIterable, ExpressibleByArgument, Sendable { case exact, float16 }

  public init() {}

  public func check() throws {
    if let level, !(1...19).contains(level) { throw ValidationError("--level: expected 1…19, found \(level)") }
  }

  public func options(
    _ selection: Selection, tool: any Tool.Type
  ) -> CompressingOptions {
    CompressingOptions(
      selection: selection, dropsOptimizer: drop == .optimizer, narrowsBiases: biases == .float16,
      writing: WritingOptions(level: level, isMapped: mapped, hasContainer: container == .source),
      tool: tool._commandName, version: Version.number)
  }
}

/// A value on a command line that can say what it takes.
public protocol OptionValue {
  /// `a size such as 500M or 4GiB`
  static var expected: String { get }
  init?(argument: String)
  /// What a user may have meant by an argument that is no such value, if that is plain.
  static func advice(on argument: String) -> String?
}

extension OptionValue {
  public static func advice(on argument: String) -> String? { nil }

  /// The value of an argument.
  ///
  /// - Throws: a `ValidationError` that says what is expected.
  public static func parsed(_ argument: String) throws -> Self {
    if let value = Self(argument: argument) { return value }
    throw ValidationError(advice(on: argument) ?? "expected \(expected), found '\(argument)'")
  }
}

extension Fraction: OptionValue {
  public static let expected = "a fraction from 0 to 1, such as .1"

  public init?(argument: String) { self.init(argument) }

  public static func advice(on argument: String) -> String? {
    let digits = argument.hasSuffix("%") ? String(argument.dropLast()) : argument
    // Shifting two places: exact in decimal where the number is whole.
    guard let number = FiniteNumber(argument: digits)?.value, number > 1 || digits != argument,
      (0...100).contains(number)
    else { return nil }
    let fraction = number == 100 ? "1" : "\(number / 100)".drop { $0 == "0" }
    return "\(argument) is not in 0…1; for \(digits) percent write \(fraction)"
  }
}

extension ScaleGroup: OptionValue {
  public static let expected = "tensor, row or a number above 0"

  public init?(argument: String) { self.init(text: argument) }
}

/// Which tensors a tool changes.
public struct SelectionOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Select tensors whose name matches; may be repeated.", valueName: "glob"))
  public var only: [String] = []

  @Option(help: ArgumentHelp("Exclude tensors whose name matches; may be repeated.", valueName: "glob"))
  public var except: [String] = []

  @Option(
    help: ArgumentHelp(
      "Select matrices of other layers too: convolution, recurrent, embedding, attention.", valueName: "kind,…"),
    completion: .list(TensorRole.includable.map(\.rawValue)), transform: IncludedKinds.parsed)
  public var include: [IncludedKinds] = []

  public init() {}

  public var selection: Selection {
    Selection(only: only, except: except, include: include.reduce(into: []) { $0.formUnion($1.roles) })
  }
}

/// Kinds of matrices on a command line, with commas between them.
public struct IncludedKinds: OptionValue, Sendable {
  public static let expected = "some of \(TensorRole.includable.map(\.rawValue).joined(separator: ","))"

  public let roles: Set<TensorRole>

  public init?(argument: String) {
    let words = argument.split(separator: ",", omittingEmptySubsequences: false)
    let roles = words.compactMap { word in TensorRole.includable.first { $0.rawValue == word } }
    guard roles.count == words.count else { return nil }
    self.roles = Set(roles)
  }
}

/// What the file itself does not say about the network.
public struct ArchitectureOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Activation of all hidden layers, or one for each layer, for files without architecture.", valueName: "name,…"),
    completion: .list(Activation.kerasNames))
  public var activation: String?

  @Option(
    help: ArgumentHelp(
      "Order of layers, normalizations and functions, for files without architecture.", valueName: "layer,…"))
  public var order: String?

  @Option(
    help: ArgumentHelp(
      "Connect the layers as in another .h5, .keras or .ncz, or a config.json of Keras.", valueName: "file"),
    completion: .file())
  public var like: String?

  @Option(
    help: ArgumentHelp("Storage order of matrices where names and shapes do not tell.", valueName: "order"))
  public var orientation: MatrixOrientation?

  public init() {}

  public func check() throws {
    if like != nil, order != nil || activation != nil {
      throw ValidationError("--like states the whole network: --order and --activation would state it again")
    }
    if like == "-" { throw ValidationError("--like -: the other file cannot be standard input; name it") }
  }

  /// What the caller states of the network; reads the file of `--like`.
  public func assumption(_ reading: () -> ReadingOptions) throws -> Assumption {
    let other = try like.map { path in
      let file = try Input(path)
      return try naming(path) {
        try StatedArchitecture(file.file, size: file.size, name: path, options: reading())
      }
    }
    return Assumption(
      activations: activation.map(list), order: order.map { list($0).map { TensorName($0) } }, like: other,
      orientation: orientation)
  }

  private func list(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }
}

/// A number of seconds on a command line: digits, with a decimal point if one likes; above 0 and at most a million.
public struct ProcessorTime: OptionValue, Sendable {
  public static let expected = "seconds above 0, such as 60"

  public let seconds: Double

  public init?(argument: String) {
    guard argument.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }),
      let seconds = Double(argument), seconds > 0, seconds <= 1e6
    else { return nil }
    self.seconds = seconds
  }
}

extension MatrixOrientation: ExpressibleByArgument {}

/// A number of bytes on a command line: digits, with a decimal point if one likes, then nothing or one of k M G T (10³…)
/// or Ki Mi Gi Ti (2¹⁰…), and `B` if one likes. A fraction of a byte is dropped.
public struct ByteSize: OptionValue, Sendable {
  public static let expected = "a size such as 500k, 16MB or 4GiB"

  public let bytes: Int

  public init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    var unit = argument.dropFirst(digits.count)
    if unit.hasSuffix("B") { unit = unit.dropLast() }
    let factors = [
      "": 1, "k": 1000, "K": 1000, "M": 1_000_000, "G": 1_000_000_000, "T": 1_000_000_000_000,
      "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
    ]
    guard let factor = factors[String(unit)] else { return nil }
    if let count = Int(digits) {
      let (bytes, overflow) = count.multipliedReportingOverflow(by: factor)
      guard !overflow else { return nil }
      self.bytes = bytes
    } else {
      guard let value = Double(digits), value * Double(factor) < 0x1p53 else { return nil }
      bytes = Int(value * Double(factor))
    }
  }
}

/// A number on a command line in decimal digits, perhaps with sign, point and exponent: `.05`, `-1`, `1e-3`. Never
/// infinity, NaN, hexadecimal, or too large to be finite.
public struct FiniteNumber: OptionValue, Sendable {
  public static let expected = "a number such as .05 or 1e-3"

  public let value: Double

  public init?(argument: String) {
    let digits = Set("0123456789+-.eE")
    guard argument.allSatisfy(digits.contains), let value = Double(argument), value.isFinite else { return nil }
    self.value = value
  }
}
