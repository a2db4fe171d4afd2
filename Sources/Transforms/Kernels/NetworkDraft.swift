// SPDX-License-Identifier: Apache-2.0

package import Compression
package import Maths
package import Matrices
package import Networks
package import Parallel
package import Tensors

/// A chain of operations in memory that grows at its end, and can be computed at any stage.
package struct NetworkDraft {
  package private(set) var nodes: [Network.Node] = []
  package private(set) var tensors: [NewNetwork.Tensor] = []
  private var matrices: [TensorName: WeightMatrix] = [:]
  private var vectors: [TensorName: [Double]] = [:]
  private let threads: Threads
  private let memory: Int

  /// Weights as they are to be stored.
  package enum Matrix {
    case ternary(TernaryMatrix)
    case seeded(SeededMatrix)
    /// Row-major, rounded to float32 when they are stored.
    case dense([Double], rows: Int, columns: Int)
    /// The same; zeros are not stored.
    case sparse([Double], rows: Int, columns: Int)
  }

  /// A bias, and the type in which it is stored.
  package struct Bias {
    package var name: TensorName
    package var values: [Double]
    package var type: ElementType

    package init(_ name: TensorName, _ values: [Double], type: ElementType = .float32) {
      (self.name, self.values, self.type) = (name, values, type)
    }
  }

  /// - Parameter memory: bytes that the matrices of rotations may take.
  package init(threads: Threads, memory: Int = .max) {
    self.threads = threads
    self.memory = memory
  }

  /// A drawn matrix to be stored with its trits.
  package func packed(_ matrix: SeededMatrix) -> Matrix { .ternary(TernaryMatrix(matrix, threads: threads)) }

  package var network: Network { Network(nodes: nodes, outputs: [nodes.count - 1]) }

  /// Puts an operation after the last.
  package mutating func append(_ operation: Network.Operation, name: TensorName? = nil) {
    nodes.append(Network.Node(operation, inputs: nodes.isEmpty ? [] : [nodes.count - 1], name: name))
  }

  /// Puts a dense layer after the last operation.
  ///
  /// - Parameter isTransposed: whether the matrix is stored inputs × outputs.
  package mutating func appendDense(
    _ kernel: TensorName, _ matrix: Matrix, isTransposed: Bool, bias: Bias?, name: TensorName? = nil
  ) {
    let kernel = free(kernel)
    let (rows, columns) =
      switch matrix {
      case .ternary(let matrix): (matrix.rows, matrix.columns)
      case .seeded(let matrix): (matrix.rows, matrix.columns)
      case .dense(_, let rows, let columns), .sparse(_, let rows, let columns): (rows, columns)
      }
    let weights: Weights
    switch matrix {
    case .ternary(let matrix):
      weights = .ternary(matrix, transposed: isTransposed)
      matrices[kernel] = .ternary(matrix)
    case .seeded(let matrix):
      weights = .seeded(matrix, transposed: isTransposed)
      matrices[kernel] = .ternary(TernaryMatrix(matrix, threads: threads))
    case .dense(let elements, let rows, let columns):
      let rounded = elements.map { ElementType.float32.nearest($0) }
      matrices[kernel] = .dense(rounded, rows: rows, columns: columns)
      var stored = rounded
      if isTransposed {
        for row in 0..<rows {
          for column in 0..<columns { stored[column * rows + row] = rounded[row * columns + column] }
        }
      }
      weights = .dense(ElementType.float32.bytes(rounding: stored))
    case .sparse(let elements, let rows, let columns):
      let rounded = elements.map { ElementType.float32.nearest($0) }
      matrices[kernel] = .dense(rounded, rows: rows, columns: columns)
      weights = .sparse(SparseMatrix(rounded, rows: rows, columns: columns), transposed: isTransposed)
    }
    add(
      kernel, .float32, isTransposed ? [columns, rows] : [rows, columns],
      isTransposed ? .outputsLast() : .standard(rank: 2), .kernel, weights)
    append(.dense(kernel: kernel, bias: bias.map { addVector($0.name, $0.values, .bias, $0.type) }), name: name)
  }

  /// Adds a tensor of one axis, and returns what it is called.
  package mutating func addVector(
    _ name: TensorName, _ values: [Double], _ role: TensorRole, _ type: ElementType = .float32
  ) -> TensorName {
    let name = free(name)
    vectors[name] = values.map { type.nearest($0) }
    add(name, type, [values.count], .oneRow(rank: 1), role, .dense(type.bytes(rounding: values)))
    return name
  }

  /// Puts an operation of a file after the last, with its vectors.
  package mutating func append(_ node: Network.Node, of file: NetworkFile) throws(NetworkError) {
    var names: [TensorName: TensorName] = [:]
    for (_, name) in node.operation.tensors {
      guard let index = file.tensors.firstIndex(where: { $0.name == name }) else {
        throw NetworkError(.unsupported, "\(name): cannot be read")
      }
      let (tensor, values) = (file.tensors[index], try file.values(of: index))
      names[name] = addVector(name, tensor.type.numbers(values), tensor.role, tensor.type)
    }
    let renamed = Network(nodes: [node], outputs: [0]).renamingTensors { names[$0] ?? $0 }
    append(renamed.nodes[0].operation, name: node.name)
  }

  private mutating func add(
    _ name: TensorName, _ type: ElementType, _ dimensions: [Int], _ axes: MatrixAxes, _ role: TensorRole,
    _ weights: Weights
  ) {
    guard let shape = Shape(dimensions) else { preconditionFailure("a matrix in memory has a shape") }
    tensors.append(
      NewNetwork.Tensor(name: name, type: type, shape: shape, axes: axes, role: role, weights: weights))
  }

  /// The name, or the first of `name_2`, `name_3`, … that is not taken.
  private func free(_ name: TensorName) -> TensorName {
    var (candidate, number) = (name, 2)
    while tensors.contains(where: { $0.name == candidate }) {
      candidate = TensorName("\(name)_\(number)")
      number += 1
    }
    return candidate
  }

  /// The chain so far, as a function.
  ///
  /// - Parameter inputShape: the shape of one sample.
  package func function(inputShape: [Int]?) throws(NetworkError) -> NetworkFunction {
    try about {
      try NetworkFunction(network, inputShape: inputShape, memory: memory) { name in
        guard let matrix = matrices[name] else { throw NetworkError(.internal, "\(name): no such matrix") }
        return matrix
      } vector: { name in
        guard let vector = vectors[name] else { throw NetworkError(.internal, "\(name): no such vector") }
        return vector
      }
    }
  }

  /// The network with a history: each tensor was made, or made anew, by one step.
  ///
  /// - Parameters:
  ///   - before: of the tensors of the file before, by name, their history and digest.
  ///   - steps: those before.
  package func finished(
    _ step: Step, after steps: [Step], before: [TensorName: (history: [HistoryEntry], digest: Digest)]
  ) -> NewNetwork {
    var tensors = tensors
    for index in tensors.indices {
      let known = before[tensors[index].name]
      tensors[index].history =
        (known?.history ?? []) + [HistoryEntry(step, number: steps.count, from: known?.digest)]
    }
    return NewNetwork(network: network, tensors: tensors, steps: steps + [step])
  }
}

extension SparseMatrix {
  /// The elements that are not zero, as float32.
  fileprivate init(_ elements: [Double], rows: Int, columns: Int) {
    let rowBytes = Self.maskRowBytes(columns: columns)
    var mask = [UInt8](repeating: 0, count: rows * rowBytes)
    for row in 0..<rows {
      for column in 0..<columns where elements[row * columns + column] != 0 {
        mask[row * rowBytes + column / 8] |= 1 << UInt8(column % 8)
      }
    }
    let values = ElementType.float32.bytes(rounding: elements.filter { $0 != 0 })
    guard let matrix = SparseMatrix(rows: rows, columns: columns, type: .float32, mask: mask, values: values) else {
      preconditionFailure("as many bits as elements, as many values as bits")
    }
    self = matrix
  }
}
