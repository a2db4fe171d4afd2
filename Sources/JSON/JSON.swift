/// A JSON value that keeps the order of members and the spelling of numbers.
public enum JSON: Sendable, Hashable {
  case null
  case bool(Bool)
  /// The number as it was spelled.
  case number(String)
  case string(String)
  case array([JSON])
  case object([Member])

  public struct Member: Sendable, Hashable {
    public var key: String
    public var value: JSON
    public init(_ key: String, _ value: JSON) {
      self.key = key
      self.value = value
    }
  }
}
