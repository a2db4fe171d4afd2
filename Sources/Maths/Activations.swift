internal import Glibc
public import Tensors

extension Activation {
  /// The function's value at one number, in double; nothing for softmax, which takes more than one.
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
    case .softplus: max(x, 0) + log1p(exp(-x.magnitude))
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

/// 1/(1 + e⁻ˣ)
private func logistic(_ x: Double) -> Double {
  let small = exp(-x.magnitude)
  return (x >= 0 ? 1 : small) / (1 + small)
}
