// SPDX-License-Identifier: Apache-2.0

import CLoops
import Formatting
import Glibc
import JSON
import Networks
import ToolSupport

/// Seconds that a piece of work took.
struct WorkTime {
  /// Of processor time, all threads together.
  var processor: Double
  var wall: Double

  /// Times `work` in this process.
  static func of(_ work: () throws -> Void) rethrows -> WorkTime {
    let (processor, wall) = (seconds(CLOCK_PROCESS_CPUTIME_ID), seconds(CLOCK_MONOTONIC))
    try work()
    return WorkTime(
      processor: seconds(CLOCK_PROCESS_CPUTIME_ID) - processor, wall: seconds(CLOCK_MONOTONIC) - wall)
  }

  private static func seconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}

/// One row of the table: the runs of one piece of work.
struct Measurement {
  let name: String
  /// Of what shape and kind the data is.
  let data: String
  let threads: Int
  /// Bytes of dense weights that one run handles; `nil` for work that is not about them.
  let bytes: Int?
  /// Sorted.
  let processor: [Double]
  let wall: [Double]
  /// The largest resident set of a tool, in bytes.
  let memory: Int?
  /// Stored bits for each weight, where the work is to store them.
  let bits: Double?

  /// - Parameter runs: none when the program is not installed.
  init(
    name: String, data: String, threads: Int, bytes: Int?, runs: [WorkTime], memory: Int? = nil, bits: Double? = nil
  ) {
    (self.name, self.data, self.threads, self.bytes, self.memory) = (name, data, threads, bytes, memory)
    self.bits = bits
    processor = runs.map(\.processor).sorted()
    wall = runs.map(\.wall).sorted()
  }

  /// 10⁹ bytes per second of processor time.
  var best: Double? { speed(processor.first) }
  var median: Double? { speed(processor.isEmpty ? nil : processor[processor.count / 2]) }
  /// 10⁹ bytes per second of wall time.
  var bestWall: Double? { speed(wall.first) }

  private func speed(_ seconds: Double?) -> Double? {
    guard let bytes, let seconds else { return nil }
    return Double(bytes) / seconds * 1e-9
  }
}

/// What has been measured, and how to go on.
struct Measurements {
  let only: [String]
  let repetitions: Int
  private var rows: [Measurement] = []

  init(only: [String], repetitions: Int) {
    self.only = only
    self.repetitions = repetitions
  }

  /// Whether rows of this name were asked for. `memcpy` always is: the others are compared with it.
  func wants(_ name: String) -> Bool { only.isEmpty || name == "memcpy" || only.contains { name.contains($0) } }

  /// Times `work`, after one run that brings code and data into the caches.
  mutating func add(
    _ name: String, _ data: String, threads: Int = 1, bytes: Int, bits: Double? = nil, _ work: () throws -> Void
  ) rethrows {
    guard wants(name) else { return }
    try work()
    let runs = try (0..<repetitions).map { _ in try WorkTime.of(work) }
    rows.append(Measurement(name: name, data: data, threads: threads, bytes: bytes, runs: runs, bits: bits))
  }

  /// Times several pieces of work by turns, so that what else the machine does weighs on all of them alike. A turn is
  /// several runs: the first ones bring code and data into the caches.
  mutating func addByTurns(_ works: [(name: String, data: String, work: () -> Void)], bytes: Int) {
    let wanted = works.filter { wants($0.name) }
    var runs = [[WorkTime]](repeating: [], count: wanted.count)
    for _ in 0..<repetitions {
      for (i, wanted) in wanted.enumerated() {
        for _ in 0..<6 { runs[i].append(WorkTime.of(wanted.work)) }
      }
    }
    for (wanted, runs) in zip(wanted, runs) {
      rows.append(Measurement(name: wanted.name, data: wanted.data, threads: 1, bytes: bytes, runs: runs))
    }
  }

  mutating func add(_ row: Measurement) { rows.append(row) }

  // MARK: Printing

  private func ratio(_ row: Measurement, to name: String) -> Double? {
    guard let best = row.best, let other = rows.first(where: { $0.name == name })?.best else { return nil }
    return best / other
  }

  static let sgemm = "planes: sgemm"
  /// Products of as many samples.
  static let otherProducts = ["planes: product", "planes: adding"]

  private func ratioToSGEMM(_ row: Measurement) -> Double? {
    Self.otherProducts.contains(row.name) ? ratio(row, to: Self.sgemm) : nil
  }

  var text: String {
    var table = TextTable([
      ("work", .left), ("data", .left), ("-T", .right), ("GB/s a core", .right), ("median", .right),
      ("GB/s wall", .right), ("÷ memcpy", .right), ("÷ sgemm", .right), ("ms", .right), ("peak MB", .right),
      ("bits a weight", .right),
    ])
    for row in rows {
      table.add([
        row.name, row.data, String(row.threads), decimal(row.best, 2), decimal(row.median, 2),
        decimal(row.bestWall, 2), decimal(ratio(row, to: "memcpy"), 2), decimal(ratioToSGEMM(row), 1),
        decimal(row.wall.first.map { $0 * 1e3 }, 2), decimal(row.memory.map { Double($0) * 1e-6 }, 0),
        decimal(row.bits, 3),
      ])
    }
    return machine.map { "\($0.key): \($0.value)\n" }.joined() + "\n" + table.text
  }

  var json: String {
    func number(_ value: Double?) -> JSONValue { value.map { JSONValue.real($0) } ?? .null }
    let object = JSONValue.object(
      machine.map { JSONValue.Member($0.key, .string($0.value)) } + [
        JSONValue.Member("repetitions", .integer(repetitions)),
        JSONValue.Member(
          "rows",
          .array(
            rows.map { row in
              .object([
                JSONValue.Member("work", .string(row.name)),
                JSONValue.Member("data", .string(row.data)),
                JSONValue.Member("threads", .integer(row.threads)),
                JSONValue.Member("bytes", row.bytes.map { .integer($0) } ?? .null),
                JSONValue.Member("best_gb_per_core_second", number(row.best)),
                JSONValue.Member("median_gb_per_core_second", number(row.median)),
                JSONValue.Member("best_gb_per_second", number(row.bestWall)),
                JSONValue.Member("memcpy_ratio", number(ratio(row, to: "memcpy"))),
                JSONValue.Member("sgemm_ratio", number(ratioToSGEMM(row))),
                JSONValue.Member("best_seconds", number(row.wall.first)),
                JSONValue.Member("peak_bytes", row.memory.map { .integer($0) } ?? .null),
                JSONValue.Member("bits_per_weight", number(row.bits)),
              ])
            })),
      ])
    return String(decoding: object.serialized(), as: UTF8.self) + "\n"
  }

  /// What the figures depend on.
  private var machine: [(key: String, value: String)] {
    let clang = String(cString: nc_compiler()).split(separator: " (")[0]
    return [
      ("processor", "\(processorModel()), \(sysconf(Int32(_SC_NPROCESSORS_ONLN))) cores"),
      ("loops", ["plain C", "AVX2", "AVX-512"][Int(nc_level())]),
      ("compiler", "Swift \(swiftVersion), \(clang)\(isDebug ? ", without optimisation" : "")"),
      ("libraries", NetworkFile.libraries.map { "\($0.name) \($0.version)" }.joined(separator: ", ")),
    ]
  }
}

/// `x` with the given number of decimals; a dash for `nil`.
private func decimal(_ x: Double?, _ places: Int) -> String {
  guard let x else { return "–" }
  let unit = (0..<places).reduce(1) { product, _ in product * 10 }
  let (whole, part) = Int((x * Double(unit)).rounded()).quotientAndRemainder(dividingBy: unit)
  if places == 0 { return String(whole) }
  return "\(whole)." + String(String(unit + part).dropFirst())
}

private func processorModel() -> String {
  guard let file = fopen("/proc/cpuinfo", "r") else { return "unknown" }
  defer { fclose(file) }
  let line = UnsafeMutablePointer<CChar>.allocate(capacity: 4096)
  defer { line.deallocate() }
  while fgets(line, 4096, file) != nil {
    let text = String(cString: line)
    if text.hasPrefix("model name"), let colon = text.firstIndex(of: ":") {
      return String(text[colon...].dropFirst(2).dropLast())
    }
  }
  return "unknown"
}

private var swiftVersion: String {
  #if compiler(>=6.4)
    "6.4 or later"
  #elseif compiler(>=6.3)
    "6.3"
  #else
    "6.2"
  #endif
}

private var isDebug: Bool {
  #if DEBUG
    true
  #else
    false
  #endif
}
