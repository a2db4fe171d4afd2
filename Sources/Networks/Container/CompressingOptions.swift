// SPDX-License-Identifier: Apache-2.0

/// What every tool that changes values is told.
public struct CompressingOptions: Sendable {
  public var selection: Selection
  /// Restore optimizer state as zeros; without a container, leave it out.
  public var dropsOptimizer: Bool
  /// Round biases to float16.
  public var narrowsBiases: Bool
  public var writing: WritingOptions
  /// Recorded in each changed tensor's history.
  public var tool: String
  public var version: String

  public init(
    selection: Selection, dropsOptimizer: Bool, narrowsBiases: Bool = false, writing: WritingOptions, tool: String,
    version: String
  ) {
    self.selection = selection
    self.dropsOptimizer = dropsOptimizer
    self.narrowsBiases = narrowsBiases
    self.writing = writing
    self.tool = tool
    self.version = version
  }
}
