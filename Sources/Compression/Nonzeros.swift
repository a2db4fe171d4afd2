public import Parallel
public import Tensors

extension SparseMatrix {
  /// The weights of a matrix whose bits are not all zero, among them −0 and what is no finite number.
  ///
  /// - Parameters:
  ///   - bytes: rows · columns little-endian elements, row-major.
  ///   - type: float16, bfloat16, float32 or float64.
  ///   - rows, columns: the shape of the source.
  ///   - transposed: whether the source is inputs × output units, as Keras stores it. The result never is.
  ///   - threads: the result does not depend on it.
  public init(
    nonzerosOf bytes: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, transposed: Bool,
    threads: Threads
  ) {
    let weights = WeightRows(bytes, type: type, rows: rows, columns: columns, transposed: transposed)
    let size = type.byteCount
    self =
      Self.taking(CutRows(keepingAll: weights), of: weights, type: type, threads: threads) { rows, _ in
        rows.keptCount * size
      }.matrix
  }
}
