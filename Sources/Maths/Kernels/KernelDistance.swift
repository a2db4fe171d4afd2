// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Parallel

/// How far a kernel matrix B is from another, A, of the same n points.
///
/// | measure | formula | for B = A; 1.1A; A + ½I | sees |
/// |---|---|---|---|
/// | relative spectral norm | ‖A − B‖₂/‖A‖₂ | 0; .100; .044 | all: by Weyl it bounds every eigenvalue's change, by
/// Davis and Kahan angles of eigenvectors at a gap | | eigenvalue distance | mean \|λᵢ(A) − λᵢ(B)\| / mean λ(A) | 0;
/// .10; .50 | shifts; no eigenvectors | | subspace | sin of the largest angle between the spaces of the k largest
/// eigenvalues | 0; 0; 0 | directions; no scale, no shift | | alignment | ⟨HAH, HBH⟩/(‖HAH‖‖HBH‖), H = I − 11ᵀ/n,
/// Frobenius | 1; 1; .987 | directions of the large eigenvalues |
///
/// The numbers are those of a kernel of 300 points in ℝ⁵⁰.
///
/// A shift c = tr(B − A)/n is a ridge, which changes no eigenvector; a scale s = ⟨A, B⟩/‖A‖² does not either. What is
/// left after each is ‖B − A − cI‖₂/‖A‖₂ and ‖B − sA‖₂/(|s|‖A‖₂).
///
/// Example: A = diag(2, 1) and B = diag(3, 1) differ by 1 in one eigenvalue.
///
/// - The relative spectral norm is 1/2, the eigenvalue distance (1/2)/(3/2) = 1/3.
/// - The shift is 1/2; ‖diag(½, −½)‖₂/2 = 1/4 is left after it.
/// - The scale is 7/5; ‖diag(.2, −.4)‖₂/(1.4 · 2) = 1/7 is left after it.
/// - The eigenvectors are the same: the sine is 0, at the gap 2/1; the alignment is 1.
///
/// Gu et al. (2022); `spec/maths.md`.
public struct KernelDistance: Sendable {
  /// ‖A‖₂ and ‖B‖₂.
  public let norms: (a: Double, b: Double)
  /// ‖A − B‖₂/‖A‖₂, ≥ 0; `nil` where A is zero.
  public let relativeSpectralNorm: Double?
  /// c = tr(B − A)/n, in the unit of the kernels; 0 for n = 0.
  public let shift: Double
  /// ‖B − A − cI‖₂/‖A‖₂, ≥ 0; `nil` where A is zero.
  public let residualAfterShift: Double?
  /// s = ⟨A, B⟩/‖A‖²; `nil` where A is zero.
  public let scale: Double?
  /// ‖B − sA‖₂/(|s|‖A‖₂), ≥ 0; `nil` where s is 0 or `nil`.
  public let residualAfterScale: Double?
  /// First order Wasserstein distance of the eigenvalues, over the mean eigenvalue of A, ≥ 0; `nil` without
  /// spectra, and where tr A is not positive.
  public let eigenvalueDistance: Double?
  /// `nil` without spectra, for fewer than two points, and where A has no positive eigenvalue.
  public let subspace: Subspace?
  /// ⟨HAH, HBH⟩/(‖HAH‖‖HBH‖), −1…1; `nil` where HAH or HBH is zero but for rounding.
  public let alignment: Double?
  /// `nil` where they were not wanted.
  public private(set) var spectra: Spectra?

  /// The angle between the spaces of the `dimension` largest eigenvalues.
  public struct Subspace: Sendable {
    /// k, of 1…10 that at the widest gap of A.
    public let dimension: Int
    /// λ_k/λ_{k+1} of A. Near 1 the space is not determined, and the angle means nothing. `nil` where A has rank k:
    /// what follows is zero but for rounding, 10⁻¹² of the largest.
    public let gap: Double?
    /// `nil` where B has fewer than k eigenvalues that are not zero but for rounding.
    public let sine: Double?
  }

  /// All eigenvalues, descending, and the vectors of the first.
  public struct Spectra: Sendable {
    public let a: Eigenvalues
    public let b: Eigenvalues
  }

  /// Maximum dimensions of the space that is compared.
  static let maxDimensions = 10

  /// - Parameters:
  ///   - withSpectra: whether eigenvalues are wanted, which cost 4/3 n³ for each matrix; all else costs n².
  ///   - threads: results do not depend on it.
  /// - Throws: `LinearAlgebraError`.
  public init(
    _ a: SymmetricMatrix, _ b: SymmetricMatrix, withSpectra: Bool, threads: Threads
  ) throws(LinearAlgebraError) {
    try self.init(KernelPair(a, b), withSpectra: withSpectra, threads: threads)
  }

  /// The same of kernels that are not there as matrices of all points. Eigenvectors are in the basis of these kernels.
  public init(
    _ kernels: ConjugateKernels, withSpectra: Bool, threads: Threads
  ) throws(LinearAlgebraError) {
    try self.init(kernels.pair, withSpectra: withSpectra, threads: threads)
  }

  /// Makes the first eigenvectors those of points. The networks are computed again.
  ///
  /// - Parameters:
  ///   - kernels: those that were compared.
  ///   - count: of vectors.
  ///   - f, g, threads, fill: as of `ConjugateKernels`.
  public mutating func takeVectors(
    of kernels: ConjugateKernels, count: Int, _ f: NetworkFunction, _ g: NetworkFunction, threads: Threads,
    fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void
  ) {
    guard let spectra else { return }
    let (a, b) = kernels.vectors(spectra, count: count, of: f, g, threads: threads, fill: fill)
    self.spectra = Spectra(
      a: Eigenvalues(values: spectra.a.values, vectors: a), b: Eigenvalues(values: spectra.b.values, vectors: b))
  }

  private init(_ pair: KernelPair, withSpectra: Bool, threads: Threads) throws(LinearAlgebraError) {
    let (a, b) = (pair.a, pair.b)
    guard a.isFinite, b.isFinite else { throw .notFinite }
    let count = Double(pair.points)
    let norm = try a.spectralNorm(threads: threads)
    norms = (norm, try b.spectralNorm(threads: threads))
    /// - Parameter least: the magnitude of an eigenvalue that is not of the matrix.
    func relative(
      _ difference: SymmetricMatrix, orAtLeast least: Double = 0, to size: Double
    ) throws(LinearAlgebraError) -> Double? {
      size > 0 ? max(least, try difference.spectralNorm(threads: threads)) / size : nil
    }
    relativeSpectralNorm = try relative(a.combined(-1, 1, b), to: norm)
    shift = pair.points > 0 ? (b.trace - a.trace) / count : 0
    residualAfterShift = try relative(
      a.combined(-1, 1, b, identity: -shift), orAtLeast: pair.zeros > 0 ? shift.magnitude : 0, to: norm)
    // Each matrix in a unit of its own: squares of large or small elements would leave the range of a double.
    let (unitA, unitB) = (try inSafeUnits(a.elements), try inSafeUnits(b.elements))
    let safeA = SymmetricMatrix(unitA.numbers, count: a.count)
    let safeB = SymmetricMatrix(unitB.numbers, count: b.count)
    let square = safeA.product(safeA)
    let factor = square > 0 ? safeA.product(safeB) / square * (unitB.unit / unitA.unit) : nil
    scale = factor
    residualAfterScale =
      if let factor, factor != 0 { try relative(a.combined(-factor, 1, b), to: factor.magnitude * norm) } else { nil }
    let (centredA, centredB) = (pair.centred(safeA), pair.centred(safeB))
    func size(_ matrix: SymmetricMatrix) -> Double { matrix.product(matrix).squareRoot() }
    let (sizeA, sizeB) = (size(centredA), size(centredB))
    // What is left of a matrix without structure is rounding.
    let isDefined = sizeA > 1e-12 * size(safeA) && sizeB > 1e-12 * size(safeB)
    alignment = isDefined ? centredA.product(centredB) / sizeA / sizeB : nil
    guard withSpectra else {
      (spectra, eigenvalueDistance, subspace) = (nil, nil, nil)
      return
    }
    let wanted = min(Self.maxDimensions, max(0, pair.points - 1))
    let both = threads.results(2) { number in
      Result { () throws(LinearAlgebraError) in try Eigenvalues(of: number == 0 ? a : b, vectors: wanted) }
    }
    let (first, second) = (
      try both[0].get().with(zeros: pair.zeros), try both[1].get().with(zeros: pair.zeros)
    )
    spectra = Spectra(a: first, b: second)
    let distance = zip(first.values, second.values).reduce(0) { $0 + ($1.0 - $1.1).magnitude }
    eigenvalueDistance = a.trace > 0 ? distance / a.trace : nil
    subspace = try Self.subspace(first, second, wanted)
  }

  /// Without spectra.
  init(
    norms: (a: Double, b: Double), relativeSpectralNorm: Double?, shift: Double, residualAfterShift: Double?,
    scale: Double?, residualAfterScale: Double?, alignment: Double?, subspace: Subspace?
  ) {
    (self.norms, self.relativeSpectralNorm, self.shift) = (norms, relativeSpectralNorm, shift)
    (self.residualAfterShift, self.scale, self.residualAfterScale) = (residualAfterShift, scale, residualAfterScale)
    (self.alignment, self.subspace, eigenvalueDistance, spectra) = (alignment, subspace, nil, nil)
  }

  /// - Parameters: the largest eigenvalues, `most` + 1 at least, and vectors of the first `most`.
  static func subspace(
    _ a: Eigenvalues, _ b: Eigenvalues, _ most: Int
  ) throws(LinearAlgebraError) -> Subspace? {
    guard most > 0, let largest = a.values.first, largest > 0 else { return nil }
    // Eigenvalues that are rounding have no ratio; what they end is the widest gap.
    func isRounding(_ value: Double, in spectrum: Eigenvalues) -> Bool { value <= spectrum.values[0] * 1e-12 }
    func gap(_ k: Int) -> Double {
      isRounding(a.values[k], in: a) ? .infinity : a.values[k - 1] / a.values[k]
    }
    var dimension = 1
    for k in 1...most where !isRounding(a.values[k - 1], in: a) && gap(k) > gap(dimension) { dimension = k }
    let width = gap(dimension).isFinite ? gap(dimension) : nil
    guard b.values[0] > 0, !isRounding(b.values[dimension - 1], in: b) else {
      return Subspace(dimension: dimension, gap: width, sine: nil)
    }
    // The norm of what B's vectors have outside the space of A: 1 − cos² would lose what is below 10⁻⁸.
    let outside = (0..<dimension).flatMap { j -> [Double] in
      var rest = b.vectors[j]
      for i in 0..<dimension {
        let part = dot(a.vectors[i], b.vectors[j])
        for index in rest.indices { rest[index] -= part * a.vectors[i][index] }
      }
      return rest
    }
    let points = a.vectors[0].count
    let gram = (0..<dimension).flatMap { i in
      (0..<dimension).map { j in
        dot(Array(outside[i * points..<(i + 1) * points]), Array(outside[j * points..<(j + 1) * points]))
      }
    }
    let sine = try SymmetricMatrix(gram, count: dimension).spectralNorm(threads: Threads(1)).squareRoot()
    return Subspace(dimension: dimension, gap: width, sine: min(1, sine))
  }
}
