// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import JSON
internal import Tensors

/// The numbers of encodings in a directory (`spec/ncz-v1.md` §4).
private enum EncodingNumber: Int {
  case raw, ternary, sparse, lowRank, levels, seeded
}

extension Encoding {
  var id: Int {
    switch self {
    case .raw: EncodingNumber.raw.rawValue
    case .ternary: EncodingNumber.ternary.rawValue
    case .sparseSigns, .sparse: EncodingNumber.sparse.rawValue
    case .lowRank: EncodingNumber.lowRank.rawValue
    case .levels: EncodingNumber.levels.rawValue
    case .seeded: EncodingNumber.seeded.rawValue
    case .unknown(let id): id
    }
  }

  var parameters: [JSONValue.Member] {
    switch self {
    case .raw(let isInPlanes): isInPlanes ? [.init("planes", .bool(true))] : []
    case .ternary(let group): [.init("scale_per", group.json)]
    case .sparseSigns(let positions, let group):
      [
        .init("positions", .string(positions.rawValue)), .init("scale_per", group.json),
        .init("values", .string("sign")),
      ]
    case .sparse(let positions, let values, let least):
      (least == 0 ? [] : [.init("least", .string(String(least, radix: 16)))])
        + [.init("positions", .string(positions.rawValue)), .init("values", .string(values.rawValue))]
    case .lowRank(let singularValues):
      [
        .init("rank", .integer(singularValues.count)),
        .init("singular_values", .array(singularValues.map(JSONValue.real))),
      ]
    case .levels(let parameters): parameters.json
    case .seeded(let trits, let group):
      [
        .init("scale_per", group.json), .init("seed", .string(trits.seed.hexadecimal)),
        .init("threshold", .integer(trits.threshold)),
      ]
    case .unknown: []
    }
  }
}

extension ScaleGroup {
  fileprivate var json: JSONValue {
    switch self {
    case .tensor: .string("tensor")
    case .row: .string("row")
    case .inputs(let count): .integer(count)
    }
  }

  fileprivate init?(_ json: JSONValue) {
    switch json {
    case .string("tensor"): self = .tensor
    case .string("row"): self = .row
    default:
      guard let count = json.integer, count >= 1 else { return nil }
      self = .inputs(count)
    }
  }
}

extension Encoding {
  /// Checks that a tensor of this type, a matrix of these dimensions, in so many parts can have this encoding.
  func check(_ type: ElementType, _ matrix: (rows: Int, columns: Int), parts: Int) throws(NetworkError) {
    func need(_ condition: Bool, _ verdict: NetworkError.Verdict, _ what: String) throws(NetworkError) {
      guard condition else { throw NetworkError(verdict, "encoding \(name): \(what)") }
    }
    var expected = 1
    switch self {
    case .raw(let isInPlanes):
      try need(!isInPlanes || type.byteCount > 1, .corrupt, "planes of \(type.rawValue)")
    case .ternary:
      try need(type.isFloat, .unsupported, "of type \(type.rawValue)")
      expected = 2
    case .sparseSigns(let positions, _):
      try need(type.isFloat, .unsupported, "of type \(type.rawValue)")
      expected = positions.parts.count + 2
    case .sparse(let positions, let values, let least):
      try need(type.isFloat, .unsupported, "of type \(type.rawValue)")
      guard let stored = values.type(of: type) else {
        throw NetworkError(.unsupported, "encoding \(name): \(values.rawValue) values of type \(type.rawValue)")
      }
      try need(least >> UInt64(8 * stored.byteCount - 1) == 0, .corrupt, "least \(least) of \(stored.rawValue)")
      expected = positions.parts.count + stored.byteCount
    case .lowRank(let singularValues):
      try need(type.isFloat, .unsupported, "of type \(type.rawValue)")
      try need(
        singularValues.count <= min(matrix.rows, matrix.columns), .corrupt,
        "rank \(singularValues.count) of \(matrix.rows)×\(matrix.columns)")
      expected = 2
    case .levels(let parameters):
      if case .grid = parameters.values { try need(type.isFloat, .unsupported, "a grid of type \(type.rawValue)") }
      do throws(CodecError) {
        expected =
          try LevelsCodec(rows: matrix.rows, columns: matrix.columns, type: type, parameters).parts.count
      } catch {
        throw NetworkError(error)
      }
    case .seeded:
      try need(type.isFloat, .unsupported, "of type \(type.rawValue)")
    case .unknown: return
    }
    try need(parts == expected, .corrupt, "\(parts) parts, expected \(expected)")
  }

  init(id: Int, _ parameters: [JSONValue.Member]) throws(NetworkError) {
    guard let number = EncodingNumber(rawValue: id) else {
      throw NetworkError(.unsupported, "encoding \(id) is not known to this version")
    }
    var object = try ObjectReader(.object(parameters), "parameters")
    switch number {
    case .raw: self = .raw(planes: try object.optionalTrue("planes"))
    case .ternary: self = .ternary(try object.group())
    case .sparse:
      let positions: Positions = try object.word("positions")
      let values = try object.string("values")
      let least = try object.optional("least").map { json throws(NetworkError) in
        guard let text = json.string, let least = UInt64(text, radix: 16), least > 0,
          text == String(least, radix: 16)
        else { throw NetworkError(.corrupt, "parameters: least: expected hexadecimal digits of an integer ≥ 1") }
        return least
      }
      if values == "sign" {
        guard least == nil else { throw NetworkError(.corrupt, "parameters: least of signs") }
        self = .sparseSigns(positions, try object.group())
      } else {
        guard let values = StoredValues(rawValue: values) else {
          throw NetworkError(.unsupported, "parameters: unknown values \(values)")
        }
        guard object.optional("scale_per") == nil else {
          throw NetworkError(.corrupt, "parameters: scales of \(values.rawValue) values")
        }
        self = .sparse(positions, values, least: least ?? 0)
      }
    case .lowRank:
      let rank = try object.integer("rank", in: 0...Int.max)
      let singularValues = try object.array("singular_values").map { json throws(NetworkError) in
        guard let value = json.real, value >= 0 else {
          throw NetworkError(.corrupt, "parameters: singular_values: expected reals ≥ 0")
        }
        return value
      }
      guard singularValues.count == rank else {
        throw NetworkError(.corrupt, "parameters: \(singularValues.count) singular values, expected \(rank)")
      }
      guard zip(singularValues, singularValues.dropFirst()).allSatisfy({ $0 >= $1 }) else {
        throw NetworkError(.corrupt, "parameters: singular values are not in descending order")
      }
      self = .lowRank(singularValues: singularValues)
    case .levels: self = .levels(try LevelsCodec.Parameters(&object))
    case .seeded:
      let group = try object.group()
      let seed = try object.seed()
      let threshold = try object.integer("threshold", in: TernarySeed.thresholds)
      guard let trits = TernarySeed(seed: seed, threshold: threshold) else {
        throw NetworkError(.corrupt, "parameters: threshold \(threshold)")
      }
      self = .seeded(trits, group)
    }
    try object.finish()
  }
}

extension ObjectReader {
  /// The seed of a generator.
  mutating func seed() throws(NetworkError) -> UInt64 {
    try required("seed", "16 lower-case hexadecimal digits") { $0.string.flatMap(UInt64.init(hexadecimal:)) }
  }
}

extension UInt64 {
  /// The number of 16 lower-case hexadecimal digits; `nil` for any other text.
  fileprivate init?(hexadecimal text: String) {
    guard let value = UInt64(text, radix: 16), text == value.hexadecimal else { return nil }
    self = value
  }

  /// 16 lower-case hexadecimal digits.
  var hexadecimal: String {
    let digits = String(self, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension ObjectReader {
  fileprivate mutating func group() throws(NetworkError) -> ScaleGroup {
    try required("scale_per", "tensor, row or an integer ≥ 1") { json in
      if let word = json.string, ScaleGroup(json) == nil {
        throw NetworkError(.unsupported, "unknown group \(word)")
      }
      return ScaleGroup(json)
    }
  }
}

extension LevelsCodec.Parameters {
  fileprivate var json: [JSONValue.Member] {
    var members: [JSONValue.Member] = []
    switch values {
    case .table(let levels):
      members = [.init("levels", .integer(levels)), .init("values", .string("table"))]
    case .grid(let group, let exceptions):
      members = [.init("scale_per", group.json), .init("values", .string("grid"))]
      members.append("exceptions", exceptions == 0 ? nil : .integer(exceptions))
    }
    members.append("bits", bits.map { .integer($0) })
    members.append("classes", classes.map { .array([.integer($0.rows), .integer($0.columns)]) })
    members.append("positions", positions.map { .string($0.rawValue) })
    return members
  }

  fileprivate init(_ object: inout ObjectReader) throws(NetworkError) {
    let values = try object.string("values")
    switch values {
    case "table": self.init(.table(levels: try object.integer("levels", in: 1...256)))
    case "grid":
      let exceptions = object.keys.contains("exceptions") ? try object.integer("exceptions", in: 1...Int.max) : 0
      self.init(.grid(try object.group(), exceptions: exceptions))
    default: throw NetworkError(.unsupported, "parameters: unknown values \(values)")
    }
    if object.keys.contains("positions") {
      positions = try object.word("positions")
      // A weight without a code is one value more.
      if case .table(levels: 256) = self.values {
        throw NetworkError(.corrupt, "parameters: 256 levels with positions")
      }
    }
    bits = try object.optionalInteger("bits")
    if let json = object.optional("classes") {
      guard let counts = json.integers, counts.count == 2 else {
        throw NetworkError(.corrupt, "parameters: classes: expected two integers")
      }
      classes = LevelsCodec.Classes(rows: counts[0], columns: counts[1])
    }
    // Known to this encoding, and not with these values.
    for key in ["exceptions", "levels", "scale_per"] as [TensorName] where object.keys.contains(key) {
      throw NetworkError(.corrupt, "parameters: \(key) with \(values)")
    }
  }
}
