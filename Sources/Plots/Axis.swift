// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Where numbers lie between two edges of a picture.
struct Axis {
  enum Scale { case linear, logarithmic }

  struct Tick {
    let value: Double
    /// None for the small ones in between.
    let label: String?
  }

  let scale: Scale
  let bounds: ClosedRange<Double>
  /// The pixels of the bounds. Upright axes run upwards: their start is the greater.
  let start: Double
  let end: Double
  /// In place of round numbers.
  private let marks: [Double]?

  /// Bounds that are one number, or too close to it, are widened.
  init(_ scale: Scale, _ bounds: ClosedRange<Double>, from start: Double, to end: Double, marks: [Double]? = nil) {
    self.scale = scale
    self.marks = marks
    self.start = start
    self.end = end
    switch scale {
    case .logarithmic:
      let (lower, upper) = (max(bounds.lowerBound, 1e-300), max(bounds.upperBound, 1e-300))
      self.bounds = upper / lower > 1.001 ? lower...upper : lower / 2...upper * 2
    case .linear:
      let size = max(abs(bounds.lowerBound), abs(bounds.upperBound))
      let isWide = bounds.upperBound - bounds.lowerBound > max(1e-6 * size, 1e-290)
      let room = size > 1e-290 ? size / 2 : 1
      self.bounds = isWide ? bounds : bounds.lowerBound - room...bounds.upperBound + room
    }
  }

  /// From the first to the last of some things that are counted.
  static func indices(_ range: ClosedRange<Int>, from start: Double, to end: Double) -> Axis {
    let last = max(range.upperBound, range.lowerBound + 1)
    return Axis(
      .linear, Double(range.lowerBound)...Double(last), from: start, to: end,
      marks: range.count <= 10 ? range.map { Double($0) } : nil)
  }

  /// The bounds of what can be drawn of the values, with a margin that is a part of the length.
  init?(_ scale: Scale, covering values: [Double], margin: Double, from start: Double, to end: Double) {
    let values = values.filter { scale.takes($0) }
    guard let least = values.min(), let greatest = values.max() else { return nil }
    let plain = Axis(scale, least...greatest, from: 0, to: 1)
    self.init(scale, plain.value(at: -margin)...plain.value(at: 1 + margin), from: start, to: end)
  }

  /// Outside the bounds, the nearer edge.
  func position(_ value: Double) -> Double { start + (end - start) * min(max(fraction(value), 0), 1) }

  /// The part of the length that lies below the value.
  func fraction(_ value: Double) -> Double {
    let (lower, upper) = (scale.coordinate(bounds.lowerBound), scale.coordinate(bounds.upperBound))
    return (scale.coordinate(value) - lower) / (upper - lower)
  }

  private func value(at fraction: Double) -> Double {
    let (lower, upper) = (scale.coordinate(bounds.lowerBound), scale.coordinate(bounds.upperBound))
    return scale.value(lower + (upper - lower) * fraction)
  }

  /// The name of the axis with the power of ten that its labels leave out.
  func heading(_ name: String) -> String {
    exponent == 0 ? name : "\(name) (×\(powerOfTen(exponent)))"
  }

  /// Whether the round numbers are evenly spaced, as on short logarithmic axes too.
  private var isEven: Bool { scale == .linear || bounds.upperBound / bounds.lowerBound < 8 }

  private var exponent: Int {
    let size = max(abs(bounds.lowerBound), abs(bounds.upperBound))
    return isEven && (size >= 1e5 || size < 1e-3) ? 3 * Int(floor(log10(size) / 3)) : 0
  }

  /// As many round numbers as have room for their labels.
  var ticks: [Tick] {
    if let marks { return marks.map { Tick(value: $0, label: readable($0)) } }
    let candidates = isEven ? linearTicks : logarithmicTicks
    return candidates.first { ticks in
      let labelled = ticks.filter { $0.label != nil }
      return labelled.count <= 9
        && zip(labelled, labelled.dropFirst()).allSatisfy { left, right in
          abs(position(right.value) - position(left.value)) >= (extent(left) + extent(right)) / 2
        }
    } ?? candidates.last ?? []
  }

  private func extent(_ tick: Tick) -> Double {
    start > end ? SVG.textSize + 13 : width(of: tick.label ?? "") + 8
  }

  /// From many to few.
  private var linearTicks: [[Tick]] {
    let span = bounds.upperBound - bounds.lowerBound
    let power = pow(10, floor(log10(span)) - 1)
    let unit = pow(10, Double(exponent))
    return [1.0, 2, 5, 10, 20, 50].map { factor in
      let step = factor * power
      let decimals = min(max(0, Int(-floor(log10(step / unit) + 1e-9))), 12)
      let first = ceil(bounds.lowerBound / step - 1e-9)
      return (0...Int(span / step)).map { (first + Double($0)) * step }
        .filter { $0 <= bounds.upperBound + 1e-9 * span }
        .map { Tick(value: $0, label: readable($0 / unit, decimals: decimals)) }
    }
  }

  private var logarithmicTicks: [[Tick]] {
    let (low, high) = (Int(floor(log10(bounds.lowerBound))), Int(ceil(log10(bounds.upperBound))))
    let isPlain = low >= -3 && high <= 4
    func label(_ factor: Int, _ exponent: Int) -> String {
      isPlain
        ? readable(Double(factor) * pow(10, Double(exponent)))
        : (factor == 1 ? "" : "\(factor)×") + powerOfTen(exponent)
    }
    func ticks(labelled factors: [Int], each stride: Int, all: ClosedRange<Int>) -> [Tick] {
      (low...high).flatMap { exponent in
        all.map { factor in
          let isLabelled = factors.contains(factor) && exponent % stride == 0
          return Tick(
            value: Double(factor) * pow(10, Double(exponent)), label: isLabelled ? label(factor, exponent) : nil)
        }
      }.filter { bounds.lowerBound * (1 - 1e-9) <= $0.value && $0.value <= bounds.upperBound * (1 + 1e-9) }
    }
    let fine = high - low <= 5 ? [ticks(labelled: [1, 2, 5], each: 1, all: 1...9)] : []
    let all = high - low <= 5 ? 1...9 : 1...1
    return fine + [1, 2, 3, 5, 10, 20, 50, 100, 200].map { ticks(labelled: [1], each: $0, all: all) }
  }
}

extension Axis.Scale {
  /// Numbers of which neither sums nor quotients overflow.
  func takes(_ value: Double) -> Bool {
    value.isFinite && abs(value) <= 1e300 && (self == .linear || value >= 1e-300)
  }

  fileprivate func coordinate(_ value: Double) -> Double { self == .linear ? value : log(max(value, 1e-300)) }

  fileprivate func value(_ coordinate: Double) -> Double {
    self == .linear ? min(max(coordinate, -1e301), 1e301) : exp(min(coordinate, 700))
  }
}
