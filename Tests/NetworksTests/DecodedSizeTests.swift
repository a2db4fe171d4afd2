// SPDX-License-Identifier: Apache-2.0

import Tensors
import Testing

@testable import Networks

@Suite("Decoded sizes")
struct DecodedSizeTests {
  /// A matrix without elements may have any number of scales: what is decoded counts, not what the shape says.
  @Test(arguments: [Encoding.ternary(.row), .sparseSigns(.row), .ternary(.inputs(1))])
  func scalesOfNothingCount(encoding: Encoding) throws {
    let record = TensorRecord(
      name: "a", aliases: [], type: .float32, byteOrder: .little, shape: try #require(Shape([1 << 30, 0])),
      role: .kernel,
      isTransposed: false, encoding: encoding, parts: [], history: [])
    #expect(record.size == 0 && record.decodedSize >= 8 << 30)
  }

  @Test func factorsCount() throws {
    let record = TensorRecord(
      name: "a", aliases: [], type: .float16, byteOrder: .little, shape: try #require(Shape([1000, 1000])),
      role: .kernel,
      isTransposed: true, encoding: .lowRank(singularValues: [Double](repeating: 1, count: 1000)), parts: [],
      history: [])
    #expect(record.decodedSize == 8_000_000)
  }
}
