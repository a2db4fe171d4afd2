/// The values of a tensor, in the form the last step left them.
public enum Weights: Sendable, Equatable {
  /// Little-endian elements, row-major.
  case dense([UInt8])
  /// −1, 0 or +1 times a scale. `transposed`: the tensor's shape is `[inputs, outputs]`.
  case ternary(TernaryMatrix, transposed: Bool)
}
