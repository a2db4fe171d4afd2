// SPDX-License-Identifier: Apache-2.0

import HDF5
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks

/// Samples of several files.
@Suite("Data files") struct DataFileTests {
  /// Samples of two or more features that count up from a number, and one answer each if any.
  private func data(
    _ name: String, first: Int, samples: Int, shape: [Int] = [2], isByte: Bool = true,
    answers: ClosedRange<Int>? = 0...0,
    scale: Double? = nil
  ) throws -> DataFile {
    BuiltTools.serveHDF5()
    let file = try OpenFile()
    try file.with { output, _ in
      var new = try NewFile(output, limits: Limits(memory: 1 << 30, seconds: 10))
      let byte = Datatype.integer(size: 1, signed: false, bigEndian: false)
      let float = Datatype.float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: false)
      let numbers = (0..<samples * shape.reduce(1, *)).map { first + $0 }
      try add(
        "x", isByte ? byte : float, [samples] + shape,
        isByte ? numbers.map { UInt8($0) } : numbers.map { Float($0) }.withUnsafeBytes { Array($0) }, to: &new, output)
      if let answers {
        let count = answers.count
        try add(
          "y", byte, count == 1 ? [samples] : [samples, count], (0..<samples * count).map { UInt8(first + $0) },
          to: &new,
          output)
      }
      try new.close()
    }
    return try withNetwork(file) { try DataFile($0, name: name, DataFile.Options(scale: scale)) }
  }

  private func add(
    _ name: TensorName, _ type: Datatype, _ dimensions: [Int], _ bytes: [UInt8], to new: inout NewFile,
    _ output: FileDescriptor
  ) throws {
    let place = try new.addDataset(LinkName.path(name), type: type, dimensions: dimensions.map { UInt64($0) })
    _ = try output.writeAll(toAbsoluteOffset: Int64(try #require(place).offset), bytes)
  }

  private func numbers(_ data: DataFile, _ range: Range<Int>) -> [Double] {
    [Double](unsafeUninitializedCapacity: range.count * data.inputCount) { out, count in
      count = range.count * data.inputCount
      data.fill(range, UnsafeMutableBufferPointer(rebasing: out[..<count]))
    }
  }

  /// Those of one file after those of the other, as if they were of one.
  @Test(arguments: [true, false]) func severalAreAsOne(isByte: Bool) throws {
    let whole = try data("all", first: 0, samples: 9, isByte: isByte)
    var parts = try data("a", first: 0, samples: 4, isByte: isByte)
    #expect(parts.digest != whole.digest)
    for (name, first, samples) in [("b", 4, 2), ("c", 6, 3)] {
      try parts.append(data(name, first: 2 * first, samples: samples, isByte: isByte), memory: 1 << 20)
    }
    #expect(parts.samples == 9 && parts.shape == whole.shape && parts.scale == whole.scale)
    #expect(parts.names == ["a", "b", "c"] && parts.name == "a, b, c")
    #expect(parts.digest == whole.digest)
    #expect(parts.answers == [0, 1, 2, 3, 8, 9, 12, 13, 14])
    for range in [0..<9, 0..<4, 3..<5, 4..<6, 5..<7, 2..<8, 8..<9, 6..<6] {
      #expect(numbers(parts, range) == numbers(whole, range), "\(range)")
    }
  }

  /// Samples and answers of one shape and type.
  @Test func othersAreRefused() throws {
    let first = try data("a", first: 0, samples: 3)
    for (other, says) in [
      (try data("b", first: 0, samples: 3, shape: [3]), "x: uint8 of 2 and uint8 of 3 a sample"),
      (try data("b", first: 0, samples: 3, shape: [2, 1]), "x: uint8 of 2 and uint8 of 2×1 a sample"),
      (try data("b", first: 0, samples: 3, isByte: false), "x: uint8 of 2 and float32 of 2 a sample"),
      (try data("b", first: 0, samples: 3, answers: nil), "y: uint8 of 1 and nothing a sample"),
      (try data("b", first: 0, samples: 3, answers: 0...1), "y: uint8 of 1 and uint8 of 2 a sample"),
    ] {
      var all = first
      let error = #expect(throws: NetworkError.self) { try all.append(other, memory: 1 << 20) }
      #expect(error?.verdict == .unusable && error?.message.hasPrefix(says) == true, "\(String(describing: error))")
      #expect(all.samples == 3)
    }
    // Six samples have 12 bytes, and answers of 48 as doubles.
    for (memory, isEnough) in [(47, false), (48, true)] {
      var all = first
      let more = try data("b", first: 0, samples: 3)
      if isEnough {
        try all.append(more, memory: memory)
        #expect(all.samples == 6)
      } else {
        let error = #expect(throws: NetworkError.self) { try all.append(more, memory: memory) }
        #expect(error?.verdict == .overLimit)
      }
    }
  }
}
