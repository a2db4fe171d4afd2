internal import Codecs
internal import HDF5
internal import Maths
internal import NCZ
internal import Tensors

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
  }

  public let verdict: Verdict
  /// The object it is about and the sentence, `/dense/kernel: rank 3, expected 2`.
  public let message: String
  /// The file it is about, where that is not the network at hand.
  public let file: String?

  public init(_ verdict: Verdict, _ message: String, file: String? = nil) {
    self.verdict = verdict
    self.message = message
    self.file = file
  }

  /// The same verdict about the named object; what the system says of the output is about no object.
  func of(_ object: TensorName) -> NetworkError { of(object.text) }
  func of(_ object: String) -> NetworkError {
    verdict == .output ? self : NetworkError(verdict, "\(object): \(message)", file: file)
  }

  init(_ error: any Error) {
    self =
      switch error {
      case let error as NetworkError: error
      case let error as NCZError: Self(error)
      case let error as HDF5Error: Self(error)
      case let error as CodecError: Self(error)
      case let error as LayoutError: Self(error)
      case let error as SingularValueError: Self(error)
      case let error as LinearAlgebraError: Self(error)
      case let error as NetworkFunctionError: Self(error)
      default: NetworkError(.io, "\(error)")
      }
  }

  private init(_ error: NCZError) {
    self =
      switch error {
      case .corrupt(let offset, let what): NetworkError(.corrupt, "byte \(offset): \(what)")
      case .unsupported(let what): NetworkError(.unsupported, what)
      case .overLimit(let what): NetworkError(.overLimit, what)
      case .io(let errno): NetworkError(.io, "\(errno)")
      case .output(let errno): NetworkError(.output, "\(errno)")
      }
  }

  private init(_ error: HDF5Error) {
    self =
      switch error {
      case .corrupt(let what): NetworkError(.corrupt, what)
      case .unsupported(let what): NetworkError(.unsupported, what)
      case .overLimit(let what): NetworkError(.overLimit, what)
      case .io(let what): NetworkError(.io, what)
      }
  }

  private init(_ error: CodecError) {
    self.init(error.verdict == .corrupt ? .corrupt : .overLimit, "\(error)")
  }

  private init(_ error: LayoutError) {
    self.init(error.isUsage ? .usage : .unusable, "\(error)")
  }
}

func about<Result>(_ object: TensorName, _ work: () throws -> Result) throws(NetworkError) -> Result {
  try about(object.text, work)
}

/// Does `work`, turning every error into a `NetworkError` about `object`.
func about<Result>(_ object: String? = nil, _ work: () throws -> Result) throws(NetworkError) -> Result {
  do {
    return try work()
  } catch {
    let error = NetworkError(error)
    throw object.map { error.of($0) } ?? error
  }
}
