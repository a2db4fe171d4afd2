// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks

@Suite("Selection")
struct SelectionTests {
  @Test(arguments: [
    ("dense/kernel", "dense/kernel", true), ("dense/kernel", "dense", false), ("dense", "dense/kernel", false),
    ("dense/kernel", "*", true), ("dense/kernel", "*/kernel", true), ("a/b/kernel", "*/kernel", true),
    ("a/b/kernel", "a*l", true), ("a/b/kernel", "a*k", false), ("kernel", "*/kernel", false),
    ("", "*", true), ("", "", true), ("", "?", false), ("a", "", false), ("a", "**", true),
    ("a/b", "a?b", true), ("ab", "a?b", false), ("aéb", "a?b", true), ("a日b", "a[日]b", true),
    ("fc1", "fc[12]", true), ("fc3", "fc[12]", false), ("fc3", "fc[!12]", true), ("fc1", "fc[!12]", false),
    ("fc5", "fc[0-9]", true), ("fcx", "fc[0-9]", false), ("fc-", "fc[0-9-]", true), ("fc-", "fc[-0]", true),
    ("fc]", "fc[]]", true), ("fc[", "fc[", true),
    ("fc[1", "fc[1", true), ("fc1", "fc[1", false), ("fc[]", "fc[]", true), ("b", "[a-cx-z]", true),
    ("y", "[a-cx-z]", true), ("d", "[a-cx-z]", false), ("b", "[c-a]", false), ("*", "[*]", true), ("x", "[*]", false),
    ("aaab", "*a*b", true), ("aaac", "*a*b", false), ("abab", "*ab", true), ("abab", "ab*ab", true),
    ("aba", "ab*ba", false), ("Dense", "dense", false),
  ])
  func globs(name: String, glob: String, matching: Bool) {
    #expect(matches(TensorName(name), glob) == matching, "\(name) \(glob)")
  }

  /// As in a shell, a bracket that comes first in a set, also after `!`, is one of its characters.
  @Test func aNegatedSetMayHoldABracket() {
    #expect(matches("fca", "fc[!]]") && !matches("fc]", "fc[!]]"))
  }

  /// Backtracking into every star would take longer than the universe has lasted: the test would not end.
  @Test func manyStarsTakeNoLongerThanTheProductOfTheLengths() {
    let name = TensorName(String(repeating: "a", count: 4096))
    #expect(!matches(name, String(repeating: "*a", count: 40) + "b"))
    #expect(matches(name, String(repeating: "*a", count: 40)))
    #expect(!matches(name, String(repeating: "*", count: 4096) + "b"))
    #expect(!matches(name, String(repeating: "[a-z]*", count: 40) + "[!a]"))
  }

  @Test func exceptWinsOverOnly() {
    let selection = Selection(only: ["dense/*", "fc?"], except: ["*/bias"])
    #expect((["dense/kernel", "fc1"] as [TensorName]).allSatisfy(selection.includes))
    #expect((["dense/bias", "conv/kernel", "fc10"] as [TensorName]).allSatisfy { !selection.includes($0) })
    #expect(selection.insists(on: "dense/bias") && !selection.insists(on: "conv/kernel"))
    #expect(Selection().includes("anything") && !Selection().insists(on: "anything"))
    #expect(!Selection(except: ["*"]).includes("anything"))
  }

  // MARK: Choices

  private func choose(_ name: String, only: [String] = [], except: [String] = []) throws -> (
    names: [String], notes: [String]
  ) {
    BuiltTools.serveHDF5()
    return try withNetwork(OpenFile(Fixtures.folder.appending("networks/\(name)"))) { file in
      let choice = try file.choose(by: Selection(only: only, except: except))
      return (choice.tensors.sorted().map { file.tensors[$0].name.text }, choice.notes)
    }
  }

  @Test func globsChooseAmongMatrices() throws {
    let all = try choose("digits_relu.h5")
    #expect(all.notes.isEmpty && !all.names.isEmpty)
    for pattern in ["*", "fc1/*"] {
      let chosen = try choose("digits_relu.h5", only: [pattern])
      #expect(chosen.names == all.names.filter { pattern == "*" || $0.hasPrefix("fc1/") })
      // Biases and training state match as well.
      #expect(chosen.notes.count == 1 && chosen.notes[0].contains("matches are not weight matrices"), "\(chosen.notes)")
    }
    #expect(try choose("digits_relu.h5", except: ["*/kernel"]).names.isEmpty)
    #expect(try choose("digits_relu.h5", except: ["fc1/bias"]).names == all.names)
    #expect(try choose("digits_relu.h5", only: ["*/kernel"], except: ["*"]).names.isEmpty)
  }

  /// What no compressor can take is refused by its own name, and by a glob that reaches nothing else.
  @Test(arguments: [
    ("*/bias", "bias"), ("fc1/bias", "bias"), ("optimizer/*", "training state"), ("nothing", "no tensor matches"),
  ])
  func aPatternThatReachesNoMatrixIsAUsageError(pattern: String, reason: String) {
    let error = #expect(throws: NetworkError.self) { try choose("digits_relu.h5", only: [pattern]) }
    #expect(error?.verdict == .usage && error?.message.contains(reason) == true, "\(error?.message ?? "")")
    let other = #expect(throws: NetworkError.self) { try choose("digits_relu.h5", only: ["fc1/kernel", pattern]) }
    #expect(other?.verdict == .usage)
  }

  @Test func anExceptionThatMatchesNothingIsAUsageError() {
    let error = #expect(throws: NetworkError.self) { try choose("digits_relu.h5", except: ["nothing"]) }
    #expect(error?.verdict == .usage)
    #expect(throws: Never.self) { try choose("digits_relu.h5", except: ["*"]) }
  }

  /// Of a matrix it is known what it is: no glob reaches it.
  @Test(arguments: [TensorRole.convolution, .recurrent, .embedding, .attention, .optimizer, .bias, .normalization])
  func knownLayersAreNotReached(role: TensorRole) throws {
    var record = TensorRecord(
      name: "a", path: "a", aliases: [], type: .float32, byteOrder: .little, shape: try #require(Shape([2, 3])),
      role: role,
      axes: .standard(rank: 2), encoding: .raw(planes: false), parts: [], history: [],
      place: .contiguous(.init(offset: 0, length: 24)))
    #expect(record.reasonNotChosen(including: []) != nil)
    record.role = .other
    #expect(record.reasonNotChosen(including: []) == nil)
    record.type = .int32
    #expect(record.reasonNotChosen(including: []) == "int32")
    record.type = .float32
    record.place = nil
    #expect(record.reasonNotChosen(including: []) == "stored inside an object header")
    // Without a source file there is nothing to put it back into.
    record.path = nil
    #expect(record.reasonNotChosen(including: []) == nil)
    record.shape = try #require(Shape([6]))
    #expect(record.reasonNotChosen(including: []) == "rank 1")
  }
}
