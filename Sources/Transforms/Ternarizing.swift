public import Compression
public import Networks
public import SystemPackage
public import Tensors

extension NetworkFile {
  /// Writes this network as `.ncz` with its dense weight matrices made ternary.
  ///
  /// A matrix with a NaN or an infinity is carried unchanged with a warning, unless `--only` names it.
  public func ternarize(
    to file: FileDescriptor, group: ScaleGroup, rule: TernaryRule, _ options: CompressingOptions
  ) throws(NetworkError) -> WritingReport {
    let method = Step.Method.ternarize(group, rule)
    return try compress(to: file, options, method, try choose(by: options.selection)) { index, values in
      try method.result(of: values, tensors[index], self.options)
    }
  }
}
