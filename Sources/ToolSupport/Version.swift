// SPDX-License-Identifier: Apache-2.0

internal import Networks

/// What `--version` prints: the toolkit's version and those of the libraries that decide its bytes.
public enum Version {
  public static let number = "0.1.0"

  /// `nc-info 0.1.0`, then one line for the libraries, and one for what confines the process that runs libhdf5.
  public static func text(_ tool: String) -> String {
    let libraries = NetworkFile.libraries.map { "\($0.name) \($0.version)" }.joined(separator: ", ")
    return "\(tool) \(number)\n\(libraries)\nHDF5 confined by: \(NetworkFile.sandbox)"
  }
}
