// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// The different bit patterns of elements, as long as they are at most 256.
public struct DistinctPatterns {
  private let width: Int
  private var patterns = [UInt64](repeating: 0, count: Int(nc_distinct_limit) + 1)
  private var count = 0

  /// - Parameter width: bytes of an element: 1, 2, 4 or 8.
  public init(width: Int) { self.width = width }

  /// Adds those of some elements; `false` as soon as they are more than 256, after which nothing is to be added.
  public mutating func insert(_ elements: UnsafeRawBufferPointer) -> Bool {
    guard let base = elements.baseAddress else { return true }
    count = nc_distinct(base, elements.count / width, width, &patterns, count)
    return count <= Int(nc_distinct_limit)
  }

  /// In ascending order as unsigned integers.
  var sorted: [UInt64] { patterns[..<count].sorted() }
}

extension LevelsMatrix {
  /// The elements of a tensor as levels, bit for bit: of a table, where there are at most 256 bit patterns; or of
  /// floating-point numbers as a scale times integers in every row, which is what dequantised and ternary matrices are.
  /// `nil` for others.
  ///
  /// - Parameters:
  ///   - values: elements, little-endian, of the matrix or of the transposed one, row by row.
  ///   - rows, columns: of the matrix.
  public init?(
    _ values: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, transposed: Bool, threads: Threads
  ) {
    guard rows > 0, columns > 0, let base = values.baseAddress else { return nil }
    let width = type.byteCount
    var patterns = DistinctPatterns(width: width)
    guard patterns.insert(values) else {
      guard type.isFloat else { return nil }
      self.init(rowGridOf: StoredMatrix(
        values, type: type, rows: transposed ? columns : rows, columns: transposed ? rows : columns,
        transposed: transposed), threads: threads)
      return
    }
    let levels = patterns.sorted
    var isFound = false
    var codes = [UInt8](unsafeUninitializedCapacity: rows * columns) { codes, count in
      isFound = nc_levels_codes(base, rows * columns, width, levels, levels.count, codes.baseAddress!)
      count = rows * columns
    }
    guard isFound else { return nil }
    if transposed {
      codes = [UInt8](unsafeUninitializedCapacity: rows * columns) { out, count in
        nc_transpose(codes, rows, columns, rows, 1, out.baseAddress!, columns)
        count = rows * columns
      }
    }
    let table = levels.flatMap { level in withUnsafeBytes(of: level.littleEndian) { Array($0.prefix(width)) } }
    self.init(rows: rows, columns: columns, type: type, codes: codes, levels: .table(table))
  }

  /// A ternary matrix as a grid of −1, 0 and 1; `nil` where a scale is no scale of a grid.
  public init?(_ matrix: TernaryMatrix, type: ElementType) {
    let (rows, columns) = (matrix.rows, matrix.columns)
    let codes = [UInt8](unsafeUninitializedCapacity: rows * columns) { codes, count in
      matrix.codes.withUnsafeBufferPointer { packed in
        guard let packed = packed.baseAddress, let out = codes.baseAddress else { return }
        for row in 0..<rows {
          nc_codes_unpack(packed + row * matrix.rowBytes, columns, 2, true, out + row * columns)
        }
      }
      count = rows * columns
    }
    self.init(
      rows: rows, columns: columns, type: type, codes: codes,
      levels: .grid(scales: matrix.scales, group: matrix.group, exceptions: []))
  }

  /// A matrix of which every row is a scale times integers of at most 127, bit for bit.
  private init?(rowGridOf source: StoredMatrix, threads: Threads) {
    let weights = source.weights
    let (rows, columns, type) = (weights.rows, weights.columns, weights.type)
    // Nearly every matrix is none: its first row says so.
    guard RowGrid(row: 0, of: weights) != nil else { return nil }
    let grids = threads.results(rows) { RowGrid(row: $0, of: weights) }
    guard grids.allSatisfy({ $0 != nil }) else { return nil }
    self.init(
      rows: rows, columns: columns, type: type, codes: grids.flatMap { $0?.codes ?? [] },
      levels: .grid(scales: grids.map { $0?.scale ?? 0 }, group: .row, exceptions: []))
  }
}

extension TernaryMatrix {
  /// A grid of −1, 0 and 1 as a ternary matrix; `nil` for another, and where a scale is no value of the weights' type.
  public init?(_ matrix: LevelsMatrix) {
    guard case .grid(let scales, let group, let exceptions) = matrix.levels, exceptions.isEmpty,
      scales.allSatisfy({ matrix.type.contains($0) }), matrix.codes.allSatisfy({ $0 &+ 1 <= 2 })
    else { return nil }
    let (rows, columns) = (matrix.rows, matrix.columns)
    let rowBytes = TernaryMatrix.rowBytes(columns: columns)
    let packed = [UInt8](unsafeUninitializedCapacity: rows * rowBytes) { packed, count in
      matrix.codes.withUnsafeBufferPointer { codes in
        guard let codes = codes.baseAddress, let out = packed.baseAddress else { return }
        for row in 0..<rows { nc_codes_pack(codes + row * columns, columns, 2, out + row * rowBytes) }
      }
      count = rows * rowBytes
    }
    self.init(rows: rows, columns: columns, group: group, codes: packed, scales: scales)
  }
}

/// A row as a scale times integers.
private struct RowGrid: Sendable {
  var scale = 0.0
  var codes: [UInt8]

  /// `nil` where there is none that gives the row bit for bit.
  init?(row: Int, of weights: WeightRows) {
    let type = weights.type
    var values: [Double] = []
    weights.withDoubles(row..<row + 1) { values = Array(UnsafeBufferPointer(start: $0, count: weights.columns)) }
    var magnitudes: Set<Double> = []
    for value in values {
      guard value.isFinite, value != 0 || value.sign == .plus else { return nil }
      if value != 0, magnitudes.insert(value.magnitude).inserted, magnitudes.count > 127 { return nil }
    }
    codes = []
    guard let largest = magnitudes.max() else {
      codes = [UInt8](repeating: 0, count: values.count)
      return
    }
    let sorted = magnitudes.sorted()
    guard let scale = Self.scale(of: sorted, largest: largest, type) else { return nil }
    self.scale = scale
    codes = values.map { UInt8(bitPattern: Int8(($0 / scale).rounded())) }
  }

  /// The largest scale of which all magnitudes are multiples, as these are rounded.
  private static func scale(of magnitudes: [Double], largest: Double, _ type: ElementType) -> Double? {
    for most in magnitudes.count...127 {
      // The scale may be any number that is rounded to the largest magnitude when it is multiplied.
      let near = largest / Double(most)
      let candidates =
        type == .float64
        ? [near, near.nextUp, near.nextDown]
        : [Float(near), Float(near).nextUp, Float(near).nextDown].map { Double($0) }
      for scale in candidates where scale > 0 && LevelsMatrix.isScale(scale, of: type) {
        let fits = magnitudes.allSatisfy { magnitude in
          let k = (magnitude / scale).rounded()
          return k <= 127 && type.nearest(scale * k) == magnitude
        }
        if fits { return scale }
      }
    }
    return nil
  }
}
