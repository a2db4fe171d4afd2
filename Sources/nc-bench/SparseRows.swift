// SPDX-License-Identifier: Apache-2.0

import CLoops
import Codecs
import Glibc
import Parallel
import Random
import Tensors
import ToolSupport

/// Weights N(0, σ²), size × size, of which those above a threshold are kept.
private struct Pruned {
  static let size = 4096
  static let count = size * size
  /// Of an initialised layer, and some whose thresholds have other exponents and lie elsewhere between powers of two.
  static let deviations: [Float] = [0.02, 0.05, 1, 1.3]

  /// The fraction that is kept.
  let keep: String
  /// The largest magnitude that is not kept, in standard deviations.
  let threshold: Float
  let deviation: Float

  /// So many as `nc-prune` would keep: the thresholds are those of these numbers, not of the distribution.
  static func all(deviation: Float) -> [Pruned] {
    [
      Pruned(keep: ".1", threshold: 1.6457691, deviation: deviation),
      Pruned(keep: ".01", threshold: 2.5755641, deviation: deviation),
    ]
  }

  var data: String { "\(Self.size)×\(Self.size) float32, σ = \(deviation), keep \(keep)" }

  /// Makes the rows in order, always the same but for their scale.
  struct Rows {
    fileprivate let pruned: Pruned
    private var random = SplitMix64(seed: 3)

    fileprivate init(_ pruned: Pruned) { self.pruned = pruned }

    mutating func next() -> [Float] {
      random.floats(.gaussian, Pruned.size).map { $0.magnitude > pruned.threshold ? pruned.deviation * $0 : 0 }
    }
  }

  var rows: Rows { Rows(self) }
}

/// Times the sparse encoding: a sparse matrix to blocks, and blocks by way of a sparse matrix to dense rows.
func measureSparse(into bench: inout Measurements) throws {
  let (size, count) = (Pruned.size, Pruned.count)
  let bytes = 4 * count
  guard ["sparse encode", "sparse decode"].contains(where: bench.wants) else { return }
  let codec = try SparseCodec(rows: size, columns: size, type: .float32)
  for pruned in Pruned.deviations.flatMap(Pruned.all) {
    var rows = pruned.rows
    let weights = (0..<size).flatMap { _ in rows.next() }
    let matrix = sparse(weights, size: size)
    for threads in [1, 2] {
      let parallel = Threads(threads)
      let (positions, least, parts) = try codec.encode(matrix, threads: parallel)
      try bench.add(
        "sparse encode", "\(pruned.data), \(positions.rawValue)", threads: threads, bytes: bytes,
        bits: bits(of: parts.joined(), weights: count)
      ) {
        _ = try codec.encode(matrix, threads: parallel)
      }
      var dense = [Float](repeating: 1, count: count)
      try bench.add(
        "sparse decode", "\(pruned.data), \(positions.rawValue)", threads: threads, bytes: bytes
      ) {
        let matrix = try codec.decode(positions, least: least, threads: parallel) { parts[$0][$1] }
        expand(matrix, into: &dense, threads: parallel)
      }
      precondition(!bench.wants("sparse decode") || dense == weights, "decoded weights are others")
    }
  }
}

private func sparse(_ weights: [Float], size: Int) -> SparseMatrix {
  var mask = [UInt8](repeating: 0, count: size * SparseMatrix.maskRowBytes(columns: size))
  var values = [UInt8](unsafeUninitializedCapacity: 4 * weights.count) { values, count in
    if let base = values.baseAddress { count = 4 * nc_mask_compact(weights, weights.count, 4, 0, &mask, 0, base) }
  }
  // Without the room that was left over.
  values = Array(values[...])
  guard let matrix = SparseMatrix(rows: size, columns: size, type: .float32, mask: mask, values: values) else {
    fatalError("sizes that do not agree")
  }
  return matrix
}

/// Writes all weights, row-major, in slabs of 2²⁰ bytes.
private func expand(_ matrix: SparseMatrix, into dense: inout [Float], threads: Threads) {
  let slab = 1 << 18
  let counts = matrix.mask.withUnsafeBufferPointer { mask in
    (0..<dense.count / slab).map { index in mask.baseAddress.map { nc_mask_count($0 + index * slab / 8, slab / 8) } ?? 0
    }
  }
  let starts = counts.indices.map { counts[..<$0].reduce(0, +) }
  dense.withUnsafeMutableBufferPointer { dense in
    nonisolated(unsafe) let dense = dense
    threads.forEach(counts.count) { index in
      matrix.values.withUnsafeBytes { values in
        guard let out = dense.baseAddress, let values = values.baseAddress else { return }
        nc_mask_expand(matrix.mask, index * slab, slab, 4, values + 4 * starts[index], out + index * slab)
      }
    }
  }
}

/// Stored bits for each weight: the blocks, and what the directory says of each of them.
private func bits(of blocks: some Sequence<[UInt8]>, weights: Int) -> Double {
  let bytes = blocks.reduce(0) { $0 + $1.count + "[\($1.count),\(nc_crc32(0, $1, $1.count))],".utf8.count }
  return 8 * Double(bytes) / Double(weights)
}

// MARK: - Other programs

/// Times what is commonly done to pruned networks, on an HDF5 file of the weights that `measureSparse` encodes. What is
/// decompressed goes to /dev/null.
func measureSparsePeers(scratch: String, into bench: inout Measurements) throws {
  let directory = try temporaryDirectory(in: scratch)
  let (dense, stored) = (directory + "/pruned.h5", directory + "/stored")
  defer {
    for path in [dense, dense + ".gz", stored] { unlink(path) }
    rmdir(directory)
  }
  let peers: [(name: String, arguments: [String], output: String?)] = [
    ("sparse zstd -3", ["zstd", "-3", "-q", "-f", dense, "-o", stored], stored),
    ("sparse zstd -d", ["zstd", "-d", "-q", "-c", stored], nil),
    ("sparse gzip -6", ["gzip", "-6", "-k", "-f", dense], dense + ".gz"),
    ("sparse gzip -d", ["gzip", "-d", "-c", dense + ".gz"], nil),
    ("sparse h5repack SHUF GZIP=4", ["h5repack", "-f", "SHUF", "-f", "GZIP=4", dense, stored], stored),
  ]
  guard peers.contains(where: { bench.wants($0.name) }) else { return }
  for pruned in Pruned.all(deviation: 0.02) {
    var rows = pruned.rows
    unlink(dense)
    try writeMatrices(to: dense, size: Pruned.size) { rows.next() }
    for (name, arguments, output) in peers {
      guard isInstalled(arguments[0]) else {
        if bench.wants(name) {
          bench.add(Measurement(name: name, data: "\(pruned.data): not installed", threads: 1, bytes: nil, runs: []))
        }
        continue
      }
      // Also when it was not asked for: others read what it writes.
      let runs = try (0..<(bench.wants(name) ? bench.repetitions : 1)).map { _ in try run(arguments) }
      guard bench.wants(name) else { continue }
      bench.add(
        Measurement(
          name: name, data: pruned.data, threads: 1, bytes: 4 * Pruned.count, runs: runs.map(\.duration),
          memory: runs.map(\.memory).max(),
          bits: output.map { 8 * Double(fileSize($0)) / Double(Pruned.count) }))
    }
  }
}

/// Whether the shell would find a program of this name.
private func isInstalled(_ name: String) -> Bool {
  let path = getenv("PATH").map { String(cString: $0) } ?? ""
  return path.split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
}

private func fileSize(_ path: String) -> Int {
  var status = stat()
  return stat(path, &status) == 0 ? Int(status.st_size) : 0
}
