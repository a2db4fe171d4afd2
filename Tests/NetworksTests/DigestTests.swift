// SPDX-License-Identifier: Apache-2.0

import Parallel
import Random
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks

@Suite("Digests")
struct DigestTests {
  private func sha256(_ message: some Sequence<UInt8>) -> String {
    var hash = SHA256()
    hash.update(message)
    return hexadecimal(hash.finalize())
  }

  /// The examples of FIPS 180-4,
  /// <https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values>.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (
      "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
    ),
  ])
  func sha256IsThatOfNIST(message: String, digest: String) {
    #expect(sha256(message.utf8) == digest)
  }

  @Test func sha256OfAMillionLettersIsThatOfNIST() {
    #expect(
      sha256(repeatElement(UInt8(ascii: "a"), count: 1_000_000))
        == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  /// The padding takes one block or two, depending on the length; however the message is cut, its digest is one.
  @Test func sha256DependsOnTheMessageAlone() {
    var random = SplitMix64(seed: 1)
    for length in [1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 128] {
      let message = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
      let cut = Int.random(in: 0...length, using: &random)
      var hash = SHA256()
      hash.update(message[..<cut])
      hash.update(message[cut...])
      #expect(hexadecimal(hash.finalize()) == sha256(message))
    }
  }

  /// `spec/ncz-v1.md` §3.1 by hand: the values 1 and 2 are `00 00 80 3F 00 00 00 40`; their CRC-32 is 0x2E3FA576, so
  /// the message is `float32[2]`, a line feed, `76 A5 3F 2E`, and
  /// `printf 'float32[2]\n\x76\xa5\x3f\x2e' | sha256sum` gives the digest.
  @Test func tensorDigestIsTheSpecifiedOne() throws {
    let values = bytes(hexadecimal: "0000803F 00000040")
    let digest = Digest(values, .float32, [2])
    #expect("\(digest)" == "c8bfc67fb95745a1f8777c0f8ee920e9d179143e720857015d41114fba3abb1c")
    #expect(Digest("\(digest)") == digest)
  }

  /// `printf 'int8[0]\n' | sha256sum`: an empty tensor has no pieces.
  @Test func emptyTensorHasADigest() {
    #expect("\(Digest([], .int8, [0]))" == "34a3ce9a783f8865109c1f61747dab1a099ea539198bd3635327da54fe2df187")
  }

  /// §3.2 by hand: `printf 'container hdf5 11\n\xc2\x41\x24\x35w\n'`, the 32 bytes of the digest above, `| sha256sum`;
  /// the remaining bytes are `abc`, whose CRC-32 is 0x352441C2.
  @Test func fileDigestIsTheSpecifiedOne() {
    let tensor = Digest(bytes(hexadecimal: "0000803F 00000040"), .float32, [2])
    let digest = Digest(container: ("hdf5", 11, [0x3524_41C2]), tensors: [("w", tensor)])
    #expect("\(digest)" == "271fbb457442118a5bf17a3f75f9918d143c21153d761bbf80f5793675594aaa")
  }

  @Test func digestDependsOnTypeShapeAndEveryByteButNotOnThreads() {
    let values = [UInt8](repeating: 1, count: Digest.piece + 8)
    let digest = Digest(values, .int8, [values.count])
    #expect(Digest(values, .int8, [values.count], threads: 2) == digest)
    #expect(Digest(values, .uint8, [values.count]) != digest)
    #expect(Digest(values, .int8, [1, values.count]) != digest)
    for position in [0, Digest.piece - 1, Digest.piece, values.count - 1] {
      var changed = values
      changed[position] ^= 0x80
      #expect(Digest(changed, .int8, [values.count]) != digest)
    }
  }

  @Test(arguments: [
    "", "0", String(repeating: "0", count: 63), String(repeating: "0", count: 65), String(repeating: "A", count: 64),
    String(repeating: "0", count: 63) + "g", String(repeating: "0", count: 63) + "é",
  ])
  func onlySixtyFourLowerCaseDigitsAreADigest(text: String) {
    #expect(Digest(text) == nil)
  }
}

extension Digest {
  fileprivate init(_ values: [UInt8], _ type: ElementType, _ dimensions: [Int], threads: Int = 1) {
    self = values.withUnsafeBytes {
      Digest(values: $0, type: type, shape: Shape(dimensions)!, threads: Threads(threads))
    }
  }
}
