// SPDX-License-Identifier: Apache-2.0

internal import Dispatch

/// How many threads work at once. Results never depend on it.
public struct Threads: Sendable, Hashable {
  public let count: Int

  /// `count` threads; 0 means one for every core.
  public init(_ count: Int) {
    self.count = count > 0 ? count : Self.cores
  }

  private static let cores = activeCores()

  /// Calls `body` once for each of `count` blocks, in no order, on up to `self.count` threads, and returns the
  /// results in block order.
  ///
  /// The blocks are the caller's, so that their boundaries never depend on the number of threads. When bodies
  /// throw, the error of the first block that threw is thrown.
  public func map<Result: Sendable>(
    _ count: Int, _ body: @Sendable (Int) throws -> Result
  ) throws -> [Result] {
    let workers = min(self.count, count)
    if workers <= 1 { return try (0..<count).map(body) }
    var slots = [Swift.Result<Result, any Error>?](repeating: nil, count: count)
    slots.withUnsafeMutableBufferPointer { slots in
      nonisolated(unsafe) let out = slots.baseAddress!
      withoutActuallyEscaping(body) { body in
        let next = Counter()
        DispatchQueue.concurrentPerform(iterations: workers) { _ in
          while case let block = next.take(), block < count {
            out[block] = Swift.Result { try body(block) }
          }
        }
      }
    }
    return try slots.map { try $0!.get() }
  }

  /// As `map`, for bodies that cannot fail.
  public func results<Result: Sendable>(_ count: Int, _ body: @Sendable (Int) -> Result) -> [Result] {
    [Result](unsafeUninitializedCapacity: count) { slots, initialized in
      if let base = slots.baseAddress {
        nonisolated(unsafe) let out = base
        forEach(count) { (out + $0).initialize(to: body($0)) }
      }
      initialized = count
    }
  }

  /// As `map`, for bodies without a result that cannot fail.
  public func forEach(_ count: Int, _ body: @Sendable (Int) -> Void) {
    let workers = min(self.count, count)
    if workers <= 1 { return (0..<count).forEach(body) }
    withoutActuallyEscaping(body) { body in
      let next = Counter()
      DispatchQueue.concurrentPerform(iterations: workers) { _ in
        while case let block = next.take(), block < count { body(block) }
      }
    }
  }
}
