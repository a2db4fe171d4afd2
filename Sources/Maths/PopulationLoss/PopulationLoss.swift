// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Parallel

/// Returns E‖f(x)‖² and E‖f(x) − g(x)‖² of two networks with as many inputs and outputs, exactly but for rounding, for
/// x ~ N(0, I); `nil` where an activation has no formula (`TwoLayerNetwork.hasClosedForm`), or where squares of the
/// weights leave the range of a double.
///
/// f and g may differ in their activations and numbers of units. With d = f − g = Lx + l + Σ cᵢ sᵢ(vᵢ·x), sᵢ hinges and
/// jumps (`RidgeSum`), for each output and summed over them,
///
/// E d² = (E d)² + ‖E[d x]‖² + Σ cᵢ cⱼ K(sᵢ, sⱼ; vᵢ·vⱼ),
///
/// K the product without its first two terms (`hingeProduct`, `jumpProduct`, `mixedProduct`). Units of f and g that are
/// the same function, but for a factor, are one, so that what both networks have takes no part in the error. Rounding
/// errs by a few 10⁻¹⁶ of Σ |cᵢ cⱼ K|.
///
/// Example: f(x) = relu(u) and g(x) = relu(−u) with u = 3x₁ + 4x₂, which is distributed as N(0, 25). f² is u² for half
/// of all x, so E f² = 12.5; f − g = u, so E (f − g)² = 25.
///
/// ```
/// populationLoss(f, g, threads: Threads(1))  // (squaredNorm: 12.5, squaredError: 25), but for rounding
/// ```
///
/// Laws: the error is exactly 0 for equal networks, also if units are in another order; neither is negative, nor
/// depends on the number of threads; both are multiplied by t² if A and the offsets are multiplied by t.
///
/// Takes ½(N + M)²(inputs + outputs) + outputs·(N + M)·inputs multiplications, the second part for affine maps, and K
/// for ½(N + M)² pairs, N and M the numbers of units; a piecewise constant unit counts once for each threshold there.
/// (spec/maths.md, Population loss)
public func populationLoss(
  _ f: TwoLayerNetwork, _ g: TwoLayerNetwork, threads: Threads
) -> (squaredNorm: Double, squaredError: Double)? {
  precondition(f.inputs == g.inputs && f.outputs == g.outputs, "as many inputs and outputs")
  guard let first = RidgeSum(f, threads: threads), let second = RidgeSum(g, threads: threads) else { return nil }
  let pair = RidgePair(first, second, inputs: f.inputs, outputs: f.outputs)
  var total = SIMD2<Double>.zero
  for part in pair.affineParts(first, second, threads: threads) + pair.products(threads: threads) { total += part }
  // max(0, x) would make 0 of what is not a number.
  guard total[0].isFinite, total[1].isFinite else { return nil }
  return (max(0, total[0]), max(0, total[1]))
}

/// y += a·x
func addProduct(_ a: Double, _ x: [Double], to y: UnsafeMutablePointer<Double>) {
  if a == 0 { return }
  x.withUnsafeBufferPointer { x in
    for i in 0..<x.count { y[i] += a * x[i] }
  }
}

/// The ridges of two networks, those that are the same as one; results are pairs, of f and of f − g.
private struct RidgePair: Sendable {
  let inputs: Int
  let outputs: Int
  /// Ridges of one direction follow one another; those of direction i begin at `starts[i]`.
  var starts: [Int] = [0]
  var isHinge: [Bool] = []
  var points: [NormalPoint] = []
  /// Directions × inputs, rows filled up with zeros.
  var directions: [Double] = []
  /// For each direction.
  var noises: [Double] = []
  /// Ridges × outputs, rows filled up with zeros: coefficients in f and in f − g.
  var first: [Double] = []
  var difference: [Double] = []
  /// Whether these are all zero.
  var isMissing: [(first: Bool, difference: Bool)] = []

  /// Directions whose products are taken together.
  private static let block = 48

  private var directionStride: Int { filled(inputs) }
  private var outputStride: Int { filled(outputs) }

  init(_ f: RidgeSum, _ g: RidgeSum, inputs: Int, outputs: Int) {
    self.inputs = inputs
    self.outputs = outputs
    let groups = f.groups + g.groups
    // Sorting is stable: in each class, f comes before g.
    let order = groups.indices.sorted { a, b in
      groups[a].precedes(groups[b]) || (a < b && !groups[b].precedes(groups[a]))
    }
    var next = 0
    while next < order.count {
      let leader = groups[order[next]]
      var end = next + 1
      while end < order.count, groups[order[end]].isParallel(to: leader) { end += 1 }
      addRidges(order[next..<end].map { (groups[$0], $0 < f.groups.count) })
      directions += leader.direction + [Double](repeating: 0, count: directionStride - inputs)
      noises.append(leader.noise)
      starts.append(points.count)
      next = end
    }
  }

  /// Adds the ridges of groups of one direction, those of f before those of g.
  private mutating func addRidges(_ groups: [(group: RidgeGroup, isFirst: Bool)]) {
    let terms = groups.indices.flatMap { i in groups[i].group.terms.map { (i, $0.ridge, $0.factor) } }
    let order = terms.indices.sorted { a, b in
      terms[a].1.precedes(terms[b].1) || (a < b && !terms[b].1.precedes(terms[a].1))
    }
    var next = 0
    while next < order.count {
      let ridge = terms[order[next]].1
      var (f, g) = ([Double](repeating: 0, count: outputStride), [Double](repeating: 0, count: outputStride))
      while next < order.count, terms[order[next]].1 == ridge {
        let (i, _, factor) = terms[order[next]]
        let (group, isFirst) = groups[i]
        for output in 0..<outputs {
          if isFirst { f[output] += factor * group.column[output] } else { g[output] += factor * group.column[output] }
        }
        next += 1
      }
      let d = zip(f, g).map { $0 - $1 }
      isHinge.append(ridge.isHinge)
      points.append(NormalPoint(ridge.shift))
      first += f
      difference += d
      isMissing.append((f.allSatisfy { $0 == 0 }, d.allSatisfy { $0 == 0 }))
    }
  }

  /// (E d)² + ‖E[d x]‖² for each output.
  func affineParts(_ f: RidgeSum, _ g: RidgeSum, threads: Threads) -> [SIMD2<Double>] {
    var parts = [SIMD2<Double>](repeating: .zero, count: outputs)
    parts.withUnsafeMutableBufferPointer { parts in
      guard let base = parts.baseAddress else { return }
      nonisolated(unsafe) let out = base
      threads.forEach(outputs) { output in
        var means = SIMD2(f.constants[output], f.constants[output] - g.constants[output])
        let (low, high) = (output * inputs, (output + 1) * inputs)
        var line = Array(f.slopes[low..<high])
        var lineOfDifference = zip(line, g.slopes[low..<high]).map { $0 - $1 }
        for direction in noises.indices {
          var factors = SIMD2<Double>.zero
          for ridge in starts[direction]..<starts[direction + 1] {
            let h = points[ridge]
            let c = SIMD2(first[ridge * outputStride + output], difference[ridge * outputStride + output])
            means += c * (isHinge[ridge] ? h.value * h.below + h.density : erf(h.value * 0.5.squareRoot()) / 2)
            factors += c * (isHinge[ridge] ? h.below : h.density)
          }
          if factors == .zero { continue }
          let start = direction * directionStride
          for i in 0..<inputs {
            line[i] += factors[0] * directions[start + i]
            lineOfDifference[i] += factors[1] * directions[start + i]
          }
        }
        out[output] =
          means * means
          + SIMD2(line.reduce(0) { $0 + $1 * $1 }, lineOfDifference.reduce(0) { $0 + $1 * $1 })
      }
    }
    return parts
  }

  /// Σ cᵢ cⱼ K over all pairs of ridges, for each pair of blocks of directions.
  func products(threads: Threads) -> [SIMD2<Double>] {
    let blocks = (noises.count + Self.block - 1) / Self.block
    let pairs = (0..<blocks).flatMap { row in (row..<blocks).map { (row, $0) } }
    var parts = [SIMD2<Double>](repeating: .zero, count: pairs.count)
    parts.withUnsafeMutableBufferPointer { parts in
      guard let base = parts.baseAddress else { return }
      nonisolated(unsafe) let out = base
      threads.forEach(pairs.count) { out[$0] = product(of: pairs[$0].0, pairs[$0].1) }
    }
    return parts
  }

  private func product(of rows: Int, _ columns: Int) -> SIMD2<Double> {
    var total = SIMD2<Double>.zero
    for i in rows * Self.block..<min(noises.count, (rows + 1) * Self.block) {
      var sum = SIMD2<Double>.zero
      for j in max(i, columns * Self.block)..<min(noises.count, (columns + 1) * Self.block) {
        sum += (i == j ? 1 : 2) * product(ofDirections: i, j)
      }
      total += sum
    }
    return total
  }

  /// Σ cᵢ cⱼ K over the ridges of two directions.
  private func product(ofDirections i: Int, _ j: Int) -> SIMD2<Double> {
    var known: (r: Correlation, isOpposite: Bool)?
    var sum = SIMD2<Double>.zero
    for a in starts[i]..<starts[i + 1] {
      for b in starts[j]..<starts[j + 1] {
        let noFirst = isMissing[a].first || isMissing[b].first
        let noDifference = isMissing[a].difference || isMissing[b].difference
        if noFirst && noDifference { continue }
        let (r, isOpposite) = known ?? correlation(i, j)
        known = (r, isOpposite)
        let k = product(points[a], isHinge[a], isOpposite ? -points[b] : points[b], isHinge[b], r)
        let weights = SIMD2(
          noFirst ? 0 : dot(first, a, first, b, stride: outputStride),
          noDifference ? 0 : dot(difference, a, difference, b, stride: outputStride))
        sum += weights * (isOpposite && !isHinge[b] ? -k : k)
      }
    }
    return sum
  }

  @inline(__always)
  private func product(
    _ h: NormalPoint, _ isHinge: Bool, _ k: NormalPoint, _ otherIsHinge: Bool, _ r: Correlation
  ) -> Double {
    switch (isHinge, otherIsHinge) {
    case (true, true): hingeProduct(h, k, r)
    case (false, false): jumpProduct(h, k, r)
    case (true, false): mixedProduct(hinge: h, jump: k, r)
    case (false, true): mixedProduct(hinge: k, jump: h, r)
    }
  }

  /// |vᵢ·vⱼ|, and whether the product is negative. The noises of two ridges are independent, also of one with itself.
  ///
  /// Near 1, it is 1 less half of ‖vᵢ ∓ vⱼ‖² + τᵢ² + τⱼ², where nothing cancels.
  private func correlation(_ i: Int, _ j: Int) -> (Correlation, isOpposite: Bool) {
    let product = dot(directions, i, directions, j, stride: directionStride)
    if product.magnitude < 0.9 { return (Correlation(product.magnitude), product < 0) }
    let sign: Double = product < 0 ? -1 : 1
    var square = noises[i] * noises[i] + noises[j] * noises[j]
    for x in 0..<inputs {
      let difference = directions[i * directionStride + x] - sign * directions[j * directionStride + x]
      square += difference * difference
    }
    return (Correlation(complement: min(1, square / 2)), product < 0)
  }
}

/// A count that eight divides.
private func filled(_ count: Int) -> Int { (count + 7) / 8 * 8 }

/// The product of row i of x and row j of y; eight divides `stride`.
@inline(__always)
private func dot(_ x: [Double], _ i: Int, _ y: [Double], _ j: Int, stride: Int) -> Double {
  x.withUnsafeBytes { x in
    y.withUnsafeBytes { y in
      var sum = SIMD8<Double>.zero
      for k in Swift.stride(from: 0, to: stride * 8, by: 64) {
        sum +=
          x.loadUnaligned(fromByteOffset: i * stride * 8 + k, as: SIMD8<Double>.self)
          * y.loadUnaligned(fromByteOffset: j * stride * 8 + k, as: SIMD8<Double>.self)
      }
      return sum.sum()
    }
  }
}
