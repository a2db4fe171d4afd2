// SPDX-License-Identifier: Apache-2.0

import Compression
import Tensors
import Testing

@testable import Networks
@testable import Transforms

/// Steps as values: what is spelled is read, and nothing else is.
@Suite("Methods of steps") struct StepMethodTests {
  private static let methods: [(tool: String, method: Step.Method, options: String)] = [
    ("nc-ternarize", .ternarize(.tensor, .optimal), "--scale-per tensor"),
    ("nc-ternarize", .ternarize(.row, .optimal), "--scale-per row"),
    ("nc-ternarize", .ternarize(.inputs(7), .sparsity(Fraction(".7")!)), "--scale-per 7 --sparsity 0.7"),
    ("nc-ternarize", .dropOptimizer, "--drop optimizer"), ("nc-prune", .dropOptimizer, "--drop optimizer"),
    ("nc-prune", .magnitude(.keep(.one), .exact, isGlobal: false), "--keep 1"),
    (
      "nc-prune", .magnitude(.keep(Fraction("1e-3")!), .ternary, isGlobal: true),
      "--keep 0.001 --scope network --values ternary"
    ),
    ("nc-prune", .magnitude(.error(0.25), .bfloat16, isGlobal: false), "--max-error 0.25 --values bfloat16"),
    ("nc-prune", .singularValue(.error(1e-5)), "--by singular-value --max-error 1e-05"),
    ("nc-prune", .node(.keep(Fraction(".5")!)), "--by node --keep 0.5"),
  ]

  @Test func whatIsSpelledIsRead() {
    for (tool, method, options) in Self.methods {
      #expect(method.options == options)
      #expect(Step.Method(tool: tool, options: options) == method, "\(tool) \(options)")
    }
  }

  @Test(
    arguments: [
      ("nc-prune", ""), ("nc-prune", "--keep"), ("nc-prune", "--keep .5"), ("nc-prune", "--keep 0.50"),
      ("nc-prune", " --keep 0.5"), ("nc-prune", "--keep  0.5"), ("nc-prune", "--keep 9"),
      ("nc-prune", "--max-error -1"),
      ("nc-prune", "--max-error nan"), ("nc-prune", "--by node"), ("nc-prune", "--by row --keep 0.5"),
      ("nc-prune", "--keep 0.5 --keep 0.5"), ("nc-prune", "--values ternary --keep 0.5"),
      ("nc-prune", "--keep 0.5 --values exact"), ("nc-prune", "--keep 0.5 --x y"), ("nc-prune", "--scale-per row"),
      ("nc-ternarize", "--keep 0.5"), ("nc-ternarize", "--scale-per 0"), ("nc-ternarize", "--scale-per +1"),
      ("nc-ternarize", "--scale-per row --sparsity 2"), ("nc-ternarize", "--drop all"), ("nc-squeeze", "--keep 0.5"),
    ])
  func whatIsNotSpelledSoIsNot(tool: String, options: String) {
    #expect(Step.Method(tool: tool, options: options) == nil)
  }
}
