public import Networks

extension RunReport {
  /// The lines that `nc-run` prints.
  public func text(name: String, data: String) -> String {
    let scaled = scale == 1 ? "" : scale == 1 / 255.0 ? ", x/255" : ", \(scale)·x"
    let rounded = precision == .full ? "" : ", computed in \(precision.rawValue)"
    let read = "\(counted(samples, "sample")) of \(inputs) (\(printable(data))\(scaled))"
    var lines = ["\(printable(name)): \(read), \(counted(outputCount, "output"))\(rounded)"]
    if let accuracy, let correct {
      lines.append("accuracy  \(significant(accuracy, 4)) (\(correct) of \(samples))")
    }
    if let loss {
      lines.append("loss      \(significant(loss.value, 6)) (\(loss.name))")
    }
    if accuracy == nil, loss == nil { lines.append("no labels or targets that fit: nothing was compared") }
    return lines.joined(separator: "\n") + "\n"
  }
}
