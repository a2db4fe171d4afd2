// SPDX-License-Identifier: Apache-2.0

public import Maths
public import Networks
internal import Tensors

/// How kernels are called wherever a reader meets them.
let (conjugateKernelName, tangentKernelName) = ("conjugate kernel (CK)", "neural tangent kernel (NTK)")

/// What two networks, A and B, have in common and what not.
public struct Verification: Sendable {
  /// Names, shapes, types and values that do not correspond though they should.
  public var differences: [String] = []
  public var tensors: [TensorComparison] = []
  /// The networks as functions: all of them, or each chain of dense layers.
  public var parts: [Part] = []
  /// What was held against what: tolerances, then the errors that B's history records.
  public var checks: [Check] = []
  /// Why the networks do not agree; empty when they do.
  public var failures: [String] = []
  public var verdict = Verdict.none
  /// The verdict in words.
  public var sentence = ""
  /// What a user should be told.
  public var notes: [String] = []
  /// The data files, if any; numbers of a sample, and what they were multiplied with.
  public var data: (names: [String], samples: Int, inputs: Int, scale: Double)?
  /// Of random points and inputs.
  public var seed: UInt64 = 0
  public var files: (a: File, b: File)?
  /// What was asked for, but for the data.
  var options: VerifyingOptions?

  /// Of all tensors.
  public var claims: [Claim] { tensors.flatMap(\.claims) }

  /// What is known of A or B as a whole.
  public struct File: Sendable {
    public var kind: String
    /// In bytes.
    public var size: Int
    /// 8 × the bytes ÷ the numbers of A that are no training state; `nil` where there are none.
    public var bitsPerWeight: Double?
    /// The content digest that a `.ncz` file records.
    public var digest: Digest?
  }

  public enum Verdict: String, Sendable {
    /// All values are equal, bit for bit.
    case equal
    /// All values but those of training state and of integer counters.
    case equalNetworks = "equal but for training state"
    /// They differ, and no tolerance is exceeded, and no recorded error that can be checked is another.
    case within = "within tolerance"
    case differs
    /// None was asked for.
    case none = "no verdict"
  }

  /// A number that was held against a limit.
  public struct Check: Sendable {
    public enum Measure: String, Sendable {
      case weight = "relative L2 error"
      case output = "output error"
      case conjugate = "conjugate kernel distance"
      case tangent = "tangent kernel distance"
      case accuracyLoss = "loss of accuracy"
      case size = "bytes of B"
      case bits = "bits a weight of B"
      /// An error that a step of B's history records.
      case recorded = "recorded error"
      /// What a step of B that changed more than values says about the outputs.
      case claimedOutput = "claimed output error"

      /// As tables and messages name it; JSON has the raw value.
      public var name: String {
        switch self {
        case .conjugate: "\(conjugateKernelName) distance"
        case .tangent: "\(tangentKernelName) distance"
        default: rawValue
        }
      }
    }
    public var measure: Measure
    /// The tensor or the part of the network, where it is not all of it.
    public var object: String?
    /// The most that is allowed; of a recorded error what it says.
    public var limit: Double
    /// `nil` where it is not defined, or cannot be found.
    public var measured: Double?
    /// `nil` for a recorded error that cannot be checked.
    public var holds: Bool?
  }

  /// A tensor that both have, in one shape and type.
  public struct TensorComparison: Sendable {
    public var name: String
    public var shape: [Int]
    /// How each stores it.
    public var encodings: (a: String, b: String)
    /// Training state, or an integer that counts: no part of a network.
    public var isTrainingState: Bool
    public var isEqual: Bool
    /// What the steps of B's history claim, from the last that started from A's values on.
    public var claims: [Claim] = []
    /// ‖W − Ŵ‖/‖W‖; `nil` for integers, where W is zero and Ŵ is not, and where one of them is not finite.
    public var relativeL2: Double?
    /// ‖W − Ŵ‖; `nil` for integers, and where one of them is not finite.
    public var distance: Double?
    /// σ₁(W − Ŵ)/σ₁(W) of a weight matrix; `nil` for a fast comparison.
    public var spectralError: Double?
    /// Whether the spectral error is only known to be at least this.
    public var isSpectralErrorBound = false
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
    /// The same as found; `nil` where the values before or after are not at hand.
    public var measured: Double?
    public var status: Status
    /// Why it fails, where it is not the number.
    public var reason: String?

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
    /// Whether kernels depend on its weights; not those of one layer.
    var hasKernels = true
  }

  public struct OutputComparison: Sendable {
    public enum Method: String, Sendable {
      case closedForm = "closed form"
      case monteCarlo = "Monte Carlo"
      case data
    }
    public var method: Method
    /// `nil` for a closed form.
    public var samples: Int?
    /// E‖f_A(x)‖² and E‖f_A(x) − f_B(x)‖².
    public var squaredNorm: Double
    public var squaredError: Double
    /// Of `relativeError`, where x is drawn at random.
    public var standardError: Double?
    /// (Σ d)²/Σ d², d the squared errors of the samples: about how many of them carry the mean, where x is drawn at
    /// random; `nil` where no sample shows an error.
    public var effectiveSamples: Double?
    /// Fraction of the samples for which both have the same largest output.
    public var agreement: Double?
    public var accuracies: (a: Double, b: Double)?
    /// Mean KL(A ‖ B) of the softmax outputs, in nats.
    public var divergence: Double?

    /// E‖f_A − f_B‖²/E‖f_A‖²; `nil` where A is zero, or one of them is not finite.
    public var relativeError: Double? {
      guard squaredNorm.isFinite, squaredError.isFinite else { return nil }
      return squaredNorm > 0 ? squaredError / squaredNorm : squaredError == 0 ? 0 : nil
    }
  }

  public struct SpectrumComparison: Sendable {
    public var points: Int
    /// Where the points come from.
    public var distribution: String
    /// The class of each point, where that is known.
    public var classes: [Int]?
    public var tangentOutput: TangentOutput
    public var conjugate: KernelDistance
    /// `nil` where one of the networks jumps.
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
  /// `nil` where anything will do.
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
    /// Bytes of B.
    public var size: Int?
    /// 8 × the bytes of B ÷ the numbers of A that are no training state.
    public var bits: Double?

    public init(
      weight: Double? = nil, output: Double? = nil, conjugate: Double? = nil, tangent: Double? = nil,
      accuracyLoss: Double? = nil, size: Int? = nil, bits: Double? = nil
    ) {
      self.weight = weight
      self.output = output
      self.conjugate = conjugate
      self.tangent = tangent
      self.accuracyLoss = accuracyLoss
      self.size = size
      self.bits = bits
    }

    public var isEmpty: Bool {
      [weight, output, conjugate, tangent, accuracyLoss, bits].allSatisfy { $0 == nil } && size == nil
    }
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
  public var distribution: InputDistribution
  /// Of a Monte Carlo mean.
  public var samples: Int
  public var seed: UInt64
  public var tangentOutput: TangentOutput
  /// Without what costs more than a pass over the values, or the cube of the points: no singular values, and of kernels
  /// only the largest eigenvalue.
  public var isFast: Bool
  /// Whether histograms of weights are wanted, for a page.
  public var wantsHistograms: Bool
  /// Whether they are only measured.
  public var isWithoutVerdict: Bool
  /// That of the tools: steps that other versions recorded may not be done again as they were.
  public var version: String

  public init(
    tolerances: Tolerances = Tolerances(), measures: Set<Measure> = Set(Measure.allCases), data: DataFile? = nil,
    points: Int = 512, distribution: InputDistribution = .gaussian, samples: Int = 10_000, seed: UInt64 = 1,
    tangentOutput: TangentOutput = .sum, isFast: Bool = false, wantsHistograms: Bool = false,
    isWithoutVerdict: Bool = false, version: String
  ) {
    self.tolerances = tolerances
    self.measures = measures
    self.data = data
    self.points = points
    self.distribution = distribution
    self.samples = samples
    self.seed = seed
    self.tangentOutput = tangentOutput
    self.isFast = isFast
    self.wantsHistograms = wantsHistograms
    self.isWithoutVerdict = isWithoutVerdict
    self.version = version
  }
}

/// An error that one of the two files, or neither of them alone, is to blame for.
public struct VerificationError: Error, Sendable {
  public enum Side: Sendable { case a, b }
  public var side: Side?
  public var error: NetworkError
}
