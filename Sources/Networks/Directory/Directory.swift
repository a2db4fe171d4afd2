// SPDX-License-Identifier: Apache-2.0

internal import Codecs
package import JSON
internal import Tensors

/// The content of a `.ncz` directory, all but the table of payloads (`spec/ncz-v1.md` §2.4, §3, §5).
package struct Directory {
  package struct Container: Equatable {
    package var kind: ContainerKind
    /// Offset of the HDF5 file in the source file.
    var offset: Int
    package var payload: Int
    /// Bytes of the source file.
    package var size: Int
    var extensions: [JSONValue.Member] = []
  }

  package var container: Container?
  package var digest: Digest
  var network: Network?
  var tensors: [TensorRecord]
  var extensions: [JSONValue.Member] = []

  static let maxTensors = 1 << 20
}

/// What kind of file the container is.
package enum ContainerKind: String, Sendable {
  case hdf5, keras
}

// MARK: - Writing

extension Directory {
  /// The directory's members but `payloads`.
  var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("digest", .string("\(digest)")),
      .init("tensors", .array(tensors.map(\.json))),
    ]
    if let container {
      let pairs: [JSONValue.Member] = [
        .init("kind", .string(container.kind.rawValue)), .init("offset", .integer(container.offset)),
        .init("payload", .integer(container.payload)), .init("size", .integer(container.size)),
      ]
      members.append(.init("container", .object(pairs + container.extensions)))
    }
    if let network { members.append(.init("network", network.json)) }
    return .object(members + extensions)
  }
}

extension TensorRecord {
  fileprivate var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("byte_order", .string(byteOrder.rawValue)),
      .init("encoding", .integer(encoding.id)),
      .init("history", .array(history.map(\.json))),
      .init("name", .string(name.text)),
      .init("parameters", encoding.parameters),
      .init("parts", .array(parts.map(JSONValue.integer))),
      .init("role", .string(role.rawValue)),
      .init("shape", .array(shape.dimensions.map(JSONValue.integer))),
      .init("size", .integer(size)),
      .init("type", .string(type.rawValue)),
    ]
    if !aliases.isEmpty { members.append(.init("aliases", .array(aliases.map { .string($0.text) }))) }
    if let digest { members.append(.init("digest", .string("\(digest)"))) }
    if isTransposed { members.append(.init("transposed", .bool(true))) }
    if let path { members.append(.init("path", .string(path.text))) }
    if let place { members.append(.init("place", place.json)) }
    return .object(members + extensions)
  }
}

extension Step {
  package var json: JSONValue {
    .object([
      .init("error", .real(error)), .init("from", .string("\(from)")), .init("options", .string(options)),
      .init("tool", .string(tool)), .init("version", .string(version)),
    ])
  }
}

extension Place {
  fileprivate var json: JSONValue {
    switch self {
    case .contiguous(let run):
      return .object([.init("extent", .array([.integer(run.offset), .integer(run.length)]))])
    case .chunked(let address, let chunks, let isKept):
      let rows = chunks.map { chunk in
        JSONValue.array(
          [.integer(chunk.run.offset), .integer(chunk.run.length), .integer(Int(chunk.filterMask))]
            + chunk.origin.map { .number(String($0)) })
      }
      return .object([
        .init("address", .number(String(address))), .init("chunks", .array(rows)), .init("kept", .bool(isKept)),
      ])
    }
  }
}

// MARK: - Reading

extension Directory {
  /// Reads and checks the content of a directory with `payloadCount` payloads.
  init(_ json: JSONValue, payloadCount: Int) throws(NetworkError) {
    var object = try ObjectReader(json, "directory")
    digest = try object.required("digest", "64 hexadecimal digits") { $0.string.flatMap(Digest.init) }
    container = nil
    if let json = object.optional("container") { container = try Container(json) }
    network = nil
    if let json = object.optional("network") { network = try Network(json: json) }
    let list = try object.array("tensors")
    guard list.count <= Self.maxTensors else {
      throw NetworkError(.overLimit, "\(list.count) tensors, limit \(Self.maxTensors)")
    }
    tensors = []
    for (index, json) in list.enumerated() { tensors.append(try TensorRecord(json, index: index)) }
    extensions = try object.extensions()

    var names: Set<TensorName> = []
    for tensor in tensors where !names.insert(tensor.name).inserted {
      throw NetworkError(.corrupt, "two tensors are named \(tensor.name)")
    }
    for name in network?.tensorNames ?? [] where !names.contains(name) {
      throw NetworkError(.corrupt, "network: no tensor is named \(name)")
    }
    try checkPayloads(count: payloadCount)
    try checkPlaces()
  }

  /// Every payload belongs to exactly one tensor or to the container.
  private func checkPayloads(count: Int) throws(NetworkError) {
    var used = [Bool](repeating: false, count: count)
    for payload in tensors.flatMap(\.parts) + (container.map { [$0.payload] } ?? []) {
      guard used.indices.contains(payload), !used[payload] else {
        throw NetworkError(.corrupt, "payload \(payload) of \(count) is used twice or does not exist")
      }
      used[payload] = true
    }
    if let unused = used.firstIndex(of: false) { throw NetworkError(.corrupt, "payload \(unused) belongs to nothing") }
  }

  private func checkPlaces() throws(NetworkError) {
    if let container {
      _ = try Place.holes(of: tensors, size: container.size)
    } else if let tensor = tensors.first(where: { $0.place != nil }) {
      throw NetworkError(.corrupt, "\(tensor.name): has a place, but the file has no container")
    }
  }
}

extension Directory.Container {
  fileprivate init(_ json: JSONValue) throws(NetworkError) {
    var object = try ObjectReader(json, "container")
    kind = try object.word("kind")
    offset = try object.required("offset", "an integer ≥ 0") { $0.integer.flatMap { $0 >= 0 ? $0 : nil } }
    payload = try object.integer("payload")
    size = try object.required("size", "an integer ≥ 0") { $0.integer.flatMap { $0 >= 0 ? $0 : nil } }
    guard offset <= size, kind == .keras || offset == 0 else {
      throw NetworkError(.corrupt, "container: offset \(offset) in a \(kind.rawValue) file of \(size) bytes")
    }
    extensions = try object.extensions()
  }
}

extension TensorRecord {
  fileprivate init(_ json: JSONValue, index: Int) throws(NetworkError) {
    var object = try ObjectReader(json, "tensor \(index)")
    let name = try object.name("name")
    guard name.utf8.count <= 4096 else {
      throw NetworkError(.overLimit, "a name of \(name.utf8.count) bytes, limit 4096")
    }
    guard !name.isEmpty, !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
      throw NetworkError(.corrupt, "tensor \(index): name \(name): expected at least one byte, no control characters")
    }
    self.name = name
    do throws(NetworkError) {
      path = try object.optional("path").map { json throws(NetworkError) in try text(json, "path") }
      aliases = []
      if let json = object.optional("aliases") {
        guard let list = json.array else { throw NetworkError(.corrupt, "aliases: expected an array") }
        for alias in list { aliases.append(try text(alias, "aliases")) }
      }
      let type: ElementType = try object.word("type")
      self.type = type
      byteOrder = try object.word("byte_order")
      let dimensions = try object.integers("shape")
      guard dimensions.count <= 32 else { throw NetworkError(.overLimit, "rank \(dimensions.count), limit 32") }
      guard let shape = Shape(dimensions), let expected = shape.byteCount(elementSize: type.byteCount) else {
        throw NetworkError(.corrupt, "shape \(dimensions) overflows")
      }
      self.shape = shape
      let size = try object.integer("size")
      guard size == expected else { throw NetworkError(.corrupt, "size \(size), expected \(expected)") }
      role = try object.word("role")
      digest = try object.required("digest", "64 hexadecimal digits") { $0.string.flatMap(Digest.init) }
      isTransposed = false
      if let json = object.optional("transposed") {
        guard json == .bool(true), shape.rank == 2 else {
          throw NetworkError(.corrupt, "transposed: expected true, of a matrix")
        }
        isTransposed = true
      }
      parts = try object.integers("parts")
      let id = try object.integer("encoding")
      let parameters = try object.required("parameters", "an object") { $0.members == nil ? nil : $0 }
      encoding = try Encoding(id: id, parameters)
      if let count = encoding.partCount(type), count != parts.count {
        throw NetworkError(.corrupt, "\(parts.count) parts, expected \(count) for \(encoding.name)")
      }
      guard encoding.suits(type, shape) else {
        throw NetworkError(.corrupt, "encoding \(encoding.name) of \(type.rawValue) \(shape)")
      }
      if case .sparse(_, let values, let least) = encoding, let stored = values.type(of: type),
        least >> UInt64(8 * stored.byteCount - 1) > 0
      {
        throw NetworkError(.corrupt, "parameters: least \(least) of \(stored.rawValue)")
      }
      history = []
      for (number, step) in try object.array("history").enumerated() { history.append(try Step(step, number)) }
      place = nil
      if let json = object.optional("place") {
        place = try Place(json, size: size, shape: shape)
      }
      extensions = try object.extensions()
    } catch {
      throw error.of(name)
    }

    func text(_ json: JSONValue, _ what: String) throws(NetworkError) -> TensorName {
      guard let string = json.string, string.hasOnlyPathEscapes else {
        throw NetworkError(.corrupt, "\(what): expected a string with no backslash but in \\x5C and \\x80…\\xFF")
      }
      return TensorName(string)
    }
  }
}

extension Step {
  fileprivate init(_ json: JSONValue, _ number: Int) throws(NetworkError) {
    var object = try ObjectReader(json, "history \(number)")
    tool = try object.string("tool")
    version = try object.string("version")
    options = try object.string("options")
    from = try object.required("from", "64 hexadecimal digits") { $0.string.flatMap(Digest.init) }
    error = try object.required("error", "a real ≥ 0") { json in
      json.real.flatMap { $0 >= 0 ? $0 : nil }
    }
    try object.finish()
  }
}

extension Place {
  fileprivate init(_ json: JSONValue, size: Int, shape: Shape) throws(NetworkError) {
    var object = try ObjectReader(json, "place")
    guard size > 0 else { throw NetworkError(.corrupt, "place: expected none for a tensor without values") }
    if let range = object.optional("extent") {
      let run = try Run(range.array ?? [])
      guard run.length == size else { throw NetworkError(.corrupt, "place: \(run.length) bytes, expected \(size)") }
      self = .contiguous(run)
    } else {
      let rank = shape.rank
      let address = try object.required("address", "an integer ≥ 0") { $0.integer.flatMap { UInt64(exactly: $0) } }
      let isKept = try object.bool("kept")
      var chunks: [StoredChunk] = []
      for json in try object.array("chunks") {
        guard let row = json.array, row.count == 3 + rank, let mask = row[2].integer.flatMap({ UInt32(exactly: $0) })
        else { throw NetworkError(.corrupt, "place: expected chunks of 3 + \(rank) integers") }
        let origin = row[3...].compactMap { $0.integer.flatMap { UInt64(exactly: $0) } }
        guard origin.count == rank, zip(origin, shape.dimensions).allSatisfy({ $0 < UInt64($1) }),
          chunks.last.map({ $0.origin.lexicographicallyPrecedes(origin) }) ?? true
        else { throw NetworkError(.corrupt, "place: a chunk's coordinates are out of order or outside the shape") }
        chunks.append(StoredChunk(run: try Run([row[0], row[1]]), filterMask: mask, origin: origin))
      }
      self = .chunked(address: address, chunks: chunks, isKept: isKept)
    }
    try object.finish()
  }
}

extension Place.Run {
  fileprivate init(_ json: [JSONValue]) throws(NetworkError) {
    guard json.count == 2, let offset = json[0].integer, let length = json[1].integer, offset >= 0, length >= 0,
      !offset.addingReportingOverflow(length).overflow
    else { throw NetworkError(.corrupt, "place: expected [offset, length], both ≥ 0") }
    self.init(offset: offset, length: length)
  }
}

extension String {
  /// Whether every backslash stands for itself or for a byte that is no UTF-8.
  fileprivate var hasOnlyPathEscapes: Bool {
    let backslash = UInt8(ascii: "\\")
    let parts = Array(utf8).split(omittingEmptySubsequences: false) { $0 == backslash }
    return parts.dropFirst().allSatisfy { rest in
      guard rest.count >= 3, rest.first == UInt8(ascii: "x") else { return false }
      let digits = String(decoding: rest.dropFirst().prefix(2), as: UTF8.self)
      guard let byte = UInt8(digits, radix: 16), digits == digits.uppercased() else { return false }
      return byte >= 0x80 || byte == backslash
    }
  }
}
