// SPDX-License-Identifier: Apache-2.0

internal import CLoops
internal import Glibc
public import Parallel
public import Tensors

/// What is lost where values are replaced by others: ‖before‖ and ‖before − after‖.
///
/// The one place where the error is computed that compressors record and `nc-verify` checks. Sums are in double, each
/// in a unit of its own, so that squares neither overflow nor vanish.
public struct SquaredError: Sendable {
  private var norm = ScaledSquares()
  private var difference = ScaledSquares()

  /// Of no values.
  public init() {}

  /// - Parameters:
  ///   - norm: ‖before‖², in squares of the unit.
  ///   - difference: ‖before − after‖², in squares of the unit.
  ///   - unit: a power of two.
  package init(norm: Double, difference: Double, unit: Double) {
    self.norm = ScaledSquares(unit: unit, sum: norm)
    self.difference = ScaledSquares(unit: unit, sum: difference)
  }

  /// Of elements of a floating-point type before and after, the same on any number of threads.
  public init(
    _ before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer, type: ElementType, threads: Threads
  ) {
    precondition(type.isFloat && before.count == after.count, "as many elements of one type")
    guard let first = before.baseAddress, let second = after.baseAddress else { return }
    let count = before.count / type.byteCount
    let size = 1 << 14
    nonisolated(unsafe) let (x, y) = (first, second)
    let blocks = threads.results((count + size - 1) / size) { block in
      let start = block * size * type.byteCount
      return Self(x + start, y + start, count: min(size, count - block * size), type)
    }
    for block in blocks { add(block) }
  }

  private init(_ x: UnsafeRawPointer, _ y: UnsafeRawPointer, count: Int, _ type: ElementType) {
    switch type {
    case .float64:
      self.init(
        doubles: { x.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) },
        { y.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }, count: count)
    case .float32:
      if Int(bitPattern: x) % 4 == 0, Int(bitPattern: y) % 4 == 0 {
        self.init(floats: x.assumingMemoryBound(to: Float.self), y.assumingMemoryBound(to: Float.self), count)
      } else {
        self = Self.withFloats(count) { copyX, copyY in
          UnsafeMutableRawPointer(copyX).copyMemory(from: x, byteCount: 4 * count)
          UnsafeMutableRawPointer(copyY).copyMemory(from: y, byteCount: 4 * count)
        }
      }
    default:
      self = Self.withFloats(count) { wideX, wideY in
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: count) { halves in
          guard let halves = halves.baseAddress else { return }
          for (source, wide) in [(x, wideX), (y, wideY)] {
            UnsafeMutableRawPointer(halves).copyMemory(from: source, byteCount: 2 * count)
            nc_widen(halves, count, type == .bfloat16, wide)
          }
        }
      }
    }
  }

  /// Of two times `count` floats that `fill` writes.
  private static func withFloats(
    _ count: Int, _ fill: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  ) -> Self {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * count) { room in
      guard let x = room.baseAddress else { return Self() }
      fill(x, x + count)
      return Self(floats: x, x + count, count)
    }
  }

  /// Squares of the narrower types' values neither overflow nor vanish.
  private init(floats x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ count: Int) {
    nc_squared_errors(x, y, count, &norm.sum, &difference.sum)
  }

  private init(doubles x: (Int) -> Double, _ y: (Int) -> Double, count: Int) {
    var (largest, greatest, isFinite) = (0.0, 0.0, true)
    for i in 0..<count {
      let (before, after) = (x(i), y(i))
      isFinite = isFinite && before.isFinite
      largest = max(largest, before.magnitude)
      greatest = max(greatest, before.magnitude, after.magnitude.isNaN ? .infinity : after.magnitude)
    }
    // The difference of the largest numbers would overflow.
    let scale = greatest > 0x1p1022 ? 0.25 : 1
    var most = 0.0
    for i in 0..<count { most = max(most, (x(i) * scale - y(i) * scale).magnitude) }
    let (unit, step) = (largest.unit, most.unit)
    for i in 0..<count {
      let (value, lost) = (x(i) / unit, (x(i) * scale - y(i) * scale) / step)
      norm.sum += value * value
      difference.sum += lost * lost
    }
    norm.unit = unit
    difference.unit = step
    difference.scale(by: 1 / scale)
    if !isFinite { norm.sum = .nan }
    if !greatest.isFinite { difference.sum = .infinity }
  }

  public mutating func add(_ other: SquaredError) {
    norm.add(other.norm)
    difference.add(other.difference)
  }

  /// ‖before‖; infinite where it is too large for a double, NaN where an element is not finite.
  public var before: Double { norm.sum.isFinite ? norm.root : .nan }
  /// ‖before − after‖; infinite where it is too large for a double, or an element after is not finite.
  public var distance: Double { difference.sum.isFinite ? difference.root : .infinity }

  /// ‖before‖² and ‖before − after‖²; infinite where they are too large for a double.
  package var squares: (norm: Double, difference: Double) {
    (norm.sum * norm.unit * norm.unit, difference.sum * difference.unit * difference.unit)
  }

  /// ‖before − after‖ ÷ ‖before‖; `nil` where ‖before‖ is 0 and the distance is not, and where an element is not
  /// finite.
  public var relativeL2: Double? {
    guard norm.sum.isFinite, difference.sum.isFinite else { return nil }
    if difference.sum == 0 { return 0 }
    return norm.sum > 0 ? min(difference.root(over: norm), .greatestFiniteMagnitude) : nil
  }

  /// What a history records (`spec/ncz-v1.md` §3.3): ‖before − after‖ ÷ ‖before‖; where ‖before‖ is 0, ‖before −
  /// after‖; where an element before is not finite, 1. Infinite, and never recorded, where an element after is not
  /// finite.
  public var error: Double {
    guard norm.sum.isFinite else { return 1 }
    guard difference.sum.isFinite else { return .infinity }
    // Of the smallest numbers the norm may be no number above zero.
    if difference.sum == 0 { return 0 }
    return min(norm.sum > 0 ? difference.root(over: norm) : difference.root, .greatestFiniteMagnitude)
  }
}

/// A sum of squares of numbers in units of a power of two.
private struct ScaledSquares: Sendable {
  var unit = 1.0
  var sum = 0.0

  mutating func add(_ other: ScaledSquares) {
    if other.sum == 0 { return }
    if sum == 0 {
      self = other
      return
    }
    let larger = max(unit, other.unit)
    let (own, others) = (unit / larger, other.unit / larger)
    sum = sum * own * own + other.sum * others * others
    unit = larger
  }

  /// Multiplies the numbers by a small power of two; a unit that would overflow is left, and the sum grows.
  mutating func scale(by factor: Double) {
    if (unit * factor).isFinite { unit *= factor } else { sum *= factor * factor }
  }

  var root: Double { sum.squareRoot() * unit }
  func root(over other: ScaledSquares) -> Double { (sum / other.sum).squareRoot() * (unit / other.unit) }
}

extension Double {
  /// The power of two at or below a magnitude; 1 for 0, and for what is not finite.
  fileprivate var unit: Double { self > 0 && isFinite ? binade : 1 }
}
