// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import Matrices
internal import NCZ
internal import Parallel
internal import SystemPackage
internal import Tensors

/// The decoded values of a tensor, little-endian and row-major, read front to back: of a large tensor a few pieces are in
/// memory at a time. (Chunked datasets are read at once.)
package final class ValueStream {
  private let tensor: TensorRecord
  private let threads: Threads
  private var source: Source
  /// Decoded bytes that were not read yet.
  private var decoded = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private var room = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private var next = 0

  private enum Source {
    case file(FileDescriptor, offset: Int)
    case bytes([UInt8])
    /// `bytes`: where the values of a piece lie; no piece is longer than the first.
    case pieces(
      count: Int, bytes: (Int) -> Range<Int>, decode: @Sendable (Int, UnsafeMutableRawBufferPointer) throws -> Void)
  }

  package init(_ file: NetworkFile, _ index: Int) throws(NetworkError) {
    tensor = file.tensors[index]
    threads = file.options.threads
    source = .bytes([])
    switch file.source {
    case .hdf5(let hdf5):
      if case .contiguous(let run) = tensor.place, tensor.byteOrder == .little || tensor.type.byteCount == 1 {
        source = .file(hdf5.file, offset: run.offset)
      } else {
        source = .bytes(try file.values(of: index))
      }
    case .ncz(let ncz):
      if case .raw = tensor.encoding {
        source = try about(tensor.name) {
          let (codec, blocks) = try ncz.rawBlocks(of: tensor)
          return .pieces(count: codec.blockCount, bytes: codec.piece) {
            try codec.decode(try blocks.bytes($0), into: $1)
          }
        }
      } else {
        switch try file.weights(of: index) {
        case .dense(let bytes): source = .bytes(bytes)
        case .ternary(let matrix, let transposed):
          source = Self.slabs(TernarySlabs(matrix, type: tensor.type, transposed: transposed))
        case .seeded(let matrix, let transposed):
          source = Self.slabs(SeededSlabs(matrix, type: tensor.type, transposed: transposed))
        case .sparse(let matrix, let transposed):
          source = Self.slabs(SparseSlabs(matrix, type: tensor.type, transposed: transposed))
        case .levels(let matrix, let transposed):
          source = Self.slabs(LevelsSlabs(matrix, transposed: transposed))
        case .lowRank(let matrix, let transposed):
          source = Self.slabs(LowRankSlabs(matrix, type: tensor.type, transposed: transposed))
        }
      }
    }
  }

  deinit { room.deallocate() }

  private static func slabs(_ slabs: some Slabs) -> Source {
    .pieces(count: slabs.count, bytes: slabs.bytes) { slabs.decode($0, into: $1) }
  }

  /// Reads the next bytes, as many as `out` has room for; there are as many.
  ///
  /// - Throws: `NetworkError`, also where the last byte is read and the values have not the digest that a `.ncz` declares.
  package func read(into out: UnsafeMutableRawBufferPointer) throws(NetworkError) {
    try about(tensor.name) {
      switch source {
      case .file(let file, let offset):
        try Networks.read(file, at: offset + position, into: out)
      case .bytes(let bytes):
        bytes.withUnsafeBytes { out.copyMemory(from: .init(rebasing: $0[position..<position + out.count])) }
      case .pieces(let count, let bytes, let decode):
        var rest = out
        while !rest.isEmpty {
          if decoded.isEmpty { try refill(count, bytes, decode) }
          let some = min(rest.count, decoded.count)
          rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: decoded[..<some]))
          decoded = .init(rebasing: decoded[some...])
          rest = .init(rebasing: rest[some...])
        }
      }
      position += out.count
    }
  }

  private var position = 0

  /// Decodes the next pieces, one for each thread.
  private func refill(
    _ count: Int, _ bytes: (Int) -> Range<Int>,
    _ decode: @Sendable (Int, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    guard next < count else { throw NetworkError(.corrupt, "fewer values than its shape says") }
    let size = bytes(0).count
    let batch = min(threads.count, count)
    if room.isEmpty { room = .allocate(byteCount: max(1, size * batch), alignment: 64) }
    let some = next..<min(count, next + batch)
    nonisolated(unsafe) let pieces = some.map { piece in
      let start = (piece - next) * size
      return UnsafeMutableRawBufferPointer(rebasing: room[start..<start + bytes(piece).count])
    }
    let first = next
    _ = try threads.map(pieces.count) { try decode(first + $0, pieces[$0]) }
    // All but the last are as long as the first, so they lie side by side.
    decoded = .init(rebasing: room[..<pieces.reduce(0) { $0 + $1.count }])
    next = some.upperBound
  }
}
