// SPDX-License-Identifier: Apache-2.0

internal import CHDF5
internal import Glibc
internal import Tensors

/// Builds a table of contents: depth first from the root, by hard links, every object once.
///
/// Objects are opened by the address in a hard link, never by path: no soft, external or user-defined link is
/// followed, and no depth of groups can exhaust the stack.
struct Walk {
  static let maxDepth = 1024

  private var attributes: AttributeReader
  /// Bytes that names, paths and chunk lists may still take.
  private var bytesLeft: Int
  private let maxBytes: Int
  private var linksLeft = FoundLink.most
  private var objects: [Object] = []
  private var links: [Link] = []
  /// Where the object with a header address stands in `objects`.
  private var seen: [UInt64: Int] = [:]

  init(texts: [String], maxBytes: Int) {
    attributes = AttributeReader(wanted: texts)
    self.maxBytes = maxBytes
    bytesLeft = maxBytes
  }

  /// A link on the way, not yet looked at.
  private struct Visit {
    var path: TensorName
    var depth: Int
    var target: Target

    enum Target {
      case object(address: UInt64)
      case link(Link.Kind, target: String)
    }
  }

  mutating func tableOfContents(of file: borrowing OpenFile) throws(HDF5Error) -> TableOfContents {
    var root = H5O_info_t()
    try check(H5Oget_info2(file.file.id, &root, H5O_INFO_BASIC), "root group")
    var pending = [Visit(path: "", depth: 0, target: .object(address: UInt64(root.addr)))]
    while let current = pending.popLast() {
      switch current.target {
      case .link(let kind, let target): links.append(Link(path: current.path, kind: kind, target: target))
      case .object(let address):
        if let index = seen[address] {
          objects[index].paths.append(current.path)
        } else {
          pending += try visit(address, current, in: file).reversed()
        }
      }
    }
    return TableOfContents(fileSize: file.fileSize, userBlock: file.userBlock, objects: objects, links: links)
  }

  /// Describes an object that was not seen before.
  /// - Returns: the links of a group.
  private mutating func visit(
    _ address: UInt64, _ current: Visit, in file: borrowing OpenFile
  ) throws(HDF5Error) -> [Visit] {
    guard current.depth <= Self.maxDepth else {
      throw .overLimit("groups nested more than \(Self.maxDepth) deep")
    }
    seen[address] = objects.count
    do throws(HDF5Error) {
      let handle = try Handle(H5Oopen_by_addr(file.file.id, haddr_t(address)), "object at \(address)")
      var pending: [Visit] = []
      let kind: Object.Kind
      switch H5Iget_type(handle.id) {
      case H5I_GROUP:
        kind = .group
        pending = try links(of: handle, current)
      case H5I_DATASET:
        let dataset = try Dataset(handle.id, file)
        if let error = dataset.inconsistency(fileSize: file.fileSize) { throw error }
        if case .chunked(let chunk, let chunks) = dataset.layout { try spend(chunks.count * (48 + 8 * chunk.count)) }
        kind = .dataset(dataset)
      default: kind = .other
      }
      let attributes = try attributes.attributes(of: handle.id)
      try spend(attributes.reduce(0) { $0 + $1.name.utf8.count + 64 })
      objects.append(Object(address: address, paths: [current.path], kind: kind, attributes: attributes))
      return pending
    } catch {
      let error = Self.naming(error, address, file)
      // Nothing can be said about a root that is newer than libhdf5; any other object can still be carried along.
      guard case .unsupported(let reason) = error, !current.path.isEmpty else { throw error.at(current.path.text) }
      objects.append(Object(address: address, paths: [current.path], kind: .unreadable(reason), attributes: []))
      return []
    }
  }

  private mutating func spend(_ bytes: Int) throws(HDF5Error) {
    bytesLeft -= bytes
    guard bytesLeft >= 0 else {
      throw .overMemory("the list of objects takes more than \(maxBytes) bytes of memory")
    }
  }

  // MARK: Links

  private mutating func links(of group: borrowing Handle, _ parent: Visit) throws(HDF5Error) -> [Visit] {
    var pending: [Visit] = []
    let found = try FoundLink.all(in: group, by: H5_INDEX_NAME, left: &linksLeft)
    for link in found.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) {
      let shown = TensorName(text(link.name, escapingBackslash: true))
      let path = parent.path.isEmpty ? shown : "\(parent.path)/\(shown)"
      try spend(path.utf8.count + 128)
      let target = try target(of: group, link)
      pending.append(Visit(path: path, depth: parent.depth + 1, target: target))
    }
    return pending
  }

  private mutating func target(
    of group: borrowing Handle, _ link: FoundLink
  ) throws(HDF5Error) -> Visit.Target {
    let kind: Link.Kind
    switch link.info.type {
    case H5L_TYPE_HARD: return .object(address: UInt64(link.info.u.address))
    case H5L_TYPE_SOFT: kind = .soft
    case H5L_TYPE_EXTERNAL: kind = .external
    default: return .link(.userDefined, target: "")
    }
    let value = try link.value(in: group)
    try spend(value.count)
    // An external link is a byte of flags, the file's name and the object's path, each ended by 0.
    let parts = (kind == .external ? value.dropFirst() : value[...]).split(
      separator: 0, omittingEmptySubsequences: false)
    let shown = parts.prefix(kind == .external ? 2 : 1).map { text($0, escapingBackslash: true) }
    return .link(kind, target: shown.joined(separator: ":"))
  }

  // MARK: Versions

  /// Adds the version found where libhdf5 does not know the version of a dataset's layout.
  private static func naming(
    _ error: HDF5Error, _ address: UInt64, _ file: borrowing OpenFile
  ) -> HDF5Error {
    guard case .unsupported(let message) = error, message.contains("layout"),
      let version = layoutVersion(ofObjectAt: file.userBlock + address)
    else { return error }
    return .unsupported("data layout message version \(version); versions 1 to 4 are known")
  }

  /// Reads the first block of a version 2 object header for its layout message (type 8), whose first byte is the
  /// version. Version 1 headers are older than any layout that libhdf5 does not know.
  private static func layoutVersion(ofObjectAt offset: UInt64) -> UInt8? {
    var bytes = [UInt8](repeating: 0, count: 1 << 12)
    guard let start = off_t(exactly: offset), case let count = pread(fileDescriptor, &bytes, bytes.count, start),
      count > 8,
      bytes.starts(with: "OHDR".utf8)
    else { return nil }
    let flags = bytes[5]
    var position = 6 + (flags & 0x20 != 0 ? 16 : 0) + (flags & 0x10 != 0 ? 4 : 0) + (1 << Int(flags & 3))
    let prefix = flags & 0x04 != 0 ? 6 : 4
    while position + prefix < count {
      if bytes[position] == 8 { return bytes[position + prefix] }
      position += prefix + Int(bytes[position + 1]) + Int(bytes[position + 2]) << 8
    }
    return nil
  }
}
