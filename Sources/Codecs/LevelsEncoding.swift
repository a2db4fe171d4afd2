// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

extension LevelsCodec {
  /// Encodes a matrix in the way that takes fewest bytes of a sample of its blocks, or of all where they are few.
  ///
  /// In a mapped file, and at level `uncompressed`, codes are packed, without positions, for use through `mmap`.
  ///
  /// - Returns: what the directory is to say, and the blocks of each part. They do not depend on `threads`.
  public static func encode(
    _ matrix: LevelsMatrix, level: CompressionLevel = .standard, isMapped: Bool = false,
    threads: Threads = Threads(0)
  ) throws -> (parameters: Parameters, parts: [[[UInt8]]]) {
    try LevelsEncoder(matrix, isMapped ? .uncompressed : level, isMapped: isMapped, threads: threads).encode()
  }
}

/// One of the ways to encode the codes of a matrix.
private struct Layout: Sendable {
  var positions: Positions?
  /// `nil`: by frequency.
  var bits: Int?
  var classes: ClassArrangement?
}

/// The stored blocks of one row block.
private struct EncodedCodes: Sendable {
  var gapCount: UInt32 = 0
  var gaps: [UInt8] = []
  var bitmap: [UInt8] = []
  var codes: [UInt8] = []

  var byteCount: Int { gaps.count + bitmap.count + codes.count }
}

private struct LevelsEncoder: Sendable {
  /// The blocks that decide how all are encoded.
  private static let sampleBlocks = 4
  /// About what a payload, a block and the word `classes` take in the directory.
  private static let partBytes = 24
  /// Fewer weights do not pay for several tables.
  private static let leastWeightsForClasses = 1 << 12

  let matrix: LevelsMatrix
  let level: CompressionLevel
  let isMapped: Bool
  let threads: Threads
  let blocks: RowBlocks
  let isGrid: Bool
  /// For each code whether its weight has all bits zero, as 0 or 1; and the contrary.
  let isZero: [UInt8]
  let isStored: [UInt8]
  /// The codes that weights stored beside positions have: those of a table without its zeros.
  let renumbered: [UInt8]

  init(_ matrix: LevelsMatrix, _ level: CompressionLevel, isMapped: Bool, threads: Threads) throws {
    self.matrix = matrix
    self.isMapped = isMapped
    self.threads = threads
    blocks = try RowBlocks(rows: matrix.rows, columns: matrix.columns)
    self.level = level.forBlocks(blocks.count)
    var isZero = [UInt8](repeating: 0, count: 256)
    switch matrix.levels {
    case .grid:
      isGrid = true
      isZero[0] = 1
    case .table(let table):
      isGrid = false
      for level in LevelsCodec.zeroLevels(of: table, matrix.type) { isZero[Int(level)] = 1 }
    }
    self.isZero = isZero
    isStored = isZero.map { 1 - $0 }
    var renumbered: [UInt8] = []
    for code in 0..<256 {
      let zerosBefore = isGrid ? 0 : isZero[..<code].reduce(0) { $0 + Int($1) }
      renumbered.append(UInt8(code - zerosBefore))
    }
    self.renumbered = renumbered
  }

  func encode() throws -> (parameters: LevelsCodec.Parameters, parts: [[[UInt8]]]) {
    if blocks.count == 0 { return try finished(Layout(bits: isGrid ? 2 : 1), []) }
    let counts = histogram()
    let plainBits = width(counts)
    if isMapped || level == .uncompressed {
      let layout = Layout(bits: plainBits)
      return try finished(layout, try encode(layout, Array(0..<blocks.count)))
    }

    let isWhole = blocks.count <= Self.sampleBlocks
    let sample =
      isWhole
      ? Array(0..<blocks.count) : (0..<Self.sampleBlocks).map { $0 * (blocks.count - 1) / (Self.sampleBlocks - 1) }
    var best: (layout: Layout, size: Int, encoded: [EncodedCodes])?
    for layout in try layouts(counts, bits: plainBits) {
      let encoded = try encode(layout, sample)
      let size = encoded.reduce(0) { $0 + $1.byteCount } * blocks.count / sample.count + overhead(layout)
      if size < best?.size ?? .max { best = (layout, size, encoded) }
    }
    guard let best else { preconditionFailure("no way to encode codes") }
    return try finished(best.layout, isWhole ? best.encoded : try encode(best.layout, Array(0..<blocks.count)))
  }

  // MARK: Ways

  /// How often each code occurs.
  private func histogram() -> [Int] {
    let all = threads.results(blocks.count) { index in
      var counts = [UInt32](repeating: 0, count: 256)
      withCodes(of: index) { nc_histogram($0, blocks[index].weights, &counts) }
      return counts
    }
    return all.reduce(into: [Int](repeating: 0, count: 256)) { sums, counts in
      for code in 0..<256 { sums[code] += Int(counts[code]) }
    }
  }

  /// The fewest bits that hold the codes that occur, of which only some are stored, with other numbers.
  private func width(_ counts: [Int], stored: [UInt8]? = nil) -> Int {
    let codes = (0..<256).filter { counts[$0] > 0 && stored?[$0] ?? 1 == 1 }
    if !isGrid {
      let levels = codes.map { stored == nil ? $0 : Int(renumbered[$0]) }
      return [1, 2, 4].first { bits in levels.allSatisfy { $0 < 1 << bits } } ?? 8
    }
    let numbers = codes.map { Int(Int8(bitPattern: UInt8($0))) }
    return [2, 4].first { bits in numbers.allSatisfy { $0.magnitude < 1 << (bits - 1) } } ?? 8
  }

  /// The ways that could be the smallest, simple ones first.
  private func layouts(_ counts: [Int], bits: Int) throws -> [Layout] {
    var layouts = [Layout(bits: bits), Layout()]
    let weights = matrix.rows * matrix.columns
    let zeros = (0..<256).reduce(0) { $0 + (isZero[$1] == 1 ? counts[$1] : 0) }
    let stored = weights - zeros
    // As for `SparseCodec`; and where all are stored or none, positions say nothing.
    if zeros > 0, stored > 0 {
      var positions: [Positions] = []
      if stored <= weights / 4 { positions.append(.gaps) }
      if stored >= weights / 16, stored <= weights / 4 * 3 { positions.append(.bitmap) }
      let storedBits = width(counts, stored: isStored)
      layouts += positions.flatMap { [Layout(positions: $0, bits: storedBits), Layout(positions: $0)] }
    }
    if weights >= Self.leastWeightsForClasses, matrix.rows < 1 << 24 {
      layouts += classArrangements(counts).map { Layout(classes: $0) }
    }
    return layouts
  }

  /// What a layout takes beside the blocks of its codes, and about what it takes in the directory.
  private func overhead(_ layout: Layout) -> Int {
    var bytes = layout.classes.map { store(symbols: $0.rows + $0.columns, level).count + Self.partBytes } ?? 0
    switch layout.positions {
    case .gaps: bytes += (blocks.count + 1) * Self.partBytes + 2 * blocks.count
    case .bitmap: bytes += blocks.count * Self.partBytes
    case nil: break
    }
    return bytes
  }

  // MARK: Classes

  /// Rows and columns that differ little in how far their codes are from the most frequent one.
  private func classArrangements(_ counts: [Int]) -> [ClassArrangement] {
    let numbers = [(2, 2), (4, 4), (4, 8), (8, 4)].map { LevelsCodec.Classes(rows: $0, columns: $1) }
      .filter { 8 * $0.rows <= matrix.rows && 8 * $0.columns <= matrix.columns }
    if numbers.isEmpty { return [] }
    let frequent = (0..<256).reduce(0) { counts[$1] > counts[$0] ? $1 : $0 }
    let (rows, columns) = deviations(from: UInt8(frequent))
    return numbers.map {
      ClassArrangement($0, rows: clusters(rows, count: $0.rows), columns: clusters(columns, count: $0.columns))
    }
  }

  /// The square roots of the mean distances of codes from `code`, of each row and each column.
  private func deviations(from code: UInt8) -> (rows: [Double], columns: [Double]) {
    let flip = isGrid ? LevelsCodec.gridFlip : 0
    // Sums are of integers, so that it does not matter how many threads share the blocks.
    let shares = min(blocks.count, 4 * threads.count)
    let sums = threads.results(shares) { share in
      var rows: [(row: Int, sum: Int)] = []
      var columns = [UInt32](repeating: 0, count: matrix.columns)
      for index in blocks.count * share / shares..<blocks.count * (share + 1) / shares {
        let place = blocks[index]
        withCodes(of: index) { codes in
          columns.withUnsafeMutableBufferPointer { columns in
            guard let base = columns.baseAddress else { return }
            for row in place.rows {
              let first = codes + (row - place.rows.lowerBound) * place.columns.count
              let sum = nc_codes_deviations(
                first, place.columns.count, flip, code ^ flip, base + place.columns.lowerBound)
              rows.append((row, Int(sum)))
            }
          }
        }
      }
      return (rows, columns)
    }
    var (rows, columns) = ([Int](repeating: 0, count: matrix.rows), [Int](repeating: 0, count: matrix.columns))
    for (rowSums, columnSums) in sums {
      for (row, sum) in rowSums { rows[row] += sum }
      for column in columns.indices { columns[column] += Int(columnSums[column]) }
    }
    return (
      rows.map { (Double($0) / Double(matrix.columns)).squareRoot() },
      columns.map { (Double($0) / Double(matrix.rows)).squareRoot() }
    )
  }

  /// Divides numbers into `count` classes, each nearest to its mean (Lloyd's algorithm from quantiles).
  private func clusters(_ numbers: [Double], count: Int) -> [UInt8] {
    let sorted = numbers.sorted()
    var sums = [0.0]
    for number in sorted { sums.append(sums[sums.count - 1] + number) }
    var centers = (0..<count).map { sorted[(2 * $0 + 1) * sorted.count / (2 * count)] }
    // Class i has the sorted numbers from bounds[i] on.
    var bounds: [Int] = []
    for _ in 0..<30 {
      let new = [0] + (1..<count).map { sorted.firstAbove((centers[$0 - 1] + centers[$0]) / 2) } + [sorted.count]
      if new == bounds { break }
      bounds = new
      for i in 0..<count where bounds[i] < bounds[i + 1] {
        centers[i] = (sums[bounds[i + 1]] - sums[bounds[i]]) / Double(bounds[i + 1] - bounds[i])
      }
    }
    let limits = (1..<count).map { bounds[$0] < sorted.count ? sorted[bounds[$0]] : .infinity }
    return numbers.map { number in UInt8(limits.count { $0 <= number }) }
  }

  // MARK: Blocks

  private func withCodes<Result>(of index: Int, _ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    let place = blocks[index]
    return matrix.codes.withUnsafeBufferPointer { codes in
      guard let base = codes.baseAddress else { preconditionFailure("a block without codes") }
      return body(base + place.rows.lowerBound * matrix.columns + place.columns.lowerBound)
    }
  }

  private func encode(_ layout: Layout, _ indices: [Int]) throws -> [EncodedCodes] {
    threads.results(indices.count) { encode(indices[$0], layout) }
  }

  private func encode(_ index: Int, _ layout: Layout) -> EncodedCodes {
    let place = blocks[index]
    return withCodes(of: index) { codes in
      if let positions = layout.positions { return encodeStored(codes, place, positions, bits: layout.bits) }
      var encoded = EncodedCodes()
      if let bits = layout.bits {
        encoded.codes = store(
          symbols: packed(codes, rows: place.rows.count, columns: place.columns.count, bits: bits), level)
      } else {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: place.weights) { symbols in
          guard let base = symbols.baseAddress else { return }
          var sizes = [place.weights]
          if let groups = layout.classes?.groups(of: place) {
            sizes = groups.sizes
            groups.gather(codes, to: base)
          } else {
            base.update(from: codes, count: place.weights)
          }
          encoded.codes = frequencies(base, groups: sizes)
        }
      }
      return encoded
    }
  }

  private func encodeStored(
    _ codes: UnsafePointer<UInt8>, _ place: RowBlocks.Block, _ positions: Positions, bits width: Int?
  ) -> EncodedCodes {
    var encoded = EncodedCodes()
    let weights = place.weights
    withUnsafeTemporaryAllocation(byteCount: bitBytes(weights), alignment: 8) { bits in
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: weights) { stored in
        guard let bitBase = bits.baseAddress, let base = stored.baseAddress else { return }
        let count = nc_codes_select(codes, weights, isStored, bitBase, base)
        if !isGrid { for i in 0..<count { base[i] = renumbered[Int(base[i])] } }
        switch positions {
        case .gaps:
          let gaps = Gaps.encode(UnsafeRawBufferPointer(bits), weights: weights, stored: count)
          encoded.gapCount = UInt32(gaps.count)
          encoded.gaps = store(symbols: gaps, level)
        case .bitmap:
          let rowBytes = SparseMatrix.maskRowBytes(columns: place.columns.count)
          let bitmap = [UInt8](unsafeUninitializedCapacity: place.rows.count * rowBytes) { out, size in
            if let out = out.baseAddress { nc_bits_open(bitBase, place.rows.count, place.columns.count, out) }
            size = place.rows.count * rowBytes
          }
          encoded.bitmap = store(symbols: bitmap, level)
        }
        if count == 0 { return }
        if let width {
          encoded.codes = store(symbols: packed(base, rows: 1, columns: count, bits: width), level)
        } else {
          encoded.codes = frequencies(base, groups: [count])
        }
      }
    }
    return encoded
  }

  /// Rows of packed codes, each of whole bytes.
  private func packed(_ codes: UnsafePointer<UInt8>, rows: Int, columns: Int, bits: Int) -> [UInt8] {
    let rowBytes = bitBytes(columns * bits)
    return [UInt8](unsafeUninitializedCapacity: rows * rowBytes) { out, count in
      if let base = out.baseAddress {
        for row in 0..<rows { nc_codes_pack(codes + row * columns, columns, UInt32(bits), base + row * rowBytes) }
      }
      count = rows * rowBytes
    }
  }

  /// Codes by frequency; they are changed to symbols.
  private func frequencies(_ codes: UnsafeMutablePointer<UInt8>, groups: [Int]) -> [UInt8] {
    let count = groups.reduce(0, +)
    if isGrid { nc_codes_flip(codes, count, LevelsCodec.gridFlip) }
    return [UInt8](unsafeUninitializedCapacity: nc_rans_room(count, groups.count)) { out, size in
      if let base = out.baseAddress { size = nc_rans_encode(codes, groups, groups.count, -1, base) }
    }
  }

  // MARK: All parts

  private func finished(
    _ layout: Layout, _ encoded: [EncodedCodes]
  ) throws -> (parameters: LevelsCodec.Parameters, parts: [[[UInt8]]]) {
    var table: [UInt8] = []
    let values: LevelsCodec.Parameters.Values
    switch matrix.levels {
    case .grid(_, let group, let exceptions): values = .grid(group, exceptions: exceptions.count)
    case .table(let bytes):
      let size = matrix.type.byteCount
      for level in 0..<bytes.count / size where layout.positions == nil || isStored[level] == 1 {
        table += bytes[level * size..<(level + 1) * size]
      }
      values = .table(levels: max(1, table.count / size))
    }
    let parameters = LevelsCodec.Parameters(
      values, positions: layout.positions, bits: layout.bits, classes: layout.classes?.classes)
    let codec = try LevelsCodec(
      rows: matrix.rows, columns: matrix.columns, type: matrix.type, parameters, isMapped: isMapped)
    func raw<Element: BitwiseCopyable>(_ elements: [Element], _ codec: RawCodec) throws -> [[UInt8]] {
      if blocks.count == 0 { return [] }
      return try codec.encode(elements: elements, level: level, threads: threads)
    }
    let parts: [[[UInt8]]] = try codec.parts.map { part in
      switch part {
      case .counts: try raw(encoded.map(\.gapCount), codec.gaps.counts)
      case .gaps: encoded.map(\.gaps)
      case .bitmap: encoded.map(\.bitmap)
      case .classes: try raw((layout.classes?.rows ?? []) + (layout.classes?.columns ?? []), codec.classesCodec)
      case .codes: encoded.map(\.codes)
      case .exceptions:
        if case .grid(_, _, let exceptions) = matrix.levels { try raw(exceptions, codec.exceptionsCodec) } else { [] }
      case .table: try raw(table, codec.levelsCodec)
      case .scales:
        if case .grid(let scales, _, _) = matrix.levels {
          matrix.type == .float64
            ? try raw(scales, codec.levelsCodec) : try raw(scales.map { Float($0) }, codec.levelsCodec)
        } else {
          []
        }
      }
    }
    return (parameters, parts)
  }
}

extension [Double] {
  /// Of sorted numbers the place of the first that is above `limit`.
  fileprivate func firstAbove(_ limit: Double) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle] > limit { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
