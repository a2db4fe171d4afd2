// SPDX-License-Identifier: Apache-2.0

public import SystemPackage

extension NetworkFile.Kind {
  /// The kind that the content of a file shows: the signature of `.ncz` at its beginning, that of HDF5 there or at 512,
  /// 1024, 2048, …, or a zip archive with a member `model.weights.h5`; `nil` for anything else.
  ///
  /// Nothing more is checked: the file may be damaged.
  ///
  /// - Throws: `.io` where the file cannot be read.
  public init?(contentOf file: FileDescriptor, size: Int) throws(NetworkError) {
    let front = try read(file, at: 0, count: min(size, 8))
    if front == [0x89, 0x4E, 0x43, 0x5A, 0x0D, 0x0A, 0x1A, 0x0A] {
      self = .ncz
    } else if front.starts(with: KerasArchive.signature) {
      do {
        _ = try KerasArchive(file, size: size)
      } catch {
        guard error.verdict != .io else { throw error }
        return nil
      }
      self = .keras
    } else if try NetworkFile.hasHDF5Signature(file, size: size) {
      self = .hdf5
    } else {
      return nil
    }
  }
}
