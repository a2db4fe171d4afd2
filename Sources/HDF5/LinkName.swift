// SPDX-License-Identifier: Apache-2.0

public import Tensors

/// The name of a link as bytes: what stands between two slashes of a path.
public struct LinkName: Hashable, Sendable {
  /// At least one byte, none of them 0 or `/`; not `.` alone.
  public let bytes: [UInt8]

  /// A path, spelled as in a table of contents, cut into names.
  ///
  /// Of `\xHH` every one becomes its byte, but for the two that no name can have: 0 and `/`. A backslash that begins
  /// nothing of the kind is one. Like HDF5 itself this passes over empty names and `.`, so there may be none left.
  public static func path(_ spelling: TensorName) -> [LinkName] {
    spelling.utf8.split(separator: slash).map { unescaped(Array($0)) }.filter { $0 != [UInt8(ascii: ".")] }
      .map(LinkName.init)
  }

  private static let slash = UInt8(ascii: "/")

  private init(_ bytes: [UInt8]) { self.bytes = bytes }

  private static func unescaped(_ spelling: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = spelling[...]
    while let first = rest.first {
      if rest.starts(with: #"\x"#.utf8), let byte = UInt8(hexadecimal: rest.dropFirst(2).prefix(2)), byte != 0,
        byte != slash
      {
        bytes.append(byte)
        rest = rest.dropFirst(4)
      } else {
        bytes.append(first)
        rest = rest.dropFirst()
      }
    }
    return bytes
  }

  /// The same name with more bytes at its end.
  public static func + (name: LinkName, suffix: String) -> LinkName {
    LinkName(name.bytes + suffix.utf8.filter { $0 != 0 && $0 != slash })
  }
}

extension LinkName: CustomStringConvertible {
  /// Spelled as in a table of contents.
  public var description: String { text(bytes, escapingBackslash: true) }
}

extension [LinkName] {
  /// The path, spelled as in a table of contents.
  public var spelling: String { map(\.description).joined(separator: "/") }
}

extension UInt8 {
  /// The value of exactly two hexadecimal digits.
  fileprivate init?(hexadecimal digits: ArraySlice<UInt8>) {
    var value: UInt8 = 0
    for digit in digits {
      guard let nibble = Character(Unicode.Scalar(digit)).hexDigitValue else { return nil }
      value = value << 4 | UInt8(nibble)
    }
    guard digits.count == 2 else { return nil }
    self = value
  }
}
