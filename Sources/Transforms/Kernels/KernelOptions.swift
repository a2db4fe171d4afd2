// SPDX-License-Identifier: Apache-2.0

public import Maths
public import Tensors

/// How a network is replaced by a ternary one with the same kernels.
public struct KernelOptions: Sendable {
  /// What becomes of the activations.
  public enum Matching: Sendable, Equatable {
    /// They stay.
    case none
    /// Piecewise constant ones take their places.
    case rule(NetworkMatching.Rule)
  }

  /// Where the weights come from.
  public enum WeightSource: String, Sendable, CaseIterable {
    /// Drawn from a seeded generator, stored packed.
    case sample
    /// The same, stored as their seed.
    case seed
    /// Those of the network, ternarized.
    case project
  }

  /// How the last layer is fitted.
  public enum ReadoutFit: String, Sendable, CaseIterable { case ridge, softmax }

  public var matching: Matching
  public var weights: WeightSource
  /// Fraction of the weights that are zero.
  public var sparsity: Fraction
  public var seed: UInt64
  /// Units of the hidden layers; `nil` for those of the network.
  public var widths: [Int]?
  public var readout: ReadoutFit
  public var penalty: Penalty
  public var ternarizesReadout: Bool
  /// Whether inputs go through a random rotation, whose seed follows from `seed`.
  public var rotates: Bool

  public init(
    matching: Matching = .rule(.levels(3)), weights: WeightSource = .sample, sparsity: Fraction, seed: UInt64 = 1,
    widths: [Int]? = nil, readout: ReadoutFit = .ridge, penalty: Penalty = .heldBack, ternarizesReadout: Bool = false,
    rotates: Bool = false
  ) {
    self.matching = matching
    self.weights = weights
    self.sparsity = sparsity
    self.seed = seed
    self.widths = widths
    self.readout = readout
    self.penalty = penalty
    self.ternarizesReadout = ternarizesReadout
    self.rotates = rotates
  }
}

extension KernelOptions.Matching: LosslessStringConvertible {
  private static let levels = "levels:"

  public var description: String {
    switch self {
    case .none: "none"
    case .rule(.levels(let count)): "\(Self.levels)\(count)"
    case .rule(.sigmaT): "sigma-t"
    case .rule(.sigmaQ): "sigma-q"
    }
  }

  public init?(_ text: String) {
    switch text {
    case "none": self = .none
    case "sigma-t": self = .rule(.sigmaT)
    case "sigma-q": self = .rule(.sigmaQ)
    default:
      guard text.hasPrefix(Self.levels), let count = Int(text.dropFirst(Self.levels.count)), (3...16).contains(count),
        text == "\(Self.levels)\(count)"
      else { return nil }
      self = .rule(.levels(count))
    }
  }
}

extension KernelOptions {
  /// The options that decide the result, as the command line spells them.
  var text: String {
    var words = ["--method ntk --match \(matching) --weights \(weights.rawValue) --sparsity \(sparsity)"]
    if weights != .project { words.append("--seed \(seed)") }
    if rotates { words.append("--rotate") }
    if let widths { words.append("--widths \(widths.map(String.init).joined(separator: ","))") }
    words.append("--readout \(readout.rawValue)")
    if case .relative(let value) = penalty { words.append("--ridge \(value)") }
    if ternarizesReadout { words.append("--ternarize-readout") }
    return words.joined(separator: " ")
  }
}
