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

  /// The value of a key that is left out where it is the default.
  private mutating func value<Value: Equatable>(
    _ key: TensorName, default fallback: Value, _ expected: String, _ read: (JSONValue) throws -> Value?
  ) throws(NetworkError) -> Value {
    guard keys.contains(key) else { return fallback }
    let value = try required(key, expected, read)
    guard value != fallback else {
      throw NetworkError(.corrupt, "\(what): \(key): the default, which is left out")
    }
    return value
  }

  mutating func string(_ key: TensorName, default fallback: String) throws(NetworkError) -> String {
    try value(key, default: fallback, "a string", \.string)
  }

  mutating func array(_ key: TensorName, default fallback: [JSONValue]) throws(NetworkError) -> [JSONValue] {
    try value(key, default: fallback, "an array", \.array)
  }

  mutating func object(_ key: TensorName, default fallback: [JSONValue.Member]) throws(NetworkError)
    -> [JSONValue.Member]
  {
    try value(key, default: fallback, "an object", \.members)
  }

  mutating func integers(_ key: TensorName, default fallback: [Int]) throws(NetworkError) -> [Int] {
    try value(key, default: fallback, "an array of integers", \.integers)
  }

  mutating func integer(
    _ key: TensorName, default fallback: Int, in range: ClosedRange<Int>
  ) throws(NetworkError) -> Int {
    try value(key, default: fallback, "an integer in \(Self.text(range))") { json in
      json.integer.flatMap { range.contains($0) ? $0 : nil }
    }
  }

  mutating func integer(_ key: TensorName, in range: ClosedRange<Int>) throws(NetworkError) -> Int {
    try required(key, "an integer in \(Self.text(range))") { json in
      json.integer.flatMap { range.contains($0) ? $0 : nil }
    }
  }

  private static func text(_ range: ClosedRange<Int>) -> String {
    "\(range.lowerBound)…\(range.upperBound == .max ? "2⁶³−1" : "\(range.upperBound)")"
  }

  mutating func optionalInteger(_ key: TensorName) throws(NetworkError) -> Int? {
    keys.contains(key) ? try integer(key, in: Int.min...Int.max) : nil
  }

  /// One of the words that this version knows; left out where it is the default.
  mutating func word<Word: RawRepresentable<String>>(
    _ key: TensorName, default fallback: Word
  ) throws(NetworkError) -> Word {
    let text = try string(key, default: fallback.rawValue)
    guard let word = Word(rawValue: text) else {
      throw NetworkError(.unsupported, "\(what): unknown \(key) \(text)")
    }
    return word
  }

  mutating func digest(_ key: TensorName) throws(NetworkError) -> Digest {
    try required(key, "32 hexadecimal digits") { $0.string.flatMap(Digest.init) }
  }

  mutating func optionalDigest(_ key: TensorName) throws(NetworkError) -> Digest? {
    keys.contains(key) ? try digest(key) : nil
  }

  /// A real that is not below `least`.
  mutating func optionalReal(_ key: TensorName, in least: Double) throws(NetworkError) -> Double? {
    guard keys.contains(key) else { return nil }
    return try required(key, "a real ≥ \(Int(least))") { json in json.real.flatMap { $0 >= least ? $0 : nil } }
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
    try required(key, "an array of integers", \.integers)
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

  /// The members that may be ignored; any other that was not taken is from a later version.
  consuming func extensions() throws(NetworkError) -> [JSONValue.Member] {
    if let unknownKey { throw NetworkError(.unsupported, "\(what): unknown key \(unknownKey)") }
    return rest
  }

  /// A key that was not taken, and may not be ignored.
  var unknownKey: TensorName? { members.first { !$0.key.hasPrefix("x-") && !$0.key.hasPrefix("d-") }?.key }

  /// What was not taken.
  var rest: [JSONValue.Member] { members.map { JSONValue.Member($0.key.text, $0.value) } }
}

extension JSONValue {
  /// A number that is spelled as a real, not as an integer.
  var real: Double? { integer == nil ? double : nil }

  var integers: [Int]? {
    let integers = array?.compactMap(\.integer)
    return integers?.count == array?.count ? integers : nil
  }
}
