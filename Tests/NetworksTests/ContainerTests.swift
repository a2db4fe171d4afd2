// SPDX-License-Identifier: Apache-2.0

import Compression
import Random
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Measures
@testable import Networks
@testable import Transforms

@Suite("Container")
struct ContainerTests {
  /// Disjoint runs inside `size` bytes, in order.
  private func holes(size: Int, _ random: inout SplitMix64) -> [Place.Run] {
    var holes: [Place.Run] = []
    var position = 0
    while position < size, Int.random(in: 0..<8, using: &random) > 0 {
      position += Int.random(in: 0...3, using: &random)
      let length = Int.random(in: 1...9, using: &random)
      guard position + length <= size else { break }
      holes.append(Place.Run(offset: position, length: length))
      position += length
    }
    return holes
  }

  /// Holes and runs together are every byte of the file, once.
  @Test(arguments: 0..<200 as Range<UInt64>) func holesAndRemainingBytesPartitionTheFile(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let size = Int.random(in: 0...80, using: &random)
    let holes = holes(size: size, &random)
    let remaining = RemainingBytes(size: size, holes: holes)
    var owners = [Int](repeating: 0, count: size)
    for run in holes + remaining.runs { for byte in run.offset..<run.end { owners[byte] += 1 } }
    #expect(owners.allSatisfy { $0 == 1 })
    #expect(remaining.count == size - holes.reduce(0) { $0 + $1.length })
    #expect(remaining.runs.allSatisfy { $0.length > 0 })
    #expect(zip(remaining.runs, remaining.runs.dropFirst()).allSatisfy { $0.end < $1.offset })
  }

  /// The pieces, one after the other, are the runs, whatever the sizes of the pieces.
  @Test(arguments: 0..<200 as Range<UInt64>) func piecesAreTheRunsInOrder(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let size = Int.random(in: 0...80, using: &random)
    let remaining = RemainingBytes(size: size, holes: holes(size: size, &random))
    var cursor = (run: 0, start: 0)
    var position = 0
    var bytes: [Int] = []
    while position < remaining.count {
      let count = min(Int.random(in: 1...20, using: &random), remaining.count - position)
      let runs = remaining.runs(at: position, count: count, cursor: &cursor)
      #expect(runs.reduce(0) { $0 + $1.length } == count)
      bytes += runs.flatMap { Array($0.offset..<$0.end) }
      position += count
    }
    #expect(bytes == remaining.runs.flatMap { Array($0.offset..<$0.end) })
  }

  @Test func swappingBytesReversesEveryElement() {
    let bytes = (0..<16).map { UInt8($0) }
    func swapped(_ size: Int) -> [UInt8] {
      var copy = bytes
      swapBytes(&copy, elementSize: size)
      return copy
    }
    #expect(swapped(1) == bytes)
    #expect(swapped(2) == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14])
    #expect(swapped(4) == [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12])
    #expect(swapped(8) == [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8])
    var none: [UInt8] = []
    swapBytes(&none, elementSize: 8)
    #expect(none.isEmpty)
  }

  /// With nothing changed, what is restored is the source, byte for byte, and the file tests as sound.
  @Test(arguments: Fixtures.networks) func everyHoleIsFilledAgain(path: FilePath) throws {
    let (compressed, restored) = (try OpenFile(), try OpenFile())
    try withNetwork(OpenFile(path)) { source in
      let report = try compressed.with { file, _ in
        try source.apply(
          .ternarize(.row, .optimal), to: file,
          CompressingOptions(
            selection: Selection(except: ["*"]), dropsOptimizer: false, writing: WritingOptions(), tool: "test",
            version: "0"))
      }
      #expect(report.relativeL2 == nil && report.tensors.allSatisfy { $0.outcome == .carried })
      #expect(try report.outputBytes == compressed.bytes.count)

      try withNetwork(compressed) { network in
        #expect(network.kind == .ncz)
        #expect(network.network == source.network)
        #expect(network.tensors.map(\.name) == source.tensors.map(\.name))
        for index in source.tensors.indices {
          #expect(try network.values(of: index) == source.values(of: index))
        }
        #expect(try restored.with { file, _ in try network.restore(to: file) } == source.size)
        try OpenFile().with { file, _ in try network.test(scratch: file) }
      }
    }
    #expect(try restored.bytes == contents(of: path))
  }
}
