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
  /// How it is seen as a matrix of outputs × inputs.
  public var axes: MatrixAxes
  public var encoding: Encoding
  /// The payloads that are the encoding's parts.
  package var parts: [Int]
  /// Of the decoded values; `nil` while they were not read, in an HDF5 file.
  public var digest: Digest?
  /// Every change of the values, oldest first.
  public var history: [HistoryEntry]
  /// Where the values lie in the source file; `nil` for a tensor without one.
  package var place: Place?
  /// A place of a form that this version does not know.
  var foreignPlace: JSONValue?
  /// A role that this version does not know; `role` is `other` then.
  var unknownRole: String?
  /// Why compressors leave it, where its role does not say it; known of HDF5 files alone.
  public var reason: String?
  /// Whether it is a weight matrix of which its orientation is not known.
  var isAmbiguous = false
  /// Members that this version does not know and keeps.
  var extensions: [JSONValue.Member] = []
  /// Why this version cannot decode it, of a tensor in a `.ncz` file.
  public var unsupported: String? { foreign?.reason }
  /// Of a tensor that this version cannot decode: why, and how the directory describes it.
  var foreign: Foreign?

  struct Foreign: Sendable, Equatable {
    var reason: String
    var json: JSONValue
  }

  /// Every path of the dataset in the source file, without leading slashes.
  var paths: [TensorName] { (path.map { [$0] } ?? []) + aliases }

  /// Whether the shape is `[inputs, outputs]` (Keras) and not `[outputs, inputs]` (PyTorch), also of several axes each.
  public var isTransposed: Bool { axes.layout == .transposed }

  /// Bytes of the decoded values. (`init(json:)` and the HDF5 reader refuse what overflows.)
  public var size: Int { shape.count * type.byteCount }

  /// Bytes that the form takes in which an encoding is decoded, all its parts together.
  package var decodedSize: Int {
    let (rows, columns) = matrixDimensions
    func bytes(_ counts: Int...) -> Int { counts.reduce(1) { $0.multipliedOrMaximum(by: $1) } }
    let size: Int =
      switch encoding {
      case .raw, .unknown: self.size
      // What products expand a seeded matrix to counts too.
      case .ternary(let group), .sparseSigns(_, let group), .seeded(_, let group):
        bytes(rows, TernaryMatrix.rowBytes(columns: columns))
          .addingOrMaximum(bytes(8, group.count(rows: rows, columns: columns)))
      case .sparse: bytes(rows, SparseMatrix.maskRowBytes(columns: columns)).addingOrMaximum(self.size)
      case .lowRank(let values):
        bytes(4, values.count, rows).addingOrMaximum(bytes(4, values.count, columns))
      case .levels(let parameters):
        // The classes of rows and columns, and the largest form of scales or table, beside a byte a weight.
        bytes(rows, columns).addingOrMaximum(bytes(16, parameters.valueCount(rows: rows, columns: columns)))
          .addingOrMaximum(parameters.classes == nil || bytes(rows, columns) == 0 ? 0 : rows.addingOrMaximum(columns))
      }
    // What is in another order is put into the tensor's once it is decoded.
    return axes.layout == .permuted && !encoding.isRaw ? size.addingOrMaximum(bytes(2, self.size)) : size
  }

  /// Whether its values are stored in chunks.
  var isChunked: Bool { if case .chunked = place { true } else { false } }
}

/// How a tensor's values are written as bytes (`spec/ncz-v1.md` §4).
public enum Encoding: Sendable, Equatable {
  /// `planes`: the bytes of a block are regrouped by significance.
  case raw(planes: Bool)
  case ternary(ScaleGroup)
  case sparseSigns(Positions, ScaleGroup)
  /// `least`: what magnitudes are more than the planes say; 0 where the parameter is absent.
  case sparse(Positions, StoredValues, least: UInt64)
  case lowRank(singularValues: [Double])
  case levels(LevelsCodec.Parameters)
  /// Ternary, with trits that are not stored.
  case seeded(TernarySeed, ScaleGroup)
  /// Not known to this version: listed, never decoded.
  case unknown(id: Int)

  package var isRaw: Bool { if case .raw = self { true } else { false } }

  /// Whether it may hold a ternary matrix.
  package var mayBeTernary: Bool {
    switch self {
    case .ternary, .sparseSigns, .seeded: true
    case .levels(let parameters): if case .grid(_, exceptions: 0) = parameters.values { true } else { false }
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
    case .levels(let parameters): parameters.name
    case .seeded: "seeded"
    case .unknown(let id): "encoding \(id)"
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

/// What one run of a program did.
public struct Step: Sendable, Equatable {
  public var tool: String
  public var version: String
  /// The options that decided the result.
  public var options: String
  /// Of a step that changed more than values: the digest of the network before.
  public var networkBefore: Digest?
  /// What it says about the outputs, after and before.
  public var claim: OutputClaim?
  /// Names of tensors that it left out.
  public var removed: [TensorName]
  /// A key of a later version: what the step claims may mean something else.
  package internal(set) var unknownKey: TensorName?
  /// Members that this version does not know and keeps.
  var extensions: [JSONValue.Member] = []

  package init(
    tool: String, version: String, options: String, networkBefore: Digest? = nil, claim: OutputClaim? = nil,
    removed: [TensorName] = []
  ) {
    self.tool = tool
    self.version = version
    self.options = options
    self.networkBefore = networkBefore
    self.claim = claim
    self.removed = removed
  }
}

/// How far the outputs of a network are from those before a step: the root of E‖f − g‖² ÷ E‖f‖².
public struct OutputClaim: Sendable, Equatable {
  public var error: Double
  public var inputs: Inputs
  /// Members that this version does not know and keeps; `inputs` are unknown then.
  var extensions: [JSONValue.Member] = []

  package init(error: Double, inputs: Inputs) {
    self.error = error
    self.inputs = inputs
  }

  /// Over which inputs the means are taken.
  public enum Inputs: Sendable, Equatable {
    /// Independent N(0, 1), in closed form.
    case normal
    /// Samples that the program drew from it.
    case samples(Int, seed: Int)
    /// The samples of a dataset, by its digest.
    case data(Digest)
    /// Not known to this version.
    case unknown(String)
  }
}

/// One change of a tensor's values.
public struct HistoryEntry: Sendable, Equatable {
  public var step: Step
  /// The step's number in the file; `nil` before it is written.
  package internal(set) var stepNumber: Int?
  /// Digest of the tensor before; `nil` of a tensor that the step made.
  public var from: Digest?
  /// ‖before − after‖₂ ÷ ‖before‖₂; `nil` where shape or type changed, or the tensor was trained.
  public var error: Double?
  /// A key of a later version: its error may mean something else.
  package internal(set) var unknownKey: TensorName?
  /// Members that this version does not know and keeps.
  var extensions: [JSONValue.Member] = []

  /// An entry with its error as precise as errors are recorded.
  package init(_ step: Step, from: Digest?, error: Double?) {
    self.step = step
    self.from = from
    self.error = error?.roundedToNineDigits
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

  /// The runs of the source file where its values are, or were.
  var runs: [Run] {
    switch self {
    case .contiguous(let run): [run]
    case .chunked(_, let chunks, _): chunks.map(\.run)
    }
  }

  /// The runs that are missing in the container.
  var holes: [Run] {
    if case .chunked(_, _, isKept: true) = self { [] } else { runs }
  }
}

extension LevelsCodec.Parameters {
  fileprivate var name: String {
    switch values {
    case .table(let levels): "\(levels) level\(levels == 1 ? "" : "s")"
    case .grid: "grid"
    }
  }

  /// Scales, levels and exceptions of a matrix.
  fileprivate func valueCount(rows: Int, columns: Int) -> Int {
    switch values {
    case .table(let levels): levels
    case .grid(let group, let exceptions): group.count(rows: rows, columns: columns).addingOrMaximum(exceptions)
    }
  }
}
