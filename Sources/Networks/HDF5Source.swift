// SPDX-License-Identifier: Apache-2.0

package import HDF5
internal import JSON
internal import Parallel
package import SystemPackage
internal import Tensors

/// An HDF5 file, alone or in a `.keras` archive, as a source of tensors.
package final class HDF5Source {
  /// The source file.
  package let file: FileDescriptor
  package let containerKind: ContainerKind
  /// Where the HDF5 file begins in the source file.
  let offset: Int
  package let reading: LayoutReading
  let tensors: [TensorRecord]
  package let contents: TableOfContents
  /// Dense weight matrices, as far as one can tell, whose values cannot be read.
  let sealed: [SealedMatrix]
  /// What a user should be told about how the file was understood.
  let notes: [String]
  /// The text of its Keras configuration, and the version of Keras that it names.
  let configuration: [UInt8]?
  let kerasVersion: String?
  /// Where the tensors without a place are read from.
  private let compactAddresses: [TensorName: UInt64]
  private let session: OpenSession
  /// What libhdf5 reads: the source file, or a copy of the part of it that is HDF5.
  private let hdf5: FileDescriptor
  private let hdf5Size: Int
  private let options: ReadingOptions
  /// A process of its own for `reencodesExactly`, once it is needed.
  private var checker: OpenSession?
  /// Objects by the addresses of their headers.
  private lazy var objectAt = Dictionary(
    contents.objects.enumerated().map { ($1.address, $0) }, uniquingKeysWith: { first, _ in first })
  /// Whether it was given up.
  private var isOutOfTime = false
  /// What it answered: a file may be written several times.
  private var exactly: [UInt64: Bool] = [:]

  /// Opens an HDF5 file of `size` bytes.
  convenience init(_ file: FileDescriptor, size: Int, options: ReadingOptions) throws(NetworkError) {
    try self.init(
      file, kind: .hdf5, hdf5: file, offset: 0, size: size, fileSize: size, configuration: nil, options: options)
  }

  /// Opens the HDF5 file in an archive: libhdf5 is given a copy of it.
  convenience init(
    archive: KerasArchive, file: FileDescriptor, size: Int, options: ReadingOptions
  ) throws(NetworkError) {
    let weights = archive.weights
    var configuration: [UInt8]?
    if let member = archive.configuration {
      guard member.size <= 64 << 20 else {
        throw NetworkError(.overLimit, "config.json: \(member.size) bytes, limit \(64 << 20)")
      }
      configuration = try read(file, at: member.offset, count: member.size)
    }
    let copy = try temporaryCopy(of: file, at: weights.offset, count: weights.size)
    try self.init(
      file, kind: .keras, hdf5: copy, offset: weights.offset, size: weights.size, fileSize: size,
      configuration: configuration, options: options)
  }

  private init(
    _ file: FileDescriptor, kind: ContainerKind, hdf5: FileDescriptor, offset: Int, size: Int, fileSize: Int,
    configuration: [UInt8]?, options: ReadingOptions
  ) throws(NetworkError) {
    let assumption = options.assumption
    let session = try OpenSession(hdf5, Limits(size: size, options: options))
    let contents = try about { try session.session.tableOfContents(texts: LayoutReading.wantedTexts) }
    let reading = try about {
      options.findsLayers
        ? try LayoutReading.read(contents, configuration: configuration, assumption)
        : LayoutReading(withoutLayers: contents, configuration: configuration)
    }
    var tensors: [TensorRecord] = []
    var sealed: [SealedMatrix] = []
    var notes = reading.notes
    var compactAddresses: [TensorName: UInt64] = [:]
    for described in reading.tensors {
      let object = contents.objects[described.object]
      if case .unreadable(let reason) = object.kind, described.role == .kernel {
        sealed.append(SealedMatrix(name: described.name, reason: reason))
      }
      guard case .dataset(let dataset) = object.kind else { continue }
      if let tensor = try TensorRecord(described, object, dataset, offset: offset, fileSize: fileSize) {
        tensors.append(tensor)
        if dataset.layout == .compact {
          compactAddresses[tensor.name] = object.address
          if tensor.isDenseMatrix {
            notes.append("\(tensor.name): its storage is compact, inside the object header: carried unchanged")
          }
        }
      } else if described.role == .kernel, let reason = dataset.reasonNotRead {
        sealed.append(SealedMatrix(name: described.name, reason: reason))
      }
    }
    // A damaged group can hold two links of one name.
    var names: Set<TensorName> = []
    if let twice = tensors.first(where: { !names.insert($0.name).inserted }) {
      throw NetworkError(.corrupt, "/\(twice.path ?? twice.name): two objects have this name")
    }
    self.configuration = configuration ?? contents.rootText("model_config").map { Array($0.utf8) }
    kerasVersion = configuration == nil ? contents.rootText("keras_version") : nil
    self.tensors = tensors
    self.sealed = sealed
    self.notes = notes
    self.compactAddresses = compactAddresses
    // Overlapping storage would be taken out twice, and change with a tensor that it is not of.
    try contents.checkStorage()
    self.file = file
    containerKind = kind
    self.offset = offset
    self.reading = reading
    self.contents = contents
    self.hdf5 = hdf5
    self.options = options
    hdf5Size = size
    self.session = session
  }

  deinit { if containerKind == .keras { try? hdf5.close() } }

  /// Values, little-endian, row-major.
  func values(of index: Int, threads: Threads) throws -> [UInt8] {
    let tensor = tensors[index]
    var bytes: [UInt8]
    switch tensor.place {
    case .contiguous(let run):
      bytes = try read(file, at: run.offset, count: run.length, threads: threads)
    case .chunked(let address, _, _):
      bytes = try session.session.values(ofDatasetAt: address, byteCount: tensor.size)
    case nil:
      bytes =
        try compactAddresses[tensor.name].map { address in
          try session.session.values(ofDatasetAt: address, byteCount: tensor.size)
        } ?? []
    }
    if tensor.byteOrder == .big { swapBytes(&bytes, elementSize: tensor.type.byteCount) }
    return bytes
  }

  /// Calls `body` with the values, little-endian, row-major; in place where they are stored so.
  func withValues<Result>(
    of index: Int, threads: Threads, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    let tensor = tensors[index]
    if case .contiguous(let run) = tensor.place, tensor.byteOrder == .little || tensor.type.byteCount == 1 {
      return try withMapping(file, at: run.offset, count: run.length, body)
    }
    return try values(of: index, threads: threads).withUnsafeBytes(body)
  }

  /// How a tensor is stored, in words: `contiguous`, or the names of its chunks' filters.
  package func storage(of tensor: TensorRecord) -> String {
    if compactAddresses[tensor.name] != nil { return "compact" }
    guard let filters = filters(of: tensor) else { return "contiguous" }
    return (["chunked"] + filters.map(\.name)).joined(separator: " ")
  }

  /// The filters, in words, that may round what is put in the place of a tensor's values.
  package func roundingFilters(of tensor: TensorRecord) -> [String] {
    (filters(of: tensor) ?? []).filter(\.mayRound).map(\.name)
  }

  /// The filters of a tensor's chunks; `nil` when it is not in chunks.
  private func filters(of tensor: TensorRecord) -> [Filter]? {
    guard case .chunked(let address, _, _) = tensor.place, let index = objectAt[address],
      case .dataset(let dataset) = contents.objects[index].kind
    else { return nil }
    return dataset.filters
  }

  /// Whether a chunked dataset, decoded and encoded again, is known to have the same bytes.
  ///
  /// Encoding can be a hundred times slower than decoding. When a file takes too long, the rest of it is not tried, and
  /// its chunks stay as they are; so do those of a dataset that libhdf5 cannot encode at all.
  func reencodesExactly(_ address: UInt64) -> Bool {
    if let known = exactly[address] { return known }
    do {
      if isOutOfTime { return false }
      let checker = try checker ?? OpenSession(hdf5, Limits(trying: hdf5Size, options: options))
      self.checker = checker
      let isExact = try checker.session.reencodesExactly(datasetAt: address)
      exactly[address] = isExact
      return isExact
    } catch {
      // The process may be gone; the next dataset may fare better, unless the time of all is up.
      checker = nil
      if let error = error as? HDF5Error {
        switch error {
        case .overTime, .overMemory, .overLimit: isOutOfTime = true
        case .corrupt, .unsupported, .io: break
        }
      }
      return false
    }
  }
}

/// A session that can be kept and given up.
private final class OpenSession {
  var session: Session
  init(_ file: FileDescriptor, _ limits: Limits) throws(NetworkError) {
    do { session = try Session(file: file, limits: limits) } catch { throw NetworkError(error) }
  }
}

/// A weight matrix that is carried in the container because its values cannot be read.
struct SealedMatrix: Sendable {
  let name: TensorName
  let reason: String
}

extension TableOfContents {
  /// Checks that no two datasets, tensors or not, share a byte.
  fileprivate func checkStorage() throws(NetworkError) {
    var stored: [(range: ByteRange, object: Int)] = []
    for (index, object) in objects.enumerated() {
      guard case .dataset(let dataset) = object.kind else { continue }
      switch dataset.layout {
      case .contiguous(let range?): stored.append((range, index))
      case .chunked(_, let chunks): stored += chunks.map { ($0.range, index) }
      case .contiguous(nil), .compact, .external, .virtual: break
      }
    }
    stored.removeAll { $0.range.length == 0 }
    stored.sort { $0.range.offset < $1.range.offset }
    for (first, second) in zip(stored, stored.dropFirst())
    where second.range.offset - first.range.offset < first.range.length {
      let names = [first.object, second.object].map { "/\(objects[$0].paths.first ?? "")" }
      throw NetworkError(
        .corrupt,
        names[0] == names[1]
          ? "\(names[0]): two of its chunks share byte \(second.range.offset)"
          : "\(names[0]) and \(names[1]) share byte \(second.range.offset)")
    }
  }
}

extension Dataset {
  /// Why values that exist are not read; `nil` for a dataset without any, which loses nothing by being carried.
  fileprivate var reasonNotRead: String? {
    switch layout {
    case .external: "its storage is in another file, which is never read"
    case .virtual: "it is a virtual dataset, which is never read"
    case .chunked:
      filters.first { !$0.isAvailable }.map {
        "filter \($0.id)\($0.name.isEmpty ? "" : " (\($0.name))") is not available"
      }
    case .contiguous, .compact: nil
    }
  }
}

extension TensorName {
  /// The same with every control character as `\xHH`: names are printed, and hashed with a line feed after them.
  fileprivate var withoutControlCharacters: TensorName {
    var escaped = ""
    for scalar in text.unicodeScalars {
      if scalar.value < 0x20 || scalar.value == 0x7F {
        escaped += "\\x" + (scalar.value < 0x10 ? "0" : "") + String(scalar.value, radix: 16, uppercase: true)
      } else {
        escaped.unicodeScalars.append(scalar)
      }
    }
    return TensorName(escaped)
  }
}

extension Limits {
  /// For reading a file of `size` bytes: 10 s of processor time and 1 s for each 50 MB, or what was asked for.
  package init(size: Int, options: ReadingOptions) {
    self.init(options, seconds: options.time ?? 10 + Double(size) / 50e6)
  }

  /// For trying whether chunks of a file of `size` bytes are encoded again as they are: 3 s and 1 s for each 5 MB.
  package init(trying size: Int, options: ReadingOptions) {
    self.init(options, seconds: max(options.time ?? 0, 3 + Double(size) / 5e6))
  }

  /// For encoding `byteCount` bytes with filters, of which gzip at its highest level does 2 MB a second.
  package init(encoding byteCount: Int, options: ReadingOptions) {
    self.init(options, seconds: max(options.time ?? 0, 10 + Double(byteCount) / 2e6))
  }

  /// For building a file of so many datasets.
  package init(building datasets: Int, options: ReadingOptions) {
    self.init(options, seconds: max(options.time ?? 0, 10 + 0.01 * Double(datasets)))
  }

  private init(_ options: ReadingOptions, seconds: Double) {
    self.init(memory: UInt64(max(0, options.memory)), seconds: seconds)
  }
}

/// Copies part of a file to an unnamed temporary file.
package func temporaryCopy(of file: FileDescriptor, at offset: Int, count: Int) throws(NetworkError) -> FileDescriptor {
  let copy = try temporaryFile()
  let piece = 1 << 20
  for start in stride(from: 0, to: count, by: piece) {
    let bytes = try read(file, at: offset + start, count: min(piece, count - start))
    // Holes stay holes.
    if !bytes.allSatisfy({ $0 == 0 }) { try writeBytes(bytes, to: copy, at: start) }
  }
  try resize(copy, to: count)
  return copy
}

extension TensorRecord {
  /// The tensor that a dataset is: fixed-size integers or floats, stored in this file, if in chunks, then such as
  /// this build can decode. Every other object stays in the container.
  fileprivate init?(
    _ described: LayoutTensor, _ object: Object, _ dataset: Dataset, offset: Int, fileSize: Int
  ) throws(NetworkError) {
    guard let type = described.elementType, let shape = described.shape, shape.rank <= 32,
      let size = shape.byteCount(elementSize: type.byteCount), object.paths.allSatisfy(\.isPath)
    else { return nil }
    let path = described.path

    func run(_ range: ByteRange) throws(NetworkError) -> Place.Run {
      guard let start = Int(exactly: range.offset), let length = Int(exactly: range.length),
        length <= fileSize - offset, start <= fileSize - offset - length
      else { throw NetworkError(.corrupt, "/\(path): stored at \(range), outside the file") }
      return Place.Run(offset: offset + start, length: length)
    }

    switch dataset.layout {
    case .contiguous(let range):
      if size == 0 {
        place = nil
      } else if let range {
        let run = try run(range)
        guard run.length == size else {
          throw NetworkError(.corrupt, "/\(path): \(run.length) bytes stored, expected \(size)")
        }
        place = .contiguous(run)
      } else {
        // Never written: there is nothing to read or to take out.
        return nil
      }
    case .chunked(_, let chunks):
      let storedBytes = chunks.reduce(0) { $0 &+ $1.range.length }
      guard dataset.filters.allSatisfy(\.isAvailable), size == 0 || !chunks.isEmpty,
        // Most of it was never written: reading it would make a file of fill values.
        size <= 64 << 20 || UInt64(size) / 2000 <= storedBytes
      else { return nil }
      var stored: [Place.StoredChunk] = []
      for chunk in chunks {
        stored.append(
          Place.StoredChunk(run: try run(chunk.range), filterMask: chunk.filterMask, origin: chunk.origin))
      }
      place = size == 0 ? nil : .chunked(address: object.address, chunks: stored, isKept: true)
    case .compact:
      // The values are in the object header, and so in the container as well.
      place = nil
    case .external, .virtual:
      return nil
    }
    name = described.name.withoutControlCharacters
    role = described.role
    axes =
      described.axes
      ?? (TensorRole.includable.contains(described.role) ? .oneRow(rank: shape.rank) : .standard(rank: shape.rank))
    reason = described.reason
    isAmbiguous = described.isAmbiguous
    self.path = path
    aliases = Array(object.paths.dropFirst())
    self.type = type
    byteOrder = described.byteOrder
    self.shape = shape
    encoding = .raw(planes: type.byteCount > 1)
    parts = []
    digest = nil
    history = []
  }
}

extension Place {
  /// The runs that these tensors leave as holes in a file of `size` bytes, in order: inside it and disjoint.
  static func holes(of tensors: [TensorRecord], size: Int) throws(NetworkError) -> [Run] {
    let runs = tensors.flatMap { $0.place?.holes ?? [] }.filter { $0.length > 0 }.sorted { $0.offset < $1.offset }
    var end = 0
    for run in runs {
      guard run.offset >= end else {
        throw NetworkError(.corrupt, "two tensors share byte \(run.offset) of the source file")
      }
      end = run.end
    }
    for end in tensors.flatMap({ $0.place?.runs ?? [] }).map(\.end) where end > size {
      throw NetworkError(.corrupt, "a tensor ends at byte \(end) of a source file of \(size) bytes")
    }
    return runs
  }
}
