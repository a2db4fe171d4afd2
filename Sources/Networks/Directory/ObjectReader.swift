// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Tensors

/// Takes the members of a JSON object one by one, so that what is left at the end is known to be unknown.
struct ObjectReader {
  /// Those that were not taken yet, in their order. Objects of a directory have a dozen: they are looked through.
  private var members: [(key: TensorName, value: JSONValue)]
  private let what: String

  /// `what` names the object in messages.
  init(_ json: JSONValue?, _ what: String) throws(NetworkError) {
    guard let members = json?.members else { throw NetworkError(.corrupt, "\(what): expected an object") }
    self.members = members.map { (TensorName($0.key), $0.value) }
    self.what = what
  }

  /// The value of an optional key.
  mutating func optional(_ key: TensorName) -> JSONValue? {
    members.firstIndex { $0.key == key }.map { members.remove(at: $0).value }
  }

  /// The value of a key, read by `read`, which answers `nil` for a value of the wrong kind.
  mutating func required<Value>(
    _ key: TensorName, _ expected: String, _ read: (JSONValue) throws -> Value?
  ) throws(NetworkError) -> Value {
    guard let json = optional(key) else {
      throw NetworkError(.corrupt, "\(what): the key \(key) is missing")
    }
    return try about("\(what): \(key)") {
      guard let value = try read(json) else { throw NetworkError(.corrupt, "expected \(expected)") }
      return value
    }
  }

  mutating func string(_ key: TensorName) throws(NetworkError) -> String {
    try required(key, "a string", \.string)
  }

  mutating func name(_ key: TensorName) throws(NetworkError) -> TensorName { TensorName(try string(key)) }

  /// One of the words that this version knows.
  mutating func word<Word: RawRepresentable<String>>(_ key: TensorName) throws(NetworkError) -> Word {
    let text = try string(key)
    guard let word = Word(rawValue: text) else {
      throw NetworkError(.unsupported, "\(what): unknown \(key) \(text)")
    }
    return word
  }

  mutating func integer(_ key: TensorName) throws(NetworkError) -> Int {
    try required(key, "an integer", \.integer)
  }

  /// A number with fraction and exponent.
  mutating func real(_ key: TensorName) throws(NetworkError) -> Double { try required(key, "a real", \.real) }

  mutating func bool(_ key: TensorName) throws(NetworkError) -> Bool { try required(key, "true or false", \.bool) }

  mutating func integers(_ key: TensorName) throws(NetworkError) -> [Int] {
    try required(key, "an array of integers") { json in
      let integers = json.array?.compactMap(\.integer)
      return integers?.count == json.array?.count ? integers : nil
    }
  }

  mutating func reals(_ key: TensorName) throws(NetworkError) -> [Double] {
    try required(key, "an array of reals") { json in
      let numbers = json.array?.compactMap(\.real)
      return numbers?.count == json.array?.count ? numbers : nil
    }
  }

  mutating func optionalReal(_ key: TensorName) throws(NetworkError) -> Double? {
    keys.contains(key) ? try real(key) : nil
  }

  mutating func optionalString(_ key: TensorName) throws(NetworkError) -> String? {
    keys.contains(key) ? try string(key) : nil
  }

  mutating func optionalName(_ key: TensorName) throws(NetworkError) -> TensorName? {
    try optionalString(key).map { TensorName($0) }
  }

  /// Whether a key that is `true` or missing is there.
  mutating func optionalTrue(_ key: TensorName) throws(NetworkError) -> Bool {
    guard keys.contains(key) else { return false }
    guard try bool(key) else { throw NetworkError(.corrupt, "\(what): \(key) is false, expected true or nothing") }
    return true
  }

  mutating func optionalIntegers(_ key: TensorName) throws(NetworkError) -> [Int]? {
    keys.contains(key) ? try integers(key) : nil
  }

  /// The keys that were not taken yet, in their order.
  var keys: [TensorName] { members.map(\.key) }

  mutating func array(_ key: TensorName) throws(NetworkError) -> [JSONValue] { try required(key, "an array", \.array) }

  /// Checks that nothing is left.
  consuming func finish() throws(NetworkError) {
    if let left = members.first { throw NetworkError(.unsupported, "\(what): unknown key \(left.key)") }
  }

  /// The members that may be ignored but must be kept; any other that was not taken is from a later version.
  consuming func extensions() throws(NetworkError) -> [JSONValue.Member] {
    try members.map { (key, value) throws(NetworkError) in
      guard key.hasPrefix("x-") else { throw NetworkError(.unsupported, "\(what): unknown key \(key)") }
      return JSONValue.Member(key.text, value)
    }
  }
}

extension JSONValue {
  /// A number that is spelled as a real, not as an integer.
  var real: Double? { integer == nil ? double : nil }
}
