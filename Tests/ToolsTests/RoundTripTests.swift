// SPDX-License-Identifier: Apache-2.0

import Measures
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import NCZ
@testable import Networks

/// Networks that come with the project, and those of the folder that the environment variable `NC_INPUTS` names.
enum Inputs {
  static let further: [FilePath] = {
    guard let folder = environment("NC_INPUTS").map({ FilePath($0) }), !folder.isEmpty else { return [] }
    return ["keras", "keras_variants", "torch", "dialects", "thirdparty"].flatMap {
      networks(below: folder.appending($0))
    }
  }()

  private static func networks(below folder: FilePath) -> [FilePath] {
    Fixtures.files(in: folder, extensions: ["h5", "hdf5", "keras"])
      + names(in: folder).flatMap { networks(below: folder.appending($0)) }
  }

  /// Networks of which a dense matrix cannot be read: in another file, behind a filter of a plugin, in a layout of a
  /// later day.
  static func isRefused(_ path: FilePath) -> Bool {
    let refused = ["external_raw", "virtual", "filters_zstd_blosc_plugin", "libver_latest"]
    return refused.contains { path.stem?.hasSuffix(".\($0)") ?? false }
  }
}

@Suite("Round trips by the tools")
struct RoundTripTests {
  private let folder = try! TemporaryFolder()

  @Test(arguments: Fixtures.networks) func aFixtureComesBack(path: FilePath) throws { try roundTrip(path) }

  @Test(
    .enabled(
      if: !Inputs.further.isEmpty, "NC_INPUTS names no folder of further networks: their round trips are skipped"),
    arguments: Inputs.further.filter { !Inputs.isRefused($0) })
  func aFurtherNetworkComesBack(path: FilePath) throws { try roundTrip(path) }

  /// What cannot be read is not changed, and said; asked to leave it alone, the tools carry it.
  @Test(
    .enabled(if: !Inputs.further.isEmpty, "NC_INPUTS names no folder of further networks: refusals are not tested"),
    arguments: Inputs.further.filter(Inputs.isRefused))
  func aMatrixThatCannotBeReadIsRefusedOrCarried(path: FilePath) throws {
    let run = try shell("nc-ternarize '\(path)' refused.ncz", in: folder)
    #expect(run.status == 69 && run.diagnostics.contains("--except"), "\(run.diagnostics)")
    try carry(path)
  }

  /// A file of MATLAB 7.3 is HDF5 behind a user block that says so.
  @Test func aMATLABFileComesBack() throws {
    var bytes = try contents(of: Fixtures.folder.appending("networks/digits.compact_userblock.h5"))
    let text = Array("MATLAB 7.3 MAT-file, Platform: GLNXA64".utf8)
    bytes.replaceSubrange(text.indices, with: text)
    let path = folder / "net.mat"
    try write(bytes, to: path)
    try roundTrip(path)
  }

  /// ternarize → test → restore: every byte outside the changed tensors is that of the source, and every tensor has its
  /// values.
  private func roundTrip(_ path: FilePath) throws {
    let run = try shell(
      """
      set -e
      nc-ternarize -q '\(path)' a.ncz
      nc-info --test a.ncz
      nc-restore -q a.ncz a.h5
      """, in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
    #expect(String(decoding: run.output, as: UTF8.self) == "a.ncz: sound\n")
    guard run.status == 0 else { return }
    try compare(contents(of: path), with: contents(of: folder / "a.h5"))
    try carry(path)
  }

  /// With nothing changed, every byte comes back.
  private func carry(_ path: FilePath) throws {
    let run = try shell(
      """
      set -e
      nc-ternarize -q --except '*' '\(path)' same.ncz
      nc-info --test -q same.ncz
      nc-restore -q same.ncz same.h5
      """, in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
    if run.status == 0 { #expect(try contents(of: folder / "same.h5") == contents(of: path)) }
  }

  private func compare(_ source: [UInt8], with restored: [UInt8]) throws {
    try withNetwork(OpenFile(folder / "a.ncz")) { compressed in
      try compareBytes(source, with: restored, changing: compressed.tensors.filter { !$0.history.isEmpty })
      try withNetwork(OpenFile(source)) { before in
        try withNetwork(OpenFile(restored)) { after in
          #expect(after.network == before.network)
          #expect(after.tensors.map(\.name) == before.tensors.map(\.name))
          #expect(compressed.tensors.map(\.name) == before.tensors.map(\.name))
          for (index, tensor) in compressed.tensors.enumerated() {
            let values = try after.values(of: index)
            let stored = try compressed.values(of: index)
            // A filter that rounds changes the restored values once more.
            if tensor.history.isEmpty || !before.isLossy(index) { #expect(values == stored, "\(tensor.name)") }
            if tensor.history.isEmpty { #expect(try values == before.values(of: index), "\(tensor.name)") }
          }
        }
      }
    }
  }

  private func compareBytes(_ source: [UInt8], with restored: [UInt8], changing tensors: [TensorRecord]) throws {
    // Chunks may have found another place; then only what can be read from the file tells.
    if tensors.contains(where: { if case .chunked = $0.place { true } else { false } }) { return }
    try #require(source.count == restored.count)
    var changing = tensors.flatMap { $0.place?.holes ?? [] }
    if source.starts(with: KerasArchive.signature) {
      let weights = try OpenFile(source).with { try KerasArchive($0, size: $1) }.weights
      changing += weights.crcFields.map { Place.Run(offset: $0, length: 4) }
    }
    for run in RemainingBytes(size: source.count, holes: changing.sorted { $0.offset < $1.offset }).runs {
      let bytes = run.offset..<run.end
      #expect(source[bytes] == restored[bytes], "bytes \(bytes)")
    }
  }
}

extension NetworkFile {
  /// Whether a tensor is stored behind a filter that does not give back what it was given.
  fileprivate func isLossy(_ index: Int) -> Bool {
    listing.rows[index].storage.contains("scaleoffset") && tensors[index].type.isFloat
  }
}
