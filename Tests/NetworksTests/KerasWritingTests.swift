// SPDX-License-Identifier: Apache-2.0

import HDF5
import JSON
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import Networks
@testable import Transforms

@Suite("Keras files built anew")
struct KerasWritingTests {
  private func written(_ network: NetworkFile) throws -> (file: OpenFile, notes: [String]) {
    let file = try OpenFile()
    let report = try file.with { file, _ in try network.writeKeras(to: file) }
    #expect(try file.with { $1 } == report.byteCount)
    return (file, report.notes)
  }

  /// What Keras described is described again: the same layers, of the same names and values.
  @Test(arguments: Fixtures.networks) func aFixtureIsTheSameNetwork(path: FilePath) throws {
    try withNetwork(OpenFile(path)) { source in
      guard let network = source.network, network.isKeras else {
        #expect(source.reasonAgainstKeras != nil)
        return
      }
      #expect(source.reasonAgainstKeras == nil)
      let (file, notes) = try written(source)
      #expect(try file.bytes == written(source).file.bytes, "written twice")
      let isAll = source.tensors.allSatisfy { network.tensorNames.contains($0.name) }
      #expect(notes.isEmpty == isAll)
      try withNetwork(file) { built in
        #expect(built.network == network && built.notes.isEmpty)
        #expect(Set(built.tensors.map(\.name)) == Set(network.tensorNames))
        for (index, after) in built.tensors.enumerated() {
          let other = try #require(source.tensors.firstIndex { $0.name == after.name })
          let before = source.tensors[other]
          #expect(after.type == before.type && after.shape == before.shape && after.byteOrder == .little)
          #expect(after.role == before.role && after.axes == before.axes)
          #expect(try built.values(of: index) == source.values(of: other), "\(after.name)")
        }
      }
    }
  }

  // MARK: Graphs made by hand

  private func record(
    _ name: String, _ dimensions: [Int], _ type: ElementType = .float32, isTransposed: Bool = true
  ) throws -> TensorRecord {
    TensorRecord(
      name: TensorName(name), aliases: [], type: type, byteOrder: .little, shape: try #require(Shape(dimensions)),
      role: .other,
      axes: dimensions.count == 2 && isTransposed ? .outputsLast() : .standard(rank: dimensions.count),
      encoding: .raw(planes: false), parts: [], history: [])
  }

  private func keras(_ nodes: [Network.Node], outputs: [Int]? = nil, precision: ElementType? = nil) -> Network {
    Network(nodes: nodes, outputs: outputs ?? [nodes.count - 1], precision: precision, isKeras: true)
  }

  private func text(_ model: KerasModel) -> String { String(decoding: model.configuration.serialized(), as: UTF8.self) }

  @Test func aChainIsASequence() throws {
    let model = try KerasModel(
      keras([
        .init(.input(shape: [3]), inputs: []), .init(.dense(kernel: "a/b/kernel", bias: "a/b/bias"), inputs: [0]),
        .init(.activation(.silu), inputs: [1]), .init(.dropout(rate: 0.5), inputs: [2]),
        .init(.dense(kernel: "out/kernel", bias: nil), inputs: [3]),
        .init(.activation(.leakyReLU(slope: 0.25)), inputs: [4]),
      ]), [record("a/b/kernel", [3, 2]), record("a/b/bias", [2]), record("out/kernel", [2, 1])])
    #expect(
      text(model) == """
        {"class_name":"Sequential","config":{"name":"sequential","layers":[\
        {"class_name":"InputLayer","config":{"name":"input_layer","dtype":"float32","batch_input_shape":[null,3]}},\
        {"class_name":"Dense","config":{"name":"a_b","dtype":"float32","units":2,"activation":"swish","use_bias":true}},\
        {"class_name":"Dropout","config":{"name":"dropout","dtype":"float32","rate":0.5}},\
        {"class_name":"Dense","config":{"name":"out","dtype":"float32","units":1,"activation":"linear","use_bias":false}},\
        {"class_name":"ReLU","config":{"name":"re_lu","dtype":"float32","max_value":null,"negative_slope":0.25,"threshold":0.0}}\
        ]}}
        """)
    #expect(model.layers.map(\.name) == ["a_b", "dropout", "out", "re_lu"])
    #expect(model.layers[0].weights.map(\.tensor) == ["a/b/kernel", "a/b/bias"])
  }

  /// A layer that is applied twice is one layer; inputs keep their names; layers stand as Keras counts them, the deepest
  /// first, and those of one depth as a walk from the output meets them: `shared` is as deep as its deepest call.
  @Test func aGraphNamesItsCalls() throws {
    let dense = Network.Operation.dense(kernel: "shared/kernel", bias: nil)
    let model = try KerasModel(
      keras([
        .init(.input(shape: [2]), inputs: [], name: "left"), .init(.input(shape: [2]), inputs: [], name: "right"),
        .init(dense, inputs: [0]), .init(dense, inputs: [1]), .init(.activation(.tanh), inputs: [3]),
        .init(.dense(kernel: "late/kernel", bias: nil), inputs: [1]),
        .init(.combine(.subtract), inputs: [4, 2]), .init(.concatenate, inputs: [6, 5]),
      ]), [record("shared/kernel", [2, 2]), record("late/kernel", [2, 2])])
    let configuration = model.configuration["config"]
    let layers = try #require(configuration?["layers"]?.array)
    func calls(_ name: String) -> String? {
      layers.first { $0["name"]?.string == name }?["inbound_nodes"].map {
        String(decoding: $0.serialized(), as: UTF8.self)
      }
    }
    #expect(calls("shared") == #"[[["left",0,0,{}]],[["right",0,0,{}]]]"#)
    #expect(calls("subtract") == #"[[["activation",0,0,{}],["shared",0,0,{}]]]"#)
    #expect(calls("concatenate") == #"[[["subtract",0,0,{}],["late",0,0,{}]]]"#)
    #expect(
      configuration?["input_layers"]
        == .array([
          .array([.string("left"), .integer(0), .integer(0)]), .array([.string("right"), .integer(0), .integer(0)]),
        ]))
    #expect(model.layers.map(\.name) == ["right", "shared", "left", "activation", "subtract", "late", "concatenate"])
  }

  @Test func typesAreThoseOfTheWeights() throws {
    func types(_ type: ElementType, _ precision: ElementType?) throws -> [String?] {
      let model = try KerasModel(
        keras(
          [
            .init(.input(shape: [2]), inputs: []), .init(.dense(kernel: "a/kernel", bias: nil), inputs: [0]),
            .init(.flatten, inputs: [1]),
          ], precision: precision), [record("a/kernel", [2, 2], type)])
      return model.configuration["config"]?["layers"]?.array?.map { $0["config"]?["dtype"]?.string } ?? []
    }
    #expect(try types(.float32, nil) == ["float32", "float32", "float32"])
    #expect(try types(.float64, nil) == ["float64", "float64", "float64"])
    #expect(try types(.float16, .float16) == ["float32", "float16", "float16"])
    #expect(try types(.bfloat16, .bfloat16) == ["float32", "bfloat16", "bfloat16"])
    #expect(try types(.float32, .bfloat16) == ["float32", "mixed_bfloat16", "mixed_bfloat16"])
    // Stored in 16 bits, and computed in 32.
    #expect(try types(.float16, nil) == ["float32", "float32", "float32"])
  }

  private static let refusals: [(operation: Network.Operation, reason: String)] = [
    (.activation(.erf), "Keras has no activation erf"), (.activation(.sin), "Keras has no activation sin"),
    (.activation(.piecewiseConstant(levels: [0, 1], thresholds: [0])), "Keras has no activation piecewise_constant"),
    (.activation(.hardSigmoid(divisor: 5)), "Keras has no hard_sigmoid of x/5.0 + ½"),
    (.activation(.gelu(approximate: true)), "no layer of Keras has the approximate gelu"),
    (.activation(.leakyReLU(slope: -1)), "Keras has no relu with a negative slope"),
    (.opaque(className: "Conv2D", tensors: [:]), "what its layer of class Conv2D does is not known"),
    (.dense(kernel: "m", bias: "v3"), "v3 is no vector of one number for each value"),
    (.dense(kernel: "torch", bias: nil), "torch is no matrix of inputs × outputs"),
    (.dense(kernel: "v2", bias: nil), "v2 is no matrix of inputs × outputs"),
    (.dense(kernel: "wide", bias: nil), "wide takes 3 values"),
    (.dense(kernel: "whole", bias: nil), "whole is int8"),
    (.dense(kernel: "short", bias: "v2"), "v2 is float32, and short of the same layer float16"),
    (.dense(kernel: "none", bias: nil), "there is no none"),
    (.prelu(slope: "m"), "m has other axes than the values"),
    (.prelu(slope: "v3"), "v3 has another shape than the values"),
    (.normalization(mean: "v2", variance: "v2", epsilon: 1e-3), "Normalization has another ε in Keras"),
    (.normalization(mean: "one", variance: "one", epsilon: 1e-7), "one is no vector of one number for each value"),
    (.rescaling(scale: [1, 2, 3], offset: [0]), "a rescaling of 3 values"),
    (.rotation(seed: 1), "Keras has no rotation"),
    (.reshape(shape: [3]), "a reshaping of 2 values"),
  ]

  @Test(arguments: refusals.indices) func whatKerasDoesNotHave(index: Int) throws {
    let (operation, reason) = Self.refusals[index]
    let tensors = try [
      record("m", [2, 2]), record("v2", [2]), record("v3", [3]), record("torch", [2, 2], isTransposed: false),
      record("wide", [3, 2]), record("whole", [2, 2], .int8), record("short", [2, 2], .float16), record("one", []),
    ]
    let network = keras([.init(.input(shape: [2]), inputs: []), .init(operation, inputs: [0])])
    let misfit = #expect(throws: KerasModel.Misfit.self) { try KerasModel(network, tensors) }
    #expect(misfit?.reason == reason)
  }

  @Test func graphsThatKerasDoesNotHave() throws {
    let tensors = try [record("m", [2, 2]), record("b", [2])]
    let (input, dense) = (Network.Node(.input(shape: [2]), inputs: []), Network.Operation.dense(kernel: "m", bias: nil))
    func reason(_ network: Network) -> String? {
      do throws(KerasModel.Misfit) { _ = try KerasModel(network, tensors) } catch { return error.reason }
      return nil
    }
    #expect(reason(Network(nodes: [input], outputs: [0])) == "no Keras configuration said how its layers are connected")
    #expect(
      reason(keras([.init(.input(shape: nil), inputs: []), .init(dense, inputs: [0])]))
        == "the shape of its input is not known")
    #expect(reason(keras([.init(.input(shape: [-1]), inputs: []), .init(dense, inputs: [0])])) == "m takes 2 values")
    #expect(
      reason(keras([input, .init(dense, inputs: [0]), .init(.dense(kernel: "m", bias: "b"), inputs: [1])]))
        == "two layers that differ have m")
    #expect(
      reason(keras([input, .init(dense, inputs: [0]), .init(.flatten, inputs: [0])])) == "dense leads to no output")
  }

  /// Thousands of layers: their description and their names are longer than an attribute may be.
  @Test func longAttributes() throws {
    BuiltTools.serveHDF5()
    let file = try OpenFile()
    let names = (0..<3000).map { "é\($0)" }
    let text = String(repeating: "é", count: 100_000)
    try file.with { file, _ in
      var new = try NewFile(file, limits: Limits(memory: 1 << 30, seconds: 10))
      try new.addGroup([], texts: [.init("network", text), .init("role", list: names), .init("dtype", list: [])])
      try new.close()
    }
    try file.with { file, _ in
      var session = try Session(file: file, limits: Limits(memory: 1 << 30, seconds: 10))
      let table = try session.tableOfContents(texts: ["network", "role", "dtype"])
      #expect(table.rootText("network") == text)
      #expect(table.objects[0].attributes.map(\.texts) == [[], [text], names])
    }
  }
}
