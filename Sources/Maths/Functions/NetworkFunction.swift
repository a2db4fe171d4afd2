// SPDX-License-Identifier: Apache-2.0

public import Tensors

/// Why a network is no function that can be computed.
public enum NetworkFunctionError: Error, Equatable, CustomStringConvertible {
  /// An operation that cannot be run, by its framework's class name.
  case opaque(String)
  /// Shapes that do not fit each other, or are not known.
  case shape(String)
  /// More numbers than can be rotated.
  case rotation(width: Int)
  /// The matrices of rotations take more than so many bytes.
  case rotationMemory(width: Int, Int)
  case algebra(LinearAlgebraError)

  public var description: String {
    switch self {
    case .opaque(let name): "\(name) cannot be run"
    case .shape(let what): what
    case .rotation(let width): "a rotation of \(width) numbers, limit \(Rotation.maxWidth)"
    case .rotationMemory(let width, let memory):
      "the matrix of a rotation of \(width) numbers takes more than \(memory) bytes"
    case .algebra(let error): "\(error)"
    }
  }
}

/// A network as a function of its inputs: its graph with the values of its tensors, shapes checked.
///
/// A value of a node is, for one sample, `positions` rows of `width` numbers (the last axis); dense layers and
/// normalizations act on every row. Everything is computed in double, sums of dense matrices by BLAS, those of ternary ones
/// whose inputs have few levels in integers (``TernaryPlanes``); results do not depend on the number of threads.
public struct NetworkFunction: Sendable {
  public let network: Network
  /// The 16-bit type to which every operation's result is rounded; `nil`: none.
  public let precision: ElementType?
  /// What each node does, with its tensors.
  let operations: [Operation]
  /// Matrices and vectors, each once however many nodes use it.
  let matrices: [WeightMatrix]
  let vectors: [[Double]]
  /// The same matrices for inputs of few levels, where they are ternary and have such inputs.
  private(set) var planes: [TernaryPlanes?]
  /// The cosine transforms of rotations, by their widths.
  let cosines: [Int: WeightMatrix]
  /// The shape of one sample of each node's value.
  let shapes: [SampleShape]
  let algebra: LinearAlgebra

  struct SampleShape: Sendable, Equatable, CustomStringConvertible {
    var positions: Int
    var width: Int
    var count: Int { positions * width }
    var description: String { positions == 1 ? "\(width)" : "\(positions)×\(width)" }

    /// The same numbers in another shape, of which one dimension may be −1.
    func reshaped(_ shape: [Int], node: Int) throws(NetworkFunctionError) -> SampleShape {
      let misfit = NetworkFunctionError.shape("node \(node) makes \(shape) of \(self)")
      guard let dimensions = completed(shape, count: count) else { throw misfit }
      return SampleShape(positions: dimensions.dropLast().reduce(1, *), width: dimensions.last ?? 1)
    }
  }

  /// An operation; numbers are those of `matrices` and `vectors`.
  enum Operation: Sendable {
    case input
    case dense(matrix: Int, bias: Int?)
    case activation(Activation)
    case batchNormalization(mean: Int, variance: Int, gamma: Int?, beta: Int?, epsilon: Double)
    case layerNormalization(gamma: Int?, beta: Int?, epsilon: Double)
    case normalization(mean: Int, variance: Int, epsilon: Double)
    case rescaling(scale: [Double], offset: [Double])
    case rotation(seed: UInt64)
    case prelu(slope: Int)
    case combine(Network.Combination)
    case concatenate
    /// Flatten, reshape and dropout.
    case copy
  }

  /// - Parameters:
  ///   - precision: float16 or bfloat16 to compute as a framework does in that type; weights are rounded to it too.
  ///   - inputShape: the shape of one sample of an input that does not say it.
  ///   - memory: bytes that the matrices of rotations may take.
  ///   - matrix, vector: the values of the tensor of that name.
  /// - Throws: `NetworkFunctionError`, and what `matrix` and `vector` throw.
  public init(
    _ network: Network, precision: ElementType? = nil, inputShape: [Int]? = nil, memory: Int = .max,
    matrix: (TensorName) throws -> WeightMatrix, vector: (TensorName) throws -> [Double]
  ) throws {
    for node in network.nodes {
      if case .opaque(let name, _) = node.operation { throw NetworkFunctionError.opaque(name) }
    }
    let inputs = network.nodes.count { $0.inputs.isEmpty }
    guard inputs <= Self.maxInputs else {
      throw NetworkFunctionError.shape("\(inputs) inputs, limit \(Self.maxInputs)")
    }
    var tensors = TensorNumbers(precision: precision)
    self.network = network
    self.precision = precision
    do {
      algebra = try LinearAlgebra()
    } catch {
      throw NetworkFunctionError.algebra(error)
    }
    operations = try network.nodes.map { node in
      switch node.operation {
      case .input: .input
      case .dense(let kernel, let bias):
        .dense(matrix: try tensors.matrix(kernel, matrix), bias: try bias.map { try tensors.vector($0, vector) })
      case .activation(let function): .activation(function)
      case .batchNormalization(let mean, let variance, let gamma, let beta, let epsilon):
        .batchNormalization(
          mean: try tensors.vector(mean, vector), variance: try tensors.vector(variance, vector),
          gamma: try gamma.map { try tensors.vector($0, vector) },
          beta: try beta.map { try tensors.vector($0, vector) }, epsilon: epsilon)
      case .layerNormalization(let gamma, let beta, let epsilon):
        .layerNormalization(
          gamma: try gamma.map { try tensors.vector($0, vector) },
          beta: try beta.map { try tensors.vector($0, vector) }, epsilon: epsilon)
      case .normalization(let mean, let variance, let epsilon):
        .normalization(
          mean: try tensors.vector(mean, vector), variance: try tensors.vector(variance, vector), epsilon: epsilon)
      case .rescaling(let scale, let offset):
        .rescaling(scale: tensors.rounded(scale), offset: tensors.rounded(offset))
      case .rotation(let seed): .rotation(seed: seed)
      case .prelu(let slope): .prelu(slope: try tensors.vector(slope, vector))
      case .combine(let combination): .combine(combination)
      case .concatenate: .concatenate
      case .flatten, .reshape, .dropout: .copy
      case .opaque(let name, _): throw NetworkFunctionError.opaque(name)
      }
    }
    matrices = tensors.matrices
    vectors = tensors.vectors
    shapes = try Self.shapes(network, operations, tensors, inputShape: inputShape)
    cosines = try Self.cosines(operations, shapes, memory: memory)
    planes = matrices.map { _ in nil }
    for index in network.nodes.indices {
      guard case .dense(let number, _) = operations[index], case .ternary(let matrix) = matrices[number],
        planes[number] == nil, fewLevels(of: network.nodes[index].inputs[0]) != nil
      else { continue }
      planes[number] = TernaryPlanes(matrix)
    }
  }

  /// The numbers of one sample of each input.
  public var inputCounts: [Int] {
    network.nodes.indices.filter { network.nodes[$0].inputs.isEmpty }.map { shapes[$0].count }
  }

  /// The numbers of one sample of all inputs.
  public var inputCount: Int { inputCounts.reduce(0, +) }

  /// The numbers of one sample of all outputs.
  public var outputCount: Int { network.outputs.reduce(0) { $0 + shapes[$1].count } }

  /// The shape of one sample's outputs: of one output that is made at several positions, positions × width.
  public var outputShape: [Int] {
    guard network.outputs.count == 1 else { return [outputCount] }
    let shape = shapes[network.outputs[0]]
    return shape.positions == 1 ? [shape.width] : [shape.positions, shape.width]
  }

  /// Whether the outputs are probabilities of classes: one output, made by softmax, that nothing changes afterwards. Of
  /// several `outputPositions`, those of each sum up to 1.
  public var endsInSoftmax: Bool {
    network.outputs.count == 1 && logitNodes != network.outputs
  }

  /// The activation that makes the one output, past what leaves its numbers as they are, so never a linear one; `nil`
  /// where another operation makes it, or there are several outputs.
  public var outputFunction: Activation? {
    guard network.outputs.count == 1, case .activation(let function) = operations[origin(of: network.outputs[0])] else {
      return nil
    }
    return function
  }

  /// The positions at which the one output is made, also where it is flat afterwards: 1 for a vector, and for
  /// several outputs.
  public var outputPositions: Int {
    network.outputs.count == 1 ? shapes[origin(of: network.outputs[0])].positions : 1
  }

  /// Where a derivative exists everywhere but at corners: no activation jumps, but for those behind which no weight
  /// lies.
  public var isDifferentiable: Bool {
    let weighted = nodesBehindWeights
    return !network.nodes.indices.contains { index in
      if case .activation(let function) = operations[index] {
        function.isPiecewiseConstant && weighted[index]
      } else {
        false
      }
    }
  }

  /// Why there is no tangent kernel.
  public enum TangentObstacle: Sendable {
    /// An activation jumps behind weights: the derivative is zero almost everywhere.
    case jump
    /// A matrix is applied in so many places that the pairs of them would take too long.
    case places
    /// More than 10¹³ multiplications and additions.
    case work
  }

  /// `nil` where there is a tangent kernel of so many points.
  ///
  /// Counted are the operations of `NetworkKernels`: n² Σ_W p²(columns + outputs · rows) for the kernel, p the
  /// positions at which matrix W is applied, all of its uses together, and 2n · outputs Σ_W p · rows · columns for the
  /// derivatives.
  public func tangentObstacle(points: Int, output: TangentOutput) -> TangentObstacle? {
    guard isDifferentiable else { return .jump }
    var places = [Int](repeating: 0, count: matrices.count)
    let outputs = output == .sum ? Double(logitNodes.reduce(0) { $0 + shapes[$1].count }) : 1
    for index in network.nodes.indices {
      if case .dense(let matrix, _) = operations[index] { places[matrix] += shapes[index].positions }
    }
    if places.contains(where: { $0 > Self.maxPlaces }) { return .places }
    var (products, derivatives) = (0.0, 0.0)
    for (matrix, places) in zip(matrices, places) {
      let (rows, columns, places) = (Double(matrix.rows), Double(matrix.columns), Double(places))
      // All pairs of places.
      products += places * places * (columns + outputs * rows)
      derivatives += outputs * rows * columns * places
    }
    let count = Double(points)
    return count * (count * products + 2 * derivatives) > Self.maxWork ? .work : nil
  }

  private static let maxWork = 1e13
  private static let maxPlaces = 64

  /// The numbers of one sample of all nodes' values.
  public var valueCount: Int { shapes.reduce(0) { $0 + $1.count } }

  /// The outputs, without a softmax that comes last: as many numbers, in the same order, if not of the same shape.
  var logitNodes: [Int] {
    network.outputs.map { output in
      let last = origin(of: output)
      return if case .activation(.softmax) = operations[last] { network.nodes[last].inputs[0] } else { output }
    }
  }

  /// The node that makes a node's numbers, past what leaves them and their order as they are: flatten, reshape, dropout
  /// and linear activations.
  func origin(of index: Int) -> Int {
    var index = index
    while true {
      switch operations[index] {
      case .copy, .activation(.linear): index = network.nodes[index].inputs[0]
      default: return index
      }
    }
  }

  /// For each node, whether a weight lies before it: whether there is anything to differentiate by.
  var nodesBehindWeights: [Bool] {
    var result: [Bool] = []
    for (index, node) in network.nodes.enumerated() {
      let isWeighted =
        switch operations[index] {
        case .dense: true
        case .batchNormalization(_, _, let gamma, let beta, _), .layerNormalization(let gamma, let beta, _):
          gamma != nil || beta != nil
        case .input, .activation, .normalization, .rescaling, .rotation, .prelu, .combine, .concatenate, .copy: false
        }
      result.append(isWeighted || node.inputs.contains { result[$0] })
    }
    return result
  }

  private static let maxInputs = 256

  // MARK: Shapes

  /// Maximum numbers that the values of all nodes may have, for one sample.
  private static let maxNumbers = 1 << 40

  private static func shapes(
    _ network: Network, _ operations: [Operation], _ tensors: TensorNumbers, inputShape: [Int]?
  ) throws(NetworkFunctionError) -> [SampleShape] {
    var shapes: [SampleShape] = []
    var total = 0
    func require(_ vector: Int?, _ count: Int) throws(NetworkFunctionError) {
      guard let vector, tensors.vectors[vector].count != count else { return }
      throw .shape(
        "\(tensors.vectorNames[vector]): \(tensors.vectors[vector].count) numbers, expected \(count), one for each value"
      )
    }
    for (index, node) in network.nodes.enumerated() {
      let first = node.inputs.first.map { shapes[$0] }
      switch (operations[index], first) {
      case (.input, _):
        guard case .input(let known) = node.operation else {
          throw .shape("node \(index): \(node.operation.name) has no input")
        }
        shapes.append(
          try shape(ofInput: index, Self.shape(known, of: inputShape), network, operations, tensors))
      case (.dense(let matrix, let bias), let input?):
        let weights = tensors.matrices[matrix]
        guard weights.columns == input.width else {
          throw .shape("\(tensors.matrixNames[matrix]) takes \(weights.columns) values and is applied to \(input)")
        }
        try require(bias, weights.rows)
        shapes.append(SampleShape(positions: input.positions, width: weights.rows))
      case (.batchNormalization(let mean, let variance, let gamma, let beta, _), let input?):
        for vector in [mean, variance, gamma, beta] { try require(vector, input.width) }
        shapes.append(input)
      case (.layerNormalization(let gamma, let beta, _), let input?):
        for vector in [gamma, beta] { try require(vector, input.width) }
        shapes.append(input)
      case (.normalization(let mean, let variance, _), let input?):
        for vector in [mean, variance] where tensors.vectors[vector].count != 1 { try require(vector, input.width) }
        shapes.append(input)
      case (.rescaling(let scale, let offset), let input?):
        for numbers in [scale, offset] where numbers.count != 1 && numbers.count != input.width {
          throw .shape("node \(index): \(numbers.count) factors or offsets for \(input.width) values")
        }
        shapes.append(input)
      case (.prelu(let slope), let input?):
        let count = tensors.vectors[slope].count
        guard [1, input.width, input.count].contains(count) else {
          throw .shape("\(tensors.vectorNames[slope]): \(count) numbers, expected one for each value of \(input)")
        }
        shapes.append(input)
      case (.combine(let combination), let input?):
        guard node.inputs.allSatisfy({ shapes[$0] == input }) else {
          throw .shape("node \(index): \(combination.rawValue) is applied to values of different shapes")
        }
        shapes.append(input)
      case (.concatenate, let input?):
        guard node.inputs.allSatisfy({ shapes[$0].positions == input.positions }) else {
          throw .shape("node \(index) concatenates values of different shapes")
        }
        let width = node.inputs.reduce(0) { min($0 + shapes[$1].width, maxNumbers + 1) }
        shapes.append(SampleShape(positions: input.positions, width: width))
      case (.copy, let input?):
        switch node.operation {
        case .flatten: shapes.append(SampleShape(positions: 1, width: input.count))
        case .reshape(let shape): shapes.append(try input.reshaped(shape, node: index))
        default: shapes.append(input)
        }
      case (.activation, let input?), (.rotation, let input?): shapes.append(input)
      case (_, nil): throw .shape("node \(index): \(node.operation.name) has no input")
      }
      guard shapes[index].width <= (maxNumbers - total) / max(1, shapes[index].positions) else {
        throw .shape("node \(index): values of more than \(maxNumbers) numbers a sample")
      }
      total += shapes[index].count
    }
    return shapes
  }

  /// The shape of an input: what is not known of it is as in the samples, where those fit what is known.
  private static func shape(_ known: [Int]?, of samples: [Int]?) -> [Int]? {
    guard let known, known.contains(-1), let samples else { return known ?? samples }
    if known.count == samples.count, zip(known, samples).allSatisfy({ $0 == -1 || $0 == $1 }) { return samples }
    // Samples may be stored flat.
    return Shape(samples).flatMap { completed(known, count: $0.count) } ?? known
  }

  private static func shape(
    ofInput index: Int, _ shape: [Int]?, _ network: Network, _ operations: [Operation], _ tensors: TensorNumbers
  ) throws(NetworkFunctionError) -> SampleShape {
    if let shape, !shape.contains(-1) {
      guard shape.allSatisfy({ $0 >= 1 }) else {
        throw .shape("input \(index): shape \(shape), expected extents ≥ 1")
      }
      let tooLarge = NetworkFunctionError.shape("input \(index): shape \(shape), more than \(maxNumbers) numbers")
      var positions = 1
      for dimension in shape.dropLast() {
        let (product, overflow) = positions.multipliedReportingOverflow(by: dimension)
        guard !overflow, product <= maxNumbers else { throw tooLarge }
        positions = product
      }
      let width = shape.last ?? 1
      guard width <= maxNumbers / positions else { throw tooLarge }
      return SampleShape(positions: positions, width: width)
    }
    // What takes it says how wide it is.
    var reached: Set<Int> = [index]
    for (position, node) in network.nodes.enumerated().dropFirst(index + 1) {
      guard node.inputs.contains(where: reached.contains) else { continue }
      switch operations[position] {
      case .dense(let matrix, _): return SampleShape(positions: 1, width: tensors.matrices[matrix].columns)
      case .batchNormalization(let mean, _, _, _, _):
        return SampleShape(positions: 1, width: tensors.vectors[mean].count)
      case .activation, .copy, .layerNormalization, .normalization, .rescaling, .rotation, .prelu:
        if case .reshape = node.operation { continue }
        reached.insert(position)
      case .input, .combine, .concatenate: continue
      }
    }
    if let last = shape?.last, last >= 1, last <= maxNumbers { return SampleShape(positions: 1, width: last) }
    throw .shape("the shape of input \(index) is not known")
  }
}

/// A shape of `count` numbers whose one dimension of −1 is what the others leave; `nil` where there is none.
private func completed(_ shape: [Int], count: Int) -> [Int]? {
  guard shape.count(where: { $0 == -1 }) <= 1, let others = Shape(shape.filter { $0 != -1 })?.count else { return nil }
  guard shape.contains(-1) else { return others == count ? shape : nil }
  guard others > 0, count.isMultiple(of: others) else { return nil }
  return shape.map { $0 == -1 ? count / others : $0 }
}

/// Tensors by what the graph calls them, each read once.
private struct TensorNumbers {
  let precision: ElementType?
  var matrices: [WeightMatrix] = []
  var vectors: [[Double]] = []
  var matrixNames: [TensorName] = []
  var vectorNames: [TensorName] = []
  private var matrixNumbers: [TensorName: Int] = [:]
  private var vectorNumbers: [TensorName: Int] = [:]

  init(precision: ElementType?) { self.precision = precision }

  /// Constants of the graph as they are computed with.
  func rounded(_ constants: [Double]) -> [Double] {
    precision.map { precision in constants.map { precision.nearest($0) } } ?? constants
  }

  mutating func matrix(_ name: TensorName, _ read: (TensorName) throws -> WeightMatrix) throws -> Int {
    if let known = matrixNumbers[name] { return known }
    var matrix = try read(name)
    if let precision { matrix = matrix.mapped { precision.nearest($0) } }
    matrices.append(matrix)
    matrixNames.append(name)
    matrixNumbers[name] = matrices.count - 1
    return matrices.count - 1
  }

  mutating func vector(_ name: TensorName, _ read: (TensorName) throws -> [Double]) throws -> Int {
    if let known = vectorNumbers[name] { return known }
    let vector = try read(name)
    vectors.append(precision.map { precision in vector.map { precision.nearest($0) } } ?? vector)
    vectorNames.append(name)
    vectorNumbers[name] = vectors.count - 1
    return vectors.count - 1
  }
}
