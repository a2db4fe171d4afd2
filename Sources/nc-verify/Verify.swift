// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import JSON
import Measures
import Networks
import ToolSupport

@main
struct Verify: Tool {
  static let configuration = described(
    "nc-verify",
    "Measure what a compressed network lost: weights, outputs, kernel spectra.",
    """
    The exit status is the verdict. 0: A and B are equal, every --max-… holds, or
    the errors are as B's history records. 1: none of these. 64 and more: no
    verdict. Every error that B's history records is checked against A. Without
    such a record and without a --max-…, any difference gives 1. --no-verdict only
    reports.

      nc-verify net.h5 net.ncz
      nc-prune --keep 0.1 net.h5 | nc-verify net.h5 -
      nc-verify --data test.h5 --max-output 0.05 --max-ntk 0.1 net.h5 net.ncz
      nc-verify --data test.h5 --report report.html net.h5 net.ncz
    """,
    success: "they agree, or no verdict was asked for; 1 they do not")

  @Argument(help: "The original: HDF5, .keras or .ncz; standard input if -.", completion: .file()) var a: String
  @Argument(help: "The compressed network; standard input if omitted or -.", completion: .file()) var b: String?

  @OptionGroup var tolerances: ToleranceOptions
  @OptionGroup var measures: MeasureOptions

  @Option(help: ArgumentHelp("Write an HTML report.", valueName: "file"), completion: .file()) var report: String?
  @Flag(name: .shortAndLong, help: "Replace an existing --report file.") var force = false
  @Flag(help: "Print one JSON object.") var json = false

  @OptionGroup var data: SeveralDataOptions
  @OptionGroup var architecture: ArchitectureOptions
  @OptionGroup var common: CommonOptions

  func check() throws {
    try tolerances.check()
    try measures.check()
    try data.check()
    if measures.points == .all, data.data.isEmpty { throw ValidationError("--points all takes those of --data FILE") }
    try architecture.check()
    try common.check()
    if a == "-", b ?? "-" == "-" { throw ValidationError("only one of the two can be standard input") }
    if try !measures.measures.contains(.weights), tolerances.tolerances.isEmpty, !tolerances.noVerdict {
      throw ValidationError("--measure without weights decides nothing: give a --max-…, or --no-verdict")
    }
    if let report { try Output.Kind.html.check(name: report, of: "--report") }
    if json, report == "-" { throw ValidationError("--json and --report - both write to standard output") }
  }

  func run() throws {
    let first = try Input(a)
    let second = try Input(b)
    let page = try report.map {
      try Output($0, .html, permissions: first.permissions.intersection(second.permissions), force: force)
    }
    let samples = try data.read(common, tool: Self.self)
    let options = try measures.options(samples, tolerances, isOnPage: report != nil)
    let networks = (
      try common.open(first, architecture, tool: Self.self), try common.open(second, architecture, tool: Self.self)
    )
    let result = try verify((first.name, networks.0), (second.name, networks.1), options)
    try first.checkUnchanged()
    try second.checkUnchanged()
    if let page {
      try page.write(result.page(a: first.name, b: second.name))
      try page.finish()
    }
    if json {
      try ToolSupport.report(json: result.json(a: first.name, b: second.name).serialized())
    } else if !common.quiet, !(page?.isStandardOutput ?? false) {
      try ToolSupport.report(result.text(a: first.name, b: second.name, isVerbose: common.verbose))
    }
    for reason in result.reasons { diagnose("nc-verify: \(second.name): \(reason)") }
    if result.verdict == .differs { throw ExitCode(1) }
  }
}

/// Compares two networks; errors name the file they are about, or both.
private func verify(
  _ a: (name: String, network: NetworkFile), _ b: (name: String, network: NetworkFile), _ options: VerifyingOptions
) throws(Failure) -> Verification {
  do throws(VerificationError) {
    return try Measures.verify(a.network, b.network, options)
  } catch {
    let file =
      switch error.side {
      case .a: a.name
      case .b: b.name
      case nil: "\(a.name) and \(b.name)"
      }
    throw Failure(error.error, about: file)
  }
}
