// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
import ToolSupport
import Transforms

extension KernelOptions.WeightSource: ExpressibleByArgument {}
extension KernelOptions.ReadoutFit: ExpressibleByArgument {}

struct MatchingRule: OptionValue {
  static let expected = "none, levels:3 … levels:16, sigma-t or sigma-q"
  let value: KernelOptions.Matching

  init?(argument: String) {
    guard let value = KernelOptions.Matching(argument) else { return nil }
    self.value = value
  }
}

struct LayerWidths: OptionValue {
  static let expected = "numbers of units, 1…1000000, with commas between"
  let values: [Int]

  init?(argument: String) {
    let values = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    guard !values.isEmpty, values.count <= 64, values.allSatisfy({ (1...1_000_000).contains($0) }) else { return nil }
    self.values = values
  }
}

struct RidgePenalty: OptionValue {
  static let expected = "a number ≥ 0"
  let value: Double

  init?(argument: String) {
    guard let number = FiniteNumber(argument: argument)?.value, number >= 0 else { return nil }
    value = number
  }
}
