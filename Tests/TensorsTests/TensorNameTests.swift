// SPDX-License-Identifier: Apache-2.0

import Random
import Tensors
import Testing

@Suite("Tensor names")
struct TensorNameTests {
  /// Pairs that `String` takes for one: composed and decomposed, the Kelvin sign, the Greek question mark, Hangul.
  static let twins: [(String, String)] = [
    ("é", "e\u{301}"), ("K", "\u{212A}"), (";", "\u{37E}"), ("가", "\u{1100}\u{1161}"), ("Å", "\u{212B}"),
  ]

  @Test func namesThatOnlyLookAlikeAreTwo() {
    for (a, b) in Self.twins {
      #expect(a == b, "else nothing is tested")
      #expect(TensorName(a) != TensorName(b))
      #expect(Set([TensorName(a), TensorName(b), TensorName(a)]).count == 2)
      #expect((TensorName(a) < TensorName(b)) != (TensorName(b) < TensorName(a)))
      #expect(
        TensorName("x\(a)").hasPrefix(TensorName("x\(a)")) && !TensorName("x\(a)y").hasPrefix(TensorName("x\(b)")))
      #expect(TensorName("x\(a)").hasSuffix(TensorName(a)) && !TensorName("x\(a)").hasSuffix(TensorName(b)))
    }
  }

  /// A combining character after a separator belongs to the next part.
  @Test func namesAreTakenApartByBytes() {
    let (before, after) = TensorName("a/b/\u{301}c").splitAtLast("/")
    #expect(before == "a/b" && after == "\u{301}c")
    #expect(TensorName("abc").splitAtLast("/") == ("", "abc"))
    #expect(TensorName("/a//\u{301}b/").components == ["a", "\u{301}b"])
    #expect(TensorName("e\u{301}_kernel").dropFirst("e\u{301}_".utf8.count) == "kernel")
    #expect((["a", "b"] as [TensorName]).joined(separator: "/") == "a/b")
  }

  @Test func equalityOrderAndHashAreThoseOfTheBytes() {
    var random = SplitMix64(seed: 7)
    let letters = ["a", "é", "e\u{301}", "/", "K", "\u{212A}", "日", "\u{301}"]
    func name() -> String {
      (0..<Int.random(in: 0...3, using: &random)).map { _ in letters.randomElement(using: &random)! }.joined()
    }
    for _ in 0..<2000 {
      let (a, b) = (name(), name())
      let (first, second) = (TensorName(a), TensorName(b))
      #expect((first == second) == (Array(a.utf8) == Array(b.utf8)))
      #expect((first < second) == a.utf8.lexicographicallyPrecedes(b.utf8))
      if first == second { #expect(first.hashValue == second.hashValue) }
    }
  }
}
