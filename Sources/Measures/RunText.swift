// SPDX-License-Identifier: Apache-2.0

internal import Formatting
internal import Networks
internal import Transforms

extension RunReport {
  /// The lines that `nc-run` prints.
  public func text(name: String, data: String) -> String {
    let rounded = precision == .full ? "" : ", computed in \(precision.rawValue)"
    let read = sampled(samples, of: inputs, from: data, scale: scale)
    var lines = ["\(printable(name)): \(read), \(counted(outputCount, "output"))\(rounded)"]
    if let accuracy, let correct {
      lines.append("accuracy  \(significant(accuracy, 4)) (\(correct) of \(samples))")
    }
    if let loss {
      lines.append("loss      \(loss.value.isFinite ? significant(loss.value, 6) : "undefined") (\(loss.name))")
    }
    if accuracy == nil, loss == nil { lines.append("no labels or targets fit the outputs: nothing was compared") }
    return lines.joined(separator: "\n") + "\n"
  }
}

/// `10000 samples of 784 (test.h5, x/255)`
public func sampled(_ samples: Int, of inputs: Int, from data: String, scale: Double) -> String {
  let scaled = scale == 1 ? "" : scale == 1 / 255.0 ? ", x/255" : ", \(scale)·x"
  return "\(counted(samples, "sample")) of \(inputs) (\(printable(data))\(scaled))"
}
