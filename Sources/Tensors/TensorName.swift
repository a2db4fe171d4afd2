/// The name of a tensor, a layer, an attribute or a link, or a path of such names: bytes of UTF-8, equal only byte for
/// byte.
///
/// HDF5, zip and JSON compare names as bytes. `String` does not: it takes `é` and `e` with a combining accent for one
/// name, and K for the Kelvin sign. Whatever a file calls something is therefore a `TensorName`, never a `String`,
/// wherever names are compared, hashed, ordered or taken apart.
///
/// Law: for any two texts, the names are equal if and only if their UTF-8 bytes are; the order is that of the bytes.
public struct TensorName: Sendable {
  /// The name as text, to be shown.
  public let text: String

  public init(_ text: some StringProtocol) {
    var text = String(text)
    // Bytes are compared in place.
    text.makeContiguousUTF8()
    self.text = text
  }

  public var utf8: String.UTF8View { text.utf8 }
  public var isEmpty: Bool { text.isEmpty }
}

extension TensorName: Hashable, Comparable {
  public static func == (a: TensorName, b: TensorName) -> Bool {
    a.utf8.count == b.utf8.count && a.utf8.elementsEqual(b.utf8)
  }

  public static func < (a: TensorName, b: TensorName) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(utf8.count)
    utf8.withContiguousStorageIfAvailable { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

extension TensorName: ExpressibleByStringInterpolation, CustomStringConvertible {
  public init(stringLiteral text: String) { self.init(text) }

  public var description: String { text }
}

// MARK: - Taking names apart

extension TensorName {
  public func hasPrefix(_ prefix: TensorName) -> Bool { utf8.starts(with: prefix.utf8) }

  public func hasSuffix(_ suffix: TensorName) -> Bool { utf8.reversed().starts(with: suffix.utf8.reversed()) }

  /// Without the first `count` bytes, which end where a character ends.
  public func dropFirst(_ count: Int) -> TensorName { TensorName(Substring(utf8.dropFirst(count))) }

  /// What stands before and after the last `separator`, an ASCII character; nothing before it when there is none.
  public func splitAtLast(_ separator: Unicode.Scalar) -> (before: TensorName, after: TensorName) {
    guard let at = utf8.lastIndex(of: UInt8(ascii: separator)) else { return ("", self) }
    return (TensorName(text[..<at]), TensorName(text[utf8.index(after: at)...]))
  }

  /// The parts between slashes that are not empty.
  public var components: [TensorName] {
    utf8.split(separator: UInt8(ascii: "/")).map { TensorName(Substring($0)) }
  }

  public static func + (a: TensorName, b: TensorName) -> TensorName { TensorName(a.text + b.text) }
}

extension Sequence<TensorName> {
  /// One name with `separator` between the parts.
  public func joined(separator: String) -> TensorName { TensorName(map(\.text).joined(separator: separator)) }
}

extension TensorName {
  /// Whether `a` comes before `b` when runs of digits count as numbers: `fc2` before `fc10`.
  public static func naturallyPrecedes(_ a: TensorName, _ b: TensorName) -> Bool {
    precedes(a.naturalKey, b.naturalKey)
  }

  /// Bytes that are in the order of their values where names are in natural order: a run of digits as `0`, its length
  /// without leading zeros and its digits; then the name itself, since names that differ in leading zeros alone still
  /// need an order.
  fileprivate var naturalKey: (numbered: [UInt8], plain: [UInt8]) {
    let bytes = Array(utf8)
    var key: [UInt8] = []
    key.reserveCapacity(bytes.count + 8)
    var index = 0
    while index < bytes.count {
      guard isDigit(bytes[index]) else {
        key.append(bytes[index])
        index += 1
        continue
      }
      while index < bytes.count, bytes[index] == UInt8(ascii: "0") { index += 1 }
      let digits = bytes[index...].prefix(while: isDigit)
      // A name may be longer than 255 bytes.
      key += [UInt8(ascii: "0"), UInt8(truncatingIfNeeded: digits.count >> 8), UInt8(truncatingIfNeeded: digits.count)]
      key += digits
      index = digits.endIndex
    }
    return (key, bytes)
  }

  fileprivate static func precedes(
    _ a: (numbered: [UInt8], plain: [UInt8]), _ b: (numbered: [UInt8], plain: [UInt8])
  ) -> Bool {
    if a.numbered != b.numbered { return a.numbered.lexicographicallyPrecedes(b.numbered) }
    return a.plain.count != b.plain.count
      ? a.plain.count < b.plain.count : a.plain.lexicographicallyPrecedes(b.plain)
  }
}

private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

extension Sequence {
  /// The elements in natural order of their names.
  public func naturallySorted(by name: (Element) -> TensorName) -> [Element] {
    map { (key: name($0).naturalKey, element: $0) }.sorted { TensorName.precedes($0.key, $1.key) }.map(\.element)
  }
}
