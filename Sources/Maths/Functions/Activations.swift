// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Tensors

extension Activation {
  /// The function's value at one number, in double; `nil` for softmax, which takes more than one.
  ///
  /// The formulas are those of ``Activation``, arranged so that nothing overflows or cancels on the way where the
  /// value does not.
  public func value(at x: Double) -> Double? {
    switch self {
    case .linear: x
    case .relu: max(x, 0)
    case .leakyReLU(let slope): x >= 0 ? x : slope * x
    case .elu(let alpha): x >= 0 ? x : alpha * expm1(x)
    case .selu: 1.0507009873554805 * (x >= 0 ? x : 1.6732632423543772 * expm1(x))
    // ½(1 + tanh z) = 1/(1 + e⁻²ᶻ)
    case .gelu(approximate: true): x * logistic(2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))
    case .gelu(approximate: false): 0.5 * x * erfc(-x / 2.0.squareRoot())
    case .silu: x * logistic(x)
    case .boundedReLU(let maximum, let threshold, let slope):
      x.isNaN ? x : x > threshold ? min(x, maximum ?? x) : slope * (x - threshold)
    case .softplus: max(x, 0) + log1p(exp(-x.magnitude))
    case .softsign: x.magnitude == .infinity ? (x > 0 ? 1 : -1) : x / (1 + x.magnitude)
    case .exponential: exp(x)
    case .sigmoid: logistic(x)
    case .hardSigmoid(let divisor): min(max(x / divisor + 0.5, 0), 1)
    case .tanh: Glibc.tanh(x)
    case .erf: Glibc.erf(x)
    case .sin: Glibc.sin(x)
    case .cos: Glibc.cos(x)
    case .abs: x.magnitude
    case .sign: x > 0 ? 1 : x < 0 ? -1 : x
    case .step: x > 0 ? 1 : 0
    case .softmax: nil
    case .piecewiseConstant(let levels, let thresholds): x.isNaN ? x : levels[thresholds.count { $0 < x }]
    }
  }
}

extension Activation {
  /// The function's derivative at one number; `nil` for softmax. Where it has none, at a corner or a jump, that to the
  /// left.
  public func derivative(at x: Double) -> Double? {
    switch self {
    case .linear: 1
    case .relu: x > 0 ? 1 : 0
    case .leakyReLU(let slope): x > 0 ? 1 : slope
    case .elu(let alpha): x > 0 ? 1 : alpha * exp(x)
    case .selu: 1.0507009873554805 * (x > 0 ? 1 : 1.6732632423543772 * exp(x))
    case .gelu(approximate: true): approximateGELUDerivative(x)
    case .gelu(approximate: false):
      0.5 * erfc(-x / 2.0.squareRoot()) + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot()
    case .silu: logistic(x) * (1 + x * logistic(-x))
    case .boundedReLU(let maximum, let threshold, let slope):
      x > threshold ? x <= maximum ?? .infinity ? 1 : 0 : slope
    case .softplus: logistic(x)
    case .softsign: 1 / ((1 + x.magnitude) * (1 + x.magnitude))
    case .exponential: exp(x)
    case .sigmoid: logistic(x) * logistic(-x)
    case .hardSigmoid(let divisor): -divisor / 2 < x && x <= divisor / 2 ? 1 / divisor : 0
    case .tanh: 4 * logistic(2 * x) * logistic(-2 * x)
    case .erf: 2 / Double.pi.squareRoot() * exp(-x * x)
    case .sin: Glibc.cos(x)
    case .cos: -Glibc.sin(x)
    case .abs: x > 0 ? 1 : -1
    case .sign, .step, .piecewiseConstant: 0
    case .softmax: nil
    }
  }

  /// Whether the derivative is zero almost everywhere.
  public var isPiecewiseConstant: Bool {
    switch self {
    case .sign, .step, .piecewiseConstant: true
    default: false
    }
  }
}

extension Activation {
  /// The values of a function that is piecewise constant, ascending; `nil` for another one.
  public var levels: [Double]? {
    switch self {
    case .sign: [-1, 0, 1]
    case .step: [0, 1]
    case .piecewiseConstant(let levels, _): Set(levels).sorted()
    default: nil
    }
  }
}

/// ½(1 + tanh u) + ½x(1 − tanh²u)u′, u = √(2/π)(x + 0.044715x³)
private func approximateGELUDerivative(_ x: Double) -> Double {
  let factor = (2 / Double.pi).squareRoot()
  let twice = 2 * factor * (x + 0.044715 * x * x * x)
  let steep = 2 * factor * (1 + 3 * 0.044715 * x * x)
  let inner = logistic(twice) * logistic(-twice)
  return logistic(twice) + (inner == 0 ? 0 : x * inner * steep)
}

/// 1/(1 + e⁻ˣ)
private func logistic(_ x: Double) -> Double {
  let small = exp(-x.magnitude)
  return (x >= 0 ? 1 : small) / (1 + small)
}
