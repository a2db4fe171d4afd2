// SPDX-License-Identifier: Apache-2.0

/// Why an HDF5 file could not be used. The file's name is added by the tool.
public enum HDF5Error: Error, Sendable, Equatable {
  /// Not an HDF5 file, damaged, cut short or inconsistent; what, and where.
  case corrupt(String)
  /// Sound as far as one can see, but uses a feature that is refused or newer than this library.
  case unsupported(String)
  /// More than the caller's limit on memory allows.
  case overMemory(String)
  /// More than the caller's limit on processor time allows.
  case overTime(String)
  /// More than a fixed limit allows.
  case overLimit(String)
  /// A read or write failed for reasons outside the file.
  case io(String)

  public var message: String {
    switch self {
    case .corrupt(let message), .unsupported(let message), .overMemory(let message), .overTime(let message),
      .overLimit(let message), .io(let message):
      message
    }
  }

  /// The same verdict, its message led by the object it is about.
  func at(_ path: String) -> HDF5Error { about("/" + path) }

  func about(_ subject: String) -> HDF5Error {
    let message = "\(subject): \(message)"
    switch self {
    case .corrupt: return .corrupt(message)
    case .unsupported: return .unsupported(message)
    case .overMemory: return .overMemory(message)
    case .overTime: return .overTime(message)
    case .overLimit: return .overLimit(message)
    case .io: return .io(message)
    }
  }
}
