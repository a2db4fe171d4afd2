// SPDX-License-Identifier: Apache-2.0

import Glibc
import Random
import ToolSupport

/// Times the tools as processes on one large matrix. The file is in the page cache, as it is for a user who has just
/// downloaded or trained the network.
func measureTools(in folder: String, scratch: String, size: Int, into bench: inout Measurements) throws {
  let names = ["start", "nc-ternarize", "nc-info", "nc-info --test", "nc-restore"]
  guard names.contains(where: bench.wants) else { return }
  let directory = try temporaryDirectory(in: scratch)
  let (dense, compressed, restored) = (directory + "/dense.h5", directory + "/ternary.ncz", directory + "/restored.h5")
  defer {
    for path in [dense, compressed, restored] { unlink(path) }
    rmdir(directory)
  }
  var random = SplitMix64(seed: 2)
  try writeMatrices(to: dense, size: size) { random.floats(.gaussian, size) }

  let data = "\(size)×\(size) float32"
  func measure(_ name: String, _ arguments: [String], threads: Int = 1, bytes: Int?) throws {
    var arguments = arguments
    arguments[0] = folder + "/" + arguments[0]
    // Also when it was not asked for: others read what it writes.
    let runs = try (0..<(bench.wants(name) ? bench.repetitions : 1)).map { _ in try run(arguments) }
    guard bench.wants(name) else { return }
    bench.add(
      Measurement(
        name: name, data: bytes == nil ? "" : data, threads: threads, bytes: bytes, runs: runs.map(\.duration),
        memory: runs.map(\.memory).max()))
  }
  let bytes = 4 * size * size
  try measure(names[0], ["nc-ternarize", "--version"], bytes: nil)
  for threads in [1, 2] {
    let common = ["-q", "-T", String(threads)]
    try measure(names[1], ["nc-ternarize", "-f", dense, compressed] + common, threads: threads, bytes: bytes)
    if threads == 1 { try measure(names[2], ["nc-info", compressed] + common, bytes: nil) }
    try measure(names[3], ["nc-info", "--test", compressed] + common, threads: threads, bytes: bytes)
    try measure(names[4], ["nc-restore", "-f", compressed, restored] + common, threads: threads, bytes: bytes)
  }
}

// MARK: - Processes

/// Runs a program, sought as the shell does, without input and output to its end.
func run(_ arguments: [String]) throws(Failure) -> (duration: WorkTime, memory: Int) {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)

  var strings = arguments.map { strdup($0) }
  defer { for string in strings { free(string) } }
  strings.append(nil)
  var usage = rusage()
  var status: Int32 = 0
  var code: Int32 = 0
  var duration = WorkTime.of {
    var process = pid_t()
    code = posix_spawnp(&process, arguments[0], &actions, nil, strings, environ)
    if code == 0, wait4(process, &status, 0, &usage) != process { code = errno }
  }
  guard code == 0 else { throw Failure(.noInput, file: arguments[0], String(cString: strerror(code))) }
  guard status == 0 else {
    throw Failure(.internalError, "\(arguments.joined(separator: " ")): ended with wait status \(status)")
  }
  func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
  duration.processor = seconds(usage.ru_utime) + seconds(usage.ru_stime)
  return (duration, usage.ru_maxrss * 1024)
}

func temporaryDirectory(in folder: String) throws(Failure) -> String {
  var template = Array((folder + "/nc-bench-XXXXXX").utf8CString)
  guard mkdtemp(&template) != nil else {
    throw Failure(.cannotCreate, file: folder, String(cString: strerror(errno)))
  }
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

// MARK: - A network in HDF5

/// Writes an HDF5 file with the float32 datasets `fc1/kernel`, …, size × size, contiguous, whose rows `row` makes in
/// order.
func writeMatrices(_ count: Int = 1, to path: String, size: Int, row: () -> [Float]) throws(Failure) {
  guard let file = fopen(path, "wx") else { throw Failure(.cannotCreate, file: path, String(cString: strerror(errno))) }
  var written = matrixHeader(count: count, size: size)
  var isSound = fwrite(&written, 1, written.count, file) == written.count
  for _ in 0..<count * size where isSound { isSound = fwrite(row(), 4, size, file) == size }
  isSound = fclose(file) == 0 && isSound
  guard isSound else { throw Failure(.ioError, file: path, String(cString: strerror(errno))) }
}

/// All that precedes the values: as little HDF5 as the library reads. (HDF5 File Format Specification 3.0: superblock
/// version 0, which needs no checksum; object headers version 1; groups as link messages.)
private func matrixHeader(count: Int, size: Int) -> [UInt8] {
  let undefined = UInt64.max
  // Room for each of the objects, and for a link of each group in the root.
  let (root, group, dataset) = (96, 192 + 64 * count, 224)
  func groups(_ number: Int) -> Int { group + 96 * number }
  func datasets(_ number: Int) -> Int { groups(count) + dataset * number }
  let values = (datasets(count) + 511) / 512 * 512
  let byteCount = 4 * size * size

  var superblock: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
  // Versions, 8 bytes an address and a length, ranks of B-trees that are not there, flags.
  superblock += [0, 0, 0, 0, 0, 8, 8, 0] + little(4, 2) + little(16, 2) + little(0, 4)
  superblock +=
    little(0, 8) + little(undefined, 8) + little(UInt64(values + count * byteCount), 8) + little(undefined, 8)
  // The root group: no name, its object header, nothing cached.
  superblock += little(0, 8) + little(UInt64(root), 8) + little(0, 24)

  /// A message of an object header: a type, a body padded to 8 bytes.
  func message(_ type: UInt64, _ body: [UInt8]) -> [UInt8] {
    let body = body + [UInt8](repeating: 0, count: (8 - body.count % 8) % 8)
    return little(type, 2) + little(UInt64(body.count), 2) + little(0, 4) + body
  }
  /// An object header of version 1 with one reference.
  func object(_ messages: [[UInt8]]) -> [UInt8] {
    let body = messages.flatMap { $0 }
    return [1, 0] + little(UInt64(messages.count), 2) + little(1, 4) + little(UInt64(body.count), 8) + body
  }
  /// A group of hard links; link info says that links are messages.
  func groupWith(_ links: [(name: String, address: Int)]) -> [UInt8] {
    object(
      [message(2, [0, 0] + little(undefined, 8) + little(undefined, 8))]
        + links.map { name, address in
          message(6, [1, 0, UInt8(name.utf8.count)] + Array(name.utf8) + little(UInt64(address), 8))
        })
  }
  func kernel(_ number: Int) -> [UInt8] {
    object([
      // Dataspace: version 1, rank 2.
      message(1, [1, 2, 0, 0, 0, 0, 0, 0] + little(UInt64(size), 8) + little(UInt64(size), 8)),
      // Datatype: floating point, little-endian, IEEE single precision.
      message(3, [0x11, 0x20, 31, 0] + little(4, 4) + little(0, 2) + little(32, 2) + [23, 8, 0, 23] + little(127, 4)),
      // Fill value: version 2, none.
      message(5, [2, 2, 2, 0]),
      // Layout: version 3, contiguous.
      message(8, [3, 1] + little(UInt64(values + number * byteCount), 8) + little(UInt64(byteCount), 8)),
    ])
  }
  var parts = [(0, superblock), (root, groupWith((0..<count).map { ("fc\($0 + 1)", groups($0)) }))]
  parts += (0..<count).map { (groups($0), groupWith([("kernel", datasets($0))])) }
  parts += (0..<count).map { (datasets($0), kernel($0)) }
  var header: [UInt8] = []
  for (address, part) in parts + [(values, [])] {
    header += [UInt8](repeating: 0, count: address - header.count) + part
  }
  return header
}

private func little(_ value: UInt64, _ count: Int) -> [UInt8] {
  (0..<count).map { $0 < 8 ? UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) : 0 }
}
