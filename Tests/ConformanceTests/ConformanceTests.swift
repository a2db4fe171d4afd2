// SPDX-License-Identifier: Apache-2.0

import JSON
import Measures
import Parallel
import Random
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import NCZ
@testable import Networks

@Suite("Conformance to spec/ncz-v1.md")
struct ConformanceTests {
  // MARK: Verdicts

  /// Every tensor has the name, type, shape and values of the twin; the source comes back where nothing needs HDF5.
  @Test(arguments: Fixture.all(.good)) func aGoodFileIsItsTwin(fixture: Fixture) throws {
    let twin = try fixture.twin()
    try withNetwork(OpenFile(fixture.file)) { try compare($0, with: twin) }
  }

  private func compare(_ network: NetworkFile, with twin: JSONValue) throws {
    let expected = try #require(twin["tensors"]?.array)
    #expect(network.tensors.map(\.name.text) == expected.map { $0["name"]?.string })
    for (index, (tensor, twin)) in zip(network.tensors, expected).enumerated() {
      if tensor.unsupported == nil { #expect(tensor.type.rawValue == twin["type"]?.string) }
      #expect(tensor.shape.dimensions == twin["shape"]?.array?.map(\.integer))
      if let verdict = twin["verdict"]?.string {
        let error = fault { _ = try network.values(of: index) }
        #expect(error.map { "\($0.verdict)" } == verdict)
        continue
      }
      let values = try network.values(of: index)
      if let digits = twin["bytes"]?.string { #expect(hexadecimal(values) == digits) }
      if let digest = twin["sha256"]?.string {
        var hash = SHA256()
        hash.update(values)
        #expect(hexadecimal(hash.finalize()) == digest)
      }
    }
    _ = try Content(network)
    if let source = twin["source"]?.string {
      let restored = try OpenFile()
      _ = try restored.with { file, _ in try network.restore(to: file) }
      #expect(try hexadecimal(restored.bytes) == source)
    }
  }

  @Test(arguments: Fixture.all(.bad)) func anotherFileHasItsVerdict(fixture: Fixture) throws {
    let twin = try fixture.twin()
    let expected = try #require(twin["verdict"]?.string)
    let error = #expect(throws: NetworkError.self, "\(twin["why"]?.string ?? "")") {
      try OpenFile(fixture.file).with { try Content($0, size: $1) }
    }
    let found = error.map { "\($0.verdict)" } ?? "accepted"
    // Of what is too large for anybody, a limit may be told first.
    #expect([expected, twin["also"]?.string].contains(found), "\(error?.message ?? "")")
  }

  /// What is unknown costs what needs it, and nothing else.
  @Test(arguments: Fixture.all(.unsupported)) func whatIsUnknownReachesOnlySoFar(fixture: Fixture) throws {
    let twin = try fixture.twin()
    let scope = try #require(twin["scope"]?.string)
    guard scope != "file" else {
      let error = #expect(throws: NetworkError.self) { try OpenFile(fixture.file).with { try Content($0, size: $1) } }
      #expect(error?.verdict == .unsupported)
      return
    }
    try withNetwork(OpenFile(fixture.file)) { network in
      try compare(network, with: twin)
      #expect((network.networkProblem != nil) == scope.contains("network"))
      #expect(!network.notes.isEmpty)
      let restoring = fault { _ = try OpenFile().with { file, _ in try network.restore(to: file) } }
      if scope.contains("source") { #expect(restoring?.verdict == .unsupported) }
    }
  }

  /// What only a program that reads HDF5 finds: a container that says other than the tensors.
  @Test(arguments: Fixture.all(.truth)) func theTensorsAreTheTruth(fixture: Fixture) throws {
    try withNetwork(OpenFile(fixture.file)) { network in
      #expect(throws: Never.self) { try Content(network) }
      let error = fault { try OpenFile().with { scratch, _ in try network.test(scratch: scratch) } }
      #expect(error?.verdict == .corrupt, "\(error?.message ?? "taken for sound")")
    }
  }

  private func fault(_ work: () throws -> Void) -> NetworkError? {
    do {
      try work()
      return nil
    } catch {
      return error as? NetworkError
    }
  }

  // MARK: Damage

  /// Every truncation of every good file, and every byte of it changed in all bits and in one, which a seed chooses.
  /// (Of a file of more than 4 KiB, 4096 places, chosen by a seed too.)
  @Test func everyDamagedFileIsRejectedOrTheSame() throws {
    let fixtures = Fixture.all(.good)
    let counts = try Threads(0).map(fixtures.count) { try damage(fixtures[$0]) }
    let total = counts.reduce(0, +)
    print("\(total) damaged files of \(fixtures.count) good ones: rejected, or the same network")
    #expect(fixtures.isEmpty || total >= 100_000)
  }

  /// Returns the number of cases.
  private func damage(_ fixture: Fixture) throws -> Int {
    let sound = try contents(of: fixture.file)
    let file = try OpenFile(sound)
    let content = try file.with { try Content($0, size: $1) }
    var random = SplitMix64(seed: UInt64(sound.count))
    var cases = 0
    func check(_ what: @autoclosure () -> String) {
      cases += 1
      do {
        let found = try file.with { try Content($0, size: $1) }
        if found != content { Issue.record("\(fixture.testDescription): \(what()): taken for another network") }
      } catch {
        switch (error as? NetworkError)?.verdict {
        case .corrupt, .unsupported, .overLimit: break
        case .unusable, .io, .output, .usage, .internal, nil:
          Issue.record("\(fixture.testDescription): \(what()): \(error)")
        }
      }
    }

    let places =
      sound.count <= 4096
      ? Array(sound.indices) : (0..<4096).map { _ in Int.random(in: sound.indices, using: &random) }
    for place in places {
      let byte = sound[place]
      for mask in [255, 1 << UInt8.random(in: 0..<8, using: &random)] as [UInt8] {
        try file.replace(at: place, with: byte ^ mask)
        check("byte \(place) changed from \(byte) to \(byte ^ mask)")
      }
      try file.replace(at: place, with: byte)
    }
    for size in Set(places).sorted(by: >) {
      try file.resize(to: size)
      check("cut to \(size) bytes")
    }
    return cases
  }
}
