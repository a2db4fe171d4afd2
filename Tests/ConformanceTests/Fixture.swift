// SPDX-License-Identifier: Apache-2.0

import JSON
import Measures
import Networks
import Parallel
import SystemPackage
import Tensors
import TestSupport
import Testing

@testable import NCZ
@testable import Networks

/// A fixture of the format: a file and what a reader must find.
struct Fixture: Sendable, CustomTestStringConvertible {
  enum Kind: String {
    case good, bad, unsupported, truth
  }

  let kind: Kind
  let name: String

  /// `good/01-no-tensors`
  var testDescription: String { "\(kind.rawValue)/\(name)" }
  var file: FilePath { path("ncz") }

  private func path(_ type: String) -> FilePath { Fixtures.folder.appending("\(testDescription).\(type)") }

  /// What a reader must find.
  func twin() throws -> JSONValue {
    try JSONValue.parse(contents(of: path("json")))
  }

  static func all(_ kinds: Kind...) -> [Fixture] {
    kinds.flatMap { kind in
      Fixtures.files(in: Fixtures.folder.appending(kind.rawValue), extensions: ["ncz"])
        .map { Fixture(kind: kind, name: $0.stem ?? "") }
    }
  }
}

/// All that a `.ncz` file says, read and checked to the last byte.
struct Content: Equatable {
  var tensors: [TensorRecord]
  var values: [[UInt8]]
  var remaining: [UInt8]
  var network: Network?

  init(_ file: FileDescriptor, size: Int) throws(NetworkError) {
    // No limit on memory: what a file claims is refused before anything is allocated.
    let network = try NetworkFile(file, size: size, options: ReadingOptions(memory: .max, threads: Threads(1)))
    try self.init(network)
  }

  /// As `NetworkFile.test(scratch:)`, but the container need not hold HDF5.
  init(_ file: NetworkFile) throws(NetworkError) {
    guard case .ncz(let source) = file.source else { throw NetworkError(.corrupt, "not a .ncz file") }
    // What is cheap comes first: most damage shows in the checks of the stored bytes.
    try about {
      try source.reader.checkPadding()
      for payload in source.reader.payloads.indices {
        let blocks = source.reader.blocks(of: payload)
        for index in 0..<blocks.count { _ = try blocks.bytes(index) }
      }
    }
    tensors = file.tensors
    network = file.network
    values = []
    for index in tensors.indices {
      var bytes: [UInt8] = []
      if tensors[index].unsupported == nil {
        try file.forEachPiece(of: index, checkingDigest: true) { bytes.append(contentsOf: $0) }
      }
      values.append(bytes)
    }
    var remaining: [UInt8] = []
    try about {
      try source.forEachContainerPiece(threads: Threads(1)) { remaining += $1 }
      try source.checkContainer(threads: Threads(1))
    }
    self.remaining = remaining
    let digest = source.directory.contentDigest()
    guard digest == source.directory.digest else {
      throw NetworkError(.corrupt, "content digest \(source.directory.digest)")
    }
  }
}
