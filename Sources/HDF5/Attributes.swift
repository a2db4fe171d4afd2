internal import CHDF5
internal import Glibc
internal import Tensors

/// Reads attributes: the names of all, the texts of those that were asked for.
struct AttributeReader {
  private static let mostTextBytes = 64 << 20
  private static let mostTexts = 1 << 20

  /// Names; one that ends in `*` stands for all that begin so.
  let wanted: [String]
  private var textBytesLeft = mostTextBytes

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
        attributes.append(Attribute(name: name, texts: isWanted(name) ? try texts(of: object, bytes) : nil))
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
    guard count <= Self.mostTexts else { throw .overLimit("\(count) texts; the limit is \(Self.mostTexts)") }
    return H5Tis_variable_str(type.id) > 0
      ? try variableTexts(attribute, type, space, Int(count)) : try fixedTexts(attribute, type, Int(count))
  }

  private mutating func spend(_ bytes: Int) throws(HDF5Error) {
    textBytesLeft -= bytes
    guard textBytesLeft >= 0 else {
      throw .overLimit("texts of more than \(Self.mostTextBytes) bytes in the attributes")
    }
  }

  private mutating func variableTexts(
    _ attribute: borrowing Handle, _ type: borrowing Handle, _ space: borrowing Handle, _ count: Int
  ) throws(HDF5Error) -> [String] {
    var pointers = [UnsafeMutablePointer<CChar>?](repeating: nil, count: count)
    try check(H5Aread(attribute.id, type.id, &pointers), "read")
    defer { _ = H5Dvlen_reclaim(type.id, space.id, byDefault, &pointers) }
    var texts: [String] = []
    for pointer in pointers {
      let bytes = UnsafeRawBufferPointer(start: pointer, count: pointer.map { strlen($0) } ?? 0)
      try spend(bytes.count)
      texts.append(text(bytes, escapingBackslash: false))
    }
    return texts
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
