// SPDX-License-Identifier: Apache-2.0

public import Parallel

extension KernelDistance {
  /// The measures that take no eigenvalues but the largest, of tangent kernels of many points: all but
  /// `eigenvalueDistance` and `spectra`.
  ///
  /// - Parameters:
  ///   - withVectors: whether leading spaces are compared.
  ///   - threads: results do not depend on it.
  /// - Throws: `LinearAlgebraError`.
  public init(
    leadingOf a: TangentKernel, _ b: TangentKernel, withVectors: Bool, threads: Threads
  ) throws(LinearAlgebraError) {
    precondition(a.points == b.points, "kernels of the same points")
    let count = a.points
    // No element is larger than those on the diagonal.
    let units = (try inSafeUnits(a.diagonal).unit, try inSafeUnits(b.diagonal).unit)
    /// y = (factor · A + other · B) x in a unit
    func multiply(
      _ factor: Double, _ other: Double, unit: Double, _ x: UnsafePointer<Double>, _ y: UnsafeMutablePointer<Double>
    ) {
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * count) { room in
        guard let small = room.baseAddress else { return }
        let image = small + count
        for i in 0..<count { small[i] = x[i] / unit }
        y.update(repeating: 0, count: count)
        for (kernel, factor) in [(a, factor), (b, other)] where factor != 0 {
          kernel.multiply(small, to: image, threads: threads)
          for i in 0..<count { y[i] += factor * image[i] }
        }
      }
    }
    let wanted = min(count, withVectors ? Self.maxDimensions + 1 : 1)
    func leading(_ factor: Double, _ other: Double, unit: Double) throws(LinearAlgebraError) -> LeadingEigenvalues {
      try LeadingEigenvalues(count: count, wanted: wanted, tolerance: Self.leadingTolerance) { x, y in
        multiply(factor, other, unit: unit, x, y)
      }
    }
    let (first, second) = (try leading(1, 0, unit: units.0), try leading(0, 1, unit: units.1))
    let norm = max(0, first.values.first ?? 0) * units.0
    let norms = (a: norm, b: max(0, second.values.first ?? 0) * units.1)
    let shift = count > 0 ? (b.diagonal.reduce(0, +) - a.diagonal.reduce(0, +)) / Double(count) : 0
    let unit = max(units.0, units.1)
    var residuals: [Double] = [0, 0]
    if norm > 0 {
      residuals = try largestEigenvalueMagnitudes(
        count: count, shifts: [0, shift / unit], tolerance: Self.normTolerance
      ) { x, y in multiply(-1, 1, unit: unit, x, y) }
    }
    // The means of rows, in the units.
    func means(_ factor: Double, _ other: Double, unit: Double) -> [Double] {
      var result = [Double](repeating: 0, count: count)
      let ones = [Double](repeating: 1 / Double(max(1, count)), count: count)
      result.withUnsafeMutableBufferPointer { result in
        ones.withUnsafeBufferPointer { ones in
          if let x = ones.baseAddress, let y = result.baseAddress { multiply(factor, other, unit: unit, x, y) }
        }
      }
      return result
    }
    let means = (means(1, 0, unit: units.0), means(0, 1, unit: units.1))
    let products = TangentKernel.products(a, b, units: units, means: means, threads: threads)
    let sums = products.plain
    guard (sums + products.centred).sum().isFinite else { throw .notFinite }
    let factor = sums.x > 0 ? sums.y / sums.x * (units.1 / units.0) : nil
    var residualAfterScale: Double?
    if let factor, factor != 0 {
      let size = try largestEigenvalueMagnitudes(count: count, shifts: [0], tolerance: Self.normTolerance) { x, y in
        multiply(-factor, 1, unit: units.1, x, y)
      }
      residualAfterScale = size[0] * units.1 / (factor.magnitude * norm)
    }
    let sizes = (products.centred.x.squareRoot(), products.centred.z.squareRoot())
    let isDefined = sizes.0 > 1e-12 * sums.x.squareRoot() && sizes.1 > 1e-12 * sums.z.squareRoot()
    func spectrum(_ leading: LeadingEigenvalues) -> Eigenvalues {
      Eigenvalues(values: leading.values, vectors: Array(leading.vectors.prefix(Self.maxDimensions)))
    }
    let isFound = [first, second].allSatisfy { leading in
      leading.residuals.allSatisfy { $0 <= 1e-8 * (leading.values.first ?? 0) }
    }
    self.init(
      norms: norms, relativeSpectralNorm: norm > 0 ? residuals[0] * unit / norm : nil, shift: shift,
      residualAfterShift: norm > 0 ? residuals[1] * unit / norm : nil, scale: factor,
      residualAfterScale: residualAfterScale,
      alignment: isDefined ? products.centred.y / sizes.0 / sizes.1 : nil,
      subspace: withVectors && isFound
        ? try Self.subspace(spectrum(first), spectrum(second), min(Self.maxDimensions, count - 1)) : nil)
  }

  /// Of residuals of the leading vectors: sines are as right as these relative to the gap.
  private static let leadingTolerance = 1e-12
  /// The error is of the order of the square.
  private static let normTolerance = 1e-8
}
