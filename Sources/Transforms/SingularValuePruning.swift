// SPDX-License-Identifier: Apache-2.0

internal import Compression
public import Maths
internal import Matrices
public import Networks
internal import Parallel
internal import SystemPackage
internal import Tensors

/// Decompositions that are kept between several rules, as many as fit the memory.
final class Decompositions {
  private var known: [Int: SingularValueDecomposition] = [:]
  private var room: Int

  init(byteCount: Int) { room = byteCount }

  /// Does `work` with the decomposition of a matrix of `byteCount` bytes, if it is known, and keeps what it leaves.
  fileprivate func with<Result>(
    _ index: Int, byteCount: Int, _ work: (inout SingularValueDecomposition?) throws -> Result
  ) rethrows -> Result {
    var decomposition = known[index]
    let isNew = decomposition == nil
    let result = try work(&decomposition)
    if isNew, let decomposition, byteCount <= room {
      known[index] = decomposition
      room -= byteCount
    }
    return result
  }
}

extension NetworkFile {
  /// Keeps the largest singular values of each matrix.
  func pruneSingularValues(
    to file: FileDescriptor, _ rule: PruningRule, _ options: CompressingOptions, _ decompositions: Decompositions
  ) throws(NetworkError) -> WritingReport {
    try compress(to: file, options, .singularValue(rule), try choose(by: options.selection)) { index, bytes in
      let (rows, columns) = tensors[index].matrixDimensions
      return try decompositions.with(index, byteCount: 8 * min(rows, columns) * (rows + columns + 1)) {
        try tensors[index].pruningSingularValues(bytes, rule, self.options, known: &$0)
      }
    }
  }
}

extension TensorRecord {
  /// Keeps the largest singular values of a matrix with these values.
  ///
  /// - Parameter known: the decomposition, once it was made.
  func pruningSingularValues(
    _ bytes: UnsafeRawBufferPointer, _ rule: PruningRule, _ options: ReadingOptions,
    known: inout SingularValueDecomposition?
  ) throws(NetworkError) -> Compressed {
    let (rows, columns) = matrixDimensions
    do {
      let needed = try singularValueByteCount(rows: rows, columns: columns, vectors: true)
      guard needed <= options.memory else {
        throw NetworkError(
          .overLimit,
          "its singular values take \(needed) bytes of memory, more than \(options.memory)", remedy: .memory)
      }
      options.tell("singular values of \(name)")
      let result = try Compression.pruneSingularValues(
        matrix(bytes), rule: rule,
        threads: options.threads, known: &known)
      if result.matrix.rank == min(rows, columns) { return .unchanged("nothing would be dropped") }
      // Rounding adds 2⁻⁸ at most, unless factors vanish.
      if result.relativeL2 > 1.01 * result.spectralError + 0.01 {
        return .unchanged("the weights are too small for float32 factors")
      }
      return .changed(
        .weights(.lowRank(result.matrix, transposed: isTransposed)),
        kept: Kept(count: result.matrix.rank, of: min(rows, columns)))
    } catch let error as NonFiniteWeight {
      return .nonFinite(index: error.index)
    } catch let error as LowRankOverflow {
      return .unchanged("\(error)")
    } catch {
      throw NetworkError(error)
    }
  }
}

extension SingularValueError: NetworkErrorConvertible {
  public var networkError: NetworkError {
    switch self {
    case .tooLarge, .noMemory: NetworkError(.overLimit, "\(self)")
    case .notFinite, .noLibrary, .notConverged: NetworkError(.unsupported, "\(self)")
    }
  }
}

extension LinearAlgebraError: NetworkErrorConvertible {
  public var networkError: NetworkError {
    switch self {
    case .noMemory: NetworkError(.overLimit, "\(self)")
    case .noLibrary, .tooLarge: NetworkError(.unsupported, "\(self)")
    case .notFinite, .notConverged: NetworkError(.unusable, "\(self)")
    }
  }
}
