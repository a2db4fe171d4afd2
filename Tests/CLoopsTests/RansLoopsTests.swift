// SPDX-License-Identifier: Apache-2.0

import CLoops
import Random
import Testing

/// Codes by frequency, against a coder written down from the specification, and blocks that another program wrote
/// (`.ci/vectors.py`).
extension LoopsTests {
  private func hex(_ text: String) -> [UInt8] { text.split(separator: " ").map { UInt8($0, radix: 16)! } }

  private func encoded(_ groups: [[UInt8]], lanes: Int32 = -1) -> [UInt8] {
    let (symbols, sizes) = (groups.flatMap { $0 }, groups.map(\.count))
    let room = nc_rans_room(symbols.count, sizes.count)
    var out = [UInt8](repeating: 0xEE, count: room + 1)
    let size = nc_rans_encode(symbols, sizes, sizes.count, lanes, &out)
    #expect(size <= room && out[room] == 0xEE)
    return Array(out[..<size])
  }

  private func decoded(_ block: [UInt8], _ sizes: [Int]) -> (verdict: nc_rans_verdict, symbols: [UInt8]) {
    let count = sizes.reduce(0, +)
    // Nothing beyond the block may be looked at: memory checkers see an allocation of exactly its size.
    var symbols = [UInt8](repeating: 0xEE, count: count + 1)
    let verdict = nc_rans_decode(block, block.count, sizes, sizes.count, &symbols)
    #expect(symbols[count] == 0xEE)
    return (verdict, Array(symbols[..<count]))
  }

  /// Decodes sound blocks, step by step as the text has it.
  private func plainlyDecoded(_ block: [UInt8], _ sizes: [Int]) -> [UInt8]? {
    var rest = block[...]
    let lanes = 1 << Int(rest.removeFirst())
    var tables: [[(symbol: Int, frequency: Int)]] = []
    for size in sizes {
      tables.append([])
      guard size > 0 else { continue }
      let (first, count) = (Int(rest.removeFirst()), Int(rest.removeFirst()) + 1)
      for symbol in first..<first + count {
        var frequency = Int(rest.removeFirst())
        if frequency >= 128 { frequency += (Int(rest.removeFirst()) - 1) << 7 }
        tables[tables.count - 1].append((symbol, frequency))
      }
    }
    func number(_ bytes: Int) -> Int { (0..<bytes).reduce(0) { $0 | Int(rest.removeFirst()) << (8 * $1) } }
    var states = (0..<lanes).map { _ in number(4) }
    var symbols: [UInt8] = []
    for (size, table) in zip(sizes, tables) {
      for j in 0..<size {
        var (x, start) = (states[j % lanes], 0)
        let y = x % 4096
        for (symbol, frequency) in table {
          if y < start + frequency {
            symbols.append(UInt8(symbol))
            x = frequency * (x / 4096) + y - start
            break
          }
          start += frequency
        }
        if x < 1 << 15 { x = x << 16 + number(2) }
        states[j % lanes] = x
      }
    }
    return rest.isEmpty && states.allSatisfy { $0 == 1 << 15 } ? symbols : nil
  }

  /// Symbols of a few shapes: many and few, flat and steep, one alone.
  private func symbols(_ n: Int, kind: Int, _ random: inout SplitMix64) -> [UInt8] {
    (0..<n).map { _ in
      let bits = random.next()
      let bell = (0..<8).reduce(0) { $0 + Int(bits >> UInt64(8 * $1) & 255) } - 1020
      return switch kind {
      case 0: UInt8(clamping: 128 + bell / 80)
      case 1: UInt8(truncatingIfNeeded: bits)
      case 2: bits % 1000 == 0 ? UInt8(truncatingIfNeeded: bits >> 32) : 9
      case 3: bits % 2 == 0 ? 0 : 255
      case 4: UInt8(clamping: 128 + bell / 7)
      default: 77
      }
    }
  }

  @Test func histogramAndEntropy() {
    var random = SplitMix64(seed: 21)
    for n in [0, 1, 7, 8, 9, 1000] {
      let bytes = symbols(n, kind: 4, &random)
      var counts = [UInt32](repeating: 3, count: 256)
      nc_histogram(bytes, n, &counts)
      #expect(counts == (0..<256).map { symbol in UInt32(3 + bytes.count { Int($0) == symbol }) })
    }
    func entropy(_ some: [UInt32]) -> Double { nc_entropy(some + [UInt32](repeating: 0, count: 256 - some.count)) }
    #expect(entropy([]) == 0)
    #expect(entropy([0, 7]) == 0)
    #expect(entropy([1, 1, 2]) == 6)
    #expect(abs(entropy([1, 2]) - 2.754887502163468) < 1e-9)
    #expect(abs(entropy([3, 5, 7, 1_000_003]) - 284.598169) < 1e-4)
  }

  /// No exchange of one between two frequencies saves anything, and every symbol that occurs has one.
  @Test func frequenciesAreBest() {
    var random = SplitMix64(seed: 22)
    func normalized(_ counts: [UInt32]) -> [UInt16] {
      var frequencies = [UInt16](repeating: 7, count: 256)
      nc_rans_normalize(counts, &frequencies)
      return frequencies
    }
    for kind in 0..<6 {
      for n in [1, 2, 10, 255, 3000, 100_000] {
        var counts = [UInt32](repeating: 0, count: 256)
        nc_histogram(symbols(n, kind: kind, &random), n, &counts)
        let frequencies = normalized(counts)
        #expect(frequencies.reduce(0) { $0 + Int($1) } == 4096)
        #expect(zip(counts, frequencies).allSatisfy { ($0 == 0) == ($1 == 0) })
        func bits(_ frequencies: [UInt16]) -> Double {
          zip(counts, frequencies).reduce(0) { sum, pair in
            pair.0 == 0 ? sum : sum - Double(pair.0) * Self.logarithm(Double(pair.1))
          }
        }
        let best = bits(frequencies)
        let occurring = (0..<256).filter { counts[$0] > 0 }
        for _ in 0..<200 where occurring.count > 1 {
          guard let more = occurring.randomElement(using: &random), let less = occurring.randomElement(using: &random),
            more != less, frequencies[less] > 1
          else { continue }
          var other = frequencies
          other[more] += 1
          other[less] -= 1
          #expect(bits(other) > best - 1e-6)
        }
      }
    }
    // Counts as large as they can be.
    var counts = [UInt32](repeating: 0, count: 256)
    counts[0] = .max
    counts[255] = .max
    counts[9] = 1
    #expect(normalized(counts)[0] == 2048 && normalized(counts)[9] == 1)
    counts = [UInt32](repeating: .max, count: 256)
    #expect(normalized(counts) == [UInt16](repeating: 16, count: 256))
  }

  private static func logarithm(_ x: Double) -> Double {
    var square = x.significand
    var result = Double(x.exponent)
    for bit in 1...40 {
      square *= square
      if square >= 2 {
        square /= 2
        result += 1 / Double(1 << bit)
      }
    }
    return result
  }

  @Test func codesComeBack() {
    onEveryLevel(seed: 23) { random in
      for n in [1, 2, 3, 5, 31, 32, 33, 63, 64, 65, 100, 2000] {
        for kind in 0..<6 {
          let symbols = symbols(n, kind: kind, &random)
          for lanes in 0...5 as ClosedRange<Int32> {
            let block = encoded([symbols], lanes: lanes)
            #expect(plainlyDecoded(block, [n]) == symbols)
            let back = decoded(block, [n])
            #expect(back.verdict == nc_rans_sound && back.symbols == symbols, "\(n) \(kind) \(lanes)")
          }
        }
      }
    }
  }

  @Test func groupsOfCodesComeBack() {
    onEveryLevel(seed: 24) { random in
      for _ in 0..<40 {
        let groups = (0..<1 + random.next() % 9).map { _ in
          symbols([0, 1, 40, 300][Int(random.next() % 4)], kind: Int(random.next() % 6), &random)
        }
        let sizes = groups.map(\.count)
        for lanes in [-1, 0, 2, 5] as [Int32] {
          let block = encoded(groups, lanes: lanes)
          if sizes.allSatisfy({ $0 == 0 }) {
            #expect(block.isEmpty)
          } else {
            #expect(plainlyDecoded(block, sizes) == groups.flatMap { $0 })
          }
          let back = decoded(block, sizes)
          #expect(back.verdict == nc_rans_sound && back.symbols == groups.flatMap { $0 })
        }
      }
    }
  }

  @Test func formsOfCodesWriteTheSameBytes() {
    var blocks: [[[UInt8]]] = []
    onEveryLevel(seed: 25) { random in
      blocks.append(
        (0..<6).flatMap { kind in
          [32, 999, 20_000].map { n in
            encoded([symbols(n, kind: kind, &random), symbols(77, kind: 0, &random)], lanes: 5)
          }
        })
    }
    #expect(blocks.allSatisfy { $0 == blocks[0] })
  }

  /// Within a fiftieth of the entropy, and what a table takes: a byte or two for each symbol from the first to the last.
  @Test func sizesOfCodes() {
    var random = SplitMix64(seed: 26)
    for kind in [0, 3, 4] {
      for n in [500, 5000, 50_000, 1 << 18] {
        let symbols = symbols(n, kind: kind, &random)
        var counts = [UInt32](repeating: 0, count: 256)
        nc_histogram(symbols, n, &counts)
        let table = 3 + Int(symbols.max()! - symbols.min()!) + counts.count { Int($0) >= n / 32 }
        #expect(Double(encoded([symbols]).count) <= 1.02 * nc_entropy(counts) / 8 + Double(table) + 8, "\(kind) \(n)")
      }
    }
  }

  @Test func blocksOfAnotherProgram() {
    func expectBoth(_ groups: [[UInt8]], _ block: String, isOurs: Bool = true) {
      let block = hex(block)
      onEveryLevel { _ in
        let back = decoded(block, groups.map(\.count))
        #expect(back.verdict == nc_rans_sound && back.symbols == groups.flatMap { $0 })
        // The same frequencies are chosen only where they are the best ones.
        if isOurs { #expect(encoded(groups, lanes: Int32(block[0])) == block) }
      }
    }
    expectBoth(
      [[126, 127, 128, 128, 127, 126, 128]], "00 7e 02 e8 07 64 b4 17 96 82 00 00 1c 54", isOurs: false)
    let symbols: [UInt8] = [
      126, 128, 127, 126, 126, 128, 128, 128, 126, 129, 126, 126, 129, 128, 126, 129, 126, 129, 128, 126, 129,
    ]
    let table = "7e 03 80 08 ff 07 81 08 80 08 "
    expectBoth([symbols], "00 " + table + "45 e0 20 02 ac ba f4 31", isOurs: false)
    expectBoth([symbols], "01 " + table + "1f 11 22 00 99 7b 08 00 4f 39 7d c3", isOurs: false)
    expectBoth([symbols], "02 " + table + "00 00 33 08 b4 ea 09 02 85 57 f8 01 f6 63 02 02", isOurs: false)
    expectBoth(
      [[7, 7, 7], [], [3, 5, 3]], "01 07 00 80 20 03 02 a0 1f 00 60 00 86 00 00 c0 5f 15 00", isOurs: false)
    // By hand: one of each of two symbols. The second: x = 2¹⁵ to 4096 · 16 + 2048; then the first: 4096 · 33 + 0, as
    // 2¹⁶ + 2048 is 2048 · 33.
    expectBoth([[0, 1]], "00 00 01 80 10 80 10 00 10 02 00")
    expectBoth([[9]], "00 09 00 80 20 00 80 00 00")
  }

  @Test func wrongBlocksOfCodes() {
    func verdict(_ block: String, _ sizes: [Int] = [2]) -> nc_rans_verdict { decoded(hex(block), sizes).verdict }
    let state = " 00 10 02 00"
    #expect(verdict("00 00 01 80 10 80 10" + state) == nc_rans_sound)
    #expect(verdict("") == nc_rans_no_lanes)
    #expect(verdict("06 00 01 80 10 80 10" + state) == nc_rans_no_lanes)
    #expect(verdict("00") == nc_rans_no_table)
    #expect(verdict("00 00 01 80 10 80") == nc_rans_no_table)
    // Sums of 4095 and 4097, one symbol above 255, none first, none last, a frequency in two bytes that fits one.
    for table in [
      "00 01 80 10 ff 0f", "00 01 80 10 81 10", "ff 01 80 10 80 10", "00 02 00 80 10 80 10", "00 02 80 10 80 10 00",
      "00 02 80 10 80 00 80 10", "00 01 80 a0 80 10",
    ] {
      #expect(verdict("00 " + table + state) == nc_rans_no_table, "\(table)")
    }
    for state in ["00 10 02", "", "ff 7f 00 00", "00 00 00 80", "00 00 00 00"] {
      #expect(verdict("00 00 01 80 10 80 10 " + state) == nc_rans_no_state, "\(state)")
    }
    #expect(verdict("00 00 01 80 10 80 10" + state + " 00") == nc_rans_left)
    #expect(verdict("00 00 01 80 10 80 10" + state + " 00 00") == nc_rans_left)
    #expect(verdict("00 00 01 80 10 80 10 01 10 02 00") == nc_rans_left)
    #expect(verdict("00 00 01 80 10 80 10 00 80 00 00") == nc_rans_cut)
    #expect(verdict("", [0, 0]) == nc_rans_sound)
    #expect(verdict("00", [0]) == nc_rans_left)
  }

  /// Every cut and changed byte is refused or decodes to something: nothing is read beyond the block.
  @Test func damagedBlocksOfCodes() {
    onEveryLevel(seed: 27) { random in
      for (n, kind, lanes) in [(40, 0, 0), (150, 4, 2), (400, 0, 5), (700, 3, 5), (64, 5, 5)] as [(Int, Int, Int32)] {
        let groups = [symbols(n, kind: kind, &random), symbols(37, kind: 0, &random)]
        let sizes = groups.map(\.count)
        let block = encoded(groups, lanes: lanes)
        for length in 0..<block.count { #expect(decoded(Array(block[..<length]), sizes).verdict != nc_rans_sound) }
        for at in block.indices {
          for change in [1, 0x80, UInt8.random(in: 2...255, using: &random)] {
            var damaged = block
            damaged[at] ^= change
            let verdict = decoded(damaged, sizes).verdict
            #expect(verdict != nc_rans_sound || at < block.count - 1)
          }
        }
        #expect(decoded(block + [0], sizes).verdict == nc_rans_left)
        #expect(decoded(block + [0, 0], sizes).verdict == nc_rans_left)
        // One more of a symbol that is the only one takes nothing.
        #expect(decoded(block, [n + 1, 37]).verdict != nc_rans_sound || kind == 5)
      }
      for _ in 0..<2000 {
        let noise = (0..<random.next() % 300).map { i in
          // Tables are rarely sound by chance: here are some.
          i < 3 ? [5, 0, 1][Int(i)] : UInt8(truncatingIfNeeded: random.next())
        }
        _ = decoded(noise, [200])
        _ = decoded(Array(noise.prefix(3)) + [0x80, 0x10, 0x80, 0x10] + noise.dropFirst(3), [200])
      }
    }
  }
}
