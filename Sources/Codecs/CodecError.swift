// SPDX-License-Identifier: Apache-2.0

/// Why stored blocks cannot be decoded.
public struct CodecError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Verdict: Sendable, Hashable {
    /// No encoder writes such blocks.
    case corrupt
    /// Sound, perhaps, but larger than this format allows.
    case overLimit
  }

  public let verdict: Verdict
  /// The part the trouble is in, such as `codes`; empty where the whole tensor is meant.
  public var part = ""
  /// The block of the part.
  public var block: Int?
  /// One sentence without full stop.
  public let what: String

  static func corrupt(_ what: String) -> CodecError { CodecError(verdict: .corrupt, what: what) }
  static func overLimit(_ what: String) -> CodecError { CodecError(verdict: .overLimit, what: what) }

  public var description: String {
    (part.isEmpty ? "" : "\(part), ") + (block.map { "block \($0): " } ?? "") + what
  }
}

/// Runs `body`, and adds to a `CodecError` the place it comes from where that is not known yet.
func locating<Result>(_ part: String, _ block: Int, _ body: () throws -> Result) throws -> Result {
  do {
    return try body()
  } catch var error as CodecError {
    if error.part.isEmpty { error.part = part }
    if error.block == nil { error.block = block }
    throw error
  }
}
