// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// The levels encoding: matrices of few distinct values, a code for each weight.
///
/// Codes are coded by frequency (`nc_rans_encode`), one table for a block or for each class of its rows and columns, or
/// packed to few bits and left to zstd. Which weights have all bits zero may be said as `SparseCodec` says it.
public struct LevelsCodec: Sendable {
  /// What a directory says of a tensor so encoded.
  public struct Parameters: Sendable, Hashable {
    public enum Values: Sendable, Hashable {
      /// Codes are numbers of levels, of which there are 1…256.
      case table(levels: Int)
      /// Codes are integers, to be multiplied by scales; 0 or more exceptions.
      case grid(ScaleGroup, exceptions: Int)
    }

    public var values: Values
    /// `nil`: every weight has a code.
    public var positions: Positions?
    /// The width of packed codes; `nil`: they are coded by frequency.
    public var bits: Int?
    /// `nil`: one class.
    public var classes: Classes?

    public init(_ values: Values, positions: Positions? = nil, bits: Int? = nil, classes: Classes? = nil) {
      self.values = values
      self.positions = positions
      self.bits = bits
      self.classes = classes
    }
  }

  /// How many classes of rows and of columns there are.
  public struct Classes: Sendable, Hashable {
    public var rows: Int
    public var columns: Int

    public init(rows: Int, columns: Int) {
      self.rows = rows
      self.columns = columns
    }
  }

  /// The parts that there may be, in their order.
  public enum Part: String, Sendable, Hashable {
    case counts, gaps, bitmap, classes, codes, exceptions, table, scales
  }

  public let parameters: Parameters
  public let blocks: RowBlocks
  public let type: ElementType
  let isMapped: Bool
  let gaps: Gaps
  /// The raw arrays: the classes, the exceptions, the table or the scales.
  let classesCodec: RawCodec
  let exceptionsCodec: RawCodec
  let levelsCodec: RawCodec

  /// Describes a matrix of `rows` output units and `columns` inputs.
  ///
  /// - Parameter isMapped: whether the file is: then everything is uncompressed.
  /// - Throws: `CodecError`: corrupt for parameters outside their range, over the limit when sizes cannot be counted.
  public init(
    rows: Int, columns: Int, type: ElementType, _ parameters: Parameters, isMapped: Bool = false
  ) throws(CodecError) {
    self.parameters = parameters
    self.type = type
    self.isMapped = isMapped
    blocks = try RowBlocks(rows: rows, columns: columns)
    gaps = try Gaps(blocks, isMapped: isMapped)
    if (rows * columns).multipliedReportingOverflow(by: type.byteCount).overflow {
      throw .overLimit("\(rows)×\(columns) weights of \(type.byteCount) bytes")
    }
    switch parameters.values {
    case .table(let levels):
      guard (1...256).contains(levels) else { throw .corrupt("\(levels) levels") }
    case .grid(let group, let exceptions):
      guard type.isFloat else { throw .corrupt("a grid of type \(type.rawValue)") }
      if case .inputs(let count) = group, count < 1 { throw .corrupt("scale groups of \(count) inputs") }
      guard (0...rows * columns).contains(exceptions) else { throw .corrupt("\(exceptions) exceptions") }
    }
    if let bits = parameters.bits {
      let isPossible = [1, 2, 4, 8].contains(bits) && (bits > 1 || parameters.group == nil)
      if !isPossible { throw .corrupt("codes of \(bits) bits") }
    } else if isMapped {
      throw .corrupt("codes by frequency in a mapped file")
    }
    if let classes = parameters.classes {
      guard (1...16).contains(classes.rows), (1...16).contains(classes.columns), classes.rows * classes.columns > 1,
        parameters.bits == nil, parameters.positions == nil
      else { throw .corrupt("\(classes.rows)×\(classes.columns) classes") }
    }
    let scales = parameters.group?.count(rows: rows, columns: columns) ?? 0
    let classes =
      parameters.classes == nil || blocks.count == 0
      ? (partialValue: 0, overflow: false) : rows.addingReportingOverflow(columns)
    if classes.overflow { throw .overLimit("\(rows)×\(columns) weights") }
    classesCodec = try RawCodec(.uint8, count: classes.partialValue, isMapped: isMapped)
    exceptionsCodec = try RawCodec(.int32, count: parameters.exceptions, isMapped: isMapped)
    switch parameters.values {
    case .table(let levels):
      levelsCodec = try RawCodec(type, count: blocks.count == 0 ? 0 : levels, isMapped: isMapped)
    case .grid:
      levelsCodec = try RawCodec(
        type == .float64 ? .float64 : .float32, count: blocks.count == 0 ? 0 : scales, isMapped: isMapped)
    }
  }

  var isGrid: Bool { parameters.group != nil }

  /// The parts of a tensor so encoded, in order.
  public var parts: [Part] {
    var parts: [Part] =
      switch parameters.positions {
      case .gaps: [.counts, .gaps]
      case .bitmap: [.bitmap]
      case nil: []
      }
    if parameters.classes != nil { parts.append(.classes) }
    parts.append(.codes)
    if parameters.exceptions > 0 { parts.append(.exceptions) }
    parts.append(isGrid ? .scales : .table)
    return parts
  }

  /// How many blocks each of `parts` has.
  public var blockCounts: [Int] {
    parts.map { part in
      switch part {
      case .counts: gaps.counts.blockCount
      case .gaps, .bitmap, .codes: blocks.count
      case .classes: classesCodec.blockCount
      case .exceptions: exceptionsCodec.blockCount
      case .table, .scales: levelsCodec.blockCount
      }
    }
  }

  /// Bytes of the matrix in memory, for a limit that is held before anything is decoded.
  public var decodedByteCount: Int {
    blocks.rows * blocks.columns + exceptionsCodec.byteCount + 2 * levelsCodec.byteCount + classesCodec.byteCount
  }

  // MARK: Decoding

  /// Decodes a matrix. Memory for it is taken at once: hold its size against a limit first.
  ///
  /// With positions, weights without a code get 0, or of a table the level with all bits zero; one that a table lacks is
  /// added to it.
  ///
  /// - Parameter block: Reads stored block `index` of part `part`, counted in `parts`; called once for each, in no order,
  ///   from several threads.
  /// - Throws: `CodecError`, corrupt, for what the format does not allow in a part; or what `block` throws.
  public func decode(
    threads: Threads = Threads(0), block read: @Sendable (_ part: Int, _ index: Int) throws -> [UInt8]
  ) throws -> LevelsMatrix {
    let numbers = Dictionary(uniqueKeysWithValues: parts.enumerated().map { ($1, $0) })
    @Sendable func block(_ part: Part, _ index: Int) throws -> [UInt8] { try read(numbers[part] ?? 0, index) }

    let exceptions = try exceptionsCodec.decode(as: Int32.self, part: "exceptions", threads: threads) {
      try block(.exceptions, $0)
    }
    let isPositioned = parameters.positions != nil
    if let wrong = exceptions.first(where: { $0.magnitude > LevelsMatrix.exceptionLimit || $0 == 0 && isPositioned }) {
      throw CodecError(verdict: .corrupt, part: "exceptions", what: "exception \(wrong)")
    }
    var levels = try decodeLevels(threads: threads) { try block(isGrid ? .scales : .table, $0) }
    let zeroCode = isPositioned && blocks.count > 0 ? try zeroCode(&levels) : 0
    let arrangement = try decodeClasses(threads: threads) { try block(.classes, $0) }
    let gapCounts =
      parameters.positions == .gaps ? try gaps.decodeCounts(threads: threads) { try block(.counts, $0) } : []
    let allowed = allowedCodes(levels, exceptions: exceptions.count)
    let (rows, columns) = (blocks.rows, blocks.columns)
    var marks = 0
    var codes = try [UInt8](unsafeUninitializedCapacity: rows * columns) { codes, count in
      nonisolated(unsafe) let all = codes.baseAddress
      marks = try threads.map(blocks.count) { index in
        let place = blocks[index]
        guard let out = all.map({ $0 + place.rows.lowerBound * columns + place.columns.lowerBound }) else { return 0 }
        if let positions = parameters.positions {
          return try decodeStored(
            place, index, positions, gapCounts, zeroCode: zeroCode, allowed, into: out, read: block)
        }
        return try locating("codes", index) {
          try decodeCodes(try block(.codes, index), place, arrangement?.groups(of: place), into: out)
          return try check(UnsafeBufferPointer(start: out, count: place.weights), allowed)
        }
      }.reduce(0, +)
      count = rows * columns
    }
    var exceptionCodes = 0
    if case .grid(let scales, let group, _) = levels {
      guard marks == exceptions.count else {
        throw CodecError(verdict: .corrupt, part: "exceptions", what: "\(exceptions.count) for \(marks) codes")
      }
      let left = Self.withoutCodes(exceptions, &codes)
      exceptionCodes = left.count
      levels = .grid(scales: scales, group: group, exceptions: left)
    }
    guard
      let matrix = LevelsMatrix(
        rows: rows, columns: columns, type: type, codes: codes, levels: levels, exceptionCodes: exceptionCodes)
    else {
      // Every other disagreement was found before.
      throw CodecError(verdict: .corrupt, part: "scales", what: "a weight that is infinite")
    }
    return matrix
  }

  /// The exceptions that are none of the integers that have codes; those that are become codes.
  private static func withoutCodes(_ exceptions: [Int32], _ codes: inout [UInt8]) -> [Int32] {
    if exceptions.allSatisfy({ $0.magnitude > 127 }) { return exceptions }
    var next = exceptions.startIndex
    for i in codes.indices where codes[i] == LevelsMatrix.exceptionCode {
      if let code = Int8(exactly: exceptions[next]), code != -128 { codes[i] = UInt8(bitPattern: code) }
      next += 1
    }
    return exceptions.filter { $0.magnitude > 127 }
  }

  /// Decodes the table, or the scales; without exceptions.
  private func decodeLevels(
    threads: Threads, _ read: @Sendable (Int) throws -> [UInt8]
  ) throws -> LevelsMatrix.Levels {
    guard case .grid(let group, _) = parameters.values else {
      return .table(try levelsCodec.decode(as: UInt8.self, part: "table", threads: threads, block: read))
    }
    let count = group.count(rows: blocks.rows, columns: blocks.columns)
    if blocks.count == 0 {
      return .grid(scales: [Double](repeating: 0, count: count), group: group, exceptions: [])
    }
    let scales =
      levelsCodec.type == .float64
      ? try levelsCodec.decode(as: Double.self, part: "scales", threads: threads, block: read)
      : try levelsCodec.decode(as: Float.self, part: "scales", threads: threads, block: read).map { Double($0) }
    if let wrong = scales.firstIndex(where: { !LevelsMatrix.isScale($0, of: type) }) {
      throw CodecError(verdict: .corrupt, part: "scales", what: "scale \(wrong) is \(scales[wrong])")
    }
    return .grid(scales: scales, group: group, exceptions: [])
  }

  /// The code of weights that are not stored: of a table, that of its level with all bits zero, which is added where
  /// there is none.
  private func zeroCode(_ levels: inout LevelsMatrix.Levels) throws -> UInt8 {
    guard case .table(var table) = levels else { return 0 }
    let size = type.byteCount
    if let zero = Self.zeroLevels(of: table, type).first { return zero }
    if table.count == 256 * size {
      throw CodecError(verdict: .corrupt, part: "table", what: "256 levels beside weights that are zero")
    }
    table += [UInt8](repeating: 0, count: size)
    levels = .table(table)
    return UInt8(table.count / size - 1)
  }

  /// The numbers of all levels with all bits zero.
  static func zeroLevels(of table: [UInt8], _ type: ElementType) -> [UInt8] {
    let size = type.byteCount
    return (0..<table.count / size).filter { table[$0 * size..<($0 + 1) * size].allSatisfy { $0 == 0 } }
      .map { UInt8($0) }
  }

  /// Which codes may be stored.
  private struct AllowedCodes {
    /// Codes are below it.
    var end = 256
    /// Some that are not allowed nevertheless.
    var others: [UInt8] = []
  }

  private func allowedCodes(_ levels: LevelsMatrix.Levels, exceptions: Int) -> AllowedCodes {
    var allowed = AllowedCodes()
    switch levels {
    case .grid:
      // The lowest of few bits, in two's complement; of eight it stands for an exception.
      let bits = parameters.bits ?? 8
      if bits < 8 || exceptions == 0 { allowed.others.append(UInt8(256 - 1 << (bits - 1))) }
      if parameters.positions != nil { allowed.others.append(0) }
    case .table(let table):
      if case .table(let levels) = parameters.values { allowed.end = levels }
      if parameters.positions != nil { allowed.others += Self.zeroLevels(of: table, type) }
    }
    return allowed
  }

  /// Refuses codes that may not be stored; returns how many stand for exceptions.
  private func check(_ codes: UnsafeBufferPointer<UInt8>, _ allowed: AllowedCodes) throws(CodecError) -> Int {
    if allowed.end < 256, let largest = codes.largest, largest >= allowed.end { throw wrong(UInt8(largest)) }
    // Of a table with many levels for zero one pass is for all.
    if allowed.others.count <= 4 {
      for code in allowed.others where codes.count(of: code) > 0 { throw wrong(code) }
    } else {
      let others = Set(allowed.others)
      if let code = codes.first(where: { others.contains($0) }) { throw wrong(code) }
    }
    return isGrid && parameters.exceptions > 0 ? codes.count(of: LevelsMatrix.exceptionCode) : 0
  }

  private func wrong(_ code: UInt8) -> CodecError {
    .corrupt("code \(isGrid ? String(Int8(bitPattern: code)) : String(code))")
  }

  private func decodeClasses(
    threads: Threads, _ read: @Sendable (Int) throws -> [UInt8]
  ) throws -> ClassArrangement? {
    guard let classes = parameters.classes, blocks.count > 0 else { return nil }
    let bytes = try classesCodec.decode(as: UInt8.self, part: "classes", threads: threads, block: read)
    let (rows, columns) = (Array(bytes[..<blocks.rows]), Array(bytes[blocks.rows...]))
    guard rows.allSatisfy({ $0 < classes.rows }), columns.allSatisfy({ $0 < classes.columns }) else {
      throw CodecError(verdict: .corrupt, part: "classes", what: "a class that there is not")
    }
    return ClassArrangement(classes, rows: rows, columns: columns)
  }

  /// Decodes the codes of a block without positions.
  private func decodeCodes(
    _ stored: [UInt8], _ place: RowBlocks.Block, _ groups: ClassArrangement.Groups?,
    into out: UnsafeMutablePointer<UInt8>
  ) throws {
    let (rows, columns) = (place.rows.count, place.columns.count)
    if let bits = parameters.bits {
      let rowBytes = bitBytes(columns * bits)
      let packed = try restore(packed: stored, count: rows * rowBytes)
      for row in 0..<rows {
        try unpack(packed[row * rowBytes..<(row + 1) * rowBytes], columns, bits, out + row * columns)
      }
    } else if let groups {
      try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: place.weights) { symbols in
        guard let base = symbols.baseAddress else { return }
        try decode(frequencies: stored, groups: groups.sizes, into: base)
        groups.scatter(base, to: out)
      }
    } else {
      try decode(frequencies: stored, groups: [place.weights], into: out)
    }
  }

  /// Decodes a block with positions; returns how many codes stand for exceptions.
  private func decodeStored(
    _ place: RowBlocks.Block, _ index: Int, _ positions: Positions, _ gapCounts: [Int], zeroCode: UInt8,
    _ allowed: AllowedCodes, into out: UnsafeMutablePointer<UInt8>, read: (Part, Int) throws -> [UInt8]
  ) throws -> Int {
    try withUnsafeTemporaryAllocation(byteCount: bitBytes(place.weights), alignment: 8) { bits in
      var count = 0
      switch positions {
      case .gaps:
        try locating("gaps", index) {
          let stored = try restore(packed: try read(.gaps, index), count: gapCounts[index])
          count = try gaps.decode(stored, count: gapCounts[index], block: index, into: bits)
        }
      case .bitmap:
        try locating("bitmap", index) {
          let stored = try restore(packed: try read(.bitmap, index), count: place.maskSize)
          count = try place.decode(bitmap: stored, into: bits)
        }
      }
      out.update(repeating: zeroCode, count: place.weights)
      return try locating("codes", index) {
        let codes = try storedCodes(try read(.codes, index), count: count)
        let marks = try codes.withUnsafeBufferPointer {
          try check(UnsafeBufferPointer(rebasing: $0[..<count]), allowed)
        }
        if let bits = bits.baseAddress { nc_codes_place(bits, place.weights, codes, out) }
        return marks
      }
    }
  }

  private func storedCodes(_ stored: [UInt8], count: Int) throws -> [UInt8] {
    // One more, so that there is an address where there are no codes.
    var codes = [UInt8](repeating: 0, count: count + 1)
    if let width = parameters.bits {
      try unpack(try restore(packed: stored, count: bitBytes(count * width))[...], count, width, &codes)
    } else {
      try decode(frequencies: stored, groups: [count], into: &codes)
    }
    return codes
  }

  /// As `restore(_:count:)`; in a mapped file the block is uncompressed.
  private func restore(packed stored: [UInt8], count: Int) throws -> [UInt8] {
    if isMapped { try checkMapped(stored, count: count) }
    return try Codecs.restore(stored, count: count)
  }

  private func decode(frequencies stored: [UInt8], groups: [Int], into out: UnsafeMutablePointer<UInt8>) throws {
    switch nc_rans_decode(stored, stored.count, groups, groups.count, out) {
    case nc_rans_sound: break
    case nc_rans_no_lanes: throw CodecError.corrupt("no number of lanes")
    case nc_rans_no_table: throw CodecError.corrupt("a table of frequencies that is none")
    case nc_rans_no_state: throw CodecError.corrupt("a state out of its range")
    case nc_rans_cut: throw CodecError.corrupt("codes are cut")
    default: throw CodecError.corrupt("something is left after the last code")
    }
    if isGrid { nc_codes_flip(out, groups.reduce(0, +), Self.gridFlip) }
  }

  /// Symbols of integers are these and 128; in two's complement that is their highest bit.
  static let gridFlip: UInt8 = 0x80

  private func unpack(
    _ packed: ArraySlice<UInt8>, _ count: Int, _ bits: Int, _ out: UnsafeMutablePointer<UInt8>
  ) throws {
    let used = count * bits % 8
    if used != 0, let last = packed.last, last >> UInt8(used) != 0 {
      throw CodecError.corrupt("bits after the last code are not zero")
    }
    packed.withUnsafeBufferPointer {
      if let base = $0.baseAddress { nc_codes_unpack(base, count, UInt32(bits), isGrid, out) }
    }
  }

}

extension LevelsCodec.Parameters {
  /// 0 for a table.
  var exceptions: Int { if case .grid(_, let exceptions) = values { exceptions } else { 0 } }
  var group: ScaleGroup? { if case .grid(let group, _) = values { group } else { nil } }
}

extension RowBlocks.Block {
  /// Bytes of a bitmap, whose rows begin with bytes.
  fileprivate var maskSize: Int { rows.count * SparseMatrix.maskRowBytes(columns: columns.count) }

  /// Writes the bits of a bitmap in a run; returns how many are 1.
  fileprivate func decode(bitmap: [UInt8], into bits: UnsafeMutableRawBufferPointer) throws -> Int {
    guard nc_bits_padded(bitmap, rows.count, columns.count) else {
      throw CodecError.corrupt("bits after the last weight of a row are not zero")
    }
    guard let bits = bits.baseAddress else { return 0 }
    nc_bits_close(bitmap, rows.count, columns.count, bits)
    return nc_mask_count(bitmap, bitmap.count)
  }
}

// MARK: - Classes

/// The classes of all rows and columns.
struct ClassArrangement: Sendable {
  let classes: LevelsCodec.Classes
  let rows: [UInt8]
  let columns: [UInt8]

  init(_ classes: LevelsCodec.Classes, rows: [UInt8], columns: [UInt8]) {
    (self.classes, self.rows, self.columns) = (classes, rows, columns)
  }

  /// The weights of a block as groups, those of one class of rows and of columns each.
  struct Groups {
    /// The weights of each group.
    let sizes: [Int]
    private let width: Int
    /// The rows of the block, and the columns, class by class.
    private let rowsByClass: [[Int]]
    private let columnsByClass: [[UInt32]]

    fileprivate init(_ place: RowBlocks.Block, _ all: ClassArrangement) {
      width = place.columns.count
      var (rows, columns) = (
        [[Int]](repeating: [], count: all.classes.rows), [[UInt32]](repeating: [], count: all.classes.columns)
      )
      for row in place.rows { rows[Int(all.rows[row])].append(row - place.rows.lowerBound) }
      for column in place.columns {
        columns[Int(all.columns[column])].append(UInt32(column - place.columns.lowerBound))
      }
      (rowsByClass, columnsByClass) = (rows, columns)
      sizes = rows.flatMap { rows in columns.map { rows.count * $0.count } }
    }

    /// Calls `body` for the weights of each row that are in one group, with the number of the row, its columns, and where
    /// in the groups they begin.
    private func forEach(_ body: (_ row: Int, _ columns: [UInt32], _ start: Int) -> Void) {
      var start = 0
      for rows in rowsByClass {
        for columns in columnsByClass {
          for row in rows {
            body(row, columns, start)
            start += columns.count
          }
        }
      }
    }

    func gather(_ codes: UnsafePointer<UInt8>, to out: UnsafeMutablePointer<UInt8>) {
      forEach { row, columns, start in nc_codes_gather(codes + row * width, columns, columns.count, out + start) }
    }

    func scatter(_ codes: UnsafePointer<UInt8>, to out: UnsafeMutablePointer<UInt8>) {
      forEach { row, columns, start in nc_codes_scatter(codes + start, columns, columns.count, out + row * width) }
    }
  }

  func groups(of place: RowBlocks.Block) -> Groups { Groups(place, self) }
}
