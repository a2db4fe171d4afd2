// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Parallel

/// A symmetric matrix, such as a kernel matrix: count × count elements, both halves stored.
public struct SymmetricMatrix: Sendable, Equatable {
  /// Rows, and columns.
  public let count: Int
  /// Row-major.
  public var elements: [Double]

  public init(_ elements: [Double], count: Int) {
    precondition(elements.count == count * count, "as many elements as rows times columns")
    self.count = count
    self.elements = elements
  }

  /// tr K = Σᵢ Kᵢᵢ
  public var trace: Double { (0..<count).reduce(0) { $0 + elements[$1 * count + $1] } }

  /// ⟨K, other⟩ = Σᵢⱼ Kᵢⱼ·otherᵢⱼ
  public func product(_ other: SymmetricMatrix) -> Double {
    precondition(other.count == count, "matrices of one size")
    return dot(elements, other.elements)
  }

  /// a·K + b·other + c·I
  func combined(_ a: Double, _ b: Double, _ other: SymmetricMatrix, identity c: Double = 0) -> SymmetricMatrix {
    var result = self
    for i in elements.indices { result.elements[i] = a * elements[i] + b * other.elements[i] }
    for i in 0..<count { result.elements[i * count + i] += c }
    return result
  }

  /// HKH with H = I − 11ᵀ/n: rows and columns less their means.
  var centred: SymmetricMatrix {
    var result = self
    guard count > 0 else { return result }
    let means = (0..<count).map { row in
      elements[row * count..<(row + 1) * count].reduce(0, +) / Double(count)
    }
    let mean = means.reduce(0, +) / Double(count)
    for row in 0..<count {
      for column in 0..<count { result.elements[row * count + column] -= means[row] + means[column] - mean }
    }
    return result
  }

  /// Makes the upper half that of the lower.
  mutating func mirror() {
    elements.withUnsafeMutableBufferPointer { elements in
      for row in 0..<count {
        for column in 0..<row { elements[column * count + row] = elements[row * count + column] }
      }
    }
  }

  /// Whether all elements are.
  public var isFinite: Bool { elements.allSatisfy(\.isFinite) }

  /// ‖K‖₂ = max |λᵢ|, by Lanczos's method.
  ///
  /// - Throws: `LinearAlgebraError.notFinite`.
  public func spectralNorm(threads: Threads) throws(LinearAlgebraError) -> Double {
    let (numbers, unit) = try inSafeUnits(elements)
    let matrix = SymmetricMatrix(numbers, count: count)
    return try largestEigenvalueMagnitude(count: count) { x, y in matrix.multiply(x, to: y, threads: threads) } * unit
  }

  /// y = Kx
  private func multiply(
    _ x: UnsafePointer<Double>, to y: UnsafeMutablePointer<Double>, threads: Threads
  ) {
    let rows = 64
    nonisolated(unsafe) let (x, y) = (x, y)
    elements.withUnsafeBufferPointer { elements in
      guard let first = elements.baseAddress else { return }
      nonisolated(unsafe) let base = first
      threads.forEach((count + rows - 1) / rows) { block in
        for row in block * rows..<min(count, (block + 1) * rows) { y[row] = dot(base + row * count, x, count) }
      }
    }
  }
}

/// Σ xᵢyᵢ, in eight lanes.
func dot(_ x: [Double], _ y: [Double]) -> Double {
  x.withUnsafeBufferPointer { x in
    y.withUnsafeBufferPointer { y in
      guard let first = x.baseAddress, let second = y.baseAddress else { return 0 }
      return dot(first, second, x.count)
    }
  }
}

func dot(_ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>, _ count: Int) -> Double {
  var (first, second) = (SIMD8<Double>.zero, SIMD8<Double>.zero)
  let (a, b) = (UnsafeRawPointer(x), UnsafeRawPointer(y))
  var i = 0
  while i + 16 <= count {
    first +=
      a.loadUnaligned(fromByteOffset: 8 * i, as: SIMD8<Double>.self)
      * b.loadUnaligned(fromByteOffset: 8 * i, as: SIMD8<Double>.self)
    second +=
      a.loadUnaligned(fromByteOffset: 8 * i + 64, as: SIMD8<Double>.self)
      * b.loadUnaligned(fromByteOffset: 8 * i + 64, as: SIMD8<Double>.self)
    i += 16
  }
  var sum = (first + second).sum()
  while i < count {
    sum += x[i] * y[i]
    i += 1
  }
  return sum
}
