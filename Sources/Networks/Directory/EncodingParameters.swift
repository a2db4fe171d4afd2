// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import JSON
internal import Tensors

/// The numbers of encodings in a directory (`spec/ncz-v1.md` §4).
private enum EncodingNumber: Int {
  case raw, ternary, sparse, lowRank
}

extension Encoding {
  var id: Int {
    switch self {
    case .raw: EncodingNumber.raw.rawValue
    case .ternary: EncodingNumber.ternary.rawValue
    case .sparseSigns, .sparse: EncodingNumber.sparse.rawValue
    case .lowRank: EncodingNumber.lowRank.rawValue
    case .unknown(let id, _): id
    }
  }

  var parameters: JSONValue {
    switch self {
    case .raw:
      return .object([])
    case .ternary(let group):
      return .object([.init("scale_per", group.json)])
    case .sparseSigns(let group):
      return .object([
        .init("positions", .string("gaps")), .init("scale_per", group.json), .init("values", .string("sign")),
      ])
    case .sparse(let positions, let values, let least):
      return .object(
        (least == 0 ? [] : [.init("least", .number(String(least)))])
          + [.init("positions", .string(positions.rawValue)), .init("values", .string(values.rawValue))])
    case .lowRank(let singularValues):
      return .object([
        .init("rank", .integer(singularValues.count)),
        .init("singular_values", .array(singularValues.map(JSONValue.real))),
      ])
    case .unknown(_, let parameters):
      return (try? JSONValue.parse(Array(parameters.utf8))) ?? .object([])
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
  /// Number of parts of a tensor of type `type`; `nil` for an unknown encoding.
  func partCount(_ type: ElementType) -> Int? {
    switch self {
    case .raw: 1
    case .ternary, .lowRank: 2
    case .sparseSigns: 4
    case .sparse(let positions, let values, _):
      (positions == .gaps ? 2 : 1) + (values.type(of: type) ?? type).byteCount
    case .unknown: nil
    }
  }

  /// Whether a tensor can have this encoding.
  func suits(_ type: ElementType, _ shape: Shape) -> Bool {
    switch self {
    case .raw, .unknown: true
    case .ternary, .sparseSigns: type.isFloat && shape.rank == 2
    case .sparse(_, let values, _): values.type(of: type) != nil && shape.rank > 0
    case .lowRank(let singularValues):
      type.isFloat && shape.rank == 2 && singularValues.count <= shape.dimensions.min() ?? 0
    }
  }

  init(id: Int, _ json: JSONValue) throws(NetworkError) {
    guard let number = EncodingNumber(rawValue: id) else {
      guard (0...127).contains(id) else { throw NetworkError(.corrupt, "encoding \(id), expected 0…127") }
      self = .unknown(id: id, parameters: String(decoding: json.serialized(), as: UTF8.self))
      return
    }
    var object = try ObjectReader(json, "parameters")
    switch number {
    case .raw: self = .raw
    case .ternary: self = .ternary(try object.group())
    case .sparse:
      let positions: Positions = try object.word("positions")
      let values = try object.string("values")
      let least = try object.optional("least").map { json throws(NetworkError) in
        guard let least = json.integer, least >= 1 else {
          throw NetworkError(.corrupt, "parameters: least: expected an integer ≥ 1")
        }
        return UInt64(least)
      }
      if values == "sign" {
        guard least == nil else { throw NetworkError(.corrupt, "parameters: least of signs") }
        guard positions == .gaps else { throw NetworkError(.unsupported, "parameters: signs with a bitmap") }
        self = .sparseSigns(try object.group())
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
      let rank = try object.integer("rank")
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
    }
    try object.finish()
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
