// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Tensors
import Testing

/// Every activation of one number.
let activationsOfOneNumber = differentiableActivations + piecewiseConstantActivations + [.softsign, .exponential]

@Suite struct GaussianMomentsTests {
  /// Definitions, by an adaptive rule of their own.
  @Test(arguments: activationsOfOneNumber) func agreeWithQuadrature(_ activation: Activation) throws {
    for tau in [0.5, 1, 1.7] {
      let found = try #require(GaussianMoments(of: activation, deviation: tau))
      let corners = edges(of: activation).map { $0 / tau }
      func value(_ x: Double) -> Double { activation.value(at: tau * x) ?? .nan }
      // The exponential function at τ = 1.7 has its weight at 2τ.
      let mean = integral(corners) { x in SIMD8(repeating: value(x)) }[0]
      let sums = integral(corners) { x in
        let (s, slope) = (value(x), activation.derivative(at: tau * x) ?? .nan)
        let square = (s - mean) * (s - mean)
        return SIMD8(x * s, (x * x - 1) * (s - mean), s * s, (x * x - 1) * square, slope * slope, square, 0, 0)
      }
      func check(_ name: String, _ found: Double, _ expected: Double) {
        #expect(
          abs(found - expected) <= 1e-12 * abs(expected) + 1e-15,
          "\(name) of \(activation) at \(tau): \(found), expected \(expected)")
      }
      check("mean", found.mean, mean)
      check("d1", found.d1, sums[0] / tau)
      check("d2", found.d2, sums[1] / (tau * tau))
      check("second moment", found.secondMoment, sums[2])
      check("curvature", found.centredCurvature, sums[3] / (tau * tau))
      check("variance", found.variance, sums[5])
      if activation.isPiecewiseConstant || activation == .boundedReLU(maximum: 2, threshold: 0.5, slope: 0.25)
        || activation == .boundedReLU(maximum: nil, threshold: 1, slope: -0.1)
      {
        #expect(found.squaredDerivative == .infinity)
      } else {
        check("squared derivative", found.squaredDerivative, sums[4])
      }
    }
  }

  /// `spec/maths.md`
  @Test func referenceValues() throws {
    let expected: [(Activation, [Double])] = [
      (.tanh, [0, 0.605705510, 0, 0.394294490, 0.363595376, 0.464402902]),
      (.sigmoid, [0.5, 0.206620964, 0, 0.293379036, 0.062396484, 0.044836241]),
      (.gelu(approximate: false), [0.282094792, 0.5, 0.423142188, 0.425221483, 0.734228083, 0.455850866]),
      (.silu, [0.206620964, 0.5, 0.350845444, 0.355775520, 0.689376470, 0.379482352]),
      (.softplus, [0.806059183, 0.5, 0.206620964, 0.921245909, 0.573506494, 0.293379036]),
    ]
    for (activation, values) in expected {
      let m = try #require(GaussianMoments(of: activation, deviation: 1))
      let found = [m.mean, m.d1, m.d2, m.secondMoment, m.centredCurvature, m.squaredDerivative]
      for (a, b) in zip(found, values) { #expect(abs(a - b) <= 5.01e-10, "\(activation): \(found)") }
    }
  }

  /// V ≥ τ²d1² + ½τ⁴d2², with equality for parabolas; tanh has d1 = 1 − q2; odd functions have m0 = d2 = 0, exactly.
  @Test func laws() throws {
    for tau in [0.01, 0.3, 1, 4, 25] {
      for activation in activationsOfOneNumber {
        guard let m = GaussianMoments(of: activation, deviation: tau) else {
          #expect(activation == .exponential && tau == 25)
          continue
        }
        let (first, second) = (tau * m.d1, tau * tau * m.d2)
        let bound = first * first + second * second / 2
        #expect(m.variance >= bound * (1 - 1e-13), "\(activation) at \(tau)")
        #expect(abs(m.secondMoment - m.mean * m.mean - m.variance) <= 1e-14 * m.secondMoment)
      }
      let m = try #require(GaussianMoments(of: .tanh, deviation: tau))
      #expect(abs(m.d1 - (1 - m.secondMoment)) <= 1e-13)
      for odd in [Activation.tanh, .erf, .sin, .sign, .softsign, .linear] {
        let m = try #require(GaussianMoments(of: odd, deviation: tau))
        #expect(m.mean == 0 && m.d2 == 0)
      }
    }
  }

  /// Of cos the variance is the square of a difference that is lost in q2 − m0².
  @Test func smallVariancesKeepTheirDigits() throws {
    for tau in [1e-2, 1e-3, 1e-5] {
      let m = try #require(GaussianMoments(of: .cos, deviation: tau))
      let square = tau * tau
      // (1 − e^{−τ²})²/2
      let expected = square * square / 2 * (1 - square)
      #expect(abs(m.variance - expected) <= square * square * expected)
    }
  }

  @Test func whatHasNone() {
    #expect(GaussianMoments(of: .softmax, deviation: 1) == nil)
    for tau in [0, -1, Double.nan, .infinity] { #expect(GaussianMoments(of: .relu, deviation: tau) == nil) }
    #expect(GaussianMoments(of: .exponential, deviation: 30) == nil)
    for tau in [5e-324, 1e-200, 1e200, Double.greatestFiniteMagnitude] {
      for activation in activationsOfOneNumber { _ = GaussianMoments(of: activation, deviation: tau) }
    }
  }

  private func edges(of activation: Activation) -> [Double] {
    switch activation {
    case .relu, .leakyReLU, .elu, .selu, .abs, .sign, .step, .softsign: [0]
    case .hardSigmoid(let divisor): [-divisor / 2, divisor / 2]
    case .boundedReLU(let maximum, let threshold, _): [threshold] + (maximum.map { [$0] } ?? [])
    case .piecewiseConstant(_, let thresholds): thresholds
    default: []
    }
  }

  /// ∫ f φ dx between corners, by the rule of Takahasi and Mori with steps halved until nothing changes.
  private func integral(_ corners: [Double], _ f: (Double) -> SIMD8<Double>) -> SIMD8<Double> {
    let ends = ([-14, -6, -2, 0, 2, 6, 16] + corners.filter { -14 < $0 && $0 < 14 }).sorted()
    var total = SIMD8<Double>.zero
    for (low, high) in zip(ends, ends.dropFirst()) where low < high {
      let half = (high - low) / 2
      func term(_ t: Double) -> SIMD8<Double> {
        let u = Double.pi / 2 * sinh(t)
        // The distance from the nearer end, so that it keeps its digits.
        let distance = half / (cosh(u) * exp(abs(u)))
        let x = t < 0 ? low + distance : high - distance
        guard low < x && x < high else { return .zero }
        let weight = half * Double.pi / 2 * cosh(t) / (cosh(u) * cosh(u))
        return weight * exp(-x * x / 2) / sqrt(2 * .pi) * f(x)
      }
      var step = 0.25
      var sum = term(0)
      for k in 1...14 { sum += term(Double(k) * step) + term(-Double(k) * step) }
      var estimate = sum * step
      for _ in 0..<6 {
        let count = Int(3.5 / step)
        for k in 0..<count {
          let t = (Double(k) + 0.5) * step
          sum += term(t) + term(-t)
        }
        step /= 2
        let next = sum * step
        let change = next - estimate
        estimate = next
        if (0..<8).allSatisfy({ abs(change[$0]) <= 1e-15 + 1e-14 * abs(next[$0]) }) { break }
      }
      total += estimate
    }
    return total
  }
}
