// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// The restored values of a seeded matrix in slabs, as those of `TernarySlabs`; the trits of a slab are drawn when it is
/// decoded.
public struct SeededSlabs: Slabs {
  private let matrix: SeededMatrix
  public let grid: SlabGrid
  private let transposed: Bool
  private var type: ElementType { grid.type }

  /// Weights of a slab.
  private static let weights = 1 << 20

  /// - Parameters:
  ///   - type: float16, bfloat16, float32 or float64.
  ///   - transposed: whether the source is inputs × output units, as Keras stores it.
  public init(_ matrix: SeededMatrix, type: ElementType, transposed: Bool) {
    self.init(matrix, type: type, transposed: transposed, slabWeights: Self.weights)
  }

  init(_ matrix: SeededMatrix, type: ElementType, transposed: Bool, slabWeights: Int) {
    precondition(type.isFloat, "weights are floating-point numbers")
    self.matrix = matrix
    self.transposed = transposed
    let (rows, columns) = transposed ? (matrix.columns, matrix.rows) : (matrix.rows, matrix.columns)
    grid = SlabGrid(type: type, rows: rows, columns: columns, rowsPerSlab: max(1, slabWeights / max(1, columns)))
  }

  public func decode(_ slab: Int, into out: UnsafeMutableRawBufferPointer) {
    precondition(out.count == bytes(of: slab).count, "room for the slab")
    guard let base = out.baseAddress else { return }
    let range = grid.rows(of: slab)
    guard transposed else { return unpack(range, inputs: 0..<matrix.columns, to: base) }
    grid.transpose(slab, to: base) { units, tile in unpack(units, inputs: range, to: tile) }
  }

  /// Writes the given inputs of output units, unit by unit.
  private func unpack(_ units: Range<Int>, inputs: Range<Int>, to out: UnsafeMutableRawPointer) {
    let size = type.byteCount
    let sign = UInt64(1) << UInt64(8 * size - 1)
    let groups = matrix.group.perRow(columns: matrix.columns)
    withUnsafeTemporaryAllocation(
      byteCount: TernaryMatrix.rowBytes(columns: inputs.count), alignment: 8
    ) { codes in
      guard let codes = codes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
      for unit in units {
        matrix.draw(inputs, of: unit, to: codes)
        let values = out + (unit - units.lowerBound) * inputs.count * size
        for g in 0..<groups {
          let run = matrix.group.inputs(g, columns: matrix.columns).clamped(to: inputs)
          if run.isEmpty { continue }
          let plus = type.bits(matrix.scales[matrix.group == .tensor ? 0 : unit * groups + g])
          let first = run.lowerBound - inputs.lowerBound
          nc_ternary_unpack(codes, first, run.count, size, plus, plus | sign, values + first * size)
        }
      }
    }
  }
}

extension SeededMatrix {
  /// Writes the trits of some inputs of an output unit, packed from a byte boundary on.
  fileprivate func draw(_ inputs: Range<Int>, of unit: Int, to codes: UnsafeMutablePointer<UInt8>) {
    nc_seeded_trits(
      trits.seed, UInt32(trits.threshold), unit * columns + inputs.lowerBound, inputs.count, codes)
  }
}

extension TernaryMatrix {
  /// A seeded matrix with its trits, two bits each, as products need them.
  public init(_ matrix: SeededMatrix, threads: Threads) {
    let rowBytes = TernaryMatrix.rowBytes(columns: matrix.columns)
    let size = matrix.rows * rowBytes
    let rowsAtOnce = max(1, (1 << 20) / max(1, matrix.columns))
    let codes = [UInt8](unsafeUninitializedCapacity: size) { codes, count in
      nonisolated(unsafe) let codes = codes
      threads.forEach(size == 0 ? 0 : (matrix.rows - 1) / rowsAtOnce + 1) { part in
        guard let base = codes.baseAddress else { return }
        for row in part * rowsAtOnce..<min(matrix.rows, (part + 1) * rowsAtOnce) {
          matrix.draw(0..<matrix.columns, of: row, to: base + row * rowBytes)
        }
      }
      count = size
    }
    self.init(
      rows: matrix.rows, columns: matrix.columns, group: matrix.group, codes: codes, scales: matrix.scales)!
  }
}

extension Weights {
  /// A ternary matrix, whether its trits are stored or drawn; `nil` for others.
  public func ternaryMatrix(threads: Threads) -> TernaryMatrix? {
    switch self {
    case .ternary(let matrix, _): matrix
    case .seeded(let matrix, _): TernaryMatrix(matrix, threads: threads)
    case .dense, .sparse, .levels, .lowRank: nil
    }
  }
}
