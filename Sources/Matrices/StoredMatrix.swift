// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// A weight matrix as it is stored.
public struct StoredMatrix: @unchecked Sendable {
  package let weights: WeightRows

  /// - Parameters:
  ///   - bytes: rows · columns little-endian elements, row-major; they must outlive this value.
  ///   - type: float16, bfloat16, float32 or float64.
  ///   - rows, columns: the shape of the source.
  ///   - transposed: whether the source is inputs × output units, as Keras stores it.
  public init(_ bytes: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, transposed: Bool) {
    weights = WeightRows(bytes, type: type, rows: rows, columns: columns, transposed: transposed)
  }

  /// The same as elements in their order, whatever their shape.
  package var elements: SourceElements { SourceElements(bytes: weights.bytes, type: weights.type) }

  public var outputs: Int { weights.rows }
  public var inputs: Int { weights.columns }

  package func withDoubles<R>(_ rows: Range<Int>, _ body: (UnsafeBufferPointer<Double>) -> R) -> R {
    weights.withDoubles(rows) { body(UnsafeBufferPointer(start: $0, count: rows.count * inputs)) }
  }

  /// The weights whose bits are not all zero, without those of some output units and of some inputs.
  public func removing(outputs: [Bool], inputs: [Bool], threads: Threads) -> MaskedMatrix {
    let (weights, size) = (weights, weights.type.byteCount)
    let goneInputs = inputs.indices.filter { inputs[$0] }
    return MaskedMatrix.masking(weights, type: weights.type, threads: threads) { rows, mask in
      var block = Nonzeros()
      let rowBytes = weights.columns * size
      weights.withElements(rows) { elements in
        withUnsafeTemporaryAllocation(byteCount: max(1, 2 * rowBytes), alignment: 64) { room in
          // A byte at least.
          let row = room.baseAddress!
          let kept = row + rowBytes
          for (number, output) in rows.enumerated() where !outputs[output] {
            row.copyMemory(from: elements + number * rowBytes, byteCount: rowBytes)
            for input in goneInputs { (row + input * size).initializeMemory(as: UInt8.self, repeating: 0, count: size) }
            let bits = mask + number * SparseMatrix.maskRowBytes(columns: weights.columns)
            let count = nc_mask_compact(row, weights.columns, size, 0, bits, 0, kept)
            block.count += count
            if count > 0 { block.least = min(block.least, nc_key_least(kept, count, size)) }
          }
        }
      }
      return block
    }.matrix
  }
}

/// Of a block of rows.
private struct Nonzeros: MaskedBlock {
  var count = 0
  var least = UInt64.max
}
