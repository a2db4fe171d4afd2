// SPDX-License-Identifier: Apache-2.0

/// What a tool says about a file that it has written.
public protocol OutputReport {
  /// What a user should know, one sentence each.
  var remarks: [String] { get }
  /// What became of each tensor, as a table.
  var table: String { get }
  /// One line: sizes, ratio, error.
  ///
  /// - Parameter input: the name of what was read.
  func summary(input: String) -> String
  /// The same as one JSON object.
  ///
  /// - Parameter output: where it was written; `nil` after a dry run.
  func serializedJSON(input: String, output: String?) -> [UInt8]
}
