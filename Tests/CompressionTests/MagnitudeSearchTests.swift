// SPDX-License-Identifier: Apache-2.0

import Parallel
import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

/// The searches where there are too many weights to collect them all.
@Suite struct MagnitudeSearchTests {
  private func expectThreshold(_ elements: [Float], _ keep: Fraction, _ sorted: [Float]) throws {
    let threshold = try elements.withUnsafeBytes {
      try magnitudeThreshold($0, type: .float32, rule: .keep(keep), threads: Threads(2))
    }
    let k = keep.ceiling(of: elements.count)
    #expect(threshold.magnitude == Double(sorted[k - 1]))
    let equal = sorted.count { $0 == sorted[k - 1] }
    let larger = sorted.count { $0 > sorted[k - 1] }
    #expect(threshold.ties == (k - larger == equal ? nil : k - larger))
  }

  @Test(arguments: [Distribution.gaussian, .ties, .tails, .sparse]) func samplesLeadToTheKthLargest(
    _ distribution: Distribution
  ) throws {
    var random = SplitMix64(seed: 11)
    // Two blocks: 2^18 elements a block.
    let elements = random.floats(distribution, 270_000)
    let sorted = elements.map(\.magnitude).sorted(by: >)
    for keep in ["0.000001", "0.001", "0.1", "0.5", "0.75", "0.999", "0.99999"] {
      try expectThreshold(elements, Fraction(keep)!, sorted)
    }
  }

  @Test func samplesMayMislead() throws {
    let n = 140_000
    // A number that tells the place of each element that is sampled.
    let places = (0..<n).map { Float($0) }
    let sampled = places.withUnsafeBytes { bytes in
      SourceElements(bytes: bytes, type: .float32).sample(1 << 15).map { Int(Double(bitPattern: $0)) }
    }
    var random = SplitMix64(seed: 12)
    for (inSample, elsewhere) in [(100.0, 1.0), (1, 100), (0, 1), (1, 0)] {
      var elements = (0..<n).map { _ in Float(elsewhere * random.gaussian()) }
      for place in sampled { elements[place] = Float(inSample * random.gaussian()) }
      let sorted = elements.map(\.magnitude).sorted(by: >)
      for keep in ["0.01", "0.5", "0.9"] { try expectThreshold(elements, Fraction(keep)!, sorted) }
    }
    #expect(Set(sampled).count == sampled.count)
  }

  /// More weights equal the few values in question than are collected.
  @Test func fewValues() throws {
    var random = SplitMix64(seed: 13)
    let elements = (0..<600_000).map { _ in Float(1 + random.below(2)) * 0.25 }
    let sorted = elements.sorted(by: >)
    let larger = sorted.count { $0 == 0.5 }
    // At the boundary between both.
    for k in [larger - 1, larger, larger + 1] {
      let threshold = try elements.withUnsafeBytes { bytes in
        try thresholdKeeping(k, of: SourceElements(bytes: bytes, type: .float32), threads: Threads(2))
      }
      #expect(threshold.magnitude == (k > larger ? 0.25 : 0.5))
      #expect(threshold.ties == (k == larger ? nil : k > larger ? 1 : k))
    }
  }

  /// Few magnitudes may be collected, and bins are few.
  @Test(arguments: [Kind.gaussian, .ties, .wide, .equal]) func binsLeadToTheKthLargest(_ kind: Kind) throws {
    var random = SplitMix64(seed: 14)
    for type in [ElementType.float16, .float64] {
      let bits = (0..<9000).map { _ in random.bits(kind, type) }
      let sorted = bits.map { value($0, type).magnitude }.sorted(by: >)
      littleEndian(bits, size: type.byteCount).withUnsafeBytes { bytes in
        let elements = SourceElements(bytes: bytes, type: type)
        for rank in [1, 2, 17, 4500, 8999, 9000] {
          let thresholds = RankSearch(rank: rank, limit: 1, bits: 3).thresholds(
            from: SourceElements.finite, contents: { [elements.contents($0, limit: 1, threads: Threads(1))] },
            counts: { elements.counts(in: $0, threads: Threads(1)) })
          #expect(thresholds.count == 1 && thresholds[0].magnitude == sorted[rank - 1])
          #expect(elements.count(thresholds[0], threads: Threads(2)) == rank)
        }
      }
    }
  }

  @Test func oneThresholdForANetwork() throws {
    var random = SplitMix64(seed: 15)
    let types: [ElementType] = [.float32, .float16, .float64, .bfloat16]
    for trial in 0..<40 {
      let kinds: [Kind] = trial % 2 == 0 ? [.gaussian] : [.ties, .zeros, .equal]
      var matrices = (0..<random.below(6)).map { i in
        random.matrix(
          kinds.randomElement(using: &random)!, types[(trial + i) % 4], random.below(9), random.below(20),
          transposed: i % 2 == 0)
      }
      var bad: [Int: Int] = [:]
      if trial % 5 == 0, let i = matrices.indices.randomElement(using: &random), matrices[i].count > 0 {
        bad[i] = random.below(matrices[i].count)
        matrices[i].bits[bad[i]!] = matrices[i].type.infinityKey
      }
      let keep = random.fraction()
      // All weights, largest first.
      var all: [(magnitude: Double, matrix: Int, index: Int)] = []
      for (m, matrix) in matrices.enumerated() where bad[m] == nil {
        for i in matrix.bits.indices { all.append((matrix.magnitude(i), m, i)) }
      }
      all.sort { a, b in
        a.magnitude != b.magnitude ? a.magnitude > b.magnitude : (a.matrix, a.index) < (b.matrix, b.index)
      }
      let kept = all.prefix(keep.ceiling(of: all.count))
      let bytes = matrices.map(\.bytes)
      let thresholds = magnitudeThresholds(matrices: matrices.count, keep: keep, threads: Threads(2)) { i, body in
        bytes[i].withUnsafeBytes { body($0, matrices[i].type) }
      }
      #expect(thresholds.count == matrices.count)
      for (m, threshold) in thresholds.enumerated() {
        if let index = bad[m] {
          #expect(threshold == .failure(NonFiniteWeight(index: index)))
        } else {
          let expected = matrices[m].sparse(keeping: Set(kept.filter { $0.matrix == m }.map(\.index)))
          #expect(try matrices[m].pruned(threshold.get()).matrix == expected)
        }
      }
    }
  }

  @Test func aVisitMayFail() {
    struct Unreadable: Error {}
    #expect(throws: Unreadable.self) {
      _ = try magnitudeThresholds(matrices: 2, keep: .one, threads: Threads(1)) { i, body throws(Unreadable) in
        if i == 1 { throw Unreadable() }
        body(UnsafeRawBufferPointer(start: nil, count: 0), .float32)
      }
    }
  }

  /// Sums of small integers are exact, so that the number kept is, too.
  @Test func fewestWithinAnErrorExactly() throws {
    var random = SplitMix64(seed: 16)
    for trial in 0..<400 {
      let matrix = SampleMatrix(
        type: [.float16, .bfloat16, .float32, .float64][trial % 4], rows: 1, columns: 1 + random.below(150),
        transposed: false, bits: [])
      var integers = matrix
      integers.bits = (0..<matrix.count).map { _ in
        roundedBits(Double(random.below(trial % 3 == 0 ? 3 : 100)) * random.sign(), matrix.type)
      }
      let bound = trial % 7 == 0 ? [0, 0.1, 0.5, 1, 2][trial / 7 % 5] : random.uniform()
      let sorted = integers.sorted()
      let norm = sorted.reduce(0) { $0 + integers.magnitude($1) * integers.magnitude($1) }
      var dropped = 0.0
      var kept = sorted.count
      while kept > 0 {
        let v = integers.magnitude(sorted[kept - 1])
        if norm > 0, ((dropped + v * v) / norm).squareRoot() > bound { break }
        dropped += v * v
        kept -= 1
      }
      let found = try integers.pruned(.error(bound))
      #expect(found.matrix == integers.sparse(keeping: Set(sorted.prefix(kept))))
      #expect(found.relativeL2 <= bound && found.squaredError == dropped)
    }
  }

  /// With one weight less, the error is above the bound, up to the rounding of sums (here below 2⁻³⁵).
  @Test(arguments: [KeptValues.exact, .float16, .bfloat16]) func fewestWithinAnError(_ values: KeptValues) throws {
    var random = SplitMix64(seed: 17)
    for (distribution, n) in [(Distribution.gaussian, 300), (.laplace, 300), (.tails, 1500), (.student(1), 1500)] {
      for type in [ElementType.float32, .float64] {
        let elements = random.floats(distribution, n)
        let matrix = SampleMatrix(
          type: type, rows: 1, columns: n, transposed: false, bits: elements.map { roundedBits(Double($0), type) })
        if values == .float16, elements.contains(where: { $0.magnitude > 60000 }) { continue }
        let sorted = matrix.sorted()
        let stored = values.stored(type)
        for bound in [0.01, 0.1, 0.4, 0.9] {
          let found = try matrix.pruned(.error(bound), values: values)
          #expect(found.relativeL2 <= bound)
          let count = found.matrix.storedCount
          #expect(found.matrix == matrix.sparse(keeping: Set(sorted.prefix(count)), values: values))
          var (error, norm) = (0.0, 0.0)
          for (rank, i) in sorted.enumerated() {
            let v = matrix.magnitude(i)
            let d = v - (rank < count - 1 ? stored.nearest(v) : 0)
            error += d * d
            norm += v * v
          }
          #expect((error / norm).squareRoot() > bound * (1 - 0x1p-35))
        }
      }
    }
  }

  /// More weights than are collected at once lie in the first decisive bin.
  @Test func fewestOfManyWithinAnError() throws {
    var random = SplitMix64(seed: 19)
    let elements = (0..<300_000).map { _ in Float(1000 + random.below(24)) }
    let squares = elements.map { Double($0) * Double($0) }.sorted()
    let norm = squares.reduce(0, +)
    let bound = 0.7
    // Integers: sums are exact.
    var dropped = 0.0
    let kept =
      squares.count
      - (squares.firstIndex {
        dropped += $0
        return (dropped / norm).squareRoot() > bound
      } ?? 0)
    let (threshold, expected) = try elements.withUnsafeBytes { bytes in
      (
        try magnitudeThreshold(bytes, type: .float32, rule: .error(bound), threads: Threads(2)),
        try thresholdKeeping(kept, of: SourceElements(bytes: bytes, type: .float32), threads: Threads(1))
      )
    }
    #expect(threshold == expected)
  }

  @Test func anErrorThatRoundingAloneExceedsKeepsEverything() throws {
    var random = SplitMix64(seed: 18)
    let matrix = random.matrix(.gaussian, .float32, 8, 50, transposed: false)
    #expect(try matrix.threshold(.error(1e-6), values: .bfloat16) == .everything)
    #expect(try matrix.threshold(.error(0)).ties == nil)
    #expect(try matrix.pruned(.error(0)).nonzeroCount == 400)
    #expect(try matrix.threshold(.error(1)) == .nothing)
  }
}
