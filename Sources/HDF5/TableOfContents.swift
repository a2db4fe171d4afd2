// SPDX-License-Identifier: Apache-2.0

public import Tensors

/// What an HDF5 file holds, as a value: no handle, nothing read lazily.
public struct TableOfContents: Sendable, Equatable {
  /// Bytes of the file.
  public var fileSize: UInt64
  /// Where the HDF5 file proper begins (after a user block); all offsets below count from the file's first byte.
  public var userBlock: UInt64
  /// Every object reachable by hard links, each once, in the order of its first path (depth first, names bytewise).
  public var objects: [Object]
  /// Links that are not hard links; carried, never followed.
  public var links: [Link]

  public init(fileSize: UInt64, userBlock: UInt64, objects: [Object], links: [Link]) {
    self.fileSize = fileSize
    self.userBlock = userBlock
    self.objects = objects
    self.links = links
  }
}

/// A group, a dataset or a committed type.
public struct Object: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    case group
    case dataset(Dataset)
    /// A committed datatype, or a kind of object this library does not know.
    case other
    /// An object that libhdf5 cannot open because it is of a newer version; why.
    case unreadable(String)
  }

  /// The address of the object header, by which it is opened again.
  public var address: UInt64
  /// Every path, without leading slash (`""` is the root), first found first. Bytes that are not UTF-8, and the
  /// backslash, are written `\xHH` with upper-case digits.
  public var paths: [TensorName]
  public var kind: Kind
  /// Every attribute's name with its texts where it was asked for and is text.
  public var attributes: [Attribute]

  public init(address: UInt64, paths: [TensorName], kind: Kind, attributes: [Attribute]) {
    self.address = address
    self.paths = paths
    self.kind = kind
    self.attributes = attributes
  }
}

public struct Attribute: Sendable, Equatable {
  public var name: TensorName
  /// The strings, row-major, of a text attribute that was asked for; `nil` otherwise.
  public var texts: [String]?
  /// A digest of type, dimensions and value of an attribute that was not asked for, by which two files can be compared;
  /// `nil` where it is not read.
  public var digest: UInt64?

  public init(name: TensorName, texts: [String]?, digest: UInt64? = nil) {
    self.name = name
    self.texts = texts
    self.digest = digest
  }
}

/// A soft, external or user-defined link.
public struct Link: Sendable, Equatable {
  public enum Kind: String, Sendable { case soft, external, userDefined }
  public var path: TensorName
  public var kind: Kind
  /// The target path (soft), `file:path` (external), or empty.
  public var target: String

  public init(path: TensorName, kind: Kind, target: String) {
    self.path = path
    self.kind = kind
    self.target = target
  }
}

public struct Dataset: Sendable, Equatable {
  public var type: Datatype
  /// The current dimensions; `nil` for a null dataspace.
  public var dimensions: [UInt64]?
  public var layout: Layout
  public var filters: [Filter]

  public init(type: Datatype, dimensions: [UInt64]?, layout: Layout, filters: [Filter]) {
    self.type = type
    self.dimensions = dimensions
    self.layout = layout
    self.filters = filters
  }
}

/// An element's type, as far as weights need it.
public enum Datatype: Sendable, Equatable {
  /// A two's complement or unsigned integer of `size` bytes all of whose bits count.
  case integer(size: Int, signed: Bool, bigEndian: Bool)
  /// An IEEE-like float: sign bit on top, then exponent, then mantissa with implied leading 1, no padding.
  case float(size: Int, exponentBits: Int, mantissaBits: Int, bias: Int, bigEndian: Bool)
  /// Opaque bytes with a tag (Keras stores bfloat16 as 2 opaque bytes).
  case opaque(size: Int, tag: String)
  /// Anything else: its class in words (`string`, `compound`, `enum`, …) and its size.
  case other(String, size: Int)
}

/// A run of bytes in the file.
public struct ByteRange: Sendable, Hashable {
  public var offset: UInt64
  public var length: UInt64
  public init(offset: UInt64, length: UInt64) {
    self.offset = offset
    self.length = length
  }
}

public enum Layout: Sendable, Equatable {
  /// In the object header.
  case compact
  /// One run; `nil` when no storage was ever allocated.
  case contiguous(ByteRange?)
  /// Chunks of the given dimensions, those that are stored, in the order of their coordinates.
  case chunked(dimensions: [UInt64], chunks: [Chunk])
  /// In other files: never read.
  case external
  /// Assembled from other datasets: never read.
  case virtual
}

public struct Chunk: Sendable, Equatable {
  /// Coordinates of the chunk's first element.
  public var origin: [UInt64]
  /// Bit i set: filter i was skipped.
  public var filterMask: UInt32
  public var range: ByteRange

  public init(origin: [UInt64], filterMask: UInt32, range: ByteRange) {
    self.origin = origin
    self.filterMask = filterMask
    self.range = range
  }
}

public struct Filter: Sendable, Equatable {
  public var id: Int32
  public var name: String
  /// May be skipped where it is not available or does not help.
  public var isOptional: Bool
  public var parameters: [UInt32]
  /// Whether this build can decode it.
  public var isAvailable: Bool

  public init(id: Int32, name: String, isOptional: Bool, parameters: [UInt32], isAvailable: Bool) {
    self.id = id
    self.name = name
    self.isOptional = isOptional
    self.parameters = parameters
    self.isAvailable = isAvailable
  }
  /// Whether values that were encoded may come back as others.
  ///
  /// Scale-offset (6) keeps as many decimals of floats, or bits of integers (scale type 2), as its second parameter
  /// says; 0 bits stand for as many as it takes. n-bit drops only bits that the type does not use.
  public var mayRound: Bool { id == 6 && !parameters.starts(with: [2, 0]) }
}
