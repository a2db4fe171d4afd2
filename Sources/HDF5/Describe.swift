// SPDX-License-Identifier: Apache-2.0

internal import CHDF5
internal import Glibc

// How the child describes what libhdf5 knows about a dataset.

extension Dataset {
  init(_ dataset: hid_t, _ file: borrowing OpenFile) throws(HDF5Error) {
    let type = try Handle(H5Dget_type(dataset), "type")
    let space = try Handle(H5Dget_space(dataset), "dataspace")
    let (dimensions, most) = try Self.dimensions(of: space)
    // An address is what contiguous storage alone has. The creation list, which takes longer than all the rest, can
    // say no more of it: there are no filters.
    let offset = H5Dget_offset(dataset)
    // A file can have both an address and a list of other files, which libhdf5 prefers.
    var info = H5O_info_t()
    try check(H5Oget_info2(dataset, &info, H5O_INFO_HDR), "object header")
    let isElsewhere = info.hdr.mesg.present & UInt64(1) << 7 != 0
    if offset != chdf5_no_address(), !isElsewhere {
      let range = ByteRange(offset: UInt64(offset), length: H5Dget_storage_size(dataset))
      self.init(type: try Datatype(type.id), dimensions: dimensions, layout: .contiguous(range), filters: [])
      return
    }
    _ = H5Eclear2(0)
    let creation = try Handle(H5Dget_create_plist(dataset), "creation list")
    let layout = try Layout(dataset, creation, space, dimensions: dimensions, most: most, type: type, file)
    self.init(
      type: try Datatype(type.id), dimensions: dimensions, layout: layout, filters: try Filter.all(in: creation))
  }

  /// Current and greatest dimensions; `nil` for a null dataspace, no dimensions for a single element.
  private static func dimensions(
    of space: borrowing Handle
  ) throws(HDF5Error) -> (current: [UInt64]?, most: [UInt64]) {
    switch H5Sget_simple_extent_type(space.id) {
    case H5S_NULL: return (nil, [])
    case H5S_SCALAR: return ([], [])
    default: break
    }
    let rank = Int(try check(H5Sget_simple_extent_ndims(space.id), "dataspace"))
    guard rank <= 32 else { throw .corrupt("rank \(rank)") }
    var current = [hsize_t](repeating: 0, count: rank)
    var most = current
    try check(H5Sget_simple_extent_dims(space.id, &current, &most), "extents")
    return (current, most)
  }
}

extension Datatype {
  init(_ type: hid_t) throws(HDF5Error) {
    let size = H5Tget_size(type)
    guard size > 0 else { throw libraryError("size of the type") }
    let order = H5Tget_order(type)
    let isScalar =
      H5Tget_precision(type) == 8 * size && H5Tget_offset(type) == 0
      && (order == H5T_ORDER_LE || order == H5T_ORDER_BE)
    switch H5Tget_class(type) {
    case H5T_INTEGER where isScalar:
      self = .integer(size: size, signed: H5Tget_sign(type) == H5T_SGN_2, bigEndian: order == H5T_ORDER_BE)
    case H5T_FLOAT where isScalar:
      var sign = 0
      var exponent = 0
      var exponentBits = 0
      var mantissa = 0
      var mantissaBits = 0
      try check(H5Tget_fields(type, &sign, &exponent, &exponentBits, &mantissa, &mantissaBits), "fields of the type")
      let isIEEE =
        sign == 8 * size - 1 && exponent + exponentBits == sign && mantissa == 0
        && mantissaBits == exponent && H5Tget_norm(type) == H5T_NORM_IMPLIED
      self =
        isIEEE
        ? .float(
          size: size, exponentBits: exponentBits, mantissaBits: mantissaBits, bias: Int(clamping: H5Tget_ebias(type)),
          bigEndian: order == H5T_ORDER_BE)
        : .other("float", size: size)
    case H5T_OPAQUE:
      guard let tag = H5Tget_tag(type) else { throw libraryError("tag of the type") }
      defer { _ = H5free_memory(tag) }
      self = .opaque(
        size: size, tag: text(UnsafeRawBufferPointer(start: tag, count: strlen(tag)), escapingBackslash: true))
    case let other: self = .other(Self.name(of: other), size: size)
    }
  }

  private static func name(of kind: H5T_class_t) -> String {
    switch kind {
    case H5T_INTEGER: "integer"
    case H5T_FLOAT: "float"
    case H5T_TIME: "time"
    case H5T_STRING: "string"
    case H5T_BITFIELD: "bitfield"
    case H5T_COMPOUND: "compound"
    case H5T_REFERENCE: "reference"
    case H5T_ENUM: "enum"
    case H5T_VLEN: "variable-length"
    case H5T_ARRAY: "array"
    default: "unknown"
    }
  }
}

extension Filter {
  static func all(in creation: borrowing Handle) throws(HDF5Error) -> [Filter] {
    let count = try check(H5Pget_nfilters(creation.id), "filters")
    var filters: [Filter] = []
    for index in 0..<UInt32(count) {
      var flags: UInt32 = 0
      var configuration: UInt32 = 0
      // HDF5 takes no larger buffer; what a filter has beyond it (n-bit on compounds may) is not described.
      var parameters = [UInt32](repeating: 0, count: 256)
      var parameterCount = parameters.count
      var name = [CChar](repeating: 0, count: 256)
      let id = try check(
        H5Pget_filter2(
          creation.id, index, &flags, &parameterCount, &parameters, name.count - 1, &name, &configuration),
        "filter \(index)")
      let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      filters.append(
        Filter(
          id: id, name: text(bytes, escapingBackslash: true), isOptional: flags & UInt32(H5Z_FLAG_OPTIONAL) != 0,
          parameters: Array(parameters.prefix(parameterCount)),
          isAvailable: id != LengthGuard.filter && H5Zfilter_avail(id) > 0))
    }
    return filters
  }
}

extension Layout {
  fileprivate init(
    _ dataset: hid_t, _ creation: borrowing Handle, _ space: borrowing Handle, dimensions: [UInt64]?, most: [UInt64],
    type: borrowing Handle, _ file: borrowing OpenFile
  ) throws(HDF5Error) {
    switch H5Pget_layout(creation.id) {
    case H5D_COMPACT:
      let described = Dataset(type: try Datatype(type.id), dimensions: dimensions, layout: .compact, filters: [])
      let stored = H5Dget_storage_size(dataset)
      // libhdf5 1.10 would read on behind what is stored.
      guard !described.type.isScalar || described.byteCount.map({ $0 <= stored }) ?? false else {
        throw .corrupt("claims \(described.byteCount ?? .max) bytes in its object header but stores \(stored)")
      }
      self = .compact
    case H5D_VIRTUAL: self = .virtual
    case H5D_CONTIGUOUS:
      if try check(H5Pget_external_count(creation.id), "external storage") > 0 {
        self = .external
        return
      }
      // What is stored has an address, and was described without the list.
      self = .contiguous(nil)
    case H5D_CHUNKED:
      guard let dimensions, !dimensions.isEmpty else { throw .corrupt("chunks without extents") }
      var chunk = [hsize_t](repeating: 0, count: dimensions.count)
      let rank = try check(H5Pget_chunk(creation.id, CInt(dimensions.count), &chunk), "chunk extents")
      guard rank == dimensions.count else {
        throw .corrupt("chunks of rank \(rank) for extents of rank \(dimensions.count)")
      }
      // libhdf5 1.10 reads past the decoded chunk when a chunk is larger than the dataset can become.
      for axis in dimensions.indices where most[axis] != chdf5_unlimited() && chunk[axis] > most[axis] {
        throw .corrupt("chunks of \(chunk), extents at most \(most)")
      }
      let empty = Dataset(
        type: try Datatype(type.id), dimensions: dimensions, layout: .chunked(dimensions: chunk, chunks: []),
        filters: [])
      if let error = empty.inconsistency(fileSize: file.fileSize) { throw error }
      self = .chunked(dimensions: chunk, chunks: try Self.chunks(of: dataset, space, dimensions, chunk, file))
    default: throw libraryError("layout")
    }
  }

  /// All stored chunks, in the order of their coordinates.
  private static func chunks(
    of dataset: hid_t, _ space: borrowing Handle, _ dimensions: [UInt64], _ chunk: [UInt64], _ file: borrowing OpenFile
  ) throws(HDF5Error) -> [Chunk] {
    var count: hsize_t = 0
    try check(H5Dget_num_chunks(dataset, space.id, &count), "number of chunks")
    if count == 0 { return [] }
    // A chunk takes at least a byte.
    guard count <= file.fileSize else { throw .corrupt("\(count) chunks in a file of \(file.fileSize) bytes") }
    guard count.multipliedReportingOverflow(by: 64).partialValue <= file.memory / 4 else {
      throw .overMemory("\(count) chunks take more than \(file.memory) bytes of memory")
    }
    // `H5Dget_chunk_info` finds the n-th chunk by counting from the first: quadratic in the number of chunks. The
    // library's own listing takes one pass; should another release print it differently, patience has to do.
    var chunks: [Chunk] = []
    if let listed = listedChunks(of: dataset, rank: dimensions.count), listed.count == count {
      chunks = listed
    } else {
      for index in 0..<count {
        var origin = [hsize_t](repeating: 0, count: dimensions.count)
        var mask: UInt32 = 0
        var address = haddr_t()
        var length: hsize_t = 0
        try check(
          H5Dget_chunk_info(dataset, space.id, index, &origin, &mask, &address, &length), "chunk \(index)")
        chunks.append(Chunk(origin, mask, address: UInt64(address), length))
      }
    }
    // Both count addresses from the end of the user block.
    for index in chunks.indices {
      let (offset, overflow) = chunks[index].range.offset.addingReportingOverflow(file.userBlock)
      chunks[index].range.offset = overflow ? .max : offset
    }
    chunks.sort { $0.origin.lexicographicallyPrecedes($1.origin) }
    return chunks
  }

  /// Parses lines such as `0x00000000     8192      13240 [32, 0, 0]`: filter mask, length, address, origin, of which
  /// the last number counts the bytes of an element. `nil` when a line is not like that.
  private static func listedChunks(of dataset: hid_t, rank: Int) -> [Chunk]? {
    guard let listing = chdf5_describe(dataset) else { return nil }
    defer { free(listing) }
    let isSeparator: (UInt8) -> Bool = { " [],".utf8.contains($0) }
    var chunks: [Chunk] = []
    for line in UnsafeRawBufferPointer(start: listing, count: strlen(listing)).split(separator: UInt8(ascii: "\n")) {
      let words = line.split(whereSeparator: isSeparator).map { String(decoding: $0, as: UTF8.self) }
      guard let first = words.first, first.hasPrefix("0x") else { continue }
      let numbers = words.dropFirst().compactMap { UInt64($0) }
      guard let mask = UInt32(first.dropFirst(2), radix: 16), words.count == rank + 4, numbers.count == rank + 3 else {
        return nil
      }
      chunks.append(Chunk(Array(numbers[2..<2 + rank]), mask, address: numbers[1], numbers[0]))
    }
    return chunks
  }
}

extension Chunk {
  fileprivate init(_ origin: [UInt64], _ mask: UInt32, address: UInt64, _ length: UInt64) {
    self.init(origin: origin, filterMask: mask, range: ByteRange(offset: address, length: length))
  }
}
