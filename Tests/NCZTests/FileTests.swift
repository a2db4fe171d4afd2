// SPDX-License-Identifier: Apache-2.0

import JSON
import Random
import SystemPackage
import TestSupport
import Testing

@testable import NCZ

@Suite("Files")
struct FileTests {
  /// What a file holds, as far as this module knows.
  struct Content: Equatable {
    var payloads: [[[UInt8]]]
    var directory: JSONValue

    func write(to file: FileDescriptor) throws -> Int {
      var writer = try Writer(to: file)
      for (number, blocks) in payloads.enumerated() {
        #expect(try writer.beginPayload() == number)
        for block in blocks { try writer.append(block: block) }
      }
      return try writer.finish(content: directory)
    }

    init(payloads: [[[UInt8]]], directory: JSONValue) {
      self.payloads = payloads
      self.directory = directory
    }

    /// Reads and checks every byte.
    init(_ file: FileDescriptor, size: Int) throws(NCZError) {
      let reader = try Reader(file, size: size)
      try reader.checkPadding()
      payloads = []
      for number in reader.payloads.indices {
        let blocks = reader.blocks(of: number)
        var payload: [[UInt8]] = []
        for index in 0..<blocks.count { payload.append(try blocks.bytes(index)) }
        payloads.append(payload)
      }
      directory = reader.content
    }

    /// Reads a file of these bytes.
    static func read(_ bytes: [UInt8]) throws -> Content { try read(OpenFile(bytes)) }
    static func read(_ file: OpenFile) throws -> Content { try file.with { try Content($0, size: $1) } }
  }

  private let small = Content(
    payloads: [[Array("payload".utf8), [0, 255]], [], [[7]]],
    directory: .object([.init("tensors", .array([.integer(1)])), .init("x-é", .string("\u{1}"))]))

  private func bytes(of content: Content) throws -> [UInt8] {
    let file = try OpenFile()
    let size = try file.with { file, _ in try content.write(to: file) }
    let bytes = try file.bytes
    #expect(size == bytes.count)
    return bytes
  }

  /// read(write(x)) = x, every payload starts on a boundary, and the same content gives the same bytes.
  @Test(arguments: 0..<40 as Range<UInt64>) func whatIsWrittenIsRead(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let payloads = (0..<Int.random(in: 0...6, using: &random)).map { _ in
      (0..<Int.random(in: 0...4, using: &random)).map { _ in
        (0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      }
    }
    let content = Content(payloads: payloads, directory: .object([.init("seed", .integer(Int(seed)))]))
    let written = try bytes(of: content)
    #expect(try Content.read(written) == content)
    #expect(try bytes(of: content) == written)
    let reader = try OpenFile(written).with { try Reader($0, size: $1) }
    #expect(reader.fileSize == written.count && reader.version == (0, 1))
    #expect(reader.payloads.allSatisfy { $0.offset % 64 == 0 })
    #expect(reader.payloads.map(\.size) == payloads.map { $0.reduce(0) { $0 + $1.count } })
    for (number, payload) in payloads.enumerated() {
      let blocks = reader.blocks(of: number)
      #expect((0..<blocks.count).map { blocks.size($0) } == payload.map(\.count))
      #expect((0..<blocks.count).map { blocks.crc($0) } == payload.map { crc32($0) })
    }
  }

  @Test func blocksOfTheGreatestSizeAreRead() throws {
    let content = Content(
      payloads: [[[UInt8](repeating: 5, count: Format.maxBlockSize)], [[1]]], directory: .object([]))
    #expect(try Content.read(bytes(of: content)) == content)
  }

  /// A codec of bytes that are all the same, whose frame is one of them.
  private static let runs = DirectoryCodec { bytes in
    bytes.count > 1 ? Array(bytes.prefix(1)) : nil
  } decompress: { (frame, count) throws(NCZError) in
    guard frame == Array("{".utf8) else { throw .corrupt(offset: 0, "no run") }
    return Array("{\"payloads\":[]}".utf8) + [UInt8](repeating: 0x20, count: max(0, count - 15))
  }

  /// A directory in a frame is decoded by the codec, to as many bytes as the trailer says.
  @Test func aDirectoryMayBeAFrame() throws {
    let file = try OpenFile()
    let size = try file.with { file, _ in try Writer(to: file, codec: Self.runs).finish(content: .object([])) }
    #expect(size == 192)
    try file.with { file, size in
      let reader = try Reader(file, size: size, codec: Self.runs)
      #expect(reader.directorySize == 1 && reader.payloads.isEmpty)
      #expect(fault { _ = try Reader(file, size: size) } == "unsupported: a")
    }
    try file.replace(at: 64, with: UInt8(ascii: "["))
    #expect(fault { _ = try file.with { try Reader($0, size: $1, codec: Self.runs) } } == "corrupt 64: directory")
  }

  // MARK: Damage

  @Test func everyTruncationIsCorrupt() throws {
    let sound = try bytes(of: small)
    for size in 0..<sound.count {
      let error = #expect(throws: NCZError.self) { try Content.read(Array(sound.prefix(size))) }
      guard case .corrupt = error else {
        Issue.record("\(size) of \(sound.count) bytes: \(String(describing: error))")
        continue
      }
    }
  }

  /// A byte that is changed leaves content or gives an error: nothing is covered by no check.
  @Test func everyChangedByteIsRejected() throws {
    let sound = try bytes(of: small)
    let file = try OpenFile(sound)
    var cases = 0
    for offset in sound.indices {
      for mask in [1, 2, 4, 8, 16, 32, 64, 128, 255] as [UInt8] {
        try file.replace(at: offset, with: sound[offset] ^ mask)
        #expect(throws: NCZError.self, "byte \(offset) xor \(mask)") { try Content.read(file) }
        cases += 1
      }
      try file.replace(at: offset, with: sound[offset])
    }
    #expect(cases == 9 * sound.count)
    #expect(try Content.read(file) == small)
  }

  @Test func bytesAfterTheTrailerAreCorrupt() throws {
    let sound = try bytes(of: small)
    #expect(fault { _ = try Content.read(sound + [0]) } == "corrupt \(sound.count + 1 - 64): no")
    #expect(fault { _ = try Content.read(sound + sound) } == "corrupt \(2 * sound.count - 48): the")
  }

  @Test func whatIsNoneOfOursIsToldFromWhatWasCut() throws {
    #expect(fault { _ = try Content.read([]) } == "corrupt 0: no")
    #expect(
      fault { _ = try Content.read(Array("no network, a text that is longer than a header and shorter than two".utf8)) }
        == "corrupt 0: no")
    #expect(fault { _ = try Content.read(Array(bytes(of: small).prefix(100))) } == "corrupt 100: the")
  }

  /// A file that shrinks while it is open.
  @Test func aFileCutWhileItIsReadIsCorrupt() throws {
    let sound = try bytes(of: small)
    try OpenFile(sound).with { file, size in
      let reader = try Reader(file, size: size)
      try file.resize(to: 64)
      #expect(fault { _ = try reader.blocks(of: 0).bytes(0) } == "corrupt 64: the")
    }
  }

  // MARK: Directories

  /// A file without payloads around these bytes as its directory; checks and places are right.
  private func file(directory: [UInt8], between: [UInt8] = []) -> [UInt8] {
    var bytes = Header(major: 0, minor: 1, requiredFeatures: 0).bytes + between
    bytes += [UInt8](repeating: 0, count: Format.padding(after: bytes.count))
    let offset = bytes.count
    bytes += directory
    bytes += [UInt8](repeating: 0, count: Format.padding(after: bytes.count))
    return bytes
      + Trailer(
        directoryOffset: offset, directorySize: directory.count, directoryCRC: crc32(directory),
        fileSize: bytes.count + 64
      ).bytes
  }

  @Test(arguments: [
    "", "{", "[]", "null", "{}", "{\"payloads\":{}}", "{\"payloads\":[] }", "{\"payloads\":[]}\n",
    "{\"payloads\":[],\"a\":1}", "{\"a\":1,\"a\":1,\"payloads\":[]}", "{\"a\":1.0,\"payloads\":[]}",
    "{\"a\":-0,\"payloads\":[]}", "{\"a\":\"\\n\",\"payloads\":[]}", "{\"a\":\"\\/\",\"payloads\":[]}",
    "\u{FEFF}{\"payloads\":[]}",
  ])
  func onlyTheCanonicalFormIsADirectory(text: String) {
    #expect(fault { _ = try Content.read(file(directory: Array(text.utf8))) } == "corrupt 64: directory:")
  }

  /// One payload of three bytes at 64: what its entry in the directory may not say.
  @Test(arguments: [
    "1", "{}", "{\"blocks\":[[3,1]]}", "{\"blocks\":[[3,1]],\"offset\":0}", "{\"blocks\":[[3,1]],\"offset\":128}",
    "{\"blocks\":[[3,1]],\"offset\":-64}", "{\"blocks\":[[3,1]],\"offset\":\"64\"}", "{\"blocks\":[[3]],\"offset\":64}",
    "{\"blocks\":[[3,1,1]],\"offset\":64}", "{\"blocks\":[[-3,1]],\"offset\":64}",
    "{\"blocks\":[[3,-1]],\"offset\":64}", "{\"blocks\":[[3,4294967296]],\"offset\":64}",
    "{\"blocks\":[3],\"offset\":64}", "{\"blocks\":[[65,1]],\"offset\":64}",
    "{\"blocks\":[[1048576,1],[1048576,1]],\"offset\":64}",
  ])
  func payloadsMustBeWellFormed(entry: String) {
    let bytes = file(directory: Array("{\"payloads\":[\(entry)]}".utf8), between: [1, 2, 3])
    #expect(fault { _ = try Content.read(bytes) } == "corrupt 128: directory:")
  }

  @Test func payloadsMustFillTheFile() {
    for directory in ["{\"payloads\":[]}", "{\"payloads\":[{\"blocks\":[],\"offset\":64}]}"] {
      #expect(fault { _ = try Content.read(file(directory: Array(directory.utf8), between: [1])) } == "corrupt 64: 64")
    }
    let nothing = "{\"payloads\":[{\"blocks\":[],\"offset\":64},{\"blocks\":[],\"offset\":64}]}"
    #expect(throws: Never.self) { try Content.read(file(directory: Array(nothing.utf8))) }
  }

  // MARK: Limits and failures

  @Test func aBlockOverTheLimitIsNotWritten() throws {
    try OpenFile().with { file, _ in
      var writer = try Writer(to: file)
      _ = try writer.beginPayload()
      let block = [UInt8](repeating: 0, count: Format.maxBlockSize + 1)
      #expect(fault { try writer.append(block: block) } == "over limit: a")
      _ = try writer.finish(content: .object([]))
    }
  }

  @Test func aDeclaredDirectoryOverTheLimitIsNotRead() throws {
    var bytes = try bytes(of: small)
    let start = bytes.count - 64
    bytes.replaceSubrange(start + 8..<start + 16, with: [1, 0, 0, 16, 0, 0, 0, 0])
    bytes = withCRC(bytes, of: start..<start + 52, at: start + 52)
    #expect(fault { _ = try Content.read(bytes) } == "over limit: a")
  }

  @Test func aFullDeviceIsAnOutputError() throws {
    let full = try FileDescriptor.open("/dev/full", .writeOnly, options: .closeOnExec)
    defer { try? full.close() }
    #expect(throws: NCZError.output(.noSpace)) { _ = try Writer(to: full).finish(content: .object([])) }
  }

  @Test func anUnreadableFileIsAnInputError() throws {
    let file = try FileDescriptor.open("/dev/null", .writeOnly, options: .closeOnExec)
    defer { try? file.close() }
    #expect(throws: NCZError.io(.badFileDescriptor)) { _ = try Reader(file, size: 192) }
  }
}
