// SPDX-License-Identifier: Apache-2.0

internal import CHDF5
internal import CSandbox
internal import Glibc

// The child's side of a session. libhdf5 may crash, loop or allocate at will here; the parent sees it end.

/// Answers requests until the parent hangs up.
func serveAsChild() -> Never {
  closefrom(copyDescriptor + 1)
  _ = chdf5_die_with_parent()
  _ = chdf5_no_new_privileges()
  _ = chdf5_limit(CInt(chdf5_core), 0, 0)
  let channel = ChildChannel()
  do {
    guard let (request, payload) = channel.receive(), request == .open else { _exit(1) }
    var library = try OpenFile(payload)
    channel.answer([])
    while let (request, payload) = channel.receive() {
      // An error of ours or libhdf5's ends only the request; the parent decides what it means.
      do {
        if try library.answer(request, payload, channel) { _exit(0) }
      } catch {
        channel.answer(error)
      }
    }
  } catch {
    channel.answer(error)
  }
  _exit(0)
}

/// The child's end of the channel. The parent is trusted; when it has gone, so is the child.
struct ChildChannel {
  func receive() -> (Request, [UInt8])? {
    guard let header = read(frameHeaderSize) else { return nil }
    var reader = WireReader(header)
    guard let kind = try? reader.integer(UInt8.self), let request = Request(rawValue: kind),
      let count = try? reader.size(), let payload = read(count)
    else { return nil }
    return (request, payload)
  }

  func answer(_ payload: [UInt8]) { write(.done, payload) }

  func answer(_ error: HDF5Error) { write(Answer(error), Array(error.message.utf8.prefix(1 << 16))) }

  private func write(_ answer: Answer, _ payload: [UInt8]) {
    var header = WireWriter()
    header.write(answer.rawValue)
    header.write(UInt64(payload.count))
    for bytes in [header.bytes, payload] {
      var done = 0
      while done < bytes.count {
        let count = bytes[done...].withUnsafeBytes {
          send(channelDescriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
        }
        if count < 0, errno != EINTR { _exit(1) }
        done += max(0, count)
      }
    }
  }

  private func read(_ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let received = bytes.withUnsafeMutableBytes { recv(channelDescriptor, $0.baseAddress! + done, count - done, 0) }
      if received == 0 || (received < 0 && errno != EINTR) { return nil }
      done += max(0, received)
    }
    return bytes
  }
}

/// The file as libhdf5 has it open, and what is done with it.
struct OpenFile: ~Copyable {
  let file: Handle
  private let sizeAtOpening: UInt64
  private let grows: Bool
  let userBlock: UInt64
  let memory: UInt64

  init(_ options: [UInt8]) throws(HDF5Error) {
    var reader = WireReader(options)
    let memory: UInt64 = try reader.integer()
    let seconds: UInt64 = try reader.integer()
    guard let mode = Mode(rawValue: try reader.integer()) else { throw WireReader.nonsense }
    let isFiltered = try reader.bool()
    if mode != .copy { Glibc.close(copyDescriptor) }
    let baseline = addressSpaceInUse()

    guard H5PLset_loading_state(0) >= 0, H5Eset_auto2(0, nil, nil) >= 0 else {
      throw .io("libhdf5 cannot be started")
    }
    try registerLZF()
    try LengthGuard.register()
    if mode == .read { _ = chdf5_limit(CInt(chdf5_file_size), 0, 0) }
    // The hard limit, a second later, is one that no handler can stay.
    _ = chdf5_limit(CInt(chdf5_cpu), seconds, 1)
    // The address sanitizer reserves terabytes.
    if !nc_has_sanitizer() {
      let (most, overflow) = baseline.addingReportingOverflow(memory)
      _ = chdf5_limit(CInt(chdf5_address_space), overflow ? .max : most, 0)
    }

    var status = stat()
    guard fstat(fileDescriptor, &status) == 0 else { throw .io("fstat: \(String(cString: strerror(errno)))") }
    // What is stored once may be copied several times.
    if mode == .copy { _ = chdf5_limit(CInt(chdf5_file_size), 2 * UInt64(clamping: status.st_size) + 16 << 20, 0) }

    try Self.enterSandbox(mode, isFiltered: isFiltered)

    let access = try Handle(H5Pcreate(chdf5_file_access_class()), "file access list")
    try check(H5Pset_fclose_degree(access.id, H5F_CLOSE_STRONG), "file access list")
    try check(chdf5_use_driver(access.id), "file driver")
    let file: Handle
    switch mode {
    case .read, .change, .copy:
      let opened = H5Fopen("/descriptor", mode == .change ? chdf5_read_write() : chdf5_read_only(), access.id)
      guard opened >= 0 else { throw Self.openingError() }
      file = try Handle(opened, "open")
    case .create: file = try Self.create(access)
    }

    let creation = try Handle(H5Fget_create_plist(file.id), "file creation list")
    var userBlock: hsize_t = 0
    try check(H5Pget_userblock(creation.id, &userBlock), "user block")
    sizeAtOpening = UInt64(clamping: status.st_size)
    grows = mode == .change || mode == .create
    self.userBlock = userBlock
    self.memory = memory
    self.file = file
  }

  /// Gives up everything but what libhdf5 needs for its work on the descriptors that the process holds.
  private static func enterSandbox(_ mode: Mode, isFiltered: Bool) throws(HDF5Error) {
    chdf5_prepare_libc()
    // A second wall; the only one where there is no filter.
    var error = nc_enter_landlock()
    // From here on no file can be opened, whatever this one asks for: external links, external storage and virtual
    // datasets fail by construction.
    let lowestFree = dup(channelDescriptor)
    Glibc.close(lowestFree)
    guard lowestFree >= 0, chdf5_limit(CInt(chdf5_open_files), UInt64(lowestFree), 0) == 0 else {
      throw .io("setrlimit: \(String(cString: strerror(errno)))")
    }
    if isFiltered {
      var held = nc_held_descriptors(
        channel: channelDescriptor, files: (fileDescriptor, mode == .copy ? copyDescriptor : -1),
        may_write: (mode == .change || mode == .create, mode == .copy))
      error = nc_enter_seccomp(&held)
    }
    guard error == 0 else {
      throw .io("the process that reads HDF5 cannot be confined: \(String(cString: strerror(error)))")
    }
  }

  /// Bytes of the file; while it is being changed, with those that libhdf5 has not written yet.
  var fileSize: UInt64 {
    var size: hsize_t = 0
    return grows && H5Fget_filesize(file.id, &size) >= 0 ? size : sizeAtOpening
  }

  /// - Returns: whether this was the last request.
  mutating func answer(
    _ request: Request, _ payload: [UInt8], _ channel: ChildChannel
  ) throws(HDF5Error) -> Bool {
    var reader = WireReader(payload)
    switch request {
    case .tableOfContents:
      let texts = try reader.list { (reader) throws(HDF5Error) in try reader.text() }
      var walk = Walk(texts: texts, maxBytes: Int(clamping: memory / 8))
      var writer = WireWriter()
      writer.write(try walk.tableOfContents(of: self))
      channel.answer(writer.bytes)
    case .values:
      try OpenDataset(self, address: reader.integer()).sendValues(channel)
    case .reencodes:
      var writer = WireWriter()
      writer.write(try OpenDataset(self, address: reader.integer()).reencodesExactly())
      channel.answer(writer.bytes)
    case .encode:
      try OpenDataset(self, address: reader.integer()).encode(channel)
    case .replace:
      let dataset = try OpenDataset(self, address: reader.integer())
      while !reader.isAtEnd {
        try dataset.replaceChunk(at: reader.numbers(), filterMask: reader.integer(), bytes: reader.run())
      }
      channel.answer([])
    case .add:
      var additions = try Additions(to: file.id)
      channel.answer(try additions.make(&reader))
    case .copy:
      var copy = try TreeCopy(of: self, reader.changes())
      channel.answer(try copy.complete())
    case .close:
      try check(H5Fflush(file.id, H5F_SCOPE_GLOBAL), "flush")
      try check(H5Fclose(file.id), "close")
      channel.answer([])
      return true
    case .open, .block:
      throw .io("request \(request) out of turn")
    }
    return false
  }

  /// Names the superblock's version when it is the reason.
  private static func openingError() -> HDF5Error {
    let error = libraryError("not readable as HDF5")
    guard case .unsupported(let message) = error, message.contains("superblock version") else { return error }
    let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]
    var bytes = [UInt8](repeating: 0, count: signature.count + 1)
    var offset = 0
    while pread(fileDescriptor, &bytes, bytes.count, offset) == bytes.count {
      if bytes.starts(with: signature) {
        return .unsupported("superblock version \(bytes[signature.count]); versions 0 to 3 are known")
      }
      offset = max(512, 2 * offset)
    }
    return error
  }
}

/// Bytes of address space that the process uses before it has seen the file.
private func addressSpaceInUse() -> UInt64 {
  let descriptor = open("/proc/self/statm", O_RDONLY)
  guard descriptor >= 0 else { return 0 }
  defer { close(descriptor) }
  var bytes = [UInt8](repeating: 0, count: 64)
  let count = read(descriptor, &bytes, bytes.count)
  let pages = bytes.prefix(max(0, count)).prefix { $0 != UInt8(ascii: " ") }
  return (UInt64(String(decoding: pages, as: UTF8.self)) ?? 0) * UInt64(sysconf(CInt(_SC_PAGESIZE)))
}

/// Lets libhdf5 decode LZF. It cannot encode it: h5py marks the filter as optional, so such chunks are stored
/// uncompressed.
private func registerLZF() throws(HDF5Error) {
  try addFilter("lzf", id: LZF.filter) { flags, _, _, byteCount, capacity, buffer in
    let isDecoding = flags & UInt32(H5Z_FLAG_REVERSE) != 0
    guard isDecoding, let capacity, let buffer, let bytes = buffer.pointee else { return 0 }
    let input = UnsafeRawBufferPointer(start: bytes, count: byteCount)
    guard let count = LZF.decodedCount(input), count > 0, count < 1 << 31, let decoded = malloc(count) else { return 0 }
    LZF.decode(input, into: UnsafeMutableRawBufferPointer(start: decoded, count: count))
    free(bytes)
    buffer.pointee = decoded
    capacity.pointee = count
    return count
  }
}
