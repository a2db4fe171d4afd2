// SPDX-License-Identifier: Apache-2.0

package import Maths
package import Networks
package import Parallel
internal import Tensors

/// Samples with classes, as a last layer is fitted to them.
package struct LabelledSamples: Sendable {
  package let count: Int
  /// The dimensions of one sample.
  package let shape: [Int]
  /// One for each sample, below `classes`.
  package let labels: [Int]
  package let classes: Int
  /// Writes the numbers of some samples; several threads may ask.
  package let fill: @Sendable (Range<Int>, UnsafeMutableBufferPointer<Double>) -> Void

  /// - Throws: `.unusable` for data without labels that fit so many classes, and for labels that are all the same.
  package init(_ data: DataFile, classes: Int) throws(NetworkError) {
    guard data.samples >= 2 else {
      throw NetworkError(.unusable, "\(data.samples) sample, expected two or more", file: data.name)
    }
    guard let labels = try data.labels(classes: classes) else {
      throw NetworkError(
        .unusable,
        data.answers == nil
          ? "no dataset of labels: the last layer is fitted to classes"
          : "the answers are no classes: expected whole numbers 0…\(classes - 1), or rows with a single 1",
        file: data.name, remedy: data.answers == nil ? .dataset : nil)
    }
    guard Set(labels).count >= 2 else {
      throw NetworkError(.unusable, "all labels are \(labels[0]), expected two classes or more", file: data.name)
    }
    count = data.samples
    shape = data.shape
    self.labels = labels
    self.classes = classes
    fill = { data.fill($0, $1) }
  }

  /// The samples of some classes alone, which are numbered anew in this order.
  package init(_ other: LabelledSamples, classes: [Int]) {
    let chosen = other.labels.indices.filter { classes.contains(other.labels[$0]) }
    let width = other.shape.reduce(1, *)
    count = chosen.count
    shape = other.shape
    labels = chosen.map { classes.firstIndex(of: other.labels[$0]) ?? 0 }
    self.classes = classes.count
    fill = { range, out in
      for (row, sample) in chosen[range].enumerated() {
        other.fill(sample..<sample + 1, UnsafeMutableBufferPointer(rebasing: out[row * width..<(row + 1) * width]))
      }
    }
  }
}

extension NetworkDraft {
  /// A linear layer from the values of the chain so far to one number for each class.
  package func fittedReadout(
    _ fit: KernelOptions.ReadoutFit, _ penalty: Penalty, to samples: LabelledSamples, inputShape: [Int]?,
    _ options: ReadingOptions
  ) throws(NetworkError) -> Readout {
    let function = try self.function(inputShape: inputShape)
    let width = function.outputCount
    let counter = options.counter("features", of: samples.count)
    let features = LabelledFeatures(width: width, classes: samples.classes, labels: samples.labels) { range, out in
      let values = function.outputs(in: range, fill: samples.fill)
      out.update(from: values, count: values.count)
      counter?.add(range.count)
    }
    // Of the ridge regression, the features of an eighth at most.
    let kept = fit == .ridge ? samples.count / 2 : 4 * samples.count
    let needed = (16 * width).multipliedOrMaximum(by: width).addingOrMaximum(kept.multipliedOrMaximum(by: width))
    guard needed <= options.memory else {
      throw NetworkError(
        .overLimit, "fitting the last layer to \(width) features takes \(needed) bytes, more than \(options.memory)",
        remedy: .memory)
    }
    return try about {
      switch fit {
      case .ridge: try features.fittedReadout(penalty, threads: options.threads)
      case .softmax: try features.fittedSoftmax(penalty, threads: options.threads)
      }
    }
  }
}

extension LabelledSamples {
  /// Mean and variance of every number of a sample.
  package func inputMoments(threads: Threads) -> (means: [Double], variances: [Double]) {
    momentsOfRows(samples: count, width: shape.reduce(1, *), threads: threads) { range in
      [Double](unsafeUninitializedCapacity: range.count * shape.reduce(1, *)) { buffer, initialized in
        initialized = range.count * shape.reduce(1, *)
        fill(range, UnsafeMutableBufferPointer(rebasing: buffer[..<initialized]))
      }
    }
  }
}
