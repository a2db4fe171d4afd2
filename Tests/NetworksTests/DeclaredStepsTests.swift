// SPDX-License-Identifier: Apache-2.0

import HDF5
import JSON
import NCZ
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Measures
@testable import Networks
@testable import Transforms

/// A `.ncz` file with another directory around the same payloads.
func rewritten(_ file: OpenFile, _ change: (JSONValue) throws -> JSONValue) throws -> OpenFile {
  let result = try OpenFile()
  try file.with { input, size in
    let reader = try Reader(input, size: size, codec: .zstd)
    try result.with { output, _ in
      var writer = try Writer(to: output, codec: .zstd, isMapped: reader.isMapped)
      for payload in reader.payloads.indices {
        _ = try writer.beginPayload()
        let blocks = reader.blocks(of: payload)
        for number in 0..<blocks.count { try writer.append(block: blocks.bytes(number)) }
      }
      _ = try writer.finish(content: change(reader.content))
    }
  }
  return result
}

/// Steps that changed more than values: A has a hidden unit that no output depends on, and a bias that nothing uses; in
/// B both are gone, and all outputs are larger by a quarter. So the claim of 0.25 is right, whatever the inputs.
@Suite("Steps that change more than values")
struct DeclaredStepsTests {
  private typealias Tensors = [(name: String, dimensions: [Int], values: [Float])]

  private static let network = Network(
    nodes: [
      .init(.input(shape: [2]), inputs: []), .init(.dense(kernel: "a/kernel", bias: "a/bias"), inputs: [0]),
      .init(.activation(.relu), inputs: [1]), .init(.dense(kernel: "b/kernel", bias: "b/bias"), inputs: [2]),
    ], outputs: [3])

  private static let before: Tensors = [
    ("a/kernel", [2, 3], [1, 0.5, -2, 0.25, -1, 3]), ("a/bias", [3], [0.5, 7, 0]),
    ("b/kernel", [3, 2], [1, -0.5, 0, 0, 2, 0.75]), ("b/bias", [2], [4, -8]), ("old/bias", [1], [9]),
  ]
  private static let after: Tensors = [
    ("a/kernel", [2, 2], [1, -2, 0.25, 3]), ("a/bias", [2], [0.5, 0]),
    ("b/kernel", [2, 2], [1.25, -0.625, 2.5, 0.9375]), ("b/bias", [2], [5, -10]),
  ]
  private static let changed: [TensorName] = ["a/kernel", "a/bias", "b/kernel", "b/bias"]

  /// What B says beside its tensors.
  private struct Record {
    var claim: JSONValue? = .claim(0.25)
    /// `nil` for A's digest.
    var from: Digest?
    var removed = ["old/bias"]
    /// Of tensors, by name: whether their history begins with A's digest, where the step names them.
    var named: [TensorName] = DeclaredStepsTests.changed
    /// Steps before, with what they did to `b/bias`.
    var earlier: [JSONValue] = []
    /// Further members of the step.
    var members: [JSONValue.Member] = []
  }

  private func packed(_ network: Network = network, _ tensors: Tensors) throws -> OpenFile {
    let result = try OpenFile()
    _ = try withNetwork(plainNetwork(network, tensors)) { file in
      try result.with { output, _ in
        try file.write(to: output, WritingOptions(hasContainer: false)) { try $1(nil) }
      }
    }
    return result
  }

  /// A, as HDF5, and B, which says of itself what `record` has.
  private func pair(
    _ record: Record = Record(), _ network: Network = network, before: Tensors = before, after: Tensors = after
  ) throws -> (a: OpenFile, b: OpenFile) {
    let a = try plainNetwork(network, before)
    let (whole, digests) = try withNetwork(a) { file in
      let digests = try file.digests()
      return (file.networkDigest(tensors: digests), Dictionary(uniqueKeysWithValues: zip(file.tensors.map(\.name), digests)))
    }
    var step: [JSONValue.Member] = [
      .init("from", .string("\(record.from ?? whole)")), .init("options", .string("--by hand")),
      .init("tool", .string("nc-shape")), .init("version", .string("1")),
    ]
    step.append("claim", record.claim)
    step.append("removed", record.removed.isEmpty ? nil : .array(record.removed.map { .string($0) }))
    let number = record.earlier.count
    let b = try rewritten(packed(network, after)) { directory in
      var directory = directory.setting(["steps"], to: .array(record.earlier + [.object(step + record.members)]))
      for (index, tensor) in try #require(directory["tensors"]?.array).enumerated() {
        let name = TensorName(try #require(tensor["name"]?.string))
        guard record.named.contains(name) else { continue }
        var entries: [JSONValue] = []
        let from = digests[name].map { JSONValue.string("\($0)") }
        if name == "b/bias" {
          entries = record.earlier.indices.map { number in
            .object((number == 0 ? from.map { [.init("from", $0)] } ?? [] : []) + [.init("step", .integer(number))])
          }
        }
        let own = entries.isEmpty ? from.map { [JSONValue.Member("from", $0)] } ?? [] : []
        entries.append(.object(own + [.init("step", .integer(number))]))
        directory = directory.setting(["tensors", "\(index)", "history"], to: .array(entries))
      }
      return directory
    }
    return (a, b)
  }

  private func verified(
    _ pair: (a: OpenFile, b: OpenFile), _ options: VerifyingOptions = options()
  ) throws -> Verification {
    try withNetwork(pair.a) { a in try withNetwork(pair.b) { b in try verify(a, b, options) } }
  }

  private static func options(
    _ tolerances: VerifyingOptions.Tolerances = .init(), data: DataFile? = nil
  ) -> VerifyingOptions {
    VerifyingOptions(
      tolerances: tolerances, measures: [.weights, .outputs], data: data, samples: 200, isFast: true, version: "0")
  }

  private func outputCheck(_ result: Verification) -> Verification.Check? {
    result.checks.first { $0.measure == .claimedOutput }
  }

  /// Looks at the command line's answer too.
  private func status(_ pair: (a: OpenFile, b: OpenFile), _ arguments: String = "") throws -> Int32 {
    let folder = try TemporaryFolder()
    try write(pair.a.bytes, to: folder / "a.h5")
    try write(pair.b.bytes, to: folder / "b.ncz")
    #expect(try shell("nc-info --test -q b.ncz", in: folder).status == 0)
    return try shell("nc-verify -q --fast --samples 200 --points 20 \(arguments) a.h5 b.ncz", in: folder).status
  }

  // MARK: Claims

  @Test func theNetworkIsTheSameBeforeAndAfter() throws {
    let a = try plainNetwork(Self.network, Self.before)
    let digest = try withNetwork(a) { try $0.networkDigest(tensors: $0.digests()) }
    try withNetwork(packed(Self.before)) { file in
      #expect(try file.networkDigest(tensors: file.digests()) == digest)
      // Without a container there is nothing else.
      #expect(file.contentDigest == digest)
    }
  }

  @Test(
    arguments: [
      .object([.init("distribution", .string("normal"))]),
      .object([
        .init("distribution", .string("normal")), .init("samples", .integer(1)), .init("seed", .integer(3)),
      ]),
      .object([
        .init("distribution", .string("normal")), .init("samples", .integer(700)), .init("seed", .integer(0)),
      ]),
    ] as [JSONValue])
  func aClaimThatIsRightHolds(inputs: JSONValue) throws {
    let result = try verified(pair(Record(claim: .claim(0.25, inputs))))
    #expect(result.verdict == .within && result.failures.isEmpty, "\(result.failures)")
    #expect(result.sentence.hasPrefix("the output error is as claimed"))
    let check = try #require(outputCheck(result))
    #expect(check.holds == true && check.limit == 0.25 && abs(try #require(check.measured) - 0.25) < 1e-12)
    #expect(check.object == "nc-shape --by hand")
    #expect(result.notes.contains("old/bias: left out by a step of B"))
    #expect(result.notes.contains("declared by nc-shape --by hand: more than values changed"))
  }

  /// To six digits, both ways.
  @Test(arguments: [
    (0.25, true), (0.25 * (1 + 5e-7), true), (0.25 * (1 - 5e-7), true), (0.25 * (1 + 2e-6), false),
    (0.25 * (1 - 2e-6), false), (0, false), (1, false), (0.0625, false),
  ])
  func aClaimThatIsWrongFails(claimed: Double, holds: Bool) throws {
    let result = try verified(pair(Record(claim: .claim(claimed))))
    #expect(outputCheck(result)?.holds == holds)
    #expect(result.verdict == (holds ? .within : .differs) && result.failures.isEmpty == holds)
    if !holds {
      #expect(result.failures[0].hasPrefix("nc-shape --by hand claims an output error of \(claimed), found 0.25"))
      #expect(result.sentence.hasPrefix("FAILED: "))
    }
  }

  /// A limit of the caller's does not make a wrong claim right.
  @Test func aWrongClaimFailsBesideALimit() throws {
    let files = try pair(Record(claim: .claim(0.2)))
    let result = try verified(files, Self.options(.init(output: 1)))
    #expect(result.verdict == .differs && result.checks.contains { $0.measure == .output && $0.holds == true })
    #expect(try status(files) == 1 && status(files, "--max-output 1") == 1)
    #expect(try status(pair()) == 0 && status(pair(), "--max-output 1") == 0 && status(pair(), "--max-output .01") == 1)
  }

  /// Another network than a multiple of A, against a forward pass of our own over the samples that are named.
  @Test(arguments: [(300, 5), (1, 0), (257, Int.max)]) func samplesAreThoseOfTheSeed(count: Int, seed: Int) throws {
    var after = Self.after
    after[2].values = [1, -0.5, 2.25, 0.75]
    after[3].values = [4, -8.5]
    let inputs = JSONValue.object([
      .init("distribution", .string("normal")), .init("samples", .integer(count)), .init("seed", .integer(seed)),
    ])
    let files = try pair(Record(claim: .claim(0, inputs)), after: after)
    let points = RandomPoints(.gaussian, count: count, width: 2, seed: UInt64(seed))
    let numbers = [Double](unsafeUninitializedCapacity: 2 * count) { out, used in
      points.fill(0..<count, UnsafeMutableBufferPointer(rebasing: out[..<(2 * count)]))
      used = 2 * count
    }
    let expected = try relativeError(files, (0..<count).map { [numbers[2 * $0], numbers[2 * $0 + 1]] })
    #expect(expected > 0.001)
    let wrong = try #require(outputCheck(try verified(files)))
    #expect(wrong.holds == false && abs(try #require(wrong.measured) - expected) < 1e-12)
    let right = try verified(pair(Record(claim: .claim(expected, inputs)), after: after))
    #expect(right.verdict == .within && outputCheck(right)?.holds == true)
  }

  /// The root of the mean squared error over the mean squared norm.
  private func relativeError(_ pair: (a: OpenFile, b: OpenFile), _ inputs: [[Double]]) throws -> Double {
    let (f, g) = (try withNetwork(pair.a) { try ForwardPass($0) }, try withNetwork(pair.b) { try ForwardPass($0) })
    var (error, norm) = (0.0, 0.0)
    for input in inputs {
      for (x, y) in zip(f.outputs(input), g.outputs(input)) {
        error += (x - y) * (x - y)
        norm += x * x
      }
    }
    return (error / norm).squareRoot()
  }

  /// Samples of a dataset, which its digest names.
  @Test func dataAreThoseOfTheDigest() throws {
    var after = Self.after
    after[3].values = [4, -8.5]
    let samples: [[Float]] = [[1, 2], [-3, 0.5], [0, 0], [10, -7]]
    func data(_ samples: [[Float]]) throws -> DataFile {
      let file = try OpenFile()
      try file.with { output, _ in
        var new = try NewFile(output, limits: Limits(memory: 1 << 30, seconds: 10))
        let place = try new.addDataset(
          LinkName.path("x"), type: .float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: false),
          dimensions: [UInt64(samples.count), 2])
        _ = try output.writeAll(
          toAbsoluteOffset: Int64(try #require(place).offset), samples.flatMap { $0 }.withUnsafeBytes { Array($0) })
        try new.close()
      }
      return try withNetwork(file) { try DataFile($0, name: "data.h5") }
    }
    BuiltTools.serveHDF5()
    let (own, other) = (try data(samples), try data([[1, 2]]))
    #expect(own.digest != other.digest)
    let inputs = JSONValue.object([.init("data", .string("\(own.digest)"))])
    let expected = try relativeError(pair(after: after), samples.map { $0.map(Double.init) })
    let files = try pair(Record(claim: .claim(expected, inputs)), after: after)
    let result = try verified(files, Self.options(data: own))
    #expect(result.verdict == .within && outputCheck(result)?.holds == true, "\(result.failures)")
    let wrong = try verified(
      pair(Record(claim: .claim(expected * 1.001, inputs)), after: after), Self.options(data: own))
    #expect(wrong.verdict == .differs && outputCheck(wrong)?.holds == false)
    for data in [nil, other] {
      let result = try verified(files, Self.options(data: data))
      #expect(result.verdict == .differs && outputCheck(result)?.holds == nil)
      #expect(result.failures.contains { $0.contains("not checkable: it takes the samples of digest \(own.digest)") })
    }
  }

  // MARK: What cannot be checked

  /// Where nothing says how near the outputs are, there is no verdict without a limit of the caller's.
  private func expectUnchecked(
    _ files: (a: OpenFile, b: OpenFile), _ reason: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let result = try verified(files)
    #expect(outputCheck(result)?.holds == nil, sourceLocation: sourceLocation)
    #expect(result.verdict == .differs, sourceLocation: sourceLocation)
    #expect(result.failures.contains { $0.contains(reason) }, "\(result.failures)", sourceLocation: sourceLocation)
    let limited = try verified(files, Self.options(.init(size: 1 << 20)))
    #expect(
      limited.verdict == .within && limited.notes.contains { $0.contains(reason) }, "\(limited.failures)",
      sourceLocation: sourceLocation)
  }

  @Test func whatIsNotClaimedIsNotChecked() throws {
    let files = try pair(Record(claim: nil))
    try expectUnchecked(files, "nc-shape --by hand: nothing is claimed about the outputs")
    #expect(try status(files) == 1 && status(files, "--max-output 1") == 0)
  }

  @Test func whatIsUnknownIsNotChecked() throws {
    for inputs in [
      JSONValue.object([.init("distribution", .string("uniform"))]),
      .object([.init("distribution", .string("normal")), .init("later", .integer(1))]),
      .object([.init("distribution", .string("normal")), .init("samples", .integer(0)), .init("seed", .integer(1))]),
      .object([.init("distribution", .string("normal")), .init("samples", .integer(9)), .init("seed", .integer(-1))]),
    ] {
      try expectUnchecked(pair(Record(claim: .claim(0.25, inputs))), "not checkable")
    }
    guard case .object(let claim) = JSONValue.claim(0.25) else { return }
    try expectUnchecked(pair(Record(claim: .object(claim + [.init("later", .null)]))), "not checkable")
    try expectUnchecked(pair(Record(members: [.init("later", .integer(1))])), "not checkable: its key later")
    // What may be ignored changes nothing.
    let result = try verified(pair(Record(members: [.init("x-later", .null), .init("d-later", .null)])))
    #expect(result.verdict == .within && outputCheck(result)?.holds == true)
  }

  /// A closed form is of two layers.
  @Test func whatHasNoClosedFormIsNotChecked() throws {
    var network = Self.network
    network.nodes.append(.init(.activation(.relu), inputs: [3]))
    network.outputs = [4]
    try expectUnchecked(pair(Record(), network), "not checkable: there is no closed form for these networks")
  }

  @Test func whatCannotBeRunIsNotChecked() throws {
    var network = Self.network
    network.nodes.append(.init(.opaque(className: "Odd", tensors: [:]), inputs: [3]))
    network.outputs = [4]
    try expectUnchecked(pair(Record(), network), "not checkable: a network cannot be run")
  }

  /// A step that began where an earlier one, of values alone, had ended.
  @Test func whatBeganElsewhereIsNotChecked() throws {
    let earlier = JSONValue.object([
      .init("options", .string("--biases float16")), .init("tool", .string("nc-prune")), .init("version", .string("0")),
    ])
    let elsewhere = try #require(Digest(String(repeating: "5", count: 32)))
    try expectUnchecked(
      pair(Record(from: elsewhere, earlier: [earlier])), "not checkable: it started from another network than A")
  }

  // MARK: What is no part of the step

  /// A step that did not begin with A, nor with what was made of it, explains nothing.
  @Test func aStepOfAnotherNetworkExplainsNothing() throws {
    let elsewhere = try #require(Digest(String(repeating: "5", count: 32)))
    let result = try verified(pair(Record(from: elsewhere)))
    #expect(result.verdict == .differs && outputCheck(result) == nil)
    #expect(result.differences.contains("a/kernel: shape 2×3 in A, 2×2 in B"), "\(result.differences)")
  }

  /// The claim holds, and a tensor that the step does not name is another one all the same.
  @Test func whatTheStepDoesNotNameMustBeEqual() throws {
    let files = try pair(Record(named: Self.changed.filter { $0 != "b/bias" }))
    let result = try verified(files)
    #expect(outputCheck(result)?.holds == true && result.verdict == .differs)
    #expect(result.failures.contains { $0.contains("b/bias") }, "\(result.failures)")
    #expect(try status(files) == 1)
    let shape = try verified(pair(Record(named: Self.changed.filter { $0 != "a/bias" })))
    #expect(shape.verdict == .differs && shape.differences == ["a/bias: shape 3 in A, 2 in B"])
  }

  /// What is equal may be named, and may be not.
  @Test func whatIsEqualNeedsNoName() throws {
    var before = Self.before
    before.append(("c/bias", [1], [1]))
    var after = Self.after
    after.append(("c/bias", [1], [1]))
    for names in [Self.changed, Self.changed + ["c/bias"]] {
      #expect(try verified(pair(Record(named: names), before: before, after: after)).verdict == .within)
    }
  }

  @Test func removedTensorsAreNoDifference() throws {
    let result = try verified(pair(Record(removed: [])))
    #expect(result.verdict == .differs && result.differences == ["old/bias: only in A"])
    // One that is there is not removed: it is as any other.
    let both = try verified(pair(Record(removed: ["old/bias", "b/bias", "nothing"])))
    #expect(both.verdict == .within, "\(both.failures)")
  }

  /// A step of values alone leaves out what it names, too.
  @Test func aStepOfValuesMayRemove() throws {
    let packed = try packed(Array(Self.before.dropLast()))
    let a = try plainNetwork(Self.network, Self.before)
    for (removed, verdict) in [(["old/bias"], Verification.Verdict.equal), ([], .differs)] {
      var step: [JSONValue.Member] = [
        .init("options", .string("--drop optimizer")), .init("tool", .string("nc-prune")),
        .init("version", .string("0")),
      ]
      step.append("removed", removed.isEmpty ? nil : .array(removed.map { .string($0) }))
      let b = try rewritten(packed) { $0.setting(["steps"], to: .array([.object(step)])) }
      #expect(try verified((a, b)).verdict == verdict)
    }
  }

  @Test func whatTheStepMadeIsNoDifference() throws {
    var after = Self.after
    after.append(("c/bias", [1], [1]))
    let result = try verified(pair(Record(named: Self.changed + ["c/bias"]), after: after))
    #expect(result.verdict == .within && result.notes.contains("c/bias: made by a step of B"), "\(result.failures)")
    #expect(try verified(pair(after: after)).differences == ["c/bias: only in B"])
  }

  /// Connections may be others, where a step says so.
  @Test func connectionsMayChange() throws {
    var network = Self.network
    network.nodes[2] = .init(.activation(.tanh), inputs: [1])
    let plain = try verified((try plainNetwork(Self.network, Self.before), packed(network, Self.before)))
    #expect(plain.verdict == .differs && plain.differences.contains { $0.contains("other activations") })
    let a = try plainNetwork(Self.network, Self.before)
    let whole = try withNetwork(a) { try $0.networkDigest(tensors: $0.digests()) }
    let inputs = [[0.5, 1], [-1, 2]]
    let bare = try packed(network, Self.before)
    #expect(try relativeError((a, bare), inputs) > 0.01)
    let step = JSONValue.object([
      .init("from", .string("\(whole)")), .init("options", .string("--activation tanh")),
      .init("tool", .string("nc-shape")), .init("version", .string("1")),
    ])
    let b = try rewritten(bare) { $0.setting(["steps"], to: .array([step])) }
    let result = try verified((a, b), Self.options(.init(output: 100)))
    #expect(result.verdict == .within && result.differences.isEmpty, "\(result.failures)")
  }
}

extension JSONValue {
  /// What a step says about the outputs.
  fileprivate static func claim(
    _ error: Double, _ inputs: JSONValue = .object([.init("distribution", .string("normal"))])
  ) -> JSONValue {
    .object([.init("error", .real(error)), .init("inputs", inputs)])
  }
}
