// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Glibc
public import JSON
public import Maths
public import Networks
internal import Parallel
public import Tensors
internal import Transforms

/// The kernels that the theory of wide networks predicts for a network and its data, and how far its own are from them.
public struct WideComparison: Sendable {
  /// `784 → fc1 → relu → fc2 → softmax`
  public var summary: String
  /// What of the network the theory leaves out.
  public var omissions: [String]
  public var points: Points
  /// Of the original activations, at τ₀ = 1.
  public var network: WideNetwork
  /// Names, widths and gains of hidden layers, and last those of the outputs.
  public var layers: [Layer]
  /// With three levels; `nil` where `obstacle` says why.
  public var matching: NetworkMatching?
  public var obstacle: String?
  /// Of pairs of kernels.
  public var distances: [Distance]
  public var fourthMoment: FourthMoment
  /// Sentences about what one should know.
  public var notes: [String]
  /// Classes of the points, where they are known.
  public var classes: [Int]?
  /// Of the network's own kernels from those of infinite width, with spectra if they were wanted.
  var own: (conjugate: KernelDistance, tangent: KernelDistance?)

  /// x less its mean, divided by `unit`, so that the mean square norm is 1.
  public struct Points: Sendable {
    public var count: Int
    /// Of how many samples of a file, and its name; `nil` for random points.
    public var file: (samples: Int, name: String, scale: Double)?
    public var width: Int
    public var seed: UInt64
    public var unit: Double
  }

  public struct Layer: Sendable {
    public var name: TensorName
    public var rows: Int
    public var columns: Int
    public var gain: Double
  }

  /// How far kernel B is from A.
  public struct Distance: Sendable {
    public enum Kernel: String, Sendable { case conjugate, tangent }
    /// Which kernels: of the network itself, of infinite width, to the second order, of the closed form, of the mixture, and
    /// of infinite width with matched activations.
    public enum Form: String, Sendable {
      case own = "network"
      case exact = "infinite width"
      case secondOrder = "second order"
      case summary = "closed form"
      case mixture = "mixture form"
      case matched = "three levels"
    }
    public var kernel: Kernel
    public var b: Form
    public var a: Form
    public var value: KernelDistance
  }

  /// What ternary weights of a sparsity would add to the first layer's conjugate kernel.
  public struct FourthMoment: Sendable {
    public var sparsity: Double
    /// k₄ = 1/(1 − ε)
    public var moment: Double
    /// ‖ΔK‖₂/‖K₁‖₂ in the first layer.
    public var first: Double
    /// ‖K̂_L − K_L‖₂/‖K_L‖₂ behind the last hidden layer.
    public var last: Double
  }
}

/// How a network is compared with the theory.
public struct WideComparisonOptions: Sendable {
  /// Samples; `nil`: random Gaussian points.
  public var data: DataFile?
  /// Maximum number of points: the first samples.
  public var points: Int
  /// Of random points.
  public var seed: UInt64
  /// ε of the ternary weights whose fourth moment is told.
  public var sparsity: Fraction
  /// Whether eigenvalues are wanted, for a picture.
  public var withSpectra: Bool

  public init(data: DataFile?, points: Int, seed: UInt64, sparsity: Fraction, withSpectra: Bool) {
    (self.data, self.points, self.seed, self.sparsity) = (data, points, seed, sparsity)
    self.withSpectra = withSpectra
  }
}

extension NetworkFile {
  /// Compares the network's kernels with what the theory of wide networks predicts.
  ///
  /// - Throws: `.unsupported` for a network the theory does not fit, `.unusable` for data that do not fit the network.
  public func compareWithWide(_ options: WideComparisonOptions) throws(NetworkError) -> WideComparison {
    do {
      return try compared(options)
    } catch let error as WideChainError {
      throw NetworkError(.unsupported, "network: \(error)")
    } catch let error as MatchingError {
      throw NetworkError(.unsupported, "network: \(error)")
    } catch {
      throw NetworkError(error)
    }
  }

  private func compared(_ options: WideComparisonOptions) throws -> WideComparison {
    let data = options.data
    let function = try function(inputShape: network.flatMap { data?.shape(for: $0) })
    let chain = try WideChain(function)
    if let data { try function.check(data) }
    let (width, threads) = (chain.inputCount, self.options.threads)
    let count = min(options.points, data?.samples ?? options.points)
    guard count >= 2 else {
      throw NetworkError(.unusable, "1 sample, expected 2 or more: kernels compare points", file: data?.name)
    }
    // Kernels and what is made of them; the points, and the values and derivatives of all nodes.
    let kernels = (24 * 8 * count).multipliedOrMaximum(by: count)
    let needed = kernels.addingOrMaximum((48 * count).multipliedOrMaximum(by: function.valueCount))
    guard needed <= self.options.memory else {
      throw NetworkError(
        .overLimit,
        "kernels of \(count) points take \(needed) bytes, more than \(self.options.memory); --points takes fewer",
        remedy: .memory)
    }
    let random = RandomPoints(.gaussian, count: count, width: width, seed: options.seed)
    var points = [Double](repeating: 0, count: count * width)
    points.withUnsafeMutableBufferPointer {
      if let data { data.fill(0..<count, $0) } else { random.fill(0..<count, $0) }
    }
    let unit = try centre(&points, width: width, data?.name)
    let gram = try SymmetricMatrix(gramOf: points, width: width, threads: threads)
    let wide = try WideNetwork(chain.activations, deviation: 1)
    self.options.tell("kernels of infinite width")
    let exact = try WideKernels(.exact, of: wide, gram: gram, withTangent: true, threads: threads)
    self.options.tell("kernels of the network")
    let own = try chain.kernels(wide, of: points, threads: threads)
    guard own.conjugate.elements.allSatisfy(\.isFinite), own.tangent?.elements.allSatisfy(\.isFinite) ?? true else {
      throw NetworkError(.unusable, "network: its kernels are infinite or not a number")
    }
    self.options.tell("comparing kernels")
    let comparing = KernelComparing(threads: threads)
    let ownDistance = try (
      KernelDistance(exact.conjugate, own.conjugate, withSpectra: options.withSpectra, threads: threads),
      comparing.distance(exact.tangent, own.tangent, withSpectra: options.withSpectra)
    )
    var distances = [
      WideComparison.Distance(kernel: .conjugate, b: .own, a: .exact, value: ownDistance.0)
    ]
    if let tangent = ownDistance.1 { distances.append(.init(kernel: .tangent, b: .own, a: .exact, value: tangent)) }
    let second = try WideKernels(.secondOrder, of: wide, gram: gram, withTangent: true, threads: threads)
    distances += try comparing.distances(
      .own, from: .secondOrder, (second.conjugate, second.tangent), (own.conjugate, own.tangent))
    let exactPair = (exact.conjugate, exact.tangent)
    distances += try comparing.distances(
      .secondOrder, from: .exact, exactPair, (second.conjugate, second.tangent))
    let closed = WideKernels(summaryOf: wide, gram: gram, withTangent: true, threads: threads)
    distances += try comparing.distances(.summary, from: .exact, exactPair, (closed.conjugate, closed.tangent))
    let classes = try data?.labels(classes: function.classCount).map { Array($0.prefix(count)) }
    if let classes {
      let mixture = GaussianMixture(labels: classes, gram: gram, threads: threads)
      let form = WideKernels(mixture: mixture, of: wide, gram: gram, withTangent: true, threads: threads)
      distances += try comparing.distances(.mixture, from: .exact, exactPair, (form.conjugate, form.tangent))
    }
    var matching: NetworkMatching?
    var obstacle: String?
    do throws(MatchingError) {
      matching = try NetworkMatching(chain.activations, deviation: 1, rule: .levels(3))
    } catch {
      obstacle = "\(error)"
    }
    if let matching {
      let network = try WideNetwork(matching.layers.map { $0.matched.activation }, deviation: 1)
      let kernels = try WideKernels(.exact, of: network, gram: gram, withTangent: false, threads: threads)
      distances += try comparing.distances(.matched, from: .exact, exactPair, (kernels.conjugate, nil))
    }
    var notes = [assumption].compactMap { $0 }
    if exact.tangent == nil {
      notes.append(
        "an activation jumps: the tangent kernel has no limit of infinite width; of a network of finite width it is the term of its last layer, the conjugate kernel"
      )
    } else if own.tangent == nil {
      notes.append("the network's own tangent kernel would take too long; fewer --points take less")
    }
    if let rest = ownDistance.0.residualAfterScale, rest > 0.5 {
      notes.append(
        "the network's own kernel is not that of random weights of these widths: training gave its weights structure, or the layers are narrow"
      )
    }
    if exact.remainder > 1e-8 {
      notes.append(
        "kernels of infinite width are accurate to \(significant(exact.remainder, 2)) only: points are almost equal")
    }
    return WideComparison(
      summary: network?.summary ?? "", omissions: chain.omissions,
      points: .init(
        count: count, file: data.map { ($0.samples, $0.name, $0.scale) }, width: width, seed: options.seed, unit: unit),
      network: wide,
      layers: chain.layers.map { .init(name: $0.name, rows: $0.rows, columns: $0.columns, gain: $0.gain) },
      matching: matching, obstacle: obstacle, distances: distances,
      fourthMoment: try comparing.fourthMoment(
        wide, points: points, width: width, gram, exact.conjugate, sparsity: options.sparsity.value),
      notes: notes, classes: classes, own: ownDistance)
  }
}

/// Subtracts the mean and divides so that the mean square norm is 1.
private func centre(_ points: inout [Double], width: Int, _ file: String?) throws(NetworkError) -> Double {
  let count = points.count / width
  var mean = [Double](repeating: 0, count: width)
  for i in 0..<count { for k in 0..<width { mean[k] += points[i * width + k] / Double(count) } }
  var square = 0.0
  for i in 0..<count {
    for k in 0..<width {
      points[i * width + k] -= mean[k]
      square += points[i * width + k] * points[i * width + k] / Double(count)
    }
  }
  guard square > 0, square.isFinite else {
    throw NetworkError(
      .unusable, square == 0 ? "all samples are equal: kernels compare points" : "x is too large", file: file)
  }
  let unit = square.squareRoot()
  for index in points.indices { points[index] /= unit }
  return unit
}

private struct KernelComparing {
  let threads: Threads

  func distance(
    _ a: SymmetricMatrix?, _ b: SymmetricMatrix?, withSpectra: Bool = false
  ) throws -> KernelDistance? {
    guard let a, let b else { return nil }
    return try KernelDistance(a, b, withSpectra: withSpectra, threads: threads)
  }

  func distances(
    _ b: WideComparison.Distance.Form, from a: WideComparison.Distance.Form,
    _ first: (SymmetricMatrix, SymmetricMatrix?), _ second: (SymmetricMatrix, SymmetricMatrix?)
  ) throws -> [WideComparison.Distance] {
    [
      (WideComparison.Distance.Kernel.conjugate, try distance(first.0, second.0)),
      (.tangent, try distance(first.1, second.1)),
    ].compactMap { kernel, value in
      value.map { .init(kernel: kernel, b: b, a: a, value: $0) }
    }
  }

  func fourthMoment(
    _ network: WideNetwork, points: [Double], width: Int, _ gram: SymmetricMatrix, _ exact: SymmetricMatrix,
    sparsity: Double
  ) throws -> WideComparison.FourthMoment {
    let moment = 1 / (1 - sparsity)
    let term = try fourthMomentTerm(
      points: points, width: width, moments: network.layers[0].moments, fourthMoment: moment, threads: threads)
    func relative(_ difference: SymmetricMatrix, to whole: SymmetricMatrix) throws -> Double {
      let size = try whole.spectralNorm(threads: threads)
      return size > 0 ? try difference.spectralNorm(threads: threads) / size : 0
    }
    let one = try WideNetwork([network.layers[0].activation], deviation: 1)
    let first = try WideKernels(.exact, of: one, gram: gram, withTangent: false, threads: threads).conjugate
    var last = try WideKernels(
      .exact, of: network, gram: gram, firstLayerTerm: term, withTangent: false, threads: threads
    ).conjugate
    for (index, element) in exact.elements.enumerated() { last.elements[index] -= element }
    return WideComparison.FourthMoment(
      sparsity: sparsity, moment: moment, first: try relative(term, to: first), last: try relative(last, to: exact))
  }
}

extension Activation {
  /// As tables show it.
  var word: String {
    if case .piecewiseConstant(let levels, _) = self { "\(levels.count) levels" } else { name }
  }
}

extension WideComparison {
  /// One object; its keys are documented in the manual page.
  public var json: JSONValue {
    func list(_ numbers: [Double]) -> JSONValue { .array(numbers.map(JSONValue.real)) }
    func real(_ number: Double?) -> JSONValue { JSONValue.real(orNull: number.flatMap { $0.isFinite ? $0 : nil }) }
    let layers: [JSONValue] = self.network.layers.enumerated().map { index, layer in
      let (c, m) = (layer.coefficients, layer.moments)
      var members: [JSONValue.Member] = [
        .init("activation", .string(layer.activation.word)),
        .init("alpha", list((0..<4).map { c.alpha[$0] })),
        .init("beta", list((0..<3).map { c.beta[$0] })),
        .init("columns", .integer(self.layers[index].columns)),
        .init("d1", .real(m.d1)), .init("d2", .real(m.d2)), .init("dd", .real(m.centredCurvature)),
        .init("gain", .real(self.layers[index].gain)),
        .init("kappa2", real(c.kappaSquared)),
        .init("mean", .real(m.mean)),
        .init("name", .string(self.layers[index].name.text)),
        .init("rows", .integer(self.layers[index].rows)),
        .init("tau", .real(layer.inputDeviation)), .init("tau_next", .real(layer.deviation)),
      ]
      if let matched = matching?.layers[index],
        case .piecewiseConstant(let levels, let thresholds) = matched.matched.activation
      {
        members.append(
          .init(
            "matched",
            .object([
              .init("levels", list(levels)), .init("residual", .real(matched.matched.residual)),
              .init("tau", .real(matched.matchedDeviation)),
              .init("tau_next", .real(matched.matched.moments.variance.squareRoot())),
              .init("thresholds", list(thresholds)),
            ])))
      }
      return .object(members)
    }
    return JSONValue.object([
      .init(
        "distances",
        .array(
          distances.map { distance in
            .object([
              .init("a", .string(distance.a.rawValue)),
              .init("alignment", real(distance.value.alignment)),
              .init("b", .string(distance.b.rawValue)),
              .init("kernel", .string(distance.kernel.rawValue)),
              .init("relative", real(distance.value.relativeSpectralNorm)),
              .init("relative_after_scale", real(distance.value.residualAfterScale)),
              .init("relative_after_shift", real(distance.value.residualAfterShift)),
              .init("scale", real(distance.value.scale)),
              .init("shift", real(distance.value.shift)),
            ])
          })),
      .init(
        "fourth_moment",
        .object([
          .init("first_layer", real(fourthMoment.first)), .init("last_layer", real(fourthMoment.last)),
          .init("moment", real(fourthMoment.moment)), .init("sparsity", .real(fourthMoment.sparsity)),
        ])),
      .init("layers", .array(layers)),
      .init("matching_obstacle", obstacle.map(JSONValue.string) ?? .null),
      .init("notes", .array(notes.map(JSONValue.string))),
      .init("omitted", .array(omissions.map(JSONValue.string))),
      .init("points", .integer(points.count)),
      .init("shift", real(matching?.shift)),
      .init("unit", .real(points.unit)),
      .init("x", (points.file?.name).map(JSONValue.string) ?? .null),
    ]).canonical()
  }
}
