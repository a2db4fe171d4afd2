// SPDX-License-Identifier: Apache-2.0

import Glibc
import Maths
import Tensors
import Testing

/// Every activation of one number that has a derivative.
let differentiableActivations: [Activation] = [
  .linear, .relu, .leakyReLU(slope: 0.1), .leakyReLU(slope: -0.4), .elu(alpha: 1), .elu(alpha: 0.7), .selu,
  .gelu(approximate: true), .gelu(approximate: false), .silu, .softplus, .sigmoid, .hardSigmoid(divisor: 5),
  .hardSigmoid(divisor: 6), .tanh, .erf, .sin, .cos, .abs, .boundedReLU(maximum: 6, threshold: 0, slope: 0),
  .boundedReLU(maximum: 2, threshold: 0.5, slope: 0.25), .boundedReLU(maximum: nil, threshold: 1, slope: -0.1),
]

let piecewiseConstantActivations: [Activation] = [
  .sign, .step, .piecewiseConstant(levels: [-0.4, 0.3, 1.9, 1.2], thresholds: [-0.7, 0.4, 1.5]),
]

@Suite struct ActivationTests {
  /// Where the function has no derivative.
  private func corners(_ activation: Activation) -> [Double] {
    switch activation {
    case .relu, .leakyReLU, .elu, .selu, .abs, .sign, .step: [0]
    case .hardSigmoid(let divisor): [-divisor / 2, divisor / 2]
    case .boundedReLU(let maximum, let threshold, _): [threshold] + (maximum.map { [$0] } ?? [])
    case .piecewiseConstant(_, let thresholds): thresholds
    default: []
    }
  }

  /// Central differences of the sixth order: (45δ₁ − 9δ₂ + δ₃)/60h, δₖ = f(x + kh) − f(x − kh). Its error is h⁶f⁽⁷⁾/140, and
  /// that of rounding 2ε|f|/h. With h = 1/128 and a seventh derivative up to 600 (that of erf) the first is below 1.1e-12,
  /// and the second below 1e-12 for |f| ≤ 16.
  private static let tolerance = 3e-12

  @Test(arguments: differentiableActivations + piecewiseConstantActivations)
  func derivativeIsThatOfDifferences(_ activation: Activation) throws {
    let h = 0x1p-7
    for i in -600...600 {
      let x = Double(i) / 50 + 1 / 1024
      guard corners(activation).allSatisfy({ abs(x - $0) > 3 * h }) else { continue }
      func difference(_ k: Double) throws -> Double {
        let (right, left) = (activation.value(at: x + k * h), activation.value(at: x - k * h))
        return try #require(right) - #require(left)
      }
      let expected = try (45 * difference(1) - 9 * difference(2) + difference(3)) / (60 * h)
      let found = try #require(activation.derivative(at: x))
      #expect(abs(found - expected) <= Self.tolerance, "\(activation) at \(x): \(found), expected \(expected)")
    }
  }

  /// The derivative to the left.
  @Test(arguments: differentiableActivations + piecewiseConstantActivations)
  func derivativeAtCornersIsThatToTheLeft(_ activation: Activation) throws {
    for x in corners(activation) {
      let found = try #require(activation.derivative(at: x))
      let left = try #require(activation.derivative(at: x - 1e-9))
      #expect(abs(found - left) <= 1e-8, "\(activation) at \(x)")
    }
  }

  /// Slopes far out: 0 and 1 or what the function says; never NaN.
  @Test(arguments: differentiableActivations + piecewiseConstantActivations)
  func farOut(_ activation: Activation) throws {
    for magnitude in [20, 50, 800, 1e4, 1e8, 1e77, 1e103, 1e154, 1e155, 1e200, 1e300, .greatestFiniteMagnitude] {
      for x in [magnitude, -magnitude] {
        let value = try #require(activation.value(at: x))
        let slope = try #require(activation.derivative(at: x))
        #expect(!value.isNaN && slope.isFinite, "\(activation) at \(x): \(value), \(slope)")
        let expected: Double? =
          switch activation {
          case .gelu, .silu, .softplus, .relu: x > 0 ? 1 : 0
          case .sigmoid, .hardSigmoid, .tanh, .erf, .sign, .step, .piecewiseConstant: 0
          case .elu: x > 0 ? 1 : 0
          default: nil
          }
        if let expected { #expect(abs(slope - expected) <= 1e-7, "\(activation) at \(x): \(slope)") }
      }
    }
  }

  /// Small derivatives keep their digits: those of functions that level off fall as e⁻ˣ or faster.
  @Test func smallDerivativesKeepTheirDigits() throws {
    for x in [5.0, 10, 15, 20] {
      for sign in [1.0, -1] {
        let tangent = try #require(Activation.tanh.derivative(at: sign * x))
        // 1/cosh² = 4e⁻²ˣ/(1 + e⁻²ˣ)²
        let power = exp(-2 * x)
        let expected = 4 * power / ((1 + power) * (1 + power))
        #expect(abs(tangent - expected) <= 1e-13 * expected)
        let logistic = try #require(Activation.sigmoid.derivative(at: sign * x))
        let half = exp(-x)
        #expect(abs(logistic - half / ((1 + half) * (1 + half))) <= 1e-13 * half)
      }
    }
  }

  /// Their higher derivatives are too large for differences: x/(1 + |x|), whose slope is (1 − |y|)²; eˣ, its own slope.
  @Test func softsignAndExponential() throws {
    for i in -400...400 {
      let x = Double(i) / 20
      let y = try #require(Activation.softsign.value(at: x))
      #expect(abs(y * (1 + abs(x)) - x) <= 1e-14 * abs(x))
      let slope = try #require(Activation.softsign.derivative(at: x))
      #expect(abs(slope - (1 - abs(y)) * (1 - abs(y))) <= 1e-13 * slope + 1e-15)
      #expect(Activation.exponential.value(at: x) == exp(x) && Activation.exponential.derivative(at: x) == exp(x))
    }
    #expect(Activation.softsign.value(at: .infinity) == 1 && Activation.softsign.value(at: -.infinity) == -1)
  }

  /// min(x, maximum) above the threshold, slope·(x − threshold) at and below it, as Keras has it.
  @Test func boundedReLU() {
    let function = Activation.boundedReLU(maximum: 2, threshold: 0.5, slope: 0.25)
    #expect([-1.5, 0.5, 0.75, 2, 9].map { function.value(at: $0) } == [-0.5, 0, 0.75, 2, 2])
    #expect(Activation.boundedReLU(maximum: nil, threshold: 0, slope: 0).value(at: 1e9) == 1e9)
    #expect(function.value(at: .nan)?.isNaN == true)
  }

  @Test func softmaxIsOfMoreThanOneNumber() {
    #expect(Activation.softmax.value(at: 1) == nil && Activation.softmax.derivative(at: 1) == nil)
  }

  @Test func whatIsPiecewiseConstant() {
    #expect(differentiableActivations.allSatisfy { !$0.isPiecewiseConstant })
    #expect(piecewiseConstantActivations.allSatisfy { $0.isPiecewiseConstant })
    #expect(!Activation.softmax.isPiecewiseConstant)
  }
}
