// SPDX-License-Identifier: Apache-2.0

import Compression
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks
@testable import Transforms

@Suite("Compressing")
struct CompressingTests {
  /// Training state inside an object header cannot be replaced: it stays, and the rest of it becomes zero.
  @Test func trainingStateInAnObjectHeaderStays() throws {
    let source = try OpenFile(Fixtures.folder.appending("networks/compact_optimizer.h5"))
    let packed = try OpenFile()
    let values = try withNetwork(source) { file in
      _ = try packed.with { output, _ in
        try file.apply(
          .ternarize(.row, .optimal), to: output,
          CompressingOptions(
            selection: Selection(except: ["*"]), dropsOptimizer: true, writing: WritingOptions(), tool: "nc-ternarize",
            version: "0"))
      }
      return try file.tensors.indices.map { try file.values(of: $0) }
    }
    try withNetwork(packed) { file in
      for (index, tensor) in file.tensors.enumerated() {
        let isDropped = tensor.name == "optimizer/vars/0"
        #expect(tensor.history.isEmpty != isDropped, "\(tensor.name)")
        let found = try file.values(of: index)
        #expect(found == (isDropped ? [UInt8](repeating: 0, count: tensor.size) : values[index]), "\(tensor.name)")
      }
      #expect(file.tensors.map(\.role).count { $0 == .optimizer } == 2)
    }
  }
}
