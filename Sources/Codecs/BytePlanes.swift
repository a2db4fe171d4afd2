/// Regroups the bytes of equal-sized little-endian elements by significance: plane 0 holds the least significant byte
/// of every element in order, and so on. Signs and exponents, which repeat, come together; mantissas, which are noise,
/// do not get between them.
enum BytePlanes {
  /// Writes the planes of `elements` to `planes`, of the same size, a multiple of `width`.
  static func split(_ elements: UnsafeRawBufferPointer, width: Int, into planes: UnsafeMutableRawBufferPointer) {
    precondition(elements.count == planes.count && elements.count % width == 0)
    switch width {
    case 2: split(elements, as: UInt16.self, into: planes)
    case 4: split(elements, as: UInt32.self, into: planes)
    case 8: split(elements, as: UInt64.self, into: planes)
    default: planes.copyMemory(from: elements)
    }
  }

  /// Writes the elements whose planes are `planes` to `elements`: the inverse of `split`.
  static func join(_ planes: UnsafeRawBufferPointer, width: Int, into elements: UnsafeMutableRawBufferPointer) {
    precondition(elements.count == planes.count && elements.count % width == 0)
    switch width {
    case 2: join(planes, as: UInt16.self, into: elements)
    case 4: join(planes, as: UInt32.self, into: elements)
    case 8: join(planes, as: UInt64.self, into: elements)
    default: elements.copyMemory(from: planes)
    }
  }

  @inline(__always)
  private static func split<Word: FixedWidthInteger & SIMDScalar>(
    _ elements: UnsafeRawBufferPointer, as: Word.Type, into planes: UnsafeMutableRawBufferPointer
  ) {
    let width = MemoryLayout<Word>.size
    let count = elements.count / width
    guard let from = elements.baseAddress, let to = planes.baseAddress else { return }
    var i = 0
    while i + 16 <= count {
      let words = from.loadUnaligned(fromByteOffset: i * width, as: SIMD16<Word>.self)
      for plane in 0..<width {
        let bytes = SIMD16<UInt8>(truncatingIfNeeded: words &>> Word(truncatingIfNeeded: 8 * plane))
        to.storeBytes(of: bytes, toByteOffset: plane * count + i, as: SIMD16<UInt8>.self)
      }
      i += 16
    }
    while i < count {
      for plane in 0..<width { planes[plane * count + i] = elements[i * width + plane] }
      i += 1
    }
  }

  @inline(__always)
  private static func join<Word: FixedWidthInteger & SIMDScalar>(
    _ planes: UnsafeRawBufferPointer, as: Word.Type, into elements: UnsafeMutableRawBufferPointer
  ) {
    let width = MemoryLayout<Word>.size
    let count = elements.count / width
    guard let from = planes.baseAddress, let to = elements.baseAddress else { return }
    var i = 0
    while i + 16 <= count {
      var words = SIMD16<Word>(repeating: 0)
      for plane in 0..<width {
        let bytes = from.loadUnaligned(fromByteOffset: plane * count + i, as: SIMD16<UInt8>.self)
        words |= SIMD16<Word>(truncatingIfNeeded: bytes) &<< Word(truncatingIfNeeded: 8 * plane)
      }
      to.storeBytes(of: words, toByteOffset: i * width, as: SIMD16<Word>.self)
      i += 16
    }
    while i < count {
      for plane in 0..<width { elements[i * width + plane] = planes[plane * count + i] }
      i += 1
    }
  }
}
