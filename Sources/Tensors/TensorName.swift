// SPDX-License-Identifier: Apache-2.0

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
    a.utf8.count == b.utf8.count && a.withBytes { a in b.withBytes { b in a.elementsEqual(b) } }
  }

  public static func < (a: TensorName, b: TensorName) -> Bool {
    a.withBytes { a in b.withBytes { b in a.lexicographicallyPrecedes(b) } }
  }

  /// The bytes in place, which is several times as fast as through `utf8`.
  private func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    utf8.withContiguousStorageIfAvailable(body) ?? Array(utf8).withUnsafeBufferPointer(body)
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(utf8.count)
    withBytes { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

extension TensorName: ExpressibleByStringInterpolation, CustomStringConvertible {
  public init(stringLiteral text: String) { self.init(text) }

  public var description: String { text }
}

// MARK: - Taking names apart

extension TensorName {
  public func hasPrefix(_ prefix: TensorName) -> Bool {
    withBytes { bytes in prefix.withBytes { bytes.starts(with: $0) } }
  }

  public func hasSuffix(_ suffix: TensorName) -> Bool {
    withBytes { bytes in suffix.withBytes { bytes.suffix($0.count).elementsEqual($0) } }
  }

  /// Without the first `count` bytes, which end where a character ends.
  public func dropFirst(_ count: Int) -> TensorName { TensorName(Substring(utf8.dropFirst(count))) }

  /// What stands before and after the last `separator`, an ASCII character; `nil` before it when there is none.
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
  /// Bytes that are in the order of their values where names are in natural order, in which runs of digits count as
  /// numbers (`fc2` before `fc10`): such a run as `0`, its length without leading zeros and its digits; then the name
  /// itself, since names that differ in leading zeros alone still need an order.
  fileprivate var naturalKey: (numbered: [UInt8], plain: [UInt8]) {
    let bytes = Array(utf8)
    var key: [UInt8] = []
    key.reserveCapacity(bytes.count + 8)
    var index = 0
    while index < bytes.count {
      guard bytes[index].isDigit else {
        key.append(bytes[index])
        index += 1
        continue
      }
      while index < bytes.count, bytes[index] == UInt8(ascii: "0") { index += 1 }
      let digits = bytes[index...].prefix(while: \.isDigit)
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

extension UInt8 {
  /// Whether it is an ASCII digit.
  public var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
}

extension Sequence {
  /// The elements in natural order of their names.
  ///
  /// - Parameter place: what comes first; the names order those of one place.
  public func naturallySorted(
    by name: (Element) -> TensorName, within place: (Element) -> Int = { _ in 0 }
  ) -> [Element] {
    let elements = Array(self)
    // Elements may be large: their numbers are sorted.
    let (keys, places) = (elements.map { name($0).naturalKey }, elements.map(place))
    return elements.indices.sorted { a, b in
      places[a] != places[b] ? places[a] < places[b] : TensorName.precedes(keys[a], keys[b])
    }.map { elements[$0] }
  }
}
