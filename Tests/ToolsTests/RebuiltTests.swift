// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import TestSupport
import Testing

/// What `nc-restore` makes of a `.ncz` without container. The working folder has `keras.ncz`, whose source is a Keras
/// file, `torch.ncz`, whose source is none, and `whole.ncz`, which has a container.
@Suite("Files built anew by nc-restore")
struct RebuiltTests {
  private let folder: TemporaryFolder

  private static let start = Preparation(
    ["keras.h5": "networks/digits_relu.h5", "torch.h5": "networks/torch_digits.flat.h5"],
    """
    nc-ternarize -q --except '*' --container none keras.h5 keras.ncz &&
      nc-ternarize -q --except '*' --container none torch.h5 torch.ncz &&
      nc-ternarize -q --except '*' keras.h5 whole.ncz && rm keras.h5 torch.h5
    """)

  init() throws { folder = try Self.start.folder() }

  @Test(
    arguments: [
      ("keras", "", "keras.ncz: has no container: built anew as a Keras file"), ("whole", "", nil),
      (
        "torch", "",
        "built anew as plain HDF5: no Keras configuration said how its layers are connected"
      ),
      ("keras", "--layout keras", nil), ("keras", "--layout plain", nil), ("whole", "--layout container", nil),
      ("whole", "--layout keras", nil), ("keras", "--shape reduced", "built anew as a Keras file"),
      ("torch", "--shape reduced", "built anew as plain HDF5"),
    ] as [(String, String, String?)])
  func whatThereIsDecides(name: String, options: String, said: String?) throws {
    let run = try shell("nc-restore \(options) \(name).ncz o.h5 && nc-info o.h5", in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
    #expect(run.diagnostics.contains("built anew") == (said != nil))
    if let said { #expect(run.diagnostics.contains(said), "\(run.diagnostics)") }
    #expect(try shell("nc-restore -q \(options) \(name).ncz o2.h5", in: folder).diagnostics.isEmpty)
  }

  @Test(
    arguments: [
      (69, "--layout container keras.ncz", "has no container; without --layout container a new file is built"),
      (69, "--layout container --shape reduced keras.ncz", "has no container"),
      (69, "--layout keras torch.ncz", "no Keras configuration said how its layers are connected"),
      (69, "--layout keras --shape reduced torch.ncz", "no Keras configuration said how its layers are connected"),
      (64, "--layout source keras.ncz", "--layout"), (64, "o.h5", "is HDF5 already; expected .ncz"),
    ] as [(Int32, String, String)])
  func whatCannotBeIsRefused(status: Int32, line: String, said: String) throws {
    try #require(try shell("nc-restore -q keras.ncz o.h5", in: folder).status == 0)
    let run = try shell("nc-restore \(line) p.h5", in: folder)
    #expect(run.status == status && run.diagnostics.contains(said), "\(run.diagnostics)")
    #expect(!names(in: folder.path).contains("p.h5"))
  }

  /// Keras goes by the name alone.
  @Test func aNameOfAnotherKindIsTold() throws {
    let archive = Fixtures.folder.appending("networks/digits_relu.keras")
    for (source, name, said) in [
      ("whole.ncz", "o.keras", "Keras opens as *.h5 only"), ("archive.ncz", "o.h5", "Keras opens as *.keras only"),
    ] {
      let run = try shell("nc-ternarize -q -f '\(archive)' archive.ncz; nc-restore \(source) \(name)", in: folder)
      #expect(run.status == 0 && run.diagnostics.contains(said), "\(run.diagnostics)")
    }
    let run = try shell("nc-restore whole.ncz p.h5; nc-restore archive.ncz p.keras", in: folder)
    #expect(run.status == 0 && !run.diagnostics.contains("Keras opens as"), "\(run.diagnostics)")
  }

  /// Built again from what was built, it is the same file.
  @Test func aBuiltFileIsItsOwnSource() throws {
    let run = try shell(
      """
      nc-restore -q keras.ncz a.h5
      nc-ternarize -q --except '*' --container none a.h5 a.ncz && nc-restore -q a.ncz b.h5 && cmp a.h5 b.h5
      nc-restore -q --layout keras a.h5 | cmp - a.h5
      """, in: folder)
    #expect(run.status == 0 && run.diagnostics.isEmpty, "\(run.diagnostics)")
  }
}
