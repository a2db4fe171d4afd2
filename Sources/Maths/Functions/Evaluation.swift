// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// How well outputs answer what they should: accuracy and loss.
public struct Evaluation: Sendable, Equatable {
  /// Samples whose largest output (of a single sigmoid: whose side of ½) is the label; `nil` without labels. Outputs
  /// that are not numbers are never right.
  public var correct: Int?
  /// ≥ 0, entropies in nats; `nil` without labels or targets, and where labels meet outputs that are `values`.
  public var loss: Double?
  /// `nil` if and only if `loss` is.
  public var lossKind: LossKind?

  public enum LossKind: String, Sendable {
    /// −mean ln softmax(z)ₗ, z the logits, l the label.
    case crossEntropy = "cross entropy"
    /// −mean (y ln p + (1 − y) ln(1 − p)), p the one output.
    case binaryCrossEntropy = "binary cross entropy"
    /// Mean (f − y)² over samples and outputs.
    case meanSquaredError = "mean squared error"
  }

  /// What outputs mean.
  public enum Outputs: Sendable {
    /// Logits of classes, of a softmax or of a linear layer.
    case logits
    /// The probability of one class, by a sigmoid.
    case probability
    /// Anything else.
    case values
  }

  public init(correct: Int? = nil, loss: Double? = nil, lossKind: LossKind? = nil) {
    self.correct = correct
    self.loss = loss
    self.lossKind = lossKind
  }

  /// Compares outputs with labels.
  ///
  /// - Parameters:
  ///   - values: samples × width.
  ///   - labels: one for each sample, below the number of classes (width; of a probability, 2).
  public init(_ values: [Double], width: Int, _ outputs: Outputs, labels: [Int]) {
    precondition(values.count == labels.count * width, "outputs of all samples")
    if outputs == .probability {
      // Not a number is on neither side.
      correct = labels.indices.count { !values[$0].isNaN && (values[$0] > 0.5 ? 1 : 0) == labels[$0] }
      let total = labels.indices.reduce(0) { $0 + log(labels[$1] == 1 ? values[$1] : 1 - values[$1]) }
      // Not −total, which may be −0.
      loss = (0 - total) / Double(max(1, labels.count))
      lossKind = .binaryCrossEntropy
      return
    }
    correct = labels.indices.count { largest(of: values[$0 * width..<($0 + 1) * width]) == labels[$0] }
    guard outputs == .logits else { return }
    loss =
      labels.indices.reduce(0) { sum, sample in
        let row = values[sample * width..<(sample + 1) * width]
        return sum + logarithmOfSum(of: row) - row[row.startIndex + labels[sample]]
      } / Double(max(1, labels.count))
    lossKind = .crossEntropy
  }

  /// Compares outputs with numbers.
  public init(_ values: [Double], targets: [Double]) {
    precondition(values.count == targets.count, "a number for each output")
    loss = zip(values, targets).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / Double(max(1, values.count))
    lossKind = .meanSquaredError
  }
}

/// The index of the first largest number; −1 for none, and where one is not a number: then no other is the largest.
public func largest(of row: ArraySlice<Double>) -> Int {
  var best = row.startIndex
  for i in row.indices {
    if row[i].isNaN { return -1 }
    if row[i] > row[best] { best = i }
  }
  return row.isEmpty ? -1 : best - row.startIndex
}

/// ln Σ eˣ
func logarithmOfSum(of row: ArraySlice<Double>) -> Double {
  guard let largest = row.max(), largest.isFinite else { return row.max() ?? -.infinity }
  return largest + log(row.reduce(0) { $0 + exp($1 - largest) })
}

/// Returns the mean of KL(p ‖ q) = Σ p ln(p/q) over samples, in nats, p and q the softmax of logits.
///
/// - Parameters:
///   - a, b: samples × width logits of p and q.
public func meanDivergence(_ a: [Double], _ b: [Double], width: Int) -> Double {
  precondition(a.count == b.count && width > 0, "logits of the same samples")
  let samples = a.count / width
  let total = (0..<samples).reduce(0.0) { sum, sample in
    let range = sample * width..<(sample + 1) * width
    let (sumA, sumB) = (logarithmOfSum(of: a[range]), logarithmOfSum(of: b[range]))
    return sum + range.reduce(0) { $0 + exp(a[$1] - sumA) * ((a[$1] - sumA) - (b[$1] - sumB)) }
  }
  // Rounding may leave less than 0; what is not a number stays.
  return total < 0 ? 0 : total / Double(max(1, samples))
}

/// Σ f² and Σ (f − g)² of outputs f and g, as many of each: what a claim about outputs is a ratio of.
public func squaredLoss(_ f: [Double], _ g: [Double]) -> (squaredNorm: Double, squaredError: Double) {
  precondition(f.count == g.count, "outputs of the same samples")
  return zip(f, g).reduce(into: (0.0, 0.0)) { sums, pair in
    sums.0 += pair.0 * pair.0
    sums.1 += (pair.0 - pair.1) * (pair.0 - pair.1)
  }
}
