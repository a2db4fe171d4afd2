// SPDX-License-Identifier: Apache-2.0

import Maths
import Random
import Tensors
import Testing

/// Products of ternary matrices that count bits, alone and in networks, against dense ones.
@Suite struct TernaryPlanesTests {
  /// Random trits, and the weights they are.
  private func matrix(_ rows: Int, _ columns: Int, _ group: ScaleGroup, _ random: inout SplitMix64) throws -> (
    packed: TernaryMatrix, dense: [[Double]]
  ) {
    let scales = (0..<group.count(rows: rows, columns: columns)).map { _ in random.uniform() }
    let rowBytes = TernaryMatrix.rowBytes(columns: columns)
    var codes = [UInt8](repeating: 0, count: rows * rowBytes)
    var dense = [[Double]](repeating: [Double](repeating: 0, count: columns), count: rows)
    for row in 0..<rows {
      for column in 0..<columns {
        let trit = [0, 1, 3][Int(random.next() % 3)] as UInt8
        codes[row * rowBytes + column / 4] |= trit << UInt8(column % 4 * 2)
        let scale = scales[group.number(row: row, column: column, columns: columns)]
        dense[row][column] = [0, scale, 0, -scale][Int(trit)]
      }
    }
    let packed = try #require(
      TernaryMatrix(rows: rows, columns: columns, group: group, codes: codes, scales: scales))
    return (packed, dense)
  }

  /// Activations whose levels ascend, do not, or are equal, and one of too many levels.
  private static let activations: [Activation] = [
    .sign, .step, .piecewiseConstant(levels: [-0.4, 1.3], thresholds: [0.2]),
    .piecewiseConstant(levels: [-1.25, 0.1, 0.8], thresholds: [-0.5, 0.6]),
    .piecewiseConstant(levels: [1, 0, 1], thresholds: [-0.5, 0.5]),
    .piecewiseConstant(levels: [2, -1, 0.5, 0.25, -3], thresholds: [-1, -0.2, 0.1, 0.9]),
    .piecewiseConstant(levels: [0.5, 0.5], thresholds: [0]),
    .piecewiseConstant(levels: [0, 1, 2, 3, 4, 5], thresholds: [-1, -0.5, 0, 0.5, 1]),
  ]

  /// 18 positions and samples of 37 values each come from the activation, flat or not, past a dropout; then samples of 185.
  private func network(_ activation: Activation, _ group: ScaleGroup) throws -> SampleNetwork {
    var network = SampleNetwork(seed: 81)
    let sums = network.dense(network.input(5, 6), 6, 37, "w1", bias: "b1")
    let first = network.add(.dropout(rate: 0.5), network.activation(activation, sums))
    let second = network.activation(activation, network.dense(first, 37, 40, "w2", bias: "b2"))
    let last = network.dense(network.add(.flatten, second), 200, 19, "w3")
    network.outputs = [last]
    for (name, rows, columns) in [("w2", 40, 37), ("w3", 19, 200)] as [(TensorName, Int, Int)] {
      let (packed, dense) = try matrix(rows, columns, group, &network.random)
      network.matrices[name] = dense
      network.packed[name] = .ternary(packed)
    }
    return network
  }

  @Test(arguments: Self.activations, [ScaleGroup.tensor, .row, .inputs(7)])
  func networksAreAsDense(_ activation: Activation, _ group: ScaleGroup) throws {
    var network = try network(activation, group)
    let samples = network.random.points(11, network.inputCount)
    let found = try network.function().outputs(samples, threads: 1).values
    #expect(relativeDifference(found, network.expected(samples).values) <= 1e-13)
  }

  /// 3 · 0.1 and 10 · 0.1 are 0.30000000000000004 and 1; tenths that are added one by one are .9999999999999999.
  @Test(arguments: [3, 10]) func levelsAreCounted(_ columns: Int) throws {
    let levels = [-0.7, 0.1]
    var network = SampleNetwork(seed: 84)
    let first = network.activation(.piecewiseConstant(levels: levels, thresholds: [0]), network.input(columns))
    network.outputs = [network.dense(first, columns, 2, "w")]
    // A row of +1 and one of −1.
    let rowBytes = TernaryMatrix.rowBytes(columns: columns)
    var codes = [UInt8](repeating: 0, count: 2 * rowBytes)
    for column in 0..<columns {
      codes[column / 4] |= 1 << UInt8(2 * (column % 4))
      codes[rowBytes + column / 4] |= 3 << UInt8(2 * (column % 4))
    }
    network.packed["w"] = .ternary(
      try #require(TernaryMatrix(rows: 2, columns: columns, group: .tensor, codes: codes, scales: [1])))
    let function = try network.function()
    for (x, level) in zip([-1.0, 1], levels) {
      let y = function.outputs([[Double](repeating: x, count: columns)], threads: 1).values
      #expect(y == [Double(columns) * level, -Double(columns) * level])
    }
  }

  /// The samples of several blocks, alone and with others, on any number of threads.
  @Test func neitherThreadsNorOtherSamplesMatter() throws {
    var network = try network(Self.activations[3], .row)
    let samples = network.random.points(300, network.inputCount)
    let function = try network.function()
    let all = function.outputs(samples, threads: 1)
    #expect(function.outputs(samples, threads: 3).values == all.values)
    for sample in [0, 7, 255, 299] {
      let one = function.outputs([samples[sample]], threads: 1).values
      #expect(one == Array(all.values[sample * all.width..<(sample + 1) * all.width]))
    }
  }

  /// What is not a number goes through, and leaves other samples as they are.
  @Test func numbersThatAreNoLevels() throws {
    var network = try network(Self.activations[2], .row)
    var samples = network.random.points(3, network.inputCount)
    let expected = try network.function().outputs(samples, threads: 1)
    samples[1][0] = .nan
    let found = try network.function().outputs(samples, threads: 1)
    let width = found.width
    #expect(found.values[..<width] == expected.values[..<width])
    #expect(found.values[width..<2 * width].contains { $0.isNaN })
    #expect(found.values[(2 * width)...] == expected.values[(2 * width)...])
  }

  @Test func levelsOfActivations() {
    #expect(Activation.sign.levels == [-1, 0, 1])
    #expect(Activation.step.levels == [0, 1])
    #expect(Self.activations[4].levels == [0, 1])
    #expect(Self.activations[5].levels == [-3, -1, 0.25, 0.5, 2])
    #expect(Activation.relu.levels == nil)
  }

  @Test func matricesWithoutPlanes() throws {
    var random = SplitMix64(seed: 82)
    #expect(TernaryPlanes(try matrix(3, 8, .inputs(4), &random).packed) == nil)
    #expect(TernaryPlanes(try matrix(0, 8, .row, &random).packed) == nil)
    #expect(TernaryPlanes(try matrix(3, 0, .row, &random).packed) == nil)
  }

  /// n inputs: off by n 2⁻³⁰ s ‖x‖₁ at most.
  @Test func vectors() throws {
    var random = SplitMix64(seed: 83)
    for (rows, columns) in [(1, 1), (50, 129), (17, 1000)] {
      let (packed, dense) = try matrix(rows, columns, .row, &random)
      let planes = try #require(TernaryPlanes(packed))
      let x = (0..<columns).map { _ in Float(random.gaussian()) }
      let norm = x.reduce(0) { $0 + Double($1.magnitude) }
      let found = try #require(planes.multiply(x))
      for (row, y) in found.enumerated() {
        let expected = zip(dense[row], x).reduce(0) { $0 + $1.0 * Double($1.1) }
        #expect(abs(y - expected) <= Double(columns) * 0x1p-30 * packed.scales[row] * norm)
      }
      #expect(planes.multiply([.infinity] + x.dropFirst()) == nil)
      // Integers whose sum is below 2²⁹ are not rounded.
      let whole = x.map { ($0 * 100).rounded() }
      let exact = dense.map { zip($0, whole).reduce(0) { $0 + ($1.0 == 0 ? 0 : $1.0 > 0 ? 1 : -1) * Double($1.1) } }
      #expect(planes.multiply(whole) == zip(exact, packed.scales).map { $0 * $1 })
    }
  }
}
