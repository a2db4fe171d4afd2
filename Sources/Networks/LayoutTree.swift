internal import HDF5

/// A name that is equal only to itself byte for byte: HDF5, unlike `String`, tells `é` from `e` with a combining accent.
struct ExactName: Hashable {
  let bytes: [UInt8]
  init(_ name: some StringProtocol) { bytes = Array(name.utf8) }
}

/// The objects of a file by their links, so that a path leads to its object whichever of its names it goes through.
struct ObjectTree {
  let table: TableOfContents
  /// The index of the root group.
  let root: Int?
  private let children: [Link: Int]

  private struct Link: Hashable {
    let parent: Int
    let name: ExactName
  }

  init(_ table: TableOfContents) {
    self.table = table
    var byPath: [ExactName: Int] = [:]
    for (index, object) in table.objects.enumerated() {
      for path in object.paths { byPath[ExactName(path)] = index }
    }
    var children: [Link: Int] = [:]
    for (index, object) in table.objects.enumerated() {
      for path in object.paths where !path.isEmpty {
        let (parent, name) = path.splitAtLast("/")
        if let parent = byPath[ExactName(parent)] { children[Link(parent: parent, name: ExactName(name))] = index }
      }
    }
    self.children = children
    root = byPath[ExactName("")]
  }

  /// The object a path leads to, from an object or the root, through hard links alone.
  func object(at path: String, from start: Int? = nil) -> Int? {
    var current = start ?? root
    for component in path.split(separator: "/") where component != "." {
      guard let parent = current else { return nil }
      current = children[Link(parent: parent, name: ExactName(component))]
    }
    return current
  }

  func hasAttribute(_ name: String, of object: Int?) -> Bool {
    guard let object else { return false }
    return table.objects[object].attributes.contains { $0.name == name }
  }

  /// The one string of a text attribute.
  func text(_ name: String, of object: Int?) -> String? {
    guard let texts = texts(name, of: object), texts.count == 1 else { return nil }
    return texts[0]
  }

  /// The strings of a text attribute; an attribute that is no text, as Keras writes an empty list, has none.
  func texts(_ name: String, of object: Int?) -> [String]? {
    guard let object, let attribute = table.objects[object].attributes.first(where: { $0.name == name }) else {
      return nil
    }
    return attribute.texts ?? []
  }

  /// The strings of a list that may be split into attributes `name0`, `name1`, … where it is too long for one.
  func list(_ name: String, of object: Int?) -> [String]? {
    if let whole = texts(name, of: object) { return whole }
    var list: [String]?
    var part = 0
    while let next = texts("\(name)\(part)", of: object) {
      list = (list ?? []) + next
      part += 1
    }
    return list
  }
}

extension String {
  /// What stands before and after the last `separator`; nothing before it when there is none.
  func splitAtLast(_ separator: Character) -> (before: String, after: String) {
    // Bytes, because a separator followed by a combining character is no `Character` of its own.
    let bytes = utf8
    guard let byte = separator.asciiValue, let at = bytes.lastIndex(of: byte) else { return ("", self) }
    return (String(self[..<at]), String(self[bytes.index(after: at)...]))
  }

  /// The parts between slashes.
  var components: [String] {
    utf8.split(separator: UInt8(ascii: "/")).map { String(decoding: $0, as: UTF8.self) }
  }
}

/// Whether `a` comes before `b` when runs of digits count as numbers: `fc2` before `fc10`.
func naturallyPrecedes(_ a: String, _ b: String) -> Bool {
  let a = Array(a.utf8)
  let b = Array(b.utf8)
  func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
  /// The digits from `start` on without leading zeros.
  func number(_ bytes: [UInt8], _ start: inout Int) -> ArraySlice<UInt8> {
    while start < bytes.count, bytes[start] == UInt8(ascii: "0") { start += 1 }
    let first = start
    while start < bytes.count, isDigit(bytes[start]) { start += 1 }
    return bytes[first..<start]
  }
  var i = 0
  var j = 0
  while i < a.count, j < b.count {
    if isDigit(a[i]), isDigit(b[j]) {
      let x = number(a, &i)
      let y = number(b, &j)
      if x.count != y.count { return x.count < y.count }
      if !x.elementsEqual(y) { return x.lexicographicallyPrecedes(y) }
    } else {
      if a[i] != b[j] { return a[i] < b[j] }
      i += 1
      j += 1
    }
  }
  let (restOfA, restOfB) = (a.count - i, b.count - j)
  // Names that differ in leading zeros alone still need an order.
  return restOfA != restOfB ? restOfA < restOfB : a.lexicographicallyPrecedes(b)
}
