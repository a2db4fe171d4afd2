// SPDX-License-Identifier: Apache-2.0

public import SystemPackage

/// Why a `.ncz` file could not be read or written. The file's name is added by the tool.
public enum NCZError: Error, Sendable, Equatable {
  /// The bytes break the specification: where, and what was found beside what was expected.
  case corrupt(offset: Int, String)
  /// Sound, but needs a newer reader.
  case unsupported(String)
  /// Larger than a limit of the specification.
  case overLimit(String)
  /// The operating system refused to read.
  case io(Errno)
  /// The operating system refused to write.
  case output(Errno)
}
