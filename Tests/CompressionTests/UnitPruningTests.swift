// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Parallel
import Random
import Testing

@testable import Compression
@testable import Matrices
@testable import Tensors

@Suite("Unit pruning")
struct UnitPruningTests {
  // MARK: The choice

  /// Against the definition, tried out one unit at a time; few distinct norms, so that there are ties.
  @Test func theLargestNormsAreKept() throws {
    var random = SplitMix64(seed: 1)
    for _ in 0..<2000 {
      let n = Int(random.next() % 12)
      let norms = (0..<n).map { _ in Double(random.next() % 5) }
      let count = Int(random.next() % 101)
      let fraction = try #require(Fraction("\(count)e-2"))
      let kept = PruningRule.keep(fraction).kept(norms)
      #expect(kept.count { $0 } == (count * n + 99) / 100)
      for i in 0..<n where kept[i] {
        for j in 0..<n where !kept[j] { #expect(norms[i] > norms[j] || (norms[i] == norms[j] && i < j)) }
      }

      let error = Double(count) / 100
      let few = PruningRule.error(error).kept(norms)
      let total = norms.reduce(0, +)
      func dropped(_ kept: [Bool]) -> Double { zip(norms, kept).reduce(0) { $0 + ($1.1 ? 0 : $1.0) } }
      // The norms are small integers: sums are exact.
      #expect(total == 0 || (dropped(few) / total).squareRoot() <= error)
      if let last = (0..<n).filter({ few[$0] }).min(by: { norms[$0] != norms[$1] ? norms[$0] < norms[$1] : $0 > $1 }) {
        var fewer = few
        fewer[last] = false
        #expect((dropped(fewer) / total).squareRoot() > error, "one unit fewer would do")
      }
    }
  }

  @Test func allAndNone() {
    #expect(PruningRule.keep(.zero).kept([2, 1]) == [false, false])
    #expect(PruningRule.keep(.one).kept([0, 1]) == [true, true])
    #expect(PruningRule.error(0).kept([0, 1, 0]) == [false, true, false])
    #expect(PruningRule.error(1).kept([2, 1]) == [false, false])
    #expect(PruningRule.error(0.5).kept([]) == [])
    // A tenth of ten units is one, and not two.
    #expect(PruningRule.keep(Fraction(".1")!).kept([Double](repeating: 1, count: 10)).count { $0 } == 1)
  }

  // MARK: Matrices

  private func withMatrix<T: BitwiseCopyable, R>(
    _ elements: [T], _ type: ElementType, outputs: Int, inputs: Int, transposed: Bool,
    _ body: (StoredMatrix) throws -> R
  ) rethrows -> R {
    // Given output by output.
    let stored =
      transposed ? (0..<elements.count).map { elements[$0 % outputs * inputs + $0 / outputs] } : elements
    return try stored.withUnsafeBytes { bytes in
      try body(
        StoredMatrix(
          bytes, type: type, rows: transposed ? inputs : outputs, columns: transposed ? outputs : inputs,
          transposed: transposed))
    }
  }

  @Test(arguments: [false, true]) func normsZerosAndSums(transposed: Bool) throws {
    var random = SplitMix64(seed: 2)
    for _ in 0..<50 {
      let outputs = Int(random.next() % 9) + 1
      let inputs = Int(random.next() % 9) + 1
      // Eighths: all sums are exact.
      let weights = (0..<outputs * inputs).map { _ in Float(Int(random.next() % 17) - 8) / 8 }
      let largest = weights.reduce(0) { max($0, Double($1.magnitude)) }
      let unit = largest > 0 ? largest.binade : 1
      let kept = (0..<outputs).map { _ in random.next() & 1 == 0 }
      let gone = (0..<inputs).map { _ in random.next() & 1 == 0 }
      let bias = (0..<outputs).map { _ in Double(random.next() % 4) }
      let constants = gone.indices.filter { gone[$0] }.map { (input: $0, value: Double($0 % 3)) }
      func weight(_ output: Int, _ input: Int) -> Double { Double(weights[output * inputs + input]) }

      try withMatrix(weights, .float32, outputs: outputs, inputs: inputs, transposed: transposed) { matrix in
        let norms = try matrix.squaredNorms(threads: Threads(2))
        #expect(
          norms.map { $0 * unit * unit }
            == (0..<outputs).map { row in (0..<inputs).reduce(0) { $0 + weight(row, $1) * weight(row, $1) } })
        #expect(
          matrix.unusedInputs(by: kept, threads: Threads(2))
            == (0..<inputs).map { input in (0..<outputs).allSatisfy { !kept[$0] || weight($0, input) == 0 } })

        let folded = matrix.folding(constants, into: bias, of: kept, threads: Threads(2))
        #expect(
          folded.sums
            == (0..<outputs).map { row in
              kept[row] ? constants.reduce(bias[row]) { $0 + $1.value * weight(row, $1.input) } : 0
            })
        #expect(
          folded.isChanged
            == kept.indices.contains { row in kept[row] && constants.contains { $0.value * weight(row, $0.input) != 0 }
            })

        let left = matrix.removing(outputs: kept.map { !$0 }, inputs: gone, threads: Threads(2))
        left.expectSameValues(2)
        var bytes = [UInt8](repeating: 0xAA, count: 4 * outputs * inputs)
        bytes.withUnsafeMutableBytes {
          decode(SparseMatrix(left), type: .float32, transposed: transposed, into: $0, threads: Threads(1))
        }
        var expected = weights
        for row in 0..<outputs {
          for input in 0..<inputs where !kept[row] || gone[input] { expected[row * inputs + input] = 0 }
        }
        withMatrix(expected, .float32, outputs: outputs, inputs: inputs, transposed: transposed) { other in
          #expect(bytes == Array(other.weights.bytes))
        }
      }
    }
  }

  @Test func squaresNeitherOverflowNorVanish() throws {
    for scale in [0x1p1000, 0x1p-1060] {
      try withMatrix([3, 4, 0, 1], .float64, outputs: 2, inputs: 2, transposed: false) { small in
        try withMatrix([3, 4, 0, 1].map { $0 * scale }, .float64, outputs: 2, inputs: 2, transposed: false) { matrix in
          let (large, norms) = (
            try matrix.squaredNorms(threads: Threads(1)), try small.squaredNorms(threads: Threads(1))
          )
          #expect(large == norms)
        }
      }
    }
  }

  @Test(arguments: [false, true]) func whatIsNotFiniteIsFound(transposed: Bool) throws {
    for bad in [Float.nan, .infinity] {
      let elements: [Float] = [1, 2, 3, bad, 5, 6]
      withMatrix(elements, .float32, outputs: 2, inputs: 3, transposed: transposed) { matrix in
        // In the order of the source: 3, or its place among the columns.
        let error = NonFiniteWeight(index: transposed ? 1 : 3)
        #expect(throws: error) { try matrix.squaredNorms(threads: Threads(1)) }
        #expect(throws: error) { try matrix.checkFinite(threads: Threads(1)) }
        #expect(matrix.finiteOutputs(threads: Threads(1)) == [true, false])
      }
    }
  }

  @Test func emptyMatrices() throws {
    for (outputs, inputs) in [(0, 3), (3, 0), (0, 0)] {
      try withMatrix([Float](), .float32, outputs: outputs, inputs: inputs, transposed: true) { matrix in
        let norms = try matrix.squaredNorms(threads: Threads(1))
        #expect(norms == [Double](repeating: 0, count: outputs))
        #expect(matrix.finiteOutputs(threads: Threads(1)) == [Bool](repeating: true, count: outputs))
        let bias = [Double](repeating: 2, count: outputs)
        let folded = matrix.folding([], into: bias, of: bias.map { _ in true }, threads: Threads(1))
        #expect(folded.sums == bias && !folded.isChanged)
        #expect(
          matrix.unusedInputs(by: bias.map { _ in true }, threads: Threads(1)) == [Bool](repeating: true, count: inputs)
        )
      }
    }
  }

  @Test func numbersThereAndBack() {
    let exact: [Double] = [0, 1, -1.5, 0.25, -3]
    for type in [ElementType.float16, .bfloat16, .float32, .float64] {
      #expect(type.numbers(type.bytes(rounding: exact)) == exact)
    }
    // A tie between two neighbours goes to the even one; 1 + 2⁻⁸ + 2⁻³⁰ is above that of bfloat16.
    #expect(
      ElementType.float32.numbers(ElementType.float32.bytes(rounding: [-(1 + 0x1p-24), 1 + 0x3p-24])) == [
        -1, 1 + 0x1p-22,
      ])
    #expect(
      ElementType.bfloat16.numbers(ElementType.bfloat16.bytes(rounding: [-(1 + 0x1p-8), -(1 + 0x1p-8 + 0x1p-30)]))
        == [-1, -(1 + 0x1p-7)])
    #expect(ElementType.float16.numbers(ElementType.float16.bytes(rounding: [1e6])) == [.infinity])
  }
}

@Suite("Activations")
struct ActivationTests {
  /// Values computed with 50 digits. A formula has up to four steps, each off by a unit in the last place or less.
  @Test(
    arguments: [
      (.linear, -1.5, -1.5), (.relu, -2, 0), (.relu, 2, 2), (.leakyReLU(slope: 0.25), -2, -0.5),
      (.leakyReLU(slope: 0.25), 2, 2), (.elu(alpha: 2), -1, -1.2642411176571153), (.elu(alpha: 2), 3, 3),
      (.selu, -1, -1.1113307378125628), (.selu, 2, 2.101401974710961),
      (.gelu(approximate: false), 1, 0.8413447460685429),
      (.gelu(approximate: false), -2, -0.04550026389635842), (.gelu(approximate: true), 1, 0.8411919906082767),
      (.gelu(approximate: true), -2, -0.04540230591222498), (.silu, 1, 0.7310585786300049),
      (.silu, -2, -0.23840584404423512),
      (.softplus, 0, 0.6931471805599453), (.softplus, -2, 0.1269280110429725), (.sigmoid, 1, 0.7310585786300049),
      (.sigmoid, -2, 0.11920292202211756), (.hardSigmoid(divisor: 5), 1, 0.7), (.hardSigmoid(divisor: 6), -4, 0),
      (.hardSigmoid(divisor: 6), 4, 1), (.tanh, 0.5, 0.46211715726000974), (.erf, 0.5, 0.5204998778130465),
      (.sin, 1, 0.8414709848078965), (.cos, 1, 0.5403023058681398), (.abs, -3, 3), (.sign, -3, -1), (.sign, 0, 0),
      (.sign, 2, 1), (.step, 0, 0), (.step, 0.5, 1), (.step, -0.5, 0),
    ] as [(Activation, Double, Double)])
  func values(_ activation: Activation, _ x: Double, _ expected: Double) throws {
    let value = try #require(activation.value(at: x))
    #expect((value - expected).magnitude <= 4 * expected.magnitude.ulp)
  }

  @Test func nothingOverflowsOnTheWay() {
    for x in [1000, -1000, 1e300, -1e300] {
      #expect(Activation.softplus.value(at: x) == max(x, 0))
      #expect(Activation.sigmoid.value(at: x) == (x > 0 ? 1 : 0))
      #expect(Activation.silu.value(at: x) == max(x, 0))
      #expect(Activation.gelu(approximate: true).value(at: x) == max(x, 0))
      #expect(Activation.gelu(approximate: false).value(at: x) == max(x, 0))
      #expect(Activation.elu(alpha: 1).value(at: x) == (x > 0 ? x : -1))
    }
    #expect(Activation.softmax.value(at: 1) == nil)
  }

  @Test func normalization() {
    let operation = ElementwiseOperation.normalization(
      mean: [9, 1], variance: [9, 3], gamma: [9, 4], beta: [9, 5], epsilon: 1)
    #expect(operation.value(at: 2, index: 1) == 7)
    let plain = ElementwiseOperation.normalization(mean: [1], variance: [4], gamma: nil, beta: nil, epsilon: 0)
    #expect(plain.value(at: 2, index: 0) == 0.5)
  }
}

@Suite("Hidden layers")
struct HiddenLayerTests {
  private static let input = Network.Node(.input(shape: nil), inputs: [])

  private static func dense(_ name: TensorName, _ input: Int, bias: TensorName? = nil) -> Network.Node {
    Network.Node(.dense(kernel: name, bias: bias), inputs: [input])
  }

  @Test func aTreeOfElementwiseOperations() {
    let normalization = Network.Operation.batchNormalization(
      mean: "m", variance: "v", gamma: nil, beta: "b", epsilon: 0.1)
    let network = Network(
      nodes: [
        Self.input, Self.dense("a", 0, bias: "ab"), .init(.activation(.relu), inputs: [1]), Self.dense("c", 2),
        .init(normalization, inputs: [2]), .init(.dropout(rate: 0.5), inputs: [4]), .init(.flatten, inputs: [5]),
        Self.dense("d", 6, bias: "db"), .init(.combine(.add), inputs: [3, 7]),
      ], outputs: [8])
    let (hidden, entangled) = network.hiddenLayers()
    #expect(
      hidden == [
        HiddenLayer(
          kernel: "a", bias: "ab", nodes: [1, 2, 4, 5, 6],
          consumers: [
            .init(kernel: "c", bias: nil, path: [.activation(.relu)]),
            .init(
              kernel: "d", bias: "db",
              path: [.activation(.relu), normalization, .dropout(rate: 0.5), .flatten]),
          ])
      ])
    // The sum is the network's output.
    #expect(entangled.isEmpty)
  }

  /// What stands between two dense layers, the outputs, and why the first is not hidden; `nil` when it is.
  @Test(
    arguments: [
      ([], [2], nil), ([.activation(.softmax)], [3], "its outputs reach a softmax"),
      ([.layerNormalization(gamma: nil, beta: nil, epsilon: 0)], [3], "its outputs reach a layer normalization"),
      ([.concatenate], [3], "its outputs are concatenated with others"),
      ([.activation(.relu), .combine(.add), .activation(.softmax)], [5], "its outputs are added to others"),
      ([.opaque(className: "Odd", tensors: [:])], [3], "its outputs reach a layer of class Odd"),
      ([.activation(.tanh)], [3, 2], "its outputs are also the network's"),
      ([.activation(.tanh)], [3, 1], "its outputs are also the network's"),
    ] as [([Network.Operation], [Int], String?)])
  func oneReason(_ between: [Network.Operation], _ outputs: [Int], _ reason: String?) {
    var nodes = [Self.input, Self.dense("a", 0)]
    for operation in between { nodes.append(.init(operation, inputs: [nodes.count - 1])) }
    nodes.append(Self.dense("z", nodes.count - 1))
    let (hidden, entangled) = Network(nodes: nodes, outputs: outputs).hiddenLayers()
    #expect(entangled == (reason.map { [EntangledLayer(kernel: "a", reason: $0)] } ?? []))
    #expect(hidden.map(\.kernel) == (reason == nil ? ["a"] : []))
  }

  @Test func aTensorInTwoPlaces() {
    for (first, last, bias, shared) in [("a", "a", "y", "a"), ("a", "z", "b", "b")]
      as [(TensorName, TensorName, TensorName, String)]
    {
      let network = Network(
        nodes: [Self.input, Self.dense(first, 0, bias: "b"), Self.dense(last, 1, bias: bias)], outputs: [2])
      let (hidden, entangled) = network.hiddenLayers()
      #expect(hidden.isEmpty)
      #expect(entangled == [EntangledLayer(kernel: "a", reason: "\(shared) is used in several places")])
    }
  }

  @Test func deadEndsAndGiants() {
    let dead = Network(nodes: [Self.input, Self.dense("a", 0), Self.dense("z", 0)], outputs: [2])
    #expect(dead.hiddenLayers().entangled == [EntangledLayer(kernel: "a", reason: "its outputs are not used")])
    let many = Network(
      nodes: [Self.input, Self.dense("a", 0)] + (0..<100_000).map { .init(.activation(.relu), inputs: [$0 + 1]) }
        + [Self.dense("z", 100_001)], outputs: [100_002])
    #expect(many.hiddenLayers().entangled.map(\.kernel) == ["a"])
  }
}
