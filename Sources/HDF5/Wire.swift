// SPDX-License-Identifier: Apache-2.0

internal import Tensors

/// What the parent asks of the child.
enum Request: UInt8 {
  case open = 1
  case tableOfContents
  case values
  case reencodes
  case encode
  /// The values of one block, while encoding.
  case block
  case replace
  /// Groups and datasets of a new file, as many as there are in the message.
  case add
  case copy
  case close
}

/// What the child is to do with its file.
enum Mode: UInt8 {
  case read = 1
  /// Replace chunks.
  case change
  /// Build a new HDF5 file in an empty one.
  case create
  /// Read the file, and copy it to another.
  case copy
}

/// How the child answers.
enum Answer: UInt8 {
  case done = 1
  case corrupt, unsupported, overMemory, overTime, overLimit, io

  init(_ error: HDF5Error) {
    self =
      switch error {
      case .corrupt: .corrupt
      case .unsupported: .unsupported
      case .overMemory: .overMemory
      case .overTime: .overTime
      case .overLimit: .overLimit
      case .io: .io
      }
  }

  func error(_ message: String) -> HDF5Error? {
    switch self {
    case .done: nil
    case .corrupt: .corrupt(message)
    case .unsupported: .unsupported(message)
    case .overMemory: .overMemory(message)
    case .overTime: .overTime(message)
    case .overLimit: .overLimit(message)
    case .io: .io(message)
    }
  }
}

/// Every message starts with its kind and the length of what follows.
let frameHeaderSize = 9

/// Appends values as little-endian bytes.
struct WireWriter {
  var bytes: [UInt8] = []

  mutating func write(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func write(_ value: Bool) { bytes.append(value ? 1 : 0) }

  mutating func write(_ text: String) { write(Array(text.utf8)) }

  mutating func write(_ name: TensorName) { write(name.text) }

  mutating func write(_ run: [UInt8]) {
    write(UInt64(run.count))
    bytes.append(contentsOf: run)
  }

  mutating func write<T>(_ list: [T], _ element: (inout WireWriter, T) -> Void) {
    write(UInt64(list.count))
    for item in list { element(&self, item) }
  }

  mutating func write(_ numbers: [UInt64]) { write(numbers) { $0.write($1) } }
}

/// Reads what a `WireWriter` wrote, trusting nothing.
struct WireReader {
  let bytes: [UInt8]
  private(set) var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  static let nonsense = HDF5Error.corrupt(
    "inconsistent reply from the process that reads HDF5; the file may be damaged")

  var isAtEnd: Bool { position == bytes.count }

  private mutating func take(_ count: Int) throws(HDF5Error) -> Int {
    guard count >= 0, count <= bytes.count - position else { throw Self.nonsense }
    defer { position += count }
    return position
  }

  mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) throws(HDF5Error) -> T {
    let start = try take(T.bitWidth / 8)
    return bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: start, as: T.self)) }
  }

  /// A number that must fit `Int` and not be negative.
  mutating func size() throws(HDF5Error) -> Int {
    guard let value = Int(exactly: try integer(UInt64.self)) else { throw Self.nonsense }
    return value
  }

  mutating func bool() throws(HDF5Error) -> Bool {
    switch try integer(UInt8.self) {
    case 0: false
    case 1: true
    default: throw Self.nonsense
    }
  }

  mutating func run() throws(HDF5Error) -> [UInt8] {
    let count = try size()
    let start = try take(count)
    return Array(bytes[start..<start + count])
  }

  mutating func text() throws(HDF5Error) -> String {
    let count = try size()
    let start = try take(count)
    guard let text = String(validating: bytes[start..<start + count], as: UTF8.self) else { throw Self.nonsense }
    return text
  }

  mutating func name() throws(HDF5Error) -> TensorName { TensorName(try text()) }

  mutating func list<T>(
    _ element: (inout WireReader) throws(HDF5Error) -> T
  ) throws(HDF5Error) -> [T] {
    let count = try size()
    // Every element takes at least one byte, so a count cannot make us allocate more than the answer holds.
    guard count <= bytes.count - position else { throw Self.nonsense }
    var items: [T] = []
    for _ in 0..<count { items.append(try element(&self)) }
    return items
  }

  mutating func numbers() throws(HDF5Error) -> [UInt64] {
    try list { (reader) throws(HDF5Error) in try reader.integer() }
  }
}

// MARK: - The table of contents as bytes

extension WireWriter {
  mutating func write(_ table: TableOfContents) {
    write(table.fileSize)
    write(table.userBlock)
    write(table.objects) { $0.write($1) }
    write(table.links) { $0.write($1) }
  }

  mutating func write(_ object: Object) {
    write(object.address)
    write(object.paths) { $0.write($1) }
    switch object.kind {
    case .group: write(UInt8(0))
    case .dataset(let dataset):
      write(UInt8(1))
      write(dataset)
    case .other: write(UInt8(2))
    case .unreadable(let reason):
      write(UInt8(3))
      write(reason)
    }
    write(object.attributes) { writer, attribute in
      writer.write(attribute.name)
      writer.write(attribute.texts != nil)
      writer.write(attribute.texts ?? []) { $0.write($1) }
      writer.write(attribute.digest != nil)
      writer.write(attribute.digest ?? 0)
    }
  }

  mutating func write(_ link: Link) {
    write(link.path)
    write(link.kind.rawValue)
    write(link.target)
  }

  mutating func write(_ type: Datatype) {
    switch type {
    case .integer(let size, let signed, let bigEndian):
      write(UInt8(0))
      write(UInt64(size))
      write(signed)
      write(bigEndian)
    case .float(let size, let exponentBits, let mantissaBits, let bias, let bigEndian):
      write(UInt8(1))
      for number in [size, exponentBits, mantissaBits, bias] { write(UInt64(number)) }
      write(bigEndian)
    case .opaque(let size, let tag):
      write(UInt8(2))
      write(UInt64(size))
      write(tag)
    case .other(let name, let size):
      write(UInt8(3))
      write(name)
      write(UInt64(size))
    }
  }

  mutating func write(_ dataset: Dataset) {
    write(dataset.type)
    write(dataset.dimensions != nil)
    write(dataset.dimensions ?? [])
    switch dataset.layout {
    case .compact: write(UInt8(0))
    case .contiguous(let range):
      write(UInt8(1))
      write(range != nil)
      write(range?.offset ?? 0)
      write(range?.length ?? 0)
    case .chunked(let dimensions, let chunks):
      write(UInt8(2))
      write(dimensions)
      write(chunks) { writer, chunk in
        writer.write(chunk.origin)
        writer.write(chunk.filterMask)
        writer.write(chunk.range.offset)
        writer.write(chunk.range.length)
      }
    case .external: write(UInt8(3))
    case .virtual: write(UInt8(4))
    }
    write(dataset.filters) { writer, filter in
      writer.write(filter.id)
      writer.write(filter.name)
      writer.write(filter.isOptional)
      writer.write(filter.parameters) { $0.write($1) }
      writer.write(filter.isAvailable)
    }
  }
}

extension WireReader {
  mutating func tableOfContents() throws(HDF5Error) -> TableOfContents {
    TableOfContents(
      fileSize: try integer(), userBlock: try integer(),
      objects: try list { (reader) throws(HDF5Error) in try reader.object() },
      links: try list { (reader) throws(HDF5Error) in try reader.link() })
  }

  private mutating func texts() throws(HDF5Error) -> [String] {
    try list { (reader) throws(HDF5Error) in try reader.text() }
  }

  private mutating func object() throws(HDF5Error) -> Object {
    let address = try integer(UInt64.self)
    let paths = try list { (reader) throws(HDF5Error) in try reader.name() }
    let kind: Object.Kind =
      switch try integer(UInt8.self) {
      case 0: .group
      case 1: .dataset(try dataset())
      case 2: .other
      case 3: .unreadable(try text())
      default: throw Self.nonsense
      }
    let attributes = try list { (reader) throws(HDF5Error) in
      let name = try reader.name()
      let isText = try reader.bool()
      let texts = try reader.texts()
      let isRead = try reader.bool()
      let digest = try reader.integer(UInt64.self)
      return Attribute(name: name, texts: isText ? texts : nil, digest: isRead ? digest : nil)
    }
    guard !paths.isEmpty else { throw Self.nonsense }
    return Object(address: address, paths: paths, kind: kind, attributes: attributes)
  }

  private mutating func link() throws(HDF5Error) -> Link {
    let path = try name()
    guard let kind = Link.Kind(rawValue: try text()) else { throw Self.nonsense }
    return Link(path: path, kind: kind, target: try text())
  }

  private mutating func dataset() throws(HDF5Error) -> Dataset {
    let type = try datatype()
    let hasDimensions = try bool()
    let dimensions = try numbers()
    return Dataset(
      type: type, dimensions: hasDimensions ? dimensions : nil, layout: try layout(),
      filters: try list { (reader) throws(HDF5Error) in
        Filter(
          id: try reader.integer(), name: try reader.text(), isOptional: try reader.bool(),
          parameters: try reader.list { (reader) throws(HDF5Error) in try reader.integer() },
          isAvailable: try reader.bool())
      })
  }

  mutating func datatype() throws(HDF5Error) -> Datatype {
    switch try integer(UInt8.self) {
    case 0: .integer(size: try size(), signed: try bool(), bigEndian: try bool())
    case 1:
      .float(
        size: try size(), exponentBits: try size(), mantissaBits: try size(), bias: try size(),
        bigEndian: try bool())
    case 2: .opaque(size: try size(), tag: try text())
    case 3: .other(try text(), size: try size())
    default: throw Self.nonsense
    }
  }

  private mutating func layout() throws(HDF5Error) -> Layout {
    switch try integer(UInt8.self) {
    case 0: return .compact
    case 1:
      let isAllocated = try bool()
      let range = ByteRange(offset: try integer(), length: try integer())
      return .contiguous(isAllocated ? range : nil)
    case 2:
      return .chunked(
        dimensions: try numbers(),
        chunks: try list { (reader) throws(HDF5Error) in
          Chunk(
            origin: try reader.numbers(), filterMask: try reader.integer(),
            range: ByteRange(offset: try reader.integer(), length: try reader.integer()))
        })
    case 3: return .external
    case 4: return .virtual
    default: throw Self.nonsense
    }
  }
}
