internal import JSON

/// Takes the members of a JSON object one by one, so that what is left at the end is known to be unknown.
struct ObjectReader {
  private var members: [String: JSON] = [:]
  private var order: [String] = []
  private let what: String

  /// `what` names the object in messages.
  init(_ json: JSON?, _ what: String) throws(NetworkError) {
    guard let members = json?.members else { throw NetworkError(.corrupt, "\(what): expected an object") }
    for member in members {
      self.members[member.key] = member.value
      order.append(member.key)
    }
    self.what = what
  }

  /// The value of an optional key.
  mutating func optional(_ key: String) -> JSON? { members.removeValue(forKey: key) }

  /// The value of a key, read by `read`, which answers nothing for a value of the wrong kind.
  mutating func required<Value>(
    _ key: String, _ expected: String, _ read: (JSON) throws -> Value?
  ) throws(NetworkError) -> Value {
    guard let json = members.removeValue(forKey: key) else {
      throw NetworkError(.corrupt, "\(what): the key \(key) is missing")
    }
    return try about("\(what): \(key)") {
      guard let value = try read(json) else { throw NetworkError(.corrupt, "expected \(expected)") }
      return value
    }
  }

  mutating func string(_ key: String) throws(NetworkError) -> String { try required(key, "a string", \.string) }

  /// One of the words that this version knows.
  mutating func word<Word: RawRepresentable<String>>(_ key: String) throws(NetworkError) -> Word {
    let text = try string(key)
    guard let word = Word(rawValue: text) else {
      throw NetworkError(.unsupported, "\(what): unknown \(key) \(text)")
    }
    return word
  }

  mutating func integer(_ key: String) throws(NetworkError) -> Int { try required(key, "an integer", \.integer) }

  /// A number, integer or real.
  mutating func real(_ key: String) throws(NetworkError) -> Double { try required(key, "a number", \.double) }

  mutating func bool(_ key: String) throws(NetworkError) -> Bool { try required(key, "true or false", \.bool) }

  mutating func integers(_ key: String) throws(NetworkError) -> [Int] {
    try required(key, "an array of integers") { json in
      let integers = json.array?.compactMap(\.integer)
      return integers?.count == json.array?.count ? integers : nil
    }
  }

  mutating func reals(_ key: String) throws(NetworkError) -> [Double] {
    try required(key, "an array of numbers") { json in
      let numbers = json.array?.compactMap(\.double)
      return numbers?.count == json.array?.count ? numbers : nil
    }
  }

  mutating func optionalString(_ key: String) throws(NetworkError) -> String? {
    members[key] == nil ? nil : try string(key)
  }

  /// Whether a key that is `true` or missing is there.
  mutating func optionalTrue(_ key: String) throws(NetworkError) -> Bool {
    guard members[key] != nil else { return false }
    guard try bool(key) else { throw NetworkError(.corrupt, "\(what): \(key) is false, expected true or nothing") }
    return true
  }

  mutating func optionalIntegers(_ key: String) throws(NetworkError) -> [Int]? {
    members[key] == nil ? nil : try integers(key)
  }

  /// The keys that were not taken yet, in their order.
  var keys: [String] { order.filter { members[$0] != nil } }

  mutating func array(_ key: String) throws(NetworkError) -> [JSON] { try required(key, "an array", \.array) }

  /// Checks that nothing is left.
  consuming func finish() throws(NetworkError) {
    if let key = order.first(where: { members[$0] != nil }) {
      throw NetworkError(.unsupported, "\(what): unknown key \(key)")
    }
  }

  /// The members that may be ignored but must be kept; any other that was not taken is from a later version.
  consuming func extensions() throws(NetworkError) -> [JSON.Member] {
    var kept: [JSON.Member] = []
    for key in order {
      guard let value = members[key] else { continue }
      guard key.hasPrefix("x-") else { throw NetworkError(.unsupported, "\(what): unknown key \(key)") }
      kept.append(JSON.Member(key, value))
    }
    return kept
  }
}
