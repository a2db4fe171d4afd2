// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Parallel
import Random
import Tensors
import Testing

private let activations: [Activation] = [
  .linear, .relu, .leakyReLU(slope: 0.1), .abs, .erf, .step, .sign,
  .piecewiseConstant(levels: [-0.4, 0.3, 1.9, 1.2], thresholds: [-0.7, 0.4, 1.5]),
]

private let threads = Threads(2)

/// One unit with the weights w.
private func unit(_ w: [Double], _ bias: Double = 0, _ activation: Activation, times a: Double = 1) -> TwoLayerNetwork {
  TwoLayerNetwork(
    inputs: w.count, incoming: w, biases: [bias], outgoing: [a], offsets: [0], activation: activation)
}

private func squaredError(_ f: TwoLayerNetwork, _ g: TwoLayerNetwork) throws -> Double {
  try #require(populationLoss(f, g, threads: threads)).squaredError
}

private func squaredNorm(_ f: TwoLayerNetwork) throws -> Double {
  try #require(populationLoss(f, f, threads: threads)).squaredNorm
}

private func squaredNorm(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 } }

/// E f g of networks with one output.
private func product(_ f: TwoLayerNetwork, _ g: TwoLayerNetwork) throws -> Double {
  let one = try #require(populationLoss(f, g, threads: threads))
  let other = try #require(populationLoss(g, f, threads: threads))
  #expect(abs(one.squaredError - other.squaredError) <= 1e-13 * (1 + one.squaredNorm + other.squaredNorm))
  return (one.squaredNorm + other.squaredNorm - one.squaredError) / 2
}

extension SplitMix64 {
  fileprivate mutating func network(
    inputs: Int, units: Int, outputs: Int, _ activation: Activation, biased: Bool = true
  ) -> TwoLayerNetwork {
    TwoLayerNetwork(
      inputs: inputs, incoming: matrix(units, inputs), biases: matrix(units, 1).map { biased ? $0 : 0 },
      outgoing: matrix(outputs, units), offsets: matrix(outputs, 1), activation: activation)
  }
}

extension TwoLayerNetwork {
  fileprivate func row(_ unit: Int) -> [Double] { Array(incoming[unit * inputs..<(unit + 1) * inputs]) }

  fileprivate func values(at x: [Double]) -> [Double] {
    let hidden = (0..<units).map { unit in
      activation.value(at: zip(row(unit), x).reduce(biases[unit]) { $0 + $1.0 * $1.1 }) ?? .nan
    }
    return (0..<outputs).map { output in
      (0..<units).reduce(offsets[output]) { $0 + outgoing[output * units + $1] * hidden[$1] }
    }
  }

  /// The same with its units in another order, weights and biases of unit i times incoming(i), what goes out of it
  /// times outgoing(i).
  fileprivate func changed(
    order: [Int]? = nil, incoming times: (Int) -> Double = { _ in 1 }, outgoing timesOut: (Int) -> Double = { _ in 1 }
  ) -> TwoLayerNetwork {
    let order = order ?? Array(0..<units)
    return TwoLayerNetwork(
      inputs: inputs, incoming: order.flatMap { unit in row(unit).map { $0 * times(unit) } },
      biases: order.map { biases[$0] * times($0) },
      outgoing: (0..<outputs).flatMap { output in order.map { outgoing[output * units + $0] * timesOut($0) } },
      offsets: offsets, activation: activation)
  }
}

@Suite struct PopulationLossAgainstQuadratureTests {
  private static let correlations: [(r: Double, q: Double)] =
    [(0, 1), (0.3, sqrt(0.91)), (0.92, sqrt(1 - 0.92 * 0.92)), (1, 0)]
    + [0.07, 0.05, 1e-3, 1e-4, 1e-6, 1e-8, 1e-12].map { (1 - $0, sqrt($0 * (2 - $0))) }

  /// The product of two units, for every pair of functions.
  @Test(arguments: activations.indices) func pairs(_ index: Int) throws {
    let s = activations[index]
    let sides = [(m1: 0.0, s1: 1.0, m2: 0.0, s2: 2.0), (0.3, 1, -0.8, 0.7), (-1.2, 0.5, -0.6, 0.25), (2, 1.5, 1, 0.75)]
    for t in activations[index...] {
      for (r, q) in Self.correlations {
        for (m1, s1, m2, s2) in sides {
          for sign in [1.0, -1] {
            let found = try product(unit([s1, 0], m1, s), unit([sign * s2 * r, s2 * q], m2, t))
            let expected = GaussianQuadrature.product(s, m1, s1, t, m2, s2, r: sign * r, q: q)
            #expect(abs(found - expected) <= 1e-12, "\(s) \(t) \(sign * r) \(m1) \(m2)")
          }
        }
      }
    }
  }

  /// Where both units bend at almost the same place, or far out.
  @Test func closeAndFarBends() throws {
    for s in [Activation.relu, .step, .erf] {
      for t in [Activation.relu, .step] {
        for (h, k) in [
          (-1, -1 + 1e-9), (-1, -1 + 1e-4), (0, 1e-3), (3, 3.01), (-5, 5.2), (-6, -6), (8, -2), (1e3, 0.5),
        ] {
          for p in [0.5, 0.08, 1e-2, 1e-5, 1e-7, 1e-10] {
            let (r, q) = (1 - p, sqrt(p * (2 - p)))
            let found = try product(unit([1, 0], h, s), unit([r, q], k, t))
            let expected = GaussianQuadrature.product(s, h, 1, t, k, 1, r: r, q: q)
            #expect(abs(found - expected) <= 1e-13 * (10 + h * h + k * k), "\(s) \(t) \(h) \(k) \(p)")
          }
        }
      }
    }
  }

  /// Networks with one input, where ∫ ‖f − g‖² φ can be taken directly.
  @Test func oneInput() throws {
    var random = SplitMix64(seed: 31)
    for trial in 0..<200 {
      let outputs = 1 + trial % 3
      let (f, g) = (0..<2).map { _ in
        let activation = activations[Int(random.uniform() * Double(activations.count))]
        return random.network(inputs: 1, units: 1 + Int(random.uniform() * 5), outputs: outputs, activation)
      }.pair
      let edges = [f, g].flatMap { network in
        (0..<network.units).flatMap {
          GaussianQuadrature.edges(network.activation, network.biases[$0], network.incoming[$0], 0)
        }
      }
      let found = try #require(populationLoss(f, g, threads: threads))
      let squares = GaussianQuadrature.integral(edges: edges) { x in
        let values = f.values(at: [x])
        return SIMD2(squaredNorm(values), squaredNorm(zip(values, g.values(at: [x])).map { $0 - $1 }))
      }
      let (norm, error) = (squares[0], squares[1])
      #expect(abs(found.squaredNorm - norm) <= 1e-11 * (1 + norm), "\(f) \(g)")
      #expect(abs(found.squaredError - error) <= 1e-11 * (1 + norm + error), "\(f) \(g)")
    }
  }

  /// Networks with three inputs, from the products of their units by quadrature.
  @Test func threeInputs() throws {
    var random = SplitMix64(seed: 32)
    for trial in 0..<200 {
      let outputs = 1 + trial % 3
      let (f, g) = (0..<2).map { _ in
        let activation = activations[Int(random.uniform() * Double(activations.count))]
        return random.network(inputs: 3, units: Int(random.uniform() * 4), outputs: outputs, activation)
      }.pair
      // The offset is a unit as well, of the constant 1.
      typealias Unit = (s: Activation, m: Double, w: [Double], f: [Double], d: [Double])
      var units: [Unit] = [(.linear, 1, [0, 0, 0], f.offsets, zip(f.offsets, g.offsets).map { $0 - $1 })]
      for i in 0..<f.units {
        let column = (0..<outputs).map { f.outgoing[$0 * f.units + i] }
        units.append((f.activation, f.biases[i], f.row(i), column, column))
      }
      for i in 0..<g.units {
        let column = (0..<outputs).map { -g.outgoing[$0 * g.units + i] }
        units.append((g.activation, g.biases[i], g.row(i), [0, 0, 0], column))
      }
      var (norm, error) = (0.0, 0.0)
      for (i, a) in units.enumerated() {
        for b in units[i...] {
          let (sA, sB) = (dot(a.w, a.w).squareRoot(), dot(b.w, b.w).squareRoot())
          let r = sA * sB == 0 ? 0 : max(-1, min(1, dot(a.w, b.w) / (sA * sB)))
          let isSame = a.w == b.w && a.m == b.m
          let k = GaussianQuadrature.product(
            a.s, a.m, sA, b.s, b.m, sB, r: isSame ? 1 : r, q: isSame ? 0 : sqrt(1 - r * r))
          norm += (isSame ? 1 : 2) * dot(a.f, b.f) * k
          error += (isSame ? 1 : 2) * dot(a.d, b.d) * k
        }
      }
      let found = try #require(populationLoss(f, g, threads: threads))
      #expect(abs(found.squaredNorm - norm) <= 1e-11 * (1 + norm), "\(f) \(g)")
      #expect(abs(found.squaredError - error) <= 1e-11 * (1 + norm + error), "\(f) \(g)")
    }
  }

  private func dot(_ x: [Double], _ y: [Double]) -> Double { zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } }
}

extension [TwoLayerNetwork] {
  fileprivate var pair: (TwoLayerNetwork, TwoLayerNetwork) { (self[0], self[1]) }
}

@Suite struct PopulationLossTests {
  @Test func whatHasAFormula() {
    for activation in activations {
      #expect(TwoLayerNetwork.hasClosedForm(activation))
      #expect(populationLoss(unit([1], 0, activation), unit([1], 0, .relu), threads: threads) != nil)
    }
    for activation in [Activation.tanh, .gelu(approximate: false), .softmax, .sin, .hardSigmoid(divisor: 6)] {
      #expect(!TwoLayerNetwork.hasClosedForm(activation))
      #expect(populationLoss(unit([1], 0, activation), unit([1], 0, .relu), threads: threads) == nil)
      #expect(populationLoss(unit([1], 0, .relu), unit([1], 0, activation), threads: threads) == nil)
    }
  }

  /// Squares beyond the range of a double are no loss, and not 0.
  @Test func lossesThatOverflow() throws {
    let (f, g) = (unit([1e100, 2e100], 1, .relu, times: 1e100), unit([1e100, -1e100], 1, .relu, times: 1e100))
    let small = unit([1, 2], 1, .relu)
    for (f, g) in [(f, g), (f, f), (f, small), (small, f)] {
      let found = populationLoss(f, g, threads: threads)
      #expect(found == nil, "\(String(describing: found))")
    }
    #expect(populationLoss(small, small, threads: threads) != nil)
  }

  /// Without biases: Cho and Saul's formula and those with the arc sine.
  @Test func knownProducts() throws {
    for angle in [0, 1e-9, 1e-3, 0.2, 1, .pi / 2, 2.5, .pi - 1e-6, .pi] {
      let (v, w) = ([2.0, 0], [3 * cos(angle), 3 * sin(angle)])
      let (c, s) = (cos(angle), sin(angle))
      func expect(_ activation: Activation, _ value: Double) throws {
        let found = try product(unit(v, 0, activation), unit(w, 0, activation))
        #expect(abs(found - value) <= 4e-15 * (1 + value.magnitude), "\(activation) \(angle)")
      }
      try expect(.linear, 6 * c)
      try expect(.relu, 6 / (2 * .pi) * (s + c * (.pi - angle)))
      try expect(.abs, 12 / .pi * (s + c * (.pi / 2 - angle)))
      try expect(.sign, 1 - 2 * angle / .pi)
      try expect(.step, 0.5 - angle / (2 * .pi))
      try expect(.erf, 2 / .pi * asin(12 * c / sqrt(9 * 19)))
    }
    #expect(try abs(squaredNorm(unit([3, 4], 0, .relu)) - 12.5) <= 1e-14)
  }

  /// The sums of products by Owen's function (SciPy 1.17), which 2·10⁶ samples agree with.
  @Test(arguments: [
    (Activation.relu, 0.5166319246718535, 1.5769927725671065), (.erf, 0.1172664689889743, 0.4584111478138992),
    (.step, 0.19422734782081558, 0.7067596715394064),
  ])
  func valuesByOwensFunction(_ activation: Activation, _ norm: Double, _ error: Double) throws {
    func network(_ units: Int, _ w: (Double) -> Double, _ a: (Double) -> Double) -> TwoLayerNetwork {
      TwoLayerNetwork(
        inputs: 3, incoming: (0..<units * 3).map { w(Double($0) + 1) },
        biases: (0..<units).map { w(Double(2 * $0 + 1)) / 2 }, outgoing: (0..<units).map { a(Double($0)) },
        offsets: [0], activation: activation)
    }
    let loss = try #require(
      populationLoss(network(5, sin, cos), network(4, cos) { sin($0 + 1) }, threads: threads))
    #expect(abs(loss.squaredNorm - norm) <= 1e-14 && abs(loss.squaredError - error) <= 1e-14)
  }

  /// A unit without incoming weights is a constant; and networks without units, inputs or outputs.
  @Test func unitsWithoutWeights() throws {
    for activation in activations {
      for bias in [-0.5, 0, 0.7, 1.5] {
        let value = try #require(activation.value(at: bias))
        #expect(try abs(squaredNorm(unit([0, -0.0], bias, activation, times: 3)) - 9 * value * value) <= 1e-14)
        let other = unit([1, 2], 0.4, .relu)
        let expected = value * GaussianQuadrature.mean(.relu, 0.4, sqrt(5))
        #expect(try abs(product(unit([0, 0], bias, activation), other) - expected) <= 1e-14 * (1 + value.magnitude))
      }
    }
    let empty = TwoLayerNetwork(inputs: 2, incoming: [], biases: [], outgoing: [], offsets: [3, 4], activation: .relu)
    #expect(try squaredNorm(empty) == 25)
    let blind = TwoLayerNetwork(
      inputs: 0, incoming: [], biases: [2, -1], outgoing: [5, 7], offsets: [1], activation: .relu)
    #expect(try squaredNorm(blind) == 121)
    let silent = TwoLayerNetwork(
      inputs: 1, incoming: [1], biases: [0], outgoing: [], offsets: [], activation: .erf)
    #expect(try squaredNorm(silent) == 0)
  }

  /// Exactly nothing lies between equal networks, also after their units have changed places.
  @Test(arguments: activations) func equalNetworks(_ activation: Activation) throws {
    var random = SplitMix64(seed: 33)
    for biased in [true, false] {
      let f = random.network(inputs: 5, units: 60, outputs: 3, activation, biased: biased)
      #expect(try squaredError(f, f) == 0)
      let norm = try squaredNorm(f)
      for _ in 0..<3 {
        let other = f.changed(order: (0..<60).shuffled(using: &random))
        let loss = try #require(populationLoss(f, other, threads: threads))
        #expect(loss.squaredError == 0 && loss.squaredNorm == norm)
        #expect(try squaredNorm(other) == norm)
      }
      // A unit as two of half its weight.
      let halves = TwoLayerNetwork(
        inputs: 5, incoming: f.incoming + f.incoming, biases: f.biases + f.biases,
        outgoing: (0..<3).flatMap { output in
          let row = f.outgoing[output * 60..<(output + 1) * 60].map { $0 / 2 }
          return row + row
        }, offsets: f.offsets, activation: activation)
      #expect(try squaredError(f, halves) <= 1e-28 * norm)
    }
  }

  /// t·w and a/t are w and a.
  @Test func scaledHalfLines() throws {
    var random = SplitMix64(seed: 34)
    for activation in [Activation.linear, .relu, .leakyReLU(slope: 0.2), .abs] {
      let f = random.network(inputs: 4, units: 50, outputs: 2, activation)
      let norm = try squaredNorm(f)
      let powers = f.changed(incoming: { $0 % 2 == 0 ? 8 : 0.25 }, outgoing: { $0 % 2 == 0 ? 0.125 : 4 })
      #expect(try squaredError(f, powers) <= 1e-28 * norm)
      let any = (0..<50).map { _ in exp(random.gaussian()) }
      #expect(try squaredError(f, f.changed(incoming: { any[$0] }, outgoing: { 1 / any[$0] })) <= 1e-14 * norm)
    }
    // Steps do not see the scale at all.
    let steps = random.network(inputs: 4, units: 50, outputs: 2, .step)
    let any = (0..<50).map { _ in exp(random.gaussian()) }
    #expect(try squaredError(steps, steps.changed(incoming: { any[$0] })) <= 1e-13 * squaredNorm(steps))
  }

  /// Different networks that are the same function.
  @Test func sameFunctions() throws {
    var random = SplitMix64(seed: 35)
    let f = random.network(inputs: 3, units: 20, outputs: 2, .relu)
    func with(_ activation: Activation, _ f: TwoLayerNetwork) -> TwoLayerNetwork {
      TwoLayerNetwork(
        inputs: f.inputs, incoming: f.incoming, biases: f.biases, outgoing: f.outgoing, offsets: f.offsets,
        activation: activation)
    }
    /// A network with every unit twice, the second turned round and its outgoing weights times `factor`.
    func doubled(_ f: TwoLayerNetwork, _ activation: Activation, factor: Double) -> TwoLayerNetwork {
      TwoLayerNetwork(
        inputs: f.inputs, incoming: f.incoming + f.incoming.map { -$0 }, biases: f.biases + f.biases.map { -$0 },
        outgoing: (0..<f.outputs).flatMap { output in
          let row = f.outgoing[output * f.units..<(output + 1) * f.units]
          return row + row.map { factor * $0 }
        }, offsets: f.offsets, activation: activation)
    }
    let norm = try squaredNorm(f)
    #expect(try squaredError(f, with(.leakyReLU(slope: 0), f)) == 0)
    #expect(try squaredError(with(.linear, f), with(.leakyReLU(slope: 1), f)) == 0)
    #expect(try squaredError(with(.linear, f), doubled(f, .relu, factor: -1)) <= 1e-28 * norm)
    #expect(try squaredError(with(.abs, f), doubled(f, .relu, factor: 1)) <= 1e-28 * norm)
    let stairs = Activation.piecewiseConstant(levels: [0, 1], thresholds: [0])
    #expect(try squaredError(with(.step, f), with(stairs, f)) == 0)
    #expect(try squaredError(doubled(f, .step, factor: -1), with(.sign, f)) <= 1e-28 * norm)
  }

  /// What is multiplied by t has its square multiplied by t².
  @Test(arguments: activations) func scaledOutputs(_ activation: Activation) throws {
    var random = SplitMix64(seed: 36)
    let f = random.network(inputs: 3, units: 15, outputs: 2, activation)
    let g = random.network(inputs: 3, units: 9, outputs: 2, .erf)
    func times(_ t: Double, _ f: TwoLayerNetwork) -> TwoLayerNetwork {
      TwoLayerNetwork(
        inputs: f.inputs, incoming: f.incoming, biases: f.biases, outgoing: f.outgoing.map { t * $0 },
        offsets: f.offsets.map { t * $0 }, activation: f.activation)
    }
    let loss = try #require(populationLoss(f, g, threads: threads))
    let twice = try #require(populationLoss(times(-2, f), times(-2, g), threads: threads))
    #expect(twice.squaredNorm == 4 * loss.squaredNorm && twice.squaredError == 4 * loss.squaredError)
    let third = try #require(populationLoss(times(0.3, f), times(0.3, g), threads: threads))
    #expect(abs(third.squaredNorm - 0.09 * loss.squaredNorm) <= 1e-14 * (1 + loss.squaredNorm))
    #expect(abs(third.squaredError - 0.09 * loss.squaredError) <= 1e-14 * (1 + loss.squaredNorm + loss.squaredError))
  }

  @Test(arguments: [Activation.relu, .erf, .step]) func threadsDoNotMatter(_ activation: Activation) throws {
    var random = SplitMix64(seed: 37)
    let f = random.network(inputs: 9, units: 130, outputs: 5, activation)
    let g = random.network(inputs: 9, units: 70, outputs: 5, .leakyReLU(slope: 0.3))
    let one = try #require(populationLoss(f, g, threads: Threads(1)))
    for count in [2, 3, 16] {
      let many = try #require(populationLoss(f, g, threads: Threads(count)))
      #expect(many == one)
    }
  }

  /// Of units that turn by a small angle ε the error is known, and far below what the norms are.
  @Test func nearlyEqualUnits() throws {
    for e in [1e-2, 1e-4, 1e-6] {
      let (v, w) = ([1.0, 0], [cos(e), sin(e)])
      // 1 − (sin ε + (π − ε) cos ε)/π = ε²/2 − ε³/3π − …
      let relu = try squaredError(unit(v, 0, .relu), unit(w, 0, .relu))
      #expect(abs(relu - (e * e / 2 - e * e * e / (3 * .pi))) <= e * e * e * e + 1e-15)
      let sign = try squaredError(unit(v, 0, .sign), unit(w, 0, .sign))
      #expect(abs(sign - 4 * e / .pi) <= 1e-14)
      let linear = try squaredError(unit(v, 0, .linear), unit(w, 0, .linear))
      #expect(abs(linear - (2 - 2 * cos(e))) <= 1e-16)
    }
    // Never negative, also where nothing but rounding is left.
    var random = SplitMix64(seed: 38)
    for activation in activations {
      for size in [1e-4, 1e-8, 1e-12, 1e-16] {
        let f = random.network(inputs: 3, units: 10, outputs: 1, activation)
        let g = f.changed(incoming: { _ in 1 + size * random.gaussian() })
        let loss = try #require(populationLoss(f, g, threads: threads))
        #expect(loss.squaredError >= 0 && loss.squaredError <= (10 * size + 1e-12) * (1 + loss.squaredNorm))
      }
    }
  }

  /// Weights and biases at the ends of what a double holds.
  @Test func extremes() throws {
    #expect(try squaredNorm(unit([1e-300, 0], 0, .relu, times: 1e300)) == 0.5)
    #expect(try abs(squaredNorm(unit([3e150, 4e150], 0, .abs, times: 1e-150)) - 25) <= 1e-13)
    #expect(try abs(squaredNorm(unit([1, 1], 1e9, .relu)) / 1e18 - 1) <= 1e-15)
    #expect(try squaredNorm(unit([1, 1], -1e9, .relu)) == 0)
    #expect(try squaredNorm(unit([1e-200, 1], 1e308, .step)) == 1)
    #expect(try squaredNorm(unit([1e-20, 0], 2, .erf)) == erf(2) * erf(2))
    // erf(w·x) ≈ 2w·x/√π
    #expect(try abs(squaredNorm(unit([1e-6, 0], 0, .erf)) / (4e-12 / .pi) - 1) <= 1e-11)
  }
}
