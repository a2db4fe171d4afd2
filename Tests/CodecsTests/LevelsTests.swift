// SPDX-License-Identifier: Apache-2.0

import Codecs
import Parallel
import Random
import Tensors
import Testing

// MARK: - Matrices

/// How codes are spread.
private enum Codes: CaseIterable {
  /// Few, about 0 or the middle of a table.
  case bell
  /// All that there are.
  case flat
  /// Mostly zeros.
  case rare
  /// One only.
  case single
}

private func code(_ codes: Codes, limit: Int, _ random: inout SplitMix64) -> Int {
  let bits = random.next()
  // The sum of eight bytes; its standard deviation is 209.
  let bell = (0..<8).reduce(0) { $0 + Int(bits >> UInt64(8 * $1) & 255) } - 1020
  return switch codes {
  case .bell: max(-limit, min(limit, bell / 130))
  case .flat: Int(bits % UInt64(2 * limit + 1)) - limit
  case .rare: bits % 23 == 0 ? max(-limit, min(limit, bell / 200 + 1)) : 0
  case .single: min(1, limit)
  }
}

private func grid(
  _ rows: Int, _ columns: Int, _ codes: Codes, limit: Int = 127, type: ElementType = .float32,
  group: ScaleGroup = .row, exceptions: Int = 0, _ random: inout SplitMix64
) -> LevelsMatrix {
  var bytes = (0..<rows * columns).map { _ in
    UInt8(bitPattern: Int8(code(codes, limit: limit, &random)))
  }
  for _ in 0..<(bytes.isEmpty ? 0 : exceptions) { bytes[Int(random.next() % UInt64(bytes.count))] = 0x80 }
  let numbers = bytes.filter { $0 == 0x80 }.map { _ in
    Int32.random(in: 128...1 << 24, using: &random) * (random.next() % 2 == 0 ? 1 : -1)
  }
  let scales = (0..<group.count(rows: rows, columns: columns)).map { _ in
    bytes.isEmpty ? 0 : Double(Float.random(in: 0..<(type == .float16 ? 0x1p-10 : 1), using: &random))
  }
  return LevelsMatrix(
    rows: rows, columns: columns, type: type, codes: bytes,
    levels: .grid(scales: scales, group: group, exceptions: numbers))!
}

private func table(
  _ rows: Int, _ columns: Int, _ codes: Codes, levels: Int, zero: Int? = nil, type: ElementType = .float32,
  _ random: inout SplitMix64
) -> LevelsMatrix {
  if rows * columns == 0 {
    return LevelsMatrix(rows: rows, columns: columns, type: type, codes: [], levels: .table([]))!
  }
  var table = (0..<levels * type.byteCount).map { _ in UInt8(truncatingIfNeeded: random.next()) | 1 }
  if let zero { for byte in 0..<type.byteCount { table[zero * type.byteCount + byte] = 0 } }
  let middle = zero ?? levels / 2
  let bytes = (0..<rows * columns).map { _ in
    UInt8(max(0, min(levels - 1, code(codes, limit: 255, &random) + middle)))
  }
  return LevelsMatrix(rows: rows, columns: columns, type: type, codes: bytes, levels: .table(table))!
}

/// Bits of each weight of a table, or the integer and the scale of one of a grid.
private func values(_ matrix: LevelsMatrix) -> [[Double]] {
  var exceptions: ArraySlice<Int32> = []
  if case .grid(_, _, let all) = matrix.levels { exceptions = all[...] }
  return matrix.codes.indices.map { i in
    switch matrix.levels {
    case .table(let table):
      let size = matrix.type.byteCount
      return table[Int(matrix.codes[i]) * size..<(Int(matrix.codes[i]) + 1) * size].map { Double($0) }
    case .grid(let scales, let group, _):
      let (row, column) = (i / matrix.columns, i % matrix.columns)
      let scale =
        switch group {
        case .tensor: scales[0]
        case .row: scales[row]
        case .inputs(let count): scales[row * group.perRow(columns: matrix.columns) + column / count]
        }
      let code = Int8(bitPattern: matrix.codes[i])
      return [code == -128 ? Double(exceptions.removeFirst()) : Double(code), scale]
    }
  }
}

// MARK: - An encoder written down from the specification

private struct PlainEncoder {
  let matrix: LevelsMatrix
  let parameters: LevelsCodec.Parameters
  var rowClasses: [UInt8] = []
  var columnClasses: [UInt8] = []
  /// Of frequencies.
  var logLanes = 0
  var planes = true

  private var isGrid: Bool { if case .grid = parameters.values { true } else { false } }

  private func rows(_ block: RowBlocks.Block) -> [[UInt8]] {
    block.rows.map { row in block.columns.map { matrix.codes[row * matrix.columns + $0] } }
  }

  private func isZero(_ code: UInt8) -> Bool {
    guard case .table(let table) = matrix.levels else { return code == 0 }
    let size = matrix.type.byteCount
    return table[Int(code) * size..<(Int(code) + 1) * size].allSatisfy { $0 == 0 }
  }

  private func packedBits(_ bits: [Bool]) -> [UInt8] {
    stride(from: 0, to: bits.count, by: 8).map { start in
      bits[start..<min(start + 8, bits.count)].enumerated().reduce(0) { $0 | ($1.1 ? 1 : 0) << UInt8($1.0) }
    }
  }

  private func packed(_ codes: [UInt8], _ width: Int) -> [UInt8] {
    packedBits(codes.flatMap { code in (0..<width).map { code >> UInt8($0) & 1 == 1 } })
  }

  private func raw<Number: FixedWidthInteger>(_ numbers: [Number]) -> [[UInt8]] {
    if numbers.isEmpty { return [] }
    let size = Number.bitWidth / 8
    func byte(_ number: Number, _ i: Int) -> UInt8 { UInt8(truncatingIfNeeded: number >> Number(8 * i)) }
    return [
      planes
        ? (0..<size).flatMap { i in numbers.map { byte($0, i) } }
        : numbers.flatMap { n in (0..<size).map { byte(n, $0) } }
    ]
  }

  /// rANS, with a frequency for every symbol in proportion to its count.
  private func frequencies(_ groups: [[UInt8]]) -> [UInt8] {
    if groups.allSatisfy(\.isEmpty) { return [] }
    var out = [UInt8(logLanes)]
    var tables: [[Int]] = []
    for group in groups {
      var table = [Int](repeating: 0, count: 256)
      for symbol in group { table[Int(symbol)] += 1 }
      let used = (0..<256).filter { table[$0] > 0 }
      for symbol in used { table[symbol] = 1 + table[symbol] * (4096 - used.count) / group.count }
      if let first = used.first, let last = used.last {
        table[first] += 4096 - table.reduce(0, +)
        out += [UInt8(first), UInt8(last - first)]
        for symbol in first...last {
          out +=
            table[symbol] < 128
            ? [UInt8(table[symbol])] : [UInt8(table[symbol] % 128 + 128), UInt8(table[symbol] / 128)]
        }
      }
      tables.append(table)
    }
    var states = [Int](repeating: 1 << 15, count: 1 << logLanes)
    var words: [Int] = []
    for (group, table) in zip(groups, tables).reversed() {
      var starts = [0]
      for f in table { starts.append(starts[starts.count - 1] + f) }
      for (j, symbol) in group.enumerated().reversed() {
        let (f, start) = (table[Int(symbol)], starts[Int(symbol)])
        var x = states[j % states.count]
        if x >= f << 19 {
          words.append(x % 65_536)
          x /= 65_536
        }
        states[j % states.count] = 4096 * (x / f) + x % f + start
      }
    }
    for x in states { out += (0..<4).map { UInt8(truncatingIfNeeded: x >> (8 * $0)) } }
    return out + words.reversed().flatMap { [UInt8($0 % 256), UInt8($0 / 256)] }
  }

  private func symbols(_ codes: [UInt8]) -> [UInt8] { isGrid ? codes.map { $0 &+ 128 } : codes }

  func parts(_ codec: LevelsCodec) -> [[[UInt8]]] {
    let blocks = (0..<codec.blocks.count).map { codec.blocks[$0] }
    func stored(_ block: RowBlocks.Block) -> [UInt8] { rows(block).joined().filter { !isZero($0) } }
    func gaps(_ block: RowBlocks.Block) -> [UInt8] {
      var (out, gap): ([UInt8], Int) = ([], 0)
      for code in rows(block).joined() {
        if isZero(code) {
          gap += 1
        } else {
          out += [UInt8](repeating: 255, count: gap / 255) + [UInt8(gap % 255)]
          gap = 0
        }
      }
      return out
    }
    func codes(_ block: RowBlocks.Block) -> [UInt8] {
      if parameters.positions != nil {
        return parameters.bits.map { packed(stored(block), $0) } ?? frequencies([symbols(stored(block))])
      }
      if let bits = parameters.bits { return rows(block).flatMap { packed($0, bits) } }
      guard let classes = parameters.classes else { return frequencies([symbols(Array(rows(block).joined()))]) }
      return frequencies(
        (0..<classes.rows).flatMap { a in
          (0..<classes.columns).map { b in
            symbols(
              block.rows.filter { rowClasses[$0] == a }.flatMap { row in
                block.columns.filter { columnClasses[$0] == b }.map { matrix.codes[row * matrix.columns + $0] }
              })
          }
        })
    }
    return codec.parts.map { part in
      switch part {
      case .counts: raw(blocks.map { UInt32(gaps($0).count) })
      case .gaps: blocks.map(gaps)
      case .bitmap: blocks.map { rows($0).flatMap { packedBits($0.map { !isZero($0) }) } }
      case .classes: blocks.isEmpty ? [] : [rowClasses + columnClasses]
      case .codes: blocks.map(codes)
      case .exceptions: if case .grid(_, _, let exceptions) = matrix.levels { raw(exceptions) } else { [] }
      case .table:
        if case .table(let table) = matrix.levels { tableBlocks(table) } else { [] }
      case .scales:
        if case .grid(let scales, _, _) = matrix.levels, !blocks.isEmpty {
          matrix.type == .float64 ? raw(scales.map(\.bitPattern)) : raw(scales.map { Float($0).bitPattern })
        } else {
          []
        }
      }
    }
  }

  private func tableBlocks(_ table: [UInt8]) -> [[UInt8]] {
    let size = matrix.type.byteCount
    if table.isEmpty { return [] }
    return [planes ? (0..<size).flatMap { i in stride(from: i, to: table.count, by: size).map { table[$0] } } : table]
  }
}

private func makeCodec(_ matrix: LevelsMatrix, _ parameters: LevelsCodec.Parameters, isMapped: Bool = false) throws
  -> LevelsCodec
{
  try LevelsCodec(rows: matrix.rows, columns: matrix.columns, type: matrix.type, parameters, isMapped: isMapped)
}

private func decoded(_ parts: [[[UInt8]]], _ codec: LevelsCodec, threads: Int = 1) throws -> LevelsMatrix {
  #expect(parts.map(\.count) == codec.blockCounts)
  return try codec.decode(threads: Threads(threads)) { parts[$0][$1] }
}

private func parameters(_ matrix: LevelsMatrix) -> LevelsCodec.Parameters {
  switch matrix.levels {
  case .table(let table): .init(.table(levels: max(1, table.count / matrix.type.byteCount)))
  case .grid(_, let group, let exceptions): .init(.grid(group, exceptions: exceptions.count))
  }
}

private func byteCount(_ parts: [[[UInt8]]]) -> Int { parts.joined().reduce(0) { $0 + $1.count } }

// MARK: - Tests

@Suite struct Levels {
  /// Integers 0 1 −1 and 0 0 −2 with scales ½ and 2.
  private static let small = LevelsMatrix(
    rows: 2, columns: 3, type: .float32, codes: hex("00 01 ff 00 00 fe"),
    levels: .grid(scales: [0.5, 2], group: .row, exceptions: []))!
  private static let smallScales = "00 00 00 00 00 00 3f 40"

  /// By hand.
  @Test func readsPlainBlocks() throws {
    func matrix(_ parameters: LevelsCodec.Parameters, _ parts: String...) throws -> LevelsMatrix {
      try makeCodec(Self.small, parameters).decode { part, _ in hex(parts[part]) }
    }
    let values = LevelsCodec.Parameters.Values.grid(.row, exceptions: 0)
    let scales = Self.smallScales
    #expect(try matrix(.init(values, bits: 4), "10 0f 00 0e", scales) == Self.small)
    #expect(try matrix(.init(values, bits: 8), "00 01 ff 00 00 fe", scales) == Self.small)
    #expect(try matrix(.init(values, positions: .bitmap, bits: 4), "06 04", "f1 0e", scales) == Self.small)
    #expect(
      try matrix(.init(values, positions: .gaps, bits: 4), "03 00 00 00", "01 00 02", "f1 0e", scales) == Self.small)
    // Symbols 126…129 of frequencies 1000, 1000, 1596 and 500, by another program (`.ci/vectors.py`).
    #expect(try matrix(.init(values), "00 7e 03 e8 07 e8 07 bc 0c f4 03 f8 d7 77 04", scales) == Self.small)
    // The levels 3, 0 and 1 as int16; rows 0 2 and 1 1.
    let table = LevelsMatrix(
      rows: 2, columns: 2, type: .int16, codes: [0, 2, 1, 1], levels: .table(hex("03 00 00 00 01 00")))!
    let codec = try makeCodec(table, .init(.table(levels: 3), bits: 2))
    let parts = ["08 05", "03 00 01 00 00 00"]
    #expect(try codec.decode { part, _ in hex(parts[part]) } == table)
    let mapped = try LevelsCodec.encode(table, isMapped: true)
    #expect(mapped.parameters == .init(.table(levels: 3), bits: 2))
    #expect(mapped.parts == [[hex("08 05")], [hex("03 00 00 00 01 00")]])
    let unmapped = try LevelsCodec.encode(table, level: .uncompressed)
    #expect(unmapped.parts == [[hex("08 05")], [hex(parts[1])]])
  }

  /// Weights that are not stored get a level of a table that has none for them.
  @Test func addsTheLevelZero() throws {
    let parameters = LevelsCodec.Parameters(.table(levels: 2), positions: .bitmap, bits: 1)
    let codec = try LevelsCodec(rows: 1, columns: 4, type: .uint8, parameters)
    let parts = ["0a", "01", "05 07"]
    let matrix = try codec.decode { part, _ in hex(parts[part]) }
    #expect(matrix.codes == [2, 1, 2, 0])
    #expect(matrix.levels == .table([5, 7, 0]))
    // One that it has is not for stored ones.
    let zero = ["0a", "01", "00 07"]
    #expect(throws: CodecError.self) { try codec.decode { part, _ in hex(zero[part]) } }
    let unused = ["0a", "00", "05 00"]
    #expect(try codec.decode { part, _ in hex(unused[part]) }.codes == [1, 0, 1, 0])
    let full = try LevelsCodec(
      rows: 1, columns: 1, type: .uint8, .init(.table(levels: 256), positions: .bitmap, bits: 8))
    #expect(throws: CodecError.self) {
      try full.decode { part, _ in [[1], [0], (0...255).map { $0 == 0 ? 9 : UInt8($0) }][part] }
    }
  }

  /// Exceptions that have codes are read, but not kept.
  @Test func readsExceptionsThatAreNone() throws {
    let codec = try LevelsCodec(rows: 1, columns: 3, type: .float32, .init(.grid(.tensor, exceptions: 3), bits: 8))
    let parts = ["80 80 80", "80 00 81 02 00 ff 00 00 ff 00 00 ff", "00 00 80 3f"]
    let matrix = try codec.decode { part, _ in hex(parts[part]) }
    #expect(matrix.codes == hex("80 00 81"))
    #expect(matrix.levels == .grid(scales: [1], group: .tensor, exceptions: [640]))
  }

  private static let shapes = [(0, 0), (0, 5), (5, 0), (1, 1), (1, 7), (7, 1), (3, 8), (5, 9), (13, 17), (40, 33)]

  /// Every way to store a matrix is read.
  @Test(arguments: shapes)
  func readsEveryForm(_ rows: Int, _ columns: Int) throws {
    var random = SplitMix64(seed: 41)
    for codes in rows * columns < 1000 ? Codes.allCases : [.bell] {
      var matrices: [(LevelsMatrix, [Int])] = []
      for (limit, widths) in [(1, [2, 4, 8]), (7, [4, 8]), (127, [8])] {
        matrices.append((grid(rows, columns, codes, limit: limit, group: .inputs(4), &random), widths))
        matrices.append((grid(rows, columns, codes, limit: limit, type: .float64, &random), widths))
      }
      matrices.append((grid(rows, columns, codes, type: .bfloat16, group: .tensor, exceptions: 5, &random), [8]))
      for (levels, widths) in [(1, [1, 2, 4, 8]), (2, [1, 2]), (3, [2]), (16, [4]), (17, [8]), (256, [8])] {
        let type = [ElementType.int8, .float16, .int32, .float64][Int(random.next() % 4)]
        matrices.append((table(rows, columns, codes, levels: levels, zero: levels / 3, type: type, &random), widths))
      }
      for (matrix, widths) in matrices {
        var all: [(LevelsCodec.Parameters, Int)] = widths.map { bits in
          var parameters = parameters(matrix)
          parameters.bits = bits
          return (parameters, 0)
        }
        all += [0, 1, 2, 5].map { (parameters(matrix), $0) }
        for (positions, bits) in [(Positions.gaps, nil), (.bitmap, nil), (.gaps, widths[0]), (.bitmap, widths[0])] {
          var parameters = parameters(matrix)
          parameters.positions = positions
          parameters.bits = bits
          all.append((parameters, 1))
        }
        for (a, b) in [(1, 2), (2, 1), (3, 4), (16, 16)] {
          var parameters = parameters(matrix)
          parameters.classes = .init(rows: a, columns: b)
          all.append((parameters, 2))
        }
        for (parameters, logLanes) in all {
          for isMapped in parameters.bits == nil ? [false] : [false, true] {
            let codec = try makeCodec(matrix, parameters, isMapped: isMapped)
            var encoder = PlainEncoder(matrix: matrix, parameters: parameters)
            encoder.logLanes = logLanes
            encoder.planes = !isMapped
            if let classes = parameters.classes {
              encoder.rowClasses = (0..<rows).map { _ in UInt8(random.next() % UInt64(classes.rows)) }
              encoder.columnClasses = (0..<columns).map { _ in UInt8(random.next() % UInt64(classes.columns)) }
            }
            #expect(try decoded(encoder.parts(codec), codec) == matrix, "\(parameters)")
          }
        }
      }
    }
  }

  @Test(arguments: shapes + [(1, 3000), (3000, 1), (100, 120)])
  func comesBack(_ rows: Int, _ columns: Int) throws {
    var random = SplitMix64(seed: 42)
    for codes in Codes.allCases {
      for matrix in [
        grid(rows, columns, codes, limit: 1, &random), grid(rows, columns, codes, type: .float16, &random),
        grid(rows, columns, codes, limit: 7, type: .float64, group: .inputs(5), &random),
        grid(rows, columns, codes, type: .bfloat16, group: .tensor, exceptions: 3, &random),
        table(rows, columns, codes, levels: 2, zero: 0, type: .uint8, &random),
        table(rows, columns, codes, levels: 17, zero: 3, type: .float64, &random),
        table(rows, columns, codes, levels: 256, type: .bfloat16, &random),
        table(rows, columns, codes, levels: 256, zero: 128, type: .int32, &random),
      ] {
        for (level, isMapped) in [
          (CompressionLevel.uncompressed, false), (.standard, false), (.zstd(3), false), (.standard, true),
        ] {
          let stored = try LevelsCodec.encode(matrix, level: level, isMapped: isMapped, threads: Threads(1))
          let codec = try makeCodec(matrix, stored.parameters, isMapped: isMapped)
          let back = try decoded(stored.parts, codec)
          #expect(values(back) == values(matrix))
          if stored.parameters.positions == nil { #expect(back == matrix) }
          if level == .uncompressed || isMapped {
            #expect(stored.parameters.bits != nil && stored.parameters.positions == nil)
            let plain = PlainEncoder(matrix: matrix, parameters: stored.parameters, planes: !isMapped)
            #expect(stored.parts == plain.parts(codec))
          }
        }
      }
    }
  }

  /// Several blocks of whole rows, and rows that are cut; the same bytes whatever the number of threads.
  @Test(arguments: [(2, 1 << 18, 2), (1, (1 << 18) + 1, 2), (2, (1 << 18) + 9, 4), (5, 200_000, 5)])
  func cutsBlocks(_ rows: Int, _ columns: Int, _ blocks: Int) throws {
    var random = SplitMix64(seed: 43)
    for codes in [Codes.bell, .rare] {
      let matrix = grid(rows, columns, codes, exceptions: 3, &random)
      let stored = try LevelsCodec.encode(matrix, threads: Threads(1))
      let codec = try makeCodec(matrix, stored.parameters)
      #expect(codec.blocks.count == blocks)
      let again = try LevelsCodec.encode(matrix, threads: Threads(2))
      #expect(again.parameters == stored.parameters && again.parts == stored.parts)
      #expect(try decoded(stored.parts, codec, threads: 2) == matrix)
    }
  }

  // MARK: Sizes

  private func entropyBytes(_ matrix: LevelsMatrix) -> Double {
    var counts = [Int](repeating: 0, count: 256)
    for code in matrix.codes { counts[Int(code)] += 1 }
    let all = Double(matrix.codes.count)
    return counts.reduce(0) { $1 == 0 ? $0 : $0 - Double($1) * Sizes.logarithm(Double($1) / all) } / 8
  }

  /// Within a fiftieth of the entropy of single codes.
  @Test func costsTheEntropy() throws {
    var random = SplitMix64(seed: 44)
    for codes in Codes.allCases {
      for limit in [1, 7] {
        for (rows, columns) in [(1, 10), (10, 30), (60, 50), (200, 150), (512, 512)] {
          let matrix = grid(rows, columns, codes, limit: limit, group: .tensor, &random)
          let stored = try LevelsCodec.encode(matrix)
          #expect(
            Double(byteCount(stored.parts)) - 4 <= 1.02 * entropyBytes(matrix) + 64,
            "\(codes) \(limit) \(rows)×\(columns)")
        }
      }
    }
  }

  /// Rows and columns of very different spread are told apart.
  @Test func findsClasses() throws {
    var random = SplitMix64(seed: 45)
    let (rows, columns) = (256, 300)
    let bytes = (0..<rows * columns).map { i in
      let spread = (i / columns % 7 == 0 ? 6.0 : 1) * (i % columns % 5 == 0 ? 3 : 0.6)
      let sum = (0..<4).reduce(0.0) { sum, _ in sum + Double.random(in: -1...1, using: &random) }
      return UInt8(bitPattern: Int8((sum * spread).rounded()))
    }
    let matrix = LevelsMatrix(
      rows: rows, columns: columns, type: .float32, codes: bytes,
      levels: .grid(scales: [1], group: .tensor, exceptions: []))!
    let stored = try LevelsCodec.encode(matrix)
    #expect(stored.parameters.classes != nil)
    #expect(Double(byteCount(stored.parts)) < 0.85 * entropyBytes(matrix))
    #expect(try decoded(stored.parts, makeCodec(matrix, stored.parameters)) == matrix)
  }

  /// Rows that repeat are for zstd, rows of zeros for positions or classes.
  @Test func findsWhatRepeats() throws {
    var random = SplitMix64(seed: 46)
    let row = (0..<1000).map { _ in UInt8(random.next() % 16) }
    let repeated = LevelsMatrix(
      rows: 200, columns: 1000, type: .uint8, codes: (0..<200).flatMap { _ in row }, levels: .table(Array(1...16)))!
    let stored = try LevelsCodec.encode(repeated)
    #expect(stored.parameters.bits == 4)
    #expect(byteCount(stored.parts) < 1100)
  }

  // MARK: Refusals

  @Test func refusesWrongParameters() {
    func error(_ parameters: LevelsCodec.Parameters, type: ElementType = .float32, isMapped: Bool = false)
      -> CodecError.Verdict?
    {
      #expect(throws: CodecError.self) {
        try LevelsCodec(rows: 4, columns: 4, type: type, parameters, isMapped: isMapped)
      }?.verdict
    }
    let grid = LevelsCodec.Parameters.Values.grid(.row, exceptions: 0)
    #expect(error(.init(.table(levels: 0))) == .corrupt)
    #expect(error(.init(.table(levels: 257))) == .corrupt)
    #expect(error(.init(grid), type: .int8) == .corrupt)
    #expect(error(.init(.grid(.inputs(0), exceptions: 0))) == .corrupt)
    #expect(error(.init(.grid(.row, exceptions: 17))) == .corrupt)
    #expect(error(.init(.grid(.row, exceptions: -1))) == .corrupt)
    for bits in [-1, 0, 1, 3, 5, 16] { #expect(error(.init(grid, bits: bits)) == .corrupt) }
    #expect(error(.init(grid), isMapped: true) == .corrupt)
    for (a, b) in [(1, 1), (0, 2), (2, 0), (17, 1), (1, 17)] {
      #expect(error(.init(grid, classes: .init(rows: a, columns: b))) == .corrupt)
    }
    #expect(error(.init(grid, bits: 4, classes: .init(rows: 2, columns: 2))) == .corrupt)
    #expect(error(.init(grid, positions: .gaps, classes: .init(rows: 2, columns: 2))) == .corrupt)
    for (rows, columns) in [(Int.max, 2), (-1, 1), (1, -1), (1 << 31, 1 << 31), (.max, 1)] {
      let error = #expect(throws: CodecError.self) {
        try LevelsCodec(rows: rows, columns: columns, type: .float64, .init(grid))
      }
      #expect(error?.verdict == .overLimit)
    }
  }

  @Test func refusesWrongParts() throws {
    func error(_ parameters: LevelsCodec.Parameters, _ parts: String..., type: ElementType = .float32) -> CodecError? {
      let error = #expect(throws: CodecError.self) {
        try LevelsCodec(rows: 2, columns: 3, type: type, parameters).decode { part, _ in hex(parts[part]) }
      }
      #expect(error?.verdict == .corrupt)
      return error
    }
    let scales = Self.smallScales
    let (grid, marked) = (
      LevelsCodec.Parameters.Values.grid(.row, exceptions: 0), LevelsCodec.Parameters.Values.grid(.row, exceptions: 1)
    )
    #expect(error(.init(grid, bits: 4), "18 0f 00 0e", scales)?.what == "code -8")
    #expect(error(.init(grid, bits: 2), "02 00", scales)?.what == "code -2")
    #expect(error(.init(grid, bits: 8), "00 80 ff 00 00 fe", scales)?.what == "code -128")
    #expect(error(.init(grid, bits: 4), "10 1f 00 0e", scales)?.what == "bits after the last code are not zero")
    #expect(error(.init(grid, bits: 4), "10 0f 00", scales)?.part == "codes")
    #expect(error(.init(grid, bits: 4), "10 0f 00 0e 00", scales)?.block == 0)
    #expect(error(.init(.table(levels: 2), bits: 2), "04 08", "01 02", type: .int8)?.what == "code 2")
    #expect(error(.init(.table(levels: 3), bits: 2), "04 08", "01 02", type: .int8)?.part == "table")
    // Stored zeros.
    #expect(error(.init(grid, positions: .bitmap, bits: 4), "06 04", "f1 00", scales)?.what == "code 0")
    #expect(error(.init(grid, positions: .bitmap, bits: 4), "0e 04", "f1 0e", scales)?.part == "bitmap")
    #expect(error(.init(grid, positions: .bitmap, bits: 4), "06 04", "f1 ee", scales)?.part == "codes")
    #expect(error(.init(grid, positions: .gaps, bits: 4), "07 00 00 00", "", "", scales)?.part == "counts")
    #expect(error(.init(grid, positions: .gaps, bits: 4), "03 00 00 00", "01 00 05", "f1 0e", scales)?.part == "gaps")
    // Exceptions.
    let codes = "00 80 ff 00 00 fe"
    #expect(
      error(.init(marked, bits: 8), codes, "01 00 00 01", "00 00 00 00 80 80 3f 3f")?.what == "exception 16777217")
    #expect(error(.init(marked, bits: 8), "00 01 ff 00 00 fe", "00 01 00 00", scales)?.what == "1 for 0 codes")
    #expect(error(.init(marked, bits: 8), "00 80 80 00 00 fe", "00 01 00 00", scales)?.part == "exceptions")
    #expect(
      error(.init(marked, positions: .bitmap, bits: 8), "02 00", "80", "00 00 00 00", scales)?.what == "exception 0")
    // Scales: −1, infinite, −0.
    for scale in ["00 00 00 00 80 80 bf 3f", "00 00 00 00 80 80 7f 3f", "00 00 00 00 00 80 80 3f"] {
      #expect(error(.init(grid, bits: 4), "10 0f 00 0e", scale)?.part == "scales")
    }
    #expect(error(.init(grid, bits: 4), "70 0f 00 0e", "ff 00 ff 00 7f 80 7f 3f")?.what == "a weight that is infinite")
    // Classes.
    let classes = LevelsCodec.Parameters(grid, classes: .init(rows: 1, columns: 2))
    #expect(error(classes, "00 00 00 01 02", "", scales)?.part == "classes")
    #expect(error(classes, "01 00 00 01 01", "", scales)?.part == "classes")
    #expect(error(classes, "00 00 00 01 01", "", scales)?.what == "no number of lanes")
    // A mapped file has no frames.
    let frame = hex("28 b5 2f fd 20 40 02 00 ")
    let mapped = try LevelsCodec(rows: 1, columns: 64, type: .uint8, .init(.table(levels: 1), bits: 8), isMapped: true)
    #expect(throws: CodecError.self) { try mapped.decode { part, _ in part == 0 ? frame : [7] } }
  }

  /// Every cut and every changed byte of stored blocks is refused or decodes, to the same matrix or another.
  @Test(arguments: [(24, 24, Codes.bell), (20, 30, .rare), (3, 5, .flat), (40, 48, .rare)])
  private func survivesDamage(_ rows: Int, _ columns: Int, _ codes: Codes) throws {
    var random = SplitMix64(seed: 47)
    let matrix = grid(rows, columns, codes, exceptions: 2, &random)
    var forms: [(LevelsCodec.Parameters, [[[UInt8]]])] = []
    for change in 0..<6 {
      var parameters = parameters(matrix)
      switch change {
      case 0: parameters.bits = 8
      case 1: parameters.positions = .gaps
      case 2: (parameters.positions, parameters.bits) = (.bitmap, 8)
      case 3: parameters.classes = .init(rows: 3, columns: 2)
      default: break
      }
      var encoder = PlainEncoder(matrix: matrix, parameters: parameters)
      encoder.logLanes = change == 4 ? 5 : 1
      encoder.rowClasses = (0..<rows).map { UInt8($0 % 3) }
      encoder.columnClasses = (0..<columns).map { UInt8($0 % 2) }
      forms.append((parameters, encoder.parts(try makeCodec(matrix, parameters))))
    }
    forms.append(try LevelsCodec.encode(matrix))
    for (parameters, parts) in forms {
      let codec = try makeCodec(matrix, parameters)
      for part in parts.indices {
        let block = parts[part][0]
        func attempt(_ damaged: [UInt8]) throws -> Bool {
          do {
            _ = try codec.decode(threads: Threads(1)) { $0 == part ? damaged : parts[$0][$1] }
            return true
          } catch is CodecError { return false }
        }
        for length in 0..<block.count { #expect(try !attempt(Array(block[..<length]))) }
        #expect(try !attempt(block + [0]))
        for at in block.indices {
          for change in [1, 0x80, UInt8.random(in: 2...255, using: &random)] {
            var damaged = block
            damaged[at] ^= change
            _ = try attempt(damaged)
          }
        }
      }
    }
  }

  @Test func matricesAreValid() {
    func matrix(_ codes: [UInt8], _ levels: LevelsMatrix.Levels, type: ElementType = .float16) -> LevelsMatrix? {
      LevelsMatrix(rows: 1, columns: codes.count, type: type, codes: codes, levels: levels)
    }
    func grid(_ scale: Double, _ exceptions: [Int32] = []) -> LevelsMatrix.Levels {
      .grid(scales: [scale], group: .row, exceptions: exceptions)
    }
    #expect(matrix([0, 1], .table([1, 2, 3, 4])) != nil)
    #expect(matrix([0, 2], .table([1, 2, 3, 4])) == nil)
    #expect(matrix([0, 0], .table([1, 2, 3])) == nil)
    #expect(matrix([0, 1], grid(1)) != nil)
    #expect(matrix([0, 1], grid(1), type: .int8) == nil)
    for scale in [-1, -0.0, .nan, .infinity, 1 + 0x1p-40] { #expect(matrix([0, 1], grid(scale)) == nil) }
    #expect(matrix([0, 1], grid(1 + 0x1p-40), type: .float64) != nil)
    #expect(matrix([0, 128], grid(1)) == nil)
    #expect(matrix([0, 128], grid(1, [128])) != nil)
    #expect(matrix([0, 128], grid(1, [-127])) == nil)
    #expect(matrix([0, 128], grid(0x1p-10, [1 << 24])) != nil)
    #expect(matrix([0, 128], grid(0x1p-10, [1 << 24 + 1])) == nil)
    // 65 504 is the largest float16; 65 520 is rounded to infinity.
    #expect(matrix([0, 2], grid(32_752)) != nil)
    #expect(matrix([0, 2], grid(32_760)) == nil)
    #expect(matrix([127, 128], grid(65_504 / 128, [128])) != nil)
    #expect(matrix([127, 128], grid(65_504 / 128, [-129])) == nil)
    let rows = LevelsMatrix(
      rows: 3, columns: 2, type: .float32, codes: [128, 1, 0, 0, 128, 128],
      levels: .grid(scales: [1], group: .tensor, exceptions: [128, 129, 130]))
    #expect(rows?.exceptionStarts() == [0, 1, 1, 3])
  }
}
