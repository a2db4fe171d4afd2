// SPDX-License-Identifier: Apache-2.0

extension Float {
  /// The value of a bfloat16, which is the upper half of a float32.
  public init(bfloat16 bits: UInt16) { self.init(bitPattern: UInt32(bits) << 16) }
}

extension ElementType {
  /// Writes elements of this floating-point type, from number `first` on, as many as `out` has room for.
  public func read(_ bytes: UnsafeRawBufferPointer, from first: Int, to out: UnsafeMutableBufferPointer<Double>) {
    func load<Element>(_ i: Int, _: Element.Type) -> Element {
      bytes.loadUnaligned(fromByteOffset: (first + i) * byteCount, as: Element.self)
    }
    func fill(_ number: (Int) -> Double) {
      for i in out.indices { out.initializeElement(at: i, to: number(i)) }
    }
    switch self {
    case .float16: fill { Double(load($0, Float16.self)) }
    case .bfloat16: fill { Double(Float(bfloat16: load($0, UInt16.self))) }
    case .float32: fill { Double(load($0, Float.self)) }
    default: fill { load($0, Double.self) }
    }
  }

  /// Element `index` of little-endian bytes of any type; integers beyond 2⁵³ are rounded.
  public func number(_ index: Int, of bytes: UnsafeRawBufferPointer) -> Double {
    let offset = index * byteCount
    func load<Element>(_: Element.Type) -> Element { bytes.loadUnaligned(fromByteOffset: offset, as: Element.self) }
    return switch self {
    case .int8: Double(load(Int8.self))
    case .int16: Double(load(Int16.self))
    case .int32: Double(load(Int32.self))
    case .int64: Double(load(Int64.self))
    case .uint8: Double(load(UInt8.self))
    case .uint16: Double(load(UInt16.self))
    case .uint32: Double(load(UInt32.self))
    case .uint64: Double(load(UInt64.self))
    case .float16: Double(load(Float16.self))
    case .bfloat16: Double(Float(bfloat16: load(UInt16.self)))
    case .float32: Double(load(Float.self))
    case .float64: load(Double.self)
    }
  }

  /// Numbers from little-endian elements of this floating-point type.
  public func numbers(_ bytes: [UInt8]) -> [Double] {
    [Double](unsafeUninitializedCapacity: bytes.count / byteCount) { out, count in
      count = bytes.count / byteCount
      bytes.withUnsafeBytes { read($0, from: 0, to: UnsafeMutableBufferPointer(rebasing: out[..<count])) }
    }
  }

  /// Little-endian elements of this floating-point type: each number rounded once, to nearest, ties to even.
  public func bytes(rounding numbers: [Double]) -> [UInt8] {
    numbers.flatMap { number in
      let bits = bits(number)
      return (0..<byteCount).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
    }
  }
}
