// SPDX-License-Identifier: Apache-2.0

import CLoops
import Codecs
import Glibc
import Parallel
import Random
import Tensors

/// Times codes by frequency, the levels encoding, and the fold of digests.
func measureLevels(into bench: inout Measurements) throws {
  let side = 4096
  let count = side * side
  let bytes = 4 * count
  let square = "\(side)×\(side)"
  let names = ["fold", "distinct", "quantize", "rans", "levels"]
  guard names.contains(where: { name in bench.wants(name) || bench.only.contains { $0.hasPrefix(name) } }) else {
    return
  }
  var random = SplitMix64(seed: 5)
  let weights = random.floats(.gaussian, count)

  let key = (0..<nc_fold_key_words).map { _ in UInt32(truncatingIfNeeded: random.next()) }
  var sums = [UInt64](repeating: 0, count: bytes / 4096 * 4)
  bench.add("fold", "\(bytes >> 20) MiB", bytes: bytes) { nc_fold(key, weights, bytes, &sums) }
  bench.add("fold in cache", "64 × 1 MiB", bytes: 64 << 20) {
    for _ in 0..<64 { nc_fold(key, weights, 1 << 20, &sums) }
  }

  for (step, name) in [(Float(0.4), "16 levels"), (2, "5 levels")] {
    var codes = [Int8](repeating: 0, count: count)
    bench.add("quantize", "\(square) float32, \(name)", bytes: bytes) {
      _ = nc_grid_codes(weights, count, 1 / step, &codes)
    }
    _ = nc_grid_codes(weights, count, 1 / step, &codes)
    let symbols = codes.map { UInt8(bitPattern: $0 &+ 127 &+ 1) }
    try measureRans(symbols, codes: codes, "\(square), \(name)", into: &bench)
    guard
      let matrix = LevelsMatrix(
        rows: side, columns: side, type: .float32, codes: codes.map { UInt8(bitPattern: $0) },
        levels: .grid(scales: [Double(step)], group: .tensor, exceptions: []))
    else { fatalError("codes that are none") }
    for threads in [1, 2] {
      let parallel = Threads(threads)
      let (parameters, parts) = try LevelsCodec.encode(matrix, threads: parallel)
      let bits = 8 * Double(parts.joined().reduce(0) { $0 + $1.count }) / Double(count)
      try bench.add("levels encode", "\(square) float32, \(name)", threads: threads, bytes: bytes, bits: bits) {
        _ = try LevelsCodec.encode(matrix, threads: parallel)
      }
      let codec = try LevelsCodec(rows: side, columns: side, type: .float32, parameters)
      var dense = [Float](repeating: 0, count: count)
      try bench.add("levels decode", "\(square) float32, \(name)", threads: threads, bytes: bytes) {
        let matrix = try codec.decode(threads: parallel) { parts[$0][$1] }
        expand(matrix.codes, scale: Double(step), into: &dense, threads: parallel)
      }
    }
  }

  let few = weights.map { ($0 * 2).rounded(.toNearestOrEven) }
  var patterns = [UInt64](repeating: 0, count: 256)
  bench.add("distinct", "\(square) float32", bytes: bytes) { _ = nc_distinct(few, count, 4, &patterns, 0) }
  bench.add("distinct, all are", "\(square) float32", bytes: bytes) { _ = nc_distinct(weights, count, 4, &patterns, 0) }
}

/// Codes in blocks as the levels encoding has them; speeds are those of float32 weights.
private func measureRans(_ symbols: [UInt8], codes: [Int8], _ data: String, into bench: inout Measurements) throws {
  let block = 1 << 18
  let blocks = symbols.count / block
  let room = nc_rans_room(block, 1)
  var stored = [UInt8](repeating: 0, count: blocks * room)
  var sizes = [Int](repeating: 0, count: blocks)
  func encode() {
    stored.withUnsafeMutableBufferPointer { stored in
      symbols.withUnsafeBufferPointer { symbols in
        guard let stored = stored.baseAddress, let symbols = symbols.baseAddress else { return }
        for i in 0..<blocks { sizes[i] = nc_rans_encode(symbols + i * block, [block], 1, -1, stored + i * room) }
      }
    }
  }
  encode()
  let bits = 8 * Double(sizes.reduce(0, +)) / Double(symbols.count)
  bench.add("rans encode", data, bytes: 4 * symbols.count, bits: bits, encode)
  var out = [UInt8](repeating: 0, count: block)
  var dense = [Float](repeating: 0, count: symbols.count)
  func decode(_ isExpanded: Bool) {
    stored.withUnsafeBufferPointer { stored in
      dense.withUnsafeMutableBufferPointer { dense in
        guard let stored = stored.baseAddress, let dense = dense.baseAddress else { return }
        for i in 0..<blocks {
          let verdict = nc_rans_decode(stored + i * room, sizes[i], [block], 1, &out)
          precondition(verdict == nc_rans_sound, "codes do not come back")
          guard isExpanded else { continue }
          nc_codes_flip(&out, block, 0x80)
          out.withUnsafeBytes { codes in
            guard let codes = codes.bindMemory(to: Int8.self).baseAddress else { return }
            nc_grid_values(codes, block, 0.5, 4, false, dense + i * block)
          }
        }
      }
    }
  }
  bench.add("rans decode", data, bytes: 4 * symbols.count) { decode(false) }
  bench.add("rans decode to values", data, bytes: 4 * symbols.count) { decode(true) }
  precondition(
    !bench.wants("rans decode to values") || zip(dense, codes).allSatisfy { $0 == 0.5 * Float($1) },
    "decoded weights are others")
}

private func expand(_ codes: [UInt8], scale: Double, into dense: inout [Float], threads: Threads) {
  let slab = 1 << 18
  dense.withUnsafeMutableBufferPointer { dense in
    nonisolated(unsafe) let dense = dense.baseAddress
    threads.forEach(codes.count / slab) { index in
      codes.withUnsafeBytes { codes in
        guard let codes = codes.bindMemory(to: Int8.self).baseAddress, let dense else { return }
        nc_grid_values(codes + index * slab, slab, scale, 4, false, dense + index * slab)
      }
    }
  }
}
