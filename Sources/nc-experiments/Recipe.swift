// SPDX-License-Identifier: Apache-2.0

import Compression
import Networks
import ToolSupport
import Transforms

/// One or two commands that compress a network, as a pipeline spells them: `nc-prune --keep 0.3 | nc-ternarize --scale-per row`.
struct Recipe {
  let text: String
  private let steps: [(tool: String, action: Action)]

  private enum Action {
    case method(Step.Method)
    /// One step for all matrices, found for an error.
    case step(maxError: Double)
  }

  /// - Throws: status 70 for text that no history would hold: this program wrote it.
  init(_ text: String) throws(Failure) {
    self.text = text
    var steps: [(tool: String, action: Action)] = []
    for command in text.split(separator: "|") {
      let words = command.split(separator: " ").map(String.init)
      guard let tool = words.first else { throw Failure(.internalError, "no method") }
      if tool == "nc-quantize", words.count == 3, words[1] == "--max-error", let error = Double(words[2]) {
        steps.append((tool, .step(maxError: error)))
      } else if let method = Step.Method(tool: tool, options: words.dropFirst().joined(separator: " ")) {
        steps.append((tool, .method(method)))
      } else {
        throw Failure(.internalError, "no such method: \(command)")
      }
    }
    self.steps = steps
  }

  /// The network after all steps, and how many bytes its `.ncz` file takes.
  func applied(to network: NetworkFile, reading: ReadingOptions) throws(NetworkError) -> (NetworkFile, bytes: Int) {
    var (network, bytes) = (network, network.size)
    for (tool, action) in steps {
      let file = try temporaryFile()
      let options = CompressingOptions(
        selection: Selection(), dropsOptimizer: false, writing: WritingOptions(level: nil, isMapped: false), tool: tool,
        version: Version.number)
      let report =
        switch action {
        case .method(let method): try network.apply(method, to: file, options)
        case .step(let error): try network.quantize(.maxError(error), to: file, options)
        }
      bytes = report.outputBytes
      // The file goes when the process ends: what is opened here may be read until then.
      network = try NetworkFile(file, size: bytes, options: reading)
    }
    return (network, bytes)
  }
}
