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

  // MARK: Tensors

  /// `spec/ncz-v1.md` §3.1, computed with NumPy from its text: of a float32 pair `00 00 80 3F 00 00 00 40`, of nothing,
  /// of a scalar, and of bytes that are no whole words.
  @Test func tensorDigestIsTheSpecifiedOne() throws {
    let digest = Digest(bytes(hexadecimal: "0000803F 00000040"), .float32, [2])
    #expect("\(digest)" == "de93255cbeb8cd1b1fd8835b9644f411")
    #expect(Digest("\(digest)") == digest)
    #expect("\(Digest([], .int8, [0]))" == "a52a5b215d0486591e05a89b0af7472b")
    #expect("\(Digest([UInt8](repeating: 255, count: 8), .int64, []))" == "fde43bd8d649fdafa35c2d04b2af3665")
    #expect("\(Digest([1, 2, 3, 4, 5], .uint8, [5]))" == "e353b8a251261c246c0a62594c98a633")
    #expect("\(Digest([UInt8](repeating: 255, count: 4096), .uint32, [1024]))" == "e6e3189101e9775aa7319e67de365f6e")
  }

  /// Around the end of a piece of 4096 bytes, and more pieces than a thread folds at once; computed likewise.
  private static let ramps = [
    (4088, "f78dae0b6a74f1a08f9bd8a1c7504667"), (4092, "8f7a4549e684f1fc35b3110748ab75db"),
    (4096, "72d962d50adadbc526315ca84db722f3"), (4100, "a1aa5b72e341748250edffb67e92eac2"),
    (4104, "7bb870834bfe2d85f402969d734aca16"), (8192, "ed50b7d91261aadb386d6b36d2a7a648"),
    (4096 * 300 + 4092, "bc3662c9daea55b6d9faf17cd0284ed6"),
  ]

  private func ramp(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: 7 * $0 + $0 / 256) } }

  @Test(arguments: ramps) func digestsOfLongTensorsAreTheSpecifiedOnes(count: Int, digest: String) {
    for threads in [1, 2, 3] {
      #expect("\(Digest(ramp(count), .uint16, [count / 2], threads: threads))" == digest)
    }
  }

  /// However the bytes are cut, their digest is one.
  @Test(arguments: ramps) func digestsDependOnTheBytesAlone(count: Int, digest: String) throws {
    let bytes = ramp(count)
    let shape = try #require(Shape([count / 2]))
    var random = SplitMix64(seed: UInt64(count))
    for greatest in [count / 3, 9000, 4096, 100_000] {
      var folded = FoldedBytes()
      var start = 0
      while start < count {
        let end = min(count, start + Int.random(in: 0...greatest, using: &random))
        bytes[start..<end].withUnsafeBytes { folded.update($0, threads: Threads(Int.random(in: 1...2, using: &random))) }
        start = end
      }
      #expect("\(folded.digest(type: .uint16, shape: shape))" == digest)
      // Asking changes nothing.
      #expect("\(folded.digest(type: .uint16, shape: shape))" == digest)
    }
  }

  @Test func digestDependsOnTypeShapeAndEveryBit() {
    let values = ramp(4096 + 12)
    let digest = Digest(values, .int8, [values.count])
    #expect(Digest(values, .uint8, [values.count]) != digest)
    #expect(Digest(values, .int8, [1, values.count]) != digest)
    #expect(Digest(values + [0], .int8, [values.count + 1]) != digest)
    var found: Set<Digest> = [digest]
    for position in [0, 1, 2, 3, 4, 7, 8, 2048, 4088, 4092, 4095, 4096, 4100, values.count - 1] {
      for bit in 0..<8 {
        var changed = values
        changed[position] ^= 1 << UInt8(bit)
        #expect(found.insert(Digest(changed, .int8, [values.count])).inserted, "bit \(bit) of byte \(position)")
      }
    }
  }

  // MARK: Files and networks

  /// §3.2, computed with Python from its text: `w` is the float32 pair above, the remaining bytes are `abc`.
  @Test func fileDigestIsTheSpecifiedOne() throws {
    var abc = FoldedBytes()
    Array("abc".utf8).withUnsafeBytes { abc.update($0) }
    let remaining = abc.digest(containerKind: "hdf5", size: 11)
    #expect("\(remaining)" == "f560c166d3980498eb21f3731010357f")
    let container = Directory.Container(kind: .hdf5, digest: remaining, offset: 0, size: 11)

    func digests(_ tensors: [TensorRecord], _ network: Network? = nil) -> [String] {
      let directory = Directory(
        container: container, network: network, steps: [Step(tool: "t", version: "1", options: "")], tensors: tensors,
        extensions: [])
      #expect(directory.digest == directory.contentDigest())
      return ["\(directory.digest)", "\(directory.contentDigest(hasContainer: false))"]
    }
    #expect(digests([])[1] == "2d789a8e803dba29fafe501d7af1127b")
    var tensor = TensorRecord(
      name: "w", aliases: [], type: .float32, byteOrder: .little, shape: try #require(Shape([2])), role: .other,
      axes: .standard(rank: 1), encoding: .raw(planes: true), parts: [0],
      digest: Digest(bytes(hexadecimal: "0000803F 00000040"), .float32, [2]), history: [])
    let expected = ["1db2e32eb869ef5fe81d38370bbddc6e", "fb2ec956527c02be84f31959f26ff248"]
    #expect(digests([tensor]) == expected)
    // How it is stored, and where it was, is no part of it.
    (tensor.path, tensor.aliases, tensor.byteOrder, tensor.encoding) = ("a", ["b"], .big, .ternary(.row))
    (tensor.parts, tensor.place) = ([0, 1], .contiguous(.init(offset: 1, length: 8)))
    tensor.history = [HistoryEntry(Step(tool: "t", version: "1", options: ""), from: tensor.digest, error: 0.5)]
    #expect(digests([tensor]) == expected)

    (tensor.name, tensor.role, tensor.shape) = ("é", .kernel, try #require(Shape([2, 1])))
    tensor.axes = try #require(MatrixAxes(order: [1, 0], outputs: 2))
    let network = Network(
      nodes: [.init(.input(shape: nil), inputs: []), .init(.dense(kernel: "é", bias: nil), inputs: [0])], outputs: [1])
    #expect(digests([tensor], network) == ["a69792db960c68412260d0ca561d5547", "5f91a31702327a3a94ef49cfc6895ab7"])
  }

  @Test func placeholdersAreDigestsOfTheirOwn() {
    let all = Set((-1..<1000).map { "\(Digest.placeholder($0))" })
    #expect(all.count == 1001 && all.allSatisfy { Digest($0) != nil })
  }

  @Test(arguments: [
    "", "0", String(repeating: "0", count: 31), String(repeating: "0", count: 33), String(repeating: "0", count: 64),
    String(repeating: "A", count: 32), String(repeating: "0", count: 31) + "g", String(repeating: "0", count: 30) + "é",
    " " + String(repeating: "0", count: 31),
  ])
  func onlyThirtyTwoLowerCaseDigitsAreADigest(text: String) {
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
