public import Compression
public import SystemPackage
public import Tensors

extension NetworkFile {
  /// Writes this network as `.ncz` with its dense weight matrices made ternary.
  ///
  /// A matrix with a NaN or an infinity is carried unchanged with a warning, unless `--only` names it.
  public func ternarize(
    to file: FileDescriptor, group: ScaleGroup, rule: TernaryRule, _ options: CompressingOptions
  ) throws(NetworkError) -> WritingReport {
    try compress(
      to: file, options, settings: settings(group, rule), try choose(by: options.selection)
    ) { index, values in
      let tensor = tensors[index]
      let extents = tensor.shape.extents
      do throws(NonFiniteWeight) {
        let result = try Compression.ternarize(
          values, type: tensor.type, rows: extents[0], columns: extents[1], transposed: tensor.isTransposed,
          group: group, rule: rule, threads: self.options.threads)
        return .changed(
          .ternary(result.matrix, transposed: tensor.isTransposed), squaredNorm: result.squaredNorm,
          squaredError: result.squaredError, relativeL2: result.relativeL2)
      } catch {
        return .nonFinite(index: error.index)
      }
    }
  }

  private func settings(_ group: ScaleGroup, _ rule: TernaryRule) -> String {
    let scalePer =
      switch group {
      case .tensor: "tensor"
      case .row: "row"
      case .inputs(let count): String(count)
      }
    return switch rule {
    case .optimal: "--scale-per \(scalePer)"
    case .sparsity(let fraction): "--scale-per \(scalePer) --sparsity \(fraction)"
    }
  }
}
