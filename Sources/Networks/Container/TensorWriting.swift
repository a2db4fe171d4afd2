// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import JSON
internal import Matrices
internal import NCZ
internal import Parallel
package import SystemPackage
internal import Tensors

/// How a `.ncz` file is written.
public struct WritingOptions: Sendable {
  /// zstd's level, 1…19; `nil` for entropy coding alone.
  public var level: Int?
  /// Store values, codes and scales uncompressed at multiples of 64, for use from a memory map.
  public var isMapped: Bool
  /// Whether what the source file has beside its tensors is stored too.
  public var hasContainer: Bool
  /// Nobody will read what is written: only its size counts.
  package var trial: SizeTrial?
  /// Maximum bytes of the output; more is an error, and nothing is written that counts.
  package var limit: Int?

  public init(level: Int? = nil, isMapped: Bool = false, hasContainer: Bool = true) {
    self.level = level
    self.isMapped = isMapped
    self.hasContainer = hasContainer
  }

  var compression: CompressionLevel { level.map { .zstd($0) } ?? .standard }

  /// A container is text and structure, where zstd's matches count; a large one is mostly values.
  func containerLevel(byteCount: Int) -> CompressionLevel { .zstd(level ?? (byteCount <= 1 << 19 ? 19 : 3)) }
}

/// What a step made of a tensor.
package struct Change {
  var values: NewValues
  /// Of the values that they restore to; `nil` for the writer to find out.
  package var digest: Digest?
  /// `nil` where the history is to stay as it is.
  package var entry: HistoryEntry?
  var outcome = TensorReport.Outcome.changed
  var kept: Kept?

  package init(
    values: NewValues, digest: Digest? = nil, entry: HistoryEntry? = nil, outcome: TensorReport.Outcome = .changed,
    kept: Kept? = nil
  ) {
    self.values = values
    self.digest = digest
    self.entry = entry
    self.outcome = outcome
    self.kept = kept
  }
}

/// Of how many things how many are left.
public struct Kept: Sendable, Equatable {
  public var count: Int
  public var of: Int

  package init(count: Int, of whole: Int) {
    self.count = count
    of = whole
  }
}

/// What became of one tensor.
public struct TensorReport: Sendable {
  public var tensor: TensorRecord
  /// Stored bytes of its payloads.
  public var storedBytes: Int
  public var outcome: Outcome
  /// Of a pruned tensor: weights that are not zero, singular values, or units of the layer.
  public var kept: Kept?

  public enum Outcome: String, Sendable {
    case carried, changed, dropped
  }
}

extension NetworkFile {
  /// Writes this network as `.ncz`, front to back, one tensor in memory at a time.
  ///
  /// - Parameters:
  ///   - omitted: tensors, by index, that the step leaves out.
  ///   - check: is asked before the output counts.
  ///   - write: is asked for each tensor and calls `put` once with its new values, or with `nil` to carry it unchanged.
  ///     It reads the values itself, so that those of a `.ncz` that stay as they are need not be decoded.
  package func write(
    to file: FileDescriptor, _ writing: WritingOptions, omitting omitted: (tensors: Set<Int>, by: Step)? = nil,
    checking check: RestorationCheck = { _, _ in },
    _ write: (_ index: Int, _ put: (Change?) throws -> TensorReport) throws -> TensorReport
  ) throws(NetworkError) -> (tensors: [TensorReport], byteCount: Int, containerBytes: Int) {
    try about {
      let isReadable = isReadable(file)
      let mirror = isReadable || writing.trial != nil ? nil : try temporaryFile()
      defer { try? mirror?.close() }
      var writer = try Writer(to: file, mirror: mirror, codec: .zstd, isMapped: writing.isMapped)
      var steps = ncz?.directory.steps ?? []
      var reports: [TensorReport] = []
      if let omitted { steps.append(omitted.by) }
      for index in tensors.indices {
        didReach(index)
        if let omitted, omitted.tensors.contains(index) {
          reports.append(TensorReport(tensor: tensors[index], storedBytes: 0, outcome: .dropped))
          continue
        }
        reports.append(try write(index) { try self.write(index, to: &writer, writing, change: $0, steps: &steps) })
      }
      didReach(tensors.count)
      var records = zip(tensors.indices, reports).filter { !(omitted?.tensors.contains($0.0) ?? false) }.map(\.1.tensor)
      let container = writing.hasContainer ? try writeContainer(of: records, to: &writer, writing) : nil
      if !writing.hasContainer { records = records.map(\.withoutSource) }
      let before = ncz?.directory
      let isChanged = reports.contains { $0.outcome != .carried }
      let directory = Directory(
        container: container?.record, foreignContainer: writing.hasContainer ? before?.foreignContainer : nil,
        network: network, networkJSON: network == before?.network ? before?.networkJSON : nil, steps: steps,
        tensors: records,
        extensions: before.map { isChanged ? $0.extensions.withoutDerived : $0.extensions } ?? [])
      let containerBytes = container.map { writer[$0.payload].size } ?? 0
      let byteCount = try writer.finish(content: directory.json) { file, size in
        if let limit = writing.limit, size > limit {
          throw NetworkError(.overLimit, "takes \(size) bytes, more than the \(limit) of --target-size")
        }
        if writing.trial == nil { try checkWritten(file, size: size, isWhole: isReadable, and: check) }
      }
      return (reports, byteCount, containerBytes)
    }
  }

  private var ncz: NCZSource? { if case .ncz(let source) = source { source } else { nil } }

  // MARK: One tensor

  private func write(
    _ index: Int, to writer: inout Writer, _ writing: WritingOptions, change: Change?, steps: inout [Step]
  ) throws -> TensorReport {
    if change == nil, let (record, payloads) = writing.trial?.carried[index] {
      var tensor = record
      tensor.parts = try payloads.map { try writer.count(payloadLike: $0) }
      return TensorReport(tensor: tensor, storedBytes: payloads.reduce(0) { $0 + $1.size }, outcome: .carried)
    }
    var tensor = tensors[index]
    var stored = 0
    let isChanged = change?.entry != nil
    // Chunks are encoded to see whether they can be restored: those of changed tensors, and of a `.ncz` all.
    let isMirrored = tensor.isChunked && (isChanged || !tensor.history.isEmpty || kind == .ncz)
    if let change {
      if let entry = change.entry {
        tensor.history.append(entry.numbered(in: &steps, after: ncz?.directory.steps.count ?? 0))
        tensor.extensions = tensor.extensions.withoutDerived
      }
      (tensor.parts, stored) = try write(
        change.values, change.digest, of: &tensor, to: &writer, writing, isMirrored: isMirrored
      ) { didReach(index, bytes: tensors[index].size / 2 + $0 / 2) }
    } else if case .ncz(let source) = source, writing.isMapped != source.reader.isMapped, tensor.unsupported == nil {
      // The blocks of a mapped file are no frames, and the bytes of its arrays are not regrouped.
      try forEachPiece(of: index, checkingDigest: true) { _ in }
      (tensor.parts, stored) = try write(
        .weights(try weights(of: index)), tensor.digest, of: &tensor, to: &writer, writing, isMirrored: isMirrored
      ) { didReach(index, bytes: $0) }
    } else if case .ncz(let source) = source {
      // Its blocks are copied as they are; what is wrong in them must not be passed on.
      if tensor.unsupported == nil { try forEachPiece(of: index, checkingDigest: true) { _ in } }
      tensor.parts = []
      for payload in tensors[index].parts {
        let blocks = source.reader.blocks(of: payload)
        tensor.parts.append(try writer.beginPayload(isMirrored: isMirrored))
        for number in 0..<blocks.count {
          let bytes = try blocks.bytes(number)
          stored += bytes.count
          try writer.append(block: bytes, crc: blocks.crc(number))
        }
      }
    } else {
      (tensor.parts, stored) = try withValues(of: index) { values in
        try write(carried: values, of: &tensor, to: &writer, writing) { didReach(index, bytes: $0) }
      }
    }
    if case .hdf5(let source) = source, case .chunked(let address, let chunks, _) = tensor.place {
      // A changed dataset is encoded anew; another may be left out only when that gives the same bytes again.
      let isKept = !isChanged && !source.reencodesExactly(address)
      tensor.place = .chunked(address: address, chunks: chunks, isKept: isKept)
    }
    if change == nil { writing.trial?.carried[index] = (tensor, tensor.parts.map { writer[$0] }) }
    return TensorReport(tensor: tensor, storedBytes: stored, outcome: change?.outcome ?? .carried, kept: change?.kept)
  }

  /// Encodes values, appends their payloads, and sets encoding and digest.
  private func write(
    _ values: NewValues, _ digest: Digest?, of tensor: inout TensorRecord, to writer: inout Writer,
    _ writing: WritingOptions, isMirrored: Bool, didReach: (Int) -> Void
  ) throws -> (parts: [Int], stored: Int) {
    let threads = options.threads
    let encoded = try withoutActuallyEscaping(didReach) { didReach in
      try TensorEncoder(tensor: tensor, writing: writing, threads: threads, didReach: didReach).encode(values)
    }
    tensor.digest = digest ?? values.digest(type: tensor.type, shape: tensor.shape, threads: threads)
    return try write(encoded, of: &tensor, to: &writer, isMirrored: isMirrored)
  }

  private func write(
    _ encoded: EncodedValues, of tensor: inout TensorRecord, to writer: inout Writer, isMirrored: Bool
  ) throws -> (parts: [Int], stored: Int) {
    tensor.encoding = encoded.encoding
    return (try encoded.parts.map { try $0.write(to: &writer, isMirrored: isMirrored) }, encoded.byteCount)
  }

  /// Writes values that nobody changed.
  private func write(
    carried values: UnsafeRawBufferPointer, of tensor: inout TensorRecord, to writer: inout Writer,
    _ writing: WritingOptions, didReach: (Int) -> Void
  ) throws -> (parts: [Int], stored: Int) {
    let threads = options.threads
    tensor.digest = Digest(values: values, type: tensor.type, shape: tensor.shape, threads: threads)
    return try withoutActuallyEscaping(didReach) { didReach in
      let encoder = TensorEncoder(tensor: tensor, writing: writing, threads: threads, didReach: didReach)
      if let encoded = try encoder.unlikeNoise(values) {
        return try write(encoded, of: &tensor, to: &writer, isMirrored: false)
      }
      // Large as they may be, they need not wait.
      let payload = try writer.beginPayload()
      let before = writer.byteCount
      let codec = try encoder.encodeRaw(values) { try writer.append(block: $0) }
      tensor.encoding = .raw(planes: codec.planes)
      return ([payload], writer.byteCount - before)
    }
  }

  // MARK: The container

  private func writeContainer(
    of tensors: [TensorRecord], to writer: inout Writer, _ writing: WritingOptions
  ) throws -> (record: Directory.Container?, payload: Int)? {
    switch source {
    case .hdf5(let source):
      let holes = try Place.holes(of: tensors, size: size)
      let remaining = RemainingBytes(size: size, holes: holes)
      func record(_ digest: Digest) -> Directory.Container {
        Directory.Container(kind: source.containerKind, digest: digest, offset: source.offset, size: size)
      }
      if let known = writing.trial?.containers[remaining.count] {
        return (record(.placeholder(-1)), try writer.count(payloadLike: known))
      }
      let codec = try containerCodec(byteCount: remaining.count)
      let payload = try writer.beginPayload(isMirrored: true)
      let level = writing.containerLevel(byteCount: remaining.count)
      var folded = FoldedBytes()
      var cursor = (run: 0, start: 0)
      let threads = options.threads
      // As many pieces at once as keep the threads busy, so that a large container is never whole in memory.
      let batch = 4 * threads.count
      for first in stride(from: 0, to: codec.blockCount, by: batch) {
        let pieces = try (first..<min(first + batch, codec.blockCount)).map { number in
          let piece = codec.piece(number)
          var bytes: [UInt8] = []
          bytes.reserveCapacity(piece.count)
          for run in remaining.runs(at: piece.lowerBound, count: piece.count, cursor: &cursor) {
            bytes += try read(source.file, at: run.offset, count: run.length)
          }
          return bytes
        }
        let blocks = try threads.map(pieces.count) { number in
          pieces[number].withUnsafeBytes { codec.encode(piece: $0, level: level) }
        }
        for block in blocks { try writer.append(block: block) }
        for piece in pieces { piece.withUnsafeBytes { folded.update($0) } }
      }
      writing.trial?.containers[remaining.count] = writer[payload]
      return (record(folded.digest(containerKind: source.containerKind.rawValue, size: size)), payload)
    case .ncz(let source):
      guard let number = source.directory.containerPayload else { return nil }
      let blocks = source.reader.blocks(of: number)
      let payload = try writer.beginPayload(isMirrored: true)
      try source.checkContainer(threads: options.threads)
      for number in 0..<blocks.count { try writer.append(block: try blocks.bytes(number), crc: blocks.crc(number)) }
      return (source.directory.container, payload)
    }
  }
}

extension TensorRecord {
  /// The same without its place in the source file.
  fileprivate var withoutSource: TensorRecord {
    var tensor = self
    (tensor.path, tensor.aliases, tensor.byteOrder, tensor.place, tensor.foreignPlace) = (nil, [], .little, nil, nil)
    if case .object(let members) = foreign?.json {
      let source: Set<String> = ["aliases", "byte_order", "path", "place"]
      tensor.foreign?.json = .object(members.filter { !source.contains($0.key) })
    }
    return tensor
  }
}

extension HistoryEntry {
  /// The same with the number of its step, which joins `steps` unless this run took the same one before.
  ///
  /// - Parameter first: the number of this run's first step.
  fileprivate func numbered(in steps: inout [Step], after first: Int) -> HistoryEntry {
    var entry = self
    if let known = steps[first...].firstIndex(of: step) {
      entry.stepNumber = known
    } else {
      entry.stepNumber = steps.count
      steps.append(step)
    }
    return entry
  }
}
