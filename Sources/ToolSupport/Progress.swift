// SPDX-License-Identifier: Apache-2.0

internal import CProcess
internal import Dispatch
internal import Formatting
internal import Glibc
internal import Networks
internal import Synchronization

/// One line on stderr that says what a long piece of work is at, how far it is and how long it will take: only on a
/// terminal, only after a second, erased by whatever is said next.
///
/// A clock shows it, so that it appears and gets on also while nothing is reported, as in one long call of LAPACK.
enum Progress {
  private struct State {
    var tool = ""
    /// `nil` between two pieces of work: nothing is shown.
    var work: WorkProgress?
    /// When the tool began, and when it began what it is doing: seconds.
    var start = 0.0
    var workStart = 0.0
    var isShown = false
    var clock: (any DispatchSourceTimer)?
  }
  private static let state = Mutex(State())

  /// A function that takes note of what is done; `nil` where nobody would see it.
  static func line(_ tool: String) -> (@Sendable (WorkProgress) -> Void)? {
    let terminal = getenv("TERM").map { String(cString: $0) } ?? "dumb"
    guard isatty(nc_process_diagnostics()) == 1, terminal != "dumb" else { return nil }
    state.withLock { state in
      guard state.clock == nil else { return }
      state.tool = tool
      state.start = now()
      state.workStart = state.start
      // Opening a file is the first thing that may take long.
      state.work = WorkProgress("reading", done: 0, of: 0)
      let clock = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "progress"))
      clock.schedule(deadline: .now() + 0.9, repeating: 0.25)
      clock.setEventHandler { show() }
      clock.activate()
      state.clock = clock
    }
    return note
  }

  /// Removes the line if there is one; it comes again when more is done.
  static func erase() {
    state.withLock { state in
      if state.isShown { write("\r\u{1B}[K") }
      state.isShown = false
      state.work = nil
    }
  }

  private static func note(_ work: WorkProgress) {
    state.withLock { state in
      if let before = state.work, before.what == work.what, before.total == work.total {
        // Threads may report in another order than they count.
        if before.done > work.done { return }
      } else {
        state.workStart = now()
      }
      state.work = work
    }
  }

  private static func show() {
    state.withLock { state in
      guard let work = state.work else { return }
      write("\r\u{1B}[K" + line(state.tool, work, elapsed: now() - state.workStart))
      state.isShown = true
    }
  }

  /// `nc-verify: values, 42 %, 1:05 left`; where nothing tells how far it is, `nc-verify: spectrum, 12 s`.
  private static func line(_ tool: String, _ work: WorkProgress, elapsed: Double) -> String {
    let front = "\(printable(tool)): \(printable(work.what))"
    guard work.total > 0 else { return "\(front), \(time(elapsed))" }
    let part = min(1, Double(work.done) / Double(work.total))
    let percent = "\(front), \(Int(100 * part)) %"
    // Before a hundredth is done, or a second is over, there is little to reckon from.
    guard part >= 0.01, elapsed >= 1 else { return percent }
    return "\(percent), \(time(elapsed * (1 - part) / part)) left"
  }

  /// `12 s`, `3:05 min`, `1:02:03 h`.
  private static func time(_ seconds: Double) -> String {
    let seconds = Int(min(max(0, seconds), 1e9))
    func two(_ number: Int) -> String { (number < 10 ? "0" : "") + "\(number)" }
    let (minutes, rest) = (seconds / 60, two(seconds % 60))
    if minutes == 0 { return "\(seconds) s" }
    return minutes < 60 ? "\(minutes):\(rest) min" : "\(minutes / 60):\(two(minutes % 60)):\(rest) h"
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
  }

  private static func write(_ text: String) {
    var text = text
    // Progress that cannot be shown is no reason to stop.
    text.withUTF8 { _ = Glibc.write(nc_process_diagnostics(), $0.baseAddress, $0.count) }
  }
}
