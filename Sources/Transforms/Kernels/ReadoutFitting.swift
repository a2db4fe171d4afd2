// SPDX-License-Identifier: Apache-2.0

package import Maths
package import Networks
package import Parallel
internal import Tensors

/// Samples with classes, as a last layer is fitted to them.
package struct LabelledData {
  package let data: DataFile
  /// One for each sample, below `classes`.
  package let labels: [Int]
  package let classes: Int

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
    self.data = data
    self.labels = labels
    self.classes = classes
  }
}

extension NetworkDraft {
  /// A linear layer from the values of the chain so far to one number for each class.
  package func fittedReadout(
    _ fit: KernelOptions.ReadoutFit, _ penalty: Penalty, to labelled: LabelledData, _ options: ReadingOptions
  ) throws(NetworkError) -> Readout {
    let data = labelled.data
    let function = try self.function(inputShape: data.shape(for: network))
    let width = function.outputCount
    let counter = options.counter("features", of: data.samples)
    let features = LabelledFeatures(width: width, classes: labelled.classes, labels: labelled.labels) { range, out in
      let values = function.outputs(in: range) { data.fill($0, $1) }
      out.update(from: values, count: values.count)
      counter?.add(range.count)
    }
    let needed =
      switch fit {
      case .ridge:
        (16 * width).multipliedOrMaximum(by: width).addingOrMaximum((data.samples / 2).multipliedOrMaximum(by: width))
      case .softmax: (4 * width).multipliedOrMaximum(by: data.samples)
      }
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
