internal import Compression
internal import Matrices
internal import Networks
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
    let method = Step.Method.magnitude(rule, values, isGlobal: isGlobal)
    return try compress(to: file, options, method, choice) { index, bytes in
      let tensor = tensors[index]
      let result = try tensor.pruningMagnitudes(
        bytes, rule, values, cut: cuts.map { $0[index] ?? .everything }, threads: self.options.threads)
      // What is ± a scale already stays so, in two bits a weight.
      if values == .exact, tensor.encoding.isTernary, case .changed(.masked(let kept), let count) = result,
        case .ternary(let matrix, let transposed) = try self.weights(of: index)
      {
        return .changed(.weights(.ternary(matrix.masked(by: kept.mask), transposed: transposed)), kept: count)
      }
      return result
    }
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
  /// Keeps the largest of these weights, or those that a cut keeps which other matrices have decided as well.
  func pruningMagnitudes(
    _ bytes: UnsafeRawBufferPointer, _ rule: PruningRule, _ values: MagnitudeValues, cut: MagnitudeCut?,
    threads: Threads
  ) throws(NetworkError) -> Compressed {
    func pruned(_ stored: KeptValues, cut: MagnitudeCut?) throws(NonFiniteWeight) -> MagnitudePruning {
      if let cut {
        return try Compression.prune(
          matrix(bytes), cut: cut, values: stored,
          threads: threads)
      }
      return try pruneMagnitude(
        matrix(bytes), rule: rule, values: stored,
        threads: threads)
    }
    do throws(NonFiniteWeight) {
      if values == .ternary {
        let cut = if let cut { cut } else { try magnitudeCut(bytes, type: type, rule: rule, threads: threads) }
        let result = try Compression.ternarize(
          matrix(bytes), cut: cut, threads: threads)
        return .changed(
          .weights(.ternary(result.matrix, transposed: isTransposed)),
          kept: Kept(count: result.nonzeroCount, of: shape.count))
      }
      let stored: KeptValues =
        switch values {
        case .exact, .ternary: encoding.keptValues
        case .float16: .float16
        case .bfloat16: .bfloat16
        }
      var result = try pruned(stored, cut: cut)
      // Rounded, they may exceed the bound though all are kept.
      if case .error(let bound) = rule, result.relativeL2 > bound { result = try pruned(.exact, cut: nil) }
      return .changed(.masked(result.matrix), kept: Kept(count: result.nonzeroCount, of: shape.count))
    } catch {
      guard let narrow = error.rounded else { return .nonFinite(index: error.index) }
      return .unchanged("the weight at \(shape.position(of: error.index)) is too large for \(narrow)")
    }
  }
}

extension Encoding {
  /// The type in which values that are so encoded can be stored exactly.
  var keptValues: KeptValues {
    switch self {
    case .sparse(_, .float16, _): .float16
    case .sparse(_, .bfloat16, _): .bfloat16
    default: .exact
    }
  }
}
