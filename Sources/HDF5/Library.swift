// SPDX-License-Identifier: Apache-2.0

internal import CHDF5
internal import Glibc

// Only the child process calls anything in this file.

/// Default property list and whole dataspace, both 0 in HDF5.
let byDefault: hid_t = 0

/// Owns one HDF5 identifier of any kind.
struct Handle: ~Copyable {
  let id: hid_t

  /// - Throws: what HDF5 says, when `id` is its sign of failure.
  init(_ id: hid_t, _ what: @autoclosure () -> String) throws(HDF5Error) {
    guard id >= 0 else { throw libraryError(what()) }
    self.id = id
  }

  deinit { _ = H5Idec_ref(id) }
}

/// - Returns: `result`.
/// - Throws: what HDF5 says, when `result` is negative, its sign of failure.
@discardableResult
func check<T: SignedInteger>(_ result: T, _ what: @autoclosure () -> String) throws(HDF5Error) -> T {
  guard result >= 0 else { throw libraryError(what()) }
  return result
}

/// Classifies HDF5's innermost error.
func libraryError(_ what: String) -> HDF5Error {
  struct Innermost {
    var text: String?
    var isMemory = false
  }
  var innermost = Innermost()
  withUnsafeMutablePointer(to: &innermost) { pointer in
    _ = H5Ewalk2(
      0, H5E_WALK_UPWARD,
      { _, entry, context in
        guard let entry = entry?.pointee, let context else { return 0 }
        let innermost = context.assumingMemoryBound(to: Innermost.self)
        guard innermost.pointee.text == nil else { return 0 }
        innermost.pointee.text = entry.desc.map { String(cString: $0) } ?? "unknown error"
        innermost.pointee.isMemory =
          entry.min_num == chdf5_error_no_space() || entry.min_num == chdf5_error_cannot_allocate()
        return 0
      }, pointer)
  }
  _ = H5Eclear2(0)
  let text = innermost.text.map(explained) ?? "unknown error"
  let message = "\(what): \(text)"
  if innermost.isMemory { return .overMemory(message) }
  let reasons = ["version", "is not registered", "already open for"]
  if reasons.contains(where: text.contains) { return .unsupported(message) }
  if text.contains("write failed") || text.contains("flush failed") { return .io(message) }
  return .corrupt(message)
}

/// What HDF5 says of a file that was cut short, in words.
private func explained(_ text: String) -> String {
  guard text.hasPrefix("truncated file:") else { return text }
  let numbers = text.split { !$0.isNumber }.compactMap { Int($0) }
  guard numbers.count == 3 else { return text }
  return "the file was cut short: \(numbers[0]) bytes, expected \(numbers[1] + numbers[2])"
}

/// Bytes as text: what is not UTF-8 is written `\xHH`, and with `escapingBackslash` the backslash too, so that
/// different bytes never give the same text.
func text(_ bytes: some Sequence<UInt8>, escapingBackslash: Bool) -> String {
  let bytes = Array(bytes)
  if !(escapingBackslash && bytes.contains(UInt8(ascii: "\\"))),
    let whole = String(validating: bytes, as: UTF8.self)
  {
    return whole
  }
  var result = ""
  var decoder = UTF8.ForwardParser()
  var rest = bytes.makeIterator()
  var position = 0
  scan: while true {
    switch decoder.parseScalar(from: &rest) {
    case .valid(let scalar):
      let width = scalar.count
      if escapingBackslash, bytes[position] == UInt8(ascii: "\\") {
        result += #"\x5C"#
      } else {
        result += String(decoding: scalar, as: UTF8.self)
      }
      position += width
    case .error(let length):
      for byte in bytes[position..<position + length] { result += #"\x"# + hexadecimal(byte) }
      position += length
    case .emptyInput: break scan
    }
  }
  return result
}

private func hexadecimal(_ byte: UInt8) -> String {
  (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
}

/// Adds a filter of ours to libhdf5.
func addFilter(_ name: StaticString, id: H5Z_filter_t, _ filter: H5Z_func_t) throws(HDF5Error) {
  var description = H5Z_class2_t()
  description.version = H5Z_CLASS_T_VERS
  description.id = id
  description.encoder_present = 1
  description.decoder_present = 1
  description.name = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
  description.filter = filter
  try check(H5Zregister(&description), "register \(name)")
}
