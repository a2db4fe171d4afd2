// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Formatting
import JSON
import Maths
import Networks
import Parallel
import Plots
import Random
import Tensors
import ToolSupport
import Transforms

/// How far kernels are from each other: figure 2 of Gu et al. (2022), and networks of finite width.
struct Kernels: Tool {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "Kernels of wide networks: equivalents, matched activations, networks of finite width.",
    discussion: """
      Three parts. Networks have three layers unless said otherwise.

      equivalents: closed forms against exact kernels of infinite width, on two
      classes of Gaussian points: p = 200, 400 and 800 numbers each, 2p points.

      matched: kernels of infinite width after three levels and σ_T took the place
      of the activations; p = 400, one to three layers.

      networks: random relu networks against others with three levels and ternary
      weights of which half are zero; p = 400, and samples of --data.

      Distances are spectral norms of differences, divided by that of the first
      kernel. Each result is a line of JSON: a number for each seed, and the mean.
      In the part networks, 'draws' is the distance of two relu networks that
      differ in their weights alone, 'infinite' that of infinite width, and
      'expected' the root of the sum of their squares.

        nc-experiments kernels --data train.h5 -o kernels.svg
        nc-experiments kernels --only networks --data train.h5 --seeds 1,2,3
      """)

  enum Part: String, CaseIterable { case equivalents, matched, networks }

  @Option(help: ArgumentHelp("Seeds of points and weights.", valueName: "n,…")) var seeds = "1,2,3,4,5"
  @Option(help: ArgumentHelp("Units of the layers of random networks; may be repeated.", valueName: "n,…"))
  var widths: [String] = ["1000,1000,500", "2000,2000,1100", "4000,4000,2000"]
  @Option(help: ArgumentHelp("Samples of --data: the first.", valueName: "n")) var points = 512
  @Option(
    help: ArgumentHelp("Parts, by name (default: all).", valueName: "name,…"),
    completion: .list(Part.allCases.map(\.rawValue)))
  var only: String?
  @Option(name: .customShort("o"), help: ArgumentHelp("The picture.", valueName: "file.svg"), completion: .file())
  var picture: String?
  @Flag(name: .shortAndLong, help: "Replace an existing picture.") var force = false
  @OptionGroup var data: DataOptions
  @OptionGroup var common: CommonOptions

  private static let (sparsity, mixtureWidth) = (0.5, 400)

  func check() throws {
    if let picture { try Output.Kind.svg.check(name: picture, of: "-o") }
    try data.check()
    try common.check()
    _ = try parts
    _ = try numbers(seeds)
    for list in widths where try numbers(list).contains(0) {
      throw ValidationError("--widths: expected one unit or more in each layer, found '\(list)'")
    }
    guard (2...1 << 12).contains(points) else { throw ValidationError("--points: expected 2…4096, found \(points)") }
  }

  private var parts: [Part] {
    get throws {
      guard let only else { return Part.allCases }
      return try only.split(separator: ",").map { name in
        guard let part = Part(rawValue: String(name)) else {
          let names = Part.allCases.map(\.rawValue).joined(separator: ", ")
          throw ValidationError("--only: expected \(names), found '\(name)'")
        }
        return part
      }
    }
  }

  func run() throws {
    let output = try picture.map { try Output($0, .svg, permissions: .ofNewFiles, force: force) }
    let samples = data.data == nil ? nil : try data.read(common, tool: Self.self)
    let reading = common.reading(tool: Self.self)
    var entries: [PictureSheet.Entry] = []
    for part in try parts {
      switch part {
      case .equivalents: entries += try naming("mixture") { try equivalents(reading) }
      case .matched: entries += try naming("mixture") { try matched(reading) }
      case .networks:
        entries += try naming("mixture") {
          let seed = try numbers(seeds)[0]
          let points = try KernelPoints(mixtureOf: Self.mixtureWidth, seed: seed, threads: reading.threads)
          return try networks(
            points.scaled(threads: reading.threads), "mixture", "\(points.count) points of the mixture", reading)
        }
        guard let samples else { continue }
        entries += try naming(samples.name) {
          let points = try KernelPoints(samples, count: points, threads: reading.threads)
          let name = fileName(samples.name)
          return try networks(points, name, "\(points.count) samples of \(name)", reading)
        }
      }
    }
    try output?.write(PictureSheet(title: "Kernels of wide networks", entries: entries).svg)
    try output?.finish()
  }

  // MARK: Parts

  /// The forms of theorems 1 and 2 for a mixture and the second order against exact kernels.
  private func equivalents(_ reading: ReadingOptions) throws -> [PictureSheet.Entry] {
    let (seeds, threads) = (try numbers(seeds), reading.threads)
    let forms = ["mixture", "second order"]
    var curves = [[CurveChart.Curve]](repeating: [], count: forms.count)
    let widths = [200, 400, 800]
    let counter = reading.counter("equivalents", of: 2 * widths.count * seeds.count)
    for activation in [Activation.relu, .erf] {
      var points = [[[(x: Double, y: Double)]]](repeating: [[], []], count: forms.count)
      for p in widths {
        // Of each form, conjugate and tangent.
        var errors = [[[Double]]](repeating: [[], []], count: forms.count)
        for seed in seeds {
          let data = try KernelPoints(mixtureOf: p, seed: seed, threads: threads)
          let network = try WideNetwork(
            [Activation](repeating: activation, count: 3), deviation: data.deviation)
          let exact = try WideKernels(.exact, of: network, gram: data.gram, withTangent: true, threads: threads)
          var found = [try WideKernels(.secondOrder, of: network, gram: data.gram, withTangent: true, threads: threads)]
          if let mixture = data.mixture {
            let form = WideKernels(mixture: mixture, of: network, gram: data.gram, withTangent: true, threads: threads)
            found.insert(form, at: 0)
          }
          for (form, kernels) in found.enumerated() {
            let pairs = [(exact.conjugate, kernels.conjugate), (exact.tangent, kernels.tangent)]
            for (kind, pair) in pairs.enumerated() {
              guard let first = pair.0, let second = pair.1 else { continue }
              let distance = try KernelDistance(first, second, withSpectra: false, threads: threads)
              errors[form][kind].append(distance.relativeSpectralNorm ?? 0)
            }
          }
          counter?.add(1)
        }
        for (form, name) in forms.enumerated() {
          for (kind, kernel) in ["conjugate", "tangent"].enumerated() {
            try result(
              "equivalents", seeds,
              [
                .init("activation", .string(activation.name)), .init("error", summary(errors[form][kind])),
                .init("form", .string(name)), .init("kernel", .string(kernel)), .init("p", .integer(p)),
              ])
            points[form][kind].append((Double(p), mean(errors[form][kind])))
          }
        }
      }
      for form in forms.indices {
        for (kind, kernel) in ["conjugate", "tangent"].enumerated() {
          curves[form].append(.init("\(activation.name), \(kernel)", points[form][kind]))
        }
      }
    }
    let captions = [
      "Of the closed form for a mixture of two classes against the exact kernels of infinite width, 2p points.",
      "Of the form of second order, layer by layer, which needs no classes.",
    ]
    return forms.indices.map { form in
      .init(
        "Equivalents: \(forms[form])",
        CurveChart(curves[form], xName: "p, numbers of a point", yName: "relative error").picture,
        caption: captions[form])
    }
  }

  /// Kernels of infinite width of the original and of matched activations.
  private func matched(_ reading: ReadingOptions) throws -> [PictureSheet.Entry] {
    let (seeds, threads) = (try numbers(seeds), reading.threads)
    let rules: [(name: String, rule: NetworkMatching.Rule)] = [("three levels", .levels(3)), ("σ_T", .sigmaT)]
    let activations = [Activation.relu, .erf, .tanh]
    let depths = 1...3
    let counter = reading.counter("matched", of: activations.count * depths.count * seeds.count)
    var curves: [(activation: Activation, curve: CurveChart.Curve)] = []
    for activation in activations {
      // For an odd function σ_T is the symmetric function of three levels, which is the optimal one.
      let rules = activation == .relu ? rules : [rules[0]]
      var points = [[[(x: Double, y: Double)]]](repeating: [[], []], count: rules.count)
      for depth in depths {
        let original = [Activation](repeating: activation, count: depth)
        var distances = [[KernelDistance]](repeating: [], count: rules.count)
        var shifts = [[Double]](repeating: [], count: rules.count)
        var alignments = shifts
        for seed in seeds {
          let data = try KernelPoints(mixtureOf: Self.mixtureWidth, seed: seed, threads: threads)
          let kernel = try data.conjugate(original, deviation: data.deviation, threads: threads)
          for (index, (_, rule)) in rules.enumerated() {
            let matching = try NetworkMatching(original, deviation: data.deviation, rule: rule)
            let other = try data.conjugate(
              matching.layers.map { $0.matched.activation }, deviation: data.deviation, threads: threads)
            let distance = try KernelDistance(kernel, other, withSpectra: false, threads: threads)
            distances[index].append(distance)
            let shifted = other.adding(-distance.shift)
            let aligned = try KernelDistance(kernel, shifted, withSpectra: false, threads: threads)
            alignments[index].append(aligned.alignment ?? 0)
            shifts[index].append(matching.shift)
          }
          counter?.add(1)
        }
        for (index, (name, _)) in rules.enumerated() {
          let own = distances[index]
          let (raw, rest) = (own.map { $0.relativeSpectralNorm ?? 0 }, own.map { $0.residualAfterShift ?? 0 })
          try result(
            "matched", seeds,
            [
              .init("activation", .string(activation.name)), .init("after_shift", summary(rest)),
              .init("alignment_after_shift", summary(alignments[index])),
              .init("layers", .integer(depth)), .init("p", .integer(Self.mixtureWidth)), .init("raw", summary(raw)),
              .init("rule", .string(name)), .init("shift", summary(own.map(\.shift))),
              .init("shift_predicted", summary(shifts[index])),
            ])
          points[index][0].append((Double(depth), mean(raw)))
          points[index][1].append((Double(depth), mean(rest)))
        }
      }
      for (index, (name, _)) in rules.enumerated() {
        let prefix = activation == .relu ? name : activation.name
        for (kind, suffix) in ["", ", less cI"].enumerated() {
          curves.append((activation, .init(prefix + suffix, points[index][kind])))
        }
      }
    }
    let caption = "Of conjugate kernels of infinite width. c: the difference of the mean diagonals."
    return [("relu", true), ("three levels", false)].map { name, isRelu in
      .init(
        "Matched activations: \(name), p = \(Self.mixtureWidth)",
        CurveChart(
          curves.filter { ($0.activation == .relu) == isRelu }.map(\.curve), xName: "layers", yName: "relative distance"
        ).picture, caption: caption)
    }
  }

  /// Random networks of finite width, of the same points.
  private func networks(
    _ points: KernelPoints, _ name: String, _ heading: String, _ reading: ReadingOptions
  ) throws -> [PictureSheet.Entry] {
    let (seeds, threads) = (try numbers(seeds), reading.threads)
    let ternary = RandomFeatures.ternary(sparsity: Self.sparsity, .rule(.levels(3)))
    let names = ["measured", "expected", "two draws", "infinite width"]
    var curves = names.map { CurveChart.Curve($0, []) }
    let counter = reading.counter("networks", of: 3 * widths.count * seeds.count)
    for widths in try widths.map(numbers) {
      try check(widths, inputs: points.width, reading)
      let relus = [Activation](repeating: .relu, count: widths.count)
      guard let matching = try KernelOptions.Matching.rule(.levels(3)).centred(relus).matching else { continue }
      let wide = try KernelDistance(
        points.conjugate(relus, deviation: 1, threads: threads),
        points.conjugate(matching.layers.map { $0.matched.activation }, deviation: 1, threads: threads),
        withSpectra: false, threads: threads)
      let infinite = wide.residualAfterShift ?? 0
      var (distances, draws): ([KernelDistance], [Double]) = ([], [])
      for seed in seeds {
        var generator = SplitMix64(seed: UInt64(seed))
        func kernel(_ features: RandomFeatures) throws -> SymmetricMatrix {
          defer { counter?.add(1) }
          return try points.conjugate(of: features, widths: widths, seed: generator.next(), threads: threads)
        }
        let (first, second, third) = (try kernel(.original), try kernel(.original), try kernel(ternary))
        let other = try KernelDistance(first, second, withSpectra: false, threads: threads)
        draws.append(other.relativeSpectralNorm ?? 0)
        distances.append(try KernelDistance(first, third, withSpectra: false, threads: threads))
      }
      let rest = distances.map { $0.residualAfterShift ?? 0 }
      let expected = draws.map { ($0 * $0 + infinite * infinite).squareRoot() }
      try result(
        "networks", seeds,
        [
          .init("after_shift", summary(rest)), .init("draws", summary(draws)), .init("expected", summary(expected)),
          .init("infinite", .real(infinite)), .init("points", .integer(points.count)),
          .init("raw", summary(distances.map { $0.relativeSpectralNorm ?? 0 })),
          .init("shift", summary(distances.map(\.shift))), .init("shift_infinite", .real(wide.shift)),
          .init("shift_predicted", .real(matching.shift)), .init("sparsity", .real(Self.sparsity)),
          .init("widths", .array(widths.map(JSONValue.integer))), .init("x", .string(name)),
        ])
      for (index, value) in [mean(rest), mean(expected), mean(draws), infinite].enumerated() {
        curves[index].points.append((Double(widths[0]), value))
      }
    }
    return [
      .init(
        "Finite width: \(heading)",
        CurveChart(curves, xName: "units of the first layer", yName: "relative distance, less cI").picture,
        caption: "Relu and three levels. Expected: from that of two draws of relu and that of infinite width.")
    ]
  }

  /// Makes sure that networks of these widths fit into memory.
  private func check(_ widths: [Int], inputs: Int, _ reading: ReadingOptions) throws {
    var (bytes, columns) = (0.0, inputs)
    for rows in widths {
      // As drawn, scaled and rounded, and as they would be stored.
      bytes += 32 * Double(rows) * Double(columns)
      columns = rows
    }
    guard bytes <= Double(reading.memory) else {
      let list = widths.map(String.init).joined(separator: ",")
      throw NetworkError(
        .overLimit, "weights of \(list) units take \(Int(min(bytes, 1e18))) bytes, more than \(reading.memory)",
        remedy: .memory)
    }
  }

  // MARK: Results

  private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(1, values.count)) }

  private func summary(_ values: [Double]) -> JSONValue {
    .object([.init("mean", .real(mean(values))), .init("values", .array(values.map(JSONValue.real)))])
  }

  private func result(_ part: String, _ seeds: [Int], _ members: [JSONValue.Member]) throws {
    let common: [JSONValue.Member] = [
      .init("part", .string(part)), .init("seeds", .array(seeds.map(JSONValue.integer))),
    ]
    try report(json: JSONValue.object(members + common).canonical().serialized())
  }
}

extension SymmetricMatrix {
  /// K + cI
  fileprivate func adding(_ c: Double) -> SymmetricMatrix {
    var result = self
    for i in 0..<count { result.elements[i * count + i] += c }
    return result
  }
}
