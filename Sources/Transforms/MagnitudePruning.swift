// SPDX-License-Identifier: Apache-2.0

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
    var thresholds: [Int: MagnitudeThreshold]?
    if isGlobal, case .keep(let keep) = rule {
      thresholds = try globalThresholds(of: choice.tensors.sorted(), keep: keep)
    }
    let method = Step.Method.magnitude(rule, values, isGlobal: isGlobal)
    return try compress(to: file, options, method, choice) { index, bytes in
      let tensor = tensors[index]
      let result = try tensor.pruningMagnitudes(
        bytes, rule, values, threshold: thresholds.map { $0[index] ?? .everything }, threads: self.options.threads)
      // What is ± a scale already stays so, in two bits a weight.
      if values == .exact, tensor.encoding.mayBeTernary, case .changed(.masked(let kept), let count) = result,
        let matrix = try self.weights(of: index).ternaryMatrix(threads: self.options.threads)
      {
        return .changed(
          .weights(.ternary(matrix.masked(by: kept.mask), transposed: tensor.isTransposed)), kept: count)
      }
      return result
    }
  }

  /// The thresholds of several matrices that keep the largest weights of all of them; `nil` for one with a NaN or an
  /// infinity.
  private func globalThresholds(of indices: [Int], keep: Fraction) throws(NetworkError) -> [Int: MagnitudeThreshold] {
    let thresholds = try magnitudeThresholds(matrices: indices.count, keep: keep, threads: options.threads) {
      (number, body) throws(NetworkError) in
      try withValues(of: indices[number]) { body($0, tensors[indices[number]].type) }
    }
    return Dictionary(
      uniqueKeysWithValues: zip(indices, thresholds).compactMap { index, threshold in
        (try? threshold.get()).map { (index, $0) }
      })
  }
}

extension TensorRecord {
  /// Keeps the largest of these weights, or those that a threshold keeps which other matrices have decided as well.
  func pruningMagnitudes(
    _ bytes: UnsafeRawBufferPointer, _ rule: PruningRule, _ values: MagnitudeValues, threshold: MagnitudeThreshold?,
    threads: Threads
  ) throws(NetworkError) -> Compressed {
    func pruned(_ stored: KeptValues, threshold: MagnitudeThreshold?) throws(NonFiniteWeight) -> MagnitudePruning {
      if let threshold {
        return try Compression.prune(
          matrix(bytes), threshold: threshold, values: stored,
          threads: threads)
      }
      return try pruneMagnitude(
        matrix(bytes), rule: rule, values: stored,
        threads: threads)
    }
    do throws(NonFiniteWeight) {
      if values == .ternary {
        let threshold =
          if let threshold { threshold } else {
            try magnitudeThreshold(bytes, type: type, rule: rule, threads: threads)
          }
        let result = try Compression.ternarize(
          matrix(bytes), threshold: threshold, threads: threads)
        return .changed(
          .weights(.ternary(result.matrix, transposed: isTransposed)),
          kept: Kept(count: result.nonzeroCount, of: shape.count))
      }
      let stored: KeptValues =
        switch values {
        case .exact, .ternary, .levels: encoding.keptValues
        case .float16: .float16
        case .bfloat16: .bfloat16
        }
      var result = try pruned(stored, threshold: threshold)
      // Rounded, they may exceed the bound though all are kept.
      if case .error(let bound) = rule, result.relativeL2 > bound { result = try pruned(.exact, threshold: nil) }
      let kept = Kept(count: result.nonzeroCount, of: shape.count)
      if case .levels(let count) = values {
        return .changed(try levels(count, of: .masked(result.matrix), threads), kept: kept)
      }
      return .changed(.masked(result.matrix), kept: kept)
    } catch {
      guard let narrow = error.rounded else { return .nonFinite(index: error.index) }
      return .unchanged("the weight at \(shape.position(of: error.index)) is too large for \(narrow)")
    }
  }
}

extension TensorRecord {
  /// The best levels for what pruning left, beside zero.
  private func levels(_ count: Int, of pruned: NewValues, _ threads: Threads) throws(NonFiniteWeight) -> NewValues {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(size)
    pruned.forEachPiece(type: type, threads: threads) { bytes.append(contentsOf: $0) }
    let quantized = try bytes.withUnsafeBytes { bytes in
      Result { () throws(NonFiniteWeight) in
        try Compression.quantize(matrix(bytes), levels: count, keepsZeros: true, threads: threads)
      }
    }.get()
    return .weights(.levels(quantized.matrix, transposed: isTransposed))
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
