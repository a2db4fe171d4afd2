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

  /// read(write(x)) = x, through canonical text; the digest is that of what is read.
  @Test(arguments: 0..<150 as Range<UInt64>) func whatIsWrittenIsRead(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let (directory, payloadCount) = Directory.random(&random)
    let text = directory.json.canonical().serialized()
    let read = try Directory(try JSONValue.parseCanonical(text, limits: JSONValue.Limits()), payloadCount: payloadCount)
    #expect(read.container == directory.container)
    #expect(read.digest == directory.digest && read.contentDigest() == read.digest)
    #expect(read.network == directory.network)
    #expect(read.steps == directory.steps)
    #expect(read.tensors == directory.tensors)
    #expect(read.extensions == directory.extensions)
    #expect(read.json.canonical().serialized() == text)
  }

  // MARK: Malformed

  /// Two tensors, a container, a network and steps with every key there is.
  private static let example = try! JSONValue.parse(
    Array(
      """
      {"container":{"digest":"\(zeros)","kind":"keras","offset":4,"size":100},"digest":"\(zeros)",
       "network":{"assumed":true,"layout":"keras","nodes":[{"name":"in","op":"input","shape":[3]},
        {"op":"dense","tensors":{"kernel":"m"}},{"kind":"leaky_relu","op":"activation","slope":2.5e-01},
        {"inputs":[1,2],"op":"add"}],"outputs":[3,2],"precision":"float16"},
       "steps":[{"claim":{"error":0e+00,"inputs":{"distribution":"normal","samples":10,"seed":1}},"from":"\(zeros)",
        "options":"","removed":["z"],"tool":"t","version":"1"},{"options":"--a 1","tool":"t","version":"1"}],
       "tensors":[
       {"aliases":["b"],"axes":[1,0],"byte_order":"big","digest":"\(zeros)","encoding":1,
        "history":[{"error":5e-01,"from":"\(zeros)","step":0},{"step":1}],"name":"m","outputs":2,
        "parameters":{"scale_per":"row"},"path":"a","parts":2,"place":{"offset":10},"role":"kernel","shape":[2,3],
        "type":"float32"},
       {"digest":"\(zeros)","name":"c","place":{"address":7,"chunks":[[40,5,0,0],[45,5,4294967295,2]]},
        "shape":[4],"type":"int8"}]}
      """.utf8))
  private static let zeros = String(repeating: "0", count: 32)
  private static let payloadCount = 4

  @Test func theExampleIsSound() throws {
    let directory = try Directory(Self.example, payloadCount: Self.payloadCount)
    let zeros = try #require(Digest(Self.zeros))
    #expect(directory.container == .init(kind: .keras, digest: zeros, offset: 4, size: 100))
    #expect(directory.network?.nodes.count == 4 && directory.networkProblem == nil)
    let first = Step(
      tool: "t", version: "1", options: "", networkBefore: zeros,
      claim: OutputClaim(error: 0, inputs: .samples(10, seed: 1)), removed: ["z"])
    let second = Step(tool: "t", version: "1", options: "--a 1")
    #expect(directory.steps == [first, second])
    let tensor = directory.tensors[0]
    #expect(tensor.axes == MatrixAxes(order: [1, 0], outputs: 2) && tensor.matrixDimensions == (6, 1))
    #expect(tensor.history.map(\.step) == [first, second] && tensor.history.map(\.stepNumber) == [0, 1])
    #expect(tensor.history.map(\.from) == [zeros, nil] && tensor.history.map(\.error) == [0.5, nil])
    #expect(tensor.place == .contiguous(.init(offset: 10, length: 24)))
    #expect(directory.tensors.allSatisfy { $0.unsupported == nil })
    #expect(directory.json.canonical() == Self.example.canonical())
  }

  /// What is left out is what the document says.
  @Test func defaultsAreThoseOfTheDocument() throws {
    let json = try JSONValue.parse(
      Array(
        """
        {"digest":"\(Self.zeros)","tensors":[{"digest":"\(Self.zeros)","name":"a","shape":[2,3,4],"type":"int8"},
        {"digest":"\(Self.zeros)","name":"b","shape":[],"type":"float32"}]}
        """.utf8))
    let directory = try Directory(json, payloadCount: 2)
    #expect(directory.container == nil && directory.network == nil && directory.steps.isEmpty)
    let (a, b) = (directory.tensors[0], directory.tensors[1])
    #expect(a.aliases.isEmpty && a.byteOrder == .little && a.history.isEmpty && a.path == nil && a.place == nil)
    #expect(a.encoding == .raw(planes: false) && a.role == .other && a.parts == [0] && b.parts == [1])
    #expect(a.axes == MatrixAxes(order: [0, 1, 2], outputs: 2) && b.axes == MatrixAxes(order: [], outputs: 0))
    #expect(a.matrixDimensions == (6, 4) && b.matrixDimensions == (1, 1))
    #expect(directory.json.canonical() == json.canonical())
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

  private static let digests: [String?] = [
    nil, "1", "null", "\"\"", "\"\(zeros.dropLast())\"", "\"\(zeros.dropLast())A\"", "\"\(zeros.dropLast())é\"",
    "\"\(zeros)\(zeros)\"",
  ]
  private static let optionalDigests = Array(digests.dropFirst())

  private static let corrupt = faults(
    .corrupt,
    [
      ("digest", digests), ("tensors", [nil, "{}", "[1]", "null"]), ("container", ["null", "[]", "1"]),
      ("container/digest", digests),
      ("container/kind", [nil, "1", "\"hdf5\""]),
      ("container/offset", ["-1", "101", "\"4\"", "4e+00"]),
      ("container/size", [nil, "-1", "3", "33", "49", "9223372036854775808", "\"100\"", "1e+02"]),

      ("steps", ["{}", "null", "[1]"]), ("steps/0/tool", [nil, "1"]), ("steps/0/version", [nil, "1"]),
      ("steps/0/options", [nil, "null"]), ("steps/0/from", optionalDigests),
      ("steps/0/removed", ["\"z\"", "[1]", "{}"]), ("steps/0/claim", ["1", "null", "{}"]),
      ("steps/0/claim/error", [nil, "-5e-01", "0", "1", "\"0\"", "1e+999"]),
      ("steps/0/claim/inputs", [nil, "1", "[]", "{\"data\":1}", "{\"data\":\"0\"}"]),
      ("steps/0/claim/inputs/distribution", ["1"]), ("steps/0/claim/inputs/samples", ["\"10\"", "1e+01"]),
      ("steps/0/claim/inputs/seed", ["\"1\"", "1e+00"]),

      ("tensors/0/name", [nil, "\"\"", "1", "\"c\"", "\"a\\u000ab\"", "\"\u{7F}\""]),
      ("tensors/0/type", [nil, "1"]), ("tensors/0/byte_order", ["1", "\"middle\""]), ("tensors/0/role", ["1"]),
      (
        "tensors/0/shape",
        [
          nil, "6", "[2]", "[3,3]", "[-2,-3]", "[2,\"3\"]", "[2,3e+00]", "[4294967296,4294967296]", "[6]", "[2,3,1]",
          "[0,3]",
        ]
      ),
      ("tensors/0/digest", digests),
      (
        "tensors/0/axes",
        ["1", "null", "[]", "[0]", "[0,0]", "[0,2]", "[-1,0]", "[1,0,2]", "[\"1\",0]", "[1e+00,0]", "[1,2]"]
      ), ("tensors/1/axes", ["[1]", "[0,1]"]), ("tensors/0/outputs", ["-1", "3", "\"2\"", "2e+00", "null"]),
      ("tensors/1/outputs", ["2"]), ("tensors/0/parts", [nil, "0", "-1", "3", "4", "\"2\"", "2e+00", "[0,1]"]),
      ("tensors/0/encoding", ["\"1\"", "-1", "128", "1e+00"]), ("tensors/0/parameters", [nil, "[]", "null"]),
      ("tensors/1/parameters", ["{\"planes\":true}", "{\"planes\":false}", "{\"planes\":1}"]),
      ("tensors/0/parameters/scale_per", [nil, "0", "-1", "1e+00", "null"]),
      ("tensors/0/history", ["{}", "[1]", "null"]),
      ("tensors/0/history/0/error", ["-5e-01", "\"0\"", "0", "1", "1e+999"]),
      ("tensors/0/history/0/from", optionalDigests),
      ("tensors/0/history/0/step", [nil, "-1", "1", "2", "\"0\"", "0e+00"]), ("tensors/0/history/1/step", ["0", "2"]),
      ("tensors/0/path", ["1", "null", "\"\"", "\"/a\"", "\"a/\"", "\"a//b\"", "\"a/./b\"", "\"a\\u0000b\""]),
      ("tensors/0/aliases", ["1", "\"b\"", "[1]"]),
      ("tensors/0/place", ["1", "null", "[]"]),
      (
        "tensors/0/place/offset",
        ["-1", "17", "20", "49", "77", "9223372036854775807", "\"10\"", "[10,24]", "1e+01"]
      ),
      ("tensors/1/place/address", ["-1", "\"7\"", "7e+00"]), ("tensors/1/place/kept", ["0", "\"true\""]),
      (
        "tensors/1/place/chunks",
        [
          "1", "[1]", "[[40,5,0]]", "[[40,5,0,0,0]]", "[[40,5,4294967296,0]]", "[[40,5,-1,0]]", "[[40,5,0,-1]]",
          "[[40,5,0,4]]", "[[40,2,0,2],[42,3,0,0]]", "[[40,2,0,0],[42,3,0,0]]", "[[40,-5,0,0]]", "[[40,5,0,0e+00]]",
          "[[9223372036854775807,5,0,0]]", "[[96,5,0,0]]", "[[101,0,0,0]]", "[[30,5,0,0]]", "[[40,5,0,0],[44,5,0,2]]",
        ]
      ),

      ("network", ["null", "[]", "1", "{}", "{\"nodes\":[]}", "{\"nodes\":[1]}"]),
      ("network/nodes", [nil, "{}"]), ("network/outputs", ["[]", "[4]", "[-1]", "[2,2]", "3", "[3e+00,2]"]),
      ("network/assumed", ["1", "null"]), ("network/layout", ["1"]), ("network/precision", ["1"]),
      ("network/nodes/0/op", [nil, "1"]), ("network/nodes/0/name", ["1"]),
      ("network/nodes/0/shape", ["3", "[-2]", "[\"3\"]", "[3e+00]"]), ("network/nodes/0/inputs", ["[0]", "1"]),
      ("network/nodes/1/inputs", ["[]", "[1]", "[2]", "[-1]", "[0,0]", "0"]),
      ("network/nodes/1/tensors", [nil, "[]", "\"m\""]),
      ("network/nodes/1/tensors/kernel", [nil, "1", "\"q\"", "\"M\""]),
      // Parameters are reals.
      ("network/nodes/2/slope", [nil, "0", "1", "\"1\"", "null", "1e+999"]),
      (
        "network/nodes/2",
        [
          "{\"kind\":\"piecewise_constant\",\"levels\":[1],\"op\":\"activation\",\"thresholds\":[]}",
          "{\"kind\":\"gelu\",\"approximate\":0,\"op\":\"activation\"}", "{\"op\":\"activation\"}",
        ]
      ),
    ])

  /// What has its default is left out.
  private static let defaults = faults(
    .corrupt,
    [
      ("steps", ["[]"]), ("steps/0/removed", ["[]"]), ("container/offset", ["0"]), ("tensors/0/aliases", ["[]"]),
      ("tensors/0/axes", ["[0,1]"]), ("tensors/1/axes", ["[0]"]), ("tensors/0/byte_order", ["\"little\""]),
      ("tensors/1/encoding", ["0"]), ("tensors/0/history", ["[]"]), ("tensors/0/outputs", ["1"]),
      ("tensors/1/outputs", ["0"]), ("tensors/1/parameters", ["{}"]), ("tensors/1/parts", ["1"]),
      ("tensors/0/role", ["\"other\""]), ("tensors/1/place/kept", ["false"]), ("network/assumed", ["false"]),
      ("network/outputs", ["[3]"]), ("network/nodes/0/inputs", ["[]"]), ("network/nodes/0/tensors", ["{}"]),
      ("network/nodes/1/inputs", ["[0]"]),
    ])

  private static let overLimit = faults(
    .overLimit,
    [
      ("tensors/0/shape", ["[\(repeatElement("1", count: 33).joined(separator: ","))]"]),
      ("tensors/0/name", ["\"\(String(repeating: "n", count: 4097))\""]),
    ])

  @Test(arguments: corrupt + defaults + overLimit) func everyFaultHasItsVerdict(fault: Fault) throws {
    let value = try fault.value.map { try JSONValue.parse(Array($0.utf8)) }
    let json = Self.example.setting(fault.path.split(separator: "/"), to: value)
    #expect(json != Self.example)
    let error = #expect(throws: NetworkError.self) { try Directory(json, payloadCount: Self.payloadCount) }
    #expect(error?.verdict == fault.verdict, "\(error?.message ?? "no error")")
  }

  /// Chunks that are kept are no holes: another tensor may have its place there. But they lie inside the file.
  @Test func keptChunksAreNoHoles() throws {
    let path: [Substring] = ["tensors", "1", "place"]
    let kept = Self.example.setting(path + ["kept"], to: .bool(true))
    for (chunk, isTaken) in [([12, 5, 0, 0], true), ([95, 5, 0, 0], true), ([96, 5, 0, 0], false)] {
      let chunks = JSONValue.array([.array(chunk.map(JSONValue.integer))])
      let directory = try? Directory(kept.setting(path + ["chunks"], to: chunks), payloadCount: Self.payloadCount)
      #expect((directory != nil) == isTaken)
      #expect(directory?.tensors[1].place?.holes.isEmpty ?? true)
    }
  }

  /// Errors name the tensor they are about.
  @Test func errorsNameTheTensor() {
    let json = Self.example.setting(["tensors", "0", "parts"], to: .integer(3))
    #expect(throws: NetworkError(.corrupt, "m: encoding ternary: 3 parts, expected 2")) {
      try Directory(json, payloadCount: 5)
    }
  }

  /// Bytes of the type × the dimensions that are not 0 is at most 2⁶².
  @Test func shapesHaveALimit() throws {
    func isTaken(_ shape: [Int], _ type: String) -> Bool {
      let json = Self.example.setting(["tensors", "1", "shape"], to: .array(shape.map(JSONValue.integer)))
        .setting(["tensors", "1", "type"], to: .string(type)).setting(["tensors", "1", "place"], to: nil)
      return (try? Directory(json, payloadCount: Self.payloadCount)) != nil
    }
    #expect(isTaken([1 << 62], "int8") && !isTaken([1 << 62 + 1], "int8"))
    #expect(isTaken([1 << 31, 0, 1 << 31], "uint8") && !isTaken([1 << 31, 0, 1 << 31, 2], "uint8"))
    #expect(isTaken([1 << 30, 1 << 29], "float64") && !isTaken([1 << 30, 1 << 30], "float64"))
  }

  /// A claim is about a network before.
  @Test func aClaimNeedsTheNetworkBefore() {
    let json = Self.example.setting(["steps", "0", "from"], to: nil)
    #expect(throws: NetworkError(.corrupt, "step 0: a claim without the key from")) {
      try Directory(json, payloadCount: Self.payloadCount)
    }
    #expect(throws: Never.self) {
      try Directory(json.setting(["steps", "0", "claim"], to: nil), payloadCount: Self.payloadCount)
    }
  }

  // MARK: Paths

  private func isPath(_ text: String) -> Bool {
    let found = [("path", JSONValue.string(text)), ("aliases", .array([.string(text)]))].map { key, value in
      let json = Self.example.setting(["tensors", "0", Substring(key)], to: value)
      return (try? Directory(json, payloadCount: Self.payloadCount)) != nil
    }
    #expect(found[0] == found[1])
    return found[0]
  }

  /// A backslash, and bytes that are no UTF-8: alone, cut short, overlong, surrogates.
  @Test(arguments: [
    "..", "a/b", "é", #"\x5C"#, #"\x5Cx41"#, #"\xFF"#, #"\x80"#, #"a\xC3"#, #"\xC3a\xA9"#, #"\xC3\x5C\xA9"#, #"é\xA9"#,
    #"\xE2\x82"#, #"\xE2\x82\x5C"#, #"\xF0\x9F\x98"#, #"\xC0\x80"#, #"\xED\xA0\x80"#, #"\xF4\x90\x80\x80"#,
    #"\xA9\xC3"#,
  ])
  func pathsEscapeWhatIsNoUTF8(text: String) {
    #expect(isPath(text))
  }

  @Test(arguments: [
    #"\"#, #"a\"#, #"\x"#, #"\x8"#, #"\x41"#, #"\x7F"#, #"\x00"#, #"\xff"#, #"\xfF"#, #"\x5c"#, #"\n"#, #"\\"#,
    #"\u0041"#,
    #"\X5C"#, #"\x+F"#, #"\xC3\xA9"#, #"a\xC3\xA9b"#, #"\xE2\x82\xAC"#, #"\xF0\x9F\x98\x80"#, #"\xFF\xC3\xA9"#,
    #"\xE2\xC3\xA9"#, #"\xC3\xA9\xFF"#, #"\x5C\xC3\xA9"#,
  ])
  func pathsEscapeNothingElse(text: String) {
    #expect(!isPath(text))
  }

  // MARK: Payloads

  /// The first tensor has as many as its parts say, then the second, at last the container.
  @Test func partsAreCountedInOrder() throws {
    let directory = try Directory(Self.example, payloadCount: Self.payloadCount)
    #expect(directory.tensors.map(\.parts) == [[0, 1], [2]] && directory.containerPayload == 3)
    let list = try #require(Self.example["tensors"]?.array)
    let turned = Self.example.setting(["tensors"], to: .array(list.reversed()))
    #expect(try Directory(turned, payloadCount: Self.payloadCount).tensors.map(\.parts) == [[0], [1, 2]])
    // However many parts another encoding has.
    let unknown = Self.example.setting(["tensors", "0", "encoding"], to: .integer(99))
    for parts in [0, 2, 7] {
      let json = unknown.setting(["tensors", "0", "parts"], to: .integer(parts))
      let directory = try Directory(json, payloadCount: parts + 2)
      #expect(directory.tensors.map(\.parts) == [Array(0..<parts), [parts]] && directory.containerPayload == parts + 1)
    }
  }

  @Test func everyPayloadBelongsToSomething() {
    for payloadCount in [0, 1, 3, 5] {
      let error = #expect(throws: NetworkError.self) { try Directory(Self.example, payloadCount: payloadCount) }
      #expect(error?.verdict == .corrupt)
    }
  }

  @Test func aPlaceNeedsAContainer() {
    let json = Self.example.setting(["container"], to: nil)
    #expect(throws: NetworkError(.corrupt, "m: has a place, but the file has no container")) {
      try Directory(json, payloadCount: 3)
    }
  }

  // MARK: What is unknown

  /// How far something reaches that this version does not know.
  enum Scope: Sendable, Equatable {
    case nothing, steps, network, source
    case tensor(Int)
    /// Where values lie depends on how many bytes they have.
    case tensorAndSource(Int)
  }

  struct Unknown: Sendable, CustomTestStringConvertible {
    var path: String
    var value: String
    var scope: Scope
    var testDescription: String { "\(path) = \(value)" }
  }

  private static func unknown(_ scope: Scope, _ table: [(path: String, values: [String])]) -> [Unknown] {
    table.flatMap { path, values in values.map { Unknown(path: path, value: $0, scope: scope) } }
  }

  /// `spec/ncz-v1.md` §2.5.
  private static let unknown =
    unknown(
      .nothing,
      [("later", ["1", "{\"a\":[null]}"]), ("tensors/0/role", ["\"hat\"", "\"\""])])
    + unknown(
      .steps,
      [
        ("steps/0/later", ["1"]), ("steps/1/later", ["[]"]), ("tensors/0/history/1/later", ["{}"]),
        ("steps/0/claim/later", ["1"]), ("steps/0/claim/inputs/later", ["1"]),
        ("steps/0/claim/inputs/distribution", ["\"uniform\""]), ("steps/0/claim/inputs", ["{}", "{\"samples\":10}"]),
      ])
    + unknown(
      .tensor(0),
      [
        ("tensors/0/encoding", ["6", "63", "64", "127"]), ("tensors/0/later", ["1", "null"]),
        ("tensors/0/parameters/later", ["1"]),
        ("tensors/0/parameters/scale_per", ["\"column\"", "\"\""]),
        // A type that the encoding is not for.
        ("tensors/0/type", ["\"int32\"", "\"uint32\""]),
      ])
    + unknown(.tensor(1), [("tensors/1/parameters", ["{\"later\":1}"]), ("tensors/1/later", ["1"])])
    + unknown(.tensorAndSource(0), [("tensors/0/type", ["\"float8\"", "\"\""])])
    + unknown(
      .network,
      [
        ("network/later", ["1"]), ("network/layout", ["\"onnx\""]),
        ("network/precision", ["\"float8\"", "\"float32\""]),
        ("network/nodes/0/later", ["1"]), ("network/nodes/1/op", ["\"bend\"", "\"\""]),
        ("network/nodes/1/tensors/later", ["\"c\""]), ("network/nodes/2/kind", ["\"bend\""]),
        ("network/nodes/2/later", ["1"]),
      ])
    + unknown(
      .source,
      [
        ("container/kind", ["\"onnx\""]), ("container/later", ["1"]), ("tensors/0/place/later", ["1"]),
        ("tensors/1/place/later", ["1"]), ("tensors/0/place", ["{\"seed\":1}"]),
        // The keys of no form, though each is known.
        ("tensors/1/place", ["{}", "{\"address\":7}", "{\"chunks\":[]}"]),
      ])

  /// What is unknown costs what needs it and nothing else, and is kept as it is spelled.
  @Test(arguments: unknown) func whatIsUnknownReachesOnlySoFar(unknown: Unknown) throws {
    let json = Self.example.setting(
      unknown.path.split(separator: "/"), to: try JSONValue.parse(Array(unknown.value.utf8)))
    #expect(json != Self.example)
    let directory = try Directory(json, payloadCount: Self.payloadCount)
    let unsupported = directory.tensors.indices.filter { directory.tensors[$0].unsupported != nil }
    switch unknown.scope {
    case .tensor(let index), .tensorAndSource(let index): #expect(unsupported == [index])
    case .nothing, .steps, .network, .source: #expect(unsupported.isEmpty)
    }
    let losesNetwork = unknown.scope == .network
    #expect((directory.networkProblem != nil) == losesNetwork && (directory.network == nil) == losesNetwork)
    let losesSource = unknown.scope == .source || unknown.scope == .tensorAndSource(0)
    #expect((directory.foreignContainer != nil) == losesSource && (directory.container == nil) == losesSource)
    #expect(directory.json.canonical() == json.canonical())
    // Whoever opens the file is told.
    #expect(directory.problems.isEmpty == (unknown.scope == .nothing), "\(directory.problems)")
  }

  /// Nothing that is unknown makes something else of what is corrupt.
  @Test(arguments: unknown) func whatIsUnknownHidesNoFault(unknown: Unknown) throws {
    let json = Self.example.setting(
      unknown.path.split(separator: "/"), to: try JSONValue.parse(Array(unknown.value.utf8)))
    for (path, value) in [("tensors/0/digest", nil), ("network/nodes/3/op", "1"), ("container/size", "-1")] {
      let value = try value.map { try JSONValue.parse(Array($0.utf8)) }
      let error = #expect(throws: NetworkError.self) {
        try Directory(json.setting(path.split(separator: "/"), to: value), payloadCount: Self.payloadCount)
      }
      #expect(error?.verdict == .corrupt, "\(path)")
    }
  }

  @Test func aRoleThatIsUnknownIsOther() throws {
    let json = Self.example.setting(["tensors", "0", "role"], to: .string("hat"))
    #expect(try Directory(json, payloadCount: Self.payloadCount).tensors[0].role == .other)
  }

  @Test func inputsOfAClaimThatAreUnknownAreNoOthers() throws {
    let inputs = JSONValue.object([.init("distribution", .string("uniform"))])
    for (value, expected) in [
      (inputs, nil), (.object([.init("distribution", .string("normal"))]), OutputClaim.Inputs.normal),
      (.object([.init("data", .string(Self.zeros))]), Digest(Self.zeros).map { .data($0) }),
      (.object([.init("data", .string(Self.zeros)), .init("seed", .integer(1))]), nil),
    ] {
      let json = Self.example.setting(["steps", "0", "claim", "inputs"], to: value)
      let directory = try Directory(json, payloadCount: Self.payloadCount)
      let found = try #require(directory.steps[0].claim?.inputs)
      if case .unknown = found { #expect(expected == nil) } else { #expect(found == expected) }
      #expect(directory.json.canonical() == json.canonical())
    }
  }

  @Test func unknownEncodingsAreListed() throws {
    for id in [6, 63, 64, 127] {
      let json = Self.example.setting(["tensors", "0", "encoding"], to: .integer(id))
      let tensor = try Directory(json, payloadCount: Self.payloadCount).tensors[0]
      #expect(tensor.encoding == .unknown(id: id) && tensor.encoding.name == "encoding \(id)")
      #expect(tensor.shape.dimensions == [2, 3] && tensor.type == .float32)
    }
  }

  @Test(arguments: [
    "", "container/", "network/", "network/nodes/1/", "steps/0/", "tensors/0/history/0/", "tensors/0/", "tensors/1/",
  ])
  func extensionKeysAreKept(object: String) throws {
    for key in ["x-later", "d-later", "x-", "d-é"] {
      let json = Self.example.setting((object + key).split(separator: "/"), to: .array([.null, .number("1e-07")]))
      let directory = try Directory(json, payloadCount: Self.payloadCount)
      #expect(directory.tensors.allSatisfy { $0.unsupported == nil })
      #expect(directory.networkProblem == nil && directory.foreignContainer == nil)
      #expect(directory.json.canonical() == json.canonical())
      // They are part of a network, but of nothing else that has a digest.
      let plain = try Directory(Self.example, payloadCount: Self.payloadCount)
      #expect((directory.contentDigest() == plain.contentDigest()) == !object.hasPrefix("network/"))
    }
  }

  /// Numbers that another program recorded with more digits than this one does stay as they are.
  @Test func recordedNumbersKeepEveryDigit() throws {
    let number = JSONValue.number("1.2345678901234567e-01")
    let values: [([Substring], JSONValue)] = [
      (["tensors", "0", "history", "0", "error"], number), (["steps", "0", "claim", "error"], number),
      (["tensors", "0", "encoding"], .integer(3)),
      (
        ["tensors", "0", "parameters"],
        .object([.init("rank", .integer(1)), .init("singular_values", .array([number]))])
      ),
    ]
    let json = values.reduce(Self.example) { $0.setting($1.0, to: $1.1) }
    #expect(try Directory(json, payloadCount: Self.payloadCount).json.canonical() == json.canonical())
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
    let steps = (0..<Int.random(in: 0...4, using: &random)).map { _ in Step.random(&random) }
    var position = 0
    var tensors: [TensorRecord] = []
    for number in 0..<Int.random(in: 0...5, using: &random) {
      var (tensor, count) = TensorRecord.random(number, steps, &random)
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
        kind: kind, digest: .random(&random), offset: kind == .keras ? Int.random(in: 0...size, using: &random) : 0,
        size: size, extensions: JSONValue.extensions(&random))
      _ = next(1)
    }
    let directory = Directory(
      container: container, network: Network.random(of: tensors.map(\.name), &random), steps: steps, tensors: tensors,
      extensions: JSONValue.extensions(&random))
    return (directory, payloads)
  }
}

extension TensorRecord {
  /// A tensor but for its parts, and the number of these.
  fileprivate static func random(
    _ number: Int, _ steps: [Step], _ random: inout SplitMix64
  ) -> (TensorRecord, partCount: Int) {
    let group = [ScaleGroup.tensor, .row, .inputs(Int.random(in: 1...99, using: &random))].randomElement(
      using: &random)!
    let float = ElementType.allCases.filter(\.isFloat).randomElement(using: &random)!
    let wide = [ElementType.float32, .float64].randomElement(using: &random)!
    let any = ElementType.allCases.randomElement(using: &random)!
    let (encoding, type, partCount): (Networks.Encoding, ElementType, Int) = [
      (.raw(planes: any.byteCount > 1 && Bool.random(using: &random)), any, 1), (.ternary(group), float, 2),
      (.sparseSigns(.gaps, group), float, 4), (.sparseSigns(.bitmap, group), float, 3),
      (.sparse(.gaps, .exact, least: 0), float, 2 + float.byteCount),
      (.sparse(.bitmap, .float16, least: 77), wide, 3), (.sparse(.gaps, .bfloat16, least: 1), wide, 4),
      (.lowRank(singularValues: []), float, 2), (.lowRank(singularValues: [2.5, 2.5, 1 / 3.0]), float, 2),
      (.levels(.init(.table(levels: 256))), any, 2), (.levels(.init(.table(levels: 2), bits: 1)), any, 2),
      (.levels(.init(.table(levels: 3), positions: .gaps)), any, 4),
      (.levels(.init(.grid(group, exceptions: 0), positions: .bitmap, bits: 2)), float, 3),
      (.levels(.init(.grid(group, exceptions: 1), classes: .init(rows: 1, columns: 16))), float, 4),
      (.seeded(TernarySeed(seed: random.next() >> (random.next() % 64), threshold: 1 << 15)!, group), float, 1),
    ].randomElement(using: &random)!
    // Factors have inputs and outputs, and no exceptions are more than the weights.
    let (minRank, minDimension) =
      switch encoding {
      case .lowRank(let values) where !values.isEmpty: (2, values.count)
      case .levels(let parameters) where parameters.classes != nil: (0, 1)
      default: (0, 0)
      }
    let rank = Int.random(in: minRank...4, using: &random)
    let dimensions = (0..<rank).map { _ in Int.random(in: minDimension...5, using: &random) }
    let outputs = Int.random(in: minRank == 0 ? 0...rank : 1...rank - 1, using: &random)
    let texts = ["", "a/b", "é\"\\", "日本", "x-y"]
    // As a path spells a backslash and a byte that is no UTF-8.
    let paths: [TensorName] = ["a/b", "é\"\\x5C", "e\u{301}\"\\x5C", "日本\\xFF"]
    let history = steps.enumerated().filter { _ in Bool.random(using: &random) }.map { number, step in
      var entry = HistoryEntry(
        step, from: Bool.random(using: &random) ? .random(&random) : nil,
        error: Bool.random(using: &random) ? Double.random(in: 0...2, using: &random) : nil)
      entry.stepNumber = number
      entry.extensions = JSONValue.extensions(&random)
      return entry
    }
    let tensor = TensorRecord(
      name: TensorName("\(number)" + texts.randomElement(using: &random)!),
      path: Bool.random(using: &random) ? paths.randomElement(using: &random) : nil,
      aliases: (0..<Int.random(in: 0...2, using: &random)).map { paths[$0] }, type: type,
      byteOrder: Bool.random(using: &random) ? .big : .little, shape: Shape(dimensions)!,
      role: TensorRole.allCases.randomElement(using: &random)!,
      axes: MatrixAxes(order: (0..<rank).shuffled(using: &random), outputs: outputs)!, encoding: encoding, parts: [],
      digest: .random(&random), history: history, place: nil,
      unknownRole: nil, extensions: JSONValue.extensions(&random))
    return (tensor, partCount)
  }
}

extension Step {
  fileprivate static func random(_ random: inout SplitMix64) -> Step {
    let before = Bool.random(using: &random) ? Digest.random(&random) : nil
    let inputs: [OutputClaim.Inputs] = [
      .normal, .samples(.random(in: 0...Int.max, using: &random), seed: 7), .data(.random(&random)),
      .unknown("{\"distribution\":\"uniform\"}"),
    ]
    var step = Step(
      tool: "nc-x", version: "1", options: ["", "--a b", "é\"\\"].randomElement(using: &random)!, networkBefore: before,
      claim: before != nil && Bool.random(using: &random)
        ? OutputClaim(
          error: Double.random(in: 0...2, using: &random), inputs: inputs.randomElement(using: &random)!) : nil,
      removed: Bool.random(using: &random) ? ["a", "e\u{301}", "é"] : [])
    step.extensions = JSONValue.extensions(&random)
    return step
  }
}

extension Digest {
  fileprivate static func random(_ random: inout SplitMix64) -> Digest {
    Digest((0..<32).map { _ in String(Int.random(in: 0..<16, using: &random), radix: 16) }.joined())!
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
    ["d-a", "x-a", "x-e\u{301}", "x-é"].suffix(Int.random(in: 0...4, using: &random)).map {
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
      if !rest.isEmpty {
        list[index] = list[index].setting(rest, to: value)
      } else if let value {
        list[index] = value
      } else {
        list.remove(at: index)
      }
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
