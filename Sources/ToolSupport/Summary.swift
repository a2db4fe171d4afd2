public import Networks
internal import Tensors

/// `1.08 MB`: three significant digits, decimal units.
public func text(bytes: Int) -> String {
  if bytes < 1000 { return "\(bytes) B" }
  var value = Double(bytes)
  var unit = -1
  // 999.5 kB and more reads as 1.00 MB.
  while value >= 999.5, unit < 4 {
    value /= 1000
    unit += 1
  }
  return "\(significant(value, 3)) \(["kB", "MB", "GB", "TB", "PB"][unit])"
}

/// A positive number with `digits` significant digits, without exponent from 10⁻⁴ to 10⁹.
public func significant(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite, value != 0 else { return value == 0 ? "0" : "\(value)" }
  var exponent = 0
  var scaled = value.magnitude
  while scaled >= 10 {
    scaled /= 10
    exponent += 1
  }
  while scaled < 1 {
    scaled *= 10
    exponent -= 1
  }
  guard (-4..<9).contains(exponent) else {
    return "\(value < 0 ? "-" : "")\(significant(scaled, digits))e\(exponent)"
  }
  let places = max(0, digits - 1 - exponent)
  var power = 1.0
  for _ in 0..<places { power *= 10 }
  let rounded = (value.magnitude * power).rounded()
  let whole = Int(rounded / power)
  guard places > 0 else { return "\(value < 0 ? "-" : "")\(whole)" }
  let fraction = String(Int(rounded - Double(whole) * power))
  let zeros = String(repeating: "0", count: max(0, places - fraction.count))
  return "\(value < 0 ? "-" : "")\(whole).\(zeros)\(fraction)"
}

extension WritingReport {
  /// `net.h5: 1.08 MB → 67.2 kB, 16.1×, relative L2 0.436`
  public func summary(input: String) -> String {
    let ratio = significant(Double(inputBytes) / Double(max(1, outputBytes)), 3)
    let changes = tensors.count { $0.outcome == .changed }
    let drops = tensors.count { $0.outcome == .dropped }
    let loss = relativeL2.map { ", relative L2 \(significant($0, 3))" } ?? ", nothing was changed"
    let count =
      (changes > 0 ? ", \(changes) \(changes == 1 ? "tensor" : "tensors") changed" : "")
      + (drops > 0 ? ", \(drops) dropped" : "")
    return "\(input): \(text(bytes: inputBytes)) → \(text(bytes: outputBytes)), \(ratio)×\(count)\(loss)"
  }

  /// What became of each tensor.
  var table: String {
    var table = Table([
      ("tensor", .left), ("shape", .right), ("encoding", .left), ("bytes", .right), ("relative L2", .right),
    ])
    for report in tensors {
      let error = report.outcome != .carried ? report.tensor.history.last.map { significant($0.error, 3) } : nil
      table.add([
        report.tensor.name, report.tensor.shape.description, report.tensor.encoding.name, String(report.storedBytes),
        error ?? "",
      ])
    }
    return table.text
  }

  /// What could be smaller, if anything.
  public var advice: String? {
    let optimizer = tensors.filter { $0.tensor.role == .optimizer && $0.outcome == .carried }.reduce(0) {
      $0 + $1.storedBytes
    }
    let percent = 100 * optimizer / max(1, outputBytes)
    return percent > 10 ? "optimizer state is \(percent) % of the output; --drop optimizer" : nil
  }
}
