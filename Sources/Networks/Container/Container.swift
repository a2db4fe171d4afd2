// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import NCZ
internal import Parallel
internal import SystemPackage
internal import Tensors

/// The bytes of a source file that lie outside its tensors, in order (`spec/ncz-v1.md` §5).
struct RemainingBytes {
  /// Runs of the source file, in order.
  let runs: [Place.Run]

  /// What is left of `size` bytes without `holes`, which are in order, disjoint and inside.
  init(size: Int, holes: [Place.Run]) {
    var runs: [Place.Run] = []
    var start = 0
    for hole in holes {
      if hole.offset > start { runs.append(Place.Run(offset: start, length: hole.offset - start)) }
      start = hole.end
    }
    if size > start { runs.append(Place.Run(offset: start, length: size - start)) }
    self.runs = runs
  }

  var count: Int { runs.reduce(0) { $0 + $1.length } }

  /// Divides `count` bytes that begin at `position` of the remaining bytes into runs of the source file.
  ///
  /// `position` only ever grows; `cursor` remembers the run it lies in.
  func runs(at position: Int, count: Int, cursor: inout (run: Int, start: Int)) -> [Place.Run] {
    var result: [Place.Run] = []
    var position = position
    var left = count
    while left > 0, cursor.run < runs.count {
      let run = runs[cursor.run]
      let inside = position - cursor.start
      let length = min(left, run.length - inside)
      if length > 0 { result.append(Place.Run(offset: run.offset + inside, length: length)) }
      position += length
      left -= length
      if inside + length == run.length {
        cursor.start += run.length
        cursor.run += 1
      }
    }
    return result
  }
}

/// The encoding of the remaining bytes: one byte an element.
func containerCodec(byteCount: Int) throws -> RawCodec { try RawCodec(.uint8, count: byteCount) }
