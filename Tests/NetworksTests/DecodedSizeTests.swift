// SPDX-License-Identifier: Apache-2.0

import Codecs
import Tensors
import Testing

@testable import Networks

@Suite("Decoded sizes")
struct DecodedSizeTests {
  /// A matrix without weights has no scales, and no factors, however many rows or columns it has.
  @Test(
    arguments: [
      .ternary(.row), .sparseSigns(.gaps, .row), .ternary(.inputs(1)), .lowRank(singularValues: []),
      .levels(.init(.grid(.row, exceptions: 0))), .seeded(TernarySeed(seed: 1, threshold: 1)!, .row),
    ] as [Networks.Encoding])
  func nothingTakesNothing(encoding: Networks.Encoding) throws {
    for dimensions in [[1 << 30, 0], [0, 1 << 30]] {
      let record = TensorRecord(
        name: "a", aliases: [], type: .float32, byteOrder: .little, shape: try #require(Shape(dimensions)),
        role: .kernel, axes: .standard(rank: 2), encoding: encoding, parts: [], history: [])
      #expect(record.size == 0 && record.decodedSize == 0)
    }
  }

  /// Scales may be more than the weights: what is decoded counts, not what the shape says.
  @Test(
    arguments: [
      .ternary(.row), .sparseSigns(.gaps, .row), .ternary(.inputs(1)),
      .seeded(TernarySeed(seed: 1, threshold: 1)!, .row),
    ] as [Networks.Encoding])
  func scalesCount(encoding: Networks.Encoding) throws {
    let record = TensorRecord(
      name: "a", aliases: [], type: .float16, byteOrder: .little, shape: try #require(Shape([1 << 30, 1])),
      role: .kernel, axes: .standard(rank: 2), encoding: encoding, parts: [], history: [])
    #expect(record.size == 2 << 30 && record.decodedSize == (8 + 1) << 30)
  }

  @Test func factorsCount() throws {
    let record = TensorRecord(
      name: "a", aliases: [], type: .float16, byteOrder: .little, shape: try #require(Shape([1000, 1000])),
      role: .kernel, axes: .outputsLast(), encoding: .lowRank(singularValues: [Double](repeating: 1, count: 1000)),
      parts: [], history: [])
    #expect(record.decodedSize == 8_000_000)
  }

  /// Axes decide how many rows there are, and so how many scales. What is in neither order is copied into the tensor's:
  /// matrix and tensor are in memory at once.
  @Test func axesCount() throws {
    var record = TensorRecord(
      name: "a", aliases: [], type: .float32, byteOrder: .little, shape: try #require(Shape([10, 20, 30])),
      role: .convolution, axes: .standard(rank: 3), encoding: .ternary(.row), parts: [], history: [])
    // A row of 30 codes takes 8 bytes.
    #expect(record.decodedSize == 200 * (8 + 8))
    record.axes = .outputsLast(2, rank: 3)
    #expect(record.decodedSize == 600 * (3 + 8))
    record.axes = try #require(MatrixAxes(order: [1, 0, 2], outputs: 1))
    #expect(record.decodedSize == 20 * (75 + 8) + 2 * 4 * 6000)
    record.encoding = .raw(planes: false)
    #expect(record.decodedSize == 4 * 6000)
  }
}
