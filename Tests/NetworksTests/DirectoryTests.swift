// SPDX-License-Identifier: Apache-2.0

import Codecs
import JSON
import Random
import Tensors
import TestSupport
import Testing

@testable import Networks

@Suite("Directory")
struct DirectoryTests {
  // MARK: Round trip

  /// read(write(x)) = x, through canonical text.
  @Test(arguments: 0..<150 as Range<UInt64>) func whatIsWrittenIsRead(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let (directory, payloadCount) = Directory.random(&random)
    let text = directory.json.canonical().serialized()
    let read = try Directory(try JSONValue.parseCanonical(text, limits: JSONValue.Limits()), payloadCount: payloadCount)
    #expect(read.container == directory.container)
    #expect(read.digest == directory.digest)
    #expect(read.network == directory.network)
    #expect(read.tensors == directory.tensors)
    #expect(read.extensions == directory.extensions)
    #expect(read.json.canonical().serialized() == text)
  }

  // MARK: Malformed

  /// Two tensors and a container with every key there is.
  private static let example = try! JSONValue.parse(
    Array(
      """
      {"container":{"kind":"hdf5","offset":0,"payload":0,"size":100},"digest":"\(zeros)","tensors":[
       {"aliases":["b"],"byte_order":"big","digest":"\(zeros)","encoding":1,"history":[{"error":0.5,"from":"\(zeros)",
        "options":"","tool":"t","version":"1"}],"name":"m","parameters":{"scale_per":"row"},"path":"a","parts":[1,2],
        "place":{"extent":[10,24]},"role":"kernel","shape":[2,3],"size":24,"transposed":true,"type":"float32"},
       {"byte_order":"little","digest":"\(zeros)","encoding":0,"history":[],"name":"c","parameters":{},"parts":[3],
        "place":{"address":7,"chunks":[[40,5,0,0]],"kept":false},"role":"other","shape":[4],"size":4,"type":"int8"}]}
      """.utf8))
  private static let zeros = String(repeating: "0", count: 64)

  @Test func theExampleIsSound() throws {
    let directory = try Directory(Self.example, payloadCount: 4)
    #expect(directory.tensors.count == 2 && directory.container?.size == 100)
  }

  struct Fault: Sendable, CustomTestStringConvertible {
    var path: String
    /// JSON text; `nil` to leave the key out.
    var value: String?
    var verdict: NetworkError.Verdict
    var testDescription: String { "\(path) = \(value ?? "missing")" }
  }

  private static func faults(
    _ verdict: NetworkError.Verdict, _ table: [(path: String, values: [String?])]
  ) -> [Fault] {
    table.flatMap { path, values in values.map { Fault(path: path, value: $0, verdict: verdict) } }
  }

  private static let corrupt = faults(
    .corrupt,
    [
      ("digest", [nil, "1", "\"\"", "\"\(String(zeros.dropLast()))\"", "\"\(zeros.dropLast())A\""]),
      // Parameters are reals.
      (
        "network",
        ["\"kind\":\"leaky_relu\",\"slope\":1", "\"kind\":\"piecewise_constant\",\"levels\":[1],\"thresholds\":[]"].map
        {
          """
          {"nodes":[{"inputs":[],"op":"input","parameters":{},"tensors":{}},\
          {"inputs":[0],"op":"activation","parameters":{\($0)},"tensors":{}}],"outputs":[1]}
          """
        }
      ),
      ("tensors", [nil, "{}", "[1]", "null"]), ("container", ["null", "[]", "1"]),
      ("container/kind", [nil, "1"]), ("container/offset", [nil, "-1", "1", "101", "\"0\"", "0.5"]),
      ("container/payload", [nil, "-1", "1", "4", "\"0\""]),
      ("container/size", [nil, "-1", "33", "44", "9223372036854775808", "\"100\""]),
      ("tensors/0/name", [nil, "\"\"", "1", "\"c\"", "\"a\\u000ab\"", "\"\u{7F}\""]), ("tensors/0/type", [nil, "1"]),
      ("tensors/0/byte_order", [nil, "1"]), ("tensors/0/role", [nil, "1"]),
      (
        "tensors/0/shape",
        [nil, "6", "[2]", "[3,3]", "[-2,-3]", "[2,\"3\"]", "[4294967296,4294967296]", "[6]", "[2,3,1]"]
      ),
      ("tensors/0/size", [nil, "23", "-24", "\"24\""]), ("tensors/0/digest", [nil, "null", "\"0\""]),
      ("tensors/0/transposed", ["false", "1", "null"]), ("tensors/1/transposed", ["true"]),
      ("tensors/0/parts", [nil, "1", "[]", "[1]", "[1,2,3]", "[1,1]", "[1,\"2\"]", "[1,-2]", "[1,4]", "[0,1]"]),
      ("tensors/0/encoding", [nil, "\"1\"", "-1", "128"]),
      ("tensors/0/parameters", [nil, "[]", "null"]),
      ("tensors/0/parameters/scale_per", [nil, "0", "-1", "1.5", "null"]),
      ("tensors/0/history", [nil, "{}", "[1]"]), ("tensors/0/history/0/error", [nil, "-0.5", "\"0\"", "0", "1e999"]),
      ("tensors/0/history/0/from", [nil, "\"0\"", "0"]), ("tensors/0/history/0/tool", [nil, "1"]),
      ("tensors/0/history/0/version", [nil, "1"]), ("tensors/0/history/0/options", [nil, "null"]),
      ("tensors/0/path", ["1", "null"]), ("tensors/0/aliases", ["1", "\"b\"", "[1]"]),
      ("tensors/0/place", ["1", "null", "{}"]),
      (
        "tensors/0/place/extent",
        [
          "1", "[]", "[10]", "[10,24,0]", "[-1,24]", "[10,23]", "[10,25]", "[77,24]", "[9223372036854775807,24]",
          "[20,24]", "[44,24]", "[\"10\",24]", "[[10,24]]",
        ]
      ),
      ("tensors/1/place/address", [nil, "-1", "\"7\""]), ("tensors/1/place/kept", [nil, "0"]),
      (
        "tensors/1/place/chunks",
        [
          nil, "1", "[1]", "[[40,5,0]]", "[[40,5,0,0,0]]", "[[40,5,4294967296,0]]", "[[40,5,0,-1]]", "[[40,5,0,4]]",
          "[[40,2,0,2],[42,3,0,0]]", "[[96,5,0,0]]",
          "[[40,-5,0,0]]", "[[30,5,0,0]]", "[[40,5,0,0],[44,5,0,2]]",
        ]
      ),
    ])

  private static let unsupported = faults(
    .unsupported,
    [
      "", "container/", "tensors/0/", "tensors/0/place/", "tensors/0/parameters/", "tensors/0/history/0/",
      "tensors/1/place/",
    ]
    .map { ("\($0)later", ["1"]) } + [
      ("container/kind", ["\"onnx\""]), ("tensors/0/type", ["\"float8\"", "\"\""]), ("tensors/0/role", ["\"hat\""]),
      ("tensors/0/byte_order", ["\"middle\""]),
      ("tensors/0/parameters/scale_per", ["\"column\""]), ("tensors/1/parameters/later", ["1"]),
    ])

  private static let overLimit = faults(
    .overLimit,
    [
      ("tensors/0/shape", ["[\(repeatElement("1", count: 33).joined(separator: ","))]"]),
      ("tensors/0/name", ["\"\(String(repeating: "n", count: 4097))\""]),
    ])

  @Test(arguments: corrupt + unsupported + overLimit) func everyFaultHasItsVerdict(fault: Fault) throws {
    let value = try fault.value.map { try JSONValue.parse(Array($0.utf8)) }
    let json = Self.example.setting(fault.path.split(separator: "/"), to: value)
    let error = #expect(throws: NetworkError.self) { try Directory(json, payloadCount: 4) }
    #expect(error?.verdict == fault.verdict, "\(error?.message ?? "no error")")
  }

  /// Errors name the tensor they are about.
  @Test func errorsNameTheTensor() {
    let json = Self.example.setting(["tensors", "0", "size"], to: .integer(1))
    #expect(throws: NetworkError(.corrupt, "m: size 1, expected 24")) { try Directory(json, payloadCount: 4) }
  }

  @Test(arguments: ["", "container/", "tensors/0/", "tensors/1/"]) func extensionKeysAreKept(object: String) throws {
    let path = (object + "x-later").split(separator: "/")
    let json = Self.example.setting(path, to: .array([.null]))
    let written = try Directory(json, payloadCount: 4).json
    #expect(written.at(path) == .array([.null]))
  }

  @Test func unknownEncodingsAreListedWithTheirParameters() throws {
    for id in [4, 63, 64, 127] {
      let parameters = JSONValue.object([.init("a", .array([.integer(1)]))])
      let json = Self.example.setting(["tensors", "0", "encoding"], to: .integer(id))
        .setting(["tensors", "0", "parameters"], to: parameters)
      let directory = try Directory(json, payloadCount: 4)
      #expect(directory.tensors[0].encoding.name == "encoding \(id)")
      #expect(directory.json.at(["tensors", "0", "parameters"]) == parameters)
    }
  }

  @Test func everyPayloadBelongsToSomething() {
    #expect(throws: NetworkError.self) { try Directory(Self.example, payloadCount: 5) }
    #expect(throws: NetworkError.self) { try Directory(Self.example, payloadCount: 3) }
  }

  @Test func aPlaceNeedsAContainer() {
    let json = Self.example.setting(["container"], to: nil).setting(
      ["tensors", "0", "parts"], to: .array([.integer(0), .integer(1)])
    )
    .setting(["tensors", "1", "parts"], to: .array([.integer(2)]))
    #expect(throws: NetworkError(.corrupt, "m: has a place, but the file has no container")) {
      try Directory(json, payloadCount: 3)
    }
  }
}

// MARK: - Random directories

extension Directory {
  /// A sound directory and the number of its payloads.
  static func random(_ random: inout SplitMix64) -> (Directory, payloadCount: Int) {
    var payloads = 0
    func next(_ count: Int) -> [Int] {
      payloads += count
      return Array((payloads - count)..<payloads)
    }
    let hasContainer = Bool.random(using: &random)
    var position = 0
    var tensors: [TensorRecord] = []
    for number in 0..<Int.random(in: 0...5, using: &random) {
      var tensor = TensorRecord.random(number, &random)
      let count =
        switch tensor.encoding {
        case .raw: 1
        case .ternary, .lowRank: 2
        case .sparseSigns: 4
        case .sparse(let positions, let values, _):
          (positions == .gaps ? 2 : 1) + (values == .exact ? tensor.type.byteCount : 2)
        case .unknown: Int.random(in: 0...3, using: &random)
        }
      tensor.parts = next(count)
      if hasContainer, tensor.size > 0, Int.random(in: 0..<4, using: &random) > 0 {
        position += Int.random(in: 0...9, using: &random)
        if Bool.random(using: &random) {
          tensor.place = .contiguous(Place.Run(offset: position, length: tensor.size))
          position += tensor.size
        } else {
          let count = Int.random(in: 0...(tensor.shape.dimensions.first ?? 1), using: &random)
          let chunks = (0..<count).map { chunk in
            defer { position += chunk }
            return Place.StoredChunk(
              run: Place.Run(offset: position, length: chunk), filterMask: .random(in: 0...UInt32.max, using: &random),
              origin: tensor.shape.dimensions.indices.map { UInt64($0 == 0 ? chunk : 0) })
          }
          tensor.place = .chunked(
            address: .random(in: 0...UInt64(Int.max), using: &random), chunks: chunks,
            isKept: Bool.random(using: &random))
        }
      }
      tensors.append(tensor)
    }
    var container: Container?
    if hasContainer {
      let kind: ContainerKind = Bool.random(using: &random) ? .hdf5 : .keras
      let size = position + Int.random(in: 0...50, using: &random)
      container = Container(
        kind: kind, offset: kind == .keras ? Int.random(in: 0...size, using: &random) : 0, payload: next(1)[0],
        size: size, extensions: JSONValue.extensions(&random))
    }
    let directory = Directory(
      container: container, digest: .random(&random), network: Network.random(of: tensors.map(\.name), &random),
      tensors: tensors,
      extensions: JSONValue.extensions(&random))
    return (directory, payloads)
  }
}

extension TensorRecord {
  fileprivate static func random(_ number: Int, _ random: inout SplitMix64) -> TensorRecord {
    let group = [ScaleGroup.tensor, .row, .inputs(Int.random(in: 1...99, using: &random))].randomElement(
      using: &random)!
    let encoding = [
      Encoding.raw, .ternary(group), .sparseSigns(group), .sparse(.gaps, .exact, least: 0),
      .sparse(.bitmap, .float16, least: 77),
      .lowRank(singularValues: []), .lowRank(singularValues: [2.5, 2.5, 0]),
      .unknown(id: 64, parameters: "{\"a\":[1,null]}"),
    ].randomElement(using: &random)!
    var (types, ranks, minDimension) = (ElementType.allCases, 0...4, 0)
    switch encoding {
    case .ternary, .sparseSigns: (types, ranks) = (types.filter(\.isFloat), 2...2)
    case .sparse(_, .exact, _): (types, ranks) = (types.filter(\.isFloat), 1...4)
    case .sparse: (types, ranks) = ([.float32, .float64], 1...4)
    case .lowRank(let values): (types, ranks, minDimension) = (types.filter(\.isFloat), 2...2, values.count)
    case .raw, .unknown: break
    }
    let type = types.randomElement(using: &random)!
    let rank = Int.random(in: ranks, using: &random)
    let dimensions = (0..<rank).map { _ in Int.random(in: minDimension...5, using: &random) }
    let texts = ["", "a/b", "é\"\\", "日本", "x-y"]
    // As a path spells a backslash and a byte that is no UTF-8.
    let paths: [TensorName] = ["a/b", "é\"\\x5C", "e\u{301}\"\\x5C", "日本\\xFF"]
    return TensorRecord(
      name: TensorName("\(number)" + texts.randomElement(using: &random)!),
      path: Bool.random(using: &random) ? paths.randomElement(using: &random) : nil,
      aliases: (0..<Int.random(in: 0...2, using: &random)).map { paths[$0] }, type: type,
      byteOrder: Bool.random(using: &random) ? .big : .little, shape: Shape(dimensions)!,
      role: TensorRole.allCases.randomElement(using: &random)!,
      isTransposed: rank == 2 && Bool.random(using: &random), encoding: encoding, parts: [],
      digest: .random(&random),
      history: (0..<Int.random(in: 0...2, using: &random)).map { _ in
        // Thousandths survive the nine digits of a real.
        Step(
          tool: "nc-x", version: "1", options: texts.randomElement(using: &random)!, from: .random(&random),
          error: Double(Int.random(in: 0...2000, using: &random)) / 1000)
      }, place: nil, extensions: JSONValue.extensions(&random))
  }
}

extension Digest {
  fileprivate static func random(_ random: inout SplitMix64) -> Digest {
    Digest((0..<64).map { _ in String(Int.random(in: 0..<16, using: &random), radix: 16) }.joined())!
  }
}

extension Network {
  /// Nothing, or a small chain that uses these tensors.
  fileprivate static func random(of tensors: [TensorName], _ random: inout SplitMix64) -> Network? {
    guard let kernel = tensors.randomElement(using: &random), Bool.random(using: &random) else { return nil }
    let bias = Bool.random(using: &random) ? tensors.randomElement(using: &random) : nil
    return Network(
      nodes: [
        Node(.input(shape: [3]), inputs: []),
        Node(.dense(kernel: kernel, bias: bias), inputs: [0]),
        Node(.activation([.relu, .leakyReLU(slope: 0.25), .softmax].randomElement(using: &random)!), inputs: [1]),
      ], outputs: [2])
  }
}

extension JSONValue {
  fileprivate static func extensions(_ random: inout SplitMix64) -> [Member] {
    // Keys that are equal as text and not as bytes.
    ["x-a", "x-e\u{301}", "x-é"].suffix(Int.random(in: 0...3, using: &random)).map {
      Member($0, .array([.null, .string("é")]))
    }
  }

  /// The value at a path of keys and indices.
  func at(_ path: some Collection<Substring>) -> JSONValue? {
    guard let step = path.first else { return self }
    let next = Int(step).flatMap { index in array.map { $0[index] } } ?? self[String(step)]
    return next?.at(path.dropFirst())
  }

  /// This value with another at `path`, which is not empty, or with none there; a key that is missing is added.
  func setting(_ path: some Collection<Substring>, to value: JSONValue?) -> JSONValue {
    let (step, rest) = (path.first ?? "", path.dropFirst())
    if case .array(var list) = self, let index = Int(step) {
      list[index] = list[index].setting(rest, to: value)
      return .array(list)
    }
    var members = members ?? []
    let place = members.firstIndex { $0.key == step }
    if rest.isEmpty {
      if let place { members.remove(at: place) }
      if let value { members.append(Member(String(step), value)) }
    } else if let place {
      members[place].value = members[place].value.setting(rest, to: value)
    }
    return .object(members)
  }
}
