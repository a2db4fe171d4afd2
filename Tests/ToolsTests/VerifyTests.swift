// SPDX-License-Identifier: Apache-2.0

import JSON
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks

/// `nc-verify` as a shell runs it.
@Suite("Verifying") struct VerifyTests {
  private let folder: TemporaryFolder

  private static let start = Preparation(
    [
      "net.h5": "networks/digits_relu.h5", "other.h5": "networks/torch_digits.flat.h5",
      "ref.h5": "data/digits_relu.ref.h5",
    ],
    """
    nc-ternarize -q net.h5 net.ncz && nc-restore -q net.ncz back.h5 &&
      nc-ternarize -q --drop optimizer net.h5 dropped.ncz
    """)

  init() throws { folder = try Self.start.folder() }

  /// Small measures, so that a debug build answers soon.
  private static let quick = "--points 40 --samples 500"

  private func report(_ line: String) throws -> (status: Int32, json: JSONValue) {
    let run = try shell("nc-verify --json \(Self.quick) \(line)", in: folder)
    return (run.status, try JSONValue.parse(run.output))
  }

  // MARK: Exit status

  @Test(
    arguments: [
      (0, "net.h5 net.ncz"), (0, "net.h5 net.h5"), (0, "net.ncz net.ncz"), (0, "--no-verdict net.h5 back.h5"),
      (0, "--max-weight .6 net.h5 net.ncz"), (0, "--max-output 10 --max-ck 10 --max-ntk 10 net.h5 net.ncz"),
      (0, "--data ref.h5 --y label --max-accuracy-loss .5 net.h5 net.ncz"), (0, "--fast net.h5 net.ncz"),
      (0, "--no-verdict net.h5 other.h5"), (0, "--no-verdict --measure outputs net.h5 back.h5"),
      (0, "--max-size 100k --max-bits 200 net.h5 net.ncz"), (0, "--max-weight .6 net.h5 back.h5"),
      (0, "--measure weights net.h5 net.ncz"), (0, "--max-output .5 net.h5 net.h5"),
      (0, "--max-weight .6 net.h5 dropped.ncz"), (0, "--order fc1,fc2,fc3 --measure weights net.h5 net.ncz"),
      // Not within tolerance.
      (1, "--max-weight .1 net.h5 net.ncz"), (1, "--max-output 1e-3 net.h5 net.ncz"), (1, "net.h5 other.h5"),
      // Different values that nothing explains, as diff, cmp and h5diff have it.
      (1, "net.h5 back.h5"), (1, "--measure weights back.h5 net.h5"), (1, "--fast --measure weights net.ncz net.h5"),
      (1, "--max-size 2k net.h5 net.ncz"), (1, "--max-bits 2 net.h5 net.ncz"), (1, "--max-size 2k net.h5 net.h5"),
      (1, "--max-ck 1e-3 net.h5 net.ncz"), (1, "--max-ntk 1e-3 net.h5 back.h5"), (1, "back.h5 other.h5"),
      // Cannot be told.
      (64, ""), (64, "- -"), (64, "-"), (64, "--max-weight -1 net.h5 net.ncz"), (64, "--points 1 net.h5 net.ncz"),
      (64, "--no-verdict --max-weight 1 net.h5 net.ncz"), (64, "--no-verdict --max-size 1M net.h5 net.ncz"),
      (64, "--measure outputs net.h5 net.ncz"), (64, "--measure outputs,spectrum net.h5 net.ncz"),
      (64, "--max-bits inf net.h5 net.ncz"), (64, "--max-size -1 net.h5 net.ncz"),
      (64, "--measure all net.h5 net.ncz"), (64, "--ntk-output 10 net.h5 net.ncz"), (64, "--y y net.h5 net.ncz"),
      (65, "net.h5 ref2"), (65, "--data other.h5 net.h5 net.ncz"), (66, "net.h5 missing"), (66, "missing net.h5"),
      (66, "--data missing net.h5 net.ncz"), (69, "--max-output 1 --measure weights net.h5 net.ncz"),
      (69, "--max-accuracy-loss 1 net.h5 net.ncz"),
      (75, "--points 20000 --memory 64MiB net.h5 net.ncz"), (64, "--points all net.h5 net.ncz"),
      (64, "--points some --data ref.h5 net.h5 net.ncz"), (65, "--data ref.h5 --data other.h5 net.h5 net.ncz"),
    ] as [(Int32, String)])
  func statusAnswers(status: Int32, arguments: String) throws {
    let run = try shell(
      "echo x > ref2; nc-verify \(Self.quick) \(arguments)".replacing(
        "--points 40 --samples 500 --points", with: "--points"), in: folder)
    #expect(run.status == status, "\(arguments): \(run.diagnostics)")
    #expect(status < 64 || (!run.diagnostics.isEmpty && run.output.isEmpty))
  }

  @Test(
    arguments: [
      (0, "nc-prune -q --keep .1 net.h5 | nc-verify \(quick) net.h5 -"),
      (0, "nc-prune -q --keep .1 net.h5 | nc-verify \(quick) net.h5"), (0, "cat net.h5 | nc-verify \(quick) - net.ncz"),
      (1, "nc-prune -q --keep .1 net.h5 | nc-verify -q \(quick) --max-weight .1 net.h5 -"),
      (1, "cat net.ncz | nc-verify \(quick) --max-size 2k net.h5 -"),
      (0, "cat net.ncz | nc-verify \(quick) --max-size 100k net.h5 -"),
      (65, "head -c 3000 net.ncz | nc-verify \(quick) net.h5 -"),
      (
        141, "mkfifo p s; (exec 3< p; read -r x < s) & exec 4> p; echo > s; wait; nc-verify \(quick) net.h5 net.ncz >&4"
      ),
      (74, "nc-verify \(quick) net.h5 net.ncz > /dev/full"),
    ] as [(Int32, String)])
  func pipesAnswerToo(status: Int32, line: String) throws {
    let run = try shell(line, in: folder)
    #expect(run.status == status, "\(line): \(run.diagnostics)")
  }

  @Test func whatDecidedIsSaid() throws {
    let run = try shell("nc-verify \(Self.quick) net.h5 back.h5", in: folder)
    #expect(run.status == 1)
    #expect(run.diagnostics.hasPrefix("nc-verify: back.h5: 3 of ") && run.diagnostics.hasSuffix("kernel\n"))
    let first = String(decoding: run.output, as: UTF8.self).split(separator: "\n").first
    #expect(first == "FAILED: B has no record of coming from A, and no --max-… was given")
    #expect(try shell("nc-verify -q \(Self.quick) net.h5 back.h5", in: folder).diagnostics == run.diagnostics)
    for (arguments, verdict, sentence) in [
      ("net.h5 back.h5", "differs", "FAILED: B has no record of coming from A, and no --max-… was given"),
      ("net.h5 net.h5", "equal", "equal, bit for bit"),
      (
        "net.h5 net.ncz", "within tolerance",
        "errors are as recorded; no limit was set (--max-…), so quality was not judged"
      ),
      ("--max-weight .6 --max-size 1M net.h5 net.ncz", "within tolerance", "2 limits hold; errors are as recorded"),
      ("--max-weight .1 --max-size 1M net.h5 net.ncz", "differs", "FAILED: 1 of 2 limits exceeded"),
      ("--no-verdict net.h5 other.h5", "no verdict", "no verdict was asked for"),
    ] {
      let json = try report(arguments).json
      #expect(json["verdict"]?.string == verdict && json["sentence"]?.string == sentence, "\(arguments)")
    }
  }

  /// What was held against what, limit and outcome, is in the report; why it failed also on standard error.
  @Test func checksAreListed() throws {
    let (status, json) = try report("--max-weight .1 --max-bits 200 --max-size 100k net.h5 net.ncz")
    #expect(status == 1)
    let checks = try #require(json["checks"]?.array)
    let limits = checks.filter { $0["measure"]?.string != "recorded error" }
    #expect(limits.map { $0["measure"]?.string } == ["relative L2 error", "bytes of B", "bits a weight of B"])
    #expect(limits.map { $0["holds"]?.bool } == [false, true, true])
    #expect(limits.map { $0["limit"]?.double } == [0.1, 100_000, 200])
    let size = try contents(of: folder / "net.ncz").count
    #expect(limits[1]["measured"]?.double == Double(size))
    #expect(checks.count - limits.count == json["claims"]?.array?.count)
    #expect(checks.dropFirst(3).allSatisfy { $0["holds"]?.bool == true && $0["object"]?.string != nil })
    let quiet = try shell(
      "nc-verify -q --data ref.h5 --y label --points 40 --max-accuracy-loss 0 --max-output .0001 net.h5 net.ncz",
      in: folder)
    #expect(quiet.status == 1 && quiet.output.isEmpty)
    #expect(quiet.diagnostics.contains("output error 0.") && quiet.diagnostics.contains(", limit 0.0001\n"))
    let page = try shell("nc-verify -q \(Self.quick) --max-weight .1 --report - net.h5 net.ncz", in: folder)
    let text = String(decoding: page.output, as: UTF8.self)
    #expect(text.contains("FAILED: 1 of 1 limits exceeded") && text.contains("relative L2 error"))
  }

  /// With every sample twice, kernels have four copies of each element: measures that are relative
  /// stay, to the digits that two ways have in common.
  @Test func dataOfSeveralFiles() throws {
    let line = "nc-verify --json --measure spectrum --no-verdict --fast --data ref.h5 --points all net.h5 net.ncz"
    let once = try JSONValue.parse(shell(line, in: folder).output)
    let run = try shell(line.replacing("--data ref.h5", with: "--data ref.h5 --data ./ref.h5"), in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
    let twice = try JSONValue.parse(run.output)
    #expect(once["data"]?.string == "ref.h5")
    #expect(twice["data"]?.array?.compactMap(\.string) == ["ref.h5", "./ref.h5"])
    let (a, b) = (
      try #require(once["parts"]?.array?[0]["spectrum"]), try #require(twice["parts"]?.array?[0]["spectrum"])
    )
    #expect(a["points"]?.integer == 200 && b["points"]?.integer == 400)
    for kernel in ["ck", "ntk"] {
      func numbers(_ json: JSONValue) throws -> [Double] {
        try ["relative_spectral_norm", "scale", "residual_after_scale", "alignment", "shift"].map {
          try #require(json[kernel]?[$0]?.double)
        }
      }
      let (one, two) = (try numbers(a), try numbers(b))
      #expect(zip(one, two).allSatisfy { abs($0 - $1) <= 1e-9 * max(1, abs($0)) }, "\(one), \(two)")
      let norms = (try #require(a[kernel]?["norm_a"]?.double), try #require(b[kernel]?["norm_a"]?.double))
      #expect(abs(norms.1 / norms.0 - 2) <= 1e-9)
    }
  }

  /// Where matrices of all points do not fit, what takes all eigenvalues is left out, and that is said.
  @Test func manyPoints() throws {
    let line =
      "nc-verify --json --measure spectrum --no-verdict --data ref.h5 --data ref.h5 --data ref.h5 --data ref.h5"
    let wide = try JSONValue.parse(shell("\(line) --points all net.h5 net.ncz", in: folder).output)
    let run = try shell("\(line) --points all --memory 64MiB net.h5 net.ncz", in: folder)
    let narrow = try JSONValue.parse(run.output)
    let says = "the largest eigenvalues alone are compared"
    #expect(wide["notes"]?.array?.contains { $0.string?.contains(says) ?? false } == false)
    #expect(narrow["notes"]?.array?.contains { $0.string?.contains(says) ?? false } == true, "\(run.diagnostics)")
    let (a, b) = (
      try #require(wide["parts"]?.array?[0]["spectrum"]), try #require(narrow["parts"]?.array?[0]["spectrum"])
    )
    #expect(a["ck"]?["eigenvalue_distance"]?.double == b["ck"]?["eigenvalue_distance"]?.double)
    #expect(a["ntk"]?["eigenvalue_distance"]?.double != nil && b["ntk"]?["eigenvalue_distance"]?.double == nil)
    for key in ["relative_spectral_norm", "residual_after_shift", "residual_after_scale", "scale", "alignment"] {
      let (x, y) = (try #require(a["ntk"]?[key]?.double), try #require(b["ntk"]?[key]?.double))
      #expect(abs(x - y) <= 1e-10, "\(key)")
    }
    let sines = (a["ntk"]?["subspace"]?["sine"]?.double, b["ntk"]?["subspace"]?["sine"]?.double)
    #expect(abs(try #require(sines.0) - (try #require(sines.1))) <= 1e-7)
  }

  /// Training state and counters are no part of a network: they are named, and decide nothing.
  @Test func trainingStateDecidesNothing() throws {
    let run = try shell("nc-verify --json \(Self.quick) --measure weights net.h5 dropped.ncz", in: folder)
    let restored = try shell(
      "nc-ternarize -q --drop optimizer --except '*' net.h5 state.ncz && nc-restore -q state.ncz state.h5; nc-verify --json --measure weights net.h5 state.h5",
      in: folder)
    #expect(run.status == 0 && restored.status == 0, "\(restored.diagnostics)")
    let json = try JSONValue.parse(restored.output)
    let hasState = try shell("nc-info --json net.h5 | grep -q '\"role\":\"optimizer\"'", in: folder).status == 0
    #expect(json["verdict"]?.string == (hasState ? "equal but for training state" : "equal"))
    if hasState {
      #expect(json["notes"]?.array?.contains { $0.string?.hasPrefix("not equal, and no part") == true } == true)
    }
  }

  /// A tolerance on what a network does never passes on one that is only assumed; options and the other file state it.
  @Test(
    arguments: ["--max-output 10", "--max-ck 10", "--max-ntk 10", "--data ref.h5 --y label --max-accuracy-loss 1"])
  func assumptionsDecideNothing(tolerance: String) throws {
    let lines = """
      cp '\(Fixtures.folder.appending("networks").appending("torch_digits.flat.h5"))' a.h5
      nc-prune -q --keep .9 a.h5 a.ncz
      """
    #expect(try shell(lines, in: folder).status == 0)
    for pair in ["a.h5 a.ncz", "a.ncz a.ncz", "a.h5 a.h5"] {
      let assumed = try shell("nc-verify -q \(Self.quick) \(tolerance) \(pair)", in: folder)
      #expect(assumed.status == 69, "\(pair): \(assumed.diagnostics)")
      #expect(assumed.diagnostics.contains("say --order … --activation …, or --like FILE"), "\(assumed.diagnostics)")
      let stated = try shell("nc-verify --json \(Self.quick) \(tolerance) --activation relu \(pair)", in: folder)
      #expect(stated.status == 0, "\(pair): \(stated.diagnostics)")
      let notes = try JSONValue.parse(stated.output)["notes"]?.array?.compactMap(\.string) ?? []
      #expect(notes.contains { $0.hasPrefix("the network is as --activation") }, "\(notes)")
    }
    // Without such a tolerance it is a report.
    #expect(try shell("nc-verify -q \(Self.quick) a.h5 a.ncz", in: folder).status == 0)
  }

  /// The other file of the pair states the network of a `.ncz` that is marked as assumed.
  @Test func theOtherFileStates() throws {
    let source = Fixtures.folder.appending("networks").appending("torch_digits.flat.h5")
    let made = try shell(
      "nc-prune -q --keep .9 '\(source)' assumed.ncz; nc-prune -q --activation tanh --keep 1 '\(source)' stated.ncz",
      in: folder)
    #expect(made.status == 0, "\(made.diagnostics)")
    for (pair, which) in [("stated.ncz assumed.ncz", "B"), ("assumed.ncz stated.ncz", "A")] {
      let run = try shell("nc-verify --json \(Self.quick) --max-output 10 --measure outputs \(pair)", in: folder)
      #expect(run.status == 0, "\(pair): \(run.diagnostics)")
      let notes = try JSONValue.parse(run.output)["notes"]?.array?.compactMap(\.string) ?? []
      #expect(notes.contains { $0.hasPrefix("the network of \(which) is as") && $0.contains("tanh") }, "\(notes)")
    }
  }

  /// Networks that nobody described are taken as the other, or as a chain; what a `.ncz` was guessed to be stays a
  /// guess.
  @Test func assumptionsAreSaid() throws {
    let weights = Fixtures.folder.appending("networks").appending("digits_relu.float16.weights.h5")
    let data = Fixtures.folder.appending("data").appending("digits_relu.ref.h5")
    let lines =
      "nc-ternarize -q '\(weights)' bare.ncz; nc-run --json --data '\(data)' bare.ncz; nc-verify --json \(Self.quick)"
    let run = try shell("\(lines) '\(weights)' bare.ncz", in: folder)
    let reports = try run.output.split(separator: UInt8(ascii: "\n")).map { try JSONValue.parse(Array($0)) }
    try #require(run.status == 0 && reports.count == 2)
    for report in reports {
      let notes = report["notes"]?.array?.compactMap(\.string) ?? []
      #expect(notes.count { $0.hasPrefix("no architecture in the ") } == 1, "\(notes)")
    }
    let described = try report("net.h5 '\(weights)'").json["notes"]?.array?.compactMap(\.string) ?? []
    #expect(described.allSatisfy { !$0.contains("assuming") }, "\(described)")
    let told = try shell("nc-run --activation tanh --data '\(data)' net.ncz", in: folder)
    #expect(told.diagnostics.contains("the command line replaces the architecture in the file"))
  }

  // MARK: Claims

  /// Every compressor's claim holds, of every type of weights.
  @Test(arguments: [
    "nc-ternarize", "nc-ternarize --scale-per 7", "nc-ternarize --scale-per tensor --sparsity .7", "nc-prune --keep .1",
    "nc-prune --keep .4 --scope network", "nc-prune --keep .2 --values bfloat16", "nc-prune --keep .3 --values ternary",
    "nc-prune --by singular-value --keep .3", "nc-prune --by node --keep .5", "nc-ternarize --drop optimizer",
  ])
  func claimsHold(compressor: String) throws {
    let networks = Fixtures.folder.appending("networks")
    for source in ["digits_relu.h5", "digits_relu.float64.h5", "digits_relu.bfloat16.h5", "torch_digits.nested.h5"] {
      let path = networks.appending(source)
      let run = try shell("\(compressor) -q '\(path)' | nc-verify --json --measure weights '\(path)' -", in: folder)
      #expect(run.status == 0, "\(source): \(run.diagnostics)")
      let claims = try #require(JSONValue.parse(run.output)["claims"]?.array)
      #expect(claims.count >= 3 && claims.allSatisfy { $0["status"]?.string == "holds" }, "\(source): \(claims)")
    }
  }

  /// Through several steps each is checked where its start can be made again.
  @Test func claimsHoldThroughSteps() throws {
    let line =
      "nc-prune -q --keep .5 net.h5 | nc-prune -q --keep .3 | nc-ternarize -q | nc-verify --json --measure weights"
    let (all, some) = (
      try shell("\(line) net.h5 -", in: folder),
      try shell("nc-prune -q --keep .5 net.h5 half.ncz; \(line) half.ncz -", in: folder)
    )
    for (run, steps) in [(all, 3), (some, 2)] {
      #expect(run.status == 0, "\(run.diagnostics)")
      let claims = try #require(JSONValue.parse(run.output)["claims"]?.array)
      #expect(claims.count == 3 * steps && claims.allSatisfy { $0["status"]?.string == "holds" })
    }
    // What depends on other tensors is not done again.
    let run = try shell(
      "nc-prune -q --by node --keep .5 net.h5 | nc-ternarize -q | nc-verify --json --measure weights net.h5 -",
      in: folder)
    let claims = try #require(JSONValue.parse(run.output)["claims"]?.array)
    #expect(run.status == 0 && claims.contains { $0["status"]?.string == "not checkable" })
  }

  /// What was zero before has no relative error: the absolute one is recorded, and checked.
  @Test func claimsAboutZeros() throws {
    let source = Fixtures.folder.appending("networks").appending("node_zero_bias.h5")
    let run = try shell(
      "nc-prune -q --by node --keep .5 '\(source)' zero.ncz; nc-verify --json --measure weights '\(source)' zero.ncz",
      in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
    let bias = try #require(JSONValue.parse(run.output)["claims"]?.array).first { $0["tensor"]?.string == "b/bias" }
    let claimed = try #require(bias?["claimed"]?.double)
    #expect(claimed > 0 && bias?["status"]?.string == "holds")
    let tensor = try #require(JSONValue.parse(run.output)["tensors"]?.array).first { $0["name"]?.string == "b/bias" }
    let distance = try #require(tensor?["distance"]?.double)
    #expect(tensor?["relative_l2"] == .null && abs(distance - claimed) <= 1e-8)
    // A relative error that is not defined is beyond every limit.
    let limited = try shell(
      "nc-verify -q --measure weights --max-weight 100 '\(source)' zero.ncz", in: folder)
    #expect(limited.status == 1 && limited.diagnostics.contains("b/bias: relative L2 error undefined (A is zero"))
  }

  /// One scale of many changed by a hundredth, every check made right again: the claim does not hold.
  @Test func aTamperedFileFailsByItsClaim() throws {
    let target = try OpenFile()
    try withNetwork(try OpenFile(folder / "net.ncz")) { network in
      let index = try #require(network.tensors.firstIndex { $0.name == "fc1/kernel" })
      guard case .ternary(var matrix, let transposed) = try network.weights(of: index) else {
        Issue.record("not ternary")
        return
      }
      let row = try #require(matrix.scales.indices.first { matrix.scales[$0] > 0 })
      matrix.scales[row] = Double(Float(matrix.scales[row] * 1.01))
      _ = try target.with { file, _ in
        try network.write(to: file, WritingOptions()) { number, put in
          try put(number == index ? Change(values: .weights(.ternary(matrix, transposed: transposed))) : nil)
        }
      }
    }
    try write(try target.bytes, to: folder / "tampered.ncz")
    #expect(try shell("nc-info --test tampered.ncz", in: folder).status == 0)
    let (status, json) = try report("net.h5 tampered.ncz")
    #expect(status == 1)
    let failed = try #require(json["claims"]?.array).filter { $0["status"]?.string == "fails" }
    #expect(failed.count == 1 && failed[0]["tensor"]?.string == "fc1/kernel")
  }

  /// A tensor that no step says it changed must be as it was.
  @Test func whatNoStepChangedMustBeEqual() throws {
    let target = try OpenFile()
    try withNetwork(try OpenFile(folder / "net.ncz")) { network in
      let index = try #require(network.tensors.firstIndex { $0.name == "fc1/bias" })
      var bytes = try network.values(of: index)
      bytes[3] ^= 1
      _ = try target.with { file, _ in
        try network.write(to: file, WritingOptions()) { number, put in
          try put(number == index ? Change(values: .weights(.dense(bytes))) : nil)
        }
      }
    }
    try write(try target.bytes, to: folder / "changed.ncz")
    let (status, json) = try report("net.h5 changed.ncz")
    #expect(status == 1)
    #expect(json["failures"]?.array?.contains { $0.string?.hasPrefix("fc1/bias: differs") == true } == true)
  }

  // MARK: Reports

  @Test func theNumbersDoNotDependOnThreads() throws {
    let lines = ["-T 1", "-T 2", "-T 7"].map { "nc-verify --json \(Self.quick) \($0) net.h5 net.ncz" }
    let outputs = try lines.map { try shell($0, in: folder).output }
    #expect(Set(outputs).count == 1)
  }

  @Test func whatCannotBeRunIsComparedInChains() throws {
    let run = try shell("nc-verify --json \(Self.quick) --no-verdict --measure outputs net.h5 net.ncz", in: folder)
    #expect(try JSONValue.parse(run.output)["parts"]?.array?.first?["name"]?.string == "network")
  }
}
