// SPDX-License-Identifier: Apache-2.0

import Maths
import Parallel
import Random
import Tensors
import Testing

/// Sums of a few dozen products in another order, a few layers of them, activations with slopes of a few units.
private let tolerance = 1e-12

/// Networks with everything that a network can have.
enum NetworkSamples {
  static let all: [(name: String, network: SampleNetwork)] = [
    ("branches", branches), ("normalizations", normalizations), ("positions", positions),
    ("shared tensors", shared), ("several outputs", severalOutputs), ("several inputs", severalInputs),
    ("softmax inside", softmaxInside), ("no weights", noWeights),
    ("softmax and what changes nothing", softmaxThenCopies), ("softmax of positions", softmaxOfPositions),
    ("cheap layers", cheapLayers), ("rotations", rotations),
  ]

  static var branches: SampleNetwork {
    var network = SampleNetwork(seed: 41)
    let x = network.input(3)
    let a = network.activation(.tanh, network.dense(x, 3, 4, "a", bias: "a/bias"))
    let b = network.activation(.silu, network.dense(x, 3, 4, "b"))
    let c = network.dense(a, 4, 2, "c", bias: "c/bias")
    // One value twice, and one past a layer.
    let sum = network.add(.combine(.add), a, b, a)
    let whole = network.add(.concatenate, sum, x, c, c)
    let dropped = network.add(.dropout(rate: 0.4), whole)
    let last = network.activation(.gelu(approximate: false), dropped)
    network.outputs = [network.dense(last, 11, 2, "d", bias: "d/bias")]
    return network
  }

  static var normalizations: SampleNetwork {
    var network = SampleNetwork(seed: 42)
    let x = network.input(4)
    var last = network.batchNormalization(x, 4, "first", gamma: "first/gamma", beta: "first/beta")
    last = network.activation(.tanh, network.dense(last, 4, 5, "a", bias: "a/bias"))
    last = network.layerNormalization(last, 5, gamma: "second/gamma", beta: "second/beta")
    last = network.dense(last, 5, 4, "b")
    last = network.batchNormalization(last, 4, "third", beta: "third/beta")
    last = network.activation(.sigmoid, network.layerNormalization(last, 4, gamma: "fourth/gamma"))
    last = network.layerNormalization(network.dense(last, 4, 4, "c", bias: "c/bias"), 4)
    last = network.batchNormalization(last, 4, "fifth", gamma: "fifth/gamma")
    last = network.batchNormalization(last, 4, "sixth")
    network.outputs = [network.dense(last, 4, 3, "d", bias: "d/bias")]
    return network
  }

  /// Three rows of two numbers, and softmax of each row; then flat.
  static var positions: SampleNetwork {
    var network = SampleNetwork(seed: 43)
    let x = network.input(3, 2)
    var last = network.activation(.sin, network.dense(x, 2, 4, "a", bias: "a/bias"))
    last = network.layerNormalization(last, 4, gamma: "a/gamma", beta: "a/beta")
    last = network.add(.concatenate, last, x)
    last = network.activation(.softmax, network.dense(last, 6, 3, "b", bias: "b/bias"))
    last = network.batchNormalization(last, 3, "c", gamma: "c/gamma", beta: "c/beta")
    last = network.dense(network.add(.flatten, last), 9, 3, "d", bias: "d/bias")
    network.outputs = [network.activation(.softmax, last)]
    return network
  }

  /// Kernels, biases and factors that are used more than once.
  static var shared: SampleNetwork {
    var network = SampleNetwork(seed: 44)
    let x = network.input(2, 3)
    let a = network.activation(.tanh, network.dense(x, 3, 3, "a", bias: "bias"))
    let b = network.activation(.erf, network.dense(a, 3, 3, "a", bias: "bias"))
    let c = network.dense(b, 3, 3, "b", bias: "bias")
    let d = network.layerNormalization(network.dense(c, 3, 3, "a"), 3, gamma: "factor", beta: "bias")
    let e = network.batchNormalization(d, 3, "e", gamma: "factor", beta: "factor")
    network.outputs = [network.dense(network.add(.flatten, e), 6, 2, "c", bias: "c/bias")]
    return network
  }

  /// Three, one of them softmax of another, in an order that is not that of the nodes; and a branch that leads nowhere.
  static var severalOutputs: SampleNetwork {
    var network = SampleNetwork(seed: 45)
    let x = network.input(3)
    let a = network.activation(.softplus, network.dense(x, 3, 4, "a", bias: "a/bias"))
    let b = network.dense(a, 4, 3, "b", bias: "b/bias")
    let c = network.activation(.softmax, b)
    let d = network.activation(.tanh, network.dense(a, 4, 2, "c"))
    _ = network.dense(d, 2, 5, "e", bias: "e/bias")
    network.outputs = [d, c, b]
    return network
  }

  static var severalInputs: SampleNetwork {
    var network = SampleNetwork(seed: 46)
    let x = network.input(2)
    let a = network.activation(.cos, network.dense(x, 2, 3, "a", bias: "a/bias"))
    let y = network.input(2, 2)
    let b = network.add(.flatten, network.activation(.tanh, network.dense(y, 2, 2, "b", bias: "b/bias")))
    let z = network.input(1)
    network.outputs = [network.dense(network.add(.concatenate, b, a, z), 8, 2, "c", bias: "c/bias")]
    return network
  }

  static var softmaxInside: SampleNetwork {
    var network = SampleNetwork(seed: 47)
    var last = network.dense(network.input(3), 3, 4, "a", bias: "a/bias")
    last = network.dense(network.activation(.softmax, last), 4, 3, "b", bias: "b/bias")
    network.outputs = [network.activation(.softmax, network.activation(.elu(alpha: 0.7), last))]
    return network
  }

  /// What costs one operation a number.
  static var cheapLayers: SampleNetwork {
    var network = SampleNetwork(seed: 51)
    var x = network.add(.rescaling(scale: [0.5], offset: [-0.25]), network.input(2, 6))
    network.vector("mean", 6) { 0.2 * $0.gaussian() }
    network.vector("variance", 6) { 0.5 + $0.uniform() }
    x = network.add(.normalization(mean: "mean", variance: "variance", epsilon: 1e-7), x)
    x = network.add(.reshape(shape: [-1, 4]), x)
    network.vector("slope", 5)
    network.vector("one", 1)
    let a = network.add(.prelu(slope: "slope"), network.dense(x, 4, 5, "a", bias: "a/bias"))
    let b = network.add(.prelu(slope: "one"), network.dense(x, 4, 5, "b"))
    let c = network.activation(.softsign, network.dense(x, 4, 5, "c"))
    let d = network.add(.combine(.multiply), a, b, c)
    let e = network.add(.combine(.subtract), d, network.add(.combine(.maximum), a, b, c))
    let f = network.add(.combine(.average), e, network.add(.combine(.minimum), b, c), a)
    let g = network.add(.rescaling(scale: [1, -0.5, 2, 0.25, 1], offset: [0.1, 0, 0, 1, -1]), f)
    let h = network.activation(.exponential, g)
    network.outputs = [network.dense(network.add(.reshape(shape: [15]), h), 15, 3, "d", bias: "d/bias")]
    return network
  }

  /// Rows and flat values, weights before and behind.
  static var rotations: SampleNetwork {
    var network = SampleNetwork(seed: 52)
    let x = network.add(.rotation(seed: 0x0123_4567_89AB_CDEF), network.input(2, 5))
    let a = network.activation(.tanh, network.dense(x, 5, 4, "a", bias: "a/bias"))
    let b = network.add(.rotation(seed: .max), network.add(.rotation(seed: 0), network.add(.flatten, a)))
    network.outputs = [network.dense(b, 8, 3, "b", bias: "b/bias")]
    return network
  }

  static var softmaxThenCopies: SampleNetwork {
    var network = SampleNetwork(seed: 49)
    let last = network.dense(network.input(3), 3, 4, "a", bias: "a/bias")
    let probabilities = network.add(.dropout(rate: 0.5), network.activation(.softmax, last))
    network.outputs = [network.activation(.linear, network.add(.flatten, probabilities))]
    return network
  }

  /// Two rows, softmax of each, side by side.
  static var softmaxOfPositions: SampleNetwork {
    var network = SampleNetwork(seed: 50)
    let last = network.activation(.tanh, network.dense(network.input(2, 3), 3, 4, "a", bias: "a/bias"))
    let probabilities = network.activation(.softmax, network.dense(last, 4, 3, "b", bias: "b/bias"))
    network.outputs = [network.add(.flatten, probabilities)]
    return network
  }

  static var noWeights: SampleNetwork {
    var network = SampleNetwork(seed: 48)
    let x = network.batchNormalization(network.input(4), 4, "a")
    network.outputs = [network.activation(.abs, network.layerNormalization(x, 4))]
    return network
  }
}

extension SampleNetwork {
  var inputCount: Int {
    nodes.reduce(0) { sum, node in
      if case .input(let shape) = node.operation { sum + (shape ?? []).reduce(1, *) } else { sum }
    }
  }
}

@Suite struct NetworkFunctionTests {
  @Test(arguments: NetworkSamples.all.indices) func valuesOfAllOperations(_ index: Int) throws {
    var (name, network) = NetworkSamples.all[index]
    let samples = network.random.points(7, network.inputCount)
    let found = try network.function().outputs(samples)
    let expected = network.expected(samples)
    #expect(found.width * samples.count == expected.values.count)
    #expect(relativeDifference(found.values, expected.values) <= tolerance, "\(name)")
    #expect(relativeDifference(found.logits, expected.logits) <= tolerance, "\(name)")
  }

  @Test(arguments: differentiableActivations + piecewiseConstantActivations + [.softmax])
  func valuesOfAllActivations(_ activation: Activation) throws {
    var network = SampleNetwork.chain([3, 9, 2], activation, seed: 51)
    let samples = network.random.points(9, 3)
    let found = try network.function().outputs(samples)
    #expect(relativeDifference(found.values, network.expected(samples).values) <= tolerance)
    #expect(found.logits == found.values)
  }

  @Test func whatANetworkSaysOfItself() throws {
    let several = try NetworkSamples.severalInputs.function()
    #expect(several.inputCounts == [2, 4, 1] && several.inputCount == 7 && several.outputCount == 2)
    #expect(!several.endsInSoftmax)
    let outputs = try NetworkSamples.severalOutputs.function()
    #expect(outputs.outputCount == 8 && !outputs.endsInSoftmax)
    #expect(try NetworkSamples.positions.function().endsInSoftmax)
    for network in [NetworkSamples.softmaxThenCopies, NetworkSamples.softmaxOfPositions] {
      #expect(try network.function().endsInSoftmax)
    }
  }

  @Test func whatMakesTheOutput() throws {
    func expect(_ network: SampleNetwork, _ function: Activation?, positions: Int) throws {
      let found = try network.function()
      #expect(found.outputFunction == function && found.outputPositions == positions)
      #expect(found.endsInSoftmax == (function == .softmax))
    }
    try expect(NetworkSamples.softmaxThenCopies, .softmax, positions: 1)
    try expect(NetworkSamples.softmaxOfPositions, .softmax, positions: 2)
    try expect(NetworkSamples.positions, .softmax, positions: 1)
    try expect(NetworkSamples.noWeights, .abs, positions: 1)
    try expect(NetworkSamples.branches, nil, positions: 1)
    try expect(NetworkSamples.severalOutputs, nil, positions: 1)
    var network = SampleNetwork(seed: 52)
    let sums = network.dense(network.input(3, 2), 2, 4, "a")
    for (function, expected) in [(.sigmoid, .sigmoid), (.linear, nil)] as [(Activation, Activation?)] {
      let last = network.activation(function, sums)
      network.outputs = [last]
      try expect(network, expected, positions: 3)
      network.outputs = [network.activation(.linear, network.add(.flatten, last))]
      try expect(network, expected, positions: 3)
      // Several outputs have no one function.
      network.outputs = [last, sums]
      try expect(network, nil, positions: 1)
    }
    network.outputs = [network.add(.flatten, 0)]
    try expect(network, nil, positions: 3)
  }

  /// More than one block of samples, the last not full.
  @Test func threadsDoNotMatter() throws {
    for (name, sample) in NetworkSamples.all {
      var network = sample
      let samples = network.random.points(600, network.inputCount)
      let function = try network.function()
      let one = function.outputs(samples, threads: 1)
      for threads in [2, 3, 8] {
        let other = function.outputs(samples, threads: threads)
        #expect(one.values == other.values && one.logits == other.logits, "\(name)")
      }
      let few = network.expected([samples[0], samples[255], samples[256], samples[599]]).values
      let rows = [0, 255, 256, 599].flatMap { one.values[$0 * one.width..<($0 + 1) * one.width] }
      #expect(relativeDifference(rows, few) <= tolerance, "\(name)")
    }
  }

  @Test func noSamples() throws {
    let found = try NetworkSamples.positions.function().outputs([])
    #expect(found.values.isEmpty && found.logits.isEmpty && found.width == 3)
  }

  // MARK: Packed matrices

  private static let shapes = [(1, 1), (5, 37), (3, 64), (7, 129), (40, 6)]

  /// Groups that are, and are not, multiples of the four trits of a byte, shorter and longer than a row.
  @Test(arguments: [ScaleGroup.tensor, .row, .inputs(1), .inputs(3), .inputs(4), .inputs(7), .inputs(32), .inputs(50)])
  func ternaryMatrices(_ group: ScaleGroup) throws {
    for (rows, columns) in Self.shapes {
      var network = SampleNetwork.chain([columns, rows], .linear, seed: UInt64(100 * rows + columns))
      let perRow = group.perRow(columns: columns)
      let scales = (0..<group.count(rows: rows, columns: columns)).map { _ in network.random.uniform() }
      let rowBytes = TernaryMatrix.rowBytes(columns: columns)
      var codes = [UInt8](repeating: 0, count: rows * rowBytes)
      for row in 0..<rows {
        for column in 0..<columns {
          let trit = [0, 1, 3][Int(network.random.next() % 3)] as UInt8
          codes[row * rowBytes + column / 4] |= trit << UInt8(column % 4 * 2)
          let scale =
            switch group {
            case .tensor: scales[0]
            case .row: scales[row]
            case .inputs(let count): scales[row * perRow + column / count]
            }
          network.matrices["w1"]![row][column] = [0, scale, 0, -scale][Int(trit)]
        }
      }
      network.packed["w1"] = .ternary(
        try #require(TernaryMatrix(rows: rows, columns: columns, group: group, codes: codes, scales: scales)))
      try expectSameAsDense(network, columns)
    }
  }

  @Test(arguments: [0, 0.05, 0.5, 1]) func sparseMatrices(_ density: Double) throws {
    for (rows, columns) in Self.shapes {
      var network = SampleNetwork.chain([columns, rows], .linear, seed: UInt64(100 * rows + columns))
      let rowBytes = SparseMatrix.maskRowBytes(columns: columns)
      var mask = [UInt8](repeating: 0, count: rows * rowBytes)
      var values: [Double] = []
      for row in 0..<rows {
        for column in 0..<columns {
          if network.random.uniform() < density {
            mask[row * rowBytes + column / 8] |= 1 << UInt8(column % 8)
            values.append(network.matrices["w1"]![row][column])
          } else {
            network.matrices["w1"]![row][column] = 0
          }
        }
      }
      let bytes = ElementType.float64.bytes(rounding: values)
      network.packed["w1"] = .sparse(
        try #require(SparseMatrix(rows: rows, columns: columns, type: .float64, mask: mask, values: bytes)))
      try expectSameAsDense(network, columns)
    }
  }

  /// Outputs for numbers of samples that do and do not fill panels; and the tangent kernel, which goes back through the
  /// matrix.
  private func expectSameAsDense(_ sample: SampleNetwork, _ columns: Int) throws {
    var network = sample
    let last = network.activation(.tanh, network.outputs[0])
    network.outputs = [network.dense(last, network.matrices["w1"]!.count, 2, "w2")]
    let samples = network.random.points(70, columns)
    let packed = try network.function()
    network.packed = [:]
    let dense = try network.function()
    for count in [1, 32, 70] {
      let some = Array(samples.prefix(count))
      let (found, expected) = (packed.outputs(some), dense.outputs(some))
      #expect(relativeDifference(found.values, expected.values) <= tolerance)
    }
    let kernels = [packed, dense].map {
      NetworkKernels(of: $0, points: 5, threads: Threads(1), fill: filler(Array(samples.prefix(5))))
    }
    let (found, expected) = (try #require(kernels[0].tangent), try #require(kernels[1].tangent))
    #expect(relativeDifference(found.elements, expected.elements) <= tolerance)
  }

  // MARK: Sixteen bits

  private static func float16(_ x: Double) -> Double { Double(Float16(x)) }

  /// Eight significant bits, ties to even; for numbers that are normal.
  private static func bfloat16(_ x: Double) -> Double {
    guard x != 0 else { return x }
    let unit = x.magnitude.binade * 0x1p-7
    return (x / unit).rounded(.toNearestOrEven) * unit
  }

  @Test(arguments: NetworkSamples.all.indices) func sixteenBits(_ index: Int) throws {
    var (name, network) = NetworkSamples.all[index]
    let samples = network.random.points(7, network.inputCount)
    for (type, rounding, softmax) in [
      (.float16, Self.float16, .float16), (.bfloat16, Self.bfloat16, .bfloat16),
    ] as [(ElementType, (Double) -> Double, SampleNetwork.SoftmaxRounding)] {
      let found = try network.function(precision: type).outputs(samples)
      let expected = network.expected(samples, rounding: rounding, softmax: softmax)
      #expect(found.values == expected.values, "\(name) \(type)")
      #expect(found.logits == expected.logits, "\(name) \(type)")
      #expect(found.values.allSatisfy(type.contains))
    }
  }

  // MARK: Rotations

  /// Lengths and angles stay.
  @Test(arguments: [1, 2, 3, 7, 64, 100]) func rotationIsOrthogonal(_ width: Int) throws {
    var network = SampleNetwork(seed: 53)
    network.outputs = [network.add(.rotation(seed: 99), network.input(width))]
    let basis = (0..<width).map { i in (0..<width).map { $0 == i ? 1.0 : 0 } }
    let found = try network.function().outputs(samples: width, threads: Threads(1)) { range, out in
      for (i, x) in basis[range].joined().enumerated() { out[i] = x }
    }.values
    for i in 0..<width {
      for j in 0..<width {
        let product = (0..<width).reduce(0.0) { $0 + found[i * width + $1] * found[j * width + $1] }
        #expect(abs(product - (i == j ? 1 : 0)) <= 1e-14)
      }
    }
  }

  /// The numbers of `spec/ncz.py`.
  @Test func rotationOfFive() throws {
    var network = SampleNetwork(seed: 54)
    network.outputs = [network.add(.rotation(seed: 0x0123_4567_89AB_CDEF), network.input(5))]
    let found = try network.function().outputs(samples: 1, threads: Threads(1)) { _, out in
      for i in 0..<5 { out[i] = Double(i + 1) }
    }.values
    let expected = [
      4.024922359499621, -5.839493936806381, -0.24157651686396675, 1.3785175232841669, 1.655790079237061,
    ]
    #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-14 })
  }

  @Test func rotationsThatAreTooLarge() throws {
    func network(_ width: Int) -> Network {
      Network(
        nodes: [.init(.input(shape: [width]), inputs: []), .init(.rotation(seed: 1), inputs: [0])], outputs: [1])
    }
    func function(_ width: Int, memory: Int) throws {
      _ = try NetworkFunction(network(width), memory: memory) { _ in
        .dense([], rows: 0, columns: 0)
      } vector: { _ in
        []
      }
    }
    #expect(throws: NetworkFunctionError.rotation(width: 16385)) { try function(16385, memory: .max) }
    #expect(throws: NetworkFunctionError.rotation(width: 1 << 39)) { try function(1 << 39, memory: .max) }
    #expect(throws: NetworkFunctionError.rotationMemory(width: 100, 79_999)) { try function(100, memory: 79_999) }
    try function(100, memory: 80_000)
  }

  // MARK: What is no function

  private func refusal(_ network: SampleNetwork, inputShape: [Int]? = nil) -> NetworkFunctionError? {
    do {
      _ = try network.function(inputShape: inputShape)
      return nil
    } catch {
      return error as? NetworkFunctionError
    }
  }

  @Test func opaqueOperations() {
    var network = SampleNetwork(seed: 1)
    network.outputs = [network.add(.opaque(className: "Conv2D", tensors: ["kernel": "k"]), network.input(3))]
    #expect(refusal(network) == .opaque("Conv2D"))
  }

  @Test func shapesThatDoNotFit() {
    func expectRefused(_ comment: String, _ make: (inout SampleNetwork) -> Int) {
      var network = SampleNetwork(seed: 1)
      network.outputs = [make(&network)]
      guard case .shape = refusal(network) else {
        Issue.record("\(comment): \(String(describing: refusal(network)))")
        return
      }
    }
    expectRefused("width") { $0.dense($0.input(3), 4, 2, "a") }
    expectRefused("bias") {
      $0.vectors["b"] = [1, 2, 3]
      return $0.dense($0.input(4), 4, 2, "a", bias: "b")
    }
    expectRefused("mean") { $0.batchNormalization($0.input(3), 4, "a") }
    expectRefused("gamma") { $0.layerNormalization($0.input(3), 4, gamma: "a") }
    for combination in Network.Combination.allCases {
      expectRefused("\(combination)") { $0.add(.combine(combination), $0.input(3), $0.input(4)) }
    }
    expectRefused("reshape") { $0.add(.reshape(shape: [2, 4]), $0.input(3, 3)) }
    expectRefused("reshape to what is left") { $0.add(.reshape(shape: [-1, 4]), $0.input(3, 3)) }
    expectRefused("reshape to nothing") { $0.add(.reshape(shape: [-1, 0]), $0.input(3, 3)) }
    expectRefused("reshape past the largest number") { $0.add(.reshape(shape: [.max, .max]), $0.input(3, 3)) }
    expectRefused("rescaling") { $0.add(.rescaling(scale: [1, 2], offset: [0]), $0.input(3)) }
    expectRefused("slopes") {
      $0.vectors["s"] = [1, 2]
      return $0.add(.prelu(slope: "s"), $0.input(3))
    }
    expectRefused("concatenate") { $0.add(.concatenate, $0.input(2, 3), $0.input(3, 3)) }
    expectRefused("nothing") { $0.input(0) }
    expectRefused("no positions") { $0.input(0, 4) }
    expectRefused("unknown") { $0.activation(.tanh, $0.add(.input(shape: nil))) }
  }

  /// Sizes whose products overflow: from a file that may say anything.
  @Test func hugeShapes() {
    for shape in [[1 << 32, 1 << 32], [1 << 31, 1 << 32], [1 << 40], [.max, .max], [1 << 20, 1 << 21, 1]] {
      var network = SampleNetwork(seed: 1)
      network.outputs = [network.add(.flatten, network.add(.input(shape: shape)))]
      guard case .shape = refusal(network) else {
        Issue.record("an input of \(shape)")
        continue
      }
    }
    // Twice as wide, seventy times.
    var network = SampleNetwork(seed: 1)
    var last = network.input(1)
    for _ in 0..<70 { last = network.add(.concatenate, last, last) }
    network.outputs = [last]
    guard case .shape = refusal(network) else {
      Issue.record("concatenated \(String(describing: refusal(network)))")
      return
    }
  }

  @Test func shapesThatAreNotSaid() throws {
    var network = SampleNetwork(seed: 3)
    let x = network.add(.input(shape: nil))
    network.outputs = [network.dense(network.add(.flatten, network.activation(.tanh, x)), 6, 2, "a")]
    #expect(try network.function().inputCounts == [6])
    #expect(try network.function(inputShape: [2, 3]).inputCounts == [6])
    #expect(refusal(network, inputShape: [5]) != nil)
    var normal = SampleNetwork(seed: 3)
    normal.outputs = [normal.batchNormalization(normal.add(.input(shape: nil)), 4, "a")]
    #expect(try normal.function().inputCounts == [4])
    // A shape that is said counts more.
    #expect(try NetworkSamples.positions.function(inputShape: [7]).inputCounts == [6])
  }

  @Test func tensorsAreReadOnce() throws {
    let network = NetworkSamples.shared
    var read: [TensorName] = []
    _ = try NetworkFunction(Network(nodes: network.nodes, outputs: network.outputs)) { name in
      read.append(name)
      let rows = network.matrices[name]!
      return .dense(rows.flatMap { $0 }, rows: rows.count, columns: rows[0].count)
    } vector: { name in
      read.append(name)
      return network.vectors[name]!
    }
    #expect(read.sorted() == Set(read).sorted())
    #expect(Set(read) == Set(network.matrices.keys).union(network.vectors.keys))
  }

  /// A layer without units, and everything that may follow it: what is left is the last bias.
  @Test func layersWithoutUnits() throws {
    var network = SampleNetwork(seed: 4)
    (network.matrices["a"], network.packed["a"]) = ([], .dense([], rows: 0, columns: 3))
    (network.matrices["b"], network.packed["b"]) = ([[], []], .dense([], rows: 2, columns: 0))
    var last = network.dense(network.input(3), 3, 0, "a", bias: "a/bias")
    last = network.batchNormalization(last, 0, "c", gamma: "c/gamma", beta: "c/beta")
    last = network.layerNormalization(network.activation(.tanh, last), 0, gamma: "d/gamma", beta: "d/beta")
    last = network.activation(.softmax, network.add(.flatten, network.add(.concatenate, last, last)))
    network.outputs = [network.dense(last, 0, 2, "b", bias: "b/bias")]
    let samples = network.random.points(4, 3)
    let function = try network.function()
    #expect(function.outputs(samples).values == samples.flatMap { _ in network.vectors["b/bias"]! })
    let kernels = NetworkKernels(of: function, points: 4, threads: Threads(1), fill: filler(samples))
    // Of two outputs, one each by their biases.
    #expect(kernels.tangent?.elements == [Double](repeating: 2, count: 16))
    #expect(kernels.conjugate.elements == [Double](repeating: 0, count: 16))
  }

  @Test func messages() {
    func message(_ make: (inout SampleNetwork) -> Int) -> String? {
      var network = SampleNetwork(seed: 1)
      network.outputs = [make(&network)]
      return refusal(network)?.description
    }
    let many = message { network in
      for _ in 0..<299 { _ = network.input(1) }
      return network.input(1)
    }
    #expect(many == "300 inputs, limit 256")
    for shape in [[0, 5], [5, 0], [-2, -3, 5], [1 << 32, 1 << 32, 0]] {
      let found = message { network in
        _ = network.input(2)
        return network.add(.input(shape: shape))
      }
      #expect(found == "input 1: shape \(shape), expected extents ≥ 1")
    }
    for shape in [[1 << 32, 1 << 32], [1 << 41]] {
      let found = message { $0.add(.input(shape: shape)) }
      #expect(found == "input 0: shape \(shape), more than 1099511627776 numbers")
    }
    for (operation, name) in [
      (.dense(kernel: "a", bias: nil), "dense"), (.combine(.add), "add"), (.flatten, "flatten"),
      (.dropout(rate: 0), "dropout"),
      (.activation(.tanh), "activation"), (.concatenate, "concatenate"),
      (.layerNormalization(gamma: nil, beta: nil, epsilon: 1), "layer_normalization"),
      (.batchNormalization(mean: "a", variance: "a", gamma: nil, beta: nil, epsilon: 1), "batch_normalization"),
    ] as [(Network.Operation, String)] {
      #expect(message { $0.add(operation) } == "node 0: \(name) has no input")
    }
  }

  // MARK: Where there is a derivative

  @Test(arguments: piecewiseConstantActivations) func jumps(_ activation: Activation) throws {
    var before = SampleNetwork(seed: 5)
    let x = before.activation(activation, before.batchNormalization(before.input(3), 3, "a"))
    before.outputs = [before.dense(x, 3, 2, "w")]
    #expect(try before.function().isDifferentiable)

    var behind = SampleNetwork(seed: 5)
    behind.outputs = [behind.activation(activation, behind.dense(behind.input(3), 3, 2, "w"))]
    #expect(try !behind.function().isDifferentiable)

    for (gamma, beta) in [("g", nil), (nil, "b")] as [(TensorName?, TensorName?)] {
      var scaled = SampleNetwork(seed: 5)
      let x = scaled.layerNormalization(scaled.input(3), 3, gamma: gamma, beta: beta)
      scaled.outputs = [scaled.dense(scaled.activation(activation, scaled.add(.dropout(rate: 0), x)), 3, 2, "w")]
      #expect(try !scaled.function().isDifferentiable)
    }
  }

  @Test func cornersAreNoJumps() throws {
    for activation in differentiableActivations + [.softmax] {
      #expect(try SampleNetwork.chain([2, 3, 2], activation, seed: 1).function().isDifferentiable)
    }
  }
}
