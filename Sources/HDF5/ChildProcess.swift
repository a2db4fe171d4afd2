// SPDX-License-Identifier: Apache-2.0

internal import CHDF5
internal import CSandbox
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

/// The parent's view of the child: sends requests and receives answers, as long as the child gets on.
///
/// Every answer is as untrusted as the file that the child reads.
struct ChildProcess: ~Copyable {
  private var process: pid_t
  private let channel: CInt
  private let limits: Limits

  /// Starts a child and lets it open its file.
  static func opening(
    _ file: FileDescriptor, copy: FileDescriptor? = nil, _ mode: Mode, limits: Limits
  ) throws(HDF5Error) -> ChildProcess {
    guard limits.memory >= Limits.minMemory else {
      throw .overMemory("libhdf5 needs \(Limits.minMemory) bytes of memory, the limit is \(limits.memory)")
    }
    var child = try ChildProcess(file: file.rawValue, copy: copy?.rawValue, limits: limits)
    var request = WireWriter()
    request.write(limits.memory)
    request.write(UInt64(max(1, min(limits.seconds.rounded(.up), 1e6))))
    request.write(mode.rawValue)
    // Where this process may install a filter, the child must succeed.
    request.write(nc_seccomp_refusal() == 0)
    _ = try child.ask(.open, request.bytes, most: 0)
    return child
  }

  private init(file: CInt, copy: CInt?, limits: Limits) throws(HDF5Error) {
    var pair: [CInt] = [-1, -1]
    guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
      throw Self.cannotStart(errno)
    }
    defer { Glibc.close(pair[1]) }
    // Above the numbers that the child will use, so that no action overwrites the source of a later one.
    let sources = [pair[1], file] + (copy.map { [$0] } ?? [])
    var copies: [CInt] = []
    defer { for descriptor in copies { Glibc.close(descriptor) } }
    for source in sources {
      let descriptor = fcntl(source, F_DUPFD_CLOEXEC, copyDescriptor + 1)
      guard descriptor >= 0 else {
        // What begins above the limit on descriptors is "invalid".
        let error = Self.cannotStart(errno == EINVAL ? EMFILE : errno)
        Glibc.close(pair[0])
        throw error
      }
      copies.append(descriptor)
    }
    guard let process = Self.spawn((Session.standIn ?? Session.executable).string, copies) else {
      let error = Self.cannotStart(errno)
      Glibc.close(pair[0])
      throw error
    }
    self.process = process
    self.channel = pair[0]
    self.limits = limits
  }

  deinit {
    Glibc.close(channel)
    if process > 0 {
      kill(process, SIGKILL)
      waitForEnd(of: process)
    }
  }

  private static func cannotStart(_ error: CInt) -> HDF5Error {
    var reason = Errno(rawValue: error).description
    var limit = rlimit()
    if error == EMFILE, getrlimit(__rlimit_resource_t(CUnsignedInt(chdf5_open_files)), &limit) == 0 {
      reason += " (ulimit -n is \(limit.rlim_cur))"
    }
    return .io("cannot start a process to read HDF5: \(reason)")
  }

  /// - Parameter sources: what becomes the channel, the file, and the file to copy to, if there is one.
  private static func spawn(_ executable: String, _ sources: [CInt]) -> pid_t? {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in 0..<3 as Range<CInt> {
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    for (source, descriptor) in zip(sources, [channelDescriptor, fileDescriptor, copyDescriptor]) {
      posix_spawn_file_actions_adddup2(&actions, source, descriptor)
    }
    // What this process ignores or blocks must end the child all the same.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

    // Nothing of the caller's environment can make libhdf5 load a plugin or print. The dynamic loader's path
    // is kept: without it the executable might not start a second time. The time zone ":" is UTC, and no file.
    var environment = ["HDF5_USE_FILE_LOCKING=FALSE", "SWIFT_BACKTRACE=enable=no", "TZ=:"]
    if let path = getenv("LD_LIBRARY_PATH") { environment.append("LD_LIBRARY_PATH=" + String(cString: path)) }
    let arguments = (["hdf5", childArgument] as [String]).map { strdup($0) } + [nil]
    let variables = environment.map { strdup($0) } + [nil]
    defer { for pointer in arguments + variables { free(pointer) } }

    var process: pid_t = 0
    let result = posix_spawn(&process, executable, &actions, &attributes, arguments, variables)
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
      if count < 0 { try explain("send", errno) } else { done += count }
    }
  }

  /// Room is taken as bytes arrive, not as they are announced.
  private mutating func receive(count: Int) throws(HDF5Error) -> [UInt8] {
    var failure: HDF5Error?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
      do throws(HDF5Error) {
        while done < count {
          try wait(for: POLLIN)
          let received = recv(channel, buffer.baseAddress! + done, count - done, CInt(MSG_DONTWAIT))
          if received <= 0 { try explain("recv", received == 0 ? ECONNRESET : errno) } else { done += received }
        }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Throws what a failed call on the channel means, unless it is to be done again.
  private mutating func explain(_ call: String, _ error: CInt) throws(HDF5Error) {
    switch error {
    case EINTR, EAGAIN: return
    case ECONNRESET, EPIPE: throw causeOfDeath()
    default:
      end()
      throw .io("\(call) from the process that reads HDF5: \(Errno(rawValue: error))")
    }
  }

  /// Waits until the channel is ready.
  ///
  /// Lateness is no failure: the child may be stopped, wait for a disk, or for its turn on a busy machine. What ends it is
  /// too much processor time, and sleep: no processor time at all (so it has not read either: a call takes some) while it
  /// sleeps, seen `Limits.patience` long in samples, of which one that we missed ourselves is only one.
  private mutating func wait(for events: CInt) throws(HDF5Error) {
    let samples = 30
    let period = max(0.001, min(limits.patience / Double(samples), limits.seconds))
    var asleep = 0
    var before = -1.0
    while true {
      var entry = pollfd(fd: channel, events: Int16(events), revents: 0)
      let ready = poll(&entry, 1, CInt((period * 1000).rounded(.up)))
      if ready > 0 { return }
      if ready < 0 {
        try explain("poll", errno)
        continue
      }
      let used = processorTime(of: process)
      guard used <= limits.seconds else {
        end()
        throw tooLong
      }
      asleep = used == before && isAsleep(process) ? asleep + 1 : 0
      before = used
      guard asleep < samples else {
        end()
        throw .overLimit(
          "libhdf5 has neither computed nor read for \(limits.patience.formatted) s on this file")
      }
    }
  }

  // MARK: The end

  private var tooLong: HDF5Error {
    .overTime("libhdf5 takes more than \(limits.seconds.formatted) s of processor time")
  }

  /// Kills a child that still runs, and collects it.
  private mutating func end() {
    guard process > 0 else { return }
    kill(process, SIGKILL)
    waitForEnd(of: process)
    process = 0
  }

  /// What became of a child that hung up. One that is still alive after a second has closed its end itself.
  private mutating func causeOfDeath() -> HDF5Error {
    guard process > 0 else { return .io("the process that reads HDF5 has ended") }
    var status: CInt = 0
    var milliseconds = 0
    while waitpid(process, &status, WNOHANG) == 0 {
      guard milliseconds < 1000 else {
        end()
        return .corrupt("the process that reads HDF5 closed its connection on this file")
      }
      poll(nil, 0, 1)
      milliseconds += 1
    }
    process = 0
    let signal = status & 0x7f
    switch signal {
    case 0 where status >> 8 & 0xff == 127: return .io("the process that reads HDF5 does not find its libraries")
    case 0: return .corrupt("libhdf5 ended on this file (status \(status >> 8 & 0xff))")
    case SIGSYS: return .corrupt("libhdf5 tried a forbidden system call on this file")
    case SIGXCPU: return tooLong
    case SIGXFSZ:
      var limit = rlimit()
      let isOurs =
        getrlimit(__rlimit_resource_t(CUnsignedInt(chdf5_file_size)), &limit) == 0 && limit.rlim_cur == rlim_t.max
      return isOurs
        ? .overLimit("its copy grows much larger than the file")
        : .io("a file would be larger than ulimit -f allows (\(limit.rlim_cur) bytes)")
    case SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP:
      return .corrupt("libhdf5 died by signal \(signal) on this file")
    default: return .io("the process that reads HDF5 was killed (signal \(signal))")
    }
  }
}

@discardableResult
private func waitForEnd(of process: pid_t) -> CInt {
  var status: CInt = 0
  while waitpid(process, &status, 0) < 0, errno == EINTR {}
  return status
}

/// Seconds that a process has computed, user and system; 0 when that is not known.
private func processorTime(of process: pid_t) -> Double {
  var clock = clockid_t()
  var time = timespec()
  guard clock_getcpuclockid(process, &clock) == 0, clock_gettime(clock, &time) == 0 else { return 0 }
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Whether a process waits for something that may never happen: not for a disk (D), nor stopped (T), nor about to run (R).
private func isAsleep(_ process: pid_t) -> Bool {
  let descriptor = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return true }
  defer { close(descriptor) }
  // The number, the name in parentheses (which may hold any byte), the state.
  var bytes = [UInt8](repeating: 0, count: 512)
  let count = read(descriptor, &bytes, bytes.count)
  guard let end = bytes.prefix(max(0, count)).lastIndex(of: UInt8(ascii: ")")) else { return true }
  return bytes[(end + 1)...].first { $0 != UInt8(ascii: " ") } == UInt8(ascii: "S")
}

extension Double {
  /// Without a fraction where there is none.
  fileprivate var formatted: String { self == rounded() && self < 1e15 ? String(Int(self)) : String(self) }
}
