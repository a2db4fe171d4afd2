// SPDX-License-Identifier: Apache-2.0

import Glibc
import Parallel
import Random
import Testing

@testable import Maths

@Suite("Regressions and the minimum of a function") struct RegressionTests {
  /// Samples of three classes around centres in ℝ⁵.
  private static func samples(_ count: Int, seed: UInt64) -> (x: [Double], labels: [Int]) {
    var generator = SplitMix64(seed: seed)
    var x = [Double](repeating: 0, count: 5 * count)
    x.withUnsafeMutableBufferPointer { generator.fillGaussian($0) }
    let labels = (0..<count).map { $0 % 3 }
    for (sample, label) in labels.enumerated() { x[5 * sample + label] += 2 }
    return (x, labels)
  }

  private static func features(_ count: Int, seed: UInt64) -> (LabelledFeatures, x: [Double]) {
    let (x, labels) = samples(count, seed: seed)
    let features = LabelledFeatures(width: 5, classes: 3, labels: labels) { range, out in
      for (i, number) in x[5 * range.lowerBound..<5 * range.upperBound].enumerated() { out[i] = number }
    }
    return (features, x)
  }

  /// LLᵀ is the matrix, and solutions solve, also where several blocks of columns are needed.
  @Test(arguments: [1, 7, 300]) func choleskySolves(_ n: Int) throws {
    let algebra = try LinearAlgebra()
    var generator = SplitMix64(seed: UInt64(n))
    var b = [Double](repeating: 0, count: n * n)
    b.withUnsafeMutableBufferPointer { generator.fillGaussian($0) }
    var a = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      for j in 0..<n {
        a[i * n + j] = (i == j ? Double(n) : 0) + dot(Array(b[i * n..<(i + 1) * n]), Array(b[j * n..<(j + 1) * n]))
      }
    }
    let y = (0..<2 * n).map { Double($0 % 11) - 5 }
    let factor = try #require(Cholesky(a, count: n, threads: Threads(2), algebra))
    let x = factor.solve(y, columns: 2)
    for i in 0..<n {
      for column in 0..<2 {
        let product = (0..<n).reduce(0) { $0 + a[i * n + $1] * x[2 * $1 + column] }
        #expect((product - y[2 * i + column]).magnitude < 1e-9)
      }
    }
    a[n * n - 1] = -1
    #expect(Cholesky(a, count: n, threads: Threads(1), algebra) == nil)
  }

  /// The derivatives of the penalised sum of squares are zero at the solution.
  @Test(arguments: [0, 1e-3, 10]) func ridgeIsTheMinimum(_ lambda: Double) throws {
    let (features, x) = Self.features(400, seed: 1)
    let readout = try features.fittedReadout(.relative(lambda), threads: Threads(2))
    let n = features.samples
    let (means, variances) = momentsOfRows(samples: n, width: 5, threads: Threads(1)) { range in
      Array(x[5 * range.lowerBound..<5 * range.upperBound])
    }
    let square: Double = variances.reduce(0, +) / 5
    for label in 0..<3 {
      let residuals: [Double] = (0..<n).map { sample in
        let score: Double = (0..<5).reduce(readout.offsets[label]) { sum, i in
          sum + readout.weights[5 * label + i] * x[5 * sample + i]
        }
        return score - (features.labels[sample] == label ? 1 : 0)
      }
      #expect(residuals.reduce(0, +).magnitude < 1e-9 * Double(n))
      for i in 0..<5 {
        let slope: Double = (0..<n).reduce(0) { sum, sample in
          sum + residuals[sample] * (x[5 * sample + i] - means[i])
        }
        let ridge: Double = lambda * Double(n) * square * readout.weights[5 * label + i]
        #expect((slope + ridge).magnitude < 1e-8 * Double(n))
      }
    }
  }

  /// What is held back chooses among the λ, and all samples count in the fit; threads change nothing.
  @Test func penaltyIsChosen() throws {
    let (features, _) = Self.features(3000, seed: 2)
    let readout = try features.fittedReadout(.heldBack, threads: Threads(1))
    #expect(LabelledFeatures.penalties.contains(readout.penalty))
    #expect(try features.fittedReadout(.heldBack, threads: Threads(3)) == readout)
    let same = try features.fittedReadout(.relative(readout.penalty), threads: Threads(2))
    for (a, b) in zip(readout.weights, same.weights) { #expect((a - b).magnitude < 1e-6) }
  }

  /// The derivatives of the penalised cross entropy are zero at the solution.
  @Test func softmaxIsTheMinimum() throws {
    let (features, x) = Self.features(500, seed: 3)
    let readout = try features.fittedSoftmax(.relative(1e-3), threads: Threads(2))
    let n = features.samples
    var slopes = [Double](repeating: 0, count: 3)
    for sample in 0..<n {
      var z = readout.offsets
      for label in 0..<3 {
        for i in 0..<5 { z[label] += readout.weights[5 * label + i] * x[5 * sample + i] }
      }
      let sum: Double = z.reduce(0) { $0 + exp($1) }
      for label in 0..<3 {
        let wanted: Double = features.labels[sample] == label ? 1 : 0
        slopes[label] += exp(z[label]) / sum - wanted
      }
    }
    for slope in slopes { #expect((slope / Double(n)).magnitude < 1e-5) }
    #expect(try features.fittedSoftmax(.relative(1e-3), threads: Threads(1)) == readout)
  }

  /// Rosenbrock's function, minimum 0 at ones.
  @Test func minimumOfRosenbrock() {
    let found = minimum(from: [-1.2, 1, -1.2, 1], slope: 1e-9, steps: 200) { x in
      var (value, gradient) = (0.0, [Double](repeating: 0, count: x.count))
      for i in 0..<x.count - 1 {
        let (a, b) = (1 - x[i], x[i + 1] - x[i] * x[i])
        value += a * a + 100 * b * b
        gradient[i] -= 2 * a + 400 * x[i] * b
        gradient[i + 1] += 200 * b
      }
      return (value, gradient)
    }
    #expect(found.slope <= 1e-9 && found.steps < 100)
    for x in found.point { #expect((x - 1).magnitude < 1e-8) }
  }

  /// Two classes with scores ±1, three of four right: softmax(2s) = ¾ at s = ½ ln 3.
  @Test func calibration() {
    let scores = [1.0, -1, 1, -1, 1, -1, 1, -1]
    let factor = calibrationFactor(scores, width: 2, labels: [0, 0, 0, 1], threads: Threads(1))
    #expect((factor - 0.5 * log(3)).magnitude < 1e-12)
    #expect(calibrationFactor(scores, width: 2, labels: [0, 0, 0, 0], threads: Threads(1)) == 1)
  }
}
