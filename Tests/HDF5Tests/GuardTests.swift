// SPDX-License-Identifier: Apache-2.0

import Glibc
import HDF5
import Random
import SystemPackage
import Tensors
import Testing

@Suite struct GuardTests {
  @Test func aCrashOfLibhdf5IsAVerdictOnTheFile() throws {
    let error = #expect(throws: HDF5Error.self) { try contents("crash.h5", texts: ["*"]) }
    // A sanitizer makes an exit of the signal.
    let verdicts = ["libhdf5 died by signal 11 on this file", "libhdf5 ended on this file (status 1)"]
    #expect(verdicts.map { HDF5Error.corrupt($0) }.contains(error))
  }

  @Test func whatIsNotHDF5OrCutShortIsCorrupt() throws {
    let file = try FileDescriptor.open(files.appending("filters.h5"), .readOnly)
    let whole = try bytes(of: file)
    for count in [0, 1, 8, 96, 2048, whole.count - 1] {
      let cut = try temporaryFile(Array(whole.prefix(count)))
      defer { try? cut.close() }
      let error = #expect(throws: HDF5Error.self) { _ = try openSession(cut) }
      guard case .corrupt = error else {
        Issue.record("\(count) bytes: \(String(describing: error))")
        continue
      }
    }
  }

  @Test func timeAndMemoryAreLimited() throws {
    let file = try FileDescriptor.open(files.appending("filters.h5"), .readOnly)
    defer { try? file.close() }
    let noTime = #expect(throws: HDF5Error.self) {
      _ = try openSession(file, limits: Limits(memory: 1 << 30, seconds: 1e-6))
    }
    guard case .overTime = noTime else {
      Issue.record("\(String(describing: noTime))")
      return
    }

    let tooLittle = HDF5Error.overMemory(
      "libhdf5 needs 67108864 bytes of memory, the limit is 67108863")
    #expect(throws: tooLittle) {
      _ = try openSession(file, limits: Limits(memory: Limits.minMemory - 1, seconds: 10))
    }
    var session = try openSession(file, limits: Limits(memory: Limits.minMemory, seconds: 10))
    let address = try session.tableOfContents(texts: []).object("all").address
    let noMemory = #expect(throws: HDF5Error.self) { try session.values(ofDatasetAt: address, byteCount: 1 << 27) }
    guard case .overMemory = noMemory else {
      Issue.record("\(String(describing: noMemory))")
      return
    }
  }

  @Test(arguments: [
    ("external", Layout.external), ("virtual", .virtual), ("unknown", .chunked(dimensions: [4], chunks: [])),
  ])
  func valuesElsewhereAreListedAndNeverRead(_ name: String, _ layout: Layout) throws {
    let file = try FileDescriptor.open(files.appending("elsewhere.h5"), .readOnly)
    defer { try? file.close() }
    var session = try openSession(file)
    let table = try session.tableOfContents(texts: [])
    #expect(try table.dataset(name).layout == layout)
    let address = try table.object(name).address
    let error = #expect(throws: HDF5Error.self) { try session.values(ofDatasetAt: address, byteCount: 4) }
    guard case .unsupported = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func anObjectOfANewerVersionDoesNotHideTheOthers() throws {
    let table = try contents("newer.h5")
    #expect(try table.object("new").kind == .unreadable("data layout message version 5; versions 1 to 4 are known"))
    #expect(try table.dataset("old").dimensions == [3])
  }

  @Test func aFileThatIsNotWritableStaysAsItIs() throws {
    let file = try temporaryFile(bytes(of: FileDescriptor.open(files.appending("filters.h5"), .readOnly)))
    defer { try? file.close() }
    var session = try openSession(file)
    let address = try session.tableOfContents(texts: []).object("all").address
    #expect(throws: HDF5Error.self) {
      try session.replaceChunks(
        ofDatasetAt: address, with: [EncodedChunk(origin: [0, 0], filterMask: 0, bytes: [1, 2, 3])])
    }
    #expect(try bytes(of: file) == bytes(of: FileDescriptor.open(files.appending("filters.h5"), .readOnly)))
  }

  /// Any answer but a value or a typed error would end this test's process.
  @Test func damagedFilesEndInAValueOrATypedError() throws {
    var random = SplitMix64(seed: 5)
    for name in ["structure.h5", "filters.h5", "attributes.h5", "newer.h5"] {
      let sound = try bytes(of: FileDescriptor.open(files.appending(name), .readOnly))
      for _ in 0..<15 {
        var damaged = sound
        for _ in 0..<Int.random(in: 1...16, using: &random) {
          damaged[Int.random(in: 0..<damaged.count, using: &random)] = .random(in: 0...255, using: &random)
        }
        let file = try temporaryFile(damaged)
        defer { try? file.close() }
        do { try readEverything(file) } catch is HDF5Error {}
      }
    }
  }

  /// Walks through the folder `NC_INPUTS`, where there is one.
  @Test func furtherFilesEndInAValueOrATypedError() throws {
    guard let folder = getenv("NC_INPUTS").map({ FilePath(String(cString: $0)) }), !folder.isEmpty else {
      print("HDF5Tests: NC_INPUTS is not set: further files skipped (1 case)")
      return
    }
    var counts: [String: Int] = [:]
    for path in hdf5Files(in: folder) {
      let file = try FileDescriptor.open(path, .readOnly)
      defer { try? file.close() }
      let verdict: String
      do {
        try readEverything(file, maxBytes: 1 << 20)
        verdict = "read"
      } catch let error as HDF5Error {
        switch error {
        case .corrupt: verdict = "corrupt"
        case .unsupported: verdict = "unsupported"
        case .overMemory, .overTime, .overLimit: verdict = "over a limit"
        case .io: verdict = "io"
        }
      }
      #expect(verdict != "io", "\(path)")
      counts[verdict, default: 0] += 1
    }
    print("HDF5Tests: \(counts)")
    #expect(counts["read", default: 0] > 0)
  }
}

/// Reads the table of contents and all values of at most `maxBytes`.
private func readEverything(_ file: FileDescriptor, maxBytes: Int = .max) throws {
  var session = try openSession(file)
  let table = try session.tableOfContents(texts: ["*"])
  for object in table.objects {
    guard case .dataset(let dataset) = object.kind, dataset.type.isScalar, case .chunked = dataset.layout,
      let dimensions = dataset.dimensions
    else { continue }
    let count = dimensions.contains(0) ? 0 : Int(dimensions.reduce(1, *)) * dataset.type.size
    guard count <= maxBytes else { continue }
    do throws(HDF5Error) {
      let values = try session.values(ofDatasetAt: object.address, byteCount: count)
      #expect(values.count == count)
      _ = try session.reencodesExactly(datasetAt: object.address)
    } catch {
      guard case .unsupported = error else { throw error }
    }
  }
  try session.close()
}

private func hdf5Files(in folder: FilePath) -> [FilePath] {
  guard let directory = opendir(folder.string) else { return [] }
  defer { closedir(directory) }
  var found: [FilePath] = []
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name == "." || name == ".." { continue }
    let path = folder.appending(name)
    if ["h5", "hdf5"].contains(path.extension) { found.append(path) } else { found += hdf5Files(in: path) }
  }
  return found.sorted { $0.string < $1.string }
}
