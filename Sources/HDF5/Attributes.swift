// SPDX-License-Identifier: Apache-2.0

internal import CHDF5
internal import Glibc
internal import Tensors

/// Reads attributes: the names of all, the texts of those that were asked for, digests of the others.
struct AttributeReader {
  private static let maxTextBytes = 64 << 20
  private static let maxTexts = 1 << 20
  /// Elements, and bytes of them, of which a digest is made.
  private static let maxDigestedBytes = 1 << 20

  /// Names; one that ends in `*` stands for all that begin so.
  let wanted: [String]
  private var textBytesLeft = maxTextBytes

  init(wanted: [String]) { self.wanted = wanted }

  mutating func attributes(of object: hid_t) throws(HDF5Error) -> [Attribute] {
    var names: [[UInt8]]
    do throws(HDF5Error) {
      names = try attributeNames(of: object, by: H5_INDEX_NAME)
    } catch {
      // Attributes that nobody asked for cannot make a file unreadable.
      if wanted.isEmpty { return [] }
      throw error
    }
    names.sort { $0.lexicographicallyPrecedes($1) }

    var attributes: [Attribute] = []
    for bytes in names {
      let name = TensorName(text(bytes, escapingBackslash: true))
      do {
        attributes.append(
          isWanted(name)
            ? Attribute(name: name, texts: try texts(of: object, bytes))
            : Attribute(name: name, texts: nil, digest: digest(of: object, bytes)))
      } catch {
        throw error.about("attribute '\(name)'")
      }
    }
    return attributes
  }

  private func isWanted(_ name: TensorName) -> Bool {
    wanted.contains { $0.hasSuffix("*") ? name.hasPrefix(TensorName($0.dropLast())) : name == TensorName($0) }
  }

  /// The strings of an attribute, row-major; none when it has no elements; `nil` when its elements are not strings.
  private mutating func texts(of object: hid_t, _ name: [UInt8]) throws(HDF5Error) -> [String]? {
    let terminated = name.map { CChar(bitPattern: $0) } + [0]
    let attribute = try Handle(H5Aopen(object, terminated, byDefault), "open")
    let type = try Handle(H5Aget_type(attribute.id), "type")
    let space = try Handle(H5Aget_space(attribute.id), "dataspace")
    let count = try check(H5Sget_simple_extent_npoints(space.id), "dataspace")
    if count == 0 { return [] }
    guard H5Tget_class(type.id) == H5T_STRING else { return nil }
    guard count <= Self.maxTexts else { throw .overLimit("\(count) texts; the limit is \(Self.maxTexts)") }
    return H5Tis_variable_str(type.id) > 0
      ? try variableTexts(attribute, type, space, Int(count)) : try fixedTexts(attribute, type, Int(count))
  }

  private mutating func spend(_ bytes: Int) throws(HDF5Error) {
    textBytesLeft -= bytes
    guard textBytesLeft >= 0 else {
      throw .overLimit("texts of more than \(Self.maxTextBytes) bytes in the attributes")
    }
  }

  private mutating func variableTexts(
    _ attribute: borrowing Handle, _ type: borrowing Handle, _ space: borrowing Handle, _ count: Int
  ) throws(HDF5Error) -> [String] {
    var texts: [String] = []
    try Self.forEachText(attribute, type, space, count) { bytes throws(HDF5Error) in
      try spend(bytes.count)
      texts.append(text(bytes, escapingBackslash: false))
    }
    return texts
  }

  private static func forEachText(
    _ attribute: borrowing Handle, _ type: borrowing Handle, _ space: borrowing Handle, _ count: Int,
    _ body: (UnsafeRawBufferPointer) throws(HDF5Error) -> Void
  ) throws(HDF5Error) {
    var pointers = [UnsafeMutablePointer<CChar>?](repeating: nil, count: count)
    try check(H5Aread(attribute.id, type.id, &pointers), "read")
    defer { _ = H5Dvlen_reclaim(type.id, space.id, byDefault, &pointers) }
    for pointer in pointers { try body(.init(start: pointer, count: pointer.map { strlen($0) } ?? 0)) }
  }

  /// The FNV-1a hash of an attribute; `nil` for structures and sequences, for much, and for what libhdf5 cannot read,
  /// since attributes that nobody asked for cannot make a file unreadable.
  private func digest(of object: hid_t, _ name: [UInt8]) -> UInt64? {
    do throws(HDF5Error) {
      let attribute = try Handle(H5Aopen(object, name.map { CChar(bitPattern: $0) } + [0], byDefault), "open")
      let type = try Handle(H5Aget_type(attribute.id), "type")
      let space = try Handle(H5Aget_space(attribute.id), "dataspace")
      let count = Int(try check(H5Sget_simple_extent_npoints(space.id), "dataspace"))
      let (kind, width) = (H5Tget_class(type.id), H5Tget_size(type.id))
      let (size, overflow) = count.multipliedReportingOverflow(by: width)
      let simple = [H5T_INTEGER, H5T_FLOAT, H5T_STRING, H5T_BITFIELD, H5T_OPAQUE, H5T_ENUM, H5T_REFERENCE]
      guard simple.contains(kind), !overflow, size <= Self.maxDigestedBytes else { return nil }
      var hash = FNV()
      hash.add(
        [UInt64(kind.rawValue), UInt64(width), UInt64(count)].flatMap { number in
          (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
        })
      if count == 0 { return hash.value }
      if kind == H5T_STRING, H5Tis_variable_str(type.id) > 0 {
        try Self.forEachText(attribute, type, space, count) { bytes throws(HDF5Error) in
          hash.add(bytes)
          hash.add([0])
        }
      } else {
        var bytes = [UInt8](repeating: 0, count: size)
        try check(H5Aread(attribute.id, type.id, &bytes), "read")
        hash.add(bytes)
      }
      return hash.value
    } catch {
      return nil
    }
  }

  private mutating func fixedTexts(
    _ attribute: borrowing Handle, _ type: borrowing Handle, _ count: Int
  ) throws(HDF5Error) -> [String] {
    let width = H5Tget_size(type.id)
    let (size, overflow) = count.multipliedReportingOverflow(by: width)
    try spend(overflow ? Int.max : size)
    var bytes = [UInt8](repeating: 0, count: size)
    try check(H5Aread(attribute.id, type.id, &bytes), "read")
    let isSpacePadded = H5Tget_strpad(type.id) == H5T_STR_SPACEPAD
    return (0..<count).map { index in
      var element = bytes[index * width..<(index + 1) * width].prefix { $0 != 0 }
      while isSpacePadded, element.last == UInt8(ascii: " ") { element.removeLast() }
      return text(element, escapingBackslash: false)
    }
  }
}

/// The hash of Fowler, Noll and Vo, 64 bits (FNV-1a).
private struct FNV {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
  }
}

/// The names of an object's attributes, in the order of an index.
func attributeNames(of object: hid_t, by index: H5_index_t) throws(HDF5Error) -> [[UInt8]] {
  var names: [[UInt8]] = []
  let result = withUnsafeMutablePointer(to: &names) { pointer in
    H5Aiterate2(
      object, index, index == H5_INDEX_NAME ? H5_ITER_NATIVE : H5_ITER_INC, nil,
      { _, name, _, context in
        guard let name, let context else { return -1 }
        let names = context.assumingMemoryBound(to: [[UInt8]].self)
        names.pointee.append(Array(UnsafeRawBufferPointer(start: name, count: strlen(name))))
        return names.pointee.count > 1 << 20 ? -1 : 0
      }, pointer)
  }
  try check(result, "attributes")
  return names
}
