// SPDX-License-Identifier: Apache-2.0

internal import CHDF5

/// Decodes filtered chunks so that every byte that comes out went in.
///
/// libhdf5 (1.10.8 as well as 2.0) takes what the filters give for a whole chunk, however short it is: the rest of the
/// chunk would be memory that was never written. So chunks are copied as they are to a scratch dataset whose filters
/// are the same behind one more, the last to decode, which refuses what is too short.
final class ChunkDecoder {
  private let scratch: ScratchFile
  private let creation: Handle
  private let chunk: [UInt64]
  private let chunkByteCount: Int
  /// Whether chunks that reach beyond the dimensions are stored without filters.
  private let keepsPartialUnfiltered: Bool

  /// - Parameter creation: the dataset's.
  init(_ creation: borrowing Handle, _ filters: [Filter], _ blocks: Blocks) throws(HDF5Error) {
    let guarded = try Handle(H5Pcopy(creation.id), "creation list")
    var options: UInt32 = 0
    try check(H5Pget_chunk_opts(creation.id, &options), "chunk options")
    keepsPartialUnfiltered = options & UInt32(H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0
    try check(H5Pset_chunk_opts(guarded.id, 0), "chunk options")
    // Nothing is stored but what is copied.
    try check(H5Pset_alloc_time(guarded.id, H5D_ALLOC_TIME_INCR), "allocation time")
    try check(H5Premove_filter(guarded.id, H5Z_FILTER_ALL), "filters")
    let mandatory = UInt32(H5Z_FLAG_MANDATORY)
    try check(
      H5Pset_filter(guarded.id, LengthGuard.filter, mandatory, 1, [UInt32(clamping: blocks.chunkByteCount)]),
      "filters")
    for filter in filters {
      let flags = filter.isOptional ? UInt32(H5Z_FLAG_OPTIONAL) : mandatory
      try check(
        H5Pset_filter(guarded.id, filter.id, flags, filter.parameters.count, filter.parameters), "filter \(filter.name)"
      )
    }
    self.creation = guarded
    scratch = try ScratchFile()
    chunk = blocks.chunk
    chunkByteCount = blocks.chunkByteCount
  }

  /// Reads the values of a block.
  ///
  /// - Parameters:
  ///   - chunks: origins of those in the block that are stored, and whether they reach beyond the dataset's dimensions.
  ///   - values: as many bytes as the block has.
  func read(
    _ block: Blocks.Box, of dataset: borrowing Handle, type: borrowing Handle,
    chunks: [(origin: [UInt64], isPartial: Bool)], into values: inout [UInt8]
  ) throws(HDF5Error) {
    // Unlimited, because a chunk may be larger than what the dataset's edge leaves of it.
    let most = block.dimensions.map { _ in chdf5_unlimited() }
    let absent = [(block.dimensions[0] / chunk[0] + 1) * chunk[0]] + block.dimensions.dropFirst().map { _ in 0 }
    let room = [absent[0] + 1] + block.dimensions.dropFirst()
    let space = try Handle(H5Screate_simple(CInt(room.count), room, most), "dataspace")
    let copy = try Handle(
      H5Dcreate_anon(scratch.file.id, type.id, space.id, creation.id, byDefault), "scratch dataset")
    for (origin, isPartial) in chunks {
      let chunk = try storedChunk(of: dataset, at: origin)
      // The guard's bit comes first, and is never set.
      let mask = isPartial && keepsPartialUnfiltered ? ~1 : chunk.mask << 1
      let inBlock = zip(origin, block.origin).map { $0 - $1 }
      try check(
        H5Dwrite_chunk(copy.id, byDefault, mask, inBlock, chunk.bytes.count, chunk.bytes), "chunk \(origin)")
    }
    // libhdf5 1.10 remembers the last chunk, of one just written without its mask. Asking for another makes it forget.
    var count: hsize_t = 0
    _ = H5Dget_chunk_storage_size(copy.id, absent, &count)
    _ = H5Eclear2(0)

    let start = block.dimensions.map { _ in 0 as hsize_t }
    try check(H5Sselect_hyperslab(space.id, H5S_SELECT_SET, start, nil, block.dimensions, nil), "dataspace")
    let inMemory = try Handle(H5Screate_simple(CInt(block.dimensions.count), block.dimensions, nil), "dataspace")
    LengthGuard.refused = nil
    let result = H5Dread(copy.id, type.id, inMemory.id, space.id, byDefault, &values)
    if let count = LengthGuard.refused {
      throw .corrupt("a chunk in the block at \(block.origin) decodes to \(count) bytes, expected \(chunkByteCount)")
    }
    try check(result, "values at \(block.origin)")
  }
}

/// A filter that does nothing but refuse to decode chunks that are too short.
enum LengthGuard {
  /// Of the numbers that are free for tests. No file may use it.
  static let filter: H5Z_filter_t = 511

  /// Bytes of a chunk that was refused, for the message; there is one thread.
  nonisolated(unsafe) fileprivate(set) static var refused: Int?

  static func register() throws(HDF5Error) {
    try addFilter("length guard", id: Self.filter) { _, count, parameters, byteCount, _, _ in
      guard count == 1, let parameters, byteCount < parameters.pointee else { return byteCount }
      LengthGuard.refused = byteCount
      return 0
    }
  }
}
