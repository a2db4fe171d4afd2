// SPDX-License-Identifier: Apache-2.0

public import Codecs
internal import JSON
public import Tensors

/// A tensor as a directory describes it.
public struct TensorRecord: Sendable, Equatable {
  /// The name that globs match and `nc-info` prints.
  public var name: TensorName
  /// Path of the dataset in the source file, without leading slash.
  public var path: TensorName?
  /// Its further paths.
  public var aliases: [TensorName]
  public var type: ElementType
  /// Of the source; values in memory are little-endian.
  public var byteOrder: ByteOrder
  public var shape: Shape
  public var role: TensorRole
  /// Of a matrix: whether the shape is `[inputs, outputs]` (Keras) and not `[outputs, inputs]` (PyTorch).
  public var isTransposed: Bool
  public var encoding: Encoding
  /// The payloads that are the encoding's parts.
  package var parts: [Int]
  /// Of the decoded values; `nil` while they were not read, in an HDF5 file.
  public var digest: Digest?
  /// Every step that changed the values, oldest first.
  public var history: [Step]
  /// Where the values lie in the source file; `nil` for a tensor without one.
  package var place: Place?
  /// Why compressors leave it, where its role does not say it; known of HDF5 files alone.
  public var reason: String?
  /// Whether it is a weight matrix of which its orientation is not known.
  var isAmbiguous = false
  /// Members that this version does not know and keeps.
  var extensions: [JSONValue.Member] = []

  /// Every path of the dataset in the source file, without leading slashes.
  var paths: [TensorName] { (path.map { [$0] } ?? []) + aliases }

  /// Bytes of the decoded values. (`init(json:)` and the HDF5 reader refuse what overflows.)
  public var size: Int { shape.count * type.byteCount }

  /// Bytes that the form takes in which an encoding is decoded, as far as its sizes follow from the shape.
  var decodedSize: Int {
    let (rows, columns) = matrixDimensions
    func bytes(_ counts: Int...) -> Int { counts.reduce(1) { $0.multipliedOrMaximum(by: $1) } }
    switch encoding {
    case .raw, .unknown: return size
    case .ternary(let group), .sparseSigns(let group):
      let scales = group == .tensor ? 1 : bytes(rows, max(1, group.perRow(columns: columns)))
      return bytes(rows, TernaryMatrix.rowBytes(columns: columns)).addingOrMaximum(bytes(8, scales))
    case .sparse: return bytes(rows, SparseMatrix.maskRowBytes(columns: columns)).addingOrMaximum(size)
    case .lowRank(let values):
      return bytes(4, values.count, rows).addingOrMaximum(bytes(4, values.count, columns))
    }
  }

  /// Whether its values are stored in chunks.
  var isChunked: Bool { if case .chunked = place { true } else { false } }
}

/// How a tensor's values are written as bytes (`spec/ncz-v1.md` §4).
public enum Encoding: Sendable, Equatable {
  case raw
  case ternary(ScaleGroup)
  case sparseSigns(ScaleGroup)
  /// `least`: what magnitudes are more than the planes say; 0 where the parameter is absent.
  case sparse(Positions, StoredValues, least: UInt64)
  case lowRank(singularValues: [Double])
  /// Not known to this version: listed, never decoded.
  case unknown(id: Int, parameters: String)

  /// Whether it holds a ternary matrix.
  package var isTernary: Bool {
    switch self {
    case .ternary, .sparseSigns: true
    case .raw, .sparse, .lowRank, .unknown: false
    }
  }

  public var name: String {
    switch self {
    case .raw: "raw"
    case .ternary: "ternary"
    case .sparseSigns: "sparse signs"
    case .sparse(_, .exact, _): "sparse"
    case .sparse(_, let values, _): "sparse \(values.rawValue)"
    case .lowRank(let singularValues): "rank \(singularValues.count)"
    case .unknown(let id, _): "encoding \(id)"
    }
  }
}

/// The type in which a sparse matrix stores its values.
public enum StoredValues: String, Sendable {
  /// That of the tensor.
  case exact
  case float16, bfloat16

  /// The type of the stored values of a tensor of type `type`; `nil` where that does not widen exactly to it.
  func type(of type: ElementType) -> ElementType? {
    let isWide = type == .float32 || type == .float64
    return switch self {
    case .exact: type.isFloat ? type : nil
    case .float16: isWide ? .float16 : nil
    case .bfloat16: isWide ? .bfloat16 : nil
    }
  }

  /// How values of type `stored` are named in a tensor of type `type`.
  init(_ stored: ElementType, of type: ElementType) {
    self = stored == type ? .exact : stored == .float16 ? .float16 : .bfloat16
  }
}

/// One step that changed a tensor's values.
public struct Step: Sendable, Equatable {
  public var tool: String
  public var version: String
  /// The options that decided the values.
  public var options: String
  /// Digest of the tensor before.
  public var from: Digest
  /// ‖before − after‖₂ ÷ ‖before‖₂.
  public var error: Double

  package init(tool: String, version: String, options: String, from: Digest, error: Double) {
    self.tool = tool
    self.version = version
    self.options = options
    self.from = from
    self.error = error
  }
}

/// Where a tensor lies in its source file.
package enum Place: Sendable, Equatable {
  /// One run of bytes.
  case contiguous(Run)
  /// Chunks of the HDF5 dataset at an address. `isKept`: their bytes stayed in the container.
  case chunked(address: UInt64, chunks: [StoredChunk], isKept: Bool)

  package struct Run: Sendable, Hashable {
    package var offset: Int
    package var length: Int
    var end: Int { offset + length }
  }

  package struct StoredChunk: Sendable, Equatable {
    package var run: Run
    var filterMask: UInt32
    var origin: [UInt64]
  }

  /// The runs that are missing in the container.
  var holes: [Run] {
    switch self {
    case .contiguous(let run): [run]
    case .chunked(_, let chunks, let isKept): isKept ? [] : chunks.map(\.run)
    }
  }
}
