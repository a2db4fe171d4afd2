// SPDX-License-Identifier: Apache-2.0

public import Maths
internal import Matrices
public import Networks
internal import Parallel
public import Tensors

/// In which precision a network is computed.
public enum Precision: String, Sendable, CaseIterable {
  /// In double, without rounding between operations.
  case full
  /// As frameworks compute in these types.
  case float16, bfloat16

  var type: ElementType? {
    switch self {
    case .full: nil
    case .float16: .float16
    case .bfloat16: .bfloat16
    }
  }
}

extension NetworkFile {
  /// The precision that the file asks for: that of its framework's policy, else a 16-bit type that all its matrices
  /// have.
  public var ownPrecision: Precision {
    guard let network else { return .full }
    let kernels = Set(network.denseKernels)
    let types = Set(tensors.filter { kernels.contains($0.name) }.map(\.type))
    switch network.precision ?? (types.count == 1 ? types.first : nil) {
    case .float16: return .float16
    case .bfloat16: return .bfloat16
    default: return .full
    }
  }

  /// The network as a function; ternary and sparse matrices in the form in which they are stored.
  ///
  /// - Parameters:
  ///   - part: a part of the network; `nil` for all of it.
  ///   - inputShape: the shape of one sample, for a network that does not say it.
  ///   - onlyRuns: whether nothing but outputs will be asked of it: in full precision, matrices that are multiplied as
  ///     they are stored then need no memory as doubles.
  /// - Throws: also `.unsupported` for a network that cannot be run.
  public func function(
    of part: Network? = nil, precision: Precision = .full, inputShape: [Int]? = nil, onlyRuns: Bool = false
  ) throws(NetworkError) -> NetworkFunction {
    guard let network = part ?? network else {
      throw NetworkError(
        .unsupported, networkProblem ?? "no network to run: how the layers are connected is not known")
    }
    var byName: [TensorName: Int] = [:]
    for (index, tensor) in tensors.enumerated() { byName[tensor.name] = index }
    func index(_ name: TensorName) throws -> Int {
      guard let index = byName[name] else { throw NetworkError(.unsupported, "\(name): cannot be read") }
      guard tensors[index].type.isFloat else {
        throw NetworkError(.unsupported, "\(name): \(tensors[index].type.rawValue), expected floating-point weights")
      }
      return index
    }
    let weights = network.tensorNames.compactMap { byName[$0] }
    var room = options.memory
    for index in Set(weights).sorted() {
      let tensor = tensors[index]
      let isKept = onlyRuns && precision == .full && tensor.shape.rank == 2 && tensor.encoding.isMultipliedAsStored
      room -= min(isKept ? tensor.decodedSize : tensor.shape.count.multipliedOrMaximum(by: 8), room + 1)
      guard room >= 0 else {
        throw NetworkError(
          .overLimit,
          "\(tensor.name): the weights take more than \(options.memory) bytes\(isKept ? "" : " as doubles")",
          remedy: .memory)
      }
    }
    do {
      let function = try NetworkFunction(
        network, precision: precision.type, inputShape: inputShape, memory: room
      ) { name in
        try weightMatrix(try index(name))
      } vector: { name in
        let index = try index(name)
        return tensors[index].type.numbers(try values(of: index))
      }
      let sampleBytes = 8 * function.valueCount
      guard sampleBytes <= options.memory / NetworkFunction.samplesAtOnce / options.threads.count else {
        throw NetworkError(
          .overLimit,
          "the values of a sample take \(sampleBytes) bytes, too many for \(options.memory) bytes", remedy: .memory
        )
      }
      return function
    } catch {
      throw NetworkError(error)
    }
  }

  /// A weight matrix as it is multiplied with.
  func weightMatrix(_ index: Int) throws(NetworkError) -> WeightMatrix {
    let tensor = tensors[index]
    guard tensor.shape.rank == 2 else {
      throw NetworkError(.unsupported, "\(tensor.name): rank \(tensor.shape.rank), expected 2")
    }
    if tensor.encoding.isMultipliedAsStored {
      switch try weights(of: index) {
      case .ternary(let matrix, _): return .ternary(matrix)
      case .seeded(let matrix, _): return .ternary(TernaryMatrix(matrix, threads: options.threads))
      case .sparse(let matrix, _): return .sparse(matrix)
      case .levels(let matrix, _): return .rows(matrix.rowSource)
      case .dense, .lowRank: break
      }
    }
    if let source = try rowSource(index) { return .rows(source) }
    let (rows, columns) = tensor.matrixDimensions
    let elements = try withValues(of: index) { values in
      doubles(
        tensor.matrix(values))
    }
    return .dense(elements, rows: rows, columns: columns)
  }
}

extension NetworkFile {
  /// Bytes that a matrix may have as doubles to be held so.
  private static let heldBytes = 64 << 20

  /// The rows of a large matrix, of which doubles would take twice the memory of the source and more.
  private func rowSource(_ index: Int) throws(NetworkError) -> WeightRowSource? {
    let tensor = tensors[index]
    guard tensor.shape.count > Self.heldBytes / 8 else { return nil }
    let type = tensor.type
    let (rows, columns) = tensor.matrixDimensions
    if case .hdf5(let source) = source, case .contiguous(let run) = tensor.place,
      tensor.byteOrder == .little || type.byteCount == 1,
      let mapped = MappedBytes(source.file, at: run.offset, count: run.length)
    {
      return WeightRowSource(rows: rows, columns: columns) { range, out in
        writeDoubles(
          range, of: tensor.matrix(mapped.bytes), to: out)
      }
    }
    guard case .dense(let values) = try weights(of: index) else { return nil }
    return WeightRowSource(rows: rows, columns: columns) { range, out in
      values.withUnsafeBytes {
        writeDoubles(range, of: tensor.matrix($0), to: out)
      }
    }
  }
}

extension LevelsMatrix {
  /// Rows that are made of the codes, a byte a weight, when they are needed.
  fileprivate var rowSource: WeightRowSource {
    let slabs = LevelsSlabs(self, transposed: false)
    return WeightRowSource(rows: rows, columns: columns) { range, out in
      let numbers = UnsafeMutableBufferPointer(start: out, count: range.count * columns)
      withUnsafeTemporaryAllocation(byteCount: numbers.count * type.byteCount, alignment: 64) { values in
        slabs.decode(rows: range, into: values)
        type.read(UnsafeRawBufferPointer(values), from: 0, to: numbers)
      }
    }
  }
}

extension Encoding {
  /// Whether a matrix is multiplied with in the form in which it is stored.
  fileprivate var isMultipliedAsStored: Bool {
    switch self {
    case .ternary, .sparseSigns, .sparse, .levels, .seeded: true
    case .raw, .lowRank, .unknown: false
    }
  }
}

extension NetworkFunctionError: NetworkErrorConvertible {
  public var networkError: NetworkError {
    switch self {
    case .opaque: NetworkError(.unsupported, "network: \(self)")
    case .shape: NetworkError(.unusable, "network: \(self)")
    case .rotation: NetworkError(.overLimit, "network: \(self)")
    case .rotationMemory: NetworkError(.overLimit, "network: \(self)", remedy: .memory)
    case .algebra(let error): error.networkError
    }
  }
}
