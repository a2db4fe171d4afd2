internal import CProcess
internal import Glibc
internal import Synchronization

/// One line on stderr that says how far a long piece of work is: only on a terminal, only after a second, erased by
/// whatever is said next.
enum Progress {
  private static let isShown = Atomic<Bool>(false)

  /// A function that shows how much of `total` is done; nothing where nobody would see it.
  static func line(_ tool: String) -> (@Sendable (_ done: Int, _ total: Int) -> Void)? {
    let terminal = getenv("TERM").map { String(cString: $0) } ?? "dumb"
    guard isatty(nc_process_diagnostics()) == 1, terminal != "dumb" else { return nil }
    let start = now()
    return { done, total in
      guard done < total, now() - start >= 1 else { return erase() }
      isShown.store(true, ordering: .relaxed)
      write("\r\u{1B}[K\(tool): \(Int(100 * Double(done) / Double(total))) %")
    }
  }

  /// Removes the line if there is one.
  static func erase() {
    if isShown.exchange(false, ordering: .relaxed) { write("\r\u{1B}[K") }
  }

  private static func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec
  }

  private static func write(_ text: String) {
    var text = text
    // Progress that cannot be shown is no reason to stop.
    text.withUTF8 { _ = Glibc.write(nc_process_diagnostics(), $0.baseAddress, $0.count) }
  }
}
