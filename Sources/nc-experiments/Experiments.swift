// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ToolSupport

@main
struct Experiments: Tool {
  static let configuration = CommandConfiguration(
    commandName: "nc-experiments",
    abstract: "Run the experiments whose results and pictures the documentation shows.",
    version: Version.text("nc-experiments"),
    subcommands: [Kernels.self, Memory.self, Tradeoff.self])

  func check() {}
}

/// Whole numbers with commas between.
func numbers(_ list: String) throws -> [Int] {
  let numbers = list.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? -1 }
  guard !numbers.isEmpty, numbers.allSatisfy({ $0 >= 0 }) else {
    throw ValidationError("expected numbers with commas between, found '\(list)'")
  }
  return numbers
}
