// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Parallel

extension LabelledFeatures {
  /// The λ that are tried, descending; each begins where the one before ended.
  private static let softmaxPenalties: [Double] = (-10...(-4)).reversed().map { exponent10(Double($0) / 2) }

  /// Softmax regression: minimises −(1/n)Σᵢ ln softmax(Wxᵢ + b)_{yᵢ} + ½λ‖W‖², x the features less their means, divided by
  /// the root of the mean of their variances, by `minimum(from:)`. The W and b that are returned take the features as
  /// they are.
  ///
  /// Steps begin from the Hessian at W = 0, (1/K)(I − 11ᵀ/K) ⊗ Σ + λI with Σ the covariance of x: they are as few for
  /// features that depend on each other as for others.
  ///
  /// The features are held as float32. Sums are taken over blocks of samples in their order. Memory: 16d² bytes, and 4d
  /// for each sample.
  ///
  /// - Throws: `LinearAlgebraError`.
  public func fittedSoftmax(_ penalty: Penalty, threads: Threads) throws(LinearAlgebraError) -> Readout {
    let problem = try SoftmaxProblem(self, threads: threads)
    let all = [Bool](repeating: true, count: samples)
    var parameters = [Double](repeating: 0, count: classes * (width + 1))
    if case .relative(let lambda) = penalty {
      return problem.readout(problem.fitted(from: parameters, lambda, on: all, steps: 500), lambda)
    }
    let held = heldBack
    guard held.contains(true), held.contains(false) else {
      return problem.readout(problem.fitted(from: parameters, 1e-4, on: all, steps: 500), 1e-4)
    }
    let chosen = held.map { !$0 }
    var best: (loss: Double, lambda: Double, parameters: [Double])?
    for lambda in Self.softmaxPenalties {
      parameters = problem.fitted(from: parameters, lambda, on: chosen, steps: 200)
      let loss = problem.loss(parameters, 0, on: held).value
      if best.map({ loss < $0.loss }) ?? true { best = (loss, lambda, parameters) } else { break }
    }
    guard let best else { throw .notConverged }
    return problem.readout(problem.fitted(from: best.parameters, best.lambda, on: all, steps: 200), best.lambda)
  }
}

/// Features at hand, in a unit in which they are about 1.
private struct SoftmaxProblem {
  let samples: Int
  let width: Int
  let classes: Int
  let labels: [Int]
  let threads: Threads
  private let algebra: LinearAlgebra
  /// samples × width, centred and scaled.
  private let features: [Float]
  /// Of the features so, on and below the diagonal.
  private let covariance: [Double]
  private let means: [Double]
  private let scale: Double

  private static let block = 512

  init(_ source: LabelledFeatures, threads: Threads) throws(LinearAlgebraError) {
    (samples, width, classes, labels) = (source.samples, source.width, source.classes, source.labels)
    self.threads = threads
    algebra = try LinearAlgebra()
    var features: [Float] = []
    features.reserveCapacity(samples * width)
    var moments = FeatureMoments(width: width, classes: classes, algebra)
    for first in stride(from: 0, to: samples, by: 2048) {
      let range = first..<min(samples, first + 2048)
      let part = source.features(of: range, threads)
      moments.add(part, Array(labels[range]), threads)
      features += part.lazy.map(Float.init)
    }
    let (count, means) = (Double(samples), moments.means)
    var (covariance, trace) = moments.centred(at: means)
    let variance = trace / count / Double(width)
    guard variance.isFinite else { throw .notFinite }
    let scale = variance > 0 ? 1 / variance.squareRoot() : 1
    for index in features.indices {
      features[index] = Float((Double(features[index]) - means[index % width]) * scale)
    }
    for index in covariance.indices { covariance[index] *= scale * scale / count }
    (self.features, self.covariance, self.means, self.scale) = (features, covariance, means, scale)
  }

  func fitted(from start: [Double], _ lambda: Double, on chosen: [Bool], steps: Int) -> [Double] {
    let inverse = inverseHessian(lambda)
    let found = minimum(from: start, slope: 1e-6, steps: steps, inverseHessian: inverse) {
      loss($0, lambda, on: chosen)
    }
    return found.point
  }

  /// What the inverse of Σ/K + λI makes of derivatives; that of 1/K for the offsets.
  private func inverseHessian(_ lambda: Double) -> ([Double]) -> [Double] {
    let (width, classes) = (width, classes)
    var hessian = covariance
    for index in hessian.indices { hessian[index] /= Double(classes) }
    // Features that are sums of others leave nothing else on the diagonal.
    for i in 0..<width { hessian[i * width + i] += max(lambda, 1e-8) }
    guard let factor = Cholesky(consume hessian, count: width, threads: threads, algebra) else { return { $0 } }
    return { gradient in
      var columns = [Double](repeating: 0, count: width * classes)
      for label in 0..<classes {
        for i in 0..<width { columns[i * classes + label] = gradient[label * width + i] }
      }
      let solution = factor.solve(columns, columns: classes)
      var result = gradient.map { $0 * Double(classes) }
      for label in 0..<classes {
        for i in 0..<width { result[label * width + i] = solution[i * classes + label] }
      }
      return result
    }
  }

  /// The loss over the chosen samples and its derivatives; parameters are W, then b.
  func loss(_ parameters: [Double], _ lambda: Double, on chosen: [Bool]) -> (value: Double, gradient: [Double]) {
    let (width, classes) = (width, classes)
    let parts = threads.results((samples + Self.block - 1) / Self.block) { number in
      let own = (number * Self.block..<min(samples, (number + 1) * Self.block)).filter { chosen[$0] }
      return blockLoss(parameters, own)
    }
    var (value, gradient) = (0.0, [Double](repeating: 0, count: parameters.count))
    for part in parts {
      value += part.value
      for i in gradient.indices { gradient[i] += part.gradient[i] }
    }
    let count = Double(max(1, chosen.count { $0 }))
    value /= count
    for i in gradient.indices { gradient[i] /= count }
    for i in 0..<classes * width {
      value += 0.5 * lambda * parameters[i] * parameters[i]
      gradient[i] += lambda * parameters[i]
    }
    return (value, gradient)
  }

  private func blockLoss(_ parameters: [Double], _ own: [Int]) -> (value: Double, gradient: [Double]) {
    let (width, classes) = (width, classes)
    var gradient = [Double](repeating: 0, count: parameters.count)
    var x = [Double](repeating: 0, count: own.count * width)
    for (row, sample) in own.enumerated() {
      for i in 0..<width { x[row * width + i] = Double(features[sample * width + i]) }
    }
    var z = [Double](repeating: 0, count: own.count * classes)
    var value = 0.0
    x.withUnsafeBufferPointer { x in
      parameters.withUnsafeBufferPointer { w in
        z.withUnsafeMutableBufferPointer { z in
          gradient.withUnsafeMutableBufferPointer { gradient in
            guard let x = x.baseAddress, let w = w.baseAddress, let z = z.baseAddress, let g = gradient.baseAddress
            else { return }
            algebra.products(
              .init(x, stride: width), own.count, .init(w, stride: width), classes, width, to: z, stride: classes)
            for (row, sample) in own.enumerated() {
              let logits = z + row * classes
              var largest = -Double.infinity
              for k in 0..<classes {
                logits[k] += w[classes * width + k]
                largest = max(largest, logits[k])
              }
              value += largest - logits[labels[sample]]
              var sum = 0.0
              for k in 0..<classes {
                logits[k] = exp(logits[k] - largest)
                sum += logits[k]
              }
              value += log(sum)
              for k in 0..<classes {
                logits[k] = logits[k] / sum - (k == labels[sample] ? 1 : 0)
                g[classes * width + k] += logits[k]
              }
            }
            algebra.transposedProduct(
              .init(z, stride: classes), classes, .init(x, stride: width), own.count, width, to: g, stride: width,
              adding: true)
          }
        }
      }
    }
    return (value, gradient)
  }

  /// For features as they are.
  func readout(_ parameters: [Double], _ lambda: Double) -> Readout {
    let weights = parameters[..<(classes * width)].map { $0 * scale }
    let offsets = (0..<classes).map { label in
      parameters[classes * width + label] - (0..<width).reduce(0) { $0 + weights[label * width + $1] * means[$1] }
    }
    return Readout(weights: weights, offsets: offsets, penalty: lambda)
  }
}
