internal import Networks

/// What `--version` prints: the toolkit's version and those of the libraries that decide its bytes.
public enum Version {
  public static let number = "0.1.0"

  /// `nc-info 0.1.0`, then one line for the libraries.
  public static func text(_ tool: String) -> String {
    "\(tool) \(number)\n" + NetworkFile.libraries.map { "\($0.name) \($0.version)" }.joined(separator: ", ")
  }
}
