// SPDX-License-Identifier: Apache-2.0

import Codecs
import Matrices
import Parallel
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks

/// Weights that a seed gives, as a step hands them to the writer.
@Suite("Seeded weights in files")
struct SeededWritingTests {
  /// [inputs, outputs].
  private static let shape = [70, 33]

  private static func matrix(_ group: ScaleGroup = .tensor) -> SeededMatrix {
    let scales = (0..<group.count(rows: 33, columns: 70)).map { Double($0 % 8 + 1) / 4 }
    let trits = TernarySeed(seed: 0x0123_4567_89AB_CDEF, threshold: 3277)!
    return SeededMatrix(rows: 33, columns: 70, group: group, trits: trits, scales: scales)!
  }

  /// A `.ncz` file whose kernel is such a matrix, made of one of zeros.
  private func written(_ matrix: SeededMatrix, _ options: WritingOptions = .init(hasContainer: false)) throws
    -> OpenFile
  {
    let network = Network(
      nodes: [.init(.input(shape: [70]), inputs: []), .init(.dense(kernel: "k/kernel", bias: nil), inputs: [0])],
      outputs: [1])
    let source = try plainNetwork(network, [("k/kernel", Self.shape, [Float](repeating: 0, count: 70 * 33))])
    return try rewritten(source, options) { _ in .weights(.seeded(matrix, transposed: true)) }
  }

  /// A file with other values where `change` says so.
  private func rewritten(
    _ file: OpenFile, _ options: WritingOptions, _ change: (TensorRecord) -> NewValues?
  ) throws -> OpenFile {
    let result = try OpenFile()
    try withNetwork(file) { file in
      _ = try result.with { output, _ in
        try file.write(to: output, options) { index, put in
          try put(
            change(file.tensors[index]).map {
              let step = Step(tool: "nc-test", version: "1", options: "--seed")
              return Change(values: $0, entry: HistoryEntry(step, from: nil, error: nil))
            })
        }
      }
    }
    return result
  }

  private func expected(_ matrix: SeededMatrix, _ type: ElementType = .float32) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 70 * 33 * type.byteCount)
    bytes.withUnsafeMutableBytes {
      decode(TernaryMatrix(matrix, threads: Threads(1)), type: type, transposed: true, into: $0, threads: Threads(1))
    }
    return bytes
  }

  @Test(arguments: [ScaleGroup.tensor, .row, .inputs(7)], [false, true])
  func areReadAsTheyWereWritten(_ group: ScaleGroup, isMapped: Bool) throws {
    let matrix = Self.matrix(group)
    let file = try written(matrix, .init(isMapped: isMapped, hasContainer: false))
    try withNetwork(file) { network in
      let tensor = try #require(network.tensors.first)
      #expect(tensor.encoding == .seeded(matrix.trits, group) && tensor.encoding.name == "seeded")
      #expect(try network.weights(of: 0) == .seeded(matrix, transposed: true))
      #expect(try network.values(of: 0) == expected(matrix))
      try network.forEachPiece(of: 0, checkingDigest: true) { _ in }
      // Front to back, a few bytes at a time.
      let stream = try ValueStream(network, 0)
      var bytes = [UInt8](repeating: 0, count: tensor.size)
      try bytes.withUnsafeMutableBytes { all in
        for start in stride(from: 0, to: all.count, by: 1001) {
          try stream.read(into: .init(rebasing: all[start..<min(all.count, start + 1001)]))
        }
      }
      #expect(bytes == expected(matrix))
    }
    // The scales alone are stored.
    #expect(try file.bytes.count < 1200 + 4 * matrix.scales.count)
  }

  /// Of `spec/ncz-v1.md` §4.8.
  @Test func digestOfTheText() throws {
    let trits = try #require(TernarySeed(seed: 0x0123_4567_89AB_CDEF, threshold: 1 << 14))
    let matrix = try #require(SeededMatrix(rows: 300, columns: 784, group: .tensor, trits: trits, scales: [1]))
    let shape = try #require(Shape([300, 784]))
    let digest = NewValues.weights(.seeded(matrix, transposed: false)).digest(
      type: .float32, shape: shape, threads: Threads(1))
    #expect("\(digest)" == "396ab4e600ed9abd14e89e5d66680579")
  }

  @Test func areCarriedIntoAnotherKindOfFile() throws {
    let file = try written(Self.matrix(.row))
    var before = file
    for isMapped in [false, true, false] {
      before = try rewritten(before, .init(isMapped: isMapped, hasContainer: false)) { _ in nil }
      let weights = try withNetwork(before) { try $0.weights(of: 0) }
      #expect(weights == .seeded(Self.matrix(.row), transposed: true))
    }
    #expect(try before.bytes == file.bytes)
  }

  /// Whoever declares more than a reader takes is refused before anything is drawn, for any tensor of the file.
  @Test func countInFull() throws {
    let size = 70 * 33 * 4
    for (memory, output, isRead) in [
      (size, size, true), (size - 1, size, false), (size, size - 1, false),
    ] as [(Int, Int, Bool)] {
      let options = ReadingOptions(memory: memory, threads: Threads(1), output: output)
      try written(Self.matrix()).with { file, bytes in
        let network = try NetworkFile(file, size: bytes, options: options)
        if isRead {
          let values = try network.values(of: 0)
          return #expect(values.count == size)
        }
        let error = #expect(throws: NetworkError.self) { try network.weights(of: 0) }
        #expect(error?.verdict == .overLimit)
      }
    }
  }
}
