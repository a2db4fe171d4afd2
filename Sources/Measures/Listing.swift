// SPDX-License-Identifier: Apache-2.0

internal import HDF5
public import JSON
internal import NCZ
public import Networks
public import Tensors

/// What `nc-info` tells about a file.
public struct Listing: Sendable {
  public struct Row: Sendable {
    public var tensor: TensorRecord
    /// How it is stored, in words: an encoding of `.ncz`, or a layout of HDF5.
    public var storage: String
    /// Stored bytes.
    public var bytes: Int
    /// Stored bits for each element; `nil` for an empty tensor.
    public var bitsPerWeight: Double? {
      tensor.shape.count == 0 ? nil : 8 * Double(bytes) / Double(tensor.shape.count)
    }
  }

  public var kind: String
  public var size: Int
  /// Conventions of the HDF5 tree.
  public var layout: String?
  public var version: String?
  /// Content digest of a `.ncz` file.
  public var digest: Digest?
  /// Kind and size of the source file, and stored bytes of its remains.
  public var container: (kind: String, size: Int, bytes: Int)?
  public var rows: [Row]
  public var network: Network?
  /// Links that are carried but not followed.
  public var links: [String]
  public var notes: [String]

  /// Bytes that are neither a tensor's nor the container's: headers, directory, padding, HDF5's own structures.
  public var otherBytes: Int { size - rows.reduce(0) { $0 + $1.bytes } - (container?.bytes ?? 0) }
}

extension NetworkFile {
  /// Recorded in a `.ncz` file.
  var contentDigest: Digest? { if case .ncz(let source) = source { source.directory.digest } else { nil } }

  public var listing: Listing {
    let notes = notes + [assumption].compactMap { $0 }
    switch source {
    case .ncz(let source):
      let directory = source.directory
      return Listing(
        kind: kind.rawValue, size: size, version: "\(source.reader.version.major).\(source.reader.version.minor)",
        digest: directory.digest,
        container: directory.container.map {
          ($0.kind.rawValue, $0.size, directory.containerPayload.map { source.reader.payloads[$0].size } ?? 0)
        },
        rows: tensors.map { tensor in
          Listing.Row(
            tensor: tensor, storage: tensor.encoding.name,
            bytes: tensor.parts.reduce(0) { $0 + source.reader.payloads[$1].size })
        },
        network: network, links: [], notes: notes)
    case .hdf5(let source):
      return Listing(
        kind: kind.rawValue, size: size, layout: layout,
        rows: tensors.map { tensor in
          Listing.Row(tensor: tensor, storage: source.storage(of: tensor), bytes: tensor.place?.storedBytes ?? 0)
        },
        network: network, links: source.contents.links.map { "\($0.kind.rawValue) link \($0.path) → \($0.target)" },
        notes: notes)
    }
  }
}

extension Place {
  fileprivate var storedBytes: Int {
    switch self {
    case .contiguous(let run): run.length
    case .chunked(_, let chunks, _): chunks.reduce(0) { $0 + $1.run.length }
    }
  }
}

extension Listing {
  /// One object; its keys are documented in the manual page.
  public var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("bytes", .integer(size)),
      .init("kind", .string(kind)),
      .init("links", .array(links.map(JSONValue.string))),
      .init("notes", .array(notes.map(JSONValue.string))),
      .init("other_bytes", .integer(otherBytes)),
      .init("tensors", .array(rows.map(\.json))),
    ]
    if let layout { members.append(.init("layout", .string(layout))) }
    if let version { members.append(.init("version", .string(version))) }
    if let digest { members.append(.init("digest", .string("\(digest)"))) }
    if let network { members.append(.init("network", network.json)) }
    if let container {
      members.append(
        .init(
          "container",
          .object([
            .init("bytes", .integer(container.bytes)), .init("kind", .string(container.kind)),
            .init("size", .integer(container.size)),
          ])))
    }
    return JSONValue.object(members).canonical()
  }
}

extension Listing.Row {
  fileprivate var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("byte_order", .string(tensor.byteOrder.rawValue)),
      .init("bytes", .integer(bytes)),
      .init("encoding", .string(storage)),
      .init("history", .array(tensor.history.map(\.reportJSON))),
      .init("name", .string(tensor.name.text)),
      .init("role", .string(tensor.role.rawValue)),
      .init("shape", .array(tensor.shape.dimensions.map(JSONValue.integer))),
      .init("type", .string(tensor.type.rawValue)),
    ]
    if let bitsPerWeight { members.append(.init("bits_per_weight", .real(bitsPerWeight))) }
    if let digest = tensor.digest { members.append(.init("digest", .string("\(digest)"))) }
    if let path = tensor.path { members.append(.init("path", .string(path.text))) }
    return .object(members)
  }
}
