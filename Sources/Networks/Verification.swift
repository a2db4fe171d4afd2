public import Maths
internal import Tensors

/// What two networks, A and B, have in common and what not.
public struct Verification: Sendable {
  /// Names, shapes, types and values that do not correspond though they should.
  public var differences: [String] = []
  public var tensors: [TensorComparison] = []
  /// The networks as functions: all of them, or each chain of dense layers.
  public var parts: [Part] = []
  /// Why the networks do not agree; empty when they do.
  public var failures: [String] = []
  public var verdict = Verdict.unclaimed
  /// Whether the caller gave any.
  public var hasTolerance = false
  /// What a user should be told.
  public var notes: [String] = []
  /// The data file, if any; numbers of a sample, and what they were multiplied with.
  public var data: (name: String, samples: Int, inputs: Int, scale: Double)?
  /// Of random points and inputs.
  public var seed: UInt64 = 0

  /// Of all tensors.
  public var claims: [Claim] { tensors.flatMap(\.claims) }

  public enum Verdict: String, Sendable {
    /// All values are equal, bit for bit.
    case equal
    /// No tolerance is exceeded, and no claim that could be checked fails.
    case within = "within tolerance"
    case differs
    /// No tolerance was given, and no step of B started from A, or none that can be checked.
    case unclaimed = "no tolerance"
  }

  /// A tensor that both have, in one shape and type.
  public struct TensorComparison: Sendable {
    public var name: String
    public var shape: [Int]
    /// How each stores it.
    public var encodings: (a: String, b: String)
    /// Training state: no part of a network.
    public var isTrainingState: Bool
    public var isEqual: Bool
    /// What the steps of B's history claim, from the last that started from A's values on.
    public var claims: [Claim] = []
    /// ‖W − Ŵ‖/‖W‖; nothing for integers, where W is zero and Ŵ is not, and where one of them is not finite.
    public var relativeL2: Double?
    /// σ₁(W − Ŵ)/σ₁(W) of a weight matrix.
    public var spectralError: Double?
    /// All singular values of a weight matrix, largest first.
    public var singularValues: (a: [Double], b: [Double])?
    public var histogram: WeightHistogram?
  }

  /// How a step of B's history is borne out.
  public struct Claim: Sendable {
    public var tensor: String
    public var tool: String
    public var options: String
    /// ‖before − after‖/‖before‖ as recorded.
    public var claimed: Double
    /// The same as found; nothing where the values before or after are not at hand.
    public var measured: Double?
    public var status: Status

    public enum Status: String, Sendable {
      case holds, fails
      case unknown = "not checkable"
    }
  }

  public struct Part: Sendable {
    /// `network`, or the first and last layer of a chain.
    public var name: String
    /// Whether it is the network, not a chain of it.
    public var isWhole: Bool
    public var outputs: OutputComparison?
    public var spectrum: SpectrumComparison?
  }

  public struct OutputComparison: Sendable {
    public enum Method: String, Sendable {
      case closedForm = "closed form"
      case monteCarlo = "Monte Carlo"
      case data
    }
    public var method: Method
    /// Nothing for a closed form.
    public var samples: Int?
    /// E‖f_A(x)‖² and E‖f_A(x) − f_B(x)‖².
    public var squaredNorm: Double
    public var squaredError: Double
    /// Of `relativeError`, where x is drawn at random.
    public var standardError: Double?
    /// Fraction of the samples for which both have the same largest output.
    public var agreement: Double?
    public var accuracies: (a: Double, b: Double)?
    /// Mean KL(A ‖ B) of the softmax outputs, in nats.
    public var divergence: Double?

    /// E‖f_A − f_B‖²/E‖f_A‖²; nothing where A is zero, or one of them is not finite.
    public var relativeError: Double? {
      guard squaredNorm.isFinite, squaredError.isFinite else { return nil }
      return squaredNorm > 0 ? squaredError / squaredNorm : squaredError == 0 ? 0 : nil
    }
  }

  public struct SpectrumComparison: Sendable {
    public var points: Int
    /// Where the points come from.
    public var law: String
    /// The class of each point, where that is known.
    public var classes: [Int]?
    public var tangentOutput: TangentOutput
    public var conjugate: KernelDistance
    /// Nothing where one of the networks jumps.
    public var tangent: KernelDistance?
  }

  /// How many weights of A are how large, and how many of them are zero in B.
  public struct WeightHistogram: Sendable {
    /// Bins of equal width from −limit to limit.
    public var limit: Double
    public var counts: [Int]
    public var zeroed: [Int]
    /// The largest magnitude of A that is zero in B.
    public var threshold: Double?
  }
}

/// What is compared, and how far it may differ.
public struct VerifyingOptions: Sendable {
  /// Nothing where anything will do.
  public struct Tolerances: Sendable {
    /// Relative L2 error of each tensor but training state.
    public var weight: Double?
    /// E‖f_A − f_B‖²/E‖f_A‖².
    public var output: Double?
    /// ‖K_A − K_B‖₂/‖K_A‖₂ of conjugate and tangent kernels.
    public var conjugate: Double?
    public var tangent: Double?
    /// By how much B's accuracy may be lower.
    public var accuracyLoss: Double?

    public init(
      weight: Double? = nil, output: Double? = nil, conjugate: Double? = nil, tangent: Double? = nil,
      accuracyLoss: Double? = nil
    ) {
      self.weight = weight
      self.output = output
      self.conjugate = conjugate
      self.tangent = tangent
      self.accuracyLoss = accuracyLoss
    }

    var isEmpty: Bool { [weight, output, conjugate, tangent, accuracyLoss].allSatisfy { $0 == nil } }
  }

  public enum Measure: String, Sendable, CaseIterable {
    case weights, outputs, spectrum
  }

  public var tolerances: Tolerances
  /// Without weights, tensors need not correspond, and nothing is checked that a history claims.
  public var measures: Set<Measure>
  public var data: DataFile?
  /// Points of the kernels.
  public var points: Int
  public var law: InputLaw
  /// Of a Monte Carlo mean.
  public var samples: Int
  public var seed: UInt64
  public var tangentOutput: TangentOutput
  /// Without what costs the cube of a size: eigenvalues and singular values but the largest.
  public var isFast: Bool

  public init(
    tolerances: Tolerances = Tolerances(), measures: Set<Measure> = Set(Measure.allCases), data: DataFile? = nil,
    points: Int = 512, law: InputLaw = .gaussian, samples: Int = 10_000, seed: UInt64 = 1,
    tangentOutput: TangentOutput = .sum, isFast: Bool = false
  ) {
    self.tolerances = tolerances
    self.measures = measures
    self.data = data
    self.points = points
    self.law = law
    self.samples = samples
    self.seed = seed
    self.tangentOutput = tangentOutput
    self.isFast = isFast
  }
}

/// An error that one of the two files, or neither of them alone, is to blame for.
public struct VerificationError: Error, Sendable {
  public enum Side: Sendable { case a, b }
  public var side: Side?
  public var error: NetworkError
}
