// SPDX-License-Identifier: Apache-2.0

internal import Parallel
internal import Tensors

/// Samples in an HDF5 file: a dataset `x` of shape samples × features (further axes are taken for more features,
/// row-major), and perhaps `y`, what a network should answer.
public struct DataFile: Sendable {
  /// How the datasets are called, and what x is multiplied with.
  public struct Options: Sendable {
    public var x: String
    public var y: String
    /// `nil`: 1/255 for uint8, else 1.
    public var scale: Double?

    public init(x: String = "x", y: String = "y", scale: Double? = nil) {
      self.x = x
      self.y = y
      self.scale = scale
    }
  }

  /// What the file is called.
  public let name: String
  /// What its datasets are called.
  package let options: Options
  public let samples: Int
  /// The dimensions of one sample.
  public let shape: [Int]
  /// What x is multiplied with.
  public let scale: Double
  /// What the network should answer, samples × `answerCount`, row-major; `nil` when the file does not say.
  public let answers: [Double]?
  public let answerCount: Int

  private let type: ElementType
  private let bytes: [UInt8]
  /// Of x as it is stored.
  private let storedShape: Shape

  /// The digest of x, as that of a tensor.
  package var digest: Digest {
    bytes.withUnsafeBytes { Digest(values: $0, type: type, shape: storedShape, threads: Threads(1)) }
  }

  /// Numbers of a sample.
  public var inputCount: Int { shape.reduce(1, *) }

  /// - Throws: `.unusable` for datasets that are missing or do not fit each other, or an x that is not finite.
  public init(_ file: NetworkFile, name: String, _ options: Options = Options()) throws(NetworkError) {
    self.name = name
    self.options = options
    func dataset(_ name: String) -> Int? {
      let name = TensorName(name.utf8.first == UInt8(ascii: "/") ? String(name.dropFirst()) : name)
      return file.tensors.firstIndex { $0.name == name || $0.path == name }
    }
    guard let x = dataset(options.x) else {
      throw NetworkError(.unusable, "no dataset \(options.x) of numbers", remedy: .dataset)
    }
    let tensor = file.tensors[x]
    guard let first = tensor.shape.dimensions.first, first > 0, tensor.shape.count > 0 else {
      throw NetworkError(
        .unusable, "\(tensor.name): shape \(tensor.shape), expected samples × features, at least one of each")
    }
    let samples = first
    self.samples = samples
    shape = tensor.shape.rank == 1 ? [1] : Array(tensor.shape.dimensions.dropFirst())
    type = tensor.type
    storedShape = tensor.shape
    scale = options.scale ?? (tensor.type == .uint8 ? 1 / 255.0 : 1)
    let values = try file.values(of: x)
    bytes = values
    let nonFinite = values.withUnsafeBytes { bytes in
      tensor.type.isFloat
        ? (0..<tensor.shape.count).first { !tensor.type.number($0, of: bytes).isFinite } : nil
    }
    if let element = nonFinite {
      throw NetworkError(.unusable, "\(tensor.name): NaN or infinity at \(tensor.shape.position(of: element))")
    }
    guard let y = dataset(options.y) else {
      guard options.y == "y" else { throw NetworkError(.unusable, "no dataset \(options.y) of numbers") }
      (answers, answerCount) = (nil, 0)
      return
    }
    let answer = file.tensors[y]
    guard answer.shape.dimensions.first == samples, answer.shape.count % samples == 0 else {
      throw NetworkError(
        .unusable, "\(answer.name): shape \(answer.shape), expected \(samples) samples as in \(tensor.name)")
    }
    guard answer.shape.count <= file.options.memory / 8 else {
      throw NetworkError(
        .overLimit, "\(answer.name): takes more than \(file.options.memory) bytes as doubles", remedy: .memory)
    }
    let numbers = try file.values(of: y)
    answers = numbers.withUnsafeBytes { numbers in (0..<answer.shape.count).map { answer.type.number($0, of: numbers) }
    }
    answerCount = answer.shape.count / samples
  }

  /// Writes the inputs of some samples.
  public func fill(_ range: Range<Int>, _ out: UnsafeMutableBufferPointer<Double>) {
    let first = range.lowerBound * inputCount
    bytes.withUnsafeBytes { bytes in
      switch type {
      case .uint8: for i in out.indices { out[i] = Double(bytes[first + i]) * scale }
      case .float32:
        for i in out.indices {
          out[i] = Double(bytes.loadUnaligned(fromByteOffset: 4 * (first + i), as: Float.self)) * scale
        }
      default: for i in out.indices { out[i] = type.number(first + i, of: bytes) * scale }
      }
    }
  }
}
