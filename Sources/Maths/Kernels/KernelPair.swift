// SPDX-License-Identifier: Apache-2.0

/// Two kernel matrices of the same n points, by what they are in an orthonormal basis: A = Q A′ Qᵀ and B = Q B′ Qᵀ, Q n × r.
/// Their eigenvalues are those of A′ and B′ and n − r zeros.
struct KernelPair: Sendable {
  /// A′ and B′, r × r.
  let a: SymmetricMatrix
  let b: SymmetricMatrix
  /// n ≥ r
  let points: Int
  /// Whether the first vector of the basis is ±1/√n, by which kernels are centred; else Q = I, and r = n.
  private let hasMean: Bool

  /// The matrices themselves.
  init(_ a: SymmetricMatrix, _ b: SymmetricMatrix) {
    precondition(a.count == b.count, "kernels of the same points")
    (self.a, self.b, points, hasMean) = (a, b, a.count, false)
  }

  /// In a basis whose first vector is ±1/√n.
  init(_ a: SymmetricMatrix, _ b: SymmetricMatrix, points: Int) {
    precondition(a.count == b.count && a.count <= points, "kernels of the same points")
    (self.a, self.b, self.points, hasMean) = (a, b, points, true)
  }

  /// Eigenvalues that are zero because there are more points than vectors in the basis.
  var zeros: Int { points - a.count }

  /// HKH in the same basis, or in one for the space without 1: H is the projection along the first vector.
  func centred(_ matrix: SymmetricMatrix) -> SymmetricMatrix {
    guard hasMean else { return matrix.centred }
    let count = matrix.count - 1
    let rest = (1..<matrix.count).flatMap { row in
      matrix.elements[row * matrix.count + 1..<(row + 1) * matrix.count]
    }
    return SymmetricMatrix(rest, count: count)
  }
}
