// SPDX-License-Identifier: Apache-2.0

internal import CHDF5

// How the child builds a new file.

extension OpenFile {
  /// The oldest structures that can hold what is asked for, so that old releases read them; no time stamps.
  static func create(_ access: borrowing Handle) throws(HDF5Error) -> Handle {
    try check(H5Pset_libver_bounds(access.id, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18), "versions")
    let creation = try untimed(chdf5_file_creation_class())
    return try Handle(H5Fcreate("/descriptor", chdf5_create_anew(), creation.id, access.id), "create")
  }

  /// A creation list of a class, for objects that do not record when they were made.
  static func untimed(_ list: hid_t) throws(HDF5Error) -> Handle {
    let creation = try Handle(H5Pcreate(list), "creation list")
    try check(H5Pset_obj_track_times(creation.id, false), "creation list")
    return creation
  }

  /// A creation list for datasets in one run of bytes: storage at once, and untouched, because the parent fills it.
  static func contiguousStorage() throws(HDF5Error) -> Handle {
    let creation = try untimed(chdf5_dataset_creation_class())
    try check(H5Pset_layout(creation.id, H5D_CONTIGUOUS), "layout")
    try check(H5Pset_alloc_time(creation.id, H5D_ALLOC_TIME_EARLY), "layout")
    try check(H5Pset_fill_time(creation.id, H5D_FILL_TIME_NEVER), "layout")
    return creation
  }
}

/// Makes the groups and datasets of one message; what is the same for many of them is made once.
struct Additions: ~Copyable {
  private let file: hid_t
  private let groupList: Handle
  private let datasetList: Handle
  private let text: Handle
  /// The type of the last dataset, of which there are often many.
  private var type: Handle?
  private var described: Datatype?

  init(to file: hid_t) throws(HDF5Error) {
    let groupList = try OpenFile.untimed(chdf5_group_creation_class())
    let datasetList = try OpenFile.contiguousStorage()
    let text = try Handle(H5Tcopy(chdf5_string()), "type")
    try check(H5Tset_strpad(text.id, H5T_STR_NULLPAD), "type")
    try check(H5Tset_cset(text.id, H5T_CSET_UTF8), "type")
    self.file = file
    self.groupList = groupList
    self.datasetList = datasetList
    self.text = text
    type = nil
    described = nil
  }

  /// - Returns: the answer: offset and length of the storage of each, 0 where there is none.
  mutating func make(_ reader: inout WireReader) throws(HDF5Error) -> [UInt8] {
    var answer = WireWriter()
    while !reader.isAtEnd {
      let place = try reader.bool() ? addDataset(&reader) : addGroup(&reader)
      answer.write(place?.offset ?? 0)
      answer.write(place?.length ?? 0)
    }
    return answer.bytes
  }

  private func addGroup(_ reader: inout WireReader) throws(HDF5Error) -> ByteRange? {
    let (path, texts) = try reader.pathAndTexts()
    let group =
      path.isEmpty
      ? try Handle(H5Gopen2(file, "/", byDefault), "root group")
      : try Handle(H5Gcreate2(file, path.cString, byDefault, groupList.id, byDefault), path.shown)
    for text in texts { try add(text, to: group) }
    return nil
  }

  private mutating func addDataset(_ reader: inout WireReader) throws(HDF5Error) -> ByteRange? {
    let (path, texts) = try reader.pathAndTexts()
    let description = try reader.datatype()
    if described != description {
      type = .some(try Self.type(description))
      described = description
    }
    let typeID = type?.id ?? -1
    let dimensions = try reader.numbers()
    let space = try Handle(H5Screate_simple(CInt(dimensions.count), dimensions, nil), "extents \(dimensions)")
    let dataset = try Handle(
      H5Dcreate2(file, path.cString, typeID, space.id, byDefault, datasetList.id, byDefault), path.shown)
    for text in texts { try add(text, to: dataset) }
    return try storage(of: dataset)
  }

  private func add(_ attribute: NewFile.Text, to object: borrowing Handle) throws(HDF5Error) {
    let name = attribute.name
    let texts = attribute.values.map { Array($0.utf8) }
    // HDF5 has no strings of length 0.
    let longest = texts.reduce(1) { max($0, $1.count) }
    let isVariable = !attribute.isList && longest > NewFile.Text.maxBytes
    let type = try Handle(H5Tcopy(text.id), "type")
    try check(H5Tset_size(type.id, isVariable ? chdf5_variable_size() : longest), "size of text '\(name)'")
    let space = try Handle(
      attribute.isList ? H5Screate_simple(1, [UInt64(texts.count)], nil) : H5Screate(H5S_SCALAR), "dataspace")
    let made = try Handle(
      H5Acreate2(object.id, name, type.id, space.id, byDefault, byDefault), "attribute '\(name)'")
    if texts.isEmpty { return }
    let padded = texts.flatMap { $0 + [UInt8](repeating: 0, count: longest - $0.count) }
    try check(writeStrings(padded + [0], to: made, type, isVariable: isVariable), "attribute '\(name)'")
  }

  private static func type(_ description: Datatype) throws(HDF5Error) -> Handle {
    let type: Handle
    let isBigEndian: Bool
    switch description {
    case .integer(let size, let signed, let bigEndian) where [1, 2, 4, 8].contains(size):
      type = try Handle(H5Tcopy(signed ? chdf5_int64() : chdf5_uint64()), "type")
      try check(H5Tset_size(type.id, size), "type")
      isBigEndian = bigEndian
    case .float(let size, let exponentBits, let mantissaBits, let bias, let bigEndian)
    where (2...8).contains(size) && exponentBits > 0 && mantissaBits > 0 && 1 + exponentBits + mantissaBits == 8 * size:
      // Made smaller from a type that has room for all fields: they may never lie outside.
      type = try Handle(H5Tcopy(chdf5_float64()), "type")
      try check(
        H5Tset_fields(type.id, 8 * size - 1, mantissaBits, exponentBits, 0, mantissaBits), "fields of the type")
      try check(H5Tset_size(type.id, size), "type")
      try check(H5Tset_ebias(type.id, bias), "type")
      isBigEndian = bigEndian
    default: throw .unsupported("datasets of \(description) are not written")
    }
    if isBigEndian { try check(H5Tset_order(type.id, H5T_ORDER_BE), "type") }
    return type
  }
}

/// Where the values of a contiguous dataset lie; `nil` when there are none.
func storage(of dataset: borrowing Handle) throws(HDF5Error) -> ByteRange? {
  let length = H5Dget_storage_size(dataset.id)
  if length == 0 { return nil }
  let offset = H5Dget_offset(dataset.id)
  guard offset != chdf5_no_address() else { throw libraryError("storage") }
  return ByteRange(offset: UInt64(offset), length: UInt64(length))
}

/// An absolute path in the terms of C.
private struct AbsolutePath {
  let names: [[UInt8]]
  var isEmpty: Bool { names.isEmpty }
  var cString: [CChar] {
    var path: [CChar] = []
    for name in names {
      path.append(CChar(bitPattern: UInt8(ascii: "/")))
      for byte in name { path.append(CChar(bitPattern: byte)) }
    }
    path.append(0)
    return path
  }
  var shown: String { "/" + names.map { text($0, escapingBackslash: true) }.joined(separator: "/") }
}

extension WireReader {
  fileprivate mutating func pathAndTexts() throws(HDF5Error) -> (AbsolutePath, [NewFile.Text]) {
    let names = try list { (reader) throws(HDF5Error) in try reader.run() }
    let texts = try list { (reader) throws(HDF5Error) in
      let (name, isList) = (try reader.text(), try reader.bool())
      let values = try reader.list { (reader) throws(HDF5Error) in try reader.text() }
      return isList ? NewFile.Text(name, list: values) : NewFile.Text(name, values.joined())
    }
    return (AbsolutePath(names: names), texts)
  }
}
