// SPDX-License-Identifier: Apache-2.0

public import Networks
public import SystemPackage

extension NetworkFile {
  /// Writes this network as `.ncz` with a method applied to its dense weight matrices.
  ///
  /// A matrix with a NaN or an infinity is carried unchanged with a warning, unless `--only` names it.
  ///
  /// - Returns: what became of each tensor.
  public func apply(
    _ method: Step.Method, to file: FileDescriptor, _ options: CompressingOptions
  ) throws(NetworkError) -> WritingReport {
    try apply(method, to: file, options, Decompositions(byteCount: 0))
  }

  /// The same.
  ///
  /// - Parameter decompositions: keeps what a repeated call would compute again.
  func apply(
    _ method: Step.Method, to file: FileDescriptor, _ options: CompressingOptions, _ decompositions: Decompositions
  ) throws(NetworkError) -> WritingReport {
    switch method {
    case .ternarize, .quantize:
      return try compress(to: file, options, method, try choose(by: options.selection)) { index, values in
        try method.result(of: values, tensors[index], self.options)
      }
    case .magnitude(let rule, let values, let isGlobal):
      return try pruneMagnitudes(to: file, rule, isGlobal: isGlobal, values, options)
    case .singularValue(let rule):
      return try pruneSingularValues(to: file, rule, options, decompositions)
    case .node(let rule):
      return try pruneUnits(to: file, rule, options)
    case .narrowBiases:
      var narrowing = options
      narrowing.narrowsBiases = true
      return try compress(to: file, narrowing, method, Choice()) { _, _ in .unchanged("it is no bias") }
    case .dropOptimizer:
      var dropping = options
      dropping.dropsOptimizer = true
      return try compress(to: file, dropping, method, Choice()) { _, _ in
        .unchanged("it is no training state")
      }
    }
  }
}
