// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import Formatting
package import JSON
package import Tensors

/// The content of a `.ncz` directory, all but the table of payloads (`spec/ncz-v1.md` §2.4, §3, §5).
package struct Directory {
  package struct Container: Equatable {
    package var kind: ContainerKind
    /// Of the remaining bytes.
    package var digest: Digest
    /// Offset of the HDF5 file in the source file.
    var offset: Int
    /// Bytes of the source file.
    package var size: Int
    var extensions: [JSONValue.Member] = []
  }

  /// A part of the directory that this version does not know all of: why, and how it is spelled.
  package struct Foreign: Equatable {
    package var reason: String
    var json: JSONValue
  }

  package var container: Container?
  /// A container of which this version cannot restore the source file; `container` is `nil` then.
  package var foreignContainer: Foreign?
  /// The number of the container's payload, which is the last.
  package var containerPayload: Int?
  package var digest: Digest
  package var network: Network?
  /// Why this version cannot run the network; `network` is `nil` then.
  package var networkProblem: String?
  /// As it is spelled, with what this version does not know.
  var networkJSON: JSONValue?
  package var steps: [Step]
  package var tensors: [TensorRecord]
  var extensions: [JSONValue.Member] = []

  static let maxTensors = 1 << 19
}

/// What kind of file the container is.
package enum ContainerKind: String, Sendable {
  case hdf5, keras
}

// MARK: - Writing

extension Directory {
  init(
    container: Container?, foreignContainer: Foreign? = nil, network: Network?, networkJSON: JSONValue? = nil,
    steps: [Step], tensors: [TensorRecord], extensions: [JSONValue.Member]
  ) {
    self.container = container
    self.foreignContainer = foreignContainer
    self.network = network
    self.networkJSON = networkJSON ?? network?.json
    self.steps = steps
    self.tensors = tensors
    self.extensions = extensions
    digest = Digest(bytes: [])
    digest = contentDigest()
  }

  /// The directory's members but `payloads` and `mapped`.
  var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("digest", .string("\(digest)")), .init("tensors", .array(tensors.map(\.json))),
    ]
    members.append("container", container?.json ?? foreignContainer?.json)
    members.append("network", networkJSON)
    members.append("steps", steps.isEmpty ? nil : .array(steps.map(\.json)))
    return .object(members + extensions)
  }

  /// The digest of what the file holds (`spec/ncz-v1.md` §3.2).
  ///
  /// - Parameter hasContainer: whether that of the source file is a part of it.
  package func contentDigest(hasContainer: Bool = true) -> Digest {
    let kept: Set<String> = ["axes", "digest", "name", "outputs", "role", "shape", "type"]
    var members: [JSONValue.Member] = [
      .init("tensors", .array(tensors.map { .object(($0.json.members ?? []).filter { kept.contains($0.key) }) }))
    ]
    if hasContainer {
      members.append("container", container.map { .string("\($0.digest)") } ?? foreignContainer?.json["digest"])
    }
    members.append("network", networkJSON)
    var message = SHA256()
    message.update("ncz file\n".utf8)
    message.update(JSONValue.object(members).canonical().serialized())
    return Digest(of: message)
  }
}

extension Directory {
  /// What of the file this version does not know, for people.
  package var problems: [String] {
    let unsupported = tensors.filter { $0.unsupported != nil }
    var problems: [String] = []
    if let first = unsupported.first, let reason = first.unsupported {
      let names = unsupported.count == 1 ? first.name.text : abbreviated(unsupported.map(\.name))
      problems.append("cannot be decoded by this version: \(names): \(reason)")
    }
    if let networkProblem { problems.append("the network cannot be run by this version: \(networkProblem)") }
    if let foreignContainer {
      problems.append("the source file cannot be restored by this version: \(foreignContainer.reason)")
    }
    let unknown = steps.compactMap(\.unknownKey) + tensors.flatMap { $0.history.compactMap(\.unknownKey) }
    let claim = steps.firstIndex { step in if case .unknown = step.claim?.inputs { true } else { false } }
    if let reason = unknown.first.map({ "unknown key \($0)" }) ?? claim.map({ "step \($0): unknown key or inputs" }) {
      problems.append("what a step claims cannot be checked by this version: \(reason)")
    }
    return problems
  }
}

extension [JSONValue.Member] {
  mutating func append(_ key: String, _ value: JSONValue?) {
    if let value { append(JSONValue.Member(key, value)) }
  }

  /// Those that are left when the values of their object change: `d-` says something about the values.
  var withoutDerived: [JSONValue.Member] { filter { !$0.key.hasPrefix("d-") } }
}

extension Directory.Container {
  fileprivate var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("digest", .string("\(digest)")), .init("kind", .string(kind.rawValue)), .init("size", .integer(size)),
    ]
    members.append("offset", offset == 0 ? nil : .integer(offset))
    return .object(members + extensions)
  }
}

extension TensorRecord {
  fileprivate var json: JSONValue {
    if let foreign { return foreign.json }
    var members: [JSONValue.Member] = [
      .init("name", .string(name.text)), .init("shape", .array(shape.dimensions.map(JSONValue.integer))),
      .init("type", .string(type.rawValue)),
    ]
    let standard = MatrixAxes.standard(rank: shape.rank)
    let parameters = encoding.parameters
    members.append("aliases", aliases.isEmpty ? nil : .array(aliases.map { .string($0.text) }))
    members.append("axes", axes.order == standard.order ? nil : .array(axes.order.map(JSONValue.integer)))
    members.append("byte_order", byteOrder == .little ? nil : .string(byteOrder.rawValue))
    members.append("digest", digest.map { .string("\($0)") })
    members.append("encoding", encoding.id == 0 ? nil : .integer(encoding.id))
    members.append("history", history.isEmpty ? nil : .array(history.map(\.json)))
    members.append("outputs", axes.outputs == standard.outputs ? nil : .integer(axes.outputs))
    members.append("parameters", parameters.isEmpty ? nil : .object(parameters))
    members.append("parts", parts.count == 1 ? nil : .integer(parts.count))
    members.append("path", path.map { .string($0.text) })
    members.append("place", place?.json ?? foreignPlace)
    members.append("role", unknownRole.map { .string($0) } ?? (role == .other ? nil : .string(role.rawValue)))
    return .object(members + extensions)
  }
}

extension HistoryEntry {
  fileprivate var json: JSONValue {
    var members: [JSONValue.Member] = []
    members.append("error", error.map { .real($0) })
    members.append("from", from.map { .string("\($0)") })
    members.append("step", stepNumber.map { .integer($0) })
    return .object(members + extensions)
  }
}

extension HistoryEntry {
  /// As reports have it, with what its step was.
  package var reportJSON: JSONValue {
    .object([
      .init("error", .real(orNull: error)), .init("from", from.map { .string("\($0)") } ?? .null),
      .init("options", .string(step.options)), .init("tool", .string(step.tool)),
      .init("version", .string(step.version)),
    ])
  }
}

extension Step {
  fileprivate var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("options", .string(options)), .init("tool", .string(tool)), .init("version", .string(version)),
    ]
    members.append("claim", claim?.json)
    members.append("from", networkBefore.map { .string("\($0)") })
    members.append("removed", removed.isEmpty ? nil : .array(removed.map { .string($0.text) }))
    return .object(members + extensions)
  }
}

extension OutputClaim {
  fileprivate var json: JSONValue {
    let inputs: JSONValue? =
      switch inputs {
      case .normal: .object([.init("distribution", .string("normal"))])
      case .samples(let count, let seed):
        .object([
          .init("distribution", .string("normal")), .init("samples", .integer(count)), .init("seed", .integer(seed)),
        ])
      case .data(let digest): .object([.init("data", .string("\(digest)"))])
      case .unknown(let json): try? JSONValue.parse(Array(json.utf8))
      }
    var members: [JSONValue.Member] = [.init("error", .real(error))]
    members.append("inputs", inputs)
    return .object(members + extensions)
  }
}

extension Double {
  /// As precise as errors and singular values are recorded, of which nobody needs the last bit.
  var roundedToNineDigits: Double { Double(spelled(self, .scientific, decimals: 8)) ?? self }
}

extension Place {
  fileprivate var json: JSONValue {
    switch self {
    case .contiguous(let run): return .object([.init("offset", .integer(run.offset))])
    case .chunked(let address, let chunks, let isKept):
      let rows = chunks.map { chunk in
        JSONValue.array(
          [.integer(chunk.run.offset), .integer(chunk.run.length), .integer(Int(chunk.filterMask))]
            + chunk.origin.map { .number(String($0)) })
      }
      return .object(
        [.init("address", .number(String(address))), .init("chunks", .array(rows))]
          + (isKept ? [.init("kept", .bool(true))] : []))
    }
  }
}

// MARK: - Reading

extension Directory {
  /// Reads and checks the content of a directory with `payloadCount` payloads.
  init(_ json: JSONValue, payloadCount: Int) throws(NetworkError) {
    var object = try ObjectReader(json, "directory")
    digest = try object.digest("digest")
    steps = []
    for (number, step) in try object.array("steps", default: []).enumerated() { steps.append(try Step(step, number)) }
    let list = try object.array("tensors")
    guard list.count <= Self.maxTensors else {
      throw NetworkError(.overLimit, "\(list.count) tensors, limit \(Self.maxTensors)")
    }
    tensors = []
    tensors.reserveCapacity(list.count)
    var next = 0
    for (index, json) in list.enumerated() {
      tensors.append(try TensorRecord(json, index: index, steps: steps, firstPart: next))
      next += tensors[index].parts.count
      guard next <= payloadCount else {
        throw NetworkError(.corrupt, "\(tensors[index].name): part \(next - 1) of \(payloadCount) payloads")
      }
    }
    var names: Set<TensorName> = []
    for tensor in tensors where !names.insert(tensor.name).inserted {
      throw NetworkError(.corrupt, "two tensors are named \(tensor.name)")
    }

    (container, foreignContainer, containerPayload) = (nil, nil, nil)
    if let json = object.optional("container") {
      containerPayload = next
      next += 1
      do throws(NetworkError) {
        container = try Container(json)
      } catch {
        guard error.verdict == .unsupported else { throw error }
        foreignContainer = Foreign(reason: error.message, json: json)
      }
    }
    guard next == payloadCount else {
      throw NetworkError(.corrupt, "\(payloadCount) payloads, expected \(next) of the tensors and the container")
    }

    (network, networkProblem, networkJSON) = (nil, nil, nil)
    if let json = object.optional("network") {
      networkJSON = json
      do throws(NetworkError) {
        network = try Network(json: json, isTensor: names.contains)
      } catch {
        guard error.verdict == .unsupported else { throw error }
        networkProblem = error.message
      }
    }
    // Whatever else it says, the other keys mean what they mean.
    extensions = object.rest
    try checkPlaces()
  }

  private mutating func checkPlaces() throws(NetworkError) {
    guard containerPayload != nil else {
      if let tensor = tensors.first(where: { $0.place != nil || $0.foreignPlace != nil }) {
        throw NetworkError(.corrupt, "\(tensor.name): has a place, but the file has no container")
      }
      return
    }
    if let container { _ = try Place.holes(of: tensors, size: container.size) }
    guard let tensor = tensors.first(where: { $0.foreignPlace != nil }), let known = container else { return }
    foreignContainer = Foreign(reason: "\(tensor.name): a place of an unknown form", json: known.json)
    container = nil
  }
}

extension Directory.Container {
  fileprivate init(_ json: JSONValue) throws(NetworkError) {
    var object = try ObjectReader(json, "container")
    digest = try object.digest("digest")
    offset = try object.integer("offset", default: 0, in: 0...Int.max)
    size = try object.integer("size", in: 0...Int.max)
    kind = try object.word("kind")
    guard offset <= size, kind == .keras || offset == 0 else {
      throw NetworkError(.corrupt, "container: offset \(offset) in a \(kind.rawValue) file of \(size) bytes")
    }
    extensions = try object.extensions()
  }
}

extension TensorName {
  /// Checks that a tensor may have this name.
  fileprivate func check(_ what: String) throws(NetworkError) {
    guard utf8.count <= 4096 else { throw NetworkError(.overLimit, "a name of \(utf8.count) bytes, limit 4096") }
    guard !isEmpty, !utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
      throw NetworkError(.corrupt, "\(what) \(self): expected at least one byte, no control characters")
    }
  }
}

extension TensorRecord {
  /// - Parameter firstPart: the number of its first payload.
  fileprivate init(_ json: JSONValue, index: Int, steps: [Step], firstPart: Int) throws(NetworkError) {
    var object = try ObjectReader(json, "tensor \(index)")
    let name = try object.name("name")
    try name.check("tensor \(index): name")
    self.name = name
    // What makes this tensor one that cannot be decoded; the file is sound all the same.
    var unknown: String?
    func orUnknown<Value>(
      _ fallback: Value, _ read: () throws(NetworkError) -> Value
    ) throws(NetworkError) -> Value {
      do throws(NetworkError) {
        return try read()
      } catch {
        guard error.verdict == .unsupported else { throw error }
        unknown = unknown ?? error.message
        return fallback
      }
    }
    do throws(NetworkError) {
      path = try object.optional("path").map { json throws(NetworkError) in try Self.text(json, "path") }
      aliases = []
      for alias in try object.array("aliases", default: []) { aliases.append(try Self.text(alias, "aliases")) }
      type = .uint8
      type = try orUnknown(.uint8) { () throws(NetworkError) in try object.word("type") }
      let order = try object.string("byte_order", default: ByteOrder.little.rawValue)
      guard let byteOrder = ByteOrder(rawValue: order) else {
        throw NetworkError(.corrupt, "byte_order \(order), expected big or nothing")
      }
      self.byteOrder = byteOrder
      let isTypeKnown = unknown == nil
      let dimensions = try object.integers("shape")
      guard dimensions.count <= 32 else { throw NetworkError(.overLimit, "rank \(dimensions.count), limit 32") }
      guard let shape = Shape(dimensions), shape.byteCount(elementSize: type.byteCount) != nil else {
        throw NetworkError(.corrupt, "shape \(dimensions) overflows")
      }
      self.shape = shape
      let standard = MatrixAxes.standard(rank: shape.rank)
      let axisOrder = try object.integers("axes", default: standard.order)
      let outputs = try object.integer("outputs", default: standard.outputs, in: 0...Int.max)
      guard let axes = MatrixAxes(order: axisOrder, outputs: outputs), axes.rank == shape.rank else {
        throw NetworkError(.corrupt, "axes \(axisOrder), \(outputs) of outputs, for rank \(shape.rank)")
      }
      self.axes = axes
      let role = try object.string("role", default: TensorRole.other.rawValue)
      self.role = TensorRole(rawValue: role) ?? .other
      unknownRole = TensorRole(rawValue: role) == nil ? role : nil
      digest = try object.digest("digest")
      let partCount = try object.integer("parts", default: 1, in: 0...Int.max)
      guard partCount <= Self.maxParts else { throw NetworkError(.corrupt, "\(partCount) parts") }
      parts = Array(firstPart..<firstPart + partCount)
      let id = try object.integer("encoding", default: 0, in: 0...127)
      let parameters = try object.object("parameters", default: [])
      let (type, axesDimensions) = (type, axes.dimensions(of: shape))
      encoding = .unknown(id: id)
      encoding = try orUnknown(.unknown(id: id)) { () throws(NetworkError) in
        let encoding = try Encoding(id: id, parameters)
        if isTypeKnown { try encoding.check(type, axesDimensions, parts: partCount) }
        return encoding
      }
      history = []
      for (number, entry) in try object.array("history", default: []).enumerated() {
        history.append(try HistoryEntry(entry, number, steps: steps, after: history.last))
      }
      (place, foreignPlace) = (nil, nil)
      if let json = object.optional("place") {
        do throws(NetworkError) {
          let read = try Place(json, size: size, shape: shape)
          guard isTypeKnown else { throw NetworkError(.unsupported, "place of values of an unknown type") }
          place = read
        } catch {
          guard error.verdict == .unsupported else { throw error }
          foreignPlace = json
        }
      }
      extensions = []
      let rest = try orUnknown(nil) { () throws(NetworkError) in try object.extensions() }
      extensions = rest ?? []
    } catch {
      throw error.of(name)
    }
    if let unknown {
      encoding = .unknown(id: encoding.id)
      foreign = Foreign(reason: unknown, json: json)
    }
  }

  /// More than any encoding has, or will have.
  private static let maxParts = 1 << 16

  private static func text(_ json: JSONValue, _ what: String) throws(NetworkError) -> TensorName {
    guard let string = json.string, string.hasOnlyPathEscapes else {
      throw NetworkError(
        .corrupt,
        "\(what): expected a string with no backslash but in \\x5C and \\x80…\\xFF, of bytes that are no UTF-8")
    }
    let path = TensorName(string)
    guard path.isPath else {
      throw NetworkError(.corrupt, "\(what): expected names of links, none empty, `.` or with a zero byte")
    }
    return path
  }
}

extension HistoryEntry {
  fileprivate init(
    _ json: JSONValue, _ index: Int, steps: [Step], after previous: HistoryEntry?
  ) throws(NetworkError) {
    var object = try ObjectReader(json, "history \(index)")
    let number = try object.integer("step", in: 0...Int.max)
    guard steps.indices.contains(number), previous?.stepNumber.map({ $0 < number }) ?? true else {
      throw NetworkError(
        .corrupt, "history \(index): step \(number) of \(steps.count), after \(previous?.stepNumber ?? -1)")
    }
    step = steps[number]
    stepNumber = number
    from = try object.optionalDigest("from")
    error = try object.optionalReal("error", in: 0)
    unknownKey = object.unknownKey
    extensions = object.rest
  }
}

extension Step {
  fileprivate init(_ json: JSONValue, _ number: Int) throws(NetworkError) {
    var object = try ObjectReader(json, "step \(number)")
    tool = try object.string("tool")
    version = try object.string("version")
    options = try object.string("options")
    networkBefore = try object.optionalDigest("from")
    removed = []
    for name in try object.array("removed", default: []) {
      guard let name = name.string else { throw NetworkError(.corrupt, "step \(number): removed: expected names") }
      removed.append(TensorName(name))
      try removed[removed.count - 1].check("step \(number): removed")
    }
    claim = try object.optional("claim").map { json throws(NetworkError) in try OutputClaim(json) }
    guard claim == nil || networkBefore != nil else {
      throw NetworkError(.corrupt, "step \(number): a claim without the key from")
    }
    unknownKey = object.unknownKey
    extensions = object.rest
  }
}

extension OutputClaim {
  fileprivate init(_ json: JSONValue) throws(NetworkError) {
    var object = try ObjectReader(json, "claim")
    guard let error = try object.optionalReal("error", in: 0) else {
      throw NetworkError(.corrupt, "claim: the key error is missing")
    }
    self.error = error
    guard let json = object.optional("inputs"), json.members != nil else {
      throw NetworkError(.corrupt, "claim: inputs: expected an object")
    }
    let unknown = Inputs.unknown(String(decoding: json.serialized(), as: UTF8.self))
    var inputs = try ObjectReader(json, "inputs")
    // Other keys, or not the right ones together, are another form.
    switch Set(inputs.keys) {
    case ["data"]:
      self.inputs = .data(try inputs.digest("data"))
    case ["distribution"]:
      self.inputs = try inputs.string("distribution") == "normal" ? .normal : unknown
    case ["distribution", "samples", "seed"]:
      let drawn = Inputs.samples(try inputs.integer("samples"), seed: try inputs.integer("seed"))
      self.inputs = try inputs.string("distribution") == "normal" ? drawn : unknown
    default:
      self.inputs = unknown
    }
    extensions = object.rest
    if !extensions.isEmpty { self.inputs = unknown }
  }
}

extension Place {
  fileprivate init(_ json: JSONValue, size: Int, shape: Shape) throws(NetworkError) {
    var object = try ObjectReader(json, "place")
    guard size > 0 else { throw NetworkError(.corrupt, "place: expected none for a tensor without values") }
    // Other keys, or not the right ones together, are another form.
    switch Set(object.keys) {
    case ["offset"]:
      let offset = try object.integer("offset", in: 0...Int.max)
      self = .contiguous(try Run(offset, size))
    case ["address", "chunks"], ["address", "chunks", "kept"]:
      let rank = shape.rank
      let address = try object.integer("address", in: 0...Int.max)
      let isKept = try object.optionalTrue("kept")
      var chunks: [StoredChunk] = []
      for json in try object.array("chunks") {
        guard let row = json.array, row.count == 3 + rank, let offset = row[0].integer, let length = row[1].integer,
          let mask = row[2].integer.flatMap({ UInt32(exactly: $0) })
        else { throw NetworkError(.corrupt, "place: expected chunks of 3 + \(rank) integers") }
        let origin = row[3...].compactMap { $0.integer.flatMap { UInt64(exactly: $0) } }
        guard origin.count == rank, zip(origin, shape.dimensions).allSatisfy({ $0 < UInt64($1) }),
          chunks.last.map({ $0.origin.lexicographicallyPrecedes(origin) }) ?? true
        else { throw NetworkError(.corrupt, "place: a chunk's coordinates are out of order or outside the shape") }
        chunks.append(StoredChunk(run: try Run(offset, length), filterMask: mask, origin: origin))
      }
      self = .chunked(address: UInt64(address), chunks: chunks, isKept: isKept)
    default:
      throw NetworkError(.unsupported, "place: an unknown form, of the keys \(abbreviated(object.keys))")
    }
  }
}

extension Place.Run {
  fileprivate init(_ offset: Int, _ length: Int) throws(NetworkError) {
    guard offset >= 0, length >= 0, !offset.addingReportingOverflow(length).overflow else {
      throw NetworkError(.corrupt, "place: \(length) bytes at \(offset)")
    }
    self.init(offset: offset, length: length)
  }
}

extension TensorName {
  /// Whether it names links, one after the other: what `.` and nothing would name is no link.
  var isPath: Bool {
    !utf8.contains(0)
      && utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        .allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) }
  }
}

extension String {
  /// Whether every backslash stands for itself or for a byte that is no UTF-8.
  fileprivate var hasOnlyPathEscapes: Bool {
    let backslash = UInt8(ascii: "\\")
    guard utf8.contains(backslash) else { return true }
    // Bytes that follow each other and are all escaped.
    var escaped: [UInt8] = []
    var bytes = Substring(self).utf8
    while let byte = bytes.popFirst() {
      guard byte == backslash else {
        escaped = []
        continue
      }
      let digits = String(decoding: bytes.prefix(3).dropFirst(), as: UTF8.self)
      guard bytes.popFirst() == UInt8(ascii: "x"), digits.utf8.count == 2, digits == digits.uppercased(),
        let value = UInt8(digits, radix: 16), value >= 0x80 || value == backslash
      else { return false }
      bytes = bytes.dropFirst(2)
      escaped.append(value)
      for count in 2...4 where value >= 0x80 {
        if String(validating: escaped.suffix(count), as: UTF8.self)?.unicodeScalars.count == 1 { return false }
      }
    }
    return true
  }
}
