// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks

/// Two datasets whose names Unicode calls equal, and bytes do not.
@Suite("Names that only look alike")
struct NameTests {
  private let folder = try! TemporaryFolder()

  private func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }

  @Test(arguments: ["compact", "types"]) func areTwoTensorsOnEveryWay(kind: String) throws {
    let source = Fixtures.folder.appending("networks/names_nfc_nfd.\(kind).h5")
    let run = try shell(
      """
      set -e
      nc-ternarize -q '\(source)' a.ncz
      nc-prune -q --keep .5 a.ncz b.ncz
      nc-info --test -q b.ncz
      nc-restore -q b.ncz b.h5
      nc-restore -q --layout plain b.ncz plain.h5
      nc-ternarize -q plain.h5 plain.ncz
      nc-verify -q '\(source)' b.ncz
      """, in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
    for path in [
      source, folder / "a.ncz", folder / "b.ncz", folder / "b.h5", folder / "plain.h5", folder / "plain.ncz",
    ] {
      try withNetwork(OpenFile(path)) { file in
        for (name, value, type) in [
          ("\u{E9}", 1.0, ElementType.float32),
          ("e\u{301}", 2.0, kind == "types" ? .float64 : .float32),
        ] {
          let index = try #require(file.tensors.firstIndex { $0.name == TensorName(name) }, "\(path)")
          #expect(file.tensors[index].type == type)
          let one = type == .float32 ? bytes(Float(value).bitPattern) : bytes(value.bitPattern)
          #expect(try file.values(of: index) == one + one + one + one)
        }
      }
    }
    #expect(try contents(of: folder / "b.h5") == contents(of: source))
  }
}
