// SPDX-License-Identifier: Apache-2.0

extension Dataset {
  /// Bytes of all values; `nil` when they cannot be counted, 0 for a null dataspace.
  var byteCount: UInt64? {
    guard let dimensions else { return 0 }
    return product(dimensions, UInt64(type.size))
  }

  /// What is wrong with this description of a dataset in a file of `fileSize` bytes; `nil` when all of this holds:
  ///
  /// - values can be counted in 63 bits;
  /// - a compact dataset fits an object header;
  /// - contiguous storage has exactly the claimed size and lies inside the file;
  /// - a chunk has the dataset's rank, at least one element and less than 2 GiB;
  /// - stored chunks start on the grid, inside the dimensions, each once, and lie inside the file;
  /// - chunks without filters have exactly the size of a chunk; what only deflate shortens, shortens at most 1032 : 1.
  ///
  /// Sizes are compared for scalar types only: libhdf5 gives the size in memory of what has variable length.
  func inconsistency(fileSize: UInt64) -> HDF5Error? {
    guard (1...Int(UInt32.max)).contains(type.size) else { return .corrupt("elements of \(type.size) bytes") }
    guard let byteCount, byteCount <= Int.max else {
      return .corrupt("extents \(dimensions ?? []) of \(type.size) bytes each cannot be counted")
    }
    switch layout {
    case .compact:
      guard !type.isScalar || byteCount <= 1 << 16 else {
        return .corrupt("claims \(byteCount) bytes in its object header")
      }
    case .contiguous(let range?):
      guard !type.isScalar || range.length == byteCount else {
        return .corrupt("claims \(byteCount) bytes but stores \(range.length)")
      }
      guard range.isInside(fileSize) else { return .corrupt("stored at \(range), file of \(fileSize) bytes") }
    case .chunked(let chunk, let chunks):
      return inconsistency(of: chunks, chunk: chunk, fileSize: fileSize)
    case .contiguous(nil), .external, .virtual: break
    }
    return nil
  }

  private func inconsistency(of chunks: [Chunk], chunk: [UInt64], fileSize: UInt64) -> HDF5Error? {
    guard let dimensions, chunk.count == dimensions.count, !chunk.isEmpty else {
      return .corrupt("chunks of rank \(chunk.count) for extents of rank \(dimensions?.count ?? 0)")
    }
    guard !chunk.contains(0), let chunkByteCount = product(chunk, UInt64(type.size)), chunkByteCount < 1 << 31 else {
      return .corrupt("chunks of \(chunk) with elements of \(type.size) bytes")
    }
    let isScalar = type.isScalar
    let onlyDeflates = isScalar && filters.allSatisfy { Filter.neverBelowDeflate.contains($0.id) }
    var last: [UInt64]?
    for stored in chunks {
      let isOnGrid =
        stored.origin.count == dimensions.count
        && dimensions.indices.allSatisfy { stored.origin[$0] % chunk[$0] == 0 && stored.origin[$0] < dimensions[$0] }
      guard isOnGrid, last.map({ $0.lexicographicallyPrecedes(stored.origin) }) ?? true else {
        return .corrupt("a chunk at \(stored.origin), extents \(dimensions) in chunks of \(chunk)")
      }
      last = stored.origin
      guard stored.range.isInside(fileSize) else {
        return .corrupt("chunk \(stored.origin) stored at \(stored.range), file of \(fileSize) bytes")
      }
      guard isScalar && filters.isEmpty ? stored.range.length == chunkByteCount : true,
        !onlyDeflates || chunkByteCount / 1032 <= stored.range.length
      else {
        return .corrupt(
          "chunk \(stored.origin) claims \(chunkByteCount) bytes but stores \(stored.range.length)")
      }
    }
    return nil
  }
}

extension Filter {
  /// Deflate, shuffle, Fletcher's checksum and LZF (at most 132 : 1): none shortens more than deflate's 1032 : 1.
  static let neverBelowDeflate: Set<Int32> = [1, 2, 3, LZF.filter]
}

extension ByteRange: CustomStringConvertible {
  public var description: String { "\(offset)+\(length)" }

  func isInside(_ fileSize: UInt64) -> Bool { offset <= fileSize && length <= fileSize - offset }
}

extension Datatype {
  /// Bytes of an element.
  public var size: Int {
    switch self {
    case .integer(let size, _, _), .float(let size, _, _, _, _), .opaque(let size, _), .other(_, let size): size
    }
  }

  /// Whether elements are the same bytes in the file as in memory: integers, floats and opaque bytes.
  public var isScalar: Bool {
    if case .other = self { false } else { true }
  }
}
