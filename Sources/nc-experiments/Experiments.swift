// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ToolSupport

@main
struct Experiments: Tool {
  static let configuration = CommandConfiguration(
    commandName: "nc-experiments",
    abstract: "Run the experiments whose results and pictures the documentation shows.",
    version: Version.text("nc-experiments"),
    subcommands: [Memory.self, Tradeoff.self])

  func check() {}
}
