// SPDX-License-Identifier: Apache-2.0

public import Codecs
public import HDF5
public import NCZ
internal import SystemPackage
public import Tensors

/// Why a network file could not be read, changed or written. The tool adds the file's name.
public struct NetworkError: Error, Sendable, Equatable {
  public enum Verdict: Sendable {
    /// The bytes break the rules of their format.
    case corrupt
    /// Sound, but of a kind that is refused or newer than this program.
    case unsupported
    /// Sound, but its values or shapes cannot be used for what was asked.
    case unusable
    /// Larger than a limit.
    case overLimit
    /// The operating system refused to read the input.
    case io
    /// The operating system refused to write the output.
    case output
    /// What was asked for makes no sense for this file.
    case usage
    /// Nobody expected this error: a bug.
    case `internal`
  }

  public let verdict: Verdict
  /// The object it is about and the sentence, `/dense/kernel: rank 3, expected 2`.
  public let message: String
  /// The file it is about, where that is not the network at hand.
  public let file: String?
  /// What a caller can do about it, if anything.
  public let remedy: Remedy?

  public init(_ verdict: Verdict, _ message: String, file: String? = nil, remedy: Remedy? = nil) {
    self.verdict = verdict
    self.message = message
    self.file = file
    self.remedy = remedy
  }

  /// The same verdict about the named object; what the system says of the output is about no object.
  func of(_ object: TensorName) -> NetworkError { of(object.text) }
  func of(_ object: String) -> NetworkError {
    verdict == .output ? self : saying("\(object): \(message)")
  }

  /// The same with another sentence, and perhaps another verdict.
  func saying(_ message: String, _ verdict: Verdict? = nil) -> NetworkError {
    NetworkError(verdict ?? self.verdict, message, file: file, remedy: remedy)
  }

  /// What another error means for a network file: that of the system that reading failed. One that nobody knows is a bug.
  public init(_ error: any Error) {
    self =
      switch error {
      case let error as NetworkError: error
      case let error as any NetworkErrorConvertible: error.networkError
      case let error as Errno: NetworkError(.io, "\(error)")
      default: NetworkError(.internal, "\(error)")
      }
  }
}

/// What a caller can do about an error. A tool spells it with its own options.
public enum Remedy: Sendable, Hashable {
  /// Raise the limit on memory.
  case memory
  /// Raise the limit on processor time.
  case time
  /// Raise the limit on the size of what is unpacked.
  case outputSize
  /// State how the layers are connected.
  case architecture
  /// State which way round matrices are stored.
  case orientation
  /// Carry this tensor unchanged.
  case carry(TensorName)
  /// Name the dataset of samples.
  case dataset
  /// Build a new file.
  case rebuilding
}

/// An error of a module that knows no network files, and what it means for one.
public protocol NetworkErrorConvertible: Error {
  var networkError: NetworkError { get }
}

extension NCZError: NetworkErrorConvertible {
  public var networkError: NetworkError {
    switch self {
    case .corrupt(let offset, let what): NetworkError(.corrupt, "byte \(offset): \(what)")
    case .unsupported(let what): NetworkError(.unsupported, what)
    case .overLimit(let what): NetworkError(.overLimit, what)
    case .io(let errno): NetworkError(.io, "\(errno)")
    case .output(let errno): NetworkError(.output, "\(errno)")
    }
  }
}

extension HDF5Error: NetworkErrorConvertible {
  public var networkError: NetworkError {
    switch self {
    case .corrupt(let what): NetworkError(.corrupt, what)
    case .unsupported(let what): NetworkError(.unsupported, what)
    case .overMemory(let what): NetworkError(.overLimit, what, remedy: .memory)
    case .overTime(let what): NetworkError(.overLimit, what, remedy: .time)
    case .overLimit(let what): NetworkError(.overLimit, what)
    case .io(let what): NetworkError(.io, what)
    }
  }
}

extension CodecError: NetworkErrorConvertible {
  public var networkError: NetworkError {
    NetworkError(verdict == .corrupt ? .corrupt : .overLimit, "\(self)")
  }
}

extension LayoutError: NetworkErrorConvertible {
  public var networkError: NetworkError { NetworkError(isUsage ? .usage : .unusable, "\(self)") }
}

package func about<Result>(_ object: TensorName, _ work: () throws -> Result) throws(NetworkError) -> Result {
  try about(object.text, work)
}

/// Does `work`, turning every error into a `NetworkError` about `object`.
package func about<Result>(_ object: String? = nil, _ work: () throws -> Result) throws(NetworkError) -> Result {
  do {
    return try work()
  } catch {
    let error = NetworkError(error)
    throw object.map { error.of($0) } ?? error
  }
}
