// SPDX-License-Identifier: Apache-2.0

/// The bytes that hexadecimal digits spell; white space between them is ignored, and nothing else is taken.
public func bytes(hexadecimal text: some StringProtocol) -> [UInt8] {
  let digits = text.filter { !$0.isWhitespace }.map { digit in
    guard let value = digit.hexDigitValue else { fatalError("\(digit) is no hexadecimal digit") }
    return UInt8(value)
  }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// Two hexadecimal digits for every byte.
public func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
