// SPDX-License-Identifier: Apache-2.0

import HDF5
import JSON
import Networks
import Random
import Tensors
import Testing

private func read(
  _ builder: TableBuilder, configuration: String? = nil, activations: [String]? = nil, order: [TensorName]? = nil
) throws -> LayoutReading {
  try LayoutReading.read(
    builder.table, configuration: configuration.map { Array($0.utf8) },
    Assumption(activations: activations, order: order))
}

extension LayoutReading {
  fileprivate func names(_ role: TensorRole) -> [String] { tensors.filter { $0.role == role }.map(\.name.text) }

  fileprivate func tensor(_ name: String) throws -> LayoutTensor {
    try #require(tensors.first { $0.name == TensorName(name) })
  }

  /// The operations in words: `dense fc1/kernel`, `relu`.
  fileprivate var steps: [String]? {
    network?.nodes.map { node in
      switch node.operation {
      case .dense(let kernel, _): "dense \(kernel)"
      case .activation(let function): function.name
      case .opaque(let className, _): "opaque \(className)"
      default: node.operation.name
      }
    }
  }
}

private let threeLayers: [(name: String, inputs: UInt64, outputs: UInt64)] = [
  ("fc1", 64, 64), ("fc2", 64, 32), ("fc3", 32, 10),
]

@Suite struct KerasModelLayout {
  @Test func sequentialOfKeras3() throws {
    var file = TableBuilder.kerasModel("digits_relu", threeLayers, configuration: Configurations.digitsRelu)
    file.group("model_weights/top_level_model_weights", ["weight_names": []])
    file.dataset("optimizer_weights/adam/digits_relu_fc1_kernel_momentum", [64, 64])
    let reading = try read(file)
    #expect(reading.kind == .kerasModel)
    #expect(reading.names(.kernel) == ["fc1/kernel", "fc2/kernel", "fc3/kernel"])
    #expect(reading.names(.bias) == ["fc1/bias", "fc2/bias", "fc3/bias"])
    #expect(reading.names(.optimizer) == ["optimizer/adam/digits_relu_fc1_kernel_momentum"])
    #expect(try reading.tensor("fc1/kernel").path == "model_weights/fc1/digits_relu/fc1/kernel")
    #expect(try reading.tensor("fc1/kernel").orientation == .inputsByOutputs)
    #expect(
      reading.network
        == Network(
          nodes: [
            .init(.input(shape: [64]), inputs: []),
            .init(.dense(kernel: "fc1/kernel", bias: "fc1/bias"), inputs: [0]),
            .init(.activation(.relu), inputs: [1]),
            .init(.dense(kernel: "fc2/kernel", bias: "fc2/bias"), inputs: [2]),
            .init(.activation(.relu), inputs: [3]),
            .init(.dense(kernel: "fc3/kernel", bias: "fc3/bias"), inputs: [4]),
            .init(.activation(.softmax), inputs: [5]),
          ], outputs: [6], isKeras: true))
    #expect(reading.notes == [])
    #expect(reading.byteCounts.optimizer == 64 * 64 * 4)
    let counts = [64 * 64, 64 * 64, 64, 64 * 32, 32, 32 * 10, 10]
    #expect(reading.byteCounts.all == UInt64(4 * counts.reduce(0, +)))
  }

  @Test func branchesOfKeras3() throws {
    let layers: [(name: String, inputs: UInt64, outputs: UInt64)] = [
      ("dense", 64, 96), ("dense_1", 96, 48), ("dense_2", 96, 48), ("dense_3", 96, 32), ("head", 32, 10),
    ]
    let reading = try read(.kerasModel(nil, layers, configuration: Configurations.digitsBranch))
    #expect(
      reading.steps == [
        "input", "dense dense/kernel", "tanh", "dropout", "dense dense_1/kernel", "sigmoid", "dense dense_2/kernel",
        "elu", "concatenate", "dense dense_3/kernel", "leaky_relu", "dense head/kernel", "softmax",
      ])
    #expect(reading.network?.nodes[8].inputs == [5, 7])
    #expect(reading.network?.nodes[6].inputs == [3])
    #expect(reading.network?.nodes[10].operation == .activation(.leakyReLU(slope: 0.2)))
    #expect(reading.network?.outputs == [12])
  }

  @Test func functionalOfKeras2() throws {
    let text = #"""
      {"class_name": "Functional", "config": {"name": "m", "layers": [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [null, 4], "name": "in"}, "name": "in",
         "inbound_nodes": []},
        {"class_name": "Add", "config": {"name": "add"}, "name": "add",
         "inbound_nodes": [[["a", 0, 0, {}], ["a", 1, 0, {}]]]},
        {"class_name": "Dense", "config": {"name": "a", "units": 4, "activation": "hard_sigmoid", "use_bias": true},
         "name": "a", "inbound_nodes": [[["in", 0, 0, {}]], [["bn", 0, 0, {}]]]},
        {"class_name": "BatchNormalization", "config": {"name": "bn", "axis": [1], "epsilon": 0.001, "scale": false,
         "center": true}, "name": "bn", "inbound_nodes": [[["in", 0, 0, {"training": false}]]]},
        {"class_name": "Lambda", "config": {"name": "l"}, "name": "l", "inbound_nodes": [[["add", 0, 0, {}]]]}
      ], "input_layers": [["in", 0, 0]], "output_layers": [["l", 0, 0], ["bn", 0, 0]]}}
      """#
    var file = TableBuilder.kerasModel(nil, [("a", 4, 4)], configuration: text, version: "2.9.0", suffix: ":0")
    for weight in ["beta", "moving_mean", "moving_variance"] {
      file.dataset("model_weights/bn/bn/\(weight):0", [4])
    }
    let reading = try read(file)
    #expect(reading.names(.normalization) == ["bn/beta", "bn/moving_mean", "bn/moving_variance"])
    #expect(
      reading.network?.nodes == [
        .init(.input(shape: [4]), inputs: []),
        .init(.dense(kernel: "a/kernel", bias: "a/bias"), inputs: [0]),
        .init(.activation(.hardSigmoid(divisor: 5)), inputs: [1]),
        .init(
          .batchNormalization(
            mean: "bn/moving_mean", variance: "bn/moving_variance", gamma: nil, beta: "bn/beta", epsilon: 0.001),
          inputs: [0]),
        .init(.dense(kernel: "a/kernel", bias: "a/bias"), inputs: [3]),
        .init(.activation(.hardSigmoid(divisor: 5)), inputs: [4]),
        .init(.combine(.add), inputs: [2, 5]),
        .init(.opaque(className: "Lambda", tensors: [:]), inputs: [6]),
      ])
    #expect(reading.network?.outputs == [7, 3])
    #expect(reading.network?.isRunnable == false)
  }

  @Test func sequentialOfKeras1() throws {
    let text = #"""
      {"class_name": "Sequential", "config": [
        {"class_name": "Dense", "config": {"name": "dense_1", "output_dim": 6, "input_dim": 8, "bias": true,
         "activation": "linear"}},
        {"class_name": "Activation", "config": {"name": "activation_1", "activation": "relu"}},
        {"class_name": "Dropout", "config": {"name": "dropout_1", "p": 0.5}},
        {"class_name": "Dense", "config": {"name": "dense_2", "output_dim": 2, "bias": false, "activation": "softsign"}}
      ]}
      """#
    var file = TableBuilder()
    file.group("", ["layer_names": ["dense_1", "activation_1", "dropout_1", "dense_2"], "model_config": [text]])
    file.dense("dense_1", 8, 6, kernel: "dense_1_W", bias: "dense_1_b")
    file.dense("dense_2", 6, 2, kernel: "dense_2_W", bias: nil)
    let reading = try read(file)
    #expect(reading.kind == .kerasWeights)
    #expect(reading.names(.kernel) == ["dense_1/W", "dense_2/W"])
    #expect(reading.steps == ["input", "dense dense_1/W", "relu", "dropout", "dense dense_2/W", "softsign"])
    #expect(reading.network?.nodes[0].operation == .input(shape: [8]))
    #expect(reading.network?.nodes[4].operation == .dense(kernel: "dense_2/W", bias: nil))
  }

  /// A model in a model is part of the one network, once for each call.
  @Test func nestedModel() throws {
    let inner = #"""
      {"class_name": "Sequential", "config": {"name": "inner", "layers": [
        {"class_name": "Dense", "config": {"name": "d", "units": 4, "activation": "tanh"}},
        {"class_name": "TimeDistributed", "config": {"name": "td",
          "layer": {"class_name": "Dense", "config": {"name": "e", "units": 4, "use_bias": false}}}}]}
      """#
    let text = """
      {"class_name": "Functional", "config": {"name": "outer", "layers": [
        {"class_name": "InputLayer", "name": "in", "config": {"name": "in", "batch_shape": [null, 4]},
         "inbound_nodes": []},
        \(inner), "name": "inner", "inbound_nodes": [
          {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["in", 0, 0]}}], "kwargs": {}},
          {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["inner", 0, 0]}}], "kwargs": {}}]}
      ], "input_layers": ["in", 0, 0], "output_layers": ["inner", 1, 0]}}
      """
    var file = TableBuilder.kerasModel(nil, [], configuration: text)
    file.dense("model_weights/inner/outer/inner/d", 4, 4)
    file.dense("model_weights/inner/outer/inner/td", 4, 4, bias: nil)
    let reading = try read(file)
    #expect(reading.names(.kernel) == ["inner/d/kernel", "inner/td/kernel"])
    let once = ["dense inner/d/kernel", "tanh", "dense inner/td/kernel"]
    #expect(reading.steps == ["input"] + once + once)
  }

  /// A call of a layer on the value of another, as Keras 3 writes it.
  private func call(_ layer: String, _ number: Int) -> String {
    #"{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["\#(layer)", \#(number), 0]}}], "#
      + #""kwargs": {}}"#
  }

  private func input(_ name: String) -> String {
    #"{"class_name": "InputLayer", "name": "\#(name)", "config": {"name": "\#(name)", "batch_shape": [null, 4]}, "#
      + #""inbound_nodes": []}"#
  }

  /// Keras refers to the calls of a functional model by numbers from 1.
  @Test func nestedFunctionalModel() throws {
    let inner = """
      {"class_name": "Functional", "name": "inner", "config": {"name": "inner", "layers": [\(input("x")),
        {"class_name": "Dense", "name": "d", "config": {"name": "d", "units": 4, "activation": "tanh"},
         "inbound_nodes": [\(call("x", 0))]}], "input_layers": ["x", 0, 0], "output_layers": ["d", 0, 0]},
       "inbound_nodes": [\(call("in", 0)), \(call("inner", 1))]}
      """
    for (last, steps) in [(1, ["input"]), (2, ["input", "dense inner/d/kernel", "tanh"])] {
      let text = """
        {"class_name": "Functional", "config": {"name": "outer", "layers": [\(input("in")), \(inner),
          {"class_name": "Add", "name": "sum", "config": {"name": "sum"}, "inbound_nodes": [\(call("inner", 2))]}
        ], "input_layers": ["in", 0, 0], "output_layers": ["inner", \(last), 0]}}
        """
      var file = TableBuilder.kerasModel(nil, [], configuration: text)
      file.dense("model_weights/inner/outer/inner/d", 4, 4)
      #expect(try read(file).steps == steps + ["dense inner/d/kernel", "tanh"])
    }
  }

  /// Keras 3 counts them from 0 where calls take their values, and from 1 where outputs are named.
  @Test(arguments: [([], 1), ([0], 2), ([0], 1), ([0, 1], 3), ([0, 1], 2)] as [([Int], Int)])
  func nestedFunctionalModelOfKeras3(taken: [Int], output: Int) throws {
    let calls = [call("in", 0)] + taken.map { call("inner", $0) }
    // The last call is used by another layer where it is no output.
    let sum = call("inner", taken.count)
    let text = """
      {"class_name": "Functional", "config": {"name": "outer", "layers": [\(input("in")),
        {"class_name": "Functional", "name": "inner", "config": {"name": "inner", "layers": [\(input("x")),
          {"class_name": "Dense", "name": "d", "config": {"name": "d", "units": 4, "activation": "linear"},
           "inbound_nodes": [\(call("x", 0))]}], "input_layers": ["x", 0, 0], "output_layers": ["d", 0, 0]},
         "inbound_nodes": [\(calls.joined(separator: ", "))]}\(output > taken.count ? "" : """
        , {"class_name": "ReLU", "name": "sum", "config": {"name": "sum"}, "inbound_nodes": [\(sum)]}
        """)
      ], "input_layers": ["in", 0, 0], "output_layers": ["inner", \(output), 0]}}
      """
    var file = TableBuilder.kerasModel(nil, [], configuration: text)
    file.dense("model_weights/inner/outer/inner/d", 4, 4)
    #expect(
      try read(file).steps == ["input"] + [String](repeating: "dense inner/d/kernel", count: output), "\(output)")
  }

  @Test func listsSplitIntoSeveralAttributes() throws {
    var file = TableBuilder()
    file.group("", ["layer_names0": ["b"], "layer_names1": ["a"]])
    file.group("a", ["weight_names0": ["x/kernel:0"], "weight_names1": ["x/bias:0"]])
    file.dense("a/x", 3, 2, kernel: "kernel:0", bias: "bias:0")
    file.dense("b/b", 5, 3, kernel: "kernel:0", bias: "bias:0")
    let reading = try read(file)
    #expect(reading.kind == .kerasWeights)
    #expect(reading.names(.kernel) == ["a/x/kernel", "b/kernel"])
    // The order is the list's, not that of the names.
    #expect(reading.steps == ["input", "dense b/kernel", "relu", "dense a/x/kernel"])
  }

  /// With a configuration a kernel is dense by the class of its layer, without one by its rank and name.
  @Test func rolesByClassAndByName() throws {
    let text = #"""
      {"class_name": "Sequential", "config": {"name": "s", "layers": [
        {"class_name": "Embedding", "config": {"name": "embedding"}},
        {"class_name": "LSTM", "config": {"name": "lstm"}}, {"class_name": "EinsumDense", "config": {"name": "einsum"}},
        {"class_name": "Dense", "config": {"name": "theano"}}]}}
      """#
    for configuration in [text, nil] {
      var file = TableBuilder.kerasModel(nil, [], configuration: configuration)
      file.dataset("model_weights/embedding/embedding/embeddings:0", [100, 8])
      file.dataset("model_weights/lstm/lstm/lstm_cell/kernel:0", [8, 16])
      file.dataset("model_weights/lstm/lstm/lstm_cell/recurrent_kernel:0", [4, 16])
      file.dataset("model_weights/einsum/einsum/kernel:0", [4, 4])
      file.group("model_weights", ["layer_names": ["theano"]])
      file.group("model_weights/theano", ["weight_names": ["param_0", "param_1"]])
      file.dataset("model_weights/theano/param_0", [4, 2])
      file.dataset("model_weights/theano/param_1", [2])
      file.dataset("elsewhere/kernel", [4, 4])
      let reading = try read(file)
      #expect(reading.names(.embedding) == ["embedding/embeddings"])
      #expect(reading.names(.kernel) == (configuration == nil ? ["einsum/kernel"] : ["theano/param_0"]))
      #expect(try reading.tensor("lstm/lstm_cell/kernel").role == .recurrent)
      #expect(try reading.tensor("elsewhere/kernel").role == .other)
    }
  }

  @Test(arguments: [
    (#"{"class_name":"ReLU","config":{"negative_slope":0.0,"max_value":null,"threshold":0.0}}"#, "relu"),
    (#"{"class_name":"ReLU","config":{"max_value":6.0}}"#, "bounded_relu"),
    (#"{"class_name":"ReLU","config":{"threshold":0.5,"negative_slope":0.1}}"#, "bounded_relu"),
    (#"{"class_name":"ReLU","config":{"threshold":-0.5}}"#, "opaque ReLU"),
    (#"{"class_name":"ThresholdedReLU","config":{"theta":1.0}}"#, "bounded_relu"),
    (#"{"class_name":"Activation","config":{"activation":"relu6"}}"#, "bounded_relu"),
    (#"{"class_name":"Activation","config":{"activation":"exponential"}}"#, "exponential"),
    (#"{"class_name":"Rescaling","config":{"scale":0.5,"offset":[1,2,3,4]}}"#, "rescaling"),
    (#"{"class_name":"Rescaling","config":{"scale":"0.5"}}"#, "opaque Rescaling"),
    (#"{"class_name":"Normalization","config":{"axis":-1,"mean":[[1,2,3,4]],"variance":[[1,1,4,0]]}}"#, "rescaling"),
    (#"{"class_name":"Normalization","config":{"axis":-1,"mean":null,"variance":null}}"#, ""),
    (#"{"class_name":"Reshape","config":{"target_shape":[2,-1]}}"#, "reshape"),
    (#"{"class_name":"Reshape","config":{"target_shape":[-1,-1]}}"#, "opaque Reshape"),
    (#"{"class_name":"Identity","config":{}}"#, "dropout"),
    (#"{"class_name":"LeakyReLU","config":{"alpha":0.30000001192092896}}"#, "leaky_relu"),
    // Slopes that the file does not have.
    (#"{"class_name":"PReLU","config":{}}"#, ""),
    (#"{"class_name":"Softmax","config":{"axis":-1}}"#, "softmax"),
    (#"{"class_name":"Activation","config":{"activation":"swish"}}"#, "silu"),
    (#"{"class_name":"Activation","config":{"activation":"gelu"}}"#, "gelu"),
    (#"{"class_name":"Activation","config":{"activation":{"class_name":"ELU","config":{"alpha":2}}}}"#, "elu"),
    (
      #"{"class_name":"Activation","config":{"activation":{"module":"builtins","class_name":"function","config":"relu"}}}"#,
      "opaque relu"
    ),
    (#"{"class_name":"GaussianNoise","config":{"stddev":0.1}}"#, "dropout"),
    (#"{"class_name":"Flatten","config":{"data_format":"channels_last"}}"#, "flatten"),
    (#"{"class_name":"Dense","config":{"units":4}}"#, ""),
  ])
  func layersOfOneInput(_ layer: String, _ expected: String) throws {
    let text = """
      {"class_name":"Sequential","config":{"layers":[{"class_name":"InputLayer","config":{"batch_shape":[null,4]}},\
      \(layer)]}}
      """
    let reading = try read(.kerasModel(nil, [], configuration: text))
    // A dense layer whose kernel is not in the file is no network.
    #expect(reading.steps == (expected.isEmpty ? nil : ["input", expected]))
  }
}

@Suite struct Keras3WeightsLayout {
  private var file: TableBuilder {
    var file = TableBuilder()
    for (number, layer) in threeLayers.enumerated() {
      let group = "layers/dense" + (number == 0 ? "" : "_\(number)")
      file.group("\(group)/vars", ["name": [layer.name]])
      file.dense("\(group)/vars", layer.inputs, layer.outputs, kernel: "0", bias: "1")
    }
    file.dataset("optimizer/vars/0", [], TableBuilder.int8)
    return file
  }

  @Test func namesAreTheLayersOwn() throws {
    let reading = try read(file)
    #expect(reading.kind == .keras3Weights)
    #expect(reading.names(.kernel) == ["fc1/kernel", "fc2/kernel", "fc3/kernel"])
    #expect(reading.names(.optimizer) == ["optimizer/vars/0"])
    #expect(reading.steps == ["input", "dense fc1/kernel", "relu", "dense fc2/kernel", "relu", "dense fc3/kernel"])
    #expect(
      reading.assumption == "no architecture in the file: assuming 64 → fc1 → relu → fc2 → relu → fc3")
    #expect(reading.network?.isAssumed == true && reading.notes == [])
  }

  @Test func configurationOfTheArchive() throws {
    let reading = try read(file, configuration: Configurations.bfloat16)
    #expect(reading.steps?.last == "softmax")
    #expect(reading.notes == [] && reading.assumption == nil && reading.network?.isAssumed == false)
  }

  /// Where groups do not say which layer they are, the classes are counted.
  @Test func groupsWithoutNames() throws {
    var file = TableBuilder()
    for (number, layer) in threeLayers.enumerated() {
      file.dense(
        "_layer_checkpoint_dependencies/dense\(number == 0 ? "" : "_\(number)")/vars", layer.inputs, layer.outputs,
        kernel: "0", bias: "1")
    }
    let reading = try read(file, configuration: Configurations.digitsRelu)
    #expect(reading.names(.kernel) == ["dense/kernel", "dense_1/kernel", "dense_2/kernel"])
    #expect(reading.steps?.last == "softmax")
  }

  /// A layer of floats that are no dense matrix stands somewhere in between: nobody can tell where.
  @Test func otherLayersForbidAChain() throws {
    var file = file
    file.dataset("layers/multi_head_attention/query_dense/vars/0", [8, 2, 4])
    let reading = try read(file)
    #expect(try reading.tensor("multi_head_attention/query_dense/0").role == .attention)
    #expect(reading.network == nil)
    #expect(try read(file, order: ["fc1", "fc2"]).network != nil)
    // The state of a random generator is no layer.
    file = self.file
    file.dataset("layers/dropout/seed_generator/vars/0", [2], .integer(size: 4, signed: false, bigEndian: false))
    #expect(try read(file).network != nil)
  }

  @Test func quantisedKernelIsCarried() throws {
    var file = TableBuilder()
    file.dataset("layers/dense/vars/0", [64, 64], TableBuilder.int8)
    file.dataset("layers/dense/vars/1", [64])
    file.dataset("layers/dense/vars/2", [64])
    file.group("layers/dense/vars", ["name": ["fc1"]])
    let reading = try read(file)
    #expect(reading.tensors.map(\.name) == ["fc1/kernel", "fc1/bias", "fc1/2"])
    #expect(reading.tensors.map(\.role) == [.other, .bias, .other])
    #expect(reading.network == nil)
  }

  @Test(arguments: [[0], [1, 2]]) func shardIsNoNetwork(_ present: [Int]) throws {
    var shard = TableBuilder()
    for number in present {
      let layer = threeLayers[number]
      shard.dense(
        "layers/dense" + (number == 0 ? "" : "_\(number)") + "/vars", layer.inputs, layer.outputs, kernel: "0",
        bias: "1")
    }
    // The first shard has the empty group of the second layer.
    shard.group("layers/dense_1/vars")
    let reading = try read(shard)
    #expect(reading.network == nil)
    #expect(reading.names(.kernel).count == present.count)
    #expect(reading.notes.count == 1)
  }

  @Test func batchNormalizationIsNamedOnlyWhenComplete() throws {
    for count in [3, 4] {
      var file = TableBuilder()
      for number in 0..<count { file.dataset("layers/batch_normalization/vars/\(number)", [4]) }
      let names = try read(file).tensors.map(\.name)
      #expect(names[0] == (count == 4 ? "batch_normalization/gamma" : "batch_normalization/0"))
    }
  }
}

@Suite struct OtherLayouts {
  @Test func stateDictionary() throws {
    for separator in [".", "/"] {
      var file = TableBuilder()
      file.dataset("embed\(separator)weight", [100, 8])
      file.dataset("bn\(separator)weight", [8])
      file.dataset("bn\(separator)bias", [8])
      file.dataset("bn\(separator)num_batches_tracked", [], TableBuilder.int8)
      file.dataset("conv\(separator)weight", [8, 3, 3, 3])
      file.dataset("fc\(separator)10\(separator)weight", [2, 3])
      file.dataset("fc\(separator)9\(separator)weight", [3, 8])
      file.dataset("fc\(separator)9\(separator)bias", [3])
      file.dataset("optimizer\(separator)fc\(separator)exp_avg", [3, 8])
      let reading = try read(file)
      #expect(reading.kind == .pyTorch)
      #expect(reading.names(.kernel) == ["fc\(separator)10\(separator)weight", "fc\(separator)9\(separator)weight"])
      #expect(reading.names(.embedding).count == 1)
      #expect(reading.names(.normalization).count == 3)
      #expect(reading.names(.convolution).count == 1)
      #expect(reading.names(.optimizer).count == 1)
      #expect(reading.network == nil)
      let chain = try read(file, order: ["fc\(separator)9", "fc\(separator)10\(separator)weight"])
      #expect(chain.network?.nodes.first?.operation == .input(shape: [8]))
      #expect(chain.steps?.count == 4)
    }
  }

  @Test func chainInNaturalOrderWithActivationsOfTheFile() throws {
    var file = TableBuilder()
    file.dense("fc10", 2, 1)
    file.dense("fc9", 3, 2)
    file.group("fc10", ["activation": ["sigmoid"]])
    let reading = try read(file)
    #expect(reading.kind == .plain)
    #expect(reading.steps == ["input", "dense fc9/kernel", "relu", "dense fc10/kernel", "sigmoid"])
    #expect(reading.assumption == "no architecture in the file: assuming 3 → fc9 → relu → fc10 → sigmoid")
  }

  @Test func optionsOverrideTheFile() throws {
    let file = TableBuilder.kerasModel("digits_relu", threeLayers, configuration: Configurations.digitsRelu)
    let chain = ["input", "dense fc1/kernel", "tanh", "dense fc2/kernel", "tanh", "dense fc3/kernel"]
    #expect(try read(file, activations: ["tanh"]).steps == chain)
    #expect(try read(file, activations: ["tanh", "tanh"]).steps == chain)
    #expect(try read(file, activations: ["tanh", "tanh", "linear"]).steps == chain)
    let asked = try read(file, activations: ["leaky_relu:0.1"], order: ["fc2", "fc3"])
    #expect(asked.network?.nodes[2].operation == .activation(.leakyReLU(slope: 0.1)))
    #expect(
      asked.notes == [
        "as stated: 64 → fc2 → leaky_relu → fc3", "--order leaves out fc1",
        "the command line replaces the architecture in the file",
      ])
    #expect(asked.assumption == nil && asked.network?.isAssumed == false)
  }

  @Test func everyActivationOfKerasIsKnown() throws {
    let file = TableBuilder.kerasModel("digits_relu", threeLayers, configuration: Configurations.digitsRelu)
    for name in Activation.kerasNames { #expect(throws: Never.self) { try read(file, activations: [name]) } }
  }

  @Test func optionsThatDoNotFit() throws {
    let file = TableBuilder.kerasModel("digits_relu", threeLayers, configuration: Configurations.digitsRelu)
    #expect(throws: LayoutError.unknownActivation("mish")) { try read(file, activations: ["mish"]) }
    #expect(throws: LayoutError.activationCount(given: 4, layers: 3)) {
      try read(file, activations: ["relu", "relu", "relu", "relu"])
    }
    #expect(throws: LayoutError.unknownLayer("fc4", known: ["fc1", "fc2", "fc3"])) { try read(file, order: ["fc4"]) }
    #expect(throws: LayoutError.repeatedLayer("fc1/kernel")) { try read(file, order: ["fc1", "fc1/kernel"]) }
    #expect(throws: LayoutError.doesNotChain(from: "fc1", outputs: 64, to: "fc3", inputs: 32)) {
      try read(file, order: ["fc1", "fc3"])
    }
  }

  /// An object that cannot be opened stays in its place, so that nobody takes what is left for the network.
  @Test func unreadableKernel() throws {
    var file = TableBuilder()
    file.add("fc1/kernel", .unreadable("layout version 5"))
    file.dense("fc2", 3, 2)
    let reading = try read(file)
    #expect(reading.names(.kernel) == ["fc1/kernel", "fc2/kernel"])
    #expect(try reading.tensor("fc1/kernel").elementType == nil)
    #expect(reading.network == nil)
  }

  @Test func elementTypes() throws {
    func float(_ size: Int, _ exponent: Int, _ mantissa: Int, _ bias: Int, big: Bool = false) -> Datatype {
      .float(size: size, exponentBits: exponent, mantissaBits: mantissa, bias: bias, bigEndian: big)
    }
    let types: [(Datatype, ElementType?)] = [
      (float(2, 5, 10, 15), .float16), (float(2, 8, 7, 127), .bfloat16), (float(4, 8, 23, 127), .float32),
      (float(8, 11, 52, 1023, big: true), .float64), (float(4, 8, 23, 126), nil), (float(16, 15, 112, 16383), nil),
      (.opaque(size: 2, tag: ""), nil), (.integer(size: 4, signed: true, bigEndian: false), .int32),
    ]
    for (type, expected) in types {
      var file = TableBuilder()
      file.dataset("a/kernel", [2, 0], type)
      let tensor = try read(file).tensor("a/kernel")
      #expect(tensor.elementType == expected)
      #expect((tensor.role == .kernel) == (expected?.isFloat ?? false))
    }
    var file = TableBuilder()
    file.dataset("layers/dense/vars/0", [2, 2], .opaque(size: 2, tag: ""), ["dtype": ["bfloat16"]])
    #expect(try read(file).tensor("dense/kernel").elementType == .bfloat16)
    // A whole model does not say so beside the dataset, but in its configuration.
    file = TableBuilder.kerasModel(nil, [], configuration: Configurations.bfloat16)
    file.dataset("model_weights/fc1/sequential/fc1/kernel", [64, 64], .opaque(size: 2, tag: ""))
    #expect(try read(file).tensor("fc1/kernel").elementType == .bfloat16)
  }
}

@Suite struct TensorNames {
  /// Names that would be shared are replaced by paths, and so are names that somebody's path is spelled like.
  @Test func areUnique() throws {
    var file = TableBuilder.kerasModel(nil, [], configuration: nil)
    file.dataset("model_weights/a/a/kernel:0", [2, 2])
    file.dataset("model_weights/a/a/kernel:1", [2, 2])
    file.dataset("model_weights/model_weights/b/c/kernel", [2, 2])
    file.dataset("b/c/kernel", [2, 2])
    file.dataset("model_weights/b/c/kernel", [2, 2])
    let names = try read(file).tensors.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(names.contains("model_weights/a/a/kernel:0"))
    #expect(names.contains("model_weights/a/a/kernel:1"))
  }

  /// A layer is found through each of its links, and keeps its first name.
  @Test func ofSeveralLinks() throws {
    var file = TableBuilder.kerasModel(nil, [("z", 2, 2)], configuration: nil)
    file.link("model_weights/alias", to: "model_weights/z")
    let reading = try read(file)
    #expect(reading.names(.kernel) == ["z/kernel"])
  }

  @Test func listsThatLeadNowhere() throws {
    var file = TableBuilder.kerasModel(nil, [("fc1", 2, 2)], configuration: nil)
    file.group("model_weights/ghost", ["weight_names": ["../../etc", "soft"]])
    let reading = try read(file)
    #expect(reading.names(.kernel) == ["fc1/kernel"])
    #expect(reading.notes == [] && reading.assumption == "no architecture in the file: assuming 2 → fc1")
  }
}

@Suite struct DamagedConfigurations {
  private static let layers: [(name: String, inputs: UInt64, outputs: UInt64)] = [("fc1", 4, 3)]

  /// What cannot be read is as good as absent.
  @Test(arguments: [
    "7", "", #"{"class_name":"Sequential","config":{"layers":[{"class_"#, String(repeating: "[", count: 3000),
    #"{"class_name":"Sequential","config":{"layers":[3]}}"#, #"{"class_name":"Custom","config":{}}"#,
  ])
  func areIgnored(_ text: String) throws {
    let reading = try read(.kerasModel(nil, Self.layers, configuration: text))
    #expect(reading.names(.kernel) == ["fc1/kernel"])
    #expect(reading.steps == ["input", "dense fc1/kernel"])
    let says =
      text.contains("Custom")
      ? "custom class 'Custom': how its layers connect is in Python code" : "no architecture in the file"
    #expect(reading.assumption == "\(says): assuming 4 → fc1")
  }

  /// What contradicts the datasets is no network, and changes no role.
  @Test(arguments: [
    #"{"class_name":"Dense","config":{"name":"fc1","units":4}}"#,
    #"{"class_name":"Dense","config":{"name":"fc2","units":3}}"#,
    #"{"class_name":"InputLayer","config":{"batch_shape":[null,5]}},{"class_name":"Dense","config":{"name":"fc1"}}"#,
  ])
  func areNoNetwork(_ layers: String) throws {
    let text = #"{"class_name":"Sequential","config":{"layers":[\#(layers)]}}"#
    let reading = try read(.kerasModel(nil, Self.layers, configuration: text))
    #expect(reading.names(.kernel) == ["fc1/kernel"])
    #expect(reading.network == nil)
    #expect(reading.notes.count == 1)
  }

  /// A graph that depends on itself, mentions what is not there, or unfolds into more than can be held.
  @Test func graphsThatDoNotHoldTogether() throws {
    func functional(_ layers: String, output: String) -> String {
      """
      {"class_name":"Functional","config":{"layers":[{"class_name":"InputLayer","name":"in","config":{},\
      "inbound_nodes":[]},\(layers)],"input_layers":[["in",0,0]],"output_layers":[["\(output)",0,0]]}}
      """
    }
    func layer(_ name: String, from sources: String...) -> String {
      let calls = sources.map { "[[\"\($0)\",0,0,{}]]" }.joined(separator: ",")
      return #"{"class_name":"ReLU","name":"\#(name)","config":{},"inbound_nodes":[\#(calls)]}"#
    }
    var doubling = layer("x", from: "in")
    for _ in 0..<24 {
      let model = functional(doubling, output: "x").dropLast()
      doubling = """
        \(model),"name":"m","inbound_nodes":[[["in",0,0,{}]],[["m",0,0,{}]]]},\
        {"class_name":"ReLU","name":"x","config":{},"inbound_nodes":[[["m",1,0,{}]]]}
        """
    }
    for text in [
      functional(layer("a", from: "b") + "," + layer("b", from: "a"), output: "a"),
      functional(layer("a", from: "ghost"), output: "a"),
      functional(layer("a", from: "in"), output: "ghost"),
      functional(layer("a", from: "in") + "," + layer("a", from: "in"), output: "a"),
      functional(doubling, output: "x"),
    ] {
      let reading = try read(.kerasModel(nil, Self.layers, configuration: text))
      #expect(reading.network == nil)
      #expect(reading.notes.count == 1)
    }
  }

  /// No change of a few bytes makes reading fail; every network that comes out is sound.
  @Test func mutations() throws {
    var random = SplitMix64(seed: 2)
    let alphabet = Array("[]{},:\"0123456789-eanul_fd".utf8)
    for text in [Configurations.digitsRelu, Configurations.digitsBranch] {
      for _ in 0..<60 {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 1...8, using: &random) {
          let at = Int.random(in: 0..<bytes.count, using: &random)
          if Bool.random(using: &random) {
            bytes[at] = alphabet.randomElement(using: &random) ?? 0
          } else {
            bytes.remove(at: at)
          }
        }
        let file = TableBuilder.kerasModel("digits_relu", threeLayers, configuration: nil)
        let reading = try LayoutReading.read(file.table, configuration: bytes)
        #expect(reading.names(.kernel).count <= 3)
        try reading.network?.validate()
      }
    }
  }
}

@Suite struct NetworkJSON {
  static let network = Network(
    nodes: [
      .init(.input(shape: [4]), inputs: []), .init(.input(shape: nil), inputs: []),
      .init(.dense(kernel: "k", bias: "b"), inputs: [0]), .init(.dense(kernel: "k", bias: nil), inputs: [1]),
      .init(.activation(.leakyReLU(slope: 0.3)), inputs: [2]), .init(.activation(.elu(alpha: 1)), inputs: [3]),
      .init(.activation(.gelu(approximate: true)), inputs: [4]),
      .init(.activation(.hardSigmoid(divisor: 6)), inputs: [5]), .init(.activation(.softmax), inputs: [6]),
      .init(.batchNormalization(mean: "m", variance: "v", gamma: nil, beta: "o", epsilon: 0.001), inputs: [7]),
      .init(.layerNormalization(gamma: "g", beta: nil, epsilon: 1e-6), inputs: [8]),
      .init(.combine(.add), inputs: [9, 10]), .init(.concatenate, inputs: [9, 10, 11]), .init(.flatten, inputs: [12]),
      .init(.dropout(rate: 0.5), inputs: [13]),
      .init(.opaque(className: "LSTM", tensors: ["kernel": "lstm/kernel"]), inputs: [14, 0]),
    ], outputs: [15, 9])

  @Test func comesBack() throws {
    let bytes = Self.network.json.canonical().serialized()
    #expect(try Network(json: JSONValue.parseCanonical(bytes)) == Self.network)
  }

  /// With names, and with what is said of the whole.
  @Test func saysWhatIsKnownOfTheWhole() throws {
    var network = Self.network
    for number in network.nodes.indices where number % 3 == 0 {
      network.nodes[number].name = TensorName("e\u{301}\(number)")
    }
    for precision in [nil, .float16, .bfloat16] as [ElementType?] {
      for flags in 0..<4 {
        (network.precision, network.isAssumed, network.isKeras) = (precision, flags & 1 == 1, flags & 2 == 2)
        let bytes = network.json.canonical().serialized()
        #expect(try Network(json: JSONValue.parseCanonical(bytes)) == network)
      }
    }
  }

  /// What has its default is left out.
  @Test func hasOneSpelling() {
    let network = Network(
      nodes: [
        .init(.input(shape: [-1, 4]), inputs: [], name: "x"), .init(.dense(kernel: "k", bias: nil), inputs: [0]),
        .init(.activation(.leakyReLU(slope: 0.1)), inputs: [1]), .init(.combine(.add), inputs: [2]),
        .init(.combine(.multiply), inputs: [3, 0]),
      ], outputs: [4], precision: .bfloat16, isAssumed: true, isKeras: true)
    #expect(
      String(decoding: network.json.canonical().serialized(), as: UTF8.self) == """
        {"assumed":true,"layout":"keras","nodes":[{"name":"x","op":"input","shape":[-1,4]},\
        {"op":"dense","tensors":{"kernel":"k"}},{"kind":"leaky_relu","op":"activation","slope":1e-01},{"op":"add"},\
        {"inputs":[3,0],"op":"multiply"}],"precision":"bfloat16"}
        """)
  }

  @Test(arguments: [
    (#""op":"dense""#, #""op":"conv""#, false), (#""kind":"softmax""#, #""kind":"mish""#, false),
    (#""bias":"b""#, #""scale":"b""#, false), (#""outputs":[15,9]"#, #""outputs":[15,9],"later":1"#, false),
    (#""outputs":[15,9]"#, #""outputs":[16]"#, true), (#""outputs":[15,9]"#, #""outputs":[]"#, true),
    (#""inputs":[14,0]"#, #""inputs":[15]"#, true), (#""inputs":[14,0]"#, #""inputs":[-1]"#, true),
    (#""rate":5e-01"#, #""inputs":[13,12],"rate":5e-01"#, true),
    (#""rate":5e-01"#, #""inputs":[13],"rate":5e-01"#, true), (#""kernel":"k""#, #""kernel":7"#, true),
    (#""kernel":"k""#, #""kernel":"""#, true), (#""op":"add""#, #""op":3"#, true),
    (#""rate":5e-01"#, #""rate":2e+00"#, true), (#""rate":5e-01"#, #""rate":1"#, true), (#","rate":5e-01"#, "", true),
    // Unknown and corrupt is corrupt.
    (#""rate":5e-01"#, #""inputs":[13,12],"later":1,"rate":5e-01"#, true),
    (#""outputs":[15,9]"#, #""later":1,"outputs":[16]"#, true), (#""op":"add""#, #""name":7,"op":"later""#, true),
    (#""rate":5e-01"#, #""rate":2e+00,"tensors":{"later":"k"}"#, true),
  ])
  func refuses(_ original: String, _ changed: String, _ isCorrupt: Bool) throws {
    let text = String(decoding: Self.network.json.canonical().serialized(), as: UTF8.self)
    let bytes = Array(text.replacing(original, with: changed, maxReplacements: 1).utf8)
    #expect(bytes != Array(text.utf8))
    do throws(NetworkError) {
      _ = try Network(json: try! JSONValue.parse(bytes))
      Issue.record("accepted")
    } catch {
      #expect(error.verdict == (isCorrupt ? .corrupt : .unsupported))
    }
  }
}
