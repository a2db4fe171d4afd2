internal import Compression
internal import Parallel
internal import SystemPackage
internal import Tensors

extension NetworkFile {
  /// Keeps the largest weights of each matrix, or with `isGlobal` of all together.
  func pruneMagnitudes(
    to file: FileDescriptor, _ rule: PruningRule, isGlobal: Bool, _ values: MagnitudeValues,
    _ options: CompressingOptions
  ) throws(NetworkError) -> WritingReport {
    let choice = try choose(by: options.selection)
    var cuts: [Int: MagnitudeCut]?
    if isGlobal, case .keep(let keep) = rule { cuts = try globalCuts(of: choice.tensors.sorted(), keep: keep) }
    let settings =
      rule.settings + (isGlobal ? " --scope network" : "") + (values == .exact ? "" : " --values \(values.rawValue)")
    return try compress(
      to: file, options, settings: settings, choice
    ) { index, bytes in
      do {
        return try pruned(index, bytes, cut: cuts.map { $0[index] ?? .everything }, rule, values)
      } catch let error as NonFiniteWeight {
        guard let type = error.rounded else { return .nonFinite(index: error.index) }
        let position = tensors[index].shape.position(of: error.index)
        return .unchanged("the weight at \(position) is too large for \(type)")
      }
    }
  }

  private func pruned(
    _ index: Int, _ bytes: UnsafeRawBufferPointer, cut: MagnitudeCut?, _ rule: PruningRule, _ values: MagnitudeValues
  ) throws -> Compressed {
    let tensor = tensors[index]
    let threads = options.threads
    let type = tensor.type
    let (rows, columns) = tensor.sourceExtents
    let stored: KeptValues =
      switch values {
      case .exact: tensor.encoding.keptValues
      case .ternary: .exact
      case .float16: .float16
      case .bfloat16: .bfloat16
      }
    if values == .ternary {
      let cut = try cut ?? magnitudeCut(bytes, type: type, rule: rule, threads: threads)
      let result = try Compression.ternarize(
        bytes, type: type, rows: rows, columns: columns, transposed: tensor.isTransposed, cut: cut, threads: threads)
      return .changed(
        .ternary(result.matrix, transposed: tensor.isTransposed), squaredNorm: result.squaredNorm,
        squaredError: result.squaredError, relativeL2: result.relativeL2,
        kept: Kept(count: result.nonzeroCount, of: tensor.shape.count))
    }
    var result: MagnitudePruning
    if let cut {
      result = try Compression.prune(
        bytes, type: type, rows: rows, columns: columns, transposed: tensor.isTransposed, cut: cut, values: stored,
        threads: threads)
    } else {
      result = try pruneMagnitude(
        bytes, type: type, rows: rows, columns: columns, transposed: tensor.isTransposed, rule: rule, values: stored,
        threads: threads)
    }
    // Rounded, they may exceed the bound though all are kept.
    if case .error(let bound) = rule, result.relativeL2 > bound {
      result = try pruneMagnitude(
        bytes, type: type, rows: rows, columns: columns, transposed: tensor.isTransposed, rule: rule, threads: threads)
    }
    var weights = Weights.sparse(result.matrix, transposed: tensor.isTransposed)
    // What is ± a scale already stays so, in two bits a weight.
    if values == .exact, tensor.encoding.isTernary,
      case .ternary(let matrix, let transposed) = try self.weights(of: index)
    {
      weights = .ternary(matrix.masked(by: result.matrix.mask), transposed: transposed)
    }
    return .changed(
      weights, squaredNorm: result.squaredNorm,
      squaredError: result.squaredError, relativeL2: result.relativeL2,
      kept: Kept(count: result.nonzeroCount, of: tensor.shape.count))
  }

  /// The cuts of several matrices that keep the largest weights of all of them; nothing for one with a NaN or an infinity.
  private func globalCuts(of indices: [Int], keep: Fraction) throws(NetworkError) -> [Int: MagnitudeCut] {
    let cuts = try magnitudeCuts(matrices: indices.count, keep: keep, threads: options.threads) {
      (number, body) throws(NetworkError) in
      try withValues(of: indices[number]) { body($0, tensors[indices[number]].type) }
    }
    return Dictionary(
      uniqueKeysWithValues: zip(indices, cuts).compactMap { index, cut in (try? cut.get()).map { (index, $0) } })
  }
}

extension TensorRecord {
  /// Rows and columns of the source: of a tensor that is no matrix, all axes but the last, and the last.
  var sourceExtents: (rows: Int, columns: Int) {
    let (rows, columns) = matrixExtents
    return isTransposed ? (columns, rows) : (rows, columns)
  }
}
