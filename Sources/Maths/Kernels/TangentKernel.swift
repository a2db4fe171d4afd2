// SPDX-License-Identifier: Apache-2.0

public import Parallel
internal import Tensors

/// The tangent kernel of a network on many points as something that vectors are multiplied with: without a matrix of
/// n × n, or with half of one.
///
/// With X and B the inputs and the derivatives of a matrix's uses on all points,
///
/// ```
/// K v = Σ_c J_c (J_cᵀv) = Σ_c Σ_W ((B_c (B_cᵀ diag(v) X)) ∘ X) 1
/// ```
///
/// which takes 4n · outputs Σ_W p · rows · columns multiplications and additions, where the elements of half the matrix
/// take n²/2 Σ_W p²(columns + outputs · rows) once, and then n² a product.
///
/// Laws: it is the matrix that `NetworkKernels` has, but for rounding; results do not depend on the number of threads.
public struct TangentKernel: Sendable {
  /// n
  public let points: Int
  private let algebra: LinearAlgebra
  private let outputs: Int
  /// What the elements are made of; empty where these are stored.
  private let blocks: [TangentBlock]
  /// The tiles on and below the diagonal, row by row, each `side` × `side` but for those at the end; empty where they are
  /// not stored.
  private let tiles: [Double]
  /// Kᵢᵢ
  private(set) var diagonal: [Double] = []

  private static let side = NetworkFunction.samplesAtOnce

  /// - Parameters:
  ///   - points: n.
  ///   - output: of the tangent kernel; there is no `tangentObstacle`.
  ///   - isStored: whether half of the matrix is kept.
  ///   - threads: results do not depend on it.
  ///   - memory: maximum bytes of derivatives, of as many outputs at once as have room, but of one at least; where half
  ///     of the matrix is kept, else they are all kept.
  ///   - fill: writes the inputs of some points, `inputCount` numbers each.
  public init(
    of function: NetworkFunction, points: Int, output: TangentOutput, isStored: Bool, threads: Threads,
    memory: Int = 1 << 30, fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) {
    self.points = points
    algebra = function.algebra
    let all = function.logits(of: output)
    var (blocks, tiles): ([TangentBlock], [Double]) = ([], [])
    let most =
      isStored
      ? max(1, (memory - Self.inputByteCount(function, points)) / max(1, Self.outputByteCount(function, points)))
      : max(1, all.count)
    let count = NetworkFunction.blockCount(of: points)
    let elements = function.matrices.map(\.elements)
    if isStored { tiles = [Double](repeating: 0, count: count * (count + 1) / 2 * Self.side * Self.side) }
    for first in stride(from: all.lowerBound, to: all.upperBound, by: most) {
      let outputs = first..<min(first + most, all.upperBound)
      blocks = threads.results(count) { number in
        let range = NetworkFunction.block(number, of: points)
        return TangentBlock(
          of: function, function.values(of: range, fill: fill), samples: range.count, outputs: outputs,
          elements: elements)
      }
      guard isStored else { continue }
      Self.addTiles(of: blocks, points: points, function.algebra, to: &tiles, threads: threads)
      // Before the next are made.
      blocks = []
    }
    (outputs, self.blocks, self.tiles) = (all.count, blocks, tiles)
    let kernel = self
    diagonal = threads.results(count) { block in
      kernel.withTile(block, block) { tile in (0..<tile.rows).map { tile.first[$0 * tile.stride + $0] } }
    }.flatMap { $0 }
  }

  private static func addTiles(
    of blocks: [TangentBlock], points: Int, _ algebra: LinearAlgebra, to tiles: inout [Double], threads: Threads
  ) {
    let places = places(points)
    tiles.withUnsafeMutableBufferPointer { tiles in
      guard let first = tiles.baseAddress else { return }
      nonisolated(unsafe) let base = first
      threads.forEach(places.count) { number in
        let (row, column) = places[number]
        let tile = tile(row, column, of: points, at: base + number * side * side)
        blocks[row].addProducts(with: blocks[column], to: tile, algebra)
      }
    }
  }

  // MARK: Memory

  /// Bytes that two of them and `KernelDistance` of them take: an estimate.
  public static func byteCount(
    _ f: NetworkFunction, _ g: NetworkFunction, points: Int, output: TangentOutput, isStored: Bool, threads: Threads
  ) -> Double {
    func terms(_ function: NetworkFunction, outputs: Int) -> Double {
      Double(inputByteCount(function, points)) + Double(outputs) * Double(outputByteCount(function, points))
    }
    let outputs = (f.logits(of: output).count, g.logits(of: output).count)
    let basis = 8 * Double(points) * Double(LeadingEigenvalues.mostSteps)
    // What one block takes while its derivatives are computed.
    let working =
      16 * Double(threads.count) * Double(side) * Double(max(f.valueCount, g.valueCount))
      * Double(1 + (isStored ? 1 : outputs.0))
    guard isStored else { return terms(f, outputs: outputs.0) + terms(g, outputs: outputs.1) + basis + working }
    return Double(storedByteCount(points: points)) + max(terms(f, outputs: 1), terms(g, outputs: 1)) + basis + working
  }

  /// Of both half matrices, and of the vectors that products leave.
  public static func storedByteCount(points: Int) -> Int {
    let blocks = Double(NetworkFunction.blockCount(of: points))
    let vectors = 8 * Double(points) * Double(LeadingEigenvalues.mostSteps)
    let bytes = 8 * Double(side * side + 2 * side) * blocks * (blocks + 1) + vectors
    return bytes < 0x1p60 ? Int(bytes) : 1 << 60
  }

  /// Multiplications and additions that `KernelDistance` of two takes where they are not stored, with as many products as
  /// are usual: an estimate.
  public static func work(
    _ f: NetworkFunction, _ g: NetworkFunction, points: Int, output: TangentOutput
  ) -> Double {
    [f, g].reduce(0) { sum, function in
      let outputs = Double(function.logits(of: output).count)
      return sum
        + function.network.nodes.indices.reduce(0) { sum, index in
          guard case .dense(let matrix, _) = function.operations[index] else { return sum }
          let size = Double(function.matrices[matrix].rows) * Double(function.matrices[matrix].columns)
          return sum + 4 * Double(points) * outputs * Double(function.shapes[index].positions) * size * usualProducts
        }
    }
  }

  private static let usualProducts = 100.0

  /// Of the inputs of all matrices.
  private static func inputByteCount(_ function: NetworkFunction, _ points: Int) -> Int {
    clamped(
      points,
      function.network.nodes.indices.map { index in
        if case .dense = function.operations[index] {
          function.shapes[function.network.nodes[index].inputs[0]].count
        } else {
          0
        }
      })
  }

  /// Of one output's derivatives by what weights make.
  private static func outputByteCount(_ function: NetworkFunction, _ points: Int) -> Int {
    clamped(
      points,
      function.network.nodes.indices.map { index in
        switch function.operations[index] {
        case .dense, .batchNormalization, .layerNormalization: function.shapes[index].count
        default: 0
        }
      })
  }

  private static func clamped(_ points: Int, _ counts: [Int]) -> Int {
    let bytes = 8 * Double(points) * counts.reduce(0) { $0 + Double($1) }
    return bytes < 0x1p60 ? Int(bytes) : 1 << 60
  }

  /// Whether all elements are: no element is larger than those on the diagonal.
  public var isFinite: Bool { diagonal.allSatisfy(\.isFinite) }

  // MARK: Tiles

  /// The blocks of points of tiles, in order.
  private static func places(_ points: Int) -> [(row: Int, column: Int)] {
    (0..<NetworkFunction.blockCount(of: points)).flatMap { row in (0...row).map { (row, $0) } }
  }

  private static func tile(_ row: Int, _ column: Int, of points: Int, at first: UnsafeMutablePointer<Double>) -> Tile {
    let (rows, columns) = (NetworkFunction.block(row, of: points), NetworkFunction.block(column, of: points))
    return Tile(first, stride: side, rows: rows.count, columns: columns.count)
  }

  /// Calls `body` with the elements of two blocks of points, the first not before the second; they are not to be written.
  private func withTile<Result>(_ row: Int, _ column: Int, _ body: (Tile) -> Result) -> Result {
    if !tiles.isEmpty {
      return tiles.withUnsafeBufferPointer { tiles in
        let number = row * (row + 1) / 2 + column
        guard let first = tiles.baseAddress else { preconditionFailure("tiles are stored") }
        let place = UnsafeMutablePointer(mutating: first + number * Self.side * Self.side)
        return body(Self.tile(row, column, of: points, at: place))
      }
    }
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.side * Self.side) { room in
      guard let first = room.baseAddress else { preconditionFailure("there is room") }
      first.initialize(repeating: 0, count: Self.side * Self.side)
      let tile = Self.tile(row, column, of: points, at: first)
      if !blocks.isEmpty { blocks[row].addProducts(with: blocks[column], to: tile, algebra) }
      return body(tile)
    }
  }

  /// Sums over all pairs of points, off the diagonal twice.
  struct Products {
    /// ⟨A, A⟩, ⟨A, B⟩, ⟨B, B⟩
    var plain = SIMD3<Double>.zero
    /// The same of HAH and HBH.
    var centred = SIMD3<Double>.zero
  }

  /// One sweep over the elements of both kernels, each divided by a number.
  ///
  /// - Parameter means: of the rows, in those units.
  static func products(
    _ a: TangentKernel, _ b: TangentKernel, units: (Double, Double), means: ([Double], [Double]), threads: Threads
  ) -> Products {
    let places = places(a.points)
    let (inverseA, inverseB) = (1 / units.0, 1 / units.1)
    let count = Double(max(1, a.points))
    let (meanA, meanB) = (means.0.reduce(0, +) / count, means.1.reduce(0, +) / count)
    let parts = threads.results(places.count) { number in
      let (row, column) = places[number]
      return a.withTile(row, column) { first in
        b.withTile(row, column) { second in
          var result = Products()
          for i in 0..<first.rows {
            let (x, y) = (first.first + i * first.stride, second.first + i * second.stride)
            let (rowA, rowB) = (means.0[row * side + i] - meanA, means.1[row * side + i] - meanB)
            for j in 0..<first.columns {
              let (u, v) = (x[j] * inverseA, y[j] * inverseB)
              let (p, q) = (u - rowA - means.0[column * side + j], v - rowB - means.1[column * side + j])
              result.plain += SIMD3(u * u, u * v, v * v)
              result.centred += SIMD3(p * p, p * q, q * q)
            }
          }
          let times = row == column ? 1.0 : 2
          return Products(plain: result.plain * times, centred: result.centred * times)
        }
      }
    }
    return parts.reduce(into: Products()) { sum, part in
      sum.plain += part.plain
      sum.centred += part.centred
    }
  }

  // MARK: Products with vectors

  /// y = Kx
  func multiply(_ x: UnsafePointer<Double>, to y: UnsafeMutablePointer<Double>, threads: Threads) {
    y.initialize(repeating: 0, count: points)
    if tiles.isEmpty { multiplyTerms(x, to: y, threads: threads) } else { multiplyTiles(x, to: y, threads: threads) }
  }

  private func multiplyTiles(_ x: UnsafePointer<Double>, to y: UnsafeMutablePointer<Double>, threads: Threads) {
    let (places, side) = (Self.places(points), Self.side)
    // Each tile's part of both blocks: added in the order of the tiles.
    let parts = UnsafeMutablePointer<Double>.allocate(capacity: max(1, places.count * 2 * side))
    defer { parts.deallocate() }
    nonisolated(unsafe) let (x, out) = (x, parts)
    threads.forEach(places.count) { number in
      let (row, column) = places[number]
      let own = out + number * 2 * side
      own.initialize(repeating: 0, count: 2 * side)
      withTile(row, column) { tile in
        let rows = LinearAlgebra.Rows(tile.first, stride: tile.stride)
        algebra.product(rows, tile.rows, tile.columns, x + column * side, to: own)
        guard row != column else { return }
        algebra.product(rows, tile.rows, tile.columns, transposed: true, x + row * side, to: own + side)
      }
    }
    for (number, place) in places.enumerated() {
      let own = parts + number * 2 * side
      for i in 0..<NetworkFunction.block(place.row, of: points).count { y[place.row * side + i] += own[i] }
      guard place.row != place.column else { continue }
      for i in 0..<NetworkFunction.block(place.column, of: points).count { y[place.column * side + i] += own[side + i] }
    }
  }

  private func multiplyTerms(_ x: UnsafePointer<Double>, to y: UnsafeMutablePointer<Double>, threads: Threads) {
    guard let first = blocks.first else { return }
    let tasks = (0..<outputs).flatMap { output in first.terms.indices.map { (output, term: $0) } }
    nonisolated(unsafe) let x = x
    // A few at a time, so that their vectors have room; they are added in order.
    for start in stride(from: 0, to: tasks.count, by: 16) {
      let some = tasks[start..<min(start + 16, tasks.count)]
      let parts = threads.results(some.count) { number in
        product(of: some[start + number].term, output: some[start + number].0, x)
      }
      for part in parts {
        for i in 0..<points { y[i] += part[i] }
      }
    }
  }

  /// J (Jᵀx) of one output's derivatives by the tensors of one kind.
  private func product(of number: Int, output: Int, _ x: UnsafePointer<Double>) -> [Double] {
    var result = [Double](repeating: 0, count: points)
    guard case .matrix(let uses, let isBiased) = blocks[0].terms[number] else {
      guard case .vector(let vectors) = blocks[0].terms[number] else { return result }
      var sum = [Double](repeating: 0, count: vectors.width)
      forEachVector(number, output) { point, row in add(x[point], times: row, to: &sum) }
      forEachVector(number, output) { point, row in
        result[point] = sum.withUnsafeBufferPointer { sum in sum.baseAddress.map { dot(row, $0, sum.count) } ?? 0 }
      }
      return result
    }
    let (rows, columns) = (uses[0].gradient.width, uses[0].input.width)
    guard rows > 0 else { return result }
    var matrix = [Double](repeating: 0, count: rows * columns)
    var bias = [Double](repeating: 0, count: rows)
    var room = [Double](repeating: 0, count: Self.side * max(rows, columns))
    forEachUse(number, output) { range, input, gradient in
      // B ∘ x
      room.withUnsafeMutableBufferPointer { room in
        guard let scaled = room.baseAddress else { return }
        for i in 0..<range.count {
          let row = gradient.first + i * gradient.stride
          for k in 0..<rows { scaled[i * rows + k] = x[range.lowerBound + i] * row[k] }
          if isBiased { add(1, times: UnsafePointer(scaled + i * rows), to: &bias) }
        }
        matrix.withUnsafeMutableBufferPointer { matrix in
          guard let matrix = matrix.baseAddress else { return }
          algebra.transposedProduct(
            .init(scaled, stride: rows), rows, input, range.count, columns, to: matrix, stride: columns, adding: true)
        }
      }
    }
    forEachUse(number, output) { range, input, gradient in
      room.withUnsafeMutableBufferPointer { room in
        matrix.withUnsafeBufferPointer { matrix in
          bias.withUnsafeBufferPointer { bias in
            guard let image = room.baseAddress, let bias = bias.baseAddress else { return }
            if let matrix = matrix.baseAddress {
              algebra.product(
                gradient, range.count, .init(matrix, stride: columns), rows, columns, to: image, stride: columns)
            }
            for i in 0..<range.count {
              let own = dot(UnsafePointer(image + i * columns), input.first + i * input.stride, columns)
              result[range.lowerBound + i] +=
                own + (isBiased ? dot(gradient.first + i * gradient.stride, bias, rows) : 0)
            }
          }
        }
      }
    }
    return result
  }

  private func forEachVector(_ number: Int, _ output: Int, _ body: (Int, UnsafePointer<Double>) -> Void) {
    for (block, terms) in blocks.enumerated() {
      guard case .vector(let vectors) = terms.terms[number] else { continue }
      vectors.withRows(output) { rows in
        for (i, point) in NetworkFunction.block(block, of: points).enumerated() {
          body(point, rows.first + i * rows.stride)
        }
      }
    }
  }

  private func forEachUse(
    _ number: Int, _ output: Int, _ body: (Range<Int>, LinearAlgebra.Rows, LinearAlgebra.Rows) -> Void
  ) {
    for (block, terms) in blocks.enumerated() {
      guard case .matrix(let uses, _) = terms.terms[number] else { continue }
      let range = NetworkFunction.block(block, of: points)
      for use in uses {
        use.input.withRows(0) { input in use.gradient.withRows(output) { gradient in body(range, input, gradient) } }
      }
    }
  }
}

/// y += factor · x
private func add(
  _ factor: Double, times x: UnsafePointer<Double>, to y: UnsafeMutablePointer<Double>, _ count: Int
) {
  for i in 0..<count { y[i] += factor * x[i] }
}

private func add(_ factor: Double, times x: UnsafePointer<Double>, to y: inout [Double]) {
  y.withUnsafeMutableBufferPointer { y in
    if let first = y.baseAddress { add(factor, times: x, to: first, y.count) }
  }
}
