// SPDX-License-Identifier: Apache-2.0

internal import CHDF5

/// A dataset as libhdf5 has it open: its values, block by block.
struct OpenDataset: ~Copyable {
  private let dataset: Handle
  private let type: Handle
  private let space: Handle
  private let creation: Handle
  private let blocks: Blocks
  /// Origins of the stored chunks; `nil` when the dataset is not chunked.
  private let stored: Set<[UInt64]>?
  /// Reads filtered chunks.
  private let decoder: ChunkDecoder?

  /// - Throws: `.corrupt` when its description contradicts itself or the file; `.unsupported` when its values are
  ///   kept elsewhere, need a filter that is missing, or are not scalars.
  init(_ file: borrowing OpenFile, address: UInt64) throws(HDF5Error) {
    let dataset = try Handle(H5Oopen_by_addr(file.file.id, haddr_t(address)), "object at \(address)")
    let description = try Dataset(dataset.id, file)
    if let error = description.inconsistency(fileSize: file.fileSize) { throw error }
    if case .other(let name, _) = description.type { throw .unsupported("values of type \(name)") }
    if let filter = description.filters.first(where: { !$0.isAvailable }) {
      throw .unsupported("filter \(filter.id) (\(filter.name)) is not available")
    }
    let dimensions = description.dimensions ?? [0]
    let blocks: Blocks
    switch description.layout {
    case .external: throw .unsupported("values in other files")
    case .virtual: throw .unsupported("values in other datasets")
    case .chunked(let chunk, _):
      blocks = try Blocks(dimensions: dimensions, chunk: chunk, elementSize: description.type.size)
    case .compact, .contiguous:
      let chunk = dimensions.map { _ in 1 as UInt64 }
      blocks = try Blocks(dimensions: dimensions, chunk: chunk, elementSize: description.type.size)
    }
    guard blocks.chunkByteCount <= file.memory else {
      throw .overMemory("chunks of \(blocks.chunk) elements take more than \(file.memory) bytes of memory")
    }
    let type = try Handle(H5Dget_type(dataset.id), "type")
    let space = try Handle(H5Dget_space(dataset.id), "dataspace")
    let creation = try Handle(H5Dget_create_plist(dataset.id), "creation list")
    let decoder =
      description.filters.isEmpty
      ? nil : try ChunkDecoder(creation, description.filters, blocks)
    self.dataset = dataset
    self.type = type
    self.space = space
    self.creation = creation
    self.blocks = blocks
    self.decoder = decoder
    if case .chunked(_, let chunks) = description.layout { stored = Set(chunks.map(\.origin)) } else { stored = nil }
  }

  // MARK: Requests

  /// Answers with the geometry, then with the values of every block.
  func sendValues(_ channel: ChildChannel) throws(HDF5Error) {
    channel.answer(geometry)
    for index in 0..<blocks.count { channel.answer(try read(blocks[index])) }
  }

  /// Answers with the geometry, then every block of values with its encoded chunks.
  func encode(_ channel: ChildChannel) throws(HDF5Error) {
    try requireChunks()
    channel.answer(geometry)
    let scratch = try ScratchFile()
    for index in 0..<blocks.count {
      guard let (request, values) = channel.receive(), request == .block else {
        throw .io("a block of values was expected")
      }
      let block = blocks[index]
      var writer = WireWriter()
      try encode(values, of: block, in: scratch) { (_, mask, bytes) throws(HDF5Error) in
        writer.write(mask)
        writer.write(bytes)
      }
      channel.answer(writer.bytes)
    }
  }

  /// Compares the stored chunks only: what was never written has nothing to be equal to.
  func reencodesExactly() throws(HDF5Error) -> Bool {
    let stored = try requireChunks()
    let scratch = try ScratchFile()
    for index in 0..<blocks.count {
      let block = blocks[index]
      var isExact = true
      try encode(try read(block), of: block, in: scratch) { (origin, mask, bytes) throws(HDF5Error) in
        guard isExact, stored.contains(origin) else { return }
        isExact = try storedChunk(of: dataset, at: origin) == (mask, bytes)
      }
      if !isExact { return false }
    }
    return true
  }

  func replaceChunk(at origin: [UInt64], filterMask: UInt32, bytes: [UInt8]) throws(HDF5Error) {
    try requireChunks()
    guard origin.count == blocks.dimensions.count else { throw .corrupt("a chunk at \(origin)") }
    try check(H5Dwrite_chunk(dataset.id, byDefault, filterMask, origin, bytes.count, bytes), "chunk \(origin)")
  }

  // MARK: Blocks and chunks

  private var geometry: [UInt8] {
    var writer = WireWriter()
    writer.write(blocks.dimensions)
    writer.write(blocks.chunk)
    writer.write(UInt64(blocks.elementSize))
    return writer.bytes
  }

  @discardableResult
  private func requireChunks() throws(HDF5Error) -> Set<[UInt64]> {
    guard let stored else { throw .unsupported("not stored in chunks") }
    return stored
  }

  /// The values of a block. The memory type is the file's: nothing is converted.
  private func read(_ block: Blocks.Box) throws(HDF5Error) -> [UInt8] {
    var values = [UInt8](repeating: 0, count: blocks.byteCount(of: block))
    if let decoder, let stored {
      let chunks = blocks.chunkOrigins(in: block).filter { stored.contains($0) }
      try decoder.read(
        block, of: dataset, type: type, chunks: chunks.map { ($0, blocks.isPartial(chunkAt: $0)) }, into: &values)
      return values
    }
    let inMemory = try Handle(H5Screate_simple(CInt(block.dimensions.count), block.dimensions, nil), "dataspace")
    if !block.dimensions.isEmpty {
      try check(
        H5Sselect_hyperslab(space.id, H5S_SELECT_SET, block.origin, nil, block.dimensions, nil),
        "block at \(block.origin)"
      )
    }
    try check(
      H5Dread(dataset.id, type.id, inMemory.id, space.id, byDefault, &values), "values at \(block.origin)")
    return values
  }

  /// Writes a block's values to a scratch dataset with the same type and creation list, and hands out its chunks.
  private func encode(
    _ values: [UInt8], of block: Blocks.Box, in scratch: borrowing ScratchFile,
    _ body: (_ origin: [UInt64], _ mask: UInt32, _ bytes: [UInt8]) throws(HDF5Error) -> Void
  ) throws(HDF5Error) {
    guard values.count == blocks.byteCount(of: block) else { throw .io("\(values.count) bytes for a block") }
    // Unlimited, because a chunk may be larger than what the dataset's edge leaves of it.
    let most = block.dimensions.map { _ in chdf5_unlimited() }
    let space = try Handle(H5Screate_simple(CInt(block.dimensions.count), block.dimensions, most), "dataspace")
    let copy = try Handle(
      H5Dcreate_anon(scratch.file.id, type.id, space.id, creation.id, byDefault), "scratch dataset")
    try check(H5Dwrite(copy.id, type.id, byDefault, byDefault, byDefault, values), "encode")
    for origin in blocks.chunkOrigins(in: block) {
      let inBlock = zip(origin, block.origin).map { $0 - $1 }
      let chunk = try storedChunk(of: copy, at: inBlock)
      try body(origin, chunk.mask, chunk.bytes)
    }
  }

}

/// A chunk as it is stored.
func storedChunk(
  of dataset: borrowing Handle, at origin: [UInt64]
) throws(HDF5Error) -> (mask: UInt32, bytes: [UInt8]) {
  var mask: UInt32 = 0
  var count: hsize_t = 0
  try check(H5Dget_chunk_storage_size(dataset.id, origin, &count), "chunk \(origin)")
  guard (1...1 << 32).contains(count) else { throw .corrupt("chunk \(origin) of \(count) bytes") }
  var bytes = [UInt8](repeating: 0, count: Int(count))
  try check(H5Dread_chunk(dataset.id, byDefault, origin, &mask, &bytes), "chunk \(origin)")
  return (mask, bytes)
}

/// An HDF5 file that exists in memory only.
struct ScratchFile: ~Copyable {
  let file: Handle

  init() throws(HDF5Error) {
    let access = try Handle(H5Pcreate(chdf5_file_access_class()), "scratch file")
    try check(chdf5_use_driver(access.id), "scratch file")
    file = try Handle(H5Fcreate("/memory", chdf5_create_anew(), byDefault, access.id), "scratch file")
  }
}
