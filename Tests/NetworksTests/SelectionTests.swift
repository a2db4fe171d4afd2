import Tensors
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

  @Test func aPatternThatMatchesNothingIsAUsageError() {
    let names: [TensorName] = ["a", "b"]
    #expect(throws: Never.self) { try Selection(only: ["a"], except: ["?"]).check(names) }
    for selection in [Selection(only: ["a", "c"]), Selection(except: ["c"])] {
      #expect(throws: NetworkError(.usage, "no tensor matches c")) { try selection.check(names) }
    }
  }
}
