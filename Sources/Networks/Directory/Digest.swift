// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Parallel
public import Tensors

/// A content digest: 128 bits against accident, whatever the size, independent of how the content is stored
/// (`spec/ncz-v1.md` §3.1, §3.2).
public struct Digest: Sendable, Hashable, CustomStringConvertible {
  /// 16 bytes.
  let bytes: [UInt8]

  static let byteCount = 16

  /// 32 lower-case hexadecimal digits.
  public var description: String {
    String(unsafeUninitializedCapacity: 2 * bytes.count) { digits in
      let hexadecimal: StaticString = "0123456789abcdef"
      for (index, byte) in bytes.enumerated() {
        digits[2 * index] = hexadecimal.utf8Start[Int(byte >> 4)]
        digits[2 * index + 1] = hexadecimal.utf8Start[Int(byte & 15)]
      }
      return 2 * bytes.count
    }
  }

  /// Reads 32 lower-case hexadecimal digits.
  init?(_ text: String) {
    guard text.utf8.count == 2 * Self.byteCount else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount)
    var high: UInt8?
    for digit in text.utf8 {
      let value: UInt8
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
      default: return nil
      }
      if let first = high {
        bytes.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    self.bytes = bytes
  }

  init(bytes: [UInt8]) { self.bytes = bytes }

  init(of message: SHA256) { bytes = Array(message.finalize().prefix(Self.byteCount)) }

  /// The digest of a tensor's decoded values: little-endian, row-major.
  public init(values: UnsafeRawBufferPointer, type: ElementType, shape: Shape, threads: Threads) {
    var folded = FoldedBytes()
    folded.update(values, threads: threads)
    self = folded.digest(type: type, shape: shape)
  }
}

/// Bytes that are seen piece by piece, folded to a hundredth of their size before they are hashed.
package struct FoldedBytes {
  private var sums: [UInt64] = []
  /// The beginning of a piece that is not whole.
  private var rest: [UInt8] = []
  private var byteCount = 0

  package init() {}

  /// Bytes that are folded to four sums.
  private static let piece = 4096
  /// Pieces that a thread folds at once.
  private static let batch = 256

  /// The words that the sums depend on: digests of numbered texts, so that nobody chose them.
  private static let key: [UInt32] = (0..<130).flatMap { number in
    var message = SHA256()
    message.update("ncz digest key \(number)".utf8)
    return message.finalize().withUnsafeBytes { bytes in
      (0..<8).map { UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)) }
    }
  }

  package mutating func update(_ bytes: UnsafeRawBufferPointer, threads: Threads = Threads(1)) {
    byteCount += bytes.count
    var bytes = bytes
    if !rest.isEmpty {
      let taken = min(bytes.count, Self.piece - rest.count)
      rest += bytes[..<taken]
      bytes = .init(rebasing: bytes[taken...])
      guard rest.count == Self.piece else { return }
      rest.withUnsafeBytes { fold($0, threads) }
      rest = []
    }
    let whole = bytes.count / Self.piece * Self.piece
    fold(.init(rebasing: bytes[..<whole]), threads)
    rest += bytes[whole...]
  }

  /// Appends four sums for each piece, of which the last may be shorter.
  private mutating func fold(_ bytes: UnsafeRawBufferPointer, _ threads: Threads) {
    let pieces = (bytes.count + Self.piece - 1) / Self.piece
    let first = sums.count
    sums += [UInt64](repeating: 0, count: 4 * pieces)
    nonisolated(unsafe) let bytes = bytes
    sums.withUnsafeMutableBufferPointer { sums in
      nonisolated(unsafe) let sums = UnsafeMutableBufferPointer(rebasing: sums[first...])
      threads.forEach((pieces + Self.batch - 1) / Self.batch) { batch in
        let start = batch * Self.batch * Self.piece
        let part = UnsafeRawBufferPointer(
          rebasing: bytes[start..<min(bytes.count, start + Self.batch * Self.piece)])
        guard let base = part.baseAddress, let out = sums.baseAddress else { return }
        nc_fold(Self.key, base, part.count, out + 4 * batch * Self.batch)
      }
    }
  }

  /// The digest of a tensor of these values.
  package func digest(type: ElementType, shape: Shape) -> Digest {
    digest("tensor \(type.rawValue)[\(shape.dimensions.map(String.init).joined(separator: ","))]")
  }

  /// The digest of the remaining bytes of a source file.
  package func digest(containerKind: String, size: Int) -> Digest { digest("container \(containerKind) \(size)") }

  private func digest(_ what: String) -> Digest {
    var whole = self
    whole.rest.withUnsafeBytes { whole.fold($0, Threads(1)) }
    var message = SHA256()
    message.update("ncz \(what) \(byteCount)\n".utf8)
    for start in stride(from: 0, to: whole.sums.count, by: 1 << 16) {
      let sums = whole.sums[start..<min(whole.sums.count, start + 1 << 16)].map { $0.littleEndian }
      sums.withUnsafeBytes { message.update($0) }
    }
    return Digest(of: message)
  }
}
