// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Random

/// Features of samples with their classes, made block by block whenever they are needed.
public struct LabelledFeatures: Sendable {
  /// n ≥ 1
  public let samples: Int
  /// d ≥ 1, numbers of a sample.
  public let width: Int
  /// K ≥ 2
  public let classes: Int
  /// One for each sample, below `classes`.
  public let labels: [Int]
  /// Writes the features of some samples, row by row; several threads may ask.
  let fill: @Sendable (Range<Int>, UnsafeMutablePointer<Double>) -> Void

  public init(
    width: Int, classes: Int, labels: [Int],
    fill: @escaping @Sendable (Range<Int>, UnsafeMutablePointer<Double>) -> Void
  ) {
    precondition(labels.allSatisfy { (0..<classes).contains($0) }, "labels are classes")
    self.width = width
    self.classes = classes
    self.labels = labels
    self.fill = fill
    samples = labels.count
  }

  /// Samples that are made together.
  static let block = 256

  /// For each sample whether it is held back to choose by: where output i of SplitMix64 with seed 0 is a multiple of 10.
  /// Nothing is held back of fewer than 20.
  var heldBack: [Bool] {
    var generator = SplitMix64(seed: 0)
    return (0..<samples).map { _ in generator.next().isMultiple(of: 10) && samples >= 20 }
  }
}

/// A linear map from features to one number for each class, and an offset: z = Wh + b.
public struct Readout: Sendable, Equatable {
  /// W, classes × width, row-major.
  public var weights: [Double]
  /// b, one a class.
  public var offsets: [Double]
  /// What was added to the squared weights, λ of the fit.
  public var penalty: Double

  public init(weights: [Double], offsets: [Double], penalty: Double) {
    self.weights = weights
    self.offsets = offsets
    self.penalty = penalty
  }
}

/// 10ˣ
func exponent10(_ x: Double) -> Double { pow(10, x) }
