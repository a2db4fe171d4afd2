// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// How far a long piece of work is.
public struct WorkProgress: Sendable, Equatable {
  /// What is being done, in a few words: `values`, `singular values of fc1/kernel`.
  public var what: String
  /// How much of it is done, in whatever unit: bytes, samples.
  public var done: Int
  /// 0 where nothing tells how much there is.
  public var total: Int

  public init(_ what: String, done: Int, of total: Int) {
    self.what = what
    self.done = done
    self.total = total
  }
}

extension ReadingOptions {
  /// Tells that something long begins of which nothing will say how far it is.
  package func tell(_ what: @autoclosure () -> String) { progress?(WorkProgress(what(), done: 0, of: 0)) }

  /// Tells how far a work is on `total` things that several threads do in no order.
  package func counter(_ what: String, of total: Int) -> WorkCounter? {
    progress.map { WorkCounter(WorkProgress(what, done: 0, of: total), $0) }
  }
}

/// Counts what several threads have done.
package final class WorkCounter: Sendable {
  private let work: WorkProgress
  private let tell: @Sendable (WorkProgress) -> Void
  private let done = Atomic<Int>(0)

  init(_ work: WorkProgress, _ tell: @escaping @Sendable (WorkProgress) -> Void) {
    self.work = work
    self.tell = tell
    tell(work)
  }

  package func add(_ count: Int) {
    var work = work
    work.done = done.wrappingAdd(count, ordering: .relaxed).newValue
    tell(work)
  }
}
