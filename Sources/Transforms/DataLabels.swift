// SPDX-License-Identifier: Apache-2.0

internal import Maths
package import Networks

extension DataFile {
  /// The answers as classes: one whole number below `classes` for each sample, or one number 1 among zeros for each
  /// class.
  ///
  /// `nil` where they are other numbers, as for a regression.
  ///
  /// - Throws: `.unusable` for whole numbers one a sample that are no class.
  package func labels(classes: Int) throws(NetworkError) -> [Int]? {
    guard let answers, classes > 1 else { return nil }
    if answerCount == 1 {
      guard answers.allSatisfy({ $0 == $0.rounded() }) else { return nil }
      if let sample = answers.firstIndex(where: { !(0..<Double(classes)).contains($0) }) {
        throw NetworkError(
          .unusable,
          "\(options.y): label \(Int(clamping: answers[sample])) of sample \(sample), expected 0…\(classes - 1)",
          file: name)
      }
      return answers.map { Int($0) }
    }
    guard answerCount == classes, answers.allSatisfy({ $0 == 0 || $0 == 1 }) else { return nil }
    let labels = (0..<samples).map { sample in
      let row = answers[sample * classes..<(sample + 1) * classes]
      return row.reduce(0, +) == 1 ? largest(of: row) : -1
    }
    return labels.contains(-1) ? nil : labels
  }
}

extension Int {
  fileprivate init(clamping value: Double) {
    self = value >= 0x1p62 ? 1 << 62 : value <= -0x1p62 ? -1 << 62 : Int(value)
  }
}
