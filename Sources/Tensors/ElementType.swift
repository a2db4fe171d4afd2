// SPDX-License-Identifier: Apache-2.0

/// The type of one element of a tensor, as every `.ncz` directory names it.
public enum ElementType: String, Sendable, Hashable, CaseIterable {
  case int8, int16, int32, int64
  case uint8, uint16, uint32, uint64
  case float16, bfloat16, float32, float64

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .int8, .uint8: 1
    case .int16, .uint16, .float16, .bfloat16: 2
    case .int32, .uint32, .float32: 4
    case .int64, .uint64, .float64: 8
    }
  }

  /// Whether the elements are floating-point numbers, and so can be weights.
  public var isFloat: Bool {
    switch self {
    case .float16, .bfloat16, .float32, .float64: true
    default: false
    }
  }
}

extension ElementType {
  /// Whether a number is a value of this floating-point type; never of an integer type.
  public func contains(_ value: Double) -> Bool {
    switch self {
    case .float16: Double(Float16(value)) == value
    case .bfloat16: Double(Float(value)) == value && Float(value).bitPattern & 0xFFFF == 0
    case .float32: Double(Float(value)) == value
    case .float64: true
    default: false
    }
  }
}

/// The order of the bytes of one element in the source file. Values in memory and in payloads are
/// always little-endian.
public enum ByteOrder: String, Sendable, Hashable {
  case little, big
}
