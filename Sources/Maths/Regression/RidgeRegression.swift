// SPDX-License-Identifier: Apache-2.0

public import Parallel

/// Which λ a readout is fitted with.
public enum Penalty: Sendable, Equatable {
  /// The one that errs least often on a tenth of the samples that is held back; of equals the larger.
  case heldBack
  /// λ ≥ 0, relative to the mean square of a feature.
  case relative(Double)
}

extension LabelledFeatures {
  /// The λ that are tried, descending.
  static let penalties: [Double] = (-18...2).reversed().map { exponent10(Double($0) / 2) }

  /// Ridge regression on one-hot labels: minimises Σᵢ ‖W(hᵢ − h̄) − (yᵢ − ȳ)‖² + λ·n·s·‖W‖², s the mean of the
  /// features' variances, in closed form: W = ((G + λ·n·s·I)⁻¹C)ᵀ with G = Σ(hᵢ − h̄)(hᵢ − h̄)ᵀ and
  /// C = Σ(hᵢ − h̄)(yᵢ − ȳ)ᵀ; b = ȳ − Wh̄.
  ///
  /// G is summed over blocks of samples in their order, so that results do not depend on the number of threads. Memory:
  /// 16d² bytes, and 4d for each sample that is held back.
  ///
  /// - Throws: `LinearAlgebraError`.
  public func fittedReadout(_ penalty: Penalty, threads: Threads) throws(LinearAlgebraError) -> Readout {
    let algebra = try LinearAlgebra()
    let held = penalty == .heldBack ? heldBack : [Bool](repeating: false, count: samples)
    var moments = FeatureMoments(width: width, classes: classes, algebra)
    // Of the samples that are held back, also the features.
    var kept: [Float] = []
    forEachBlock(threads) { range, features in
      let chosen = range.filter { !held[$0] }
      for sample in range where held[sample] {
        let first = (sample - range.lowerBound) * width
        kept += features[first..<first + width].lazy.map(Float.init)
      }
      moments.add(rows(chosen, of: features, from: range.lowerBound), chosen.map { labels[$0] }, threads)
    }
    let isFinite = moments.gram.allSatisfy(\.isFinite)
    guard isFinite else { throw .notFinite }
    guard penalty == .heldBack, held.contains(true), held.contains(false) else {
      let lambda = if case .relative(let value) = penalty { value } else { 1e-6 }
      guard let readout = moments.readout(lambda, threads) ?? moments.readout(max(lambda, 1e-9), threads) else {
        throw .notConverged
      }
      return readout
    }
    let heldLabels = labels.indices.filter { held[$0] }.map { labels[$0] }
    var best: (errors: Int, lambda: Double)?
    // Every second first, then those beside the best of them: a factorization for each.
    func attempt(_ lambda: Double) {
      guard let readout = moments.readout(lambda, threads) else { return }
      let errors = heldLabels.count - readout.correct(kept, heldLabels, threads)
      if let known = best, (errors, -lambda) >= (known.errors, -known.lambda) { return }
      best = (errors, lambda)
    }
    for index in stride(from: 0, to: Self.penalties.count, by: 2) { attempt(Self.penalties[index]) }
    if let coarse = best, let index = Self.penalties.firstIndex(of: coarse.lambda) {
      for neighbour in [index - 1, index + 1] where Self.penalties.indices.contains(neighbour) {
        attempt(Self.penalties[neighbour])
      }
    }
    guard let chosen = best else { throw .notConverged }
    // The samples that were held back count in the fit.
    for first in stride(from: 0, to: heldLabels.count, by: Self.block) {
      let some = first..<min(heldLabels.count, first + Self.block)
      moments.add(
        kept[some.lowerBound * width..<some.upperBound * width].map(Double.init), Array(heldLabels[some]), threads)
    }
    guard let readout = moments.readout(chosen.lambda, threads) else { throw .notConverged }
    return readout
  }

  /// Calls `body` with the features of blocks of samples, in order; those of a few blocks are made at once.
  private func forEachBlock(_ threads: Threads, _ body: (Range<Int>, [Double]) -> Void) {
    let together = Self.block * 8
    for first in stride(from: 0, to: samples, by: together) {
      let range = first..<min(samples, first + together)
      body(range, features(of: range, threads))
    }
  }

  /// The features of some samples, made on several threads.
  func features(of range: Range<Int>, _ threads: Threads) -> [Double] {
    [Double](unsafeUninitializedCapacity: range.count * width) { buffer, count in
      count = range.count * width
      guard let first = buffer.baseAddress else { return }
      nonisolated(unsafe) let base = first
      threads.forEach((range.count + Self.block - 1) / Self.block) { number in
        let own = number * Self.block..<min(range.count, (number + 1) * Self.block)
        fill(range.lowerBound + own.lowerBound..<range.lowerBound + own.upperBound, base + own.lowerBound * width)
      }
    }
  }

  private func rows(_ chosen: [Int], of features: [Double], from first: Int) -> [Double] {
    if chosen.count * width == features.count { return features }
    var rows: [Double] = []
    rows.reserveCapacity(chosen.count * width)
    for sample in chosen { rows += features[(sample - first) * width..<(sample - first + 1) * width] }
    return rows
  }
}

/// Sums over samples of which a regression is made.
struct FeatureMoments {
  let width: Int
  let classes: Int
  private let algebra: LinearAlgebra
  private(set) var samples = 0
  /// Σ h hᵀ; tiles on and below the diagonal.
  private(set) var gram: [Double]
  private var sums: [Double]
  /// Σ over the samples of each class of h, classes × width.
  private var classSums: [Double]
  private var classCounts: [Double]

  private static let tile = 512

  init(width: Int, classes: Int, _ algebra: LinearAlgebra) {
    self.width = width
    self.classes = classes
    self.algebra = algebra
    gram = [Double](repeating: 0, count: width * width)
    sums = [Double](repeating: 0, count: width)
    classSums = [Double](repeating: 0, count: classes * width)
    classCounts = [Double](repeating: 0, count: classes)
  }

  mutating func add(_ features: [Double], _ labels: [Int], _ threads: Threads) {
    samples += labels.count
    for (row, label) in labels.enumerated() {
      classCounts[label] += 1
      for i in 0..<width {
        sums[i] += features[row * width + i]
        classSums[label * width + i] += features[row * width + i]
      }
    }
    let (width, count, algebra) = (width, labels.count, algebra)
    let tiles = (width + Self.tile - 1) / Self.tile
    let pairs = (0..<tiles).flatMap { i in (0...i).map { (i * Self.tile, $0 * Self.tile) } }
    gram.withUnsafeMutableBufferPointer { gram in
      features.withUnsafeBufferPointer { features in
        guard let out = gram.baseAddress, let first = features.baseAddress else { return }
        nonisolated(unsafe) let (g, h) = (out, first)
        threads.forEach(pairs.count) { number in
          let (i, j) = pairs[number]
          algebra.transposedProduct(
            .init(h + i, stride: width), min(Self.tile, width - i), .init(h + j, stride: width), count,
            min(Self.tile, width - j), to: g + i * width + j, stride: width, adding: true)
        }
      }
    }
  }

  /// h̄
  var means: [Double] { sums.map { $0 / Double(samples) } }

  /// Σ(h − h̄)(h − h̄)ᵀ on and below the diagonal, and its trace.
  func centred(at means: [Double]) -> (elements: [Double], trace: Double) {
    var elements = gram
    var trace = 0.0
    for i in 0..<width {
      for j in 0...i { elements[i * width + j] -= sums[i] * means[j] }
      trace += elements[i * width + i]
    }
    return (elements, trace)
  }

  /// `nil` where G + λ·n·s·I is not positive definite.
  func readout(_ lambda: Double, _ threads: Threads) -> Readout? {
    let count = Double(samples)
    let means = means
    var (centred, trace) = centred(at: means)
    // Features without variance have no weights.
    let ridge = lambda * max(trace / Double(width), Double.leastNormalMagnitude)
    for i in 0..<width { centred[i * width + i] += ridge }
    guard let factor = Cholesky(consume centred, count: width, threads: threads, algebra) else { return nil }
    var products = [Double](repeating: 0, count: width * classes)
    for i in 0..<width {
      for label in 0..<classes {
        products[i * classes + label] = classSums[label * width + i] - classCounts[label] * means[i]
      }
    }
    let solution = factor.solve(products, columns: classes)
    var readout = Readout(
      weights: [Double](repeating: 0, count: classes * width), offsets: classCounts.map { $0 / count },
      penalty: lambda)
    for label in 0..<classes {
      for i in 0..<width {
        let weight = solution[i * classes + label]
        readout.weights[label * width + i] = weight
        readout.offsets[label] -= weight * means[i]
      }
    }
    return readout.weights.allSatisfy(\.isFinite) ? readout : nil
  }
}

extension Readout {
  /// Samples whose largest output is their label; the first of equals is the largest.
  fileprivate func correct(_ features: [Float], _ labels: [Int], _ threads: Threads) -> Int {
    let (classes, width) = (offsets.count, weights.count / max(1, offsets.count))
    return threads.results((labels.count + 255) / 256) { block in
      (block * 256..<min(labels.count, (block + 1) * 256)).count { sample in
        var best = (value: -Double.infinity, label: -1)
        for label in 0..<classes {
          var sum = offsets[label]
          for i in 0..<width { sum += weights[label * width + i] * Double(features[sample * width + i]) }
          if sum > best.value { best = (sum, label) }
        }
        return best.label == labels[sample]
      }
    }.reduce(0, +)
  }
}
