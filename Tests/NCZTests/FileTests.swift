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
    var isMapped = false

    func write(to file: FileDescriptor) throws -> Int {
      var writer = try Writer(to: file, isMapped: isMapped)
      for (number, blocks) in payloads.enumerated() {
        #expect(try writer.beginPayload() == number)
        for block in blocks { try writer.append(block: block) }
      }
      return try writer.finish(content: directory)
    }

    init(payloads: [[[UInt8]]], directory: JSONValue, isMapped: Bool = false) {
      self.payloads = payloads
      self.directory = directory
      self.isMapped = isMapped
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
      isMapped = reader.isMapped
    }

    /// Reads a file of these bytes.
    static func read(_ bytes: [UInt8]) throws -> Content { try read(OpenFile(bytes)) }
    static func read(_ file: OpenFile) throws -> Content { try file.with { try Content($0, size: $1) } }
  }

  private let small = Content(
    payloads: [[Array("payload".utf8), [0, 255]], [], [[7]]],
    directory: .object([.init("tensors", .array([.integer(1)])), .init("x-é", .string("\u{1}"))]))

  private var smallMapped: Content {
    Content(payloads: small.payloads, directory: small.directory, isMapped: true)
  }

  private func bytes(of content: Content) throws -> [UInt8] {
    let file = try OpenFile()
    let size = try file.with { file, _ in try content.write(to: file) }
    let bytes = try file.bytes
    #expect(size == bytes.count)
    return bytes
  }

  /// read(write(x)) = x, and the same content gives the same bytes. Payloads follow one another without gaps; when
  /// mapped, each starts at the next multiple of 64.
  @Test(arguments: 0..<40 as Range<UInt64>) func whatIsWrittenIsRead(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let payloads = (0..<Int.random(in: 0...6, using: &random)).map { _ in
      (0..<Int.random(in: 0...4, using: &random)).map { _ in
        (0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      }
    }
    for isMapped in [false, true] {
      let content = Content(
        payloads: payloads, directory: .object([.init("seed", .integer(Int(seed)))]), isMapped: isMapped)
      let written = try bytes(of: content)
      #expect(try Content.read(written) == content)
      #expect(try bytes(of: content) == written)
      let reader = try OpenFile(written).with { try Reader($0, size: $1) }
      #expect(reader.fileSize == written.count && reader.version == (0, 2) && reader.isMapped == isMapped)
      #expect(reader.payloads.map(\.size) == payloads.map { $0.reduce(0) { $0 + $1.count } })
      var end = 32
      for (number, payload) in payloads.enumerated() {
        let blocks = reader.blocks(of: number)
        #expect((0..<blocks.count).map { blocks.size($0) } == payload.map(\.count))
        #expect((0..<blocks.count).map { blocks.crc($0) } == payload.map { crc32($0) })
        let offset = reader.payloads[number].offset
        #expect(offset == (isMapped ? (end + 63) / 64 * 64 : end))
        #expect(written[end..<offset].allSatisfy { $0 == 0 })
        #expect(Array(written[offset..<offset + reader.payloads[number].size]) == payload.flatMap { $0 })
        end = offset + reader.payloads[number].size
      }
      #expect(reader.directoryOffset == end && end + reader.directorySize + 32 == written.count)
    }
  }

  @Test func blocksOfTheGreatestSizeAreRead() throws {
    let content = Content(
      payloads: [[[UInt8](repeating: 5, count: Format.maxBlockSize)], [[1]]], directory: .object([]))
    #expect(try Content.read(bytes(of: content)) == content)
  }

  /// A codec whose frame is the two bytes that the text begins with.
  private static let beginnings = DirectoryCodec { bytes in
    Array(bytes.prefix(2))
  } decompress: { (frame, count) throws(NCZError) in
    guard frame == Array("{\"".utf8) else { throw .corrupt(offset: 0, "no beginning") }
    return Array("{\"payloads\":[]}".utf8) + [UInt8](repeating: 0x20, count: max(0, count - 15))
  }

  /// A directory in a frame is decoded by the codec, to as many bytes as the trailer says. No file is smaller than one
  /// with a directory of two bytes.
  @Test func aDirectoryMayBeAFrame() throws {
    let file = try OpenFile()
    let size = try file.with { file, _ in try Writer(to: file, codec: Self.beginnings).finish(content: .object([])) }
    #expect(size == 66)
    try file.with { file, size in
      let reader = try Reader(file, size: size, codec: Self.beginnings)
      #expect(reader.directorySize == 2 && reader.payloads.isEmpty)
      #expect(fault { _ = try Reader(file, size: size) } == "unsupported: a")
    }
    try file.replace(at: 32, with: UInt8(ascii: "["))
    #expect(fault { _ = try file.with { try Reader($0, size: $1, codec: Self.beginnings) } } == "corrupt 32: directory")
  }

  // MARK: Damage

  @Test(arguments: [false, true]) func everyTruncationIsCorrupt(isMapped: Bool) throws {
    let sound = try bytes(of: isMapped ? smallMapped : small)
    for size in 0..<sound.count {
      let error = #expect(throws: NCZError.self) { try Content.read(Array(sound.prefix(size))) }
      guard case .corrupt = error else {
        Issue.record("\(size) of \(sound.count) bytes: \(String(describing: error))")
        continue
      }
    }
  }

  /// A byte that is changed leaves content or gives an error: nothing is covered by no check.
  @Test(arguments: [false, true]) func everyChangedByteIsRejected(isMapped: Bool) throws {
    let content = isMapped ? smallMapped : small
    let sound = try bytes(of: content)
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
    #expect(try Content.read(file) == content)
  }

  @Test func bytesAfterTheTrailerAreCorrupt() throws {
    let sound = try bytes(of: small)
    #expect(fault { _ = try Content.read(sound + [0]) } == "corrupt \(sound.count + 1 - 32): no")
    #expect(fault { _ = try Content.read(sound + sound) } == "corrupt \(2 * sound.count - 32): the")
  }

  @Test func whatIsNoneOfOursIsToldFromWhatWasCut() throws {
    #expect(fault { _ = try Content.read([]) } == "corrupt 0: no")
    for text in ["no network, a text longer than a header", String(repeating: "a text longer than a file ", count: 9)] {
      #expect(fault { _ = try Content.read(Array(text.utf8)) } == "corrupt 0: no")
    }
    #expect(fault { _ = try Content.read(Array(bytes(of: small).prefix(65))) } == "corrupt 65: the")
    #expect(fault { _ = try Content.read(Array(bytes(of: small).prefix(66))) } == "corrupt 34: no")
  }

  /// A file that shrinks while it is open.
  @Test func aFileCutWhileItIsReadIsCorrupt() throws {
    let sound = try bytes(of: small)
    try OpenFile(sound).with { file, size in
      let reader = try Reader(file, size: size)
      try file.resize(to: 32)
      #expect(fault { _ = try reader.blocks(of: 0).bytes(0) } == "corrupt 32: the")
    }
  }

  // MARK: Directories

  /// A file with these bytes as its payloads and its directory; checks and places are right.
  private func file(directory: String, payloads: [UInt8] = []) -> [UInt8] {
    let directory = Array(directory.utf8)
    let bytes = Header(major: 0, minor: 2, requiredFeatures: 0).bytes + payloads + directory
    return bytes
      + Trailer(directorySize: directory.count, directoryCRC: crc32(directory), fileSize: bytes.count + 32).bytes
  }

  @Test(arguments: [
    "[]", "{}", "null", "{ ", "{\"payloads\":{}}", "{\"payloads\":[] }", "{\"payloads\":[]}\n",
    "{\"payloads\":[],\"a\":1}", "{\"a\":1,\"a\":1,\"payloads\":[]}", "{\"a\":1.0,\"payloads\":[]}",
    "{\"a\":-0,\"payloads\":[]}", "{\"a\":\"\\n\",\"payloads\":[]}", "{\"a\":\"\\/\",\"payloads\":[]}",
    "\u{FEFF}{\"payloads\":[]}",
  ])
  func onlyTheCanonicalFormIsADirectory(text: String) {
    #expect(fault { _ = try Content.read(file(directory: text)) } == "corrupt 32: directory:")
  }

  @Test(arguments: ["", "0"]) func noDirectoryIsSmallerThanTwoBytes(text: String) {
    #expect(fault { _ = try Content.read(file(directory: text)) } == "corrupt \(64 + text.utf8.count): the")
  }

  /// One payload of three bytes: what its entry in the directory may not say.
  @Test(arguments: [
    "1", "{}", "[3]", "[3,1,1]", "[[3,1]]", "[-3,1]", "[3,-1]", "[3,4294967296]", "[\"3\",1]", "[3,null]",
    "[3e+00,1]", "[4,1]", "[3,1,1,1]", "[1048576,1]", "[1048577,1]", "[9223372036854775807,1]",
    "[1048576,1,1048576,1]",
  ])
  func payloadsMustBeWellFormed(entry: String) {
    let bytes = file(directory: "{\"payloads\":[\(entry)]}", payloads: [1, 2, 3])
    #expect(fault { _ = try Content.read(bytes) } == "corrupt 35: directory:")
  }

  @Test func payloadsMustFillTheFile() {
    for (payloads, end) in [("", 32), ("[]", 32), ("[2,1]", 34), ("[0,0],[1,1,1,1]", 34)] {
      let bytes = file(directory: "{\"payloads\":[\(payloads)]}", payloads: [1, 2, 3])
      #expect(fault { _ = try Content.read(bytes) } == "corrupt \(end): \(35 - end)")
    }
    #expect(throws: Never.self) { try Content.read(file(directory: "{\"payloads\":[[],[0,0],[0,0,0,0]]}")) }
  }

  // MARK: Mapped files

  @Test(arguments: ["false", "null", "1", "\"true\""]) func mappedIsTrueOrNothing(value: String) {
    let bytes = file(directory: "{\"mapped\":\(value),\"payloads\":[]}")
    #expect(fault { _ = try Content.read(bytes) } == "corrupt 32: directory:")
  }

  /// Where a mapped file has its payloads, another has none, and the other way round.
  @Test func mappedDecidesWherePayloadsStart() {
    let padding = [UInt8](repeating: 0, count: 32)
    let entry = "[3,\(crc32([1, 2, 3]))]"
    #expect(throws: Never.self) {
      try Content.read(file(directory: "{\"payloads\":[\(entry)]}", payloads: [1, 2, 3]))
      try Content.read(file(directory: "{\"mapped\":true,\"payloads\":[\(entry)]}", payloads: padding + [1, 2, 3]))
      try Content.read(file(directory: "{\"mapped\":true,\"payloads\":[]}"))
    }
    #expect(
      fault {
        _ = try Content.read(file(directory: "{\"mapped\":true,\"payloads\":[\(entry)]}", payloads: [1, 2, 3]))
      } == "corrupt 35: directory:")
    #expect(
      fault { _ = try Content.read(file(directory: "{\"payloads\":[\(entry)]}", payloads: padding + [1, 2, 3])) }
        == "corrupt 35: 32")
  }

  @Test func paddingOfAMappedFileIsZero() throws {
    let sound = try bytes(of: smallMapped)
    for offset in 32..<64 {
      var bytes = sound
      bytes[offset] = 1
      #expect(fault { _ = try Content.read(bytes) } == "corrupt 32: padding")
    }
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
    let start = bytes.count - 32
    bytes.replaceSubrange(start + 8..<start + 12, with: [1, 0, 0, 16])
    bytes = withCRC(bytes, of: start..<start + 20, at: start + 20)
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
