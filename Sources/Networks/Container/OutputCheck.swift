// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HDF5
internal import NCZ
package import SystemPackage
internal import Tensors

// What was written is read again before it counts: by the way any reader goes, not by what the writer remembers.

/// Looks at what was written, and where it needs it at what was restored of it.
package typealias RestorationCheck =
  (_ written: NetworkFile, _ restored: () throws(NetworkError) -> NetworkFile) throws(NetworkError) -> Void

extension NetworkFile {
  /// Checks a `.ncz` file made from this one: its directory, every block against its CRC-32, and that the source file
  /// can be restored: the container is refilled, libhdf5 opens it, and finds the objects that the directory names and
  /// that this file has.
  ///
  /// Values of tensors that only have to be put back into their place are not decoded, and are zeros in the refilled
  /// container: where they lie on top of HDF5's own structures, these are found to be gone. Chunks of changed tensors
  /// are encoded and stored, as they may need more room than there was. Of a `.ncz`, whoever made it, all chunks are,
  /// and values that the container has as well must be the same there.
  ///
  /// - Parameters:
  ///   - file: reads like the output; of `size` bytes.
  ///   - isWhole: whether `file` is the output, and not a mirror without the payloads that are not needed here.
  ///   - check: is asked as well, with what was written and what was restored of it.
  func checkWritten(
    _ file: FileDescriptor, size: Int, isWhole: Bool, and check: RestorationCheck = { _, _ in }
  ) throws(NetworkError) {
    do throws(NetworkError) {
      let written = try NetworkFile(file, size: size, options: options)
      guard case .ncz(let source) = written.source else { throw NetworkError(.corrupt, "is no .ncz file") }
      if isWhole { try about { try source.reader.checkBlocks() } }
      guard source.directory.container != nil else { return }
      let scratch = try temporaryFile()
      defer { try? scratch.close() }
      let restored = try written.restoreStructure(to: scratch, kind == .ncz ? .structure : .changedStructure)
      switch self.source {
      case .hdf5(let own):
        guard case .hdf5(let others) = restored.source else { break }
        if own.containerKind == .keras { try KerasArchive(own.file, size: self.size).checkBytes(of: own.file) }
        let changed = Set(written.tensors.filter { !$0.history.isEmpty }.compactMap(\.path))
        try own.contents.compare(with: others.contents, exceptChunksOf: changed)
      case .ncz:
        try written.checkTwins(in: restored)
        if restored.kind == .keras { try checkArchive(restored, scratch, isChanged: written.isChanged) }
      }
      try check(written) { () throws(NetworkError) in
        try NetworkFile(scratch, size: restored.size, options: options)
      }
    } catch {
      throw error.verdict == .output || error.verdict == .io
        ? error : error.saying("what was made of it could not be restored: \(error.message)")
    }
  }

  /// Refills the container but for values that only have to be put into their place, opens it, and compares the objects
  /// in it with the directory.
  package func restoreStructure(to scratch: FileDescriptor, _ content: RestoredContent) throws(NetworkError)
    -> NetworkFile
  {
    let size = try restore(to: scratch, content)
    let restored: NetworkFile
    var options = options
    options.findsLayers = false
    do throws(NetworkError) {
      restored = try about("container") { try NetworkFile(scratch, size: size, options: options) }
    } catch {
      // What could be read in the source, and no longer without values, was among them.
      throw error.verdict == .unsupported && content == .changedStructure
        ? error.saying(error.message, .corrupt) : error
    }
    guard case .ncz(let source) = self.source, let container = source.directory.container,
      case .hdf5(let hdf5) = restored.source, hdf5.containerKind == container.kind, hdf5.offset == container.offset
    else { throw NetworkError(.corrupt, "the container is of another kind, or has its HDF5 file elsewhere") }
    var found: [TensorName: TensorRecord] = [:]
    for tensor in restored.tensors {
      for path in tensor.paths { found[path] = tensor }
    }
    for tensor in tensors {
      for path in tensor.paths {
        guard let other = found[path] else {
          throw NetworkError(.corrupt, "\(tensor.name): the container has no dataset /\(path) of numbers")
        }
        if let difference = tensor.difference(from: other) {
          throw NetworkError(.corrupt, "\(tensor.name): the dataset /\(path) in the container has \(difference)")
        }
      }
    }
    return restored
  }

  fileprivate var isChanged: Bool { tensors.contains { !$0.history.isEmpty } }

  /// Checks the values that the container has as well as the tensors: in object headers and chunks that were kept; and
  /// those in chunks that were encoded anew, as the container says how, and which of them are stored.
  package func checkTwins(in restored: NetworkFile) throws(NetworkError) {
    guard try firstOtherTwin(in: restored) != nil else { return }
    // Contiguous values may lie where libhdf5 looks for chunks, and are zeros so far.
    let whole = try temporaryFile()
    defer { try? whole.close() }
    let size = try restore(to: whole, .everything)
    guard let other = try firstOtherTwin(in: NetworkFile(whole, size: size, options: restored.options)) else { return }
    throw NetworkError(.corrupt, "\(other.name): the container has other values at /\(other.path ?? other.name)")
  }

  /// The first tensor of which the container has other values.
  private func firstOtherTwin(in restored: NetworkFile) throws(NetworkError) -> TensorRecord? {
    guard case .hdf5(let source) = restored.source else { return nil }
    var indices: [TensorName: Int] = [:]
    for (index, tensor) in restored.tensors.enumerated() {
      for path in tensor.paths { indices[path] = index }
    }
    for tensor in tensors where tensor.size > 0 && !tensor.isContiguous {
      guard let path = tensor.path, let digest = tensor.digest, let index = indices[path],
        source.roundingFilters(of: restored.tensors[index]).isEmpty
      else { continue }
      let found = try restored.withValues(of: index) {
        Digest(values: $0, type: tensor.type, shape: tensor.shape, threads: options.threads)
      }
      if found != digest { return tensor }
    }
    return nil
  }

  /// Checks the CRC-32 of all members; that of changed weights is set when they are restored.
  private func checkArchive(
    _ restored: NetworkFile, _ scratch: FileDescriptor, isChanged: Bool
  ) throws(NetworkError) {
    var (file, size) = (scratch, restored.size)
    let whole = isChanged ? nil : try temporaryFile()
    defer { try? whole?.close() }
    if let whole { (file, size) = (whole, try restore(to: whole, .everything)) }
    try KerasArchive(file, size: size).checkBytes(of: file, exceptWeights: isChanged)
  }
}

extension TensorRecord {
  fileprivate var isContiguous: Bool { if case .contiguous = place { true } else { false } }

  /// What the dataset of a tensor has otherwise than the directory says; `nil` where they agree.
  fileprivate func difference(from dataset: TensorRecord) -> String? {
    if dataset.type != type { return "type \(dataset.type.rawValue), expected \(type.rawValue)" }
    if dataset.byteOrder != byteOrder { return "\(dataset.byteOrder.rawValue)-endian values" }
    if dataset.shape != shape { return "shape \(dataset.shape), expected \(shape)" }
    switch (place, dataset.place) {
    case (nil, nil): return nil
    case (.contiguous(let run), .contiguous(let found)) where run == found: return nil
    case (.chunked(let address, let chunks, let isKept), .chunked(let foundAddress, let found, _))
    where address == foundAddress && (!history.isEmpty || !isKept || chunks == found):
      return nil
    default: return "its values elsewhere"
    }
  }
}

extension TableOfContents {
  /// Compares what a file holds with what is left in one that was restored without its values.
  ///
  /// - Parameter changed: datasets whose chunks may have moved.
  fileprivate func compare(
    with other: TableOfContents, exceptChunksOf changed: Set<TensorName>
  ) throws(NetworkError) {
    func fail(_ path: TensorName) -> NetworkError {
      NetworkError(.corrupt, "/\(path): described by bytes that are also the values of a dataset")
    }
    for (object, found) in zip(objects, other.objects) {
      var (object, found) = (object, found)
      let path = object.paths.first ?? ""
      if changed.contains(path) {
        object.forgetChunks()
        found.forgetChunks()
      }
      guard object == found else { throw fail(path) }
    }
    guard objects.count == other.objects.count, links == other.links, userBlock == other.userBlock else {
      throw fail("")
    }
  }
}

extension Object {
  fileprivate mutating func forgetChunks() {
    guard case .dataset(var dataset) = kind, case .chunked(let dimensions, _) = dataset.layout else { return }
    dataset.layout = .chunked(dimensions: dimensions, chunks: [])
    kind = .dataset(dataset)
  }
}

/// Whether what is written to a file from here on can be read back: a regular file at its beginning, open for both.
func isReadable(_ file: FileDescriptor) -> Bool {
  var status = stat()
  guard fstat(file.rawValue, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
  return fcntl(file.rawValue, F_GETFL) & O_ACCMODE == O_RDWR && lseek(file.rawValue, 0, SEEK_CUR) == 0
}
