// SPDX-License-Identifier: Apache-2.0

import HDF5
import Maths
import Parallel
import SystemPackage
import Tensors
import TestSupport
import Testing
import Transforms

@testable import Measures
@testable import Networks

/// Networks as other programs lay them out in HDF5: `fixtures/networks/layouts`.
enum LayoutFixtures {
  static let folder = Fixtures.folder.appending("networks").appending("layouts")

  static func open(_ name: String, _ assumption: Assumption = Assumption()) throws -> NetworkFile {
    BuiltTools.serveHDF5()
    let file = try OpenFile(folder.appending(name + ".h5"))
    return try file.with { descriptor, size in
      // The file is read as long as it is open: the descriptor outlives the test.
      try NetworkFile(
        descriptor.duplicate(), size: size,
        options: ReadingOptions(memory: 1 << 30, threads: Threads(1), assumption: assumption))
    }
  }
}

extension NetworkFile {
  fileprivate func names(_ role: TensorRole) -> [String] { tensors.filter { $0.role == role }.map(\.name.text) }
  fileprivate func tensor(_ name: TensorName) throws -> TensorRecord {
    try #require(tensors.first { $0.name == name })
  }
}

@Suite("Layouts of other programs") struct LayoutFixtureTests {
  /// The chain that is found, and whether matrices are inputs × outputs.
  @Test(arguments: [
    ("chainer", "20 → l1 → relu → l2 → relu → l3", false),
    ("flax", "20 → params/Dense_0 → relu → params/Dense_1 → relu → params/Dense_2", true),
    ("haiku", "20 → mlp/~/linear_0 → relu → mlp/~/linear_1 → relu → mlp/~/linear_2", true),
    ("keras0", "20 → layer_0 → relu → layer_3 → relu → layer_6", true),
    ("caffe", "20 → data/ip1 → relu → data/ip2 → relu → data/ip3", false),
    ("lasagne", "20 → hidden1 → relu → hidden2 → relu → output", true),
    ("slim", "20 → net/fc1 → relu → net/fc2 → relu → net/fc3", true),
    ("flat", "20 → fc1 → relu → fc2 → relu → out", true),
    ("names_W1", "20 → W1 → relu → W2", true),
    ("names_tf_variables", "20 → dense → relu → dense_1", true),
    ("torch_unbiased", "16 → layers.0 → relu → layers.2 → relu → layers.4", false),
    ("qdense_weights", "16 → fc1 → relu → out", true),
  ])
  func chainsAreFound(_ name: String, _ summary: String, _ isTransposed: Bool) throws {
    let file = try LayoutFixtures.open(name)
    let network = try #require(file.network)
    #expect(network.summary == summary && network.isAssumed)
    #expect(file.assumption == "no architecture in the file: assuming \(summary)")
    let kernels = file.tensors.filter(\.isDenseMatrix)
    #expect(kernels.count == network.denseKernels.count)
    #expect(kernels.allSatisfy { $0.isTransposed == isTransposed })
    // Every layer has its bias, but for the one that has none.
    let biases = network.nodes.count { if case .dense(_, .some) = $0.operation { true } else { false } }
    #expect(biases == kernels.count - (name == "torch_unbiased" ? 1 : 0))
  }

  @Test(arguments: [
    ("slash_names", "20 → actor/fc1 → relu → actor/out", ["actor/fc1/kernel", "actor/out/kernel"]),
    ("keras1_name_scope", "20 → dense_1 → relu → dense_2", ["dense_1/W", "dense_2/W"]),
    ("unknown_axis", "?×4 → a → relu → b", ["a/kernel", "b/kernel"]),
    // What QKeras multiplies with is not what it stores.
    ("qdense_model", "16 → (QDense) → (QDense)", ["fc1/kernel", "out/kernel"]),
  ])
  func configurationsAreFollowed(_ name: String, _ summary: String, _ kernels: [String]) throws {
    let file = try LayoutFixtures.open(name)
    #expect(file.network?.summary == summary && file.network?.isAssumed == false)
    #expect(file.names(.kernel) == kernels)
    #expect((name == "qdense_model") == file.notes.contains { $0.hasPrefix("QDense fc1, out: quantised") })
  }

  /// Matrices that fit both ways round are left until somebody says which.
  @Test func whatIsAmbiguousIsNotGuessed() throws {
    let open = try LayoutFixtures.open("square")
    #expect(open.network == nil && open.names(.kernel) == [])
    #expect(open.notes.count == 1 && open.notes[0].contains("W1, W2, W3") && open.notes[0].contains("--orientation"))
    #expect(open.tensors.filter(\.isAmbiguous).map(\.name) == ["W1", "W2", "W3"])
    #expect {
      try open.choose(by: Selection(only: ["W1"]))
    } throws: { error in
      (error as? NetworkError)?.verdict == .unsupported && (error as? NetworkError)?.remedy == .orientation
    }
    #expect(try open.choose(by: Selection()).tensors.isEmpty)
    for orientation in MatrixOrientation.allCases {
      let stated = try LayoutFixtures.open("square", Assumption(orientation: orientation))
      #expect(stated.network?.summary == "32 → W1 → relu → W2 → relu → W3")
      #expect(
        stated.tensors.filter(\.isDenseMatrix).allSatisfy { $0.isTransposed == (orientation == .inputsByOutputs) })
      #expect(try stated.choose(by: Selection(only: ["W1"])).tensors.count == 1)
    }
    #expect(throws: NetworkError.self) { try LayoutFixtures.open("square", Assumption(order: ["W1", "W2"])) }
  }

  /// Names that nobody knows: the caller says what they are.
  @Test func unknownNames() throws {
    let file = try LayoutFixtures.open("unknown_names")
    #expect(file.network == nil && file.names(.kernel) == [])
    let order: [TensorName] = ["theta_hidden", "theta_out"]
    let stated = try LayoutFixtures.open("unknown_names", Assumption(order: order))
    // The two follow each other in one way round alone.
    #expect(stated.network?.summary == "20 → theta_hidden → relu → theta_out")
    #expect(stated.notes.contains("--order leaves out shift_hidden, shift_out"))
  }

  @Test func embeddingsAreNoDenseLayers() throws {
    let names = ["shared", "tok_emb", "user_factors", "word_vectors", "wpe", "wte"]
    let file = try LayoutFixtures.open("embedding_names")
    #expect(file.names(.embedding) == names.map { "transformer.\($0).weight" })
    #expect(file.names(.kernel) == ["transformer.head.weight"])
    #expect(file.network == nil)
  }

  /// By its shape alone, and only where it could be no layer; `--only` reaches it.
  @Test func tablesAreNoDenseLayers() throws {
    let file = try LayoutFixtures.open("torch_table")
    #expect(file.names(.kernel) == ["encoder.fc.weight", "head.weight"])
    let table = try file.tensor("encoder.items.weight")
    #expect(table.role == .other && table.reason?.contains("a table of 400 vectors") == true)
    #expect(file.notes.contains { $0.hasPrefix("encoder.items.weight: 400×16 without bias") })
    #expect(try file.choose(by: Selection(only: ["encoder.items.weight"])).tensors.count == 1)
  }

  @Test func recurrentAndAttention() throws {
    let torch = try LayoutFixtures.open("torch_lstm")
    #expect(torch.names(.recurrent) == ["lstm.weight_hh_l0", "lstm.weight_ih_l0"])
    #expect(torch.names(.attention) == ["attention.in_proj_weight"])
    #expect(torch.names(.kernel) == ["attention.out_proj.weight", "fc.weight"])
    let flax = try LayoutFixtures.open("flax_lstm")
    #expect(flax.names(.recurrent).count == 8 && flax.names(.kernel) == ["params/Dense_0/kernel"])
    #expect(flax.names(.embedding) == ["params/Embed_0/embedding"])
    #expect(flax.names(.normalization).count == 2)
    #expect(torch.network == nil && flax.network == nil)
  }

  /// Keras gives 6 × 7 × 2: the unknown axis is the samples'.
  @Test func anUnknownAxisIsThatOfTheSamples() throws {
    let file = try LayoutFixtures.open("unknown_axis")
    let data = try DataFile(LayoutFixtures.open("unknown_axis.data"), name: "data", DataFile.Options())
    let report = try file.run(on: data)
    #expect(report.samples == 6 && report.outputShape == [7, 2] && report.outputs.values.count == 6 * 7 * 2)
  }
}

/// What the caller states.
@Suite("Stated architectures") struct StatedArchitectureTests {
  private var normalised: TableBuilder {
    var file = TableBuilder()
    for (number, width) in [8, 6].enumerated() {
      let name = number == 0 ? "batch_normalization" : "batch_normalization_1"
      for index in 0..<4 { file.dataset("layers/\(name)/vars/\(index)", [UInt64(width)]) }
      file.group("layers/\(name)/vars", ["name": ["bn\(number)"]])
    }
    for (number, dimensions) in [(4, 8), (8, 6), (6, 3)].enumerated() {
      let group = "layers/dense" + (number == 0 ? "" : "_\(number)") + "/vars"
      file.dense(TensorName(group), UInt64(dimensions.0), UInt64(dimensions.1), kernel: "0", bias: "1")
      file.group(TensorName(group), ["name": [["d0", "d1", "logits"][number]]])
    }
    return file
  }

  private func read(_ order: [TensorName], activations: [String]? = nil) throws -> LayoutReading {
    try LayoutReading.read(normalised.table, Assumption(activations: activations, order: order))
  }

  @Test func normalizationsAreNamedOrRefused() throws {
    #expect(throws: LayoutError.leftOut(["bn0", "bn1"])) { try read(["d0", "d1", "logits"]) }
    #expect(throws: LayoutError.leftOut(["bn1"])) { try read(["d0", "bn0", "d1", "logits"]) }
    let reading = try read(["d0", "bn0", "relu", "d1", "bn1", "tanh", "logits", "softmax"])
    #expect(reading.network?.summary == "4 → d0 → bn0 → relu → d1 → bn1 → tanh → logits → softmax")
    #expect(reading.network?.isAssumed == false && reading.assumption == nil)
    guard case .batchNormalization(let mean, _, let gamma, _, let epsilon) = reading.network?.nodes[2].operation else {
      Issue.record("no normalization")
      return
    }
    #expect(mean == "bn0/moving_mean" && gamma == "bn0/gamma" && epsilon == 1e-3)
    // Without functions in the order, they stand behind the dense layers.
    let behind = try read(["d0", "bn0", "d1", "bn1", "logits"], activations: ["elu"])
    #expect(behind.network?.summary == "4 → d0 → elu → bn0 → d1 → elu → bn1 → logits")
    #expect(throws: LayoutError.functionsTwice) { try read(["d0", "relu"], activations: ["elu"]) }
    let other = try read(["d0", "bn0:1e-5", "relu", "d1", "bn1", "logits"])
    guard case .batchNormalization(_, _, _, _, 1e-5) = other.network?.nodes[2].operation else {
      Issue.record("another ε")
      return
    }
    #expect(throws: LayoutError.doesNotChain(from: "d0", outputs: 8, to: "bn1", inputs: 6)) {
      try read(["d0", "bn1", "d1", "bn0", "logits"])
    }
  }

  /// A file as its names say it is, told by no program which ε it means.
  @Test func anUnknownEpsilonIsAskedFor() throws {
    var file = TableBuilder()
    file.dense("a", 3, 4)
    for weight in ["gamma", "beta", "moving_mean", "moving_variance"] { file.dataset("n/\(weight)", [4]) }
    file.dense("b", 4, 2)
    let table = file.table
    #expect(throws: LayoutError.unknownEpsilon("n")) {
      try LayoutReading.read(table, Assumption(order: ["a", "n", "b"]))
    }
    let reading = try LayoutReading.read(table, Assumption(order: ["a", "n:.01", "relu", "b"]))
    #expect(reading.network?.summary == "3 → a → n → relu → b")
  }

  // MARK: --like

  private func architecture(_ name: String, _ folder: FilePath) throws -> StatedArchitecture {
    BuiltTools.serveHDF5()
    let file = try OpenFile(folder.appending(name))
    return try file.with { descriptor, size in
      try StatedArchitecture(
        descriptor.duplicate(), size: size, name: name, options: ReadingOptions(memory: 1 << 30, threads: Threads(1)))
    }
  }

  @Test func weightsAloneTakeTheArchitectureOfTheModel() throws {
    let networks = Fixtures.folder.appending("networks")
    for model in ["digits_relu.h5", "digits_relu.keras"] {
      let like = try architecture(model, networks)
      let file = try OpenFile(networks.appending("digits_relu.weights.h5"))
      try file.with { descriptor, size in
        let network = try NetworkFile(
          descriptor, size: size,
          options: ReadingOptions(memory: 1 << 30, threads: Threads(1), assumption: Assumption(like: like)))
        #expect(network.network?.summary == "64 → fc1 → relu → fc2 → relu → fc3 → softmax")
        #expect(network.network?.isAssumed == false)
        #expect(network.notes == ["as in \(model): 64 → fc1 → relu → fc2 → relu → fc3 → softmax"])
      }
    }
  }

  /// A configuration alone, as `model.to_json()` gives it.
  private func configuration(_ widths: [Int]) throws -> StatedArchitecture {
    let dense = widths.dropFirst().enumerated().map { number, width in
      let function = number == widths.count - 2 ? "linear" : "tanh"
      return #"{"class_name":"Dense","config":{"name":"x\#(number)","units":\#(width),"activation":"\#(function)"}}"#
    }
    let text = """
      {"class_name":"Sequential","config":{"name":"m","layers":[{"class_name":"InputLayer","config":{"name":"in",\
      "batch_input_shape":[null,\(widths[0])]}},\(dense.joined(separator: ","))]}}
      """
    let file = try OpenFile(Array(text.utf8))
    return try file.with { descriptor, size in
      try StatedArchitecture(
        descriptor, size: size, name: "m.json", options: ReadingOptions(memory: 1 << 30, threads: Threads(1)))
    }
  }

  /// By order and shapes, where the names are others.
  @Test(arguments: ["chainer", "haiku", "keras0", "caffe"]) func layersOfOtherNames(_ name: String) throws {
    let like = try configuration([20, 64, 64, 5])
    let file = try LayoutFixtures.open(name, Assumption(like: like))
    let network = try #require(file.network)
    #expect(!network.isAssumed && file.assumption == nil)
    #expect(network.nodes.map(\.operation.name) == ["input", "dense", "activation", "dense", "activation", "dense"])
    #expect(network.nodes[2].operation == .activation(.tanh))
    #expect(file.notes.first?.hasPrefix("as in m.json: 20 → ") == true)
    #expect(try file.function().inputCount == 20)
  }

  @Test func layersThatDoNotFitAreRefused() throws {
    for (widths, reason) in [
      ([20, 64, 5], "3 dense layers (l1, l2, l3), and m.json has 2 (x0, x1)"),
      ([20, 64, 32, 5], "l2 is 64 → 64, x1 of m.json 64 → 32"),
    ] {
      let like = try configuration(widths)
      #expect {
        try LayoutFixtures.open("chainer", Assumption(like: like))
      } throws: { error in
        (error as? NetworkError)?.verdict == .unusable && "\(error)".contains(reason)
      }
    }
    // A guess is no architecture.
    #expect {
      try architecture("slim.h5", LayoutFixtures.folder)
    } throws: { error in
      (error as? NetworkError)?.verdict == .unsupported
    }
  }
}
