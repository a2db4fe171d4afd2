// SPDX-License-Identifier: Apache-2.0

internal import CHDF5
internal import Glibc

/// Copies the child's file to the other one, object by object.
///
/// Like `Walk`, it opens objects by the addresses in hard links and keeps the groups that are still to be copied in a
/// list, so that nothing in the file leads elsewhere or exhausts the stack.
struct TreeCopy: ~Copyable {
  private let source: hid_t
  private let target: Handle
  private let memory: UInt64
  private let dimensions: [UInt64: [UInt64]]
  private let without: Set<[UInt8]>
  private let texts: [String: String]
  private var linksLeft = FoundLink.most
  /// The path in the copy of every object that is there, by its address in the source.
  private var copies: [UInt64: [UInt8]] = [:]
  private var groups: [Group] = []
  private var result = CopiedFile(places: [:], leftBehind: [])

  /// A group that was made, but not filled.
  private struct Group {
    let address: UInt64
    /// Each name after a slash; empty for the root.
    let path: [UInt8]
    let depth: Int
  }

  init(
    of file: borrowing OpenFile,
    _ changes: (dimensions: [UInt64: [UInt64]], without: Set<[UInt8]>, texts: [String: String])
  ) throws(HDF5Error) {
    target = try Self.create(like: file)
    source = file.file.id
    memory = file.memory
    (dimensions, without, texts) = changes
  }

  /// An empty file with the same user block, of the oldest version that can hold what the source has; it keeps the
  /// order in which links and attributes of the root were made where the source does.
  private static func create(like file: borrowing OpenFile) throws(HDF5Error) -> Handle {
    let access = try Handle(H5Pcreate(chdf5_file_access_class()), "file access list")
    try check(H5Pset_fclose_degree(access.id, H5F_CLOSE_STRONG), "file access list")
    try check(chdf5_use_driver(access.id), "file driver")
    var info = H5F_info2_t()
    try check(H5Fget_info2(file.file.id, &info), "version of the file")
    // Only new object headers hold attributes beyond 64 KiB.
    let isNew = info.super.version >= 2
    try check(
      H5Pset_libver_bounds(access.id, isNew ? H5F_LIBVER_V18 : H5F_LIBVER_EARLIEST, chdf5_newest()), "versions")
    let creation = try Handle(H5Pcreate(chdf5_file_creation_class()), "creation list")
    try check(H5Pset_obj_track_times(creation.id, false), "creation list")
    try check(H5Pset_userblock(creation.id, file.userBlock), "user block")
    let root = try Handle(H5Gopen2(file.file.id, "/", byDefault), "root group")
    let list = try Handle(H5Gget_create_plist(root.id), "creation list")
    var order: UInt32 = 0
    try check(H5Pget_link_creation_order(list.id, &order), "order of links")
    try check(H5Pset_link_creation_order(creation.id, order), "order of links")
    try check(H5Pget_attr_creation_order(list.id, &order), "order of attributes")
    try check(H5Pset_attr_creation_order(creation.id, order), "order of attributes")
    return try Handle(H5Fcreate("/copy", chdf5_create_anew(), creation.id, access.id), "create")
  }

  /// Copies everything and closes the copy.
  ///
  /// - Returns: the answer.
  mutating func complete() throws(HDF5Error) -> [UInt8] {
    try copyRoot()
    while let group = groups.popLast() {
      do throws(HDF5Error) { try copyMembers(of: group) } catch { throw error.at(shown(group.path)) }
    }
    try check(H5Fflush(target.id, H5F_SCOPE_GLOBAL), "flush")
    try check(H5Fclose(target.id), "close")
    var writer = WireWriter()
    writer.write(result)
    return writer.bytes
  }

  // MARK: Objects

  private mutating func copyRoot() throws(HDF5Error) {
    let root = try Handle(H5Gopen2(source, "/", byDefault), "root group")
    var info = H5O_info_t()
    try check(H5Oget_info2(root.id, &info, H5O_INFO_BASIC), "root group")
    let creation = try Handle(H5Gget_create_plist(root.id), "creation list")
    let copy = try Handle(H5Gopen2(target.id, "/", byDefault), "root group")
    try copyAttributes(of: root, creation, to: copy, path: [])
    copies[UInt64(info.addr)] = []
    groups = [Group(address: UInt64(info.addr), path: [], depth: 0)]
  }

  /// Copies what the links of a group lead to, in the order in which they were made where the group keeps it.
  private mutating func copyMembers(of parent: Group) throws(HDF5Error) {
    let group = try Handle(H5Oopen_by_addr(source, haddr_t(parent.address)), "object at \(parent.address)")
    let creation = try Handle(H5Gget_create_plist(group.id), "creation list")
    var order: UInt32 = 0
    try check(H5Pget_link_creation_order(creation.id, &order), "order of links")
    for link in try FoundLink.all(in: group, by: index(order), left: &linksLeft) {
      let path = parent.path + [slash] + link.name
      if without.contains(path) { continue }
      do throws(HDF5Error) {
        if link.info.type == H5L_TYPE_HARD {
          try copyObject(at: UInt64(link.info.u.address), to: path, depth: parent.depth + 1, link)
        } else {
          try copyLink(link, in: group, to: path)
        }
      } catch {
        throw error.about("'\(text(link.name))'")
      }
    }
  }

  private mutating func copyObject(
    at address: UInt64, to path: [UInt8], depth: Int, _ link: FoundLink
  ) throws(HDF5Error) {
    let name = cString(path)
    let properties = try Self.properties(of: link)
    if let first = copies[address] {
      let existing = first.isEmpty ? [CChar(bitPattern: UInt8(ascii: "/")), 0] : cString(first)
      try check(H5Lcreate_hard(target.id, existing, target.id, name, properties.id, byDefault), "link")
      return
    }
    guard depth <= Walk.maxDepth else { throw .overLimit("groups nested more than \(Walk.maxDepth) deep") }
    let object = try Handle(H5Oopen_by_addr(source, haddr_t(address)), "object at \(address)")
    var info = H5O_info_t()
    try check(H5Oget_info2(object.id, &info, H5O_INFO_BASIC), "object at \(address)")
    switch info.type {
    case H5O_TYPE_GROUP:
      let list = try Handle(H5Gget_create_plist(object.id), "creation list")
      let creation = try Self.creation(like: list)
      let group = try Handle(H5Gcreate2(target.id, name, properties.id, creation.id, byDefault), "group")
      try copyAttributes(of: object, list, to: group, path: path)
      groups.append(Group(address: address, path: path, depth: depth))
    case H5O_TYPE_DATASET:
      let type = try Handle(H5Dget_type(object.id), "type")
      if let dimensions = dimensions[address] {
        try makeDataset(like: object, address, type, dimensions: dimensions, path: path, properties)
      } else if try hasReferences(type) {
        result.leftBehind.append("\(shown(path)), which holds references")
        return
      } else {
        try check(H5Ocopy(object.id, ".", target.id, name, byDefault, properties.id), "copy")
        try removeReferences(of: object, path: path)
      }
    default:
      try check(H5Ocopy(object.id, ".", target.id, name, byDefault, properties.id), "copy")
      try removeReferences(of: object, path: path)
    }
    copies[address] = path
  }

  /// How a group is made, property by property: the list of a group with many links has the addresses of their heap and
  /// tree as well, and libhdf5 would look for those in the copy.
  private static func creation(like list: borrowing Handle) throws(HDF5Error) -> Handle {
    let creation = try Handle(H5Pcreate(chdf5_group_creation_class()), "creation list")
    try check(H5Pset_obj_track_times(creation.id, false), "creation list")
    var numbers: (UInt32, UInt32) = (0, 0)
    try check(H5Pget_link_creation_order(list.id, &numbers.0), "order of links")
    try check(H5Pset_link_creation_order(creation.id, numbers.0), "order of links")
    try check(H5Pget_attr_creation_order(list.id, &numbers.0), "order of attributes")
    try check(H5Pset_attr_creation_order(creation.id, numbers.0), "order of attributes")
    try check(H5Pget_link_phase_change(list.id, &numbers.0, &numbers.1), "storage of links")
    try check(H5Pset_link_phase_change(creation.id, numbers.0, numbers.1), "storage of links")
    try check(H5Pget_attr_phase_change(list.id, &numbers.0, &numbers.1), "storage of attributes")
    try check(H5Pset_attr_phase_change(creation.id, numbers.0, numbers.1), "storage of attributes")
    try check(H5Pget_est_link_info(list.id, &numbers.0, &numbers.1), "number of links")
    try check(H5Pset_est_link_info(creation.id, numbers.0, numbers.1), "number of links")
    return creation
  }

  /// A dataset of the same type with other dimensions, contiguous, its storage allocated and untouched.
  private mutating func makeDataset(
    like source: borrowing Handle, _ address: UInt64, _ type: borrowing Handle, dimensions: [UInt64], path: [UInt8],
    _ properties: borrowing Handle
  ) throws(HDF5Error) {
    // A committed type is one of the source; its copy belongs to no file.
    let type = try Handle(H5Tcopy(type.id), "type")
    let space = try Handle(H5Screate_simple(CInt(dimensions.count), dimensions, nil), "extents \(dimensions)")
    let list = try Handle(H5Dget_create_plist(source.id), "creation list")
    let creation = try OpenFile.contiguousStorage()
    var order: UInt32 = 0
    try check(H5Pget_attr_creation_order(list.id, &order), "order of attributes")
    try check(H5Pset_attr_creation_order(creation.id, order), "order of attributes")
    let dataset = try Handle(
      H5Dcreate2(target.id, cString(path), type.id, space.id, properties.id, creation.id, byDefault), "dataset")
    try copyAttributes(of: source, list, to: dataset, path: path)
    if let place = try storage(of: dataset) { result.places[address] = place }
  }

  private mutating func copyLink(
    _ link: FoundLink, in group: borrowing Handle, to path: [UInt8]
  ) throws(HDF5Error) {
    let properties = try Self.properties(of: link)
    let name = cString(path)
    let value = try link.value(in: group)
    // Both kinds end by 0, which libhdf5 does not check.
    let parts = value.map { CChar(bitPattern: $0) } + [0, 0]
    switch link.info.type {
    case H5L_TYPE_SOFT:
      try check(H5Lcreate_soft(parts, target.id, name, properties.id, byDefault), "link")
    case H5L_TYPE_EXTERNAL:
      // A byte of flags, the file's name and the object's path.
      let file = Array(parts.dropFirst())
      let object = Array(file.drop { $0 != 0 }.dropFirst())
      try check(H5Lcreate_external(file, object, target.id, name, properties.id, byDefault), "link")
    default:
      result.leftBehind.append("\(shown(path)), a user-defined link")
    }
  }

  /// How a link is made: its name in the same encoding.
  private static func properties(of link: FoundLink) throws(HDF5Error) -> Handle {
    let properties = try Handle(H5Pcreate(chdf5_link_creation_class()), "link")
    let isKnown = link.info.cset == H5T_CSET_ASCII || link.info.cset == H5T_CSET_UTF8
    try check(H5Pset_char_encoding(properties.id, isKnown ? link.info.cset : H5T_CSET_UTF8), "link")
    return properties
  }

  // MARK: Attributes

  /// - Parameter creation: the creation list of the object in the source.
  private mutating func copyAttributes(
    of object: borrowing Handle, _ creation: borrowing Handle, to copy: borrowing Handle, path: [UInt8]
  ) throws(HDF5Error) {
    var order: UInt32 = 0
    try check(H5Pget_attr_creation_order(creation.id, &order), "order of attributes")
    for name in try attributeNames(of: object.id, by: index(order)) {
      do throws(HDF5Error) {
        let attribute = try Handle(H5Aopen(object.id, cString(name), byDefault), "open")
        let type = try Handle(H5Aget_type(attribute.id), "type")
        if try hasReferences(type) {
          leaveBehind(name, of: path)
        } else {
          try copyAttribute(attribute, type, name, to: copy, text: path.isEmpty ? texts[text(name)] : nil)
        }
      } catch {
        throw error.about("attribute '\(text(name))'")
      }
    }
  }

  private mutating func leaveBehind(_ attribute: [UInt8], of path: [UInt8]) {
    result.leftBehind.append("the attribute '\(text(attribute))' of /\(shown(path)), which holds references")
  }

  private func copyAttribute(
    _ attribute: borrowing Handle, _ type: borrowing Handle, _ name: [UInt8], to copy: borrowing Handle,
    text: String?
  ) throws(HDF5Error) {
    // A committed type is one of the source; its copy belongs to no file.
    let type = try Handle(H5Tcopy(type.id), "type")
    let space = try Handle(H5Aget_space(attribute.id), "dataspace")
    let creation = try Handle(H5Aget_create_plist(attribute.id), "creation list")
    let count = try check(H5Sget_simple_extent_npoints(space.id), "dataspace")
    let isVariable = H5Tis_variable_str(type.id) > 0
    if let text {
      guard H5Tget_class(type.id) == H5T_STRING, count == 1 else { throw .unsupported("is not one text") }
      if !isVariable {
        let ending = H5Tget_strpad(type.id) == H5T_STR_NULLTERM ? 1 : 0
        try check(H5Tset_size(type.id, max(1, text.utf8.count + ending)), "size")
      }
    }
    let made = try Handle(
      H5Acreate2(copy.id, cString(name), type.id, space.id, creation.id, byDefault), "create")
    if let text {
      try check(writeStrings(Array(text.utf8) + [0], to: made, type, isVariable: isVariable), "write")
      return
    }
    if count == 0 { return }
    let (size, overflow) = Int(clamping: count).multipliedReportingOverflow(by: H5Tget_size(type.id))
    guard !overflow, size <= memory else {
      throw .overMemory("\(count) elements take more than \(memory) bytes of memory")
    }
    // Of the source's own type: nothing is converted.
    var bytes = [UInt8](repeating: 0, count: size)
    try check(H5Aread(attribute.id, type.id, &bytes), "read")
    let hasOwnMemory = isVariable || H5Tdetect_class(type.id, H5T_VLEN) > 0 || H5Tdetect_class(type.id, H5T_STRING) > 0
    let result = H5Awrite(made.id, type.id, bytes)
    if hasOwnMemory { _ = H5Dvlen_reclaim(type.id, space.id, byDefault, &bytes) }
    try check(result, "write")
  }

  /// Takes back the attributes of an object that was copied whole.
  private mutating func removeReferences(of object: borrowing Handle, path: [UInt8]) throws(HDF5Error) {
    for name in try attributeNames(of: object.id, by: H5_INDEX_NAME) {
      let attribute = try Handle(H5Aopen(object.id, cString(name), byDefault), "attribute '\(text(name))'")
      let type = try Handle(H5Aget_type(attribute.id), "attribute '\(text(name))'")
      guard try hasReferences(type) else { continue }
      try check(
        H5Adelete_by_name(target.id, cString(path), cString(name), byDefault), "attribute '\(text(name))'")
      leaveBehind(name, of: path)
    }
  }
}

/// Writes one string that ends by 0, or several of fixed length.
func writeStrings(
  _ bytes: [UInt8], to attribute: borrowing Handle, _ type: borrowing Handle, isVariable: Bool
) -> herr_t {
  let (attribute, type) = (attribute.id, type.id)
  return bytes.withUnsafeBytes { bytes in
    isVariable
      ? withUnsafePointer(to: bytes.baseAddress) { H5Awrite(attribute, type, $0) }
      : H5Awrite(attribute, type, bytes.baseAddress)
  }
}

private let slash = UInt8(ascii: "/")

private func shown(_ path: [UInt8]) -> String { text(path.dropFirst()) }

private func text(_ bytes: some Sequence<UInt8>) -> String { text(bytes, escapingBackslash: true) }

private func cString(_ path: [UInt8]) -> [CChar] { path.map { CChar(bitPattern: $0) } + [0] }

/// The index that lists things as they were made, if there is one.
private func index(_ order: UInt32) -> H5_index_t {
  order & UInt32(H5P_CRT_ORDER_TRACKED) != 0 ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME
}

/// Whether a type is, or has parts that are, places in a file.
private func hasReferences(_ type: borrowing Handle) throws(HDF5Error) -> Bool {
  try check(H5Tdetect_class(type.id, H5T_REFERENCE), "type") > 0
}
