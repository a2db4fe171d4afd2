// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Networks
import Testing

@testable import ToolSupport

@Suite("Options of limits")
struct LimitOptionsTests {
  private struct Sample: Tool {
    static let configuration = CommandConfiguration(commandName: "nc-x")
    func check() throws {}
    func run() throws {}
  }

  /// Whatever a file claims, or is as large as.
  @Test func memoryIsFixedUnlessItIsSaid() throws {
    #expect(try CommonOptions.parse([]).reading(tool: Sample.self).memory == 4 << 30)
    #expect(try CommonOptions.parse(["--memory", "8GiB"]).reading(tool: Sample.self).memory == 8 << 30)
  }

  @Test func whatIsWrittenIsLimitedApart() throws {
    #expect(try CommonOptions.parse([]).reading(tool: Sample.self).output == nil)
    #expect(try CommonOptions.parse(["--max-output-size", "10k"]).reading(tool: Sample.self).output == 10_000)
  }
}
