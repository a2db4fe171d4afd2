// SPDX-License-Identifier: Apache-2.0

internal import Maths
internal import Networks
internal import Parallel
internal import Tensors
internal import Transforms

/// The points of kernels.
private struct KernelPoints: Sendable {
  let count: Int
  let fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
}

extension Verifier {
  /// Compares the kernels of two networks; `nil` where they are not finite.
  mutating func compareSpectra(
    _ f: NetworkFunction, _ g: NetworkFunction, on data: DataFile?
  ) throws(VerificationError) -> Verification.SpectrumComparison? {
    let count = data.map { min($0.samples, options.points) } ?? options.points
    let random = RandomPoints(options.distribution, count: count, width: f.inputCount, seed: options.seed)
    let points = KernelPoints(count: count) { range, out in
      if let data { data.fill(range, out) } else { random.fill(range, out) }
    }
    guard let conjugate = try conjugateDistance(f, g, points) else { return nil }
    let labels = try on(nil) { try data?.labels(classes: f.classCount) }
    var comparison = Verification.SpectrumComparison(
      points: count, distribution: data == nil ? options.distribution.rawValue : "data",
      classes: labels.map { Array($0.prefix(count)) } ?? (data == nil ? random.classes : nil),
      tangentOutput: options.tangentOutput, conjugate: conjugate)
    if let obstacle = [f, g].compactMap({ $0.tangentObstacle(points: count, output: options.tangentOutput) }).first {
      let why =
        switch obstacle {
        case .jump: "an activation that jumps has no derivative, so beyond the last layer it is not defined"
        case .places: "a layer is applied in too many places"
        case .work: "it would take more than 10¹³ operations; fewer --points or one --ntk-output take fewer"
        }
      leaveOut("no \(tangentKernelName): \(why); the \(conjugateKernelName) is compared")
      return comparison
    }
    guard let tangent = try tangentDistance(f, g, points) else { return nil }
    comparison.tangent = tangent
    return comparison
  }

  private mutating func leaveOutInfinite(_ name: String) {
    leaveOut("\(name): kernels are infinite or not a number, and are not compared")
  }

  private mutating func conjugateDistance(
    _ f: NetworkFunction, _ g: NetworkFunction, _ points: KernelPoints
  ) throws(VerificationError) -> KernelDistance? {
    guard ConjugateKernels.isSmaller(f, g, points: points.count) else {
      return try denseDistance(f, g, points) { function, threads in
        NetworkKernels.conjugate(of: function, points: points.count, threads: threads, fill: points.fill)
      }
    }
    try require(
      Int(clamping: ConjugateKernels.byteCount(f, g, points: points.count, threads: threads)),
      for: "conjugate kernels", "layers before the last are wide")
    a.options.tell("conjugate kernels")
    let kernels = ConjugateKernels(of: f, g, points: points.count, threads: threads, fill: points.fill)
    for (name, isFinite) in [("A", kernels.areFinite.a), ("B", kernels.areFinite.b)] where !isFinite {
      leaveOutInfinite(name)
      return nil
    }
    var distance = try on(nil) { try KernelDistance(kernels, withSpectra: !options.isFast, threads: threads) }
    if options.wantsHistograms {
      distance.takeVectors(of: kernels, count: 2, f, g, threads: threads, fill: points.fill)
    }
    return distance
  }

  private mutating func tangentDistance(
    _ f: NetworkFunction, _ g: NetworkFunction, _ points: KernelPoints
  ) throws(VerificationError) -> KernelDistance? {
    let output = options.tangentOutput
    return try denseDistance(f, g, points) { function, threads in
      NetworkKernels.tangent(of: function, points: points.count, output: output, threads: threads, fill: points.fill)
    }
  }

  /// Compares matrices of n × n.
  private mutating func denseDistance(
    _ f: NetworkFunction, _ g: NetworkFunction, _ points: KernelPoints,
    _ kernel: (NetworkFunction, Threads) -> SymmetricMatrix
  ) throws(VerificationError) -> KernelDistance? {
    try require(
      denseByteCount(f, g, points.count), for: "kernels of \(points.count) points", "--points takes fewer")
    a.options.tell("kernels of A")
    let kernelA = kernel(f, threads)
    a.options.tell("kernels of B")
    let kernelB = kernel(g, threads)
    for (name, matrix) in [("A", kernelA), ("B", kernelB)] where !matrix.isFinite {
      leaveOutInfinite(name)
      return nil
    }
    a.options.tell("comparing kernels")
    return try on(nil) { try KernelDistance(kernelA, kernelB, withSpectra: !options.isFast, threads: threads) }
  }

  /// What kernels of n × n take: two of them, what LAPACK works in, and differences; the values of all points.
  private func denseByteCount(_ f: NetworkFunction, _ g: NetworkFunction, _ count: Int) -> Int {
    let values = (8 * count).multipliedOrMaximum(by: max(f.valueCount, g.valueCount))
    return (14 * 8 * count).multipliedOrMaximum(by: count).addingOrMaximum(values)
  }
}

extension Int {
  fileprivate init(clamping value: Double) { self = value < 0x1p62 ? Int(value) : 1 << 62 }
}
