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
    case .bfloat16: fill { Double(Float(bitPattern: UInt32(load($0, UInt16.self)) << 16)) }
    case .float32: fill { Double(load($0, Float.self)) }
    default: fill { load($0, Double.self) }
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
