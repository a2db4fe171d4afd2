// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization

/// Hands out 0, 1, 2, … to whichever thread asks next.
final class Counter: Sendable {
  private let next = Atomic<Int>(0)
  func take() -> Int { next.wrappingAdd(1, ordering: .relaxed).oldValue }
}

/// The cores that are online.
func activeCores() -> Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
