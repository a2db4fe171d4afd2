// SPDX-License-Identifier: Apache-2.0

internal import Parallel
internal import Tensors

/// Samples in an HDF5 file: a dataset `x` of shape samples × features (further axes are taken for more features,
/// row-major), and perhaps `y`, what a network should answer. Or in several such files: the samples of one after those
/// of the other.
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

  /// What the files are called.
  public private(set) var names: [String]
  /// What the datasets are called.
  package let options: Options
  public private(set) var samples: Int
  /// The dimensions of one sample.
  public let shape: [Int]
  /// What x is multiplied with.
  public let scale: Double
  /// What the network should answer, samples × `answerCount`, row-major; `nil` when the file does not say.
  public private(set) var answers: [Double]?
  public let answerCount: Int

  private let type: ElementType
  /// As the file stores it; `nil` where there are no answers.
  private let answerType: ElementType?
  /// x of each file as it is stored.
  private var pieces: [Piece]
  /// The dimensions of all samples, as they are stored.
  private var storedShape: Shape

  private struct Piece {
    /// The number of the first sample.
    var first: Int
    var bytes: [UInt8]
  }

  /// What the file is called, or the files.
  public var name: String { names.joined(separator: ", ") }

  /// The digest of x, as that of a tensor.
  package var digest: Digest {
    func digest(_ bytes: [UInt8]) -> Digest {
      bytes.withUnsafeBytes { Digest(values: $0, type: type, shape: storedShape, threads: Threads(1)) }
    }
    return digest(pieces.count == 1 ? pieces[0].bytes : pieces.flatMap(\.bytes))
  }

  /// Numbers of a sample.
  public var inputCount: Int { shape.reduce(1, *) }

  /// - Throws: `.unusable` for datasets that are missing or do not fit each other, or an x that is not finite.
  public init(_ file: NetworkFile, name: String, _ options: Options = Options()) throws(NetworkError) {
    names = [name]
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
    pieces = [Piece(first: 0, bytes: values)]
    let nonFinite = values.withUnsafeBytes { bytes in
      tensor.type.isFloat
        ? (0..<tensor.shape.count).first { !tensor.type.number($0, of: bytes).isFinite } : nil
    }
    if let element = nonFinite {
      throw NetworkError(.unusable, "\(tensor.name): NaN or infinity at \(tensor.shape.position(of: element))")
    }
    guard let y = dataset(options.y) else {
      guard options.y == "y" else { throw NetworkError(.unusable, "no dataset \(options.y) of numbers") }
      (answers, answerCount, answerType) = (nil, 0, nil)
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
    answerType = answer.type
  }

  /// Adds the samples of another file after these.
  ///
  /// - Parameter memory: maximum bytes of all samples, and of all answers as doubles.
  /// - Throws: `.unusable` where a sample or an answer is of another shape or type, or one of the files alone has
  ///   answers; `.overLimit`.
  public mutating func append(_ other: DataFile, memory: Int) throws(NetworkError) {
    func text(_ type: ElementType, _ shape: [Int]) -> String {
      "\(type.rawValue) of \(shape.map(String.init).joined(separator: "×"))"
    }
    guard other.shape == shape, other.type == type, other.scale == scale else {
      throw NetworkError(
        .unusable,
        "\(options.x): \(text(type, shape)) and \(text(other.type, other.shape)) a sample, expected the same of both")
    }
    func answer(_ file: DataFile) -> String { file.answerType.map { text($0, [file.answerCount]) } ?? "nothing" }
    guard other.answerType == answerType, other.answerCount == answerCount else {
      throw NetworkError(
        .unusable, "\(options.y): \(answer(self)) and \(answer(other)) a sample, expected the same of both")
    }
    let (total, overflow) = samples.addingReportingOverflow(other.samples)
    guard !overflow, let all = Shape([total] + storedShape.dimensions.dropFirst()),
      all.count <= memory / type.byteCount, (8 * answerCount).multipliedOrMaximum(by: total) <= memory
    else {
      throw NetworkError(.overLimit, "\(options.x): take more than \(memory) bytes together", remedy: .memory)
    }
    pieces += other.pieces.map { Piece(first: samples + $0.first, bytes: $0.bytes) }
    names += other.names
    if let more = other.answers { answers?.append(contentsOf: more) }
    (samples, storedShape) = (total, all)
  }

  /// Writes the inputs of some samples.
  public func fill(_ range: Range<Int>, _ out: UnsafeMutableBufferPointer<Double>) {
    for (number, piece) in pieces.enumerated() {
      let end = number + 1 < pieces.count ? pieces[number + 1].first : samples
      let own = range.clamped(to: piece.first..<end)
      guard !own.isEmpty else { continue }
      let place = (own.lowerBound - range.lowerBound) * inputCount
      let part = UnsafeMutableBufferPointer(rebasing: out[place..<place + own.count * inputCount])
      fill(own.lowerBound - piece.first, of: piece.bytes, part)
    }
  }

  /// - Parameter sample: the first, of those in `bytes`.
  private func fill(_ sample: Int, of bytes: [UInt8], _ out: UnsafeMutableBufferPointer<Double>) {
    let first = sample * inputCount
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
