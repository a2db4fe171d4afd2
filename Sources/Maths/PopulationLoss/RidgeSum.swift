// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Parallel
internal import Tensors

/// An activation as hinges or as jumps.
enum RidgeForm {
  /// u for u ≥ 0, else slope·u
  case hinge(slope: Double)
  /// middle + Σ size·(P(u + noise·Z > threshold) − ½), Z a standard Gaussian
  case jumps(middle: Double, noise: Double, [(threshold: Double, size: Double)])

  init?(_ activation: Activation) {
    switch activation {
    case .linear: self = .hinge(slope: 1)
    case .relu: self = .hinge(slope: 0)
    case .leakyReLU(let slope): self = .hinge(slope: slope)
    case .abs: self = .hinge(slope: -1)
    case .step: self = .jumps(middle: 0.5, noise: 0, [(0, 1)])
    case .sign: self = .jumps(middle: 0, noise: 0, [(0, 2)])
    case .erf: self = .jumps(middle: 0, noise: 0.5.squareRoot(), [(0, 2)])
    case .piecewiseConstant(let levels, let thresholds):
      self = .jumps(
        middle: (levels[0] + levels[thresholds.count]) / 2, noise: 0,
        thresholds.indices.map { (thresholds[$0], levels[$0 + 1] - levels[$0]) })
    case .boundedReLU, .elu, .selu, .gelu, .silu, .softplus, .softsign, .exponential, .sigmoid, .hardSigmoid, .tanh,
      .sin, .cos, .softmax:
      return nil
    }
  }
}

/// A function of v·x alone, in standard form.
struct Ridge {
  /// The hinge max(0, v·x + h), ‖v‖ = 1; or the jump P(v·x + τZ + h > 0) − ½, ‖v‖² + τ² = 1.
  let isHinge: Bool
  /// h
  let shift: Double

  func precedes(_ other: Self) -> Bool {
    isHinge == other.isHinge ? shift < other.shift : isHinge
  }

  static func == (a: Self, b: Self) -> Bool { a.isHinge == b.isHinge && a.shift == b.shift }
}

/// The ridges of one unit: Σ factor·ridge, times the column that the unit has in A.
struct RidgeGroup {
  /// v, the first entry that is not zero positive
  let direction: [Double]
  /// τ
  let noise: Double
  let terms: [(ridge: Ridge, factor: Double)]
  let column: [Double]

  /// In any order but for equality: that of the directions.
  func precedes(_ other: Self) -> Bool {
    if direction.lexicographicallyPrecedes(other.direction) { return true }
    return noise < other.noise && !other.direction.lexicographicallyPrecedes(direction)
  }

  func isParallel(to other: Self) -> Bool { noise == other.noise && direction == other.direction }
}

/// A network as an affine map and ridges: f(x) = Lx + l + Σ columnᵢ·factorᵢ·ridgeᵢ(x).
///
/// Networks that differ in the order of their units alone give the same, to the bit.
struct RidgeSum {
  /// L, outputs × inputs, row-major
  let slopes: [Double]
  /// l
  let constants: [Double]
  let groups: [RidgeGroup]

  /// |h| from which a ridge never bends within the reach of a double: φ(40) < 10⁻³⁴⁷.
  private static let far = 40.0

  init?(_ network: TwoLayerNetwork, threads: Threads) {
    guard let form = RidgeForm(network.activation) else { return nil }
    let (inputs, units, outputs) = (network.inputs, network.units, network.outputs)
    let rows = (0..<units).map { Array(network.incoming[$0 * inputs..<($0 + 1) * inputs]) }
    let columns = (0..<units).map { unit in (0..<outputs).map { network.outgoing[$0 * units + unit] } }
    let order = (0..<units).sorted { a, b in
      if rows[a] != rows[b] { return rows[a].lexicographicallyPrecedes(rows[b]) }
      let (biasA, biasB) = (network.biases[a], network.biases[b])
      return biasA != biasB ? biasA < biasB : columns[a].lexicographicallyPrecedes(columns[b])
    }

    var constants = network.offsets
    var groups: [RidgeGroup] = []
    // Units, and how much of their u = w·x + b belongs to the affine map.
    var lines: [(unit: Int, factor: Double)] = []
    for unit in order {
      let own = UnitTerms(row: rows[unit], bias: network.biases[unit], form: form)
      var constant = own.constant
      if own.norm == 0, let value = network.activation.value(at: network.biases[unit]) { constant = value }
      constant += own.line * network.biases[unit]
      for output in 0..<outputs { constants[output] += constant * columns[unit][output] }
      if own.line != 0 { lines.append((unit, own.line)) }
      if !own.terms.isEmpty {
        groups.append(
          RidgeGroup(direction: own.direction, noise: own.noise, terms: own.terms, column: columns[unit]))
      }
    }
    self.constants = constants
    self.groups = groups

    let all = lines
    var slopes = [Double](repeating: 0, count: outputs * inputs)
    slopes.withUnsafeMutableBufferPointer { slopes in
      guard let base = slopes.baseAddress else { return }
      nonisolated(unsafe) let out = base
      threads.forEach(outputs) { output in
        for (unit, factor) in all {
          addProduct(factor * columns[unit][output], rows[unit], to: out + output * inputs)
        }
      }
    }
    self.slopes = slopes
  }

  /// What one unit comes to: constant + line·(w·x + b) + Σ factor·ridge. `constant` leaves out a unit without weights.
  private struct UnitTerms {
    var norm = 0.0
    var constant = 0.0
    var line = 0.0
    var direction: [Double] = []
    var noise = 0.0
    var terms: [(ridge: Ridge, factor: Double)] = []

    init(row: [Double], bias: Double, form: RidgeForm) {
      norm = euclideanNorm(row)
      guard norm > 0, let first = row.first(where: { $0 != 0 }) else { return }
      let sign: Double = first < 0 ? -1 : 1
      switch form {
      case .hinge(let slope):
        let shift = sign * (bias / norm)
        if slope == 1 || shift.magnitude > far {
          line = bias > 0 ? 1 : slope
        } else {
          // slope·u + (1 − slope)·max(0, u), and max(0, u) = u + max(0, −u)
          line = sign < 0 ? 1 : slope
          terms = [(Ridge(isHinge: true, shift: shift), (1 - slope) * norm)]
          direction = row.map { sign * $0 / norm }
        }
      case .jumps(let middle, let noise, let jumps):
        let scale = hypot(norm, noise)
        constant = middle
        for (threshold, size) in jumps {
          let shift = sign * ((bias - threshold) / scale)
          if shift.magnitude > far {
            constant += (shift > 0) == (sign > 0) ? size / 2 : -size / 2
          } else {
            terms.append((Ridge(isHinge: false, shift: shift), sign * size))
          }
        }
        self.noise = noise / scale
        direction = row.map { sign * $0 / scale }
      }
    }
  }
}

/// ‖x‖ without overflow or underflow; multiplied with a power of two, if x is.
private func euclideanNorm(_ x: [Double]) -> Double {
  let largest = x.reduce(0) { max($0, $1.magnitude) }
  guard largest > 0 else { return 0 }
  let unit = largest.binade
  return x.reduce(0) { $0 + ($1 / unit) * ($1 / unit) }.squareRoot() * unit
}
