internal import CHDF5
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The argument that makes an executable a child.
let childArgument = "--hdf5-child"
/// Where the child finds its end of the channel, and the file.
let channelDescriptor: CInt = 3
let fileDescriptor = CInt(chdf5_descriptor)
/// Where it finds the file that the other is copied to, if there is one.
let copyDescriptor = CInt(chdf5_copy_descriptor)

/// The parent's view of the child: sends requests, receives answers, all within one allowance of time.
///
/// Every answer is as untrusted as the file that the child reads.
struct ChildProcess: ~Copyable {
  private var process: pid_t
  private let channel: CInt
  /// Seconds the child has had so far; time the parent spends elsewhere is not counted.
  private var spent = 0.0
  private let seconds: Double

  init(executable: String, file: CInt, copy: CInt?, seconds: Double) throws(HDF5Error) {
    var pair: [CInt] = [-1, -1]
    guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
      throw .io("cannot make a socket pair: \(Errno(rawValue: errno))")
    }
    // Above the numbers that the child will use, so that no action overwrites the source of a later one.
    let childEnd = fcntl(pair[1], F_DUPFD_CLOEXEC, 10)
    let childFile = fcntl(file, F_DUPFD_CLOEXEC, 10)
    let childCopy = copy.map { fcntl($0, F_DUPFD_CLOEXEC, 10) }
    defer {
      for descriptor in [pair[1], childEnd, childFile, childCopy ?? -1] where descriptor >= 0 {
        Glibc.close(descriptor)
      }
    }
    guard childEnd >= 0, childFile >= 0, childCopy ?? 0 >= 0,
      let process = Self.spawn(executable, channel: childEnd, file: childFile, copy: childCopy)
    else {
      let reason = Errno(rawValue: errno)
      Glibc.close(pair[0])
      throw .io("cannot start a process to read HDF5: \(reason)")
    }
    self.process = process
    self.channel = pair[0]
    self.seconds = seconds
  }

  /// Starts a child and lets it open its file.
  static func opening(
    _ file: FileDescriptor, copy: FileDescriptor? = nil, _ mode: Mode, limits: Limits
  ) throws(HDF5Error) -> ChildProcess {
    var child = try ChildProcess(
      executable: Session.executable.string, file: file.rawValue, copy: copy?.rawValue, seconds: limits.seconds)
    var request = WireWriter()
    request.write(limits.memory)
    request.write(UInt64(max(1, min(limits.seconds.rounded(.up), 1e6))))
    request.write(mode.rawValue)
    _ = try child.ask(.open, request.bytes, most: 0)
    return child
  }

  deinit {
    Glibc.close(channel)
    if process > 0 {
      kill(process, SIGKILL)
      waitForEnd(of: process)
    }
  }

  private static func spawn(_ executable: String, channel: CInt, file: CInt, copy: CInt?) -> pid_t? {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in 0..<3 as Range<CInt> {
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    posix_spawn_file_actions_adddup2(&actions, channel, channelDescriptor)
    posix_spawn_file_actions_adddup2(&actions, file, fileDescriptor)
    if let copy { posix_spawn_file_actions_adddup2(&actions, copy, copyDescriptor) }

    // Nothing of the caller's environment can make libhdf5 load a plugin or print. The dynamic loader's path
    // is kept: without it the executable might not start a second time.
    var environment = ["HDF5_USE_FILE_LOCKING=FALSE", "SWIFT_BACKTRACE=enable=no"]
    if let path = getenv("LD_LIBRARY_PATH") { environment.append("LD_LIBRARY_PATH=" + String(cString: path)) }
    let arguments = (["hdf5", childArgument] as [String]).map { strdup($0) } + [nil]
    let variables = environment.map { strdup($0) } + [nil]
    defer { for pointer in arguments + variables { free(pointer) } }

    var process: pid_t = 0
    let result = posix_spawn(&process, executable, &actions, nil, arguments, variables)
    errno = result
    return result == 0 ? process : nil
  }

  // MARK: Messages

  /// Sends a request and waits for its answer.
  /// - Parameter most: bytes the answer may have.
  mutating func ask(_ request: Request, _ payload: [UInt8] = [], most: Int) throws(HDF5Error) -> [UInt8] {
    try send(request, payload)
    return try receive(most: most)
  }

  mutating func send(_ request: Request, _ payload: [UInt8]) throws(HDF5Error) {
    var header = WireWriter()
    header.write(request.rawValue)
    header.write(UInt64(payload.count))
    try send(header.bytes)
    try send(payload)
  }

  mutating func receive(most: Int) throws(HDF5Error) -> [UInt8] {
    var header = WireReader(try receive(count: frameHeaderSize))
    // Complaints are short. After anything else the two sides would no longer agree on where a message begins.
    guard let answer = Answer(rawValue: try header.integer()), case let count = try header.integer(UInt64.self),
      count <= (answer == .done ? most : 1 << 16)
    else {
      end()
      throw WireReader.nonsense
    }
    let payload = try receive(count: Int(count))
    // Only an error is a text: values would be checked for being UTF-8.
    if answer != .done, let error = answer.error(String(decoding: payload, as: UTF8.self)) { throw error }
    return payload
  }

  private mutating func send(_ bytes: [UInt8]) throws(HDF5Error) {
    var done = 0
    while done < bytes.count {
      try wait(for: POLLOUT)
      // MSG_NOSIGNAL: a dead child must not kill us by SIGPIPE.
      let count = bytes[done...].withUnsafeBytes {
        Glibc.send(channel, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
      }
      if count >= 0 {
        done += count
      } else if errno != EINTR, errno != EAGAIN {
        throw causeOfDeath()
      }
    }
  }

  private mutating func receive(count: Int) throws(HDF5Error) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      try wait(for: POLLIN)
      let received = bytes.withUnsafeMutableBytes {
        recv(channel, $0.baseAddress! + done, count - done, CInt(MSG_DONTWAIT))
      }
      if received > 0 {
        done += received
      } else if received == 0 || (errno != EINTR && errno != EAGAIN) {
        throw causeOfDeath()
      }
    }
    return bytes
  }

  /// Waits until the channel is ready, within what is left of the child's time.
  private mutating func wait(for events: CInt) throws(HDF5Error) {
    let start = Self.now()
    defer { spent += Self.now() - start }
    while true {
      let left = seconds - spent - (Self.now() - start)
      guard left > 0 else {
        end()
        throw tooLong()
      }
      var entry = pollfd(fd: channel, events: Int16(events), revents: 0)
      let ready = poll(&entry, 1, CInt(min((left * 1000).rounded(.up), 1e9)))
      if ready > 0 { return }
      if ready < 0, errno != EINTR, errno != EAGAIN { throw .io("poll: \(Errno(rawValue: errno))") }
    }
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  // MARK: The end

  private func tooLong() -> HDF5Error {
    .overLimit("reading its HDF5 structure takes more than \(seconds.formatted) s")
  }

  /// Kills a child that still runs, and collects it.
  private mutating func end() {
    guard process > 0 else { return }
    kill(process, SIGKILL)
    waitForEnd(of: process)
    process = 0
  }

  /// What became of a child that hung up.
  private mutating func causeOfDeath() -> HDF5Error {
    guard process > 0 else { return .io("the process that reads HDF5 has ended") }
    let status = waitForEnd(of: process)
    process = 0
    let signal = status & 0x7f
    switch signal {
    case 0: return .corrupt("libhdf5 gave up on this file (status \(status >> 8 & 0xff))")
    case SIGXCPU, SIGKILL: return tooLong()
    case SIGXFSZ: return .overLimit("its copy grows much larger than the file")
    default: return .corrupt("libhdf5 died by signal \(signal) on this file")
    }
  }
}

@discardableResult
private func waitForEnd(of process: pid_t) -> CInt {
  var status: CInt = 0
  while waitpid(process, &status, 0) < 0, errno == EINTR {}
  return status
}

extension Double {
  /// Without a fraction where there is none.
  fileprivate var formatted: String { self == rounded() && self < 1e15 ? String(Int(self)) : String(self) }
}
