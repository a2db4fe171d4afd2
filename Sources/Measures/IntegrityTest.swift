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
    guard case .ncz(let source) = source else {
      for index in tensors.indices {
        didReach(index)
        try forEachPiece(of: index) { _ in }
      }
      didReach(tensors.count)
      if kind == .keras, case .hdf5(let source) = source {
        try KerasArchive(source.file, size: size).checkBytes(of: source.file)
      }
      return
    }
    try about { try source.reader.checkPadding() }
    try about { try source.reader.checkBlocks() }
    let directory = source.directory
    for index in tensors.indices where tensors[index].unsupported == nil {
      didReach(index)
      try forEachPiece(of: index, checkingDigest: true) { _ in }
    }
    didReach(tensors.count)
    try about("container") { try source.checkContainer(threads: options.threads) }
    let digest = directory.contentDigest()
    guard digest == directory.digest else {
      throw NetworkError(.corrupt, "content digest \(directory.digest), computed \(digest)")
    }
    // A tensor that cannot be decoded cannot be put back.
    let isWhole = tensors.allSatisfy { $0.unsupported == nil || $0.place == nil }
    if directory.container != nil, isWhole {
      try checkTwins(in: try restoreStructure(to: scratch, .structure))
    }
    if let problem = directory.problems.first { throw NetworkError(.unsupported, "all else is sound, but \(problem)") }
  }
}
