// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// The largest singular value of a matrix, σ₁ = ‖W‖₂, by Lanczos's method on WᵀW.
public struct LargestSingularValue: Sendable, Equatable {
  /// Never above σ₁ but for rounding, 10⁻⁶ of it.
  public let value: Double
  /// Whether a singular value lies within 10⁻⁴ of it, relatively; else it is a lower bound.
  public let isConverged: Bool

  /// Of a matrix M, or of M − N, read once for each iteration.
  ///
  /// - Parameters:
  ///   - type: float16, bfloat16, float32 or float64; narrower ones than float64 are multiplied as float32.
  ///   - rows, columns: as the elements are stored. (A transposed matrix has the same singular values.)
  ///   - norm: the Frobenius norm, finite.
  ///   - iterations: the maximum number.
  ///   - threads: the result does not depend on it.
  ///   - forEachWindow: calls `body` with some rows of M and the same of N, if there is one, front to back.
  /// - Throws: `LinearAlgebraError`, or what `forEachWindow` throws.
  public init(
    _ type: ElementType, rows: Int, columns: Int, norm: Double, iterations: Int = 300, threads: Threads,
    _ forEachWindow: (_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer?) -> Void) throws -> Void
  ) throws {
    precondition(type.isFloat && norm.isFinite, "finite floating-point numbers")
    guard norm > 0, rows > 0, columns > 0 else {
      (value, isConverged) = (0, true)
      return
    }
    // In float32 squares of others would leave its range, or digits.
    let isNarrow = type != .float64 && 0x1p-48...0x1p48 ~= norm
    let unit = isNarrow ? 1 : norm.binade
    let (square, isConverged) = try largestEigenvalue(count: columns, tolerance: 2e-4, iterations: iterations) { x, y in
      y.update(repeating: 0, count: columns)
      if isNarrow {
        try withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { narrow in
          for i in 0..<columns { narrow[i] = Float(x[i]) }
          guard let x = narrow.baseAddress else { return }
          try forEachWindow { a, b in
            let product = GramProduct(type, a, b, columns: columns, threads: threads)
            product.add(x, to: y) { nc_gram_add($0, $1, $2, columns, $3, $4) }
          }
        }
      } else {
        try forEachWindow { a, b in
          let product = GramProduct(type, a, b, columns: columns, unit: unit, threads: threads)
          product.add(x, to: y) { nc_wide_gram_add($0, $1, $2, columns, $3, $4) }
        }
      }
    }
    value = square.squareRoot() * unit
    self.isConverged = isConverged
  }
}

/// The product of some rows with a vector, and of their transpose with the result, so that they are read once.
private struct GramProduct: @unchecked Sendable {
  let type: ElementType
  let a: UnsafeRawBufferPointer
  let b: UnsafeRawBufferPointer?
  let columns: Int
  let unit: Double
  let threads: Threads
  private let rows: Int

  init(
    _ type: ElementType, _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer?, columns: Int, unit: Double = 1,
    threads: Threads
  ) {
    (self.type, self.a, self.b) = (type, a, b)
    (self.columns, self.unit, self.threads) = (columns, unit, threads)
    rows = a.count / (columns * type.byteCount)
  }

  /// y += WᵀWx, W the rows: in blocks that do not depend on the number of threads.
  func add<Element: BinaryFloatingPoint & Sendable>(
    _ x: UnsafePointer<Element>, to y: UnsafeMutablePointer<Double>,
    _ multiply:
      @Sendable (
        UnsafePointer<Element>, UnsafePointer<Element>?, Int, UnsafePointer<Element>, UnsafeMutablePointer<Element>
      ) -> Void
  ) {
    let blocks = min(16, rows)
    let sums = UnsafeMutablePointer<Element>.allocate(capacity: blocks * columns)
    defer { sums.deallocate() }
    nonisolated(unsafe) let (x, out) = (x, sums)
    threads.forEach(blocks) { block in
      let sum = out + block * columns
      sum.initialize(repeating: 0, count: columns)
      let range = block * rows / blocks..<(block + 1) * rows / blocks
      if let first = inPlace(a, range, as: Element.self), b.map({ inPlace($0, range, as: Element.self) != nil }) ?? true
      {
        multiply(first, b.flatMap { inPlace($0, range, as: Element.self) }, range.count, x, sum)
        return
      }
      let room = UnsafeMutablePointer<Element>.allocate(capacity: 2 * columns)
      defer { room.deallocate() }
      for row in range {
        copy(a, row, to: room)
        if let b { copy(b, row, to: room + columns) }
        multiply(room, b == nil ? nil : UnsafePointer(room + columns), 1, x, sum)
      }
    }
    for block in 0..<blocks {
      for column in 0..<columns { y[column] += Double(sums[block * columns + column]) }
    }
  }

  /// Some rows where they are, if their elements can be multiplied as they are.
  private func inPlace<Element>(
    _ bytes: UnsafeRawBufferPointer, _ rows: Range<Int>, as: Element.Type
  ) -> UnsafePointer<Element>? {
    guard unit == 1, type == .float32, Element.self == Float.self, let base = bytes.baseAddress,
      Int(bitPattern: base) % 4 == 0
    else { return nil }
    return (base + 4 * rows.lowerBound * columns).assumingMemoryBound(to: Element.self)
  }

  /// A row, in units.
  private func copy<Element: BinaryFloatingPoint>(
    _ bytes: UnsafeRawBufferPointer, _ row: Int, to out: UnsafeMutablePointer<Element>
  ) {
    let first = row * columns
    for i in 0..<columns {
      (out + i).initialize(to: Element(type.number(first + i, of: bytes) / unit))
    }
  }
}

/// Numbers in a unit, a power of two, in which the largest magnitude is from 2⁻¹⁰⁰ to 2¹⁰⁰: the unit is 1 where that is
/// so already, else the largest is from 1 to 2.
///
/// So the sum of all squares, of up to 2⁵⁶ numbers, and its fourth power neither overflow nor vanish. Bounded is the
/// largest alone: squares of others may vanish, and so may what is 2⁻¹⁰²² of the largest.
func inSafeUnits(_ numbers: [Double]) throws(LinearAlgebraError) -> (numbers: [Double], unit: Double) {
  // By their bits: of those of magnitudes, the ones of what is not finite are the largest.
  let largest = Double(bitPattern: numbers.reduce(0) { max($0, $1.magnitude.bitPattern) })
  guard largest.isFinite else { throw .notFinite }
  if largest == 0 || 0x1p-100...0x1p100 ~= largest { return (numbers, 1) }
  return (numbers.map { $0 / largest.binade }, largest.binade)
}
