// SPDX-License-Identifier: Apache-2.0

/// What every tool that changes values is told.
public struct CompressingOptions: Sendable {
  public var selection: Selection
  /// Restore optimizer state as zeros.
  public var dropsOptimizer: Bool
  public var writing: WritingOptions
  /// Recorded in each changed tensor's history.
  public var tool: String
  public var version: String

  public init(
    selection: Selection, dropsOptimizer: Bool, writing: WritingOptions, tool: String, version: String
  ) {
    self.selection = selection
    self.dropsOptimizer = dropsOptimizer
    self.writing = writing
    self.tool = tool
    self.version = version
  }
}
