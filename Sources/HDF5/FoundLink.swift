// SPDX-License-Identifier: Apache-2.0

internal import CHDF5
internal import Glibc

/// A link as libhdf5 lists it.
struct FoundLink {
  /// Links that may be listed in one file.
  static let most = 1 << 20
  private static let maxNameBytes = 4096

  /// At least one byte; neither 0 nor `/` among them; not `.`.
  let name: [UInt8]
  let info: H5L_info_t

  var cString: [CChar] { name.map { CChar(bitPattern: $0) } + [0] }

  /// The links of a group, in the order of an index.
  ///
  /// - Parameter left: links that may still be listed.
  static func all(
    in group: borrowing Handle, by index: H5_index_t, left: inout Int
  ) throws(HDF5Error) -> [FoundLink] {
    struct Found {
      var links: [FoundLink] = []
      var left: Int
    }
    var found = Found(left: left)
    let result = withUnsafeMutablePointer(to: &found) { pointer in
      H5Literate(
        group.id, index, index == H5_INDEX_NAME ? H5_ITER_NATIVE : H5_ITER_INC, nil,
        { _, name, info, context in
          guard let name, let info, let context else { return -1 }
          let found = context.assumingMemoryBound(to: Found.self)
          let length = strnlen(name, FoundLink.maxNameBytes + 1)
          found.pointee.links.append(
            FoundLink(name: Array(UnsafeRawBufferPointer(start: name, count: length)), info: info.pointee))
          found.pointee.left -= 1
          return found.pointee.left < 0 ? 1 : 0
        }, pointer)
    }
    try check(result, "links")
    guard found.left >= 0 else { throw .overLimit("more than \(most) links") }
    left = found.left
    for link in found.links {
      let name = link.name
      guard name.count <= maxNameBytes else {
        let shown = text(name, escapingBackslash: true)
        throw .overLimit("a name of more than \(maxNameBytes) bytes: \(shown.prefix(40))…")
      }
      guard !name.isEmpty, name != [UInt8(ascii: ".")], !name.contains(UInt8(ascii: "/")) else {
        throw .corrupt("a link is named '\(text(name, escapingBackslash: true))'")
      }
    }
    return found.links
  }

  /// What a soft, external or user-defined link has stored.
  func value(in group: borrowing Handle) throws(HDF5Error) -> [UInt8] {
    let size = info.u.val_size
    guard size <= 1 << 16 else { throw .corrupt("a link of \(size) bytes") }
    var value = [UInt8](repeating: 0, count: size)
    try check(H5Lget_val(group.id, cString, &value, size, byDefault), "link")
    return value
  }
}
