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
    // Before anything that takes long.
    let way = try tangentWay(f, g, count)
    guard let conjugate = try conjugateDistance(f, g, points) else { return nil }
    let labels = try on(nil) { try data?.labels(classes: f.classCount) }
    var comparison = Verification.SpectrumComparison(
      points: count, distribution: data == nil ? options.distribution.rawValue : "data",
      classes: labels.map { Array($0.prefix(count)) } ?? (data == nil ? random.classes : nil),
      tangentOutput: options.tangentOutput, conjugate: conjugate)
    guard let way else { return comparison }
    guard let tangent = try tangentDistance(f, g, points, way) else { return nil }
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

  // MARK: Tangent kernels

  /// How tangent kernels are compared.
  private enum TangentWay {
    /// As matrices of n × n: all measures.
    case dense
    /// By half matrices, or by products with vectors without any: what takes no eigenvalues but the largest.
    case leading(isStored: Bool)
  }

  /// Points of which LAPACK finds all eigenvalues.
  private static let mostDense = 1 << 15
  /// Multiplications and additions of products without a matrix: an hour or so.
  private static let mostWork = 1e14

  /// The first way that there is memory for; `nil`, and a note, where there is no tangent kernel, or it would take too
  /// long.
  private mutating func tangentWay(
    _ f: NetworkFunction, _ g: NetworkFunction, _ count: Int
  ) throws(VerificationError) -> TangentWay? {
    if let obstacle = [f, g].compactMap({ $0.tangentObstacle(points: count, output: options.tangentOutput) }).first {
      let why =
        switch obstacle {
        case .jump: "an activation that jumps has no derivative, so beyond the last layer it is not defined"
        case .places: "a layer is applied in too many places"
        case .work: "it would take more than 10¹³ operations; fewer --points or one --ntk-output take fewer"
        }
      leaveOut("no \(tangentKernelName): \(why); the \(conjugateKernelName) is compared")
      return nil
    }
    let dense = denseByteCount(f, g, count)
    if count <= Self.mostDense, dense <= a.options.memory { return .dense }
    let output = options.tangentOutput
    func byteCount(isStored: Bool) -> Int {
      Int(
        clamping: TangentKernel.byteCount(
          f, g, points: count, output: output, isStored: isStored, threads: threads))
    }
    let isStored = byteCount(isStored: true) <= a.options.memory
    if !isStored {
      let least = min(byteCount(isStored: true), byteCount(isStored: false))
      try require(least, for: "kernels of \(count) points", "--points takes fewer")
      guard TangentKernel.work(f, g, points: count, output: output) <= Self.mostWork else {
        leaveOut(
          "no \(tangentKernelName): it would take \(byteCount(isStored: true)) bytes, more than --memory allows, or more than 10¹⁴ operations; the \(conjugateKernelName) is compared"
        )
        return nil
      }
    }
    if !options.isFast {
      let why =
        count > Self.mostDense
        ? "of more than \(Self.mostDense) points they are not computed"
        : "they take \(dense) bytes, more than --memory allows"
      result.notes.append("\(tangentKernelName): the largest eigenvalues alone are compared, not all: \(why)")
    }
    return .leading(isStored: isStored)
  }

  private mutating func tangentDistance(
    _ f: NetworkFunction, _ g: NetworkFunction, _ points: KernelPoints, _ way: TangentWay
  ) throws(VerificationError) -> KernelDistance? {
    let (output, count) = (options.tangentOutput, points.count)
    guard case .leading(let isStored) = way else {
      return try denseDistance(f, g, points) { function, threads in
        NetworkKernels.tangent(of: function, points: count, output: output, threads: threads, fill: points.fill)
      }
    }
    // What half matrices leave.
    let room = a.options.memory - (isStored ? TangentKernel.storedByteCount(points: count) : 0)
    func kernel(_ function: NetworkFunction, _ name: String) -> TangentKernel {
      a.options.tell("tangent kernel of \(name)")
      return TangentKernel(
        of: function, points: count, output: output, isStored: isStored, threads: threads, memory: room,
        fill: points.fill)
    }
    let (kernelA, kernelB) = (kernel(f, "A"), kernel(g, "B"))
    for (name, kernel) in [("A", kernelA), ("B", kernelB)] where !kernel.isFinite {
      leaveOutInfinite(name)
      return nil
    }
    a.options.tell("comparing kernels")
    return try on(nil) {
      try KernelDistance(leadingOf: kernelA, kernelB, withVectors: !options.isFast, threads: threads)
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
