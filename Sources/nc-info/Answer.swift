// SPDX-License-Identifier: Apache-2.0

import Formatting
import JSON
import Measures
import Networks
import ToolSupport

extension Info {
  /// What there is to say about one file.
  func answer(about path: String) throws(Failure) -> (text: String, json: JSONValue) {
    let input = try Input(path)
    let network = try naming(input.name) {
      let assumption = try architecture.assumption { common.reading(tool: Self.self) }
      return try NetworkFile(input.file, size: input.size, options: common.reading(assumption, tool: Self.self))
    }
    let samples = try naming(data.data ?? input.name) {
      data.data == nil ? nil : try data.read(common, tool: Self.self)
    }
    let answer = try naming(input.name) {
      if equivalent { return try comparison(of: network, samples, input) }
      return stats ? try statistics(of: network, input) : try listing(of: network, input)
    }
    try input.checkUnchanged()
    // Which file an object of several is about.
    guard inputs.count > 1, let members = answer.json.members else { return answer }
    return (answer.text, .object(members + [.init("file", .string(input.name))]).canonical())
  }

  private func listing(of network: NetworkFile, _ input: borrowing Input) throws -> (text: String, json: JSONValue) {
    if test { try network.test(scratch: try temporaryFile()) }
    let output = try plot.map { try Output($0, .svg, permissions: input.permissions, force: force) }
    let listing = network.listing
    let isAlone = output?.isStandardOutput == true
    if let output {
      try input.checkUnchanged()
      try output.write(listing.picture(title: input.name))
      try output.finish()
    }
    if json { return ("", listing.json) }
    if isAlone { return ("", .null) }
    guard test else { return (listing.text(name: input.name, isVerbose: common.verbose), .null) }
    let tested = common.verbose ? ": \(listing.rows.count) tensors, \(input.size) bytes" : ""
    return (common.quiet ? "" : "\(printable(input.name)): sound\(tested)\n", .null)
  }

  private func statistics(of network: NetworkFile, _ input: borrowing Input) throws -> (text: String, json: JSONValue) {
    let output = try plot.map { try Output($0, .svg, permissions: input.permissions, force: force) }
    let curves = try network.statistics(
      keeps: Statistics.tableKeeps + (plot == nil ? [] : Statistics.plotKeeps), selection: selection.selection)
    try input.checkUnchanged()
    let isAlone = output?.isStandardOutput == true
    if let output {
      try output.write(curves.at(Statistics.plotKeeps).picture(title: input.name))
      try output.finish()
    }
    let statistics = curves.at(Statistics.tableKeeps)
    return (isAlone ? "" : statistics.text(name: input.name), statistics.json)
  }

  private func comparison(
    of network: NetworkFile, _ samples: DataFile?, _ input: borrowing Input
  ) throws -> (text: String, json: JSONValue) {
    let output = try plot.map { try Output($0, .svg, permissions: input.permissions, force: force) }
    let comparison = try network.compareWithWide(
      WideComparisonOptions(
        data: samples, points: wide.points, seed: wide.seed, sparsity: wide.sparsity, withSpectra: plot != nil))
    try input.checkUnchanged()
    let isAlone = output?.isStandardOutput == true
    if let output {
      try output.write(comparison.picture(title: input.name))
      try output.finish()
    }
    return (isAlone ? "" : comparison.text(name: input.name), comparison.json)
  }
}
