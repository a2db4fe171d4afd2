// SPDX-License-Identifier: Apache-2.0

import Glibc
import Parallel
import Random
import Tensors
import Testing

@testable import Compression
@testable import Matrices

extension SplitMix64 {
  /// Uniform in (0, 1).
  mutating func uniform() -> Double { (Double(next() >> 11) + 0.5) * 0x1p-53 }

  mutating func sign() -> Double { next() & 1 == 0 ? 1 : -1 }

  mutating func gaussian() -> Double { sqrt(-2 * log(uniform())) * cos(2 * .pi * uniform()) }

  mutating func sample(_ distribution: Distribution) -> Double {
    switch distribution {
    case .gaussian: return gaussian()
    case .laplace: return -log(uniform()) * sign()
    case .uniform: return uniform() * sign()
    case .student(let freedom):
      let square = (0..<freedom).reduce(0.0) { sum, _ in
        let g = gaussian()
        return sum + g * g
      }
      return gaussian() / sqrt(square / Double(freedom))
    case .ties: return Double(next() % 4) * sign()
    case .sparse: return next() % 3 == 0 ? gaussian() : 0
    case .tails:
      // Clusters whose sizes fall as the squares of their magnitudes rise: each is nearly a fixed point.
      let level = Double(min(UInt64((~next()).trailingZeroBitCount), 16))
      return pow(2, level / 2) * (1 + 0.01 * uniform()) * sign()
    }
  }

  mutating func floats(_ distribution: Distribution, _ n: Int) -> [Float] {
    (0..<n).map { _ in Float(sample(distribution)) }
  }
}

enum Distribution: Sendable, CustomTestStringConvertible {
  case gaussian, laplace, uniform, ties, sparse, tails
  case student(Int)

  static let all: [Distribution] = [
    .gaussian, .laplace, .uniform, .student(1), .student(2), .student(3), .ties, .sparse, .tails,
  ]
  var testDescription: String { "\(self)" }
}

/// The best f(k) = S_k² / k over all k, by sorting, in double.
func bestObjective(_ w: [Double]) -> Double {
  var sum = 0.0
  var best = 0.0
  for (i, magnitude) in w.map(\.magnitude).sorted(by: >).enumerated() {
    sum += magnitude
    best = max(best, sum * sum / Double(i + 1))
  }
  return best
}

/// f of the weights that a matrix row keeps.
func objective(_ w: [Double], trits: [Int]) -> Double {
  let count = trits.count { $0 != 0 }
  let sum = zip(w, trits).reduce(0.0) { $0 + $1.0 * Double($1.1) }
  return count == 0 ? 0 : sum * sum / Double(count)
}

extension TernaryMatrix {
  func trit(_ row: Int, _ column: Int) -> Int {
    [0, 1, Int.min, -1][Int(codes[row * rowBytes + column / 4] >> UInt8(column % 4 * 2) & 3)]
  }

  func trits(row: Int) -> [Int] { (0..<columns).map { trit(row, $0) } }
}

func ternarized<T: BitwiseCopyable>(
  _ elements: [T], type: ElementType = .float32, rows: Int = 1, columns: Int? = nil, transposed: Bool = false,
  group: ScaleGroup = .row, rule: TernaryRule = .optimal, threads: Int = 1
) throws -> Ternarization {
  try elements.withUnsafeBytes {
    try ternarize(
      StoredMatrix(
        $0, type: type, rows: rows, columns: columns ?? elements.count / max(1, rows), transposed: transposed),
      group: group, rule: rule, threads: Threads(threads))
  }
}

func restored(
  _ matrix: TernaryMatrix, type: ElementType = .float32, transposed: Bool = false, threads: Int = 1
) -> [UInt8] {
  var bytes = [UInt8](repeating: 0xAA, count: matrix.rows * matrix.columns * type.byteCount)
  bytes.withUnsafeMutableBytes {
    decode(matrix, type: type, transposed: transposed, into: $0, threads: Threads(threads))
  }
  return bytes
}
