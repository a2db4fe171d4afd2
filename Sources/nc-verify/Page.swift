import Networks

extension Verification {
  func page(a: String, b: String) -> String { "" }
}
