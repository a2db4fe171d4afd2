// SPDX-License-Identifier: Apache-2.0

/// A JSON value that keeps the order of members and the spelling of numbers.
///
/// Keys and strings are bytes of UTF-8: they are equal byte for byte, as JSON has it, where `String` would take `é` and
/// `e` with a combining accent for one.
public enum JSONValue: Sendable {
  case null
  case bool(Bool)
  /// The number as it was spelled.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([Member])

  public struct Member: Sendable {
    public var key: String
    public var value: JSONValue
    public init(_ key: String, _ value: JSONValue) {
      self.key = key
      self.value = value
    }
  }
}

// MARK: - Looking inside

extension JSONValue {
  /// The value of the member `key` of an object; `nil` when there is none, or when this is no object.
  ///
  /// Keys are compared as UTF-8 bytes: JSON, unlike Swift, tells `é` from `e` with a combining accent.
  public subscript(key: String) -> JSONValue? {
    members?.first { $0.key.isSpelled(key) }?.value
  }

  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }

  public var array: [JSONValue]? {
    if case .array(let values) = self { values } else { nil }
  }

  public var members: [Member]? {
    if case .object(let members) = self { members } else { nil }
  }

  /// A number spelled without fraction and exponent that fits `Int`.
  public var integer: Int? {
    if case .number(let spelling) = self { Int(spelling) } else { nil }
  }

  /// The nearest `Double` of a number; `nil` when it is beyond the range of `Double`. `NaN` and `±Infinity` are
  /// numbers only where `parse` was told to take them.
  public var double: Double? {
    guard case .number(let spelling) = self, let value = Double(spelling) else { return nil }
    return value.isInfinite && !spelling.hasSuffix("Infinity") ? nil : value
  }
}

extension JSONValue: Hashable {
  public static func == (a: JSONValue, b: JSONValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.number(let a), .number(let b)), (.string(let a), .string(let b)): a.isSpelled(b)
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)): a == b
    default: false
    }
  }

  public func hash(into hasher: inout Hasher) {
    switch self {
    case .null: hasher.combine(0)
    case .bool(let value): hasher.combine(value)
    // Equal texts have equal bytes, and equal hashes; that some others have them too does no harm.
    case .number(let text), .string(let text): hasher.combine(text)
    case .array(let elements): hasher.combine(elements)
    case .object(let members): hasher.combine(members)
    }
  }
}

extension JSONValue.Member: Hashable {
  public static func == (a: Self, b: Self) -> Bool { a.key.isSpelled(b.key) && a.value == b.value }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(key)
    hasher.combine(value)
  }
}

extension String {
  /// Whether both have the same bytes. Equality of Swift, which is weaker, is the faster way to a no.
  func isSpelled(_ other: String) -> Bool { self == other && utf8.elementsEqual(other.utf8) }
}
