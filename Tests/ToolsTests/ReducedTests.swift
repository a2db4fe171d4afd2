// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks

/// `nc-restore --shape reduced`, as a shell sees it. The working folder has `net.h5`, of whose layer `fc1` the first
/// ten of 64 units are not used, and `net.ncz` made from it.
@Suite("Smaller files by the tools")
struct ReducedTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    var bytes = try contents(of: Fixtures.folder.appending("networks/digits_relu.h5"))
    let run = try withNetwork(OpenFile(bytes)) { file in
      let kernel = try #require(file.tensors.first { $0.name == "fc2/kernel" })
      guard case .contiguous(let run) = kernel.place else { throw Errno.badAddress }
      return run
    }
    // Inputs × outputs: ten rows of 32 floats.
    for offset in run.offset..<(run.offset + 10 * 32 * 4) { bytes[offset] = 0 }
    try write(bytes, to: folder / "net.h5")
    try #require(try shell("nc-ternarize -q --except '*' net.h5 net.ncz", in: folder).status == 0)
  }

  @Test func theSummaryNamesWhatWasRemoved() throws {
    let run = try shell("nc-restore --shape reduced net.ncz small.h5", in: folder)
    #expect(run.status == 0 && run.output.isEmpty)
    #expect(run.diagnostics.contains("training state is left out"))
    #expect(run.diagnostics.hasSuffix(" kB, removed 10 of 64 nodes of fc1\n"))
    let again = try shell("nc-restore -q --shape reduced net.h5 | cmp - small.h5 && nc-info small.h5", in: folder)
    #expect(again.status == 0 && again.diagnostics.isEmpty, "the same from HDF5, through a pipe")
    #expect(
      String(decoding: again.output, as: UTF8.self).contains("network: 64 → fc1 → relu → fc2 → relu → fc3 → softmax"))
    let twice = try shell("nc-restore --shape reduced small.h5 | cmp - small.h5", in: folder)
    #expect(twice.status == 0 && twice.diagnostics.hasSuffix("no node can be removed\n"))
  }

  @Test func thePlainLayoutToo() throws {
    let run = try shell("nc-restore -q --layout plain --shape reduced net.ncz | nc-info", in: folder)
    #expect(run.status == 0 && run.diagnostics.isEmpty)
    #expect(String(decoding: run.output, as: UTF8.self).contains("64×54"))
  }

  @Test(
    arguments: [
      (0, "nc-restore -n --shape reduced net.ncz"), (0, "nc-restore --shape source net.ncz o"),
      (64, "nc-restore --shape smaller net.ncz o"),
      (65, "head -c 9000 net.h5 > cut; nc-restore --shape reduced cut o"),
      (69, "nc-restore --shape reduced unknown.h5 o"), (69, "nc-restore --layout plain --shape reduced unknown.h5 o"),
      (73, "nc-restore --shape reduced net.ncz net.h5"), (74, "nc-restore --shape reduced net.ncz > /dev/full"),
      (75, "nc-restore --memory 1k --shape reduced net.ncz o"),
    ] as [(Int32, String)])
  func statusSaysWhatHappened(status: Int32, line: String) throws {
    let unknown = Fixtures.folder.appending("networks/digits.odd_values_and_shapes.h5")
    try write(contents(of: unknown), to: folder / "unknown.h5")
    let run = try shell(line, in: folder)
    #expect(run.status == status, "\(line): \(run.diagnostics)")
    #expect(status == 0 || !names(in: folder.path).contains("o"))
  }
}
