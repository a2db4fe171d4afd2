// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Random

/// The orthogonal matrix C·D of a seed: D changes signs, C is the orthonormal cosine transform.
///
/// y_k = c_k Σᵢ cos(π(2i + 1)k/(2d)) (Dx)ᵢ with c₀ = √(1/d), else c_k = √(2/d). The sign of number i changes where bit 0
/// of output i of SplitMix64 is 1. `spec/ncz-v1.md`, §6.
enum Rotation {
  /// Numbers that can be rotated: their matrix has 2 GiB.
  static let maxWidth = 1 << 14

  /// The factors 1 and −1 of D.
  static func signs(seed: UInt64, width: Int) -> [Double] {
    var generator = SplitMix64(seed: seed)
    return (0..<width).map { _ in generator.next() & 1 == 0 ? 1 : -1 }
  }

  /// C, width × width. Angles are reduced as integers: cosines are those of 4·width different ones.
  static func cosines(width: Int) -> WeightMatrix {
    let period = 4 * width
    let step = Double.pi / Double(2 * width)
    let factor = (2 / Double(width)).squareRoot()
    let table = (0..<period).map { factor * cos(Double($0) * step) }
    let elements = [Double](unsafeUninitializedCapacity: width * width) { buffer, count in
      for k in 0..<width {
        // (2i + 1)k modulo the period.
        var angle = k
        for i in 0..<width {
          buffer[k * width + i] = k == 0 ? (1 / Double(width)).squareRoot() : table[angle]
          angle += 2 * k
          if angle >= period { angle -= period }
        }
      }
      count = width * width
    }
    return .dense(elements, rows: width, columns: width)
  }
}

extension NetworkFunction {
  /// C for every width at which values are rotated.
  ///
  /// - Parameter memory: bytes that the matrices may take.
  static func cosines(
    _ operations: [Operation], _ shapes: [SampleShape], memory: Int
  ) throws(NetworkFunctionError) -> [Int: WeightMatrix] {
    var widths: Set<Int> = []
    for (operation, shape) in zip(operations, shapes) {
      if case .rotation = operation { widths.insert(shape.width) }
    }
    var room = memory
    for width in widths.sorted() {
      guard width <= Rotation.maxWidth else { throw .rotation(width: width) }
      guard 8 * width * width <= room else { throw .rotationMemory(width: width, memory) }
      room -= 8 * width * width
    }
    return Dictionary(uniqueKeysWithValues: widths.map { ($0, Rotation.cosines(width: $0)) })
  }

  /// C·D·x for every row.
  func rotated(_ x: [Double], seed: UInt64, width: Int) -> [Double] {
    let signs = Rotation.signs(seed: seed, width: width)
    let turned = mapRows(x, width: width) { $0 * signs[$1] }
    return [Double](unsafeUninitializedCapacity: x.count) { buffer, count in
      count = x.count
      turned.withUnsafeBufferPointer { turned in
        guard let out = buffer.baseAddress, let first = turned.baseAddress, count > 0 else { return }
        cosines[width]?.apply(to: first, count: count / width, out, algebra)
      }
    }
  }
}
