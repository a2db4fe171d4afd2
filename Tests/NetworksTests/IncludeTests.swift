// SPDX-License-Identifier: Apache-2.0

import Compression
import HDF5
import Matrices
import Parallel
import Random
import Tensors
import Testing

@testable import Networks
@testable import Transforms

/// Matrices of other layers than dense ones: how their layouts see them, and what compressors make of them.
@Suite("Included matrices") struct IncludeTests {
  /// A tensor of a file, with the shape of its bias if there is one, and how it is a matrix: the axes that count outputs,
  /// and the others; `nil` where it is none.
  struct Case: CustomTestStringConvertible {
    var path: TensorName
    var shape: [UInt64]
    var bias: [UInt64]?
    var configuration: String?
    /// Another dataset, by which the layout is known.
    var beside: TensorName?
    var role: TensorRole
    var axes: (outputs: [Int], inputs: [Int])?
    /// What the reason says where it is no matrix.
    var reason = ""
    var testDescription: String { "\(path) \(shape) \(configuration ?? "")" }
  }

  private static func layer(_ className: String, _ name: String, _ settings: String = "") -> String {
    #"{"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "\#(className)", "config": {"name": "\#(name)"\#(settings)}}]}}"#
  }

  private static let keras: [Case] = [
    Case(
      path: "model_weights/c/c/kernel", shape: [3, 3, 4, 8], bias: [8], configuration: layer("Conv2D", "c"),
      role: .convolution, axes: ([3], [0, 1, 2])),
    Case(path: "model_weights/c/c/kernel", shape: [3, 4, 8], role: .convolution, axes: ([2], [0, 1])),
    Case(path: "layers/conv2d/vars/0", shape: [3, 3, 4, 8], bias: [8], role: .convolution, axes: ([3], [0, 1, 2])),
    // A grouped convolution has fewer inputs.
    Case(path: "layers/conv3d_1/vars/0", shape: [2, 2, 2, 1, 8], role: .convolution, axes: ([4], [0, 1, 2, 3])),
    Case(
      path: "model_weights/c/c/kernel", shape: [3, 3, 4, 2], bias: [8], configuration: layer("DepthwiseConv2D", "c"),
      role: .convolution, reason: "depthwise"),
    Case(
      path: "model_weights/s/s/depthwise_kernel", shape: [3, 3, 4, 1], configuration: layer("SeparableConv2D", "s"),
      role: .convolution, reason: "depthwise"),
    Case(
      path: "model_weights/s/s/pointwise_kernel", shape: [1, 1, 4, 6], bias: [6],
      configuration: layer("SeparableConv2D", "s"), role: .convolution, axes: ([3], [0, 1, 2])),
    Case(path: "layers/separable_conv2d/vars/0", shape: [3, 3, 4, 1], role: .convolution, reason: "depthwise"),
    Case(path: "layers/separable_conv2d/vars/1", shape: [1, 1, 4, 6], role: .convolution, axes: ([3], [0, 1, 2])),
    Case(path: "layers/depthwise_conv2d/vars/0", shape: [3, 3, 4, 1], role: .convolution, reason: "depthwise"),
    // Names say nothing, the bias does.
    Case(path: "model_weights/c/c/kernel", shape: [3, 3, 4, 1], bias: [4], role: .convolution, reason: "not known"),
    Case(
      path: "model_weights/c/c/kernel", shape: [3, 3, 4, 1], bias: [1], role: .convolution, axes: ([3], [0, 1, 2])),
    Case(path: "model_weights/c/c/kernel", shape: [3, 3, 4, 1], role: .convolution, reason: "depthwise"),
    Case(path: "layers/conv2d_transpose/vars/0", shape: [2, 2, 3, 6], role: .convolution, reason: "transposed"),
    Case(
      path: "model_weights/u/u/kernel", shape: [2, 2, 3, 6], bias: [3], configuration: layer("Conv2DTranspose", "u"),
      role: .convolution, reason: "transposed"),
    // Keras 1 kept weights in the order of the axes that its layers worked with.
    Case(
      path: "model_weights/c/c_W", shape: [8, 4, 3, 3],
      configuration: layer("Convolution2D", "c", #", "dim_ordering": "th""#), role: .convolution,
      axes: ([0], [1, 2, 3])),
    Case(
      path: "model_weights/c/c_W", shape: [3, 3, 4, 8],
      configuration: layer("Convolution2D", "c", #", "dim_ordering": "tf""#), role: .convolution,
      axes: ([3], [0, 1, 2])),
    Case(
      path: "model_weights/lstm/lstm/cell/kernel", shape: [8, 16],
      beside: "model_weights/lstm/lstm/cell/recurrent_kernel", role: .recurrent, axes: ([1], [0])),
    Case(path: "model_weights/lstm/lstm/cell/recurrent_kernel", shape: [4, 16], role: .recurrent, axes: ([1], [0])),
    Case(
      path: "model_weights/gru/gru/cell/bias", shape: [2, 12], configuration: layer("GRU", "gru"), role: .bias),
    Case(path: "layers/gru/cell/vars/1", shape: [4, 12], role: .recurrent, axes: ([1], [0])),
    Case(
      path: "layers/conv_lstm2d/cell/vars/0", shape: [3, 3, 2, 16], role: .recurrent, axes: ([3], [0, 1, 2])),
    Case(
      path: "model_weights/e/e/embeddings", shape: [100, 8], configuration: layer("Embedding", "e"), role: .embedding,
      axes: ([0], [1])),
    Case(path: "layers/embedding/vars/0", shape: [100, 8], role: .embedding, axes: ([0], [1])),
    Case(
      path: "model_weights/m/m/query/kernel", shape: [10, 3, 4], configuration: layer("MultiHeadAttention", "m"),
      role: .attention, axes: ([1, 2], [0])),
    Case(
      path: "model_weights/m/m/attention_output/kernel", shape: [3, 4, 10],
      configuration: layer("MultiHeadAttention", "m"), role: .attention, axes: ([2], [0, 1])),
    Case(
      path: "model_weights/m/m/key/bias", shape: [3, 4], configuration: layer("MultiHeadAttention", "m"), role: .bias),
    Case(
      path: "layers/multi_head_attention/value_dense/vars/0", shape: [10, 3, 4], role: .attention,
      axes: ([1, 2], [0])),
    Case(
      path: "layers/grouped_query_attention/_output_dense/vars/0", shape: [3, 4, 10], role: .attention,
      axes: ([2], [0, 1])),
    Case(
      path: "layers/my_attention/vars/0", shape: [10, 4], role: .attention, reason: "not known"),
    Case(
      path: "model_weights/d/d/kernel", shape: [5, 9],
      configuration: layer("EinsumDense", "d", #", "equation": "abc,cd->abd""#), role: .attention, axes: ([1], [0])),
    Case(
      path: "model_weights/d/d/kernel", shape: [3, 4, 6],
      configuration: layer("EinsumDense", "d", #", "equation": "... yz, yzo -> ... o""#), role: .attention,
      axes: ([2], [0, 1])),
    Case(
      path: "model_weights/d/d/kernel", shape: [2, 6, 3],
      configuration: layer("EinsumDense", "d", #", "equation": "abc,dce->abde""#), role: .attention,
      reason: "neither its first nor its last"),
    Case(
      path: "model_weights/d/d/kernel", shape: [2, 6],
      configuration: layer("EinsumDense", "d", #", "equation": "abc""#),
      role: .other, axes: nil, reason: "EinsumDense"),
  ]

  private static let others: [Case] = [
    Case(path: "conv.weight", shape: [8, 3, 5, 5], bias: [8], role: .convolution, axes: ([0], [1, 2, 3])),
    Case(path: "conv.weight", shape: [8, 3, 5], role: .convolution, axes: ([0], [1, 2])),
    Case(path: "conv.weight", shape: [1, 1, 5, 5], role: .convolution, axes: ([0], [1, 2, 3])),
    Case(path: "conv.weight", shape: [8, 1, 3, 3], bias: [8], role: .convolution, reason: "depthwise"),
    Case(path: "up.weight", shape: [8, 4, 2, 2], bias: [4], role: .convolution, reason: "not known"),
    Case(path: "net.conv_transpose.weight", shape: [6, 6, 2, 2], bias: [6], role: .convolution, reason: "transposed"),
    Case(path: "net_transposed.conv.weight", shape: [6, 6, 2, 2], role: .convolution, axes: ([0], [1, 2, 3])),
    Case(path: "lstm.weight_ih_l0", shape: [16, 8], role: .recurrent, axes: ([0], [1])),
    Case(path: "lstm.weight_hh_l0", shape: [16, 4], role: .recurrent, axes: ([0], [1])),
    Case(path: "embedding.weight", shape: [100, 8], role: .embedding, axes: ([0], [1])),
    Case(path: "attn.in_proj_weight", shape: [36, 12], beside: "fc.weight", role: .attention, axes: ([0], [1])),
    // Flax, Haiku, Chainer.
    Case(path: "Conv_0/kernel", shape: [3, 3, 4, 8], bias: [8], role: .convolution, axes: ([3], [0, 1, 2])),
    Case(path: "attn/query/kernel", shape: [10, 3, 4], role: .attention, axes: ([1, 2], [0])),
    Case(path: "attn/out/kernel", shape: [3, 4, 10], role: .attention, axes: ([2], [0, 1])),
    Case(path: "LSTMCell_0/ii/kernel", shape: [8, 4], role: .recurrent, axes: ([1], [0])),
    Case(path: "conv/W", shape: [8, 3, 5, 5], role: .convolution, reason: "not known"),
    Case(path: "data/conv/0", shape: [8, 3, 5, 5], role: .convolution, axes: ([0], [1, 2, 3])),
  ]

  private static let all: [Case] = keras + others

  @Test(arguments: all) func axesOfEachKind(by example: Case) throws {
    var file = TableBuilder()
    if let configuration = example.configuration { file.group("", ["model_config": [configuration]]) }
    file.dataset(example.path, example.shape)
    let (group, weight) = WeightName.split(example.path)
    if let bias = example.bias {
      let own: TensorName = example.path.splitAtLast("/").after == weight ? "/" : "."
      file.dataset("\(group)\(own)\(weight == "0" ? "1" : weight == "c_W" ? "c_b" : "bias")", bias)
    }
    if let beside = example.beside { file.dataset(beside, [4, 4]) }
    let reading = try LayoutReading.read(
      file.table, configuration: example.configuration.map { Array($0.utf8) }, Assumption())
    let tensor = try #require(reading.tensors.first { $0.path == example.path })
    #expect(tensor.role == example.role)
    let axes = example.axes.flatMap { MatrixAxes(order: $0.outputs + $0.inputs, outputs: $0.outputs.count) }
    #expect(tensor.axes == axes)
    #expect(tensor.axes?.isMatrix ?? true)
    #expect((tensor.reason ?? "").contains(example.reason) && (tensor.reason == nil) == example.reason.isEmpty)
  }

  @Test func aPlainFileSaysTheAxes() throws {
    let examples: [(String, MatrixAxes?)] = [
      ("[[3],[0,1,2]]", .outputsLast(rank: 4)), ("[[],[0,1,2,3]]", .oneRow(rank: 4)), ("[[3],[0,1]]", nil),
      ("[[3],[0,1,1]]", nil), ("3", nil), ("[[0,1,2,3]]", nil), ("[[\"3\"],[0,1,2]]", nil),
    ]
    for (text, axes) in examples {
      var file = TableBuilder()
      file.group("", ["format": ["nc-plain"]])
      file.dataset("c/0", [3, 3, 4, 8], TableBuilder.float32, ["role": ["convolution"], "axes": [text]])
      let tensor = try #require(LayoutReading.read(file.table).tensors.first)
      #expect(tensor.role == .convolution && tensor.axes == axes, "\(text)")
      if let axes { #expect(axes.plainText == text) }
    }
  }

  // MARK: Choice

  private func record(_ dimensions: [Int], _ role: TensorRole, _ axes: MatrixAxes) throws -> TensorRecord {
    TensorRecord(
      name: "a", path: "a", aliases: [], type: .float32, byteOrder: .little, shape: try #require(Shape(dimensions)),
      role: role, axes: axes, encoding: .raw(planes: false), parts: [], history: [],
      place: .contiguous(.init(offset: 0, length: 24)))
  }

  @Test(arguments: TensorRole.includable) func aKindIsTakenWhereItIsIncluded(role: TensorRole) throws {
    let tensor = try record([2, 3, 4], role, .outputsLast(rank: 3))
    #expect(tensor.isIncludable && tensor.reasonNotChosen(including: [role]) == nil)
    let others = Set(TensorRole.includable).subtracting([role])
    #expect(tensor.reasonNotChosen(including: others)?.contains("--include \(role.rawValue)") == true)
    let flat = try record([2, 3, 4], role, .oneRow(rank: 3))
    #expect(!flat.isIncludable && flat.reasonNotChosen(including: [role])?.contains("no matrix") == true)
    // Rows that do not follow each other in the file are not taken.
    let permuted = try record([2, 3, 4], role, try #require(MatrixAxes(order: [1, 0, 2], outputs: 1)))
    #expect(!permuted.isIncludable && !Step.Method.ternarize(.row, .optimal).takes(permuted))
    #expect(!Step.Method.magnitude(.keep(.one), .exact, isGlobal: false).takes(permuted))
  }

  // MARK: Law

  /// A tensor of any rank becomes what its matrix becomes as that of a dense layer.
  @Test(arguments: [
    ([6, 2, 3, 3], MatrixAxes.outputsFirst(rank: 4)), ([3, 3, 2, 6], .outputsLast(rank: 4)),
    ([5, 4, 3], .outputsLast(2, rank: 3)), ([4, 3, 5], .outputsLast(rank: 3)), ([4, 3, 5], .standard(rank: 3)),
  ])
  func itBecomesWhatItsMatrixBecomes(dimensions: [Int], axes: MatrixAxes) throws {
    let tensor = try record(dimensions, .convolution, axes)
    let (rows, columns) = tensor.matrixDimensions
    let isLast = axes.layout == .transposed
    let dense = try record(
      isLast ? [columns, rows] : [rows, columns], .kernel, isLast ? .outputsLast() : .standard(rank: 2))
    var random = SplitMix64(seed: 5)
    var numbers = [Double](repeating: 0, count: tensor.shape.count)
    numbers.withUnsafeMutableBufferPointer { random.fillGaussian($0) }
    let values = numbers.flatMap { withUnsafeBytes(of: Float($0).bitPattern.littleEndian) { Array($0) } }
    let options = ReadingOptions(memory: 1 << 30, threads: Threads(1))
    let half = try #require(Fraction("0.5"))
    let methods: [Step.Method] = [
      .ternarize(.row, .optimal), .ternarize(.inputs(2), .sparsity(half)),
      .magnitude(.keep(half), .exact, isGlobal: false),
      .magnitude(.keep(half), .ternary, isGlobal: false), .singularValue(.keep(half)), .quantize(.bits(3, .row)),
      .quantize(.levels(4)), .quantize(.step(0.25)),
    ]
    for method in methods {
      #expect(method.takes(tensor) && method.takes(dense))
      func result(_ record: TensorRecord) throws -> [UInt8]? {
        try values.withUnsafeBytes { bytes -> [UInt8]? in
          guard case .changed(let new, _) = try method.result(of: bytes, record, options) else { return nil }
          var bytes: [UInt8] = []
          new.forEachPiece(type: .float32, threads: Threads(1)) { bytes.append(contentsOf: $0) }
          return bytes
        }
      }
      let (found, expected) = (try result(tensor), try result(dense))
      #expect(found != nil && found == expected && found != values, "\(method.options)")
    }
  }
}
