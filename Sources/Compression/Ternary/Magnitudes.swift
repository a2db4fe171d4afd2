// SPDX-License-Identifier: Apache-2.0

internal import CLoops

/// The magnitudes |w| of one scale group, in one piece or in blocks.
protocol Magnitudes {
  var count: Int { get }

  /// The tails above four thresholds, sums to a relative 2⁻¹⁸ (`nc_magnitude_above`).
  func tails(above thresholds: UnsafePointer<Float>, into tails: UnsafeMutablePointer<nc_tail>)

  /// Puts the magnitudes in `low` < |w| ≤ `high` into `collection` and returns the tail above `high`, summed in double.
  func collect(low: Float, high: Float, into collection: UndecidedMagnitudes) -> nc_tail
}

/// Room for the magnitudes that are still undecided, and for one evaluation. One for each thread at work.
final class UndecidedMagnitudes {
  private(set) var elements: UnsafeMutablePointer<Float>
  private var capacity: Int
  var count = 0
  let thresholds = UnsafeMutablePointer<Float>.allocate(capacity: 4)
  let tails = UnsafeMutablePointer<nc_tail>.allocate(capacity: 4)
  let points = UnsafeMutablePointer<TailPoint>.allocate(capacity: 6)

  /// What `nc_magnitude_collect` may write beyond the elements it keeps.
  static let slop = 16

  init() {
    capacity = 0
    elements = .allocate(capacity: 0)
  }

  deinit {
    elements.deallocate()
    thresholds.deallocate()
    tails.deallocate()
    points.deallocate()
  }

  /// Empties the collection and makes room for `count` elements.
  func reserve(_ count: Int) {
    self.count = 0
    guard capacity < count + Self.slop else { return }
    elements.deallocate()
    capacity = count + Self.slop
    elements = .allocate(capacity: capacity)
  }

  func append(_ other: UnsafeBufferPointer<Float>) {
    guard let base = other.baseAddress else { return }
    (elements + count).update(from: base, count: other.count)
    count += other.count
  }

  /// Sorts the elements, largest first.
  func sort() {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { room in
      if let room = room.baseAddress { nc_magnitude_sort(elements, count, room) }
    }
  }

  var row: ContiguousMagnitudes { ContiguousMagnitudes(weights: elements, count: count) }
}

/// Weights one after the other in memory.
struct ContiguousMagnitudes: Magnitudes {
  let weights: UnsafePointer<Float>
  let count: Int

  func tails(above thresholds: UnsafePointer<Float>, into tails: UnsafeMutablePointer<nc_tail>) {
    nc_magnitude_above(weights, count, thresholds, tails)
  }

  /// `collection` may be where the weights are.
  func collect(low: Float, high: Float, into collection: UndecidedMagnitudes) -> nc_tail {
    if UnsafePointer(collection.elements) != weights { collection.reserve(count) }
    var tail = nc_tail()
    collection.count = nc_magnitude_collect(weights, count, low, high, collection.elements, &tail)
    return tail
  }
}
