// SPDX-License-Identifier: Apache-2.0

internal import NCZ
public import Parallel
public import Tensors

/// A content digest: SHA-256, independent of how the content is stored (`spec/ncz-v1.md` §3.1, §3.2).
public struct Digest: Sendable, Hashable, CustomStringConvertible {
  /// 32 bytes.
  let bytes: [UInt8]

  /// 64 lower-case hexadecimal digits.
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

  /// Reads 64 lower-case hexadecimal digits.
  init?(_ text: String) {
    guard text.utf8.count == 64 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(32)
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

  private init(of message: SHA256) { bytes = message.finalize() }

  /// The digest of a tensor's decoded values: little-endian, row-major.
  public init(values: UnsafeRawBufferPointer, type: ElementType, shape: Shape, threads: Threads) {
    nonisolated(unsafe) let values = values
    let pieces = (values.count + Self.piece - 1) / Self.piece
    var crcs = [UInt32](repeating: 0, count: pieces)
    crcs.withUnsafeMutableBufferPointer { crcs in
      nonisolated(unsafe) let crcs = crcs
      threads.forEach(pieces) { index in
        let start = index * Self.piece
        crcs[index] = crc32(.init(rebasing: values[start..<min(start + Self.piece, values.count)]))
      }
    }
    self.init(crcs: crcs, type: type, shape: shape)
  }

  /// The digest of a tensor whose decoded values were seen piece by piece.
  package init(_ crcs: PieceCRCs, type: ElementType, shape: Shape) {
    self.init(crcs: crcs.all, type: type, shape: shape)
  }

  private init(crcs: [UInt32], type: ElementType, shape: Shape) {
    var message = SHA256()
    message.update("\(type.rawValue)[\(shape.dimensions.map(String.init).joined(separator: ","))]\n".utf8)
    message.update(Self.littleEndian(crcs))
    self.init(of: message)
  }

  /// The digest of a file.
  package init(container: (kind: String, size: Int, crcs: [UInt32])?, tensors: [(name: TensorName, digest: Digest)]) {
    var message = SHA256()
    if let container {
      message.update("container \(container.kind) \(container.size)\n".utf8)
      message.update(Self.littleEndian(container.crcs))
    }
    for tensor in tensors {
      message.update("\(tensor.name)\n".utf8)
      message.update(tensor.digest.bytes)
    }
    self.init(of: message)
  }

  /// Bytes under one CRC-32.
  package static let piece = 1 << 20

  private static func littleEndian(_ words: [UInt32]) -> [UInt8] {
    words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word &>> (8 * UInt32($0))) } }
  }
}

/// The CRC-32 of every 2²⁰ bytes of a stream.
package struct PieceCRCs {
  private var finished: [UInt32] = []
  private var crc: UInt32 = 0
  private var count = 0

  package init() {}

  var all: [UInt32] { count > 0 ? finished + [crc] : finished }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !rest.isEmpty {
      let part = min(rest.count, Digest.piece - count)
      crc = crc32(.init(rebasing: rest[..<part]), continuing: crc)
      count += part
      rest = .init(rebasing: rest[part...])
      if count == Digest.piece {
        finished.append(crc)
        (crc, count) = (0, 0)
      }
    }
  }
}
