// SPDX-License-Identifier: Apache-2.0

public import Networks

/// What a process answers with (sysexits).
public enum ExitStatus: Int32, Sendable, CaseIterable {
  case usage = 64
  case unusableData = 65
  case noInput = 66
  case unsupported = 69
  case internalError = 70
  case cannotCreate = 73
  case ioError = 74
  case overLimit = 75

  /// A paragraph for the help of a tool, in lines of at most 80 columns.
  ///
  /// - Parameter success: what 0 means, and perhaps 1.
  static func help(success: String) -> String {
    let parts = ["0 \(success)"] + allCases.map { "\($0.rawValue) \($0.meaning)" }
    var lines = ["Exit status:"]
    for (index, part) in parts.enumerated() {
      var words = (part + (index == parts.count - 1 ? "." : ";")).split(separator: " ").map(String.init)
      // A number stays with what it means.
      words[0...1] = [words[0] + " " + words[1]]
      for word in words {
        if lines[lines.count - 1].count + 1 + word.count > 78 { lines.append("") }
        lines[lines.count - 1] += (lines[lines.count - 1].isEmpty ? "" : " ") + word
      }
    }
    return lines.joined(separator: "\n")
  }

  private var meaning: String {
    switch self {
    case .usage: "usage error"
    case .unusableData: "damaged or inconsistent data"
    case .noInput: "input missing or unreadable"
    case .unsupported: "unsupported, or not a network where one is needed"
    case .internalError: "internal error"
    case .cannotCreate: "output exists or cannot be created"
    case .ioError: "reading or writing failed"
    case .overLimit: "over a limit"
    }
  }
}

/// An error with everything its one line on stderr needs.
public struct Failure: Error, Sendable {
  public let status: ExitStatus
  /// The file it is about, if any.
  public let file: String?
  public let message: String

  /// The name of the file that reports go to.
  public static let standardOutput = "standard output"

  public init(_ status: ExitStatus, file: String? = nil, _ message: String) {
    self.status = status
    self.file = file
    self.message = message
  }

  /// The failure that an error of the library means, with the options that help.
  ///
  /// - Parameter file: the file it is about.
  public init(_ error: NetworkError, about file: String) {
    let remedy = error.remedy.map { "; \($0.advice)" } ?? ""
    let bug = error.verdict == .internal ? " (this is a bug in nc; please report it)" : ""
    self.init(ExitStatus(error.verdict), file: error.file ?? file, error.message + remedy + bug)
  }

  /// The failure of work that reads one file and perhaps writes another.
  init(_ error: any Error, input: String, output: String?) {
    let file = (error as? NetworkError)?.verdict == .output ? output ?? "output" : input
    switch error {
    case let failure as Failure: self = failure
    case let error as NetworkError: self.init(error, about: file)
    default: self.init(NetworkError(error), about: file)
    }
  }
}

extension Remedy {
  /// The options that help, as the end of a sentence.
  var advice: String {
    switch self {
    case .memory: "--memory raises the limit"
    case .time: "--time raises the limit"
    case .outputSize: "--max-output-size raises the limit"
    case .architecture: "say --order … --activation …, or --like FILE"
    case .orientation: "say --orientation inputs-outputs or outputs-inputs"
    case .carry(let name): "--except '\(name)' carries it unchanged"
    case .dataset: "--x names another"
    case .rebuilding: "without --layout container a new file is built"
    }
  }
}

extension ExitStatus {
  public init(_ verdict: NetworkError.Verdict) {
    self =
      switch verdict {
      case .corrupt, .unusable: .unusableData
      case .unsupported: .unsupported
      case .overLimit: .overLimit
      case .io, .output: .ioError
      case .usage: .usage
      case .internal: .internalError
      }
  }
}

/// Does `work`, which reads `input` and perhaps writes `output`; errors name the one they are about.
public func naming<Result>(
  _ input: String, _ output: String? = nil, _ work: () throws -> Result
) throws(Failure) -> Result {
  do {
    return try work()
  } catch {
    throw Failure(error, input: input, output: output)
  }
}
