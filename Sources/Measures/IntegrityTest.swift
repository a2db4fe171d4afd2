// SPDX-License-Identifier: Apache-2.0

internal import HDF5
internal import NCZ
public import Networks
public import SystemPackage
internal import Tensors
internal import Transforms

extension NetworkFile {
  /// Checks every byte: for `.ncz`, padding, every block, every value against its digest, the container, and that the
  /// refilled container holds the datasets that the directory names; for HDF5, that every tensor can be read.
  ///
  /// - Parameter scratch: an empty file, open for reading and writing; used for `.ncz` with a container.
  public func test(scratch: FileDescriptor) throws(NetworkError) {
    for index in tensors.indices {
      didReach(index)
      try forEachPiece(of: index) { _ in }
    }
    didReach(tensors.count)
    if kind == .keras, case .hdf5(let source) = source {
      try KerasArchive(source.file, size: size).checkBytes(of: source.file)
    }
    guard case .ncz(let source) = source else { return }
    try about { try source.reader.checkPadding() }
    let crcs = try about("container") { try source.forEachContainerPiece(threads: options.threads) { _, _ in } }
    let directory = source.directory
    let digest = Digest(
      container: directory.container.map { ($0.kind.rawValue, $0.size, crcs) },
      tensors: tensors.compactMap { tensor in tensor.digest.map { (tensor.name, $0) } })
    guard digest == directory.digest else {
      throw NetworkError(.corrupt, "content digest \(directory.digest), computed \(digest)")
    }
    if directory.container != nil { try checkTwins(in: try restoreStructure(to: scratch, .structure)) }
  }
}
