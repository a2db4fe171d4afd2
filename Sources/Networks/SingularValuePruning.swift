internal import Compression
internal import Maths
internal import Parallel
internal import SystemPackage
internal import Tensors

extension NetworkError {
  init(_ error: SingularValueError) {
    if case .tooLarge = error { self.init(.overLimit, "\(error)") } else { self.init(.unsupported, "\(error)") }
  }
}

extension NetworkFile {
  /// Keeps the largest singular values of each matrix.
  func pruneSingularValues(
    to file: FileDescriptor, _ rule: PruningRule, _ options: CompressingOptions
  ) throws(NetworkError) -> WritingReport {
    try compress(
      to: file, options, settings: "--by singular-value \(rule.settings)",
      chosen: chosen(by: options.selection)
    ) { index, bytes in
      let tensor = tensors[index]
      let (rows, columns) = tensor.sourceExtents
      do {
        let needed = try singularValueByteCount(rows: rows, columns: columns, vectors: true)
        guard needed <= self.options.memory else {
          throw NetworkError(
            .overLimit,
            "its singular values take \(needed) bytes of memory, more than \(self.options.memory); --memory raises the limit"
          )
        }
        let result = try Compression.pruneSingularValues(
          bytes, type: tensor.type, rows: rows, columns: columns, transposed: tensor.isTransposed, rule: rule,
          threads: self.options.threads)
        if result.matrix.rank == min(rows, columns) { return .unchanged("nothing to drop") }
        // Rounding adds 2⁻⁸ at most, unless factors vanish.
        if result.relativeL2 > 1.01 * result.spectralError + 0.01 {
          return .unchanged("the weights are too small for float32 factors")
        }
        return .changed(
          .lowRank(result.matrix, transposed: tensor.isTransposed), squaredNorm: result.squaredNorm,
          squaredError: result.squaredError, relativeL2: result.relativeL2,
          kept: Kept(count: result.matrix.rank, of: min(rows, columns)))
      } catch let error as NonFiniteWeight {
        return .nonFinite(index: error.index)
      } catch let error as LowRankOverflow {
        return .unchanged("\(error)")
      } catch let error as SingularValueError {
        throw NetworkError(error)
      }
    }
  }
}
